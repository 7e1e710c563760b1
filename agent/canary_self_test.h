// The canary asks itself, through an address as tested servers use it: a relay's mail or a proxy's tunnel would come the same
// way.
#pragma once

#include <chrono>
#include <string>

#include <openssl/ssl.h>

#include "agent/canary_keys.h"
#include "agent/loop.h"
#include "checks/canary.h"

namespace ajar {

struct SelfTest {
  Loop& loop;
  const CanaryKeys& keys;
  std::string name;  // EHLO name
  std::string mail_domain;
  std::string token;  // a valid one, which the server knows and does not report
  std::chrono::milliseconds timeout{};
  std::string host;        // canary.host: whose names the TLS side proves
  SSL_CTX* tls = nullptr;  // of a client
};

// TOKEN must give its PROOF (tcp, udp, and tls for a hello that names TOKEN.host); EHLO, MAIL, RCPT of the token must be
// accepted, then RSET and QUIT, never DATA (smtp). Returns what went wrong, empty when all is well. Throws nothing. `test` is
// kept alive by the caller.
Task<std::string> self_test(const SelfTest& test, CanaryKind kind, AddressPort address);

}  // namespace ajar
