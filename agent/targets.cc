#include "agent/targets.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace ajar {

namespace {

// One question that a target asks of each of its addresses.
struct Ask {
  Port port;
  std::string check;
  Duration interval{};
  friend bool operator==(const Ask&, const Ask&) = default;
};

// The part of a ResultKey that is left when target and address are known.
struct Slot {
  std::uint16_t port = 0;
  Transport transport = Transport::tcp;
  std::string_view check;
  friend auto operator<=>(const Slot&, const Slot&) = default;
};

Slot slot_of(const Ask& ask) { return {ask.port.number, ask.port.transport, ask.check}; }
Slot slot_of(const ResultKey& key) { return {key.port, key.transport, key.check}; }

// In the order of slots, so that find_ask() may search by halves.
std::vector<Ask> asks_of(const Config& config, const TargetConfig& target) {
  std::vector<Ask> asks;
  for (const std::string& check : target.checks) {
    for (const Port& port : config.ports(target, check)) asks.push_back({port, check, config.interval(target, check)});
  }
  const auto less = [](const Ask& a, const Ask& b) { return slot_of(a) < slot_of(b); };
  const auto same = [](const Ask& a, const Ask& b) { return slot_of(a) == slot_of(b); };
  std::stable_sort(asks.begin(), asks.end(), less);
  asks.erase(std::unique(asks.begin(), asks.end(), same), asks.end());
  return asks;
}

bool add_once(std::vector<IpAddress>& addresses, const IpAddress& address) {
  if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) return false;
  addresses.push_back(address);
  return true;
}

void append_note(std::string& note, const std::string& more) {
  if (more.empty()) return;
  if (!note.empty()) note += "; ";
  note += more;
}

}  // namespace

// What is known of one host name: its last addresses, by family.
struct Targets::Name {
  std::vector<IpAddress> v4, v6;
  bool empty() const { return v4.empty() && v6.empty(); }
};

// What the DNS said of one target.
struct Targets::Resolution {
  bool hosts_known = false;                                        // false: the domain's exchangers could not be asked for
  std::vector<std::string> hosts;                                  // by preference; none for a null MX
  std::map<std::string, std::pair<DnsAnswer, DnsAnswer>> answers;  // by host: A, AAAA
  std::string problem;
  std::chrono::seconds ttl = kLongest;
};

// What a target owns. In the totals, an endpoint that several targets ask belongs to the first of its address.
struct Targets::Counts {
  std::uint64_t endpoints = 0, in_total = 0;
  std::map<std::string, std::size_t> by_check;
};

struct Targets::Declared {
  static constexpr std::uint64_t kFound = UINT64_MAX;
  TargetConfig config;
  std::uint64_t order = kFound;  // in the configuration
  std::vector<Ask> asks;
  // Of address, host and mx_of; a network's are counted from its first.
  Addresses addresses;
  Addresses refused;
  std::uint64_t network_refused = 0;
  // Of a swept network: where its results are.
  bool swept = false;
  std::set<Door> listening;
  // Of host and mx_of.
  std::vector<std::string> hosts;
  std::map<std::string, Name> names;
  std::string problem;
  std::optional<Time> refresh_at;  // nullopt: no name, or being resolved
  bool resolving = false;
  bool answered = false;
  std::string note;
  mutable std::optional<Counts> counts;

  bool found() const { return order == kFound; }
  bool goes_before(const Declared& other) const {
    return order != other.order ? order < other.order : config.name < other.config.name;
  }
  bool named() const { return !config.place.host.empty() || !config.place.mx_of.empty(); }
  const std::string& host() const { return config.place.host.empty() ? config.place.mx_of : config.place.host; }
  const Ask* find_ask(const Slot& slot) const {
    const auto place =
        std::lower_bound(asks.begin(), asks.end(), slot, [](const Ask& a, const Slot& b) { return slot_of(a) < b; });
    return place != asks.end() && slot_of(*place) == slot ? &*place : nullptr;
  }
  // Whether a question that it owns is a result.
  bool has(const IpAddress& address, const Slot& slot) const {
    return !swept || listening.contains({address, slot.port, slot.transport});
  }
  // Whether it asks anything there, be it owned or not.
  bool asks_at(const Door& door) const {
    const std::optional<std::uint64_t> index =
        config.place.network ? config.place.network->index_of(door.address) : std::nullopt;
    return index && *index < kMaxNetwork &&
           std::any_of(
               asks.begin(), asks.end(),
               [&](const Ask& ask) { return ask.port.number == door.port && ask.port.transport == door.transport; });
  }
  Planned planned(const IpAddress& address, const Ask& ask) const {
    return {{config.name, address, ask.port.number, ask.port.transport, ask.check}, ask.interval, config.paused};
  }
};

// One configuration with what is known of its names, and the index that says who owns what.
class Targets::Model {
 public:
  explicit Model(const Config& from) : config(from), scope(from.scope) {}

  // Fills the target's addresses from its place and names, by the scope.
  void collect(Declared& target) const;
  void insert(std::unique_ptr<Declared> target);
  void erase(Declared& target);
  void index(Declared& target, const IpAddress& address);
  void unindex(const Declared& target, const IpAddress& address);
  void schedule(Declared& target, std::optional<Time> when);

