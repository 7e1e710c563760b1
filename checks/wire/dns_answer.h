// A DNS answer (RFC 1035 4.1) as a stub resolver reads it: the addresses, mail exchangers, host names or texts that a name has,
// with the chain of aliases to them followed, or that it has none and for how long that holds. Pure: bytes to values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

// RFC 1035 3.2.2, RFC 3596 2.1, RFC 2782
enum class DnsType : std::uint16_t { a = 1, ptr = 12, mx = 15, txt = 16, aaaa = 28, srv = 33 };
std::string_view to_string(DnsType type);  // "A", "PTR", "MX", "TXT", "AAAA", "SRV"

// RFC 1035 4.1.1, RFC 6891 6.1.3: those that are told apart.
inline constexpr unsigned kDnsNoError = 0, kDnsServerFailure = 2, kDnsNoSuchName = 3, kDnsRefused = 5;

struct MailExchanger {
  std::uint16_t preference = 0;  // lower is asked first
  std::string host;              // lower case, without the final dot; always a host name (is_dns_name)
  friend auto operator<=>(const MailExchanger&, const MailExchanger&) = default;
};

// Where a service is (RFC 2782). Which of several is asked first is for clients; all of them serve.
struct ServicePlace {
  std::string host;  // as MailExchanger::host
  std::uint16_t port = 0;
  friend auto operator<=>(const ServicePlace&, const ServicePlace&) = default;
};

// What the answer section holds for the name that was asked, after its aliases.
struct DnsRecords {
  std::vector<IpAddress> addresses;       // A or AAAA, as asked, in the server's order, each once
  std::vector<MailExchanger> exchangers;  // MX, by preference, then name
  std::vector<ServicePlace> services;     // SRV, by name, then port, each once
  bool no_service = false;                // RFC 2782: "." as the only target says that the service is not there
  std::vector<std::string> names;         // PTR, in the server's order; as MailExchanger::host
  std::vector<std::string> texts;         // TXT: the strings of each record as one, the server's bytes, at most kMaxDnsText
  bool null_mx = false;                   // RFC 7505: the domain says that it takes no mail at all
  std::string canonical;                  // the end of the alias chain: the name itself when there is none
  std::uint32_t ttl = 0;                  // seconds: the smallest along the chain and of the records (0 when there are none)
  bool dropped = false;                   // more than kMaxDnsRecords, or records that name no possible host, were left out
  unsigned rcode = kDnsNoError;           // with the upper bits of an OPT record
  bool truncated = false;                 // there is more than fitted
  bool strange = false;                   // nothing found, but there are records of other names, types or classes
  // RFC 2308 5: how many seconds "there is none" holds. nullopt: the answer has no SOA record of a zone around `canonical`.
  std::optional<std::uint32_t> negative_ttl;
};

inline constexpr std::size_t kMaxDnsRecords = 64;     // addresses, exchangers, names or texts of one answer that are kept
inline constexpr std::size_t kMaxDnsServices = 1000;  // of one answer that are kept
inline constexpr std::size_t kMaxDnsText = 1024;      // bytes of one text that are kept
inline constexpr std::size_t kMaxDnsAliases = 16;     // aliases followed in one answer

// Reads an answer to a question for `name` and `type`. nullopt: not an answer to that question, or one that breaks its own
// framing (a name that points forward or for ever, a record that ends past the message). The case of names means nothing (so
// that a resolver may mix it, which 0x20 does). Records of other names, types and classes are skipped. Nothing found and
// another `canonical`: ask again for `canonical`.
std::optional<DnsRecords> parse_dns_answer(std::string_view message, std::string_view name, DnsType type);

// Letters, digits, hyphens and underscores in labels of 1…63, at most 253 in all (RFC 1123 2.1, and what is met): what may
// become a question, a label or a line of a page without escaping.
bool is_dns_name(std::string_view name);

}  // namespace ajar
