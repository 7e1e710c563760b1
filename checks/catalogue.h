// The table of checks: adding one is a line here and a file beside it.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "checks/canary.h"
#include "checks/check.h"

namespace ajar {

struct Port {
  std::uint16_t number = 0;
  Transport transport = Transport::tcp;
  bool tls = false;  // implicit TLS
  friend auto operator<=>(const Port&, const Port&) = default;
};

struct CheckInfo {
  std::string_view name;      // "smtp_relay": label, configuration, JSON
  std::string_view question;  // "Would it carry a stranger's mail?"
  std::string_view protocol;  // what a server must speak to be asked it: "SMTP", "HTTP", "SOCKS4", "SOCKS5", …
  std::span<const Port> default_ports;
  unsigned silences = 1;  // how many waits for a first answer it costs where the port says nothing
  bool on_by_default = true;
  CheckFunction function = nullptr;
  // The side of our canary that it proves by; nullopt: none, the answer itself is the proof.
  std::optional<CanaryKind> canary = CanaryKind::tcp;
  // The datagram by which a port of UDP is found to have such a server: a harmless question that every one of them answers.
  // Empty: none is known.
  std::string_view knock = {};
};

std::span<const CheckInfo> catalogue();
// nullptr for an unknown name.
const CheckInfo* find_check(std::string_view name);

}  // namespace ajar
