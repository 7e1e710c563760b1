#include "agent/scheduler.h"

#include <algorithm>
#include <utility>

namespace ajar {

namespace {

constexpr std::int64_t kBurst = 50'000;                  // microseconds of starts that may happen together
constexpr std::int64_t kLongestSpread = 15 * 60 * 1000;  // milliseconds
constexpr std::int64_t kFarthest = 4 * 60 * 60 * 1000;   // of a stored due time, where two intervals are less
constexpr std::int64_t kShuffled = 4096;                 // milliseconds
constexpr std::int64_t kNextRelease = 100;               // milliseconds, where what came back was not begun meanwhile
constexpr std::size_t kMostHeldBack = 4096;              // in one call
constexpr std::size_t kMostRequestsLookedAt = 1024;      // the same
constexpr std::int64_t kClockStep = 60 * 1000;           // a clock that goes back further than this was set

std::int64_t millis(Time time) { return time.time_since_epoch().count(); }
Time instant(std::int64_t time) { return Time(std::chrono::milliseconds(time)); }

// splitmix64's finaliser: every input bit reaches every output bit. Placement only, no secret.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9U;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

// FNV-1a: the same in every run and on every machine, so that phases survive a restart.
std::uint64_t fold(std::uint64_t hash, std::string_view bytes) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return (hash ^ 0xFFU) * 0x100000001B3U;
}
std::uint64_t fold(std::uint64_t hash, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001B3U;
  return (hash ^ 0xFFU) * 0x100000001B3U;
}
constexpr std::uint64_t kFoldStart = 0xCBF29CE484222325U;

std::uint64_t below(std::uint64_t hash, std::int64_t bound) {
  return bound <= 0 ? 0 : hash % static_cast<std::uint64_t>(bound);
}

}  // namespace

std::size_t Scheduler::AddressHash::operator()(const IpAddress& address) const {
  return static_cast<std::size_t>(mix(fold(kFoldStart, address.bytes())));
}

std::size_t Scheduler::SlotHash::operator()(const Slot& slot) const {
  const std::uint64_t rest = (std::uint64_t{slot.group} << 16) | slot.port;
  return static_cast<std::size_t>(mix(fold(kFoldStart, slot.address.bytes()) ^ mix(rest)));
}

Scheduler::Scheduler(const SchedulerLimits& limits, HeldBy held_by)
    : limits_(limits), held_by_(std::move(held_by)), index_(16, SlotHash{this}, SlotEqual{this}) {}

void Scheduler::set_limits(const SchedulerLimits& limits) { limits_ = limits; }

// ---- results ----

ResultKey Scheduler::key(Id id) const {
  const Entry& entry = entries_[id];
  const Group& group = groups_[entry.group];
  return {lanes_[group.lane].target, entry.address, entry.port, group.transport, group.check};
}

std::optional<Scheduler::Id> Scheduler::find(const ResultKey& key) const {
  const auto lane = lane_index_.find(key.target);
  if (lane == lane_index_.end()) return std::nullopt;
  const auto group = group_index_.find({lane->second, key.check, key.transport});
  if (group == group_index_.end()) return std::nullopt;
  const auto found = index_.find(Slot{group->second, key.address, key.port});
  if (found == index_.end()) return std::nullopt;
  return *found;
}

std::uint32_t Scheduler::group_for(const ResultKey& key) {
  const auto [lane, new_lane] = lane_index_.try_emplace(key.target, static_cast<std::uint32_t>(lanes_.size()));
  if (new_lane) lanes_.emplace_back().target = key.target;
  const auto [group, new_group] =
      group_index_.try_emplace({lane->second, key.check, key.transport}, static_cast<std::uint32_t>(groups_.size()));
  if (new_group) {
    groups_.push_back({lane->second, key.check, key.transport, 0});
    lanes_[lane->second].groups.push_back(group->second);
  }
  return group->second;
}

Scheduler::Id Scheduler::allocate(const ResultKey& key, std::uint32_t group) {
  Id id = static_cast<Id>(entries_.size());
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  entries_[id] = Entry{};
  entries_[id].address = key.address;
  entries_[id].port = key.port;
  entries_[id].group = group;
  entries_[id].draw = static_cast<std::uint32_t>(hash(id));
  index_.insert(id);
  return id;
}

void Scheduler::free_entry(Id id) {
  index_.erase(id);
  entries_[id] = Entry{};
  free_.push_back(id);
}