  Declared* find(const std::string& name) const {
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
  }
  // The targets that hold the address, the most specific first; stops when `visit` returns false.
  template <class Visit>
  void holders(const IpAddress& address, Visit visit) const;
  using Holders = std::vector<const Declared*>;
  void holders(const IpAddress& address, Holders& found) const;
  static const Declared* owner(const Holders& holders, const Slot& slot);
  const Declared* owner(const IpAddress& address, const Slot& slot) const;
  template <class Visit>
  bool each_address(const Declared& target, Visit visit) const;
  // Every result that the target owns.
  template <class Visit>
  bool each_owned(const Declared& target, Visit visit) const;
  std::vector<Planned> owned_at(const IpAddress& address) const;
  // Takes over where something listens, for whichever swept target asks there now.
  void carry(const std::set<Door>& doors);
  bool overlaps_another(const Cidr& network) const;
  // The addresses of the targets that are no networks, within the first kMaxNetwork of this one.
  template <class Visit>
  bool each_held_within(const Cidr& network, Visit visit) const;
  std::optional<IpAddress> any_address(bool v4) const;
  std::vector<Cidr> places(const Declared& target) const;

  Config config;
  Scope scope;
  std::vector<std::unique_ptr<Declared>> targets;  // in their order
  std::map<std::string, Declared*> by_name;
  std::set<std::pair<Time, Declared*>> due;  // resolutions

 private:
  std::vector<std::unique_ptr<Declared>>::iterator place_of(const Declared& target) {
    return std::lower_bound(targets.begin(), targets.end(), target,
                            [](const std::unique_ptr<Declared>& a, const Declared& b) { return a->goes_before(b); });
  }

  std::map<IpAddress, std::vector<Declared*>> by_address;
  // By family and prefix length, the longest first; each in the order of the configuration.
  std::map<std::pair<bool, unsigned>, std::map<Cidr, std::vector<Declared*>>, std::greater<>> by_network;
};

void Targets::Model::collect(Declared& target) const {
  target.addresses.clear();
  target.refused.clear();
  target.network_refused = 0;
  const auto take = [&](const IpAddress& address, const std::string& host) {
    if (scope.allows(address)) {
      target.addresses.try_emplace(address, host);
    } else {
      target.refused.try_emplace(address, host);
    }
  };
  const TargetPlace& place = target.config.place;
  if (place.address) take(*place.address, "");
  for (const std::string& host : target.hosts) {
    const Name& name = target.names[host];
    for (const IpAddress& address : name.v4) take(address, host);
    for (const IpAddress& address : name.v6) take(address, host);
  }
  if (!place.network || scope.allows_all(*place.network)) return;
  for (std::uint64_t i = 0; i < std::min(place.network->size(), kMaxNetwork); ++i) {
    const IpAddress address = *place.network->at(i);
    if (scope.allows(address)) continue;
    ++target.network_refused;
    if (target.refused.empty()) target.refused.try_emplace(address, "");
  }
}

void Targets::Model::insert(std::unique_ptr<Declared> target) {
  Declared& added = *target;
  by_name.try_emplace(added.config.name, &added);
  targets.insert(place_of(added), std::move(target));
  if (const auto& network = added.config.place.network) {
    by_network[{network->first().is_v4(), network->length()}][*network].push_back(&added);
  }
  for (const auto& [address, host] : added.addresses) index(added, address);
  if (added.refresh_at) due.insert({*added.refresh_at, &added});
}

void Targets::Model::erase(Declared& target) {
  for (const auto& [address, host] : target.addresses) unindex(target, address);
  schedule(target, std::nullopt);
  by_name.erase(target.config.name);
  targets.erase(place_of(target));
}

void Targets::Model::index(Declared& target, const IpAddress& address) {
  std::vector<Declared*>& holders = by_address[address];
  const auto place = std::lower_bound(holders.begin(), holders.end(), &target,
                                      [](const Declared* a, const Declared* b) { return a->goes_before(*b); });
  holders.insert(place, &target);
}

void Targets::Model::unindex(const Declared& target, const IpAddress& address) {
  const auto found = by_address.find(address);
  if (found == by_address.end()) return;
  std::erase(found->second, &target);
  if (found->second.empty()) by_address.erase(found);
}

void Targets::Model::schedule(Declared& target, std::optional<Time> when) {
  if (target.refresh_at) due.erase({*target.refresh_at, &target});
  target.refresh_at = when;
  if (when) due.insert({*when, &target});
}

template <class Visit>
void Targets::Model::holders(const IpAddress& address, Visit visit) const {
  if (const auto found = by_address.find(address); found != by_address.end()) {
    for (const Declared* target : found->second) {
      if (!visit(*target)) return;
    }
  }
  if (by_network.empty() || !scope.allows(address)) return;
  for (const auto& [kind, networks] : by_network) {
    if (kind.first != address.is_v4()) continue;
    const auto found = networks.find(Cidr(address, kind.second));
    if (found == networks.end()) continue;
    for (const Declared* target : found->second) {
      if (!visit(*target)) return;
    }
  }
}

void Targets::Model::holders(const IpAddress& address, Holders& found) const {
  found.clear();
  holders(address, [&](const Declared& target) {
    found.push_back(&target);
    return true;
  });
}

