// What is due next. Pure: no clock, no socket, no log; every instant is handed in, so that a test lives two days in a second.
//
// The rules
//   first     A result that was never probed is due at once.
//   phase     After that each result keeps its own place in the interval: it is due at k * interval + phase + jitter, phase
//   being a
//             hash of its key, jitter a hash of key and k within ±2 % of the interval. So a fleet spreads evenly, a restart
//             finds the same places, and nobody can predict a probe to the second. The next place is the first one at least
//             half an interval after the probe started: the gap after a first, a requested or a confirming probe is 0.5 to 1.5
//             intervals, and from then on one interval.
//   confirm   A change asks for a second opinion: due retry_interval after the probe (or at its place, where that is sooner).
//   restart   What fell due while nobody was running is spread over a tenth of its interval, at most 15 minutes, by its hash;
//   it
//             never starts all at once. What was not yet due keeps its due time.
//   fair      Targets take turns: each turn starts one probe of a target that has one due, however many the others have. Within
//   a
//             target the longest due goes first.
//   caps      At most `concurrency` probes at a time, `per_address` to one address, and `per_second` starts a second, evenly:
//   after
//             an idle time, or when the caller is late, up to 50 ms worth may start together.
//   asked     due_now() (POST /probe) goes before everything else, under the same caps.
//   order     What was never probed and came within the same four seconds has no order: a hash chooses, so that nobody sees us
//             walk through a network.
//   pace      What Pace holds back waits beside its lane, by what it waits for (its address or its network), and comes back
//   when
//             that is free: one result at a time, the targets in turn. So a slow network takes no place of `concurrency`, and
//             costs the others nothing. An address whose day's budget is used up is put off until it is free again.
//
//   visit     The results of one endpoint share the place in their intervals, and one visit asks all of them that are due
//   within
//             half an interval. A visit that confirms a change, or was asked for, takes all of them: what one check hears
//             settles the silence of another.
//
// Costs: O(log n) a step; about 90 bytes a result (measured with a million). Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "agent/pace.h"
#include "agent/record.h"
#include "agent/time.h"

namespace ajar {

struct SchedulerLimits {
  unsigned concurrency = 1000;
  unsigned per_second = 500;  // 0: no limit
  unsigned per_address = 1;
  std::chrono::milliseconds retry_interval{std::chrono::minutes(5)};
};

// What the ledger knows of a result from before.
struct History {
  std::optional<Time> last_probe;  // nullopt: never probed
  std::optional<Time> due;         // as the scheduler last said
};

// What to ask of one endpoint now.
struct Visit {
  ResultKey key;
  Time due{};                     // when it fell due
  bool first = false;             // it was never probed
  bool requested = false;         // due_now() asked for it
  std::vector<ResultKey> others;  // of the same endpoint, asked in the same visit
};

// A result whose address has used up its budget of a day, and when it is due now.
struct PutOff {
  ResultKey key;
  Time due;
};

class Scheduler {
 public:
  // Whether a visit to an address may begin, as Pace::held() has it; empty: always. A visit that began counts there before the
  // next call of next().
  using HeldBy = std::function<std::optional<Held>(const IpAddress&, Time now)>;

  explicit Scheduler(const SchedulerLimits& limits, HeldBy held_by = {});
  void set_limits(const SchedulerLimits& limits);

  // Takes a result in. For one that is there already only `interval` and `paused` are taken over; it keeps its due time unless
  // that lies more than 1.5 of the new intervals ahead. `paused` concerns the whole target: nothing of it is handed out. When a
  // target is no longer paused, what is overdue is spread as after a restart.
  void add(const ResultKey& key, std::chrono::milliseconds interval, bool paused, const History& history, Time now);
  // Forgets a result. One that is running stays counted in the caps until finished().
  void remove(const ResultKey& key);