void Scheduler::add(const ResultKey& key, std::chrono::milliseconds interval, bool paused, const History& history, Time now) {
  const std::uint32_t group = group_for(key);
  groups_[group].interval = std::max<std::int64_t>(interval.count(), 1);
  set_paused(groups_[group].lane, paused, millis(now));
  const auto found = index_.find(Slot{group, key.address, key.port});
  if (found == index_.end()) {
    const Id id = allocate(key, group);
    entries_[id].first = entries_[id].shuffled = !history.last_probe;
    entries_[id].when = due_from(id, history, millis(now));
    push(id);
    return;
  }
  Entry& entry = entries_[*found];
  entry.removed = false;
  const std::int64_t ahead = millis(now) + groups_[group].interval * 3 / 2;
  const bool waits = entry.state == State::waiting || entry.state == State::held;
  if (waits && !entry.first && entry.when > ahead) reschedule(key, instant(place_after(*found, millis(now))));
}

void Scheduler::remove(const ResultKey& key) {
  const std::optional<Id> id = find(key);
  if (!id) return;
  Entry& entry = entries_[*id];
  switch (entry.state) {
    case State::running:
      entry.removed = true;
      return;
    case State::waiting:
      pull(*id);
      break;
    case State::parked:
      std::erase(busy_.at(entry.address).parked, *id);
      break;
    case State::held:
      unhold(*id);
      pull(*id);
      break;
    case State::free:
      return;
  }
  free_entry(*id);
}

// ---- due times ----

std::uint64_t Scheduler::hash(Id id) const {
  const Entry& entry = entries_[id];
  const Group& group = groups_[entry.group];
  // Of the endpoint, whatever is asked there.
  const std::uint64_t hash = fold(fold(kFoldStart, lanes_[group.lane].target), entry.address.bytes());
  return mix(hash ^ mix((std::uint64_t{entry.port} << 1) | static_cast<std::uint64_t>(group.transport)));
}

// The result's first place in its intervals that is not before `instant`.
std::int64_t Scheduler::place_after(Id id, std::int64_t instant) const {
  const std::int64_t interval = groups_[entries_[id].group].interval;
  const std::uint64_t own = hash(id);
  const auto phase = static_cast<std::int64_t>(below(own, interval));
  const std::int64_t jitter = interval / 50;
  for (std::int64_t round = (instant - phase) / interval - 1;; ++round) {
    const std::uint64_t draw = mix(own + static_cast<std::uint64_t>(round) * 0x9E3779B97F4A7C15U);
    const std::int64_t place = round * interval + phase + static_cast<std::int64_t>(below(draw, 2 * jitter + 1)) - jitter;
    if (place >= instant) return place;
  }
}

std::int64_t Scheduler::spread(Id id, std::int64_t now) const {
  const std::int64_t window = std::min(groups_[entries_[id].group].interval / 10, kLongestSpread);
  return now + static_cast<std::int64_t>(below(mix(hash(id) + 1), window + 1));
}

std::int64_t Scheduler::due_from(Id id, const History& history, std::int64_t now) const {
  if (!history.last_probe) return now;
  const std::int64_t farthest = now + std::max(2 * groups_[entries_[id].group].interval, kFarthest);
  const std::int64_t due = history.due ? millis(*history.due) : now;
  if (due <= now) return spread(id, now);
  return due <= farthest ? due : place_after(id, now);  // a clock that was wrong when it was stored
}

std::optional<Time> Scheduler::finished(const ResultKey& key, Time now, bool confirm) {
  const std::optional<Id> id = find(key);
  if (!id || entries_[*id].state != State::running) return std::nullopt;
  Entry& entry = entries_[*id];
  const bool companion = entry.companion;
  entry.companion = false;
  if (!companion) {
    --in_flight_;
    const auto busy = busy_.find(entry.address);
    std::vector<Id> parked = std::move(busy->second.parked);
    busy->second.parked.clear();
    if (--busy->second.conversations == 0) busy_.erase(busy);
    for (const Id waiter : parked) push(waiter);
  }
  if (entry.removed) {
    free_entry(*id);
    return std::nullopt;
  }
  const std::int64_t half = entry.when + groups_[entry.group].interval / 2;
  entry.when = place_after(*id, std::max(half, millis(now)));
  if (confirm) entry.when = std::min(entry.when, millis(now) + limits_.retry_interval.count());
  entry.confirming = confirm;
  push(*id);
  return instant(entry.when);
}