const Targets::Declared* Targets::Model::owner(const Holders& holders, const Slot& slot) {
  const auto found =
      std::find_if(holders.begin(), holders.end(), [&](const Declared* target) { return target->find_ask(slot) != nullptr; });
  return found == holders.end() ? nullptr : *found;
}

const Targets::Declared* Targets::Model::owner(const IpAddress& address, const Slot& slot) const {
  Holders found;
  holders(address, found);
  return owner(found, slot);
}

template <class Visit>
bool Targets::Model::each_address(const Declared& target, Visit visit) const {
  for (const auto& [address, host] : target.addresses) {
    if (!visit(address)) return false;
  }
  const auto& network = target.config.place.network;
  if (!network) return true;
  const std::uint64_t count = std::min(network->size(), kMaxNetwork);
  for (std::uint64_t i = 0; i < count; ++i) {
    const IpAddress address = *network->at(i);
    if (scope.allows(address) && !visit(address)) return false;
  }
  return true;
}

template <class Visit>
bool Targets::Model::each_owned(const Declared& target, Visit visit) const {
  Holders found;
  if (target.swept) {
    return std::all_of(target.listening.begin(), target.listening.end(), [&](const Door& door) {
      holders(door.address, found);
      return std::all_of(target.asks.begin(), target.asks.end(), [&](const Ask& ask) {
        const bool here = ask.port.number == door.port && ask.port.transport == door.transport;
        return !here || owner(found, slot_of(ask)) != &target || visit(door.address, ask);
      });
    });
  }
  return each_address(target, [&](const IpAddress& address) {
    holders(address, found);
    for (const Ask& ask : target.asks) {
      // The first of the holders needs no search: it owns all that it asks.
      const bool owned = found.front() == &target || owner(found, slot_of(ask)) == &target;
      if (owned && !visit(address, ask)) return false;
    }
    return true;
  });
}

std::vector<Planned> Targets::Model::owned_at(const IpAddress& address) const {
  std::vector<Planned> owned;
  Holders found;
  holders(address, found);
  for (const Declared* target : found) {
    for (const Ask& ask : target->asks) {
      if (owner(found, slot_of(ask)) == target && target->has(address, slot_of(ask)))
        owned.push_back(target->planned(address, ask));
    }
  }
  return owned;
}

void Targets::Model::carry(const std::set<Door>& doors) {
  for (const Door& door : doors) {
    if (!scope.allows(door.address)) continue;
    for (const auto& [kind, networks] : by_network) {
      if (kind.first != door.address.is_v4()) continue;
      const auto found = networks.find(Cidr(door.address, kind.second));
      if (found == networks.end()) continue;
      for (Declared* target : found->second) {
        if (target->swept && target->asks_at(door)) target->listening.insert(door);
      }
    }
  }
}

// Whether any other network target shares an address with this one; the same twice is one that does.
bool Targets::Model::overlaps_another(const Cidr& network) const {
  std::size_t sharing = 0;
  for (const auto& [kind, networks] : by_network) {
    if (kind.first != network.first().is_v4()) continue;
    if (kind.second <= network.length()) {
      const auto around = networks.find(Cidr(network.first(), kind.second));
      if (around != networks.end()) sharing += around->second.size();
    } else {
      const auto inside = networks.lower_bound(Cidr(network.first(), kind.second));
      if (inside != networks.end() && network.contains(inside->first)) return true;
    }
    if (sharing > 1) return true;
  }
  return false;
}

template <class Visit>
bool Targets::Model::each_held_within(const Cidr& network, Visit visit) const {
  for (auto entry = by_address.lower_bound(network.first()); entry != by_address.end(); ++entry) {
    const std::optional<std::uint64_t> index = network.index_of(entry->first);
    if (!index || *index >= kMaxNetwork) break;
    if (!visit(entry->first)) return false;
  }
  return true;
}

std::optional<IpAddress> Targets::Model::any_address(bool v4) const {
  if (!by_address.empty()) {
    // IPv6 before IPv4.
    const IpAddress& edge = v4 ? by_address.rbegin()->first : by_address.begin()->first;
    if (edge.is_v4() == v4) return edge;
  }
  for (const auto& [kind, networks] : by_network) {
    if (kind.first != v4) continue;
    for (const auto& [network, holders] : networks) {
      std::optional<IpAddress> found;
      each_address(*holders.front(), [&](const IpAddress& address) {
        found = address;
        return false;
      });
      if (found) return found;
    }
  }
  return std::nullopt;
}

std::vector<Cidr> Targets::Model::places(const Declared& target) const {
  std::vector<Cidr> places;
  if (target.config.place.network) places.push_back(*target.config.place.network);
  for (const auto& [address, host] : target.addresses) places.emplace_back(address, address.is_v4() ? 32U : 128U);
  return places;
}

Targets::Targets(Dns& dns, WallClock now, TargetEvents events, Networks networks)
    : dns_(dns),
      now_(std::move(now)),
      events_(std::move(events)),
      networks_(networks),
      alive_(std::make_shared<bool>(true)),
      model_(std::make_unique<Model>(Config{})) {}

Targets::~Targets() { *alive_ = false; }

const Scope& Targets::scope() const { return model_->scope; }
const Config& Targets::config() const { return model_->config; }
std::size_t Targets::size() const { return model_->targets.size(); }
const TargetConfig* Targets::find(const std::string& name) const {
  const Declared* const target = model_->find(name);
  return target == nullptr ? nullptr : &target->config;
}

