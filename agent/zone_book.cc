#include "agent/zone_book.h"

#include <algorithm>

#include "checks/check.h"
#include "checks/network.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using What = ZoneQuestion::What;

constexpr Duration kTestInterval = minutes(30);  // of a healthy zone, at most
constexpr Duration kFirstPause = minutes(1);     // after a test that failed; doubled with each
constexpr Duration kLongestPause = minutes(30);
constexpr Duration kFirstRetry = seconds(30);  // of a question that got no answer
constexpr Duration kLongestTtl = hours(6);
constexpr Duration kConfirmDelay = seconds(10);  // how long something new waits for others, so that one test serves them all
constexpr std::size_t kMostInFlight = 64;        // questions to one zone
constexpr std::size_t kLongestText = 400;
constexpr unsigned kFailuresUntilUnknown = 4;  // questions in a row that got no answer, at least

Duration pause_after(Duration first, Duration most, unsigned failures) {
  Duration pause = first;
  for (unsigned i = 1; i < failures && pause < most; ++i) pause *= 2;
  return std::min(pause, most);
}

Duration retry_pause(Duration interval, unsigned failures) {
  return pause_after(std::min(kFirstRetry, interval), interval, failures);
}

bool is_test(What what) { return what == What::test_listed || what == What::test_unlisted || what == What::test_nobody; }

bool within(const IpAddress& address, std::initializer_list<const char*> networks) {
  return std::any_of(networks.begin(), networks.end(), [&](const char* text) { return Cidr::parse(text)->contains(address); });
}

std::string name_of(const ZoneConfig& zone, const DnsblSubject& subject) {
  if (subject.kind == DnsblKind::domain) return dnsbl_name(std::string_view(subject.text), zone.secret_zone());
  return dnsbl_name(IpAddress::parse(subject.text).value_or(IpAddress()), zone.secret_zone());
}

std::string result_word(const DnsblFinding& finding) {
  if (!finding.listed) return std::string(to_string(finding.state));
  return *finding.listed ? "listed" : "not_listed";
}

}  // namespace

bool is_globally_routable(const IpAddress& address) {
  // IANA's registries of special-purpose addresses (RFC 6890), and multicast. IPv6: only 2000::/3 is given out at all.
  if (address.is_v4()) {
    return !within(
        address, {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
                  "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"});
  }
  return within(address, {"2000::/3"}) && !within(address, {"2001:db8::/32", "2001:2::/48", "2001:10::/28", "3fff::/20"});
}

void ZoneBook::apply(const DnsblConfig& config, const std::set<DnsblSubject>& subjects, Time now) {
  std::map<std::string, Zone> zones;
  order_.clear();
  for (const ZoneConfig& written : config.zones) {
    order_.push_back(written.info.name);
    Zone& zone = zones[written.info.name];
    if (const auto old = zones_.find(written.info.name); old != zones_.end()) {
      zone = std::move(old->second);
      if (zone.config.info.rules != written.info.rules || zone.config.key != written.key) zone.kinds.clear();
    }
    zone.config = written;
    for (const DnsblKind kind : kDnsblKinds) {
      if (!written.info.asks(kind)) {
        zone.kinds.erase(kind);
        continue;
      }
      Kind& state = zone.kinds[kind];
      std::erase_if(state.entries, [&](const auto& entry) {
        if (subjects.contains({kind, entry.first})) return false;
        if (entry.second.known) changes_.insert({written.info.name, {kind, entry.first}});
        state.queue.erase({entry.second.due, entry.first});
        state.pending.erase(entry.first);
        return true;
      });
      for (const DnsblSubject& subject : subjects) {
        if (subject.kind != kind || state.entries.contains(subject.text)) continue;
        std::string name = name_of(written, subject);
        if (name.empty()) continue;  // a domain that is too long for this zone
        Entry& entry = state.entries[subject.text];
        entry.name = std::move(name);
        schedule(state, subject.text, entry, now);
        plant(zone, kind, state, subject.text, entry);
      }
      if (state.entries.empty()) zone.kinds.erase(kind);  // a zone that is asked nothing is not tested either
    }
  }
  zones_ = std::move(zones);
  turn_ = 0;
  ++version_;
}

