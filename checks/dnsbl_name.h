// What a DNS-based list (DNSBL, RFC 5782) is asked: the names that stand for an address or a domain in a zone, and the names by
// which a zone shows that it works. Text only.
#pragma once

#include <string>
#include <string_view>

#include "checks/ip_address.h"

namespace ajar {

// What a zone may be asked about. Each kind has its own test points: a zone may be healthy for one and know nothing of another.
enum class DnsblKind { ipv4, ipv6, domain };
inline constexpr DnsblKind kDnsblKinds[] = {DnsblKind::ipv4, DnsblKind::ipv6, DnsblKind::domain};
std::string_view to_string(DnsblKind kind);  // "IPv4", "IPv6", "domain"

// The name to ask the A (and TXT) records of (RFC 5782 2.1, 2.4, 3): "5.113.0.203.bl.example", or 32 nibbles, or
// "example.org.bl.example". `zone` has no final dot and passes zone_problem.
std::string dnsbl_name(const IpAddress& address, std::string_view zone);
// Empty where the two do not make a DNS name together.
std::string dnsbl_name(std::string_view domain, std::string_view zone);

// RFC 5782 5: what must be listed, and what must not. `nobody` is ours: an address or name of documentation (RFC 5737, RFC
// 3849, RFC 6761), which no mail ever came from. A zone that lists it lists the world, even if it spares 127.0.0.1.
struct DnsblTestNames {
  std::string listed;    // 127.0.0.2, ::FFFF:7F00:2, TEST
  std::string unlisted;  // 127.0.0.1, ::FFFF:7F00:1, INVALID
  std::string nobody;    // 192.0.2.213, 2001:db8::d5, ajar-test.invalid
};
DnsblTestNames dnsbl_test_names(DnsblKind kind, std::string_view zone);

// What is wrong with the name of a zone, as the end of a sentence that begins with it: "has a space: write …". Empty: nothing;
// then the name of every address in it is a DNS name.
std::string zone_problem(std::string_view zone);
inline constexpr std::size_t kLongestZone = 253 - 64;  // the nibbles of an IPv6 address and their dots take 64

}  // namespace ajar