// ---- a configuration, and the difference to the one before ----

namespace {

// Whether the targets that both have stand in the same order: it decides who owns what they share.
template <class Old, class New>
bool same_order(const Old& old, const New& now) {
  std::vector<std::string> a, b;
  for (const auto& target : old.targets) {
    if (now.find(target->config.name) != nullptr) a.push_back(target->config.name);
  }
  for (const auto& target : now.targets) {
    if (old.find(target->config.name) != nullptr) b.push_back(target->config.name);
  }
  return a == b;
}

// Networks, to ask whether one of them shares an address with another.
class Places {
 public:
  void add(const Cidr& place) {
    places_.insert(place);
    lengths_.insert(place.length());
  }
  bool share(const Cidr& mine) const {
    const auto next = places_.lower_bound(mine);  // by first address, then length
    if (next != places_.end() && mine.contains(next->first())) return true;
    return std::any_of(lengths_.begin(), lengths_.end(), [&](unsigned length) {
      return length <= mine.length() && places_.contains(Cidr(mine.first(), length));
    });
  }

 private:
  std::set<Cidr> places_;
  std::set<unsigned> lengths_;
};

// The targets of either model whose results may differ between them: those that changed, and those that share an address with
// one that did.
template <class Model>
std::set<std::string> touched(const Model& old, const Model& now) {
  const bool all = old.scope.networks() != now.scope.networks() || !same_order(old, now);
  std::set<std::string> names;
  Places places;
  const auto look = [&](const Model& here, const Model& there) {
    for (const auto& target : here.targets) {
      const auto* other = there.find(target->config.name);
      const bool same = other != nullptr && other->config.place == target->config.place && other->asks == target->asks &&
                        other->config.paused == target->config.paused && other->addresses == target->addresses;
      if (same && !all) continue;
      names.insert(target->config.name);
      for (const Cidr& place : here.places(*target)) places.add(place);
    }
  };
  look(old, now);
  look(now, old);
  for (const auto& target : now.targets) {
    if (names.contains(target->config.name)) continue;
    const std::vector<Cidr> own = now.places(*target);
    const bool shares = std::any_of(own.begin(), own.end(), [&](const Cidr& mine) { return places.share(mine); });
    if (shares) names.insert(target->config.name);
  }
  return names;
}

}  // namespace

// Owners of results in the other model, remembering the address: it is asked for every question of one address after the other.
class Targets::OtherSide {
 public:
  explicit OtherSide(const Model& model) : model_(model) {}
  const Declared* owner(const IpAddress& address, const Slot& slot) {
    if (!address_ || *address_ != address) model_.holders(address, holders_);
    address_ = address;
    const Declared* owner = Model::owner(holders_, slot);
    return owner != nullptr && owner->has(address, slot) ? owner : nullptr;
  }

 private:
  const Model& model_;
  std::optional<IpAddress> address_;
  Model::Holders holders_;
};

void Targets::apply(const Config& config) {
  auto next = std::make_unique<Model>(config);
  const auto take_over = [&](const TargetConfig& written, std::uint64_t order) {
    if (next->find(written.name) != nullptr) return;  // found, and declared meanwhile
    std::unique_ptr<Declared> target = prepare(written, model_->find(written.name));
    target->order = order;
    target->asks = asks_of(config, written);
    next->collect(*target);
    next->insert(std::move(target));
  };
  std::uint64_t order = 0;
  for (const TargetConfig& written : config.targets) take_over(written, order++);
  for (const auto& target : model_->targets) {
    if (target->found()) take_over(target->config, Declared::kFound);
  }
  for (const auto& target : model_->targets) next->carry(target->listening);
  const std::unique_ptr<Model> old = std::exchange(model_, std::move(next));
  const std::set<std::string> names = touched(*old, *model_);
  OtherSide after(*model_), before(*old);
  for (const auto& target : old->targets) {
    if (!names.contains(target->config.name)) continue;
    old->each_owned(*target, [&](const IpAddress& address, const Ask& ask) {
      const Declared* owner = after.owner(address, slot_of(ask));
      if (owner == nullptr || owner->config.name != target->config.name) events_.retired(target->planned(address, ask).key);
      return true;
    });
  }
  for (const auto& target : model_->targets) {
    if (!names.contains(target->config.name)) continue;
    model_->each_owned(*target, [&](const IpAddress& address, const Ask& ask) {
      const Declared* owner = before.owner(address, slot_of(ask));
      const bool same = owner != nullptr && owner->config.name == target->config.name &&
                        owner->find_ask(slot_of(ask))->interval == ask.interval &&
                        owner->config.paused == target->config.paused;
      if (!same) events_.planned(target->planned(address, ask));
      return true;
    });
  }
  const Addresses none;
  for (const auto& target : model_->targets) {
    const Declared* was = old->find(target->config.name);
    const bool same = was != nullptr && was->config.place == target->config.place;
    report(*target, same ? was->refused : none);
  }
}

