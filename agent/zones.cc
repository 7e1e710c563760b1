#include "agent/zones.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <spdlog/spdlog.h>

#include "agent/loop.h"

namespace ajar {

// Shared with the questions under way.
struct Zones::State {
  Loop& loop;
  WallClock clock;
  std::shared_ptr<DnsblDns> given;  // instead of a resolver
  std::shared_ptr<DnsblDns> dns;
  DnsblConfig config;
  DnsblSubjects subjects;
  std::set<DnsblSubject> own;
  bool applied = false, pumping = false, paused = false;
  std::string resolvers;
  ZoneBook book;
  std::map<std::string, ZoneState> said;  // what the log knows
};

namespace {

// More specific first: a host or address before a network, a small network before a large one.
unsigned width_of(const TargetView& target) {
  if (!target.config.place.network) return 0;
  const Cidr& network = *target.config.place.network;
  return 1 + (network.first().is_v4() ? 32 : 128) - network.length();
}

void add_address(const IpAddress& address, const std::string& target, bool lookup_private, DnsblSubjects& subjects) {
  if (!lookup_private && !is_globally_routable(address)) return;
  const DnsblKind kind = address.is_v4() ? DnsblKind::ipv4 : DnsblKind::ipv6;
  subjects.owners.try_emplace(DnsblSubject{kind, address.to_string()}, target);
}

void add_domain(const std::string& domain, const std::string& target, DnsblSubjects& subjects) {
  if (!domain.empty() && is_dns_name(domain)) subjects.owners.try_emplace(DnsblSubject{DnsblKind::domain, domain}, target);
}

}  // namespace

// A zone that was healthy, or is untested, and is not healthy now; or the other way round.
void Zones::say(State& state, const std::string& zone) {
  const ZoneHealth health = state.book.health(zone);
  ZoneState& said = state.said.try_emplace(zone, ZoneState::untested).first->second;
  if (said == health.state || health.state == ZoneState::untested) return;
  const bool recovered = health.state == ZoneState::healthy;
  if (recovered && said != ZoneState::untested) spdlog::info("database {}: healthy again", zone);
  if (!recovered)
    spdlog::warn("database {}: {}: {}; what it says is not believed", zone, to_string(health.state), health.because);
  said = health.state;
}

DnsblSubjects dnsbl_subjects(const std::vector<TargetView>& targets, bool lookup_private) {
  DnsblSubjects subjects;
  std::vector<const TargetView*> order;
  for (const TargetView& target : targets) {
    if (target.config.dnsbl && !target.config.paused) order.push_back(&target);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return width_of(*a) < width_of(*b); });
  for (const TargetView* target : order) {
    const std::string& name = target->config.name;
    for (const std::string& text : target->addresses) {
      if (const auto address = IpAddress::parse(text)) {
        add_address(*address, name, lookup_private, subjects);
      } else if (const auto network = Cidr::parse(text)) {
        const std::uint64_t count = std::min(network->size(), kMaxDnsblNetwork);
        for (std::uint64_t i = 0; i < count; ++i) add_address(*network->at(i), name, lookup_private, subjects);
        subjects.left_out += network->size() - count;
      }
    }
    for (const std::string& domain : target->config.mail_domains) add_domain(domain, name, subjects);
    add_domain(target->config.place.mx_of, name, subjects);
    add_domain(target->config.place.host, name, subjects);
  }
  return subjects;
}

Zones::Zones(Loop& loop, WallClock clock, std::shared_ptr<DnsblDns> dns)
    : state_(std::make_shared<State>(
          State{loop, std::move(clock), std::move(dns), {}, {}, {}, {}, false, false, false, {}, {}, {}})) {}

Zones::~Zones() { state_->dns.reset(); }

