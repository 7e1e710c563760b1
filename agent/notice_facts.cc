#include "agent/notice_facts.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "agent/metrics.h"
#include "agent/target_view.h"
#include "checks/catalogue.h"

namespace ajar {
namespace {

// What a database said longer ago is not written to anybody.
constexpr std::chrono::hours kFresh{24};

std::string link_base(const WebConfig& web) {
  std::string base = web.external_url;
  if (base.empty() && !web.listen.empty()) base = "http://" + web.listen.front();
  while (base.ends_with('/')) base.pop_back();
  return base;
}

std::string contact_text(const std::string& contact) {
  constexpr std::string_view kMail = "mailto:";
  return contact.starts_with(kMail) ? contact.substr(kMail.size()) : contact;
}

// The software of an endpoint, by what any check heard there.
SoftwareGuess guess_at(const ResultKey& key, const Record* evidence, const Ledger& ledger) {
  if (evidence != nullptr) {
    SoftwareGuess found = guess_software(evidence->transcript);
    if (found.software != nullptr) return found;
  }
  for (const CheckInfo& check : catalogue()) {
    ResultKey other = key;
    other.check = check.name;
    const std::optional<Record> heard = ledger.latest(other);
    if (!heard) continue;
    SoftwareGuess found = guess_software(heard->transcript);
    if (found.software != nullptr) return found;
  }
  return {};
}

NoticeDoor door_of(Case exposure, const Ledger& ledger) {
  NoticeDoor door;
  const std::optional<Record> evidence = ledger.latest_not_closed(exposure.key);
  const std::optional<ResultState> state = ledger.result(exposure.key);
  door.answers = !state || (state->last_level != Verdict::unreachable && state->last_level != Verdict::unclear);
  door.ways = std::max<std::size_t>(1, exposure.variants.size());
  door.software = guess_at(exposure.key, evidence ? &*evidence : nullptr, ledger);
  if (evidence) {
    door.tls = evidence->tls;
    door.source = evidence->source_address;
    door.because = evidence->finding.because;
    door.transcript = evidence->transcript;
  }
  door.exposure = std::move(exposure);
  return door;
}

NoticeListing listing_of(const Listing& listing) {
  NoticeListing made;
  made.address = listing.subject.text;
  made.database = listing.zone;
  for (const DnsblCode& code : listing.codes) made.meanings += (made.meanings.empty() ? "" : ", ") + code.meaning;
  made.reason = listing.text.empty() ? made.meanings : listing.text;
  const ZoneInfo* known = find_zone(listing.zone);
  if (known != nullptr) made.delist = known->delisting_link(listing.subject.text);
  made.checked = listing.checked;
  return made;
}

void add_listings(NoticeFacts& facts, const ZonesView& zones) {
  std::set<std::string> believed;
  for (const ListingView& row : zones.listings) {
    if (row.target != facts.target || !row.listed) continue;
    believed.insert(row.zone);
    if (*row.listed && row.last) facts.listings.push_back(listing_of(*row.last));
  }
  facts.databases = believed.size();
  for (const ZoneStatus& zone : zones.zones) {
    if (!believed.contains(zone.name)) continue;
    for (const auto& [kind, health] : zone.kinds) {
      if (health.tested) facts.databases_tested = std::min(facts.databases_tested.value_or(*health.tested), *health.tested);
    }
  }
}

// Without an agent nobody knows whether a database passes its test today: what was believed lately is said with its date.
void add_kept(NoticeFacts& facts, const std::vector<Listing>& kept, const TargetConfig& target) {
  for (const Listing& listing : kept) {
    const bool ours =
        std::find(facts.addresses.begin(), facts.addresses.end(), listing.subject.text) != facts.addresses.end() ||
        listing.subject.text == target.place.host || listing.subject.text == target.place.mx_of;
    if (ours && listing.listed && facts.now - listing.checked < kFresh) facts.listings.push_back(listing_of(listing));
  }
}

void add_results(NoticeFacts& facts, const Ledger& ledger) {
  std::set<IpAddress> addresses;
  for (const ResultState& state : ledger.results_of(facts.target)) {
    if (state.last_probe == Time{}) continue;
    addresses.insert(state.key.address);
    if (facts.last_probe.value_or(Time{}) < state.last_probe) {
      facts.last_probe = state.last_probe;
      if (const std::optional<Record> record = ledger.latest(state.key)) facts.source = record->source_address;
    }
    const bool somebody = state.last_level != Verdict::unreachable && state.last_reason != Reason::nobody_listens;
    facts.answered = facts.answered || somebody;
    facts.refused = facts.refused || (somebody && state.level == Verdict::closed);
  }
  for (const IpAddress& address : addresses) facts.addresses.push_back(address.to_string());
}

}  // namespace

bool is_relay(std::string_view check) {
  const CheckInfo* info = find_check(check);
  return info != nullptr && info->protocol == "SMTP";
}

NoticeFacts notice_facts(const TargetConfig& target, const Ledger& ledger, const Config& config, const ZonesView* zones,
                         const std::vector<Listing>& kept, Time now) {
  NoticeFacts facts;
  facts.target = target.name;
  facts.place = place_text(target.place);
  facts.agent = config.agent.name;
  facts.contact = contact_text(config.agent.contact);
  facts.base = link_base(config.web);
  facts.now = now;
  facts.interval = config.agent.interval;
  add_results(facts, ledger);
  for (Case& exposure : ledger.cases()) {
    if (exposure.status != CaseStatus::open || exposure.key.target != target.name) continue;
    if (is_exempt(config, target.name, exposure.key.check, now)) continue;
    const Duration interval = config.interval(target, exposure.key.check);
    facts.interval = facts.doors.empty() ? interval : std::min(facts.interval, interval);
    facts.doors.push_back(door_of(std::move(exposure), ledger));
  }
  std::stable_sort(facts.doors.begin(), facts.doors.end(), [](const NoticeDoor& a, const NoticeDoor& b) {
    return std::tuple(b.exposure.level, a.exposure.first_seen, a.exposure.key) <
           std::tuple(a.exposure.level, b.exposure.first_seen, b.exposure.key);
  });
  if (zones != nullptr) {
    add_listings(facts, *zones);
  } else {
    add_kept(facts, kept, target);
  }
  return facts;
}

}  // namespace ajar