// With what is known of its names, where its place is the same. Its questions are left to the caller.
std::unique_ptr<Targets::Declared> Targets::prepare(const TargetConfig& written, const Declared* old) const {
  auto target = std::make_unique<Declared>();
  if (old != nullptr && old->config.place == written.place) *target = *old;
  target->config = written;
  target->swept = written.place.network && networks_ == Networks::swept;
  target->listening.clear();  // what it keeps is carried over
  target->counts.reset();
  if (target->named() && !target->resolving && !target->refresh_at) target->refresh_at = now_();
  return target;
}

// ---- targets that are found ----

void Targets::put(const TargetConfig& found) {
  const Declared* const old = model_->find(found.name);
  if (old != nullptr && !old->found()) return;
  std::unique_ptr<Declared> next = prepare(found, old);
  next->order = Declared::kFound;
  next->asks = asks_of(model_->config, found);
  if (const auto known = unknown_.find(found.name); known != unknown_.end() && next->named() && !next->answered) {
    for (const KnownResult& result : known->second) take_known(*next, result);
  }
  model_->collect(*next);
  replace(found.name, std::move(next));
}

void Targets::remove(const std::string& name) {
  const Declared* const old = model_->find(name);
  if (old != nullptr && old->found()) replace(name, nullptr);
}

// Puts `next` where the target of that name is, if there is one; nullptr: takes it out. Its addresses change hands.
void Targets::replace(const std::string& name, std::unique_ptr<Declared> next) {
  Declared* const old = model_->find(name);
  const bool same_place = old != nullptr && next && old->config.place == next->config.place;
  const Addresses refused_before = same_place ? old->refused : Addresses();
  std::vector<IpAddress> places;
  for (const Declared* side : {static_cast<const Declared*>(old), static_cast<const Declared*>(next.get())}) {
    if (side == nullptr) continue;
    for (const auto& [address, host] : side->addresses) add_once(places, address);
  }
  std::map<ResultKey, Planned> before, now;
  const auto note = [&](std::map<ResultKey, Planned>& into) {
    for (const IpAddress& address : places) {
      for (Planned& planned : model_->owned_at(address)) into.try_emplace(planned.key, planned);
      model_->holders(address, [](const Declared& holder) {
        holder.counts.reset();
        return true;
      });
    }
  };
  note(before);
  Declared* const added = next.get();
  if (old != nullptr) model_->erase(*old);
  if (next) model_->insert(std::move(next));
  note(now);
  for (const auto& [key, planned] : before) {
    if (!now.contains(key)) events_.retired(key);
  }
  for (const auto& [key, planned] : now) {
    const auto was = before.find(key);
    const bool same = was != before.end() && was->second.interval == planned.interval && was->second.paused == planned.paused;
    if (!same) events_.planned(planned);
  }
  tell_shared(places);
  if (added != nullptr) report(*added, refused_before);
}

void Targets::tell_shared(const std::vector<IpAddress>& addresses) const {
  if (!events_.shared || networks_ != Networks::swept) return;
  Model::Holders holders;
  for (const IpAddress& address : addresses) {
    model_->holders(address, holders);
    for (const Declared* holder : holders) {
      if (holder->swept) events_.shared(holder->config.name, address);
    }
  }
}

// Says what was refused that was not before, and the note when it changed.
void Targets::report(Declared& target, const Addresses& refused_before) {
  for (const auto& [address, host] : target.refused) {
    if (!refused_before.contains(address)) events_.refused(target.config.name, host, address);
  }
  std::string note = target.problem;
  const auto& network = target.config.place.network;
  if (network && target.network_refused > 0) {
    append_note(note, fmt::format("{} addresses of {} are outside scope and are not probed", target.network_refused,
                                  network->to_string()));
  } else {
    std::string list;
    std::size_t named = 0;
    for (const auto& [address, host] : target.refused) {
      if (named++ == 4) break;
      list += (list.empty() ? "" : ", ") + address.to_string();
    }
    if (target.refused.size() > 4) list += fmt::format(" and {} more", target.refused.size() - 4);
    if (!list.empty()) append_note(note, list + (target.refused.size() > 1 ? " are" : " is") + " outside scope: not probed");
  }
  if (network && network->size() > kMaxNetwork) {
    append_note(note, fmt::format("only the first {} addresses of {} are probed", kMaxNetwork, network->to_string()));
  }
  if (note == target.note) return;
  target.note = note;
  events_.noted(target.config.name, note);
}

// ---- names ----

// Its address is one of the target's last known ones. False: its place was another name then, or it has none.
bool Targets::take_known(Declared& target, const KnownResult& result) {
  const std::string& host = result.host.empty() ? target.host() : result.host;
  if (!target.config.place.host.empty() && host != target.config.place.host) return false;
  Name& name = target.names[host];
  if (std::find(target.hosts.begin(), target.hosts.end(), host) == target.hosts.end()) target.hosts.push_back(host);
  add_once(result.key.address.is_v4() ? name.v4 : name.v6, result.key.address);
  return true;
}

void Targets::seed(const std::vector<KnownResult>& known, bool more_to_come) {
  std::set<Declared*> seeded;
  for (const KnownResult& result : known) {
    Declared* target = model_->find(result.key.target);
    if (target == nullptr || !target->named() || target->answered) continue;
    if (take_known(*target, result)) seeded.insert(target);
  }
  for (Declared* target : seeded) update(*target);
  for (const KnownResult& result : known) {
    if (more_to_come && model_->find(result.key.target) == nullptr) {
      unknown_[result.key.target].push_back(result);
      continue;
    }
    const Declared* owner = model_->owner(result.key.address, slot_of(result.key));
    if (owner == nullptr || owner->config.name != result.key.target) {
      events_.retired(result.key);
    } else if (owner->swept) {
      adopt(owner->config.name, {result.key.address, result.key.port, result.key.transport});
    }
  }
}

