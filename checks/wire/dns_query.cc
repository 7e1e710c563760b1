#include "checks/wire/dns_query.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "checks/wire/ascii.h"

namespace ajar {
namespace {

constexpr std::uint16_t kRecursionDesired = 0x0100, kClassIn = 1, kTypeOpt = 41;
constexpr std::uint16_t kEdnsSize = 4096, kEdnsDo = 0x8000;

void put(std::string& bytes, std::uint16_t value) {
  bytes += static_cast<char>(value >> 8U);
  bytes += static_cast<char>(value & 0xffU);
}

std::uint16_t at(std::string_view bytes, std::size_t index) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
  return static_cast<std::uint16_t>(byte(index) << 8U | byte(index + 1));
}

// Where the only question of a message ends, which begins at its twelfth byte and has no pointers; nullopt: there is none.
std::optional<std::size_t> question_end(std::string_view message) {
  std::size_t place = kDnsHead;
  while (place < message.size()) {
    const auto length = static_cast<unsigned char>(message[place]);
    if (length > 63) return std::nullopt;
    place += 1U + length;
    if (length == 0) return place + 4 <= message.size() ? std::optional(place + 4) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::string dns_query(std::uint16_t id, std::string_view name, std::uint16_t type, bool edns) {
  std::string bytes;
  put(bytes, id);
  put(bytes, kRecursionDesired);
  put(bytes, 1);
  put(bytes, 0);
  put(bytes, 0);
  put(bytes, edns ? 1 : 0);
  if (name.ends_with('.')) name.remove_suffix(1);
  while (!name.empty()) {
    const std::string_view label = name.substr(0, std::min<std::size_t>(name.find('.'), 63));
    bytes += static_cast<char>(label.size());
    bytes += label;
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  bytes += '\0';
  put(bytes, type);
  put(bytes, kClassIn);
  if (edns) {
    bytes += '\0';
    put(bytes, kTypeOpt);
    put(bytes, kEdnsSize);
    put(bytes, 0);
    put(bytes, kEdnsDo);
    put(bytes, 0);
  }
  return bytes;
}

std::optional<DnsHead> parse_dns_head(std::string_view message) {
  if (message.size() < kDnsHead) return std::nullopt;
  const std::uint16_t flags = at(message, 2);
  DnsHead head;
  head.id = at(message, 0);
  head.response = (flags & 0x8000U) != 0;
  head.authoritative = (flags & 0x0400U) != 0;
  head.truncated = (flags & 0x0200U) != 0;
  head.recursion_available = (flags & 0x0080U) != 0;
  head.rcode = flags & 0x000fU;
  head.questions = at(message, 4);
  head.answers = at(message, 6);
  head.authorities = at(message, 8);
  return head;
}

bool answers_dns_query(std::string_view message, std::string_view query) {
  const std::optional<DnsHead> head = parse_dns_head(message);
  if (!head || query.size() < kDnsHead || !head->response || head->id != at(query, 0)) return false;
  if (head->questions == 0) return head->rcode != kDnsNoError && head->answers == 0;
  const std::optional<std::size_t> end = question_end(query), other = question_end(message);
  if (head->questions != 1 || !end || end != other) return false;
  return to_lower(message.substr(kDnsHead, *end - kDnsHead)) == to_lower(query.substr(kDnsHead, *end - kDnsHead));
}

std::string dns_rcode_text(unsigned rcode) {
  constexpr std::array kNames = {"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
                                 "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE"};
  return rcode < kNames.size() ? kNames[rcode] : fmt::format("RCODE {}", rcode);
}

}  // namespace ajar
