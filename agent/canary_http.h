// The TCP listener: raw TCP and HTTP on one port, told apart by the first line (empty lines before it are skipped: some clients
// of CONNECT proxies send one).
//
//   C: TOKEN 5vq…                          through a tunnel
//   S: PROOF 9f2c…
//
//   C: GET /5vq… HTTP/1.1                  through a proxy that fetches; POST and PUT may say token=5vq… in the body
//   C: Host: 198.51.100.7:8025
//   S: HTTP/1.1 200 OK … PROOF 9f2c…
//
// Inside TLS the proof of a token is given only where the client's hello named it: 5vq….canary.example.net (RFC 6066 3).
//
// A proof is given only to a valid token, and in HTTP only when the authority that the request shows is the canary's own: a
// server that happens to have the canary as its fixed origin is not a proxy for strangers. It answers; it never connects
// anywhere.
#pragma once

#include "agent/canary_dialog.h"

namespace ajar {

inline constexpr std::size_t kHttpMaxHead = 16 * 1024;  // bytes, first line included; then 431
inline constexpr std::size_t kHttpMaxBody = 64 * 1024;  // bytes; then 413
inline constexpr std::size_t kHttpBodySearched = 4096;  // of the body: where token= is looked for

// What is answered to a datagram, "TOKEN 5vq…" with or without a line end: "PROOF 9f2c…" in no more bytes than were asked with,
// so that nobody is flooded through us; empty: nothing, as to anything else.
std::string answer_datagram(std::string_view bytes, const CanarySession& session);

// Runs one conversation to its end. Throws nothing.
Task<void> serve_tcp(Link& link, const CanarySession& session);

// Whether an authority ("198.51.100.7:8025", "canary.example.net", "td@[2001:db8::7]:80") is the canary's own: one of its
// advertised addresses, the address of its listener, canary.host or a name below it; without a port, or with one of its own.
bool own_authority(std::string_view authority, const CanarySession& session);

}  // namespace ajar