// ---- networks that are swept ----

bool Targets::adopt(const std::string& target, const Door& door) {
  Declared* const found = model_->find(target);
  if (found == nullptr || !found->swept || !found->asks_at(door) || !model_->scope.allows(door.address)) return false;
  if (!found->listening.insert(door).second) return false;
  plan_at(*found, door);
  return true;
}

void Targets::plan_at(const Declared& target, const Door& door) {
  for (const Planned& planned : model_->owned_at(door.address)) {
    const ResultKey& key = planned.key;
    if (key.target == target.config.name && key.port == door.port && key.transport == door.transport) events_.planned(planned);
  }
}

void Targets::release(const std::string& target, const Door& door) {
  Declared* const found = model_->find(target);
  if (found == nullptr || !found->listening.contains(door)) return;
  const std::vector<Planned> before = model_->owned_at(door.address);
  found->listening.erase(door);
  for (const Planned& planned : before) {
    const ResultKey& key = planned.key;
    if (key.target == target && key.port == door.port && key.transport == door.transport) events_.retired(key);
  }
}

std::vector<SweptNetwork> Targets::swept() const {
  std::vector<SweptNetwork> all;
  for (const auto& target : model_->targets) {
    if (!target->swept) continue;
    SweptNetwork& network = all.emplace_back();
    network.target = target->config.name;
    network.network = *target->config.place.network;
    network.addresses = std::min(network.network.size(), kMaxNetwork);
    network.paused = target->config.paused;
    for (const Ask& ask : target->asks) network.asks.push_back({ask.port.number, ask.port.transport, ask.check});
  }
  return all;
}

const std::set<Door>& Targets::listening(const std::string& target) const {
  static const std::set<Door> none;
  const Declared* const found = model_->find(target);
  return found == nullptr ? none : found->listening;
}

std::vector<std::string> Targets::owned(const std::string& target, const Door& door) const {
  std::vector<std::string> checks;
  const Declared* const found = model_->find(target);
  if (found == nullptr) return checks;
  Model::Holders holders;
  model_->holders(door.address, holders);
  for (const Ask& ask : found->asks) {
    const bool here = ask.port.number == door.port && ask.port.transport == door.transport;
    if (here && Model::owner(holders, slot_of(ask)) == found) checks.push_back(ask.check);
  }
  return checks;
}

void Targets::each_shared(const std::string& target, const std::function<void(const IpAddress&)>& visit) const {
  const Declared* const found = model_->find(target);
  if (found == nullptr || !found->swept) return;
  const Cidr& network = *found->config.place.network;
  if (model_->scope.allows_all(network) && !model_->overlaps_another(network)) {
    model_->each_held_within(network, [&](const IpAddress& address) {
      visit(address);
      return true;
    });
    return;
  }
  const std::uint64_t count = std::min(network.size(), kMaxNetwork);
  for (std::uint64_t i = 0; i < count; ++i) {
    const IpAddress address = *network.at(i);
    const Declared* first = nullptr;
    model_->holders(address, [&](const Declared& holder) {
      first = &holder;
      return false;
    });
    if (first != found) visit(address);
  }
}

bool Targets::owns(const ResultKey& key) const {
  const Declared* owner = model_->owner(key.address, slot_of(key));
  return owner != nullptr && owner->config.name == key.target;
}

std::optional<IpAddress> Targets::any_address(bool v4) const { return model_->any_address(v4); }

void Targets::retire_unknown() {
  for (const auto& [name, results] : std::exchange(unknown_, {})) {
    for (const KnownResult& result : results) {
      const Declared* owner = model_->owner(result.key.address, slot_of(result.key));
      if (owner == nullptr || owner->config.name != result.key.target) events_.retired(result.key);
    }
  }
}

// The target's names changed: its addresses follow, and whoever shares them.
void Targets::update(Declared& target) {
  const Addresses before = target.addresses, refused = target.refused;
  model_->collect(target);
  std::vector<IpAddress> moved;
  for (const auto& [address, host] : before) {
    if (!target.addresses.contains(address)) moved.push_back(address);
  }
  for (const auto& [address, host] : target.addresses) {
    if (!before.contains(address)) moved.push_back(address);
  }
  std::map<ResultKey, Planned> old, now;
  for (const IpAddress& address : moved) {
    for (Planned& planned : model_->owned_at(address)) old.try_emplace(planned.key, planned);
    if (before.contains(address)) {
      model_->unindex(target, address);
    } else {
      model_->index(target, address);
    }
    for (Planned& planned : model_->owned_at(address)) now.try_emplace(planned.key, planned);
    model_->holders(address, [](const Declared& holder) {
      holder.counts.reset();
      return true;
    });
  }
  target.counts.reset();
  for (const auto& [key, planned] : old) {
    if (!now.contains(key)) events_.retired(key);
  }
  for (const auto& [key, planned] : now) {
    if (!old.contains(key)) events_.planned(planned);
  }
  tell_shared(moved);
  report(target, refused);
}

