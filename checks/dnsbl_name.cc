#include "checks/dnsbl_name.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "checks/wire/dns_answer.h"

namespace ajar {
namespace {

// RFC 5782 2.4. From bytes, never from an IpAddress where it may be a mapped one: ::FFFF:7F00:2 is a name of 32 nibbles here,
// while everywhere else that address is 127.0.0.2.
std::string nibbles(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (std::size_t i = bytes.size(); i > 0; --i) {
    text += kDigits[bytes[i - 1] & 0x0FU];
    text += '.';
    text += kDigits[bytes[i - 1] >> 4U];
    text += '.';
  }
  return text;
}

std::string octets(std::span<const std::uint8_t> bytes) {
  return fmt::format("{}.{}.{}.{}.", bytes[3], bytes[2], bytes[1], bytes[0]);
}

std::string mapped(std::uint8_t last) {
  const std::array<std::uint8_t, 16> bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x7f, 0, 0, last};
  return nibbles(bytes);
}

std::string documentation_v6() {
  std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
  bytes[15] = 0xd5;
  return nibbles(bytes);
}

}  // namespace

std::string_view to_string(DnsblKind kind) {
  switch (kind) {
    case DnsblKind::ipv4:
      return "IPv4";
    case DnsblKind::ipv6:
      return "IPv6";
    case DnsblKind::domain:
      return "domain";
  }
  return "?";
}

std::string dnsbl_name(const IpAddress& address, std::string_view zone) {
  return (address.is_v4() ? octets(address.bytes()) : nibbles(address.bytes())).append(zone);
}

std::string dnsbl_name(std::string_view domain, std::string_view zone) {
  const std::string name = fmt::format("{}.{}", domain, zone);
  return is_dns_name(domain) && is_dns_name(name) ? name : std::string();
}

DnsblTestNames dnsbl_test_names(DnsblKind kind, std::string_view zone) {
  std::array<std::string, 3> names;
  switch (kind) {
    case DnsblKind::ipv4:
      names = {"2.0.0.127.", "1.0.0.127.", "213.2.0.192."};
      break;
    case DnsblKind::ipv6:
      names = {mapped(2), mapped(1), documentation_v6()};
      break;
    case DnsblKind::domain:
      names = {"test.", "invalid.", "ajar-test.invalid."};
      break;
  }
  for (std::string& name : names) name += zone;
  return {names[0], names[1], names[2]};
}

std::string zone_problem(std::string_view zone) {
  constexpr std::string_view kExample = "write one like \"bl.example.org\"";
  if (zone.empty()) return fmt::format("is empty: {}", kExample);
  if (zone.find_first_of(" \t") != std::string_view::npos) return fmt::format("has a space: {}", kExample);
  if (zone.find("://") != std::string_view::npos || zone.find('/') != std::string_view::npos) {
    return fmt::format("is no DNS name: {}, without scheme and path", kExample);
  }
  if (const std::size_t equals = zone.find('='); equals != std::string_view::npos) {  // Postfix's zone=127.0.0.[2..11]
    return fmt::format("has more than a name: write \"{}\"; codes stand in [[dnsbl.zone]]", zone.substr(0, equals));
  }
  if (zone.front() == '.') return fmt::format("begins with a dot: write \"{}\"", zone.substr(1));
  if (zone.back() == '.') return fmt::format("ends with a dot: write \"{}\"", zone.substr(0, zone.size() - 1));
  if (IpAddress::parse(zone)) return fmt::format("is an address, not a zone: {}", kExample);
  if (zone.size() > kLongestZone) {
    return fmt::format("has {} characters: a zone has at most {}, so that an address fits before it", zone.size(),
                       kLongestZone);
  }
  for (std::size_t at = 0; at <= zone.size();) {
    const std::size_t dot = std::min(zone.find('.', at), zone.size());
    if (dot == at) return fmt::format("has two dots in a row: {}", kExample);
    if (dot - at > 63) {
      return fmt::format("has a part of {} characters between two dots: a DNS name takes at most 63", dot - at);
    }
    at = dot + 1;
  }
  if (!is_dns_name(zone)) return "has other characters than letters, digits, - and _: write its ASCII form";
  return {};
}

}  // namespace ajar
