// A DNS answer (RFC 1035 4.1) as a stub resolver reads it: the addresses or mail exchangers that a name has, with the chain of
// aliases to them followed. Pure: bytes to values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

enum class DnsType : std::uint16_t { a = 1, mx = 15, aaaa = 28 };  // RFC 1035 3.2.2, RFC 3596 2.1
std::string_view to_string(DnsType type);                          // "A", "MX", "AAAA"

struct MailExchanger {
  std::uint16_t preference = 0;  // lower is asked first
  std::string host;              // lower case, without the final dot; always a host name (is_dns_name)
  friend auto operator<=>(const MailExchanger&, const MailExchanger&) = default;
};

// What the answer section holds for the name that was asked, after its aliases.
struct DnsRecords {
  std::vector<IpAddress> addresses;       // A or AAAA, as asked, in the server's order, each once
  std::vector<MailExchanger> exchangers;  // MX, by preference, then name
  bool null_mx = false;                   // RFC 7505: the domain says that it takes no mail at all
  std::string canonical;                  // the end of the alias chain: the name itself when there is none
  std::uint32_t ttl = 0;                  // seconds: the smallest along the chain and of the records (0 when there are none)
  bool dropped = false;                   // more than kMaxDnsRecords, or records that name no possible host, were left out
};

inline constexpr std::size_t kMaxDnsRecords = 64;  // addresses or exchangers of one answer that are kept
inline constexpr int kMaxDnsAliases = 16;          // aliases followed in one answer

// Reads an answer to a question for `name` and `type`. nullopt: not an answer to that question, or one that breaks its own
// framing (a name that points forward or for ever, a record that ends past the message). Records of other names, types and
// classes are skipped. Empty `addresses`, no `exchangers` and another `canonical`: ask again for `canonical`.
std::optional<DnsRecords> parse_dns_answer(std::string_view message, std::string_view name, DnsType type);

// Letters, digits, hyphens and underscores in labels of 1…63, at most 253 in all (RFC 1123 2.1, and what is met): what may
// become a question, a label or a line of a page without escaping.
bool is_dns_name(std::string_view name);

}  // namespace ajar