bool Scheduler::reschedule(const ResultKey& key, Time when, bool confirm) {
  const std::optional<Id> id = find(key);
  if (!id || entries_[*id].state == State::running) return false;
  unpark(*id);
  unhold(*id);
  pull(*id);
  entries_[*id].shuffled = entries_[*id].put_off = false;
  entries_[*id].when = millis(when);
  entries_[*id].confirming = confirm;
  push(*id);
  return true;
}

std::size_t Scheduler::due_now(std::string_view target, std::string_view check, Time now, std::size_t* put_off) {
  const auto lane = lane_index_.find(target);
  if (lane == lane_index_.end() || lanes_[lane->second].paused) return 0;
  unhold_all(lane->second);
  std::size_t count = 0;
  const auto ask = [&](Id id) {
    Entry& entry = entries_[id];
    const Group& group = groups_[entry.group];
    if (group.lane != lane->second || (!check.empty() && group.check != check)) return;
    if (const std::optional<Held> why = held(id, millis(now)); why && why->scope == PaceScope::day) {
      if (put_off != nullptr) ++*put_off;
      return;
    }
    ++count;
    if (!entry.requested) requested_.push_back(id);
    entry.requested = true;
  };
  std::vector<Id> waiting = lanes_[lane->second].heap;
  std::sort(waiting.begin(), waiting.end(), [this](Id a, Id b) { return before(a, b); });
  for (const Id id : waiting) ask(id);
  for (const auto& [address, busy] : busy_) {
    for (const Id id : busy.parked) ask(id);
  }
  return count;
}

// Changes the due times of a lane's waiting results and puts them in order again.
template <class Change>
void Scheduler::reorder(std::uint32_t lane, Change change) {
  const std::vector<Id> waiting = std::move(lanes_[lane].heap);
  lanes_[lane].heap.clear();
  settle(lane);
  for (const Id id : waiting) {
    if (!entries_[id].first) entries_[id].when = change(id, entries_[id].when);
    push(id);
  }
}

void Scheduler::spread_overdue(Time now) {
  unhold_all(std::nullopt);
  for (std::uint32_t lane = 0; lane < lanes_.size(); ++lane) {
    reorder(lane, [&](Id id, std::int64_t due) { return due <= millis(now) ? spread(id, millis(now)) : due; });
  }
}

void Scheduler::pace_changed(Time now) {
  unhold_all(std::nullopt);
  for (Lane& lane : lanes_) {
    for (const Id id : std::vector<Id>(lane.heap)) {
      if (entries_[id].put_off) reschedule(key(id), instant(spread(id, millis(now))), entries_[id].confirming);
    }
  }
}

// A clock that was set back leaves everything due far ahead: such results take their next place. The gate is moved back too.
void Scheduler::watch_clock(std::int64_t now) {
  if (last_now_ != INT64_MIN && now + kClockStep < last_now_) {
    gate_ = INT64_MIN;
    unhold_all(std::nullopt);
    for (std::uint32_t lane = 0; lane < lanes_.size(); ++lane) {
      reorder(lane, [&](Id id, std::int64_t due) {
        return due > now + groups_[entries_[id].group].interval * 3 / 2 ? place_after(id, now) : due;
      });
      for (const Id id : std::vector<Id>(lanes_[lane].heap)) {
        if (entries_[id].first && entries_[id].when > now) reschedule(key(id), instant(now));
      }
    }
  }
  last_now_ = now;
}

// ---- lanes ----

// What was never probed is due since it came: a little earlier or later is all the same.
std::int64_t Scheduler::rank(const Entry& entry) const {
  return entry.shuffled ? entry.when - entry.when % kShuffled : entry.when;
}

bool Scheduler::before(Id a, Id b) const {
  const std::int64_t rank_a = rank(entries_[a]), rank_b = rank(entries_[b]);
  if (rank_a != rank_b) return rank_a < rank_b;
  const bool drawn = entries_[a].shuffled && entries_[b].shuffled && entries_[a].draw != entries_[b].draw;
  return drawn ? entries_[a].draw < entries_[b].draw : a < b;
}

void Scheduler::sift_up(std::vector<Id>& heap, std::size_t place) {
  const Id id = heap[place];
  while (place > 0) {
    const std::size_t parent = (place - 1) / 2;
    if (!before(id, heap[parent])) break;
    heap[place] = heap[parent];
    entries_[heap[place]].place = static_cast<std::uint32_t>(place);
    place = parent;
  }
  heap[place] = id;
  entries_[id].place = static_cast<std::uint32_t>(place);
}