void Targets::refresh() {
  const Time now = now_();
  while (resolving_ < kMaxLookUps && !model_->due.empty() && model_->due.begin()->first <= now) {
    ++resolving_;
    start(work(alive_));
  }
}

std::optional<Time> Targets::next_refresh() const {
  if (resolving_ >= kMaxLookUps || model_->due.empty()) return std::nullopt;
  return model_->due.begin()->first;
}

// Resolves one target after the other while any is due.
Task<void> Targets::work(std::shared_ptr<const bool> alive) {
  while (!model_->due.empty() && model_->due.begin()->first <= now_()) {
    Declared& target = *model_->due.begin()->second;
    model_->schedule(target, std::nullopt);
    target.resolving = true;
    const std::string name = target.config.name;
    const TargetPlace place = target.config.place;
    const Resolution resolution = co_await ask(alive, place);
    if (!*alive) co_return;
    take(name, place, resolution);
  }
  --resolving_;
}

Task<Targets::Resolution> Targets::ask(std::shared_ptr<const bool> alive, TargetPlace place) {
  Resolution found;
  if (!place.host.empty()) {
    found.hosts_known = true;
    found.hosts.push_back(place.host);
  } else {
    const DnsAnswer mx = co_await dns_.look_up(place.mx_of, DnsType::mx);
    if (!*alive) co_return found;
    read_exchangers(place.mx_of, mx, found);
  }
  for (const std::string& host : found.hosts) {
    const DnsAnswer a = co_await dns_.look_up(host, DnsType::a);
    if (!*alive) co_return found;
    const DnsAnswer aaaa = co_await dns_.look_up(host, DnsType::aaaa);
    if (!*alive) co_return found;
    if (a.state == DnsState::ok) found.ttl = std::min(found.ttl, a.ttl);
    if (aaaa.state == DnsState::ok) found.ttl = std::min(found.ttl, aaaa.ttl);
    found.answers.insert_or_assign(host, std::pair(a, aaaa));
  }
  co_return found;
}

void Targets::read_exchangers(const std::string& domain, const DnsAnswer& mx, Resolution& found) {
  if (mx.state == DnsState::ok) found.ttl = std::min(found.ttl, mx.ttl);
  if (mx.state == DnsState::no_data) {
    found.hosts_known = true;
    found.hosts.push_back(domain);  // RFC 5321 5.1: the implicit MX
  } else if (mx.state != DnsState::ok) {
    found.problem = fmt::format("the mail exchangers of {} are not known now: {}", domain, mx.text);
  } else if (mx.null_mx) {
    found.hosts_known = true;
    found.problem = fmt::format("{} takes no mail (null MX, RFC 7505): nothing to probe", domain);
  } else if (mx.exchangers.empty()) {
    found.problem = fmt::format("the MX records of {} name no host", domain);
  } else {
    found.hosts_known = true;
    for (const MailExchanger& exchanger : mx.exchangers) {
      if (std::find(found.hosts.begin(), found.hosts.end(), exchanger.host) != found.hosts.end()) continue;
      if (found.hosts.size() == kMaxExchangers) {
        found.problem = fmt::format("{} has more than {} mail exchangers: the others are not probed", domain, kMaxExchangers);
        break;
      }
      found.hosts.push_back(exchanger.host);
    }
  }
}

// Takes over what a host's two answers say; returns what is wrong with them, or an empty text.
std::string Targets::read_addresses(const std::string& host, const DnsAnswer& a, const DnsAnswer& aaaa, Name& name) {
  const bool v4 = a.state == DnsState::ok, v6 = aaaa.state == DnsState::ok;
  if (v4) name.v4 = a.addresses;
  if (v6) name.v6 = aaaa.addresses;
  // No addresses of one family is an answer where the other family has some; of both, it is a name that stopped resolving.
  if (v6 && a.state != DnsState::failed && !v4) name.v4.clear();
  if (v4 && aaaa.state != DnsState::failed && !v6) name.v6.clear();
  const std::string kept = name.empty() ? "" : "; its last addresses are kept";
  if (!v4 && !v6) {
    const DnsAnswer& worse = aaaa.state == DnsState::failed && a.state != DnsState::failed ? aaaa : a;
    return fmt::format("{} does not resolve: {}{}", host, worse.text, kept);
  }
  if (a.state == DnsState::failed) return fmt::format("IPv4 addresses of {} are not known now: {}", host, a.text);
  if (aaaa.state == DnsState::failed) return fmt::format("IPv6 addresses of {} are not known now: {}", host, aaaa.text);
  return {};
}

void Targets::take(const std::string& name, const TargetPlace& place, const Resolution& found) {
  Declared* target = model_->find(name);
  if (target == nullptr || !(target->config.place == place)) return;  // it left, or moved, meanwhile
  target->resolving = false;
  target->answered = true;
  std::string problem = found.problem;
  if (found.hosts_known) {
    std::erase_if(target->names, [&](const auto& known) {
      return std::find(found.hosts.begin(), found.hosts.end(), known.first) == found.hosts.end();
    });
    target->hosts = found.hosts;
    for (const auto& host : found.hosts) {
      const auto& [a, aaaa] = found.answers.at(host);
      append_note(problem, read_addresses(host, a, aaaa, target->names[host]));
    }
  } else if (!target->names.empty()) {
    problem += "; the last addresses are kept";
  }
  const bool wait = problem.empty() || (found.hosts_known && found.hosts.empty());
  const auto span = wait ? std::clamp(found.ttl, kShortest, kLongest) : std::clamp(found.ttl, kShortest, kAfterFailure);
  target->problem = std::move(problem);
  model_->schedule(*target, now_() + span);
  update(*target);
}