  // The next visit that may start now; the caller runs it and calls finished() for each result, for `key` last: that frees the
  // address. Call until nullopt.
  std::optional<Visit> next(Time now);
  // A probe that next() handed out has ended. `confirm`: a second one is wanted soon (Change::confirm). Returns the next due
  // time; nullopt when the result was removed meanwhile.
  std::optional<Time> finished(const ResultKey& key, Time now, bool confirm = false);
  // Moves the next probe of a result that is not running to `when` (greylisting: retry after a while). `confirm`: as finished()
  // has it. False: no such result.
  bool reschedule(const ResultKey& key, Time when, bool confirm = false);
  // Asks for a target's results now: of one check, or of all when `check` is empty. Returns how many; 0 also while it is
  // paused. Those that were put off for the budget of their address are not asked for: `put_off` counts them.
  std::size_t due_now(std::string_view target, std::string_view check, Time now, std::size_t* put_off = nullptr);
  // The limits of the pace have changed: what was held back or put off is looked at again.
  void pace_changed(Time now);
  // What was put off for a budget since the last call.
  std::vector<PutOff> take_put_off() { return std::exchange(put_off_, {}); }
  // After a pause of all probing, or a suspended machine: spreads what fell due meanwhile, as after a restart.
  void spread_overdue(Time now);

  // When next() should be called again without a finished() in between; nullopt: only finished() or add() can change anything.
  std::optional<Time> next_wakeup(Time now) const;
  // How long the longest-due probe has been waiting (ajar_schedule_lag_seconds); paused targets do not count.
  std::chrono::milliseconds lag(Time now) const;
  std::optional<Time> due(const ResultKey& key) const;  // nullopt: unknown or running
  std::size_t size() const { return index_.size(); }
  std::size_t in_flight() const { return in_flight_; }

 private:
  using Id = std::uint32_t;
  enum class State : std::uint8_t { free, waiting, parked, held, running };

  struct Entry {
    IpAddress address;
    std::uint16_t port = 0;
    std::uint32_t group = 0;
    std::int64_t when = 0;    // due; while running: when it started (milliseconds since the epoch)
    std::uint32_t place = 0;  // waiting: in its lane's heap; held: in that of its lane there
    std::uint32_t draw = 0;   // of its hash
    State state = State::free;
    bool first : 1 = false;
    bool shuffled : 1 = false;         // never probed, and due since it came: among such draw says which goes first
    bool held_by_network : 1 = false;  // while held: not by its address
    bool put_off : 1 = false;          // for the budget of its address
    bool requested : 1 = false;
    bool confirming : 1 = false;
    bool removed : 1 = false;    // while running
    bool companion : 1 = false;  // while running: of the visit of another result, which counts in the caps
  };
  // What the results of one target, check and transport share.
  struct Group {
    std::uint32_t lane = 0;
    std::string check;
    Transport transport = Transport::tcp;
    std::int64_t interval = 0;  // milliseconds
  };
  // One target: a heap of what waits, the longest due on top. It is in ring_ (ready), or in sleeping_, or paused, or empty.
  struct Lane {
    std::string target;
    std::vector<Id> heap;
    std::vector<std::uint32_t> groups;
    bool paused = false;
    bool ready = false;
    std::int64_t sleeping_until = kAwake;
  };
  // A conversation or more is on with the address; `parked` waits for its end.
  struct Busy {
    unsigned conversations = 0;
    std::vector<Id> parked;
  };
  // What waits for the pace of an address or of a network, by lane.
  struct Hold {
    std::int64_t until = 0;
    std::uint32_t last = 0;  // the lane whose turn it was
    std::map<std::uint32_t, std::vector<Id>> heaps;
  };
  struct Slot {
    std::uint32_t group = 0;
    IpAddress address;
    std::uint16_t port = 0;
  };
  struct AddressHash {
    std::size_t operator()(const IpAddress& address) const;
  };
  struct SlotHash {
    using is_transparent = void;
    const Scheduler* self;
    std::size_t operator()(const Slot& slot) const;
    std::size_t operator()(Id id) const { return (*this)(self->slot(id)); }
  };
  struct SlotEqual {
    using is_transparent = void;
    const Scheduler* self;
    static bool same(const Slot& a, const Slot& b) { return a.group == b.group && a.port == b.port && a.address == b.address; }
    bool operator()(Id a, Id b) const { return a == b; }
    bool operator()(const Slot& a, Id b) const { return same(a, self->slot(b)); }
    bool operator()(Id a, const Slot& b) const { return same(self->slot(a), b); }
  };
  static constexpr std::int64_t kAwake = INT64_MIN;