void Scheduler::sift_down(std::vector<Id>& heap, std::size_t place) {
  const Id id = heap[place];
  while (true) {
    std::size_t child = 2 * place + 1;
    if (child >= heap.size()) break;
    if (child + 1 < heap.size() && before(heap[child + 1], heap[child])) ++child;
    if (!before(heap[child], id)) break;
    heap[place] = heap[child];
    entries_[heap[place]].place = static_cast<std::uint32_t>(place);
    place = child;
  }
  heap[place] = id;
  entries_[id].place = static_cast<std::uint32_t>(place);
}

void Scheduler::insert(std::vector<Id>& heap, Id id) {
  heap.push_back(id);
  sift_up(heap, heap.size() - 1);
}

void Scheduler::take_out(std::vector<Id>& heap, Id id) {
  const std::size_t place = entries_[id].place;
  const Id last = heap.back();
  heap.pop_back();
  if (last == id) return;
  heap[place] = last;
  entries_[last].place = static_cast<std::uint32_t>(place);
  sift_up(heap, place);
  sift_down(heap, entries_[last].place);
}

// Into its lane; `when` says where.
void Scheduler::push(Id id) {
  Lane& lane = lane_of(id);
  entries_[id].state = State::waiting;
  insert(lane.heap, id);
  if (lane.heap.front() == id) settle(groups_[entries_[id].group].lane);
}

// Out of its lane.
void Scheduler::pull(Id id) {
  const bool front = entries_[id].place == 0;
  take_out(lane_of(id).heap, id);
  if (front) settle(groups_[entries_[id].group].lane);
}

// Files a lane that is not in the ring under its next due time.
void Scheduler::settle(std::uint32_t number) {
  Lane& lane = lanes_[number];
  if (lane.ready) return;  // its turn will tell
  const std::int64_t until = lane.heap.empty() || lane.paused ? kAwake : entries_[lane.heap.front()].when;
  if (until == lane.sleeping_until) return;
  if (lane.sleeping_until != kAwake) sleeping_.erase({lane.sleeping_until, number});
  if (until != kAwake) sleeping_.insert({until, number});
  lane.sleeping_until = until;
}

void Scheduler::set_paused(std::uint32_t number, bool paused, std::int64_t now) {
  if (lanes_[number].paused == paused) return;
  unhold_all(number);
  lanes_[number].paused = paused;
  if (!paused) {
    reorder(number, [&](Id id, std::int64_t due) { return due <= now ? spread(id, now) : due; });
  }
  settle(number);
}

// ---- starting ----

bool Scheduler::address_free(Id id) const {
  const auto busy = busy_.find(entries_[id].address);
  return busy == busy_.end() || busy->second.conversations < limits_.per_address;
}

// Waits for a conversation with its address to end.
void Scheduler::park(Id id) {
  pull(id);
  entries_[id].state = State::parked;
  busy_.at(entries_[id].address).parked.push_back(id);
}

void Scheduler::unpark(Id id) {
  if (entries_[id].state != State::parked) return;
  std::erase(busy_.at(entries_[id].address).parked, id);
  push(id);
}

// ---- pace ----

std::optional<Held> Scheduler::held(Id id, std::int64_t now) const {
  if (!held_by_) return std::nullopt;
  return held_by_(entries_[id].address, instant(now));
}

Cidr Scheduler::hold_of(const IpAddress& address, bool by_network) const {
  return by_network ? pace_network(address) : Cidr(address, address.is_v4() ? 32 : 128);
}

void Scheduler::release_at(const Cidr& by, std::int64_t when) {
  Hold& hold = holds_.at(by);
  releases_.erase({hold.until, by});
  hold.until = when;
  releases_.insert({when, by});
}

// Out of its lane, until what it waits for is free.
void Scheduler::hold(Id id, const Held& why) {
  pull(id);
  Entry& entry = entries_[id];
  entry.state = State::held;
  entry.held_by_network = why.scope == PaceScope::network;
  const Cidr by = hold_of(entry.address, entry.held_by_network);
  insert(holds_[by].heaps[groups_[entry.group].lane], id);
  release_at(by, millis(why.until));
}

void Scheduler::put_off(Id id, Time until) {
  pull(id);
  entries_[id].shuffled = entries_[id].requested = false;
  entries_[id].put_off = true;
  entries_[id].when = millis(until);
  put_off_.push_back({key(id), until});
  push(id);
}

