// Where a proxy is asked to connect to: our canary, in every form that a rule about destinations may tell apart.
#pragma once

#include <string>
#include <vector>

#include "checks/canary.h"

namespace ajar {

struct ProxyDestination {
  enum class Form { ipv4, ipv6, name };
  Form form = Form::ipv4;
  CanaryKind kind = CanaryKind::tcp;  // tcp, or smtp: our mail side, the spammer's destination
  std::string host;                   // the literal, without brackets, or the canary's name
  IpAddress address;                  // of a literal
  std::uint16_t port = 0;

  std::string name() const;       // "ipv4:8025", "name:80", "ipv6:25/smtp": part of a variant's name
  std::string authority() const;  // "198.51.100.7:8025", "[2001:db8::7]:80", "canary.example.net:80" (RFC 3986 3.2)
  // The same for a Host field, where port 80 is left out (RFC 9110 7.2).
  std::string host_field() const;
};

// The first literal, the first port by name, then the other ports, then mail; a form and port once; at most kMaxDestinations.
// Empty where the canary is advertised nowhere.
inline constexpr std::size_t kMaxDestinations = 16;
std::vector<ProxyDestination> proxy_destinations(const Canary& canary);

// The same of the canary's UDP side alone.
std::vector<ProxyDestination> datagram_destinations(const Canary& canary);

// A name that nobody can reach (RFC 2606 2), with the port of `like`. `word` makes it unique.
ProxyDestination impossible_destination(const ProxyDestination& like, const std::string& word);

}  // namespace ajar
