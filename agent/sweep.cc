#include "agent/sweep.h"

#include <algorithm>
#include <cerrno>
#include <random>

#include <event2/event.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kTick{20};
constexpr milliseconds kIdle{500};
constexpr milliseconds kBusy{100};    // until an address that is asked already is tried again
constexpr milliseconds kShort{1000};  // until we try again after running out of descriptors or ports
constexpr seconds kSave{30};
constexpr std::size_t kMostErrors = 8;  // ICMP errors read of one socket

std::uint64_t random_key() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// The checks of a network, and its doors with the places of theirs.
SweepPlan plan_of(const SweptNetwork& swept, Duration interval) {
  SweepPlan plan;
  plan.network = swept.network;
  plan.addresses = swept.addresses;
  plan.interval = interval;
  for (const SweptNetwork::Ask& ask : swept.asks) {
    auto check = std::find(plan.checks.begin(), plan.checks.end(), ask.check);
    if (check == plan.checks.end()) check = plan.checks.insert(check, ask.check);
    const auto number = static_cast<std::uint16_t>(check - plan.checks.begin());
    const std::optional<std::uint32_t> known = plan.door(ask.port, ask.transport);
    if (known) {
      plan.doors[*known].checks.push_back(number);
    } else {
      plan.doors.push_back({ask.port, ask.transport, {number}});
    }
  }
  return plan;
}

bool same_doors(const std::vector<SweepDoor>& a, const std::vector<SweepDoor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const SweepDoor& x, const SweepDoor& y) { return x.port == y.port && x.transport == y.transport; });
}

// What a port of UDP is asked: the question of each of its checks that has one, each once.
std::vector<std::string_view> knocks_of(const SweepPlan& plan, const SweepDoor& door) {
  std::vector<std::string_view> all;
  for (const std::uint16_t number : door.checks) {
    const CheckInfo* const check = find_check(plan.checks[number]);
    if (check == nullptr || check->knock.empty()) continue;
    if (std::find(all.begin(), all.end(), check->knock) == all.end()) all.push_back(check->knock);
  }
  return all;
}

// What a connect() says that failed at once, or in the end. nullopt: that was our own trouble, and says nothing of the peer.
std::optional<SweepState> state_of(const LinkError& error) {
  switch (error.reason()) {
    case Reason::nobody_listens:
      return SweepState::refused;
    case Reason::hung_up:
      return SweepState::listening;  // it was taken, and reset before we looked
    case Reason::timeout:
      return SweepState::silent;
    case Reason::no_route:
      return SweepState::no_route;
    default:
      return std::nullopt;
  }
}

}  // namespace

struct Sweep::Network {
  std::string target;
  SweepTable table;
  bool paused = false;
  bool current = true;  // false: another has taken its place, and what comes of a knock is not wanted any more
  bool stored = false;
  std::vector<std::vector<std::string_view>> knocks;  // by door

  Network(std::string name, SweepPlan plan, std::uint64_t key) : target(std::move(name)), table(std::move(plan), key) {
    for (const SweepDoor& door : table.plan().doors) knocks.push_back(knocks_of(table.plan(), door));
  }
};

// One question that is under way: a socket, its event, its deadline.
struct Sweep::Knock : TimingWheel::Entry {
  Sweep* sweep = nullptr;
  std::shared_ptr<Network> network;
  std::uint64_t step = 0;
  Door door;
  std::uint32_t door_number = 0;
  FileDescriptor fd;
  event ready{};
  Steady::time_point until;
  std::uint64_t number = 0;  // of all knocks
  bool again = true;         // the datagrams may be sent once more

  bool is_udp() const { return door.transport == Transport::udp; }
  void watch();
  void on_ready();
  void expire() override;
  void send() const;
  std::optional<SweepState> hear() const;
  SweepState connected() const;
};

// ---- one knock ----

void Sweep::Knock::watch() {
  const short what = static_cast<short>((is_udp() ? EV_READ : EV_WRITE) | EV_PERSIST);
  const auto call = [](evutil_socket_t, short, void* self) { static_cast<Knock*>(self)->on_ready(); };
  event_assign(&ready, sweep->loop_.base(), fd.get(), what, call, this);
  event_add(&ready, nullptr);
}