void Scheduler::hold_back(Id id, const Held& why) {
  if (why.scope == PaceScope::day) {
    put_off(id, why.until);
  } else {
    hold(id, why);
  }
}

// Back into its lane.
void Scheduler::unhold(Id id) {
  Entry& entry = entries_[id];
  if (entry.state != State::held) return;
  const auto found = holds_.find(hold_of(entry.address, entry.held_by_network));
  Hold& hold = found->second;
  const auto heap = hold.heaps.find(groups_[entry.group].lane);
  take_out(heap->second, id);
  if (heap->second.empty()) hold.heaps.erase(heap);
  if (hold.heaps.empty()) {
    releases_.erase({hold.until, found->first});
    holds_.erase(found);
  }
  push(id);
}

// Of one lane, or of all.
void Scheduler::unhold_all(std::optional<std::uint32_t> lane) {
  std::vector<Id> ids;
  for (const auto& [by, hold] : holds_) {
    for (const auto& [number, heap] : hold.heaps) {
      if (!lane || number == *lane) ids.insert(ids.end(), heap.begin(), heap.end());
    }
  }
  for (const Id id : ids) unhold(id);
}

// Of each hold that is free, one comes back: the longest due of the lane whose turn it is. The next follows when a visit there
// has begun (start()), or after a while.
void Scheduler::release_held(std::int64_t now) {
  while (!releases_.empty() && releases_.begin()->first <= now) {
    const Cidr by = releases_.begin()->second;
    Hold& hold = holds_.at(by);
    auto turn = hold.heaps.upper_bound(hold.last);
    if (turn == hold.heaps.end()) turn = hold.heaps.begin();
    const Id id = turn->second.front();
    if (const std::optional<Held> why = held(id, now); why && why->scope != PaceScope::day) {
      const bool by_network = why->scope == PaceScope::network;
      if (by_network == entries_[id].held_by_network) {
        release_at(by, std::max(millis(why->until), now + 1));
        continue;
      }
    }
    hold.last = turn->first;
    release_at(by, now + kNextRelease);
    unhold(id);
  }
}

// ---- starting, of what is free ----

std::optional<Scheduler::Id> Scheduler::take_requested(std::int64_t now) {
  for (std::size_t tries = std::min(requested_.size(), kMostRequestsLookedAt); tries > 0; --tries) {
    const Id id = requested_.front();
    requested_.pop_front();
    Entry& entry = entries_[id];
    if (!entry.requested || entry.state == State::free || entry.state == State::running) continue;
    if (lane_of(id).paused) {
      entry.requested = false;
      continue;
    }
    unhold(id);
    if (entry.state == State::waiting && address_free(id)) {
      const std::optional<Held> why = held(id, now);
      if (!why) return id;
      if (why->scope == PaceScope::day) {
        put_off(id, why->until);
        continue;
      }
    }
    requested_.push_back(id);  // its address is busy, or has had enough for now
  }
  return std::nullopt;
}

// The longest due of a lane whose address is free; what is not free waits elsewhere. `budget`: of such that may be met.
std::optional<Scheduler::Id> Scheduler::take_due(std::uint32_t number, std::int64_t now, std::size_t& budget) {
  Lane& lane = lanes_[number];
  while (budget > 0 && !lane.paused && !lane.heap.empty() && entries_[lane.heap.front()].when <= now) {
    const Id id = lane.heap.front();
    if (!address_free(id)) {
      park(id);
      continue;
    }
    const std::optional<Held> why = held(id, now);
    if (!why) return id;
    --budget;
    hold_back(id, *why);
  }
  return std::nullopt;
}

// Takes in what else is to be asked of the endpoint of `id`.
void Scheduler::take_companions(Id id, bool all, std::int64_t now, Visit& visit) {
  const Slot own = slot(id);
  for (const std::uint32_t group : lane_of(id).groups) {
    if (group == own.group || groups_[group].transport != groups_[own.group].transport) continue;
    const auto found = index_.find(Slot{group, own.address, own.port});
    if (found == index_.end()) continue;
    Entry& other = entries_[*found];
    if (other.state == State::free || other.state == State::running) continue;
    if (!all && other.when > now + groups_[group].interval / 2) continue;
    unpark(*found);
    unhold(*found);
    pull(*found);
    other.state = State::running;
    other.when = now;
    other.first = other.shuffled = other.put_off = other.requested = other.confirming = false;
    other.companion = true;
    visit.others.push_back(key(*found));
  }
}

