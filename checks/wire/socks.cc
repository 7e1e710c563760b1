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

std::uint16_t port_at(std::string_view bytes, std::size_t i) {
  return static_cast<std::uint16_t>(at(bytes, i) << 8 | at(bytes, i + 1));
}

// RFC 1928 5: type, address, port.
std::string address_field(const IpAddress& address, std::uint16_t port) {
  return (address.is_v4() ? '\x01' : '\x04') + address_bytes(address) + port_bytes(port);
}

std::string address_field(std::string_view host, std::uint16_t port) {
  host = host.substr(0, 255);
  return std::string("\x03") + static_cast<char>(host.size()) + std::string(host) + port_bytes(port);
}

// Of a reply or a datagram, up to and with the port; `bytes` has five at least, or one more than the address type.
std::optional<std::size_t> head_size(std::string_view bytes) {
  switch (at(bytes, 3)) {
    case 1:
      return 4 + 4 + 2;
    case 3:
      return 4 + 1 + std::size_t{at(bytes, 4)} + 2;
    case 4:
      return 4 + 16 + 2;
    default:
      return std::nullopt;
  }
}

// `bytes`: at least so many as head_size() says.
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
  return std::string("\x05\x01\x00", 3) + address_field(address, port);
}

std::string socks5_connect(std::string_view host, std::uint16_t port) {
  return std::string("\x05\x01\x00", 3) + address_field(host, port);
}

std::string socks5_associate(bool v4) {
  return std::string("\x05\x03\x00", 3) + address_field(v4 ? IpAddress::v4({}) : IpAddress::v6({}), 0);
}

std::optional<Socks5Reply> parse_socks5_reply(std::string_view bytes) {
  Socks5Reply reply;
  if (bytes.empty()) return reply;
  if (bytes[0] != 5) return std::nullopt;
  if (bytes.size() < 2) return reply;
  reply.code = at(bytes, 1);
  if (bytes.size() < 5) return reply;
  reply.size = head_size(bytes).value_or(4 + 4 + 2);
  reply.complete = bytes.size() >= reply.size;
  if (reply.complete) {
    reply.bound = bound_address(bytes, at(bytes, 3));
    reply.port = port_at(bytes, reply.size - 2);
  }
  return reply;
}

std::string socks5_datagram(const IpAddress& address, std::uint16_t port, std::string_view payload) {
  return std::string("\0\0\0", 3) + address_field(address, port) + std::string(payload);
}

std::string socks5_datagram(std::string_view host, std::uint16_t port, std::string_view payload) {
  return std::string("\0\0\0", 3) + address_field(host, port) + std::string(payload);
}

std::optional<Socks5Datagram> parse_socks5_datagram(std::string_view bytes) {
  if (bytes.size() < 5 || bytes[0] != 0 || bytes[1] != 0) return std::nullopt;
  const std::optional<std::size_t> head = head_size(bytes);
  if (!head || bytes.size() < *head) return std::nullopt;
  return Socks5Datagram{at(bytes, 2), bound_address(bytes, at(bytes, 3)), port_at(bytes, *head - 2), bytes.substr(*head)};
}

std::string socks5_code_text(std::uint8_t code) {
  constexpr std::array<std::string_view, 9> kTexts = {
      "succeeded",          "general failure", "not allowed by the ruleset", "network unreachable",       "host unreachable",
      "connection refused", "TTL expired",     "command not supported",      "address type not supported"};
  return code < kTexts.size() ? std::string(kTexts[code]) : fmt::format("code {}", code);
}

}  // namespace ajar
