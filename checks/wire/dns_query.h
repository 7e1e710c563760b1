// A DNS question (RFC 1035 4.1) as a stub resolver says it, and what the head of an answer says of its server. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checks/wire/dns_answer.h"

namespace ajar {

inline constexpr std::size_t kDnsHead = 12;
inline constexpr std::uint16_t kDnsTypeNs = 2, kDnsTypeDnskey = 48;  // RFC 1035 3.2.2, RFC 4034 2

// One question of class IN, with recursion desired. `name` is one that is_dns_name() takes, or "." for the root. `edns`: with
// an OPT record (RFC 6891) that takes 4096 bytes and asks for DNSSEC records (RFC 3225), which is how amplifiers are asked.
std::string dns_query(std::uint16_t id, std::string_view name, std::uint16_t type, bool edns = false);

// RFC 1035 4.1.1.
struct DnsHead {
  std::uint16_t id = 0;
  bool response = false, authoritative = false, truncated = false, recursion_available = false;
  unsigned rcode = 0;  // without the upper bits of an OPT record
  std::uint16_t questions = 0, answers = 0, authorities = 0;
};
// nullopt: fewer than kDnsHead bytes.
std::optional<DnsHead> parse_dns_head(std::string_view message);

// Whether it answers that question: its id, a response, the question repeated (RFC 5452 4 wants it compared; the case of names
// means nothing), or none where an error is all that it says.
bool answers_dns_query(std::string_view message, std::string_view query);

// "NOERROR", "REFUSED", … (RFC 1035 4.1.1, RFC 2136 2.2); "RCODE 12" for others.
std::string dns_rcode_text(unsigned rcode);

}  // namespace ajar