Visit Scheduler::start(Id id, std::int64_t now) {
  pull(id);
  Entry& entry = entries_[id];
  Visit visit{key(id), instant(std::min(entry.when, now)), entry.first, entry.requested, {}};
  take_companions(id, entry.requested || entry.confirming, now, visit);
  entry.state = State::running;
  entry.when = now;
  entry.first = entry.shuffled = entry.put_off = entry.requested = entry.confirming = false;
  ++in_flight_;
  ++busy_[entry.address].conversations;
  for (const bool by_network : {false, true}) {
    const Cidr by = hold_of(entry.address, by_network);
    if (holds_.count(by) > 0) release_at(by, now);
  }
  if (limits_.per_second > 0) gate_ = std::max(gate_, now * 1000 - kBurst) + 1'000'000 / limits_.per_second;
  return visit;
}

std::optional<Visit> Scheduler::next(Time time) {
  const std::int64_t now = millis(time);
  watch_clock(now);
  if (in_flight_ >= limits_.concurrency || (limits_.per_second > 0 && gate_ > now * 1000)) return std::nullopt;
  if (const std::optional<Id> id = take_requested(now)) return start(*id, now);
  release_held(now);
  while (!sleeping_.empty() && sleeping_.begin()->first <= now) {
    const std::uint32_t lane = sleeping_.begin()->second;
    sleeping_.erase(sleeping_.begin());
    lanes_[lane].sleeping_until = kAwake;
    lanes_[lane].ready = true;
    ring_.push_back(lane);
  }
  std::size_t budget = kMostHeldBack;
  while (!ring_.empty()) {
    const std::uint32_t lane = ring_.front();
    ring_.pop_front();
    const std::optional<Id> id = take_due(lane, now, budget);
    if (id || budget == 0) ring_.push_back(lane);  // to the end: the others' turn
    if (id) return start(*id, now);
    if (budget == 0) return std::nullopt;  // goes on at the next call, which next_wakeup() wants at once
    lanes_[lane].ready = false;
    settle(lane);
  }
  return std::nullopt;
}

std::optional<Time> Scheduler::next_wakeup(Time time) const {
  const std::int64_t now = millis(time);
  if (in_flight_ >= limits_.concurrency) return std::nullopt;
  std::optional<std::int64_t> when;
  const auto consider = [&](std::int64_t then) { when = std::min(when.value_or(INT64_MAX), std::max(now, then)); };
  std::size_t looked_at = 0;
  for (const Id id : requested_) {
    if (!entries_[id].requested || entries_[id].state != State::waiting || !address_free(id)) continue;
    const std::optional<Held> why = held(id, now);
    consider(why ? millis(why->until) : now);
    if (!why || ++looked_at == kMostRequestsLookedAt) break;
  }
  if (!ring_.empty()) consider(now);
  if (!sleeping_.empty()) consider(sleeping_.begin()->first);
  if (!releases_.empty()) consider(releases_.begin()->first);
  if (!when) return std::nullopt;
  if (limits_.per_second > 0 && gate_ != INT64_MIN) when = std::max(*when, (gate_ + 999) / 1000);
  return instant(*when);
}

std::chrono::milliseconds Scheduler::lag(Time time) const {
  std::int64_t oldest = millis(time);
  if (!sleeping_.empty()) oldest = std::min(oldest, sleeping_.begin()->first);
  for (const std::uint32_t number : ring_) {
    const Lane& lane = lanes_[number];
    if (!lane.paused && !lane.heap.empty()) oldest = std::min(oldest, entries_[lane.heap.front()].when);
  }
  for (const auto& [address, busy] : busy_) {
    for (const Id id : busy.parked) {
      if (!lanes_[groups_[entries_[id].group].lane].paused) oldest = std::min(oldest, entries_[id].when);
    }
  }
  for (const auto& [by, hold] : holds_) {
    for (const auto& [number, heap] : hold.heaps) oldest = std::min(oldest, entries_[heap.front()].when);
  }
  return std::chrono::milliseconds(millis(time) - oldest);
}

std::optional<Time> Scheduler::due(const ResultKey& key) const {
  const std::optional<Id> id = find(key);
  if (!id || entries_[*id].state == State::running) return std::nullopt;
  return instant(entries_[*id].when);
}

}  // namespace ajar