void Zones::apply(const DnsblConfig& config, const std::vector<TargetView>& targets, const std::set<DnsblSubject>& own) {
  State& state = *state_;
  DnsblSubjects subjects = dnsbl_subjects(targets, config.lookup_private);
  if (state.applied && state.config == config && state.subjects.owners == subjects.owners && state.own == own) return;
  if (subjects.left_out > 0 && state.subjects.left_out != subjects.left_out) {
    spdlog::warn("databases are asked about the first {} addresses of a network; {} are left out", kMaxDnsblNetwork,
                 subjects.left_out);
  }
  if (!state.applied || state.config.resolvers != config.resolvers) {
    state.dns = state.given;
    if (!state.dns) {
      DnsblResolverOptions options;
      options.servers = config.resolvers;
      const auto resolver = std::make_shared<DnsblResolver>(state.loop, options);
      state.resolvers = resolver->servers();
      state.dns = resolver;
    }
  }
  state.applied = true;
  state.config = config;
  state.subjects = std::move(subjects);
  state.own = own;
  std::set<DnsblSubject> asked = own;
  for (const auto& [subject, target] : state.subjects.owners) asked.insert(subject);
  state.book.apply(config, asked, state.clock());
}

void Zones::seed(std::vector<Listing> listings) { state_->book.seed(std::move(listings)); }

std::set<ListingKey> Zones::take_changes() { return state_->book.take_changes(); }

void Zones::ask_now(const IpAddress& address) {
  const DnsblKind kind = address.is_v4() ? DnsblKind::ipv4 : DnsblKind::ipv6;
  state_->book.ask_now({kind, address.to_string()}, state_->clock());
}

const ZoneBook& Zones::book() const { return state_->book; }

void Zones::pump(bool paused) {
  state_->paused = paused;
  pump(state_);
}

void Zones::pump(const std::shared_ptr<State>& state) {
  if (state->pumping || state->paused || !state->dns) return;  // a question that ends at once comes back here
  state->pumping = true;
  while (!state->loop.shutting_down()) {
    std::optional<ZoneQuestion> question = state->book.next(state->clock());
    if (!question) break;
    start(ask(state, std::move(*question)));
  }
  state->pumping = false;
}

Task<void> Zones::ask(std::shared_ptr<State> state, ZoneQuestion question) {
  const std::shared_ptr<DnsblDns> dns = state->dns;
  const DnsblLookup lookup = co_await dns->ask(question.name, question.type);
  if (state->loop.shutting_down()) co_return;
  state->book.answered(question, lookup, state->clock());
  if (question.what != ZoneQuestion::What::listing && question.what != ZoneQuestion::What::text) say(*state, question.zone);
  pump(state);
}

// Made on the loop, of hundreds of thousands of listings: nothing is looked up and no row is moved.
ZonesView Zones::view() const {
  const State& state = *state_;
  ZonesView view;
  view.zones = state.book.zones();
  view.resolvers = state.resolvers;
  using Owner = std::pair<const DnsblSubject, std::string>;
  struct Row {
    const Owner* owner;
    std::size_t place;  // among the owners
  };
  std::vector<Row> rows;
  for (const Owner& owner : state.subjects.owners) rows.push_back({&owner, rows.size()});
  // What each zone knows, by the places of the owners. Both are by kind, then subject.
  struct Cell {
    std::optional<bool> listed;
    const Listing* last = nullptr;
  };
  std::vector<std::vector<Cell>> cells;
  for (const ZoneStatus& zone : view.zones) {
    std::vector<Cell>& column = cells.emplace_back(rows.size());
    std::size_t at = 0;
    state.book.each(zone.name, [&](const ZoneBook::Known& known) {
      while (at < rows.size() &&
             std::tie(rows[at].owner->first.kind, rows[at].owner->first.text) < std::tie(known.kind, known.subject))
        ++at;
      if (at < rows.size() && rows[at].owner->first.text == known.subject) column[at] = {known.listed, known.last};
    });
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.owner->second < b.owner->second; });
  view.listings.reserve(rows.size() * view.zones.size());
  for (const Row& row : rows) {
    const auto& [subject, target] = *row.owner;
    for (std::size_t i = 0; i < view.zones.size(); ++i) {
      const ZoneStatus& zone = view.zones[i];
      const auto kind = zone.kinds.find(subject.kind);
      if (kind == zone.kinds.end()) continue;
      const Cell& cell = cells[i][row.place];
      ListingView& made = view.listings.emplace_back();
      made.target = target;
      made.subject = subject;
      made.zone = zone.name;
      made.state = kind->second.state;
      made.listed = cell.listed;
      if (cell.last != nullptr) made.last = *cell.last;
    }
  }
  return view;
}

}  // namespace ajar