void ZoneBook::seed(std::vector<Listing> listings) {
  for (Listing& listing : listings) {
    ListingKey key(listing.zone, listing.subject);
    seeds_.insert_or_assign(std::move(key), std::move(listing));
  }
  for (auto& [name, zone] : zones_) {
    for (auto& [kind, state] : zone.kinds) {
      for (auto& [subject, entry] : state.entries) plant(zone, kind, state, subject, entry);
    }
  }
  ++version_;
}

// What was known of an entry that is new.
void ZoneBook::plant(const Zone& zone, DnsblKind kind, Kind& state, const std::string& subject, Entry& entry) {
  const auto seed = seeds_.find({zone.config.info.name, {kind, subject}});
  if (seed == seeds_.end()) return;
  if (!entry.known && entry.scheduled) {
    schedule(state, subject, entry, std::max(entry.due, seed->second.checked + zone.config.interval));
    entry.text_asked = !seed->second.text.empty();
    entry.known = std::move(seed->second);
  }
  seeds_.erase(seed);
}

void ZoneBook::test_now(Time now) {
  for (auto& [name, zone] : zones_) {
    for (auto& [kind, state] : zone.kinds) state.next_test = now;
  }
}

void ZoneBook::ask_now(const DnsblSubject& subject, Time now) {
  for (auto& [name, zone] : zones_) {
    const auto kind = zone.kinds.find(subject.kind);
    if (kind == zone.kinds.end()) continue;
    const auto entry = kind->second.entries.find(subject.text);
    if (entry == kind->second.entries.end() || !entry->second.scheduled || entry->second.pending) continue;
    if (entry->second.due > now) schedule(kind->second, entry->first, entry->second, now);
  }
}

void ZoneBook::schedule(Kind& state, const std::string& subject, Entry& entry, Time due) {
  if (entry.scheduled) state.queue.erase({entry.due, subject});
  entry.due = due;
  entry.scheduled = true;
  state.queue.insert({due, subject});
}

// The token bucket of a second, and the budget of a day.
bool ZoneBook::may_ask(Zone& zone, Time now) {
  if (now - zone.day >= hours(24)) {
    zone.day = now;
    zone.asked_today = 0;
  }
  const double rate = zone.config.info.per_second;
  const double passed = std::max(0.0, std::chrono::duration<double>(now - zone.filled).count());
  zone.tokens = std::min(std::max(rate, 3.0), zone.tokens + passed * rate);  // a test takes three
  zone.filled = now;
  return zone.in_flight < kMostInFlight && zone.tokens >= 1 && zone.asked_today < zone.config.info.per_day;
}

std::optional<ZoneQuestion> ZoneBook::next(Time now) {
  for (std::size_t i = 0; i < order_.size(); ++i) {
    Zone& zone = zones_.at(order_[turn_ % order_.size()]);
    ++turn_;
    if (!may_ask(zone, now)) continue;
    for (auto& [kind, state] : zone.kinds) {
      if (std::optional<ZoneQuestion> question = next_of(zone, kind, state, now)) return question;
    }
  }
  return std::nullopt;
}

ZoneQuestion ZoneBook::question(Zone& zone, DnsblKind kind, What what, const std::string& subject, std::string name) {
  zone.tokens -= 1;
  ++zone.asked_today;
  ++zone.in_flight;
  ++version_;
  const std::uint64_t id = ++last_id_;
  open_.insert(id);
  return {id, zone.config.info.name, kind, what, subject, std::move(name), what == What::text ? DnsType::txt : DnsType::a};
}

