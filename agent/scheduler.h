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
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

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

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);
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
  // paused.
  std::size_t due_now(std::string_view target, std::string_view check);
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
  enum class State : std::uint8_t { free, waiting, parked, running };

  struct Entry {
    IpAddress address;
    std::uint16_t port = 0;
    std::uint32_t group = 0;
    std::int64_t when = 0;    // due; while running: when it started (milliseconds since the epoch)
    std::uint32_t place = 0;  // waiting: in its lane's heap
    State state = State::free;
    bool first = false;
    bool requested = false;
    bool confirming = false;
    bool removed = false;    // while running
    bool companion = false;  // while running: of the visit of another result, which counts in the caps
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
  void release(Id id);

  std::uint64_t hash(Id id) const;
  std::int64_t place_after(Id id, std::int64_t instant) const;
  std::int64_t spread(Id id, std::int64_t now) const;
  std::int64_t due_from(Id id, const History& history, std::int64_t now) const;
  template <class Change>
  void reorder(std::uint32_t lane, Change change);

  bool before(Id a, Id b) const;
  void push(Id id);
  void pull(Id id);
  void sift_up(Lane& lane, std::size_t place);
  void sift_down(Lane& lane, std::size_t place);
  void settle(std::uint32_t lane);
  void set_paused(std::uint32_t lane, bool paused, std::int64_t now);

  bool address_free(Id id) const;
  void park(Id id);
  void unpark(Id id);
  void watch_clock(std::int64_t now);
  std::optional<Id> take_requested();
  std::optional<Id> take_due(std::uint32_t lane, std::int64_t now);
  Visit start(Id id, std::int64_t now);
  void take_companions(Id id, bool all, std::int64_t now, Visit& visit);

  SchedulerLimits limits_;
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
  std::deque<Id> requested_;
  std::size_t in_flight_ = 0;
  std::int64_t gate_ = INT64_MIN;  // microseconds: the next start may happen from here on
  std::int64_t last_now_ = INT64_MIN;
};

}  // namespace ajar