  Slot slot(Id id) const { return {entries_[id].group, entries_[id].address, entries_[id].port}; }
  Lane& lane_of(Id id) { return lanes_[groups_[entries_[id].group].lane]; }
  ResultKey key(Id id) const;
  std::optional<Id> find(const ResultKey& key) const;
  std::uint32_t group_for(const ResultKey& key);
  Id allocate(const ResultKey& key, std::uint32_t group);
  void free_entry(Id id);

  std::uint64_t hash(Id id) const;
  std::int64_t place_after(Id id, std::int64_t instant) const;
  std::int64_t spread(Id id, std::int64_t now) const;
  std::int64_t due_from(Id id, const History& history, std::int64_t now) const;
  template <class Change>
  void reorder(std::uint32_t lane, Change change);

  std::int64_t rank(const Entry& entry) const;
  bool before(Id a, Id b) const;
  void push(Id id);
  void pull(Id id);
  void insert(std::vector<Id>& heap, Id id);
  void take_out(std::vector<Id>& heap, Id id);
  void sift_up(std::vector<Id>& heap, std::size_t place);
  void sift_down(std::vector<Id>& heap, std::size_t place);
  void settle(std::uint32_t lane);
  void set_paused(std::uint32_t lane, bool paused, std::int64_t now);

  bool address_free(Id id) const;
  void park(Id id);
  void unpark(Id id);
  std::optional<Held> held(Id id, std::int64_t now) const;
  Cidr hold_of(const IpAddress& address, bool by_network) const;
  void hold(Id id, const Held& why);
  void hold_back(Id id, const Held& why);
  void unhold(Id id);
  void unhold_all(std::optional<std::uint32_t> lane);
  void release_at(const Cidr& by, std::int64_t when);
  void release_held(std::int64_t now);
  void put_off(Id id, Time until);
  void watch_clock(std::int64_t now);
  std::optional<Id> take_requested(std::int64_t now);
  std::optional<Id> take_due(std::uint32_t lane, std::int64_t now, std::size_t& budget);
  Visit start(Id id, std::int64_t now);
  void take_companions(Id id, bool all, std::int64_t now, Visit& visit);

  SchedulerLimits limits_;
  HeldBy held_by_;
  std::vector<Entry> entries_;
  std::vector<Id> free_;
  std::vector<Group> groups_;
  std::vector<Lane> lanes_;
  std::map<std::string, std::uint32_t, std::less<>> lane_index_;
  std::map<std::tuple<std::uint32_t, std::string, Transport>, std::uint32_t> group_index_;
  std::unordered_set<Id, SlotHash, SlotEqual> index_;
  std::unordered_map<IpAddress, Busy, AddressHash> busy_;
  std::deque<std::uint32_t> ring_;                             // lanes with something due, in turn
  std::set<std::pair<std::int64_t, std::uint32_t>> sleeping_;  // lanes by the time of their next due
  std::map<Cidr, Hold> holds_;
  std::set<std::pair<std::int64_t, Cidr>> releases_;  // holds_ by the time when the next may come back
  std::vector<PutOff> put_off_;
  std::deque<Id> requested_;
  std::size_t in_flight_ = 0;
  std::int64_t gate_ = INT64_MIN;  // microseconds: the next start may happen from here on
  std::int64_t last_now_ = INT64_MIN;
};

}  // namespace ajar