// What is lost is sent again, or is silence.
void Sweep::Knock::send() const {
  for (const std::string_view bytes : network->knocks[door_number]) ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

SweepState Sweep::Knock::connected() const {
  const std::optional<LinkError> trouble = connect_trouble(fd.get());
  // A router's word that the host is not there, or a filter's that it may not be asked: it did not answer.
  if (!trouble) return SweepState::listening;
  return trouble->reason() == Reason::nobody_listens || trouble->reason() == Reason::hung_up ? state_of(*trouble).value()
                                                                                             : SweepState::silent;
}

// What came to a socket of UDP; nullopt: nothing that tells.
std::optional<SweepState> Sweep::Knock::hear() const {
  char byte = 0;
  const ssize_t got = recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_TRUNC);
  if (got >= 0) return SweepState::listening;
  bool filtered = false;
  for (std::size_t i = 0; i < kMostErrors; ++i) {
    const std::optional<IcmpError> error = take_icmp_error(fd.get());
    if (!error) break;
    if (error->port_unreachable() && error->sender == door.address) return SweepState::refused;
    filtered = filtered || error->is_refusal();
  }
  if (filtered) return SweepState::silent;
  return std::nullopt;
}

void Sweep::Knock::on_ready() {
  if (!is_udp()) {
    sweep->end_knock(*this, connected(), false);
    return;
  }
  if (const auto state = hear()) sweep->end_knock(*this, *state, false);
}

// The deadline. What has come since the loop looked last counts: many may be ready at once, and more than it takes in one look.
void Sweep::Knock::expire() {
  if (sweep->loop_.shutting_down()) {
    sweep->give_up(*this);
    return;
  }
  pollfd look{fd.get(), static_cast<short>(is_udp() ? POLLIN : POLLOUT), 0};
  if (poll(&look, 1, 0) == 1) {
    const std::uint64_t mine = number;
    on_ready();
    if (!network || number != mine) return;  // it ended, and may be another's by now
  }
  if (is_udp() && again) {
    again = false;
    send();
    sweep->loop_.add_deadline(*this, until);
    return;
  }
  if (Steady::now() < until) {
    sweep->loop_.add_deadline(*this, until);
    return;
  }
  sweep->end_knock(*this, SweepState::silent, true);
}

// ---- the networks ----

Sweep::Sweep(Loop& loop, ConnectGate& gate, SweepOptions options, SweepEvents events, SweepPace pace, const std::string& path)
    : loop_(loop), gate_(gate), options_(std::move(options)), events_(std::move(events)), pace_(std::move(pace)) {
  if (path.empty()) return;
  store_ = std::make_unique<SweepStore>(path, events_.now());
  trouble_ = store_->trouble();
}

Sweep::~Sweep() {
  for (const auto& knock : knocks_) {
    if (knock->network) event_del(&knock->ready);
  }
}

void Sweep::set_options(const SweepOptions& options) { options_ = options; }

// As it was before, as it was kept, or new.
std::shared_ptr<Sweep::Network> Sweep::make(const SweptNetwork& swept, SweepPlan plan) {
  const auto old = networks_.find(swept.target);
  std::unique_ptr<SweepTable> kept;
  if (old == networks_.end() && store_) kept = store_->load(swept.target);
  const SweepTable* const before = old != networks_.end() ? &old->second->table : kept.get();
  const bool same = before != nullptr && before->plan().network == plan.network && before->plan().addresses == plan.addresses &&
                    same_doors(before->plan().doors, plan.doors);
  const std::uint64_t key = same ? before->progress().key : random_key();
  auto network = std::make_shared<Network>(swept.target, std::move(plan), key);
  if (same) {
    std::vector<std::pair<std::uint64_t, std::string>> slices;
    for (std::uint64_t number = 0; number < before->slices(); ++number) slices.emplace_back(number, before->slice(number));
    network->table.restore(before->progress(), slices);
    network->stored = kept != nullptr;
  } else if (before != nullptr) {
    network->table.take_over(*before, events_.now());
  }
  return network;
}

void Sweep::paint(Network& network, const Targets& targets, const IpAddress& address) {
  const SweepPlan& plan = network.table.plan();
  for (const SweepDoor& door : plan.doors) {
    const auto step = network.table.step_of(address, door.port, door.transport);
    if (!step) continue;
    const std::vector<std::string> owned = targets.owned(network.target, {address, door.port, door.transport});
    std::uint32_t others = 0;
    for (std::size_t i = 0; i < door.checks.size(); ++i) {
      if (std::find(owned.begin(), owned.end(), plan.checks[door.checks[i]]) == owned.end()) others |= 1U << i;
    }
    network.table.set_others(*step, others);
  }
}