// ---- questions ----

std::optional<Endpoint> Targets::endpoint(const ResultKey& key) const {
  const Declared* owner = model_->owner(key.address, slot_of(key));
  if (owner == nullptr || owner->config.name != key.target || !owner->has(key.address, slot_of(key))) return std::nullopt;
  Endpoint endpoint;
  endpoint.target = key.target;
  endpoint.address = key.address;
  if (const auto found = owner->addresses.find(key.address); found != owner->addresses.end()) endpoint.host = found->second;
  endpoint.port = owner->find_ask(slot_of(key))->port;
  for (const Ask& ask : owner->asks) {
    const bool here = ask.port.number == key.port && ask.port.transport == key.transport;
    if (here && model_->owner(key.address, slot_of(ask)) == owner) endpoint.checks.push_back(ask.check);
  }
  return endpoint;
}

const Targets::Counts& Targets::count(const Declared& target) const {
  if (target.counts) return *target.counts;
  Counts counts;
  using Place = std::pair<std::uint16_t, Transport>;
  const auto distinct = [](const std::vector<Ask>& asks) {  // in the order of ports
    std::uint64_t count = 0;
    std::optional<Place> last;
    for (const Ask& ask : asks) {
      const Place here(ask.port.number, ask.port.transport);
      if (last != here) ++count;
      last = here;
    }
    return count;
  };
  std::map<std::string_view, std::size_t> by_check;
  for (const Ask& ask : target.asks) by_check.try_emplace(ask.check);
  const std::uint64_t own_places = distinct(target.asks);
  Model::Holders holders;
  std::uint64_t alone = 0;  // addresses that nobody else holds
  const auto add = [&](const IpAddress& address) {
    model_->holders(address, holders);
    if (holders.size() == 1) {
      ++alone;
      return true;
    }
    std::set<Place> owned, all;
    for (const Ask& ask : target.asks) {
      if (Model::owner(holders, slot_of(ask)) != &target) continue;
      owned.emplace(ask.port.number, ask.port.transport);
      ++by_check[ask.check];
    }
    counts.endpoints += owned.size();
    if (holders.front() != &target) return true;
    for (const Declared* holder : holders) {
      for (const Ask& ask : holder->asks) all.emplace(ask.port.number, ask.port.transport);
    }
    counts.in_total += all.size();
    return true;
  };
  const auto& network = target.config.place.network;
  if (network && !model_->overlaps_another(*network)) {
    // Beside the few addresses of others it holds all of them alone.
    std::uint64_t held = 0;
    model_->each_held_within(*network, [&](const IpAddress& address) {
      ++held;
      return add(address);
    });
    alone = std::min(network->size(), kMaxNetwork) - target.network_refused - held;
  } else {
    model_->each_address(target, add);
  }
  counts.endpoints += alone * own_places;
  counts.in_total += alone * own_places;
  if (!target.config.paused) {
    for (const Ask& ask : target.asks) by_check[ask.check] += alone;
    for (const auto& [check, results] : by_check) {
      if (results > 0) counts.by_check.emplace(check, results);
    }
  }
  target.counts = std::move(counts);
  return *target.counts;
}

TargetTotals Targets::totals() const {
  TargetTotals totals;
  for (const auto& target : model_->targets) {
    const Counts& counts = count(*target);
    totals.endpoints += counts.in_total;
    for (const auto& [check, results] : counts.by_check) totals.by_check[check] += results;
  }
  return totals;
}

std::vector<TargetStatus> Targets::status() const {
  std::vector<TargetStatus> all;
  for (const auto& target : model_->targets) {
    TargetStatus status;
    status.name = target->config.name;
    status.config = &target->config;
    status.host = target->host();
    if (const auto& network = target->config.place.network) status.addresses.push_back(network->to_string());
    for (const auto& [address, host] : target->addresses) status.addresses.push_back(address.to_string());
    for (const auto& [address, host] : target->refused) {
      if (status.refused.size() < kMaxRefused) status.refused.push_back(address.to_string());
    }
    status.endpoints = count(*target).endpoints;
    status.note = target->note;
    status.resolving = target->named() && !target->answered;
    all.push_back(std::move(status));
  }
  return all;
}

std::vector<std::string> Targets::targets_at(const IpAddress& address) const {
  std::vector<std::string> names;
  model_->holders(address, [&](const Declared& target) {
    names.push_back(target.config.name);
    return true;
  });
  return names;
}

void Targets::each(const std::function<bool(const Planned&)>& visit) const {
  for (const auto& target : model_->targets) {
    const auto pass = [&](const IpAddress& address, const Ask& ask) { return visit(target->planned(address, ask)); };
    if (!model_->each_owned(*target, pass)) return;
  }
}

}  // namespace ajar
