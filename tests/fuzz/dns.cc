// What a DNS server answers, and what is made of it where a database answers. First byte: the type asked for ('p': PTR,
// 's': SRV); then the name asked for up to a NUL; then the message.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/dnsbl_resolver.h"
#include "checks/dnsbl_judge.h"
#include "checks/wire/dns_answer.h"

namespace ajar {
namespace {

void insist(bool holds) {
  if (!holds) std::abort();
}

void check_records(const DnsRecords& records, DnsType type) {
  insist(records.addresses.size() <= kMaxDnsRecords && records.exchangers.size() <= kMaxDnsRecords);
  insist(records.texts.size() <= kMaxDnsRecords);
  insist(records.ttl <= 0x7FFFFFFFU && records.negative_ttl.value_or(0) <= 0x7FFFFFFFU);
  insist(type == DnsType::txt || records.texts.empty());
  insist(type == DnsType::mx || records.exchangers.empty());
  insist(type == DnsType::ptr || records.names.empty());
  insist(records.names.size() <= kMaxDnsRecords);
  insist(type == DnsType::srv || (records.services.empty() && !records.no_service));
  insist(records.services.size() <= kMaxDnsServices && (!records.no_service || records.services.empty()));
  for (const ServicePlace& place : records.services) insist(is_dns_name(place.host) && place.port != 0);
  for (const std::string& name : records.names) insist(is_dns_name(name));
  insist(type == DnsType::a || type == DnsType::aaaa || records.addresses.empty());
  for (const std::string& text : records.texts) insist(text.size() <= kMaxDnsText);
  insist(!records.null_mx || records.exchangers.empty());
  const bool found = !records.addresses.empty() || !records.texts.empty() || !records.exchangers.empty() ||
                     !records.names.empty() || !records.services.empty() || records.null_mx || records.no_service;
  insist(!records.strange || !found);
  for (const IpAddress& address : records.addresses) insist(address.is_v4() == (type == DnsType::a));
  for (const MailExchanger& exchanger : records.exchangers) insist(is_dns_name(exchanger.host));
}

// A table with every sort of line.
ZoneRules rules() {
  ZoneRules rules;
  const auto add = [&](const char* pattern, CodeEffect effect) {
    rules.codes.push_back({*CodePattern::parse(pattern), "meaning", effect, ListingCause::unknown, std::nullopt});
  };
  add("127.0.0.&32", CodeEffect::listing);
  add("127.0.0.&64", CodeEffect::neutral);
  add("127.0.0.2-11", CodeEffect::listing);
  add("127.0.1.*", CodeEffect::praise);
  add("127.0.2.255", CodeEffect::refusal);
  return rules;
}

void check_judgement(const DnsRecords& records, DnsType type) {
  using Outcome = DnsblReply::Outcome;
  const DnsblLookup lookup = dnsbl_lookup(records, type);
  const Outcome outcome = lookup.reply.outcome;
  insist(!lookup.ttl || (lookup.ttl->count() >= 0 && lookup.ttl->count() <= 0x7FFFFFFF));
  insist(outcome == Outcome::answered || lookup.reply.addresses.empty());
  if (type != DnsType::a) return;
  insist(outcome != Outcome::answered || !lookup.reply.addresses.empty());
  static const ZoneRules kRules = rules();
  const DnsblFinding finding = judge_dnsbl(lookup.reply, kRules);
  const bool nowhere = outcome == Outcome::no_such_name || outcome == Outcome::no_data;
  insist(finding.listed.has_value() == (finding.state == ZoneState::healthy));
  insist(finding.listed.has_value() || !finding.because.empty());
  insist(!finding.listed || nowhere || outcome == Outcome::answered);
  insist(!nowhere || finding.listed == false);
  insist(finding.codes.size() <= kMaxDnsblCodes);
  for (const IpAddress& code : lookup.reply.addresses) {
    const auto bytes = code.bytes();
    insist(bytes[0] == 127 || !finding.listed);
    insist(bytes[1] != 255 || bytes[2] != 255 || !finding.listed);
  }
  const auto counts = [](const DnsblCode& code) { return code.effect == CodeEffect::listing; };
  insist(finding.listed != true || std::any_of(finding.codes.begin(), finding.codes.end(), counts));
  for (const bool known : {true, false}) {  // nothing new at once, and nothing at all of a zone that is ill
    const ListingStep step = next_step(known, finding, ZoneState::healthy, false);
    insist(step != ListingStep::publish || finding.listed == known);
    insist(next_step(known, finding, ZoneState::empty, true) == ListingStep::keep);
  }
  // Any one answer for all three names: no such zone is healthy.
  insist(judge_zone({lookup.reply, lookup.reply, lookup.reply}, kRules, true).state != ZoneState::healthy);
}

}  // namespace
}  // namespace ajar

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr ajar::DnsType kTypes[] = {ajar::DnsType::a, ajar::DnsType::mx, ajar::DnsType::aaaa, ajar::DnsType::txt};
  const ajar::DnsType type = data[0] == 'p' ? ajar::DnsType::ptr : data[0] == 's' ? ajar::DnsType::srv : kTypes[data[0] % 4];
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t end = rest.find('\0');
  if (end == std::string_view::npos) return 0;
  const auto records = ajar::parse_dns_answer(rest.substr(end + 1), rest.substr(0, end), type);
  if (!records) return 0;
  ajar::check_records(*records, type);
  ajar::check_judgement(*records, type);
  return 0;
}