std::optional<ZoneQuestion> ZoneBook::next_of(Zone& zone, DnsblKind kind, Kind& state, Time now) {
  if (!state.begun && state.next_test <= now) {
    state.begun = now;
    state.before = last_id_;
    const bool points = zone.config.info.has_test_points(kind);
    state.asked = {!points, !points, false};
    state.replies = {};
  }
  if (state.begun) {
    const DnsblTestNames names = dnsbl_test_names(kind, zone.config.secret_zone());
    const std::array<const std::string*, 3> all = {&names.listed, &names.unlisted, &names.nobody};
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (state.asked[i]) continue;
      state.asked[i] = true;
      return question(zone, kind, static_cast<What>(i), "", *all[i]);
    }
  }
  if (state.health.state != ZoneState::healthy) return std::nullopt;
  while (!state.texts.empty()) {
    const std::string subject = state.texts.front();
    state.texts.pop_front();
    const auto entry = state.entries.find(subject);
    if (entry != state.entries.end()) return question(zone, kind, What::text, subject, entry->second.name);
  }
  if (state.queue.empty() || state.queue.begin()->first > now) return std::nullopt;
  const std::string subject = state.queue.begin()->second;
  Entry& entry = state.entries.at(subject);
  state.queue.erase(state.queue.begin());
  entry.scheduled = false;
  entry.asking = true;
  ++state.in_flight;
  return question(zone, kind, What::listing, subject, entry.name);
}

void ZoneBook::answered(const ZoneQuestion& question, const DnsblLookup& lookup, Time now) {
  if (open_.erase(question.id) == 0) return;
  const auto found = zones_.find(question.zone);
  if (found == zones_.end()) return;
  Zone& zone = found->second;
  if (zone.in_flight > 0) --zone.in_flight;
  ++version_;
  const DnsblFinding finding = judge_dnsbl(lookup.reply, zone.config.info.rules);
  if (question.what != What::text) ++zone.answers[result_word(finding)];
  const auto kind = zone.kinds.find(question.kind);
  if (kind == zone.kinds.end()) return;
  if (is_test(question.what)) return take_test(zone, question.kind, kind->second, question, lookup, now);
  const auto entry = kind->second.entries.find(question.subject);
  if (entry == kind->second.entries.end()) return;
  if (question.what == What::listing) return take_listing(zone, question.kind, kind->second, question, lookup, now);
  std::string text;
  for (const std::string& one : lookup.texts) text += (text.empty() ? "" : " ") + one;
  if (!entry->second.known) return;
  entry->second.known->text = escape(text.substr(0, kLongestText));
  changes_.insert({question.zone, {question.kind, question.subject}});
}

void ZoneBook::take_test(Zone& zone, DnsblKind kind, Kind& state, const ZoneQuestion& question, const DnsblLookup& lookup,
                         Time now) {
  if (!state.begun || question.id <= state.before) return;
  state.replies[static_cast<std::size_t>(question.what)] = lookup.reply;
  const bool points = zone.config.info.has_test_points(kind);
  if (!state.replies[2] || (points && (!state.replies[0] || !state.replies[1]))) return;
  const Time begun = *state.begun;
  state.begun.reset();
  const ZoneHealth health =
      judge_zone({state.replies[0].value_or(DnsblReply()), state.replies[1].value_or(DnsblReply()), *state.replies[2]},
                 zone.config.info.rules, points);
  const bool healthy = health.state == ZoneState::healthy;
  state.failures = healthy ? 0 : state.failures + 1;
  const Duration interval = zone.config.interval;
  const Duration pause =
      healthy ? std::min(kTestInterval, interval)
              : pause_after(std::min(kFirstPause, interval), std::min(kLongestPause, interval * 10), state.failures);
  state.next_test = now + pause;
  state.health = {health.state, health.because, now, state.next_test};
  const std::set<std::string> pending = state.pending;
  for (const std::string& subject : pending) {
    Entry& entry = state.entries.at(subject);
    std::optional<bool> known;
    if (entry.known) known = entry.known->listed;
    const Time heard = entry.pending->heard;
    const ListingStep step = next_step(known, entry.pending->finding, health.state, begun >= heard);
    if (step == ListingStep::confirm) continue;
    if (step == ListingStep::publish) {
      publish(zone, kind, state, subject, entry, heard);
    } else {
      schedule(state, subject, entry, now);  // asked again as soon as the zone works
    }
    entry.pending.reset();
    state.pending.erase(subject);
  }
  if (healthy && !state.pending.empty()) want_test(zone, state, now);
}