void Sweep::apply(const Targets& targets) {
  std::map<std::string, std::shared_ptr<Network>> next;
  std::vector<std::string> names;
  for (const SweptNetwork& swept : targets.swept()) {
    if (swept.asks.empty()) continue;
    names.push_back(swept.target);
    SweepPlan plan = plan_of(swept, options_.interval);
    const auto old = networks_.find(swept.target);
    std::shared_ptr<Network> network;
    if (old != networks_.end() && old->second->table.plan().doors == plan.doors &&
        old->second->table.plan().checks == plan.checks && old->second->table.plan().network == plan.network) {
      network = old->second;
      network->table.set_interval(options_.interval, events_.now());
      network->table.clear_others();
    } else {
      network = make(swept, std::move(plan));
      if (old != networks_.end()) old->second->current = false;
    }
    network->paused = swept.paused;
    targets.each_shared(swept.target, [&](const IpAddress& address) { paint(*network, targets, address); });
    const std::set<Door>& listening = targets.listening(swept.target);
    network->table.forget_listening();
    for (const Door& door : listening) {
      const auto step = network->table.step_of(door.address, door.port, door.transport);
      if (step) network->table.set(*step, SweepState::listening);
    }
    next.emplace(swept.target, std::move(network));
  }
  for (const auto& [name, network] : networks_) {
    if (!next.contains(name)) network->current = false;
  }
  networks_ = std::move(next);
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    entry = entry->second.network->current ? std::next(entry) : waiting_.erase(entry);
  }
  if (store_) store_->keep_only(names);
  publish();
}

void Sweep::shared(const Targets& targets, const std::string& target, const IpAddress& address) {
  const auto found = networks_.find(target);
  if (found == networks_.end()) return;
  paint(*found->second, targets, address);
  for (const SweepDoor& door : found->second->table.plan().doors) {
    if (targets.listening(target).contains({address, door.port, door.transport}))
      learn(target, {address, door.port, door.transport}, SweepState::listening);
  }
}

void Sweep::learn(const std::string& target, const Door& door, SweepState state) {
  const auto found = networks_.find(target);
  if (found == networks_.end()) return;
  const auto step = found->second->table.step_of(door.address, door.port, door.transport);
  if (step) found->second->table.set(*step, state);
}

void Sweep::ask(const std::string& target, const Door& door) {
  const auto found = networks_.find(target);
  if (found == networks_.end()) return;
  const auto step = found->second->table.step_of(door.address, door.port, door.transport);
  if (!step || found->second->table.is_others(*step)) return;
  found->second->table.begin();
  waiting_.emplace(events_.now(), Waiting{found->second, *step});
}

bool Sweep::ask_now(const std::string& target) {
  const auto found = networks_.find(target);
  if (found == networks_.end() || found->second->paused) return false;
  found->second->table.hurry(events_.now());
  return true;
}

// ---- what is next ----

// What was put off and may go on now, then the networks in turn.
std::optional<Sweep::Waiting> Sweep::next(Time now) {
  for (auto entry = waiting_.begin(); entry != waiting_.end() && entry->first <= now;) {
    Waiting one = std::move(entry->second);
    entry = waiting_.erase(entry);
    if (!one.network->current) continue;
    if (one.network->paused) {
      one.network->table.give_back();
      continue;
    }
    return one;
  }
  if (networks_.empty() || waiting_.size() >= kMostWaiting) return std::nullopt;
  auto network = networks_.upper_bound(turn_);
  for (std::size_t i = 0; i < networks_.size(); ++i, ++network) {
    if (network == networks_.end()) network = networks_.begin();
    if (network->second->paused) continue;
    const auto step = network->second->table.next(now);
    if (!step) continue;
    turn_ = network->first;
    return Waiting{network->second, *step};
  }
  return std::nullopt;
}

std::optional<Time> Sweep::next_due(Time now) const {
  std::optional<Time> due;
  if (!waiting_.empty()) due = waiting_.begin()->first;
  for (const auto& [name, network] : networks_) {
    if (network->paused) continue;
    const std::optional<Time> when = network->table.next_due();
    if (when) due = std::min(due.value_or(*when), *when);
  }
  return due ? std::optional(std::max({*due, now, hold_until_})) : std::nullopt;
}

// Whether it has to wait: for a knock at the same address, or for the pace.
bool Sweep::put_off(const Waiting& one, const IpAddress& address, Time now) {
  std::optional<Time> when;
  if (busy_.contains(address)) when = now + kBusy;
  if (!when && pace_.earliest) when = pace_.earliest(address, now);
  if (!when || *when <= now) return false;
  waiting_.emplace(*when, one);
  return true;
}

void Sweep::pump() {
  if (pumping_ || loop_.shutting_down() || events_.paused()) return;
  pumping_ = true;
  const Time now = events_.now();
  while (under_way_ < options_.concurrency && now >= hold_until_) {
    std::optional<Waiting> one = next(now);
    if (!one) break;
    const SweepSpot spot = one->network->table.at(one->step);
    const IpAddress address = one->network->table.address(spot);
    if (put_off(*one, address, now)) continue;
    if (!gate_.take_turn()) {
      waiting_.emplace(now, std::move(*one));
      break;
    }
    start_knock(*one, now);
  }
  pumping_ = false;
}

