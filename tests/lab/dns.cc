// Simulated DNS servers over UDP: each answers a question for a name below the canary's domain as it is told to.
#include <array>

#include "checks/wire/dns_query.h"
#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

constexpr std::uint16_t kDns = 5353;

void put(std::string& bytes, unsigned value) {
  bytes += static_cast<char>(value >> 8U);
  bytes += static_cast<char>(value & 0xffU);
}

// The question of a query, without its head; empty: it is none.
std::string question_of(const std::string& query) {
  std::size_t place = kDnsHead;
  while (place < query.size() && query[place] != '\0') place += 1U + static_cast<unsigned char>(query[place]);
  return place + 5 <= query.size() ? query.substr(kDnsHead, place + 5 - kDnsHead) : std::string();
}

// What the question asks for, in text; lower case is what a probe writes.
std::string name_of(const std::string& question) {
  std::string name;
  for (std::size_t at = 0; at < question.size() && question[at] != '\0';) {
    const auto length = static_cast<unsigned char>(question[at]);
    name += (name.empty() ? "" : ".") + question.substr(at + 1, length);
    at += 1U + length;
  }
  return name;
}

std::string answer(const std::string& query, unsigned flags, const std::string& records, unsigned count) {
  std::string bytes = query.substr(0, 2);
  put(bytes, flags);
  put(bytes, 1);
  put(bytes, count);
  put(bytes, 0);
  put(bytes, 0);
  return bytes + question_of(query) + records;
}

// An A record of the name that was asked for.
std::string address_record(const std::string& address) {
  const std::optional<IpAddress> parsed = IpAddress::parse(address);
  std::string record("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04", 12);
  for (const std::uint8_t byte : parsed->bytes()) record += static_cast<char>(byte);
  return record;
}

bool asks_for_a(const std::string& query) {
  const std::string question = question_of(query);
  return question.size() >= 4 && question[question.size() - 3] == '\x01';
}

constexpr unsigned kRecursion = 0x8180, kNoRecursion = 0x8100;
constexpr unsigned kNoSuchName = 3, kServerFailure = 2, kRefusedCode = 5;

bool below(const std::string& name, const std::string& domain) { return name.ends_with("." + domain); }

Task<void> resolve(std::string query, Setting setting, World&, Reply reply) {
  if (question_of(query).empty()) co_return;
  const bool ours = below(name_of(question_of(query)), setting.canary_domain);
  const bool found = ours && asks_for_a(query);
  reply(found ? answer(query, kRecursion, address_record(setting.canary), 1)
              : answer(query, kRecursion | (ours ? 0 : kNoSuchName), {}, 0));
}

Task<void> refuse(std::string query, Setting, World&, Reply reply) {
  reply(answer(query, kNoRecursion | kRefusedCode, {}, 0));
  co_return;
}

Task<void> answer_own_zones(std::string query, Setting, World&, Reply reply) {
  reply(answer(query, kNoRecursion, {}, 0));
  co_return;
}

Task<void> lie(std::string query, Setting setting, World&, Reply reply) {
  reply(answer(query, kRecursion, address_record(setting.address), 1));
  co_return;
}

Task<void> find_nothing(std::string query, Setting, World&, Reply reply) {
  reply(answer(query, kRecursion | kNoSuchName, {}, 0));
  co_return;
}

Task<void> fail(std::string query, Setting, World&, Reply reply) {
  reply(answer(query, kRecursion | kServerFailure, {}, 0));
  co_return;
}

// A forged answer comes before the server's own.
Task<void> refuse_after_a_forgery(std::string query, Setting setting, World&, Reply reply) {
  std::string forged = answer(query, kRecursion, address_record(setting.canary), 1);
  forged[0] = static_cast<char>(forged[0] ^ 1);
  reply(forged);
  reply(answer(query, kNoRecursion | kRefusedCode, {}, 0));
  co_return;
}

Task<void> say_nothing(std::string, Setting, World&, Reply) { co_return; }

constexpr Personality dns(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                          Receive receive) {
  Personality personality{name, imitates, {{"open_resolver", verdict, reason}}};
  personality.kind = Kind::other;
  personality.port = kDns;
  personality.receive = receive;
  return personality;
}

constexpr std::array kPersonalities = {
    dns("dns_open", "Unbound 1.17, access-control: 0.0.0.0/0 allow", "open", "token_returned", resolve),
    dns("dns_closed", "Unbound 1.17, access-control: 0.0.0.0/0 refuse", "closed", "refused", refuse),
    dns("dns_authoritative", "NSD 4.6, which answers for its own zones alone", "closed", "refused", answer_own_zones),
    dns("dns_liar", "A captive portal: its own address for every name", "accepted", "accepts_everything", lie),
    dns("dns_finds_nothing", "A resolver for strangers that does not know the canary's names", "accepted", "no_proof",
        find_nothing),
    dns("dns_fails", "A resolver behind a dead uplink", "unclear", "canary_unreachable", fail),
    dns("dns_forged", "A closed resolver whose answers somebody forges", "closed", "refused", refuse_after_a_forgery),
    dns("dns_silent", "A packet filter that drops", "unreachable", "timeout", say_nothing),
};

}  // namespace

std::span<const Personality> dns_personalities() { return kPersonalities; }

}  // namespace ajar::lab
