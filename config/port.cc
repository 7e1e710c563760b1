// Ports as the operator writes them: 25, "465/tls", "3478/udp".
#include <charconv>

#include <fmt/format.h>

#include "config/config.h"

namespace ajar {

std::optional<Port> parse_port(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view number = text.substr(0, slash);
  if (number.empty() || number.front() == '0') return std::nullopt;
  Port port;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), port.number);
  if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
  if (slash == std::string_view::npos) return port;
  const std::string_view how = text.substr(slash + 1);
  if (how == "tls") {
    port.tls = true;
  } else if (how == "udp") {
    port.transport = Transport::udp;
  } else if (how != "tcp") {
    return std::nullopt;
  }
  return port;
}

std::string format_port(const Port& port) {
  const std::string_view how = port.tls ? "/tls" : port.transport == Transport::udp ? "/udp" : "";
  return fmt::format("{}{}", port.number, how);
}

}  // namespace ajar