void Sweep::start_knock(const Waiting& one, Time now) {
  SweepTable& table = one.network->table;
  const SweepSpot spot = table.at(one.step);
  const SweepDoor& asked = table.plan().doors[spot.door];
  const Door door{table.address(spot), asked.port, asked.transport};
  if (!events_.allows(door.address)) {
    table.give_back();  // apply() comes with a scope that is new, and passes it by
    return;
  }
  if (door.transport == Transport::udp && one.network->knocks[spot.door].empty()) {
    take(*one.network, one.step, door, SweepState::listening);  // nobody knows how to ask: the checks do it
    return;
  }
  if (free_.empty()) free_.push_back(knocks_.emplace_back(std::make_unique<Knock>()).get());
  Knock& knock = *free_.back();
  try {
    const AddressPort place{door.address, door.port};
    knock.fd = door.transport == Transport::udp ? connected_datagrams(place, options_.source_addresses)
                                                : begin_connect(place, options_.source_addresses);
  } catch (const LinkError& error) {
    if (const auto state = state_of(error)) {
      take(*one.network, one.step, door, *state);
    } else {
      hold_until_ = now + kShort;
      waiting_.emplace(hold_until_, one);
    }
    return;
  }
  free_.pop_back();
  knock.sweep = this;
  knock.network = one.network;
  knock.step = one.step;
  knock.door = door;
  knock.door_number = spot.door;
  knock.number = ++begun_;
  knock.again = true;
  knock.until = Steady::now() + options_.connect_timeout;
  ++under_way_;
  busy_.insert(door.address);
  if (pace_.started) pace_.started(door.address, now);
  if (knock.is_udp()) {
    knock.send();
  } else {
    const linger reset{1, 0};  // the connection ends at once on both sides, and leaves nothing behind
    setsockopt(knock.fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  knock.watch();
  loop_.add_deadline(knock, knock.is_udp() ? Steady::now() + options_.connect_timeout / 3 : knock.until);
}

void Sweep::release(Knock& knock) {
  event_del(&knock.ready);
  knock.remove();
  knock.fd = FileDescriptor();
  busy_.erase(knock.door.address);
  knock.network.reset();
  free_.push_back(&knock);
  --under_way_;
}

void Sweep::give_up(Knock& knock) {
  knock.network->table.give_back();
  release(knock);
}

void Sweep::take(Network& network, std::uint64_t step, const Door& door, SweepState state) {
  const bool listened = network.table.state(step) == SweepState::listening;
  network.table.note(step, state);
  if (network.table.is_others(step)) return;
  if (state == SweepState::listening) {
    events_.found(network.target, door);
  } else if (listened) {
    events_.gone(network.target, door, state);
  }
}

void Sweep::end_knock(Knock& knock, SweepState state, bool timed_out) {
  const std::shared_ptr<Network> network = knock.network;
  const Door door = knock.door;
  const std::uint64_t step = knock.step;
  release(knock);
  if (pace_.ended) pace_.ended(door.address, events_.now(), timed_out);
  if (network->current) take(*network, step, door, state);
  pump();
}

Task<void> Sweep::run() {
  while (!loop_.shutting_down()) {
    pump();
    if (loop_.now() >= next_publish_) publish();
    if (loop_.now() >= next_save_) save();
    const Time now = events_.now();
    const std::optional<Time> due = events_.paused() ? std::nullopt : next_due(now);
    const milliseconds wait = due ? std::clamp<milliseconds>(*due - now, kTick, kIdle) : kIdle;
    co_await loop_.sleep_for(wait);
  }
}

// ---- what is kept and shown ----

void Sweep::save() {
  next_save_ = loop_.now() + kSave;
  if (!store_) return;
  std::vector<SweepStore::Kept> kept;
  for (const auto& [name, network] : networks_) kept.push_back({name, &network->table, !network->stored || all_changed_});
  store_->save(kept);
  all_changed_ = !store_->trouble().empty();
  for (const auto& [name, network] : networks_) network->stored = network->stored || !all_changed_;
  if (store_->trouble() == trouble_) return;
  trouble_ = store_->trouble();
  if (!trouble_.empty()) spdlog::warn("what sweeps know is not kept: {}; after a restart networks are swept anew", trouble_);
}

void Sweep::publish() {
  next_publish_ = loop_.now() + seconds(1);
  if (networks_.empty() && this->view()->empty()) return;
  auto view = std::make_shared<SweepView>();
  const Time now = events_.now();
  for (const auto& [name, network] : networks_) view->push_back({name, network->table.summary(now), network->paused});
  const std::lock_guard lock(view_mutex_);
  view_ = std::move(view);
}

std::shared_ptr<const SweepView> Sweep::view() const {
  const std::lock_guard lock(view_mutex_);
  return view_;
}

}  // namespace ajar
