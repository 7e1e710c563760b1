#include "checks/wire/socks.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace ajar {
namespace {

std::string port_bytes(std::uint16_t port) { return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)}; }

std::string address_bytes(const IpAddress& address) {
  const auto bytes = address.bytes();
  return {bytes.begin(), bytes.end()};
}

std::uint8_t at(std::string_view bytes, std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); }

std::string bound_address(std::string_view bytes, std::uint8_t type) {
  const auto copy = [&](auto& into, std::size_t from) {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] = at(bytes, from + i);
  };
  if (type == 1) {
    std::array<std::uint8_t, 4> v4{};
    copy(v4, 4);
    return IpAddress::v4(v4).to_string();
  }
  if (type == 4) {
    std::array<std::uint8_t, 16> v6{};
    copy(v6, 4);
    return IpAddress::v6(v6).to_string();
  }
  return type == 3 ? std::string(bytes.substr(5, at(bytes, 4))) : std::string();
}

}  // namespace

std::string socks4_connect(const IpAddress& address, std::uint16_t port) {
  return std::string("\x04\x01", 2) + port_bytes(port) + address_bytes(address) + '\0';
}

std::string socks4a_connect(std::string_view host, std::uint16_t port) {
  return std::string("\x04\x01", 2) + port_bytes(port) + std::string("\0\0\0\x01\0", 5) + std::string(host) + '\0';
}

std::optional<Socks4Code> parse_socks4_reply(std::string_view bytes) {
  if (bytes.size() < 2 || (bytes[0] != 0 && bytes[0] != 4) || at(bytes, 1) < 0x5a || at(bytes, 1) > 0x5d) return std::nullopt;
  return static_cast<Socks4Code>(at(bytes, 1));
}

std::string socks5_greeting() { return std::string("\x05\x01\x00", 3); }

std::optional<std::uint8_t> parse_socks5_method(std::string_view bytes) {
  if (bytes.size() < 2 || bytes[0] != 5) return std::nullopt;
  return at(bytes, 1);
}

std::string socks5_connect(const IpAddress& address, std::uint16_t port) {
  return std::string("\x05\x01\x00", 3) + (address.is_v4() ? '\x01' : '\x04') + address_bytes(address) + port_bytes(port);
}

std::string socks5_connect(std::string_view host, std::uint16_t port) {
  host = host.substr(0, 255);
  return std::string("\x05\x01\x00\x03", 4) + static_cast<char>(host.size()) + std::string(host) + port_bytes(port);
}

std::optional<Socks5Reply> parse_socks5_reply(std::string_view bytes) {
  Socks5Reply reply;
  if (bytes.empty()) return reply;
  if (bytes[0] != 5) return std::nullopt;
  if (bytes.size() < 2) return reply;
  reply.code = at(bytes, 1);
  if (bytes.size() < 5) return reply;
  const std::uint8_t type = at(bytes, 3);
  switch (type) {
    case 1:
      reply.size = 4 + 4 + 2;
      break;
    case 3:
      reply.size = 4 + 1 + std::size_t{at(bytes, 4)} + 2;
      break;
    case 4:
      reply.size = 4 + 16 + 2;
      break;
    default:
      reply.size = 4 + 4 + 2;
      break;
  }
  reply.complete = bytes.size() >= reply.size;
  if (reply.complete) reply.bound = bound_address(bytes, type);
  return reply;
}

std::string socks5_code_text(std::uint8_t code) {
  constexpr std::array<std::string_view, 9> kTexts = {
      "succeeded",          "general failure", "not allowed by the ruleset", "network unreachable",       "host unreachable",
      "connection refused", "TTL expired",     "command not supported",      "address type not supported"};
  return code < kTexts.size() ? std::string(kTexts[code]) : fmt::format("code {}", code);
}

}  // namespace ajar