void ZoneBook::take_listing(Zone& zone, DnsblKind kind, Kind& state, const ZoneQuestion& question, const DnsblLookup& lookup,
                            Time now) {
  Entry& entry = state.entries.at(question.subject);
  if (!entry.asking) return;
  entry.asking = false;
  if (state.in_flight > 0) --state.in_flight;
  DnsblFinding finding = judge_dnsbl(lookup.reply, zone.config.info.rules);
  const Duration interval = zone.config.interval;
  if (!finding.listed) {
    entry.trouble = finding.state;
    ++entry.failures;
    schedule(state, question.subject, entry, now + retry_pause(interval, entry.failures));
    // Silence about one name is a lost packet; anything else is news about the zone.
    if (finding.state != ZoneState::timeout || entry.failures > 1) want_test(zone, state, now);
    return;
  }
  entry.failures = 0;
  entry.trouble.reset();
  const Duration ttl = lookup.ttl.value_or(seconds(0));
  schedule(state, question.subject, entry, now + std::max(interval, std::min(ttl, kLongestTtl)));
  std::optional<bool> known;
  if (entry.known) known = entry.known->listed;
  const ListingStep step = next_step(known, finding, state.health.state, false);
  entry.pending = Pending{std::move(finding), now};
  if (step == ListingStep::publish) {
    publish(zone, kind, state, question.subject, entry, now);
    entry.pending.reset();
    state.pending.erase(question.subject);
  } else {
    state.pending.insert(question.subject);
  }
  if (!state.pending.empty()) want_test(zone, state, now);
}

// A test that begins after what is pending was heard: at once when nothing else is under way, else a little later, for more to
// be confirmed by it.
void ZoneBook::want_test(const Zone& zone, Kind& state, Time now) {
  // A test under way looks again at its end; one that failed has its pause.
  if (state.begun || state.health.state != ZoneState::healthy) return;
  const bool more = state.in_flight > 0 || (!state.queue.empty() && state.queue.begin()->first <= now);
  const Duration delay = more ? std::min(kConfirmDelay, zone.config.interval) : milliseconds(1);
  state.next_test = std::min(state.next_test, now + delay);
}

void ZoneBook::publish(Zone& zone, DnsblKind kind, Kind& state, const std::string& subject, Entry& entry, Time heard) {
  const DnsblFinding& finding = entry.pending->finding;
  const bool same = entry.known && entry.known->listed == *finding.listed;
  const bool same_codes = same && entry.known->codes == finding.codes;
  Listing listing;
  listing.zone = zone.config.info.name;
  listing.subject = {kind, subject};
  listing.listed = *finding.listed;
  listing.codes = finding.codes;
  listing.tier = finding.tier;
  listing.since = same ? entry.known->since : heard;
  listing.checked = heard;
  if (same_codes) listing.text = entry.known->text;
  entry.known = std::move(listing);
  changes_.insert({zone.config.info.name, {kind, subject}});
  // The reason is asked for once for a listing, and again when it is another one.
  if (!*finding.listed) entry.text_asked = false;
  if (*finding.listed && (!entry.text_asked || !same_codes)) {
    entry.text_asked = true;
    state.texts.push_back(subject);
  }
}

const ZoneBook::Kind* ZoneBook::find_kind(const std::string& zone, DnsblKind kind) const {
  const auto found = zones_.find(zone);
  if (found == zones_.end()) return nullptr;
  const auto state = found->second.kinds.find(kind);
  return state == found->second.kinds.end() ? nullptr : &state->second;
}

bool ZoneBook::is_healthy(const std::string& zone, DnsblKind kind) const {
  const Kind* state = find_kind(zone, kind);
  return state != nullptr && state->health.state == ZoneState::healthy;
}

