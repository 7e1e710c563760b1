// Addresses and networks as values. Text and bytes only: nothing here resolves or connects.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ajar {

// An IPv4 or IPv6 address. An IPv4-mapped IPv6 address (::ffff:a.b.c.d, RFC 4291 2.5.5.2) is that IPv4 address: a socket would
// connect to it, so scope and labels must see it.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(std::array<std::uint8_t, 4> bytes);
  static IpAddress v6(std::array<std::uint8_t, 16> bytes);  // mapped addresses become IPv4
  // "203.0.113.5" or "2001:db8::7": no port, no brackets, no zone. nullopt for anything else.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return v4_; }
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;
  bool is_unspecified() const;
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), v4_ ? 4U : 16U}; }  // network order
  std::string to_string() const;                                                           // RFC 5952
  std::string literal() const;  // as an address literal in mail: "[203.0.113.5]", "[IPv6:2001:db8::7]" (RFC 5321 4.1.3)

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool v4_ = true;
  std::array<std::uint8_t, 16> bytes_{};
};

// "203.0.113.5:25", "[2001:db8::7]:25".
std::string join_host_port(const IpAddress& address, std::uint16_t port);

struct AddressPort {
  IpAddress address;
  std::uint16_t port = 0;
  // "203.0.113.5:25" or "[2001:db8::7]:25"; nullopt otherwise.
  static std::optional<AddressPort> parse(std::string_view text);
  std::string to_string() const { return join_host_port(address, port); }
  friend auto operator<=>(const AddressPort&, const AddressPort&) = default;
};

// A network in CIDR notation.
class Cidr {
 public:
  // "203.0.113.0/24", "2001:db8::/48"; a lone address is a network of one. Host bits must be zero. nullopt for anything else.
  static std::optional<Cidr> parse(std::string_view text);
  Cidr(IpAddress first, unsigned length);  // host bits are cleared

  const IpAddress& first() const { return first_; }
  unsigned length() const { return length_; }  // 0…32 or 0…128
  bool contains(const IpAddress& address) const;
  bool contains(const Cidr& other) const;
  // The address `index` after first(); nullopt past the end. Enumerates a network without holding it.
  std::optional<IpAddress> at(std::uint64_t index) const;
  // The inverse of at(): nullopt for an address that is not in it, or has no such number.
  std::optional<std::uint64_t> index_of(const IpAddress& address) const;
  std::uint64_t size() const;  // saturates at 2^64-1
  std::string to_string() const;
  friend auto operator<=>(const Cidr&, const Cidr&) = default;

 private:
  IpAddress first_;
  unsigned length_ = 32;
};

}  // namespace ajar