ZoneHealth ZoneBook::health(const std::string& zone) const {
  // Ill before untested before healthy.
  const auto worry = [](ZoneState of) { return of == ZoneState::healthy ? 0 : of == ZoneState::untested ? 1 : 2; };
  ZoneHealth worst;
  bool first = true;
  const auto found = zones_.find(zone);
  if (found == zones_.end()) return worst;
  for (const auto& [kind, state] : found->second.kinds) {
    if (first || worry(state.health.state) > worry(worst.state)) worst = {state.health.state, state.health.because};
    first = false;
  }
  return worst;
}

const Listing* ZoneBook::find(const std::string& zone, const DnsblSubject& subject) const {
  const Kind* state = find_kind(zone, subject.kind);
  if (state == nullptr) return nullptr;
  const auto entry = state->entries.find(subject.text);
  return entry == state->entries.end() || !entry->second.known ? nullptr : &*entry->second.known;
}

// A subject that gets no answers is not known any more once it has been asked for about an interval in vain.
bool ZoneBook::is_known(const Zone& zone, const Kind& state, const Entry& entry) {
  if (!entry.known || state.health.state != ZoneState::healthy) return false;
  return entry.failures < kFailuresUntilUnknown || retry_pause(zone.config.interval, entry.failures) < zone.config.interval;
}

std::optional<bool> ZoneBook::listed(const std::string& zone, const DnsblSubject& subject) const {
  const Kind* state = find_kind(zone, subject.kind);
  if (state == nullptr) return std::nullopt;
  const auto entry = state->entries.find(subject.text);
  if (entry == state->entries.end() || !is_known(zones_.at(zone), *state, entry->second)) return std::nullopt;
  return entry->second.known->listed;
}

void ZoneBook::each(const std::string& zone, const std::function<void(const Known&)>& visit) const {
  const auto found = zones_.find(zone);
  if (found == zones_.end()) return;
  for (const auto& [kind, state] : found->second.kinds) {
    for (const auto& [subject, entry] : state.entries) {
      Known known{kind, subject, std::nullopt, nullptr};
      if (entry.known) known.last = &*entry.known;
      if (entry.known && is_known(found->second, state, entry)) known.listed = entry.known->listed;
      visit(known);
    }
  }
}

std::vector<Listing> ZoneBook::listings() const {
  std::vector<Listing> all;
  for (const auto& [name, zone] : zones_) {
    for (const auto& [kind, state] : zone.kinds) {
      for (const auto& [subject, entry] : state.entries) {
        if (entry.known) all.push_back(*entry.known);
      }
    }
  }
  return all;
}

std::vector<ZoneStatus> ZoneBook::zones() const {
  std::vector<ZoneStatus> all;
  for (const std::string& name : order_) {
    const Zone& zone = zones_.at(name);
    ZoneStatus status;
    status.name = name;
    status.info = zone.config.info;
    status.answers = zone.answers;
    status.asked_today = zone.asked_today;
    status.left_today = zone.config.info.per_day - std::min<std::uint64_t>(zone.asked_today, zone.config.info.per_day);
    status.state = health(name).state;
    for (const auto& [kind, state] : zone.kinds) {
      status.kinds[kind] = state.health;
      status.subjects += state.entries.size();
      for (const auto& [subject, entry] : state.entries) {
        const bool known = is_known(zone, state, entry);
        status.listed += known && entry.known->listed ? 1 : 0;
        status.unknown += known ? 0 : 1;
      }
    }
    all.push_back(std::move(status));
  }
  return all;
}

bool ZoneBook::settled() const {
  for (const auto& [name, zone] : zones_) {
    for (const auto& [kind, state] : zone.kinds) {
      if (state.begun || state.health.state == ZoneState::untested) return false;
      if (state.health.state != ZoneState::healthy) continue;
      if (!state.texts.empty() || !state.pending.empty() || zone.in_flight > 0) return false;
      for (const auto& [subject, entry] : state.entries) {
        if (!entry.known && !entry.trouble) return false;
      }
    }
  }
  return true;
}

}  // namespace ajar
