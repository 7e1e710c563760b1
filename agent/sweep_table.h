// What the sweep of one network knows: a byte for each endpoint, and when each is asked again. Pure: every instant is handed
// in.
//
// The rules
//   first     What was never asked is asked as fast as the caller allows, in the order of the permutation.
//   again     After that a sweep is spread evenly over its interval: the step k of n is due at k/n of it. So an endpoint keeps
//             its place in the interval, and needs no due time of its own.
//   late      What could not be asked in time (a pause, a restart, rates that are too low) moves the rest of the sweep: it is
//             never made up for in a burst.
//             The first that is spread begins half an interval after the quick one: so an endpoint rests for half an interval
//             to one and a half.
//   by hand   hurry() asks all that was refused or silent once, as fast as the caller allows.
//   listens   An endpoint where something listens is a result of its own: the sweep passes it by, until note() says otherwise.
//   others'   An endpoint of which another target asks every question, or outside the scope, is passed by and counted nowhere.
//
// Costs: a byte an endpoint, and a permutation computed (about 0.2 us) for each step. Loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/sweep_order.h"
#include "agent/time.h"
#include "checks/catalogue.h"
#include "config/config.h"

namespace ajar {

enum class SweepState : std::uint8_t {
  never,     // not asked yet
  refused,   // by the host itself: nobody listens
  silent,    // no answer, or a filter's refusal
  no_route,  // it could not be asked from here
  listening
};
inline constexpr std::size_t kSweepStates = 5;
inline constexpr std::uint64_t kMaxSwept = 1U << 20;  // addresses of one network
std::string_view to_string(SweepState state);

// A port that is asked of each address, and for which checks.
struct SweepDoor {
  std::uint16_t port = 0;
  Transport transport = Transport::tcp;
  std::vector<std::uint16_t> checks;  // places in SweepPlan::checks, each once
  friend bool operator==(const SweepDoor&, const SweepDoor&) = default;
};

// What is to be swept.
struct SweepPlan {
  Cidr network{IpAddress{}, 32};
  std::uint64_t addresses = 0;  // the first so many of it: a power of two
  std::vector<std::string> checks;
  std::vector<SweepDoor> doors;  // at most 32 checks each
  Duration interval{};

  std::uint64_t size() const { return addresses * doors.size(); }
  std::optional<std::uint32_t> door(std::uint16_t port, Transport transport) const;
};

// How many there are of each state: endpoints, or results of one check.
struct SweepCounts {
  std::array<std::uint64_t, kSweepStates> by_state{};
  std::uint64_t covered = 0;  // refused or silent, asked no longer than two intervals ago
  std::uint64_t operator[](SweepState state) const { return by_state[static_cast<std::size_t>(state)]; }
  std::uint64_t all() const;
};

struct SweepSummary {
  SweepCounts endpoints;
  std::map<std::string, SweepCounts> by_check;
  std::optional<Time> completed;  // the end of the latest whole sweep
  std::optional<Time> oldest;     // no refusal is older than this; nullopt: there is none, or its time is not known
};

// What is shown of one network.
struct SweepRow {
  std::string target;
  SweepSummary summary;
  bool paused = false;
};
using SweepView = std::vector<SweepRow>;  // by target

class SweepTable {
 public:
  static constexpr std::size_t kSegments = 64;    // parts of a sweep whose time is remembered
  static constexpr std::uint64_t kSlice = 16384;  // steps that are stored together

  // `key`: whoever does not know it cannot tell the order.
  SweepTable(SweepPlan plan, std::uint64_t key);

  const SweepPlan& plan() const { return plan_; }
  std::uint64_t size() const { return states_.size(); }

  // -- asking --
  // The next endpoint that is due. It is under way until note() or give_back(). nullopt: none is, or there are more to pass by
  // than one call does (next_due() says which).
  std::optional<std::uint64_t> next(Time now);
  // When next() may give something; nullopt: only note() or another call can change that.
  std::optional<Time> next_due() const;
  // What came of a step that next() gave.
  void note(std::uint64_t step, SweepState state);
  // One of them could not be asked, for reasons of our own: it keeps its state.
  void give_back();
  // Asks everything but what listens again, now.
  void hurry(Time now);

  SweepSpot at(std::uint64_t step) const { return order_.at(step); }
  std::optional<std::uint64_t> step_of(const IpAddress& address, std::uint16_t port, Transport transport) const;
  IpAddress address(const SweepSpot& spot) const { return plan_.network.at(spot.address).value(); }
  SweepState state(std::uint64_t step) const { return static_cast<SweepState>(states_[step] & kStateMask); }
  // What something else than a question tells of it, whoever is under way.
  void set(std::uint64_t step, SweepState state);

  // -- what changes --
  void set_interval(Duration interval, Time now);
  // The checks at an endpoint that are not asked by this target: a bit for each place in SweepDoor::checks.
  void set_others(std::uint64_t step, std::uint32_t checks);
  void clear_others();
  // Whatever listened is asked again, until set() says that it is known otherwise.
  void forget_listening();
  // Takes a step out of turn, as if next() had given it.
  void begin() { ++under_way_; }
  bool is_others(std::uint64_t step) const { return states_[step] >> kClassShift == kNotOurs; }
  // Takes over what another table knows of the endpoints that both have.
  void take_over(const SweepTable& old, Time now);

  SweepSummary summary(Time now) const;

  // -- for the store --
  struct Progress {
    std::uint64_t key = 0;
    std::uint64_t fresh = 0, cursor = 0;  // steps
    std::optional<Time> began;            // of the sweep that is spread over its interval
    std::optional<Time> entered, completed;
    std::vector<std::optional<Time>> asked;  // by segment
  };
  Progress progress() const;
  // Once, before anything is asked. False: it does not fit, nothing was taken over.
  bool restore(const Progress& progress, std::span<const std::pair<std::uint64_t, std::string>> slices);
  std::uint64_t slices() const { return (size() + kSlice - 1) / kSlice; }
  std::string slice(std::uint64_t number) const;  // its states
  // The slices that changed since this was asked last.
  std::vector<std::uint64_t> take_changed();

 private:
  static constexpr std::uint8_t kStateMask = 0x0F;
  static constexpr unsigned kClassShift = 4;
  static constexpr std::uint8_t kNotOurs = 15;
  static constexpr std::uint64_t kMostPassed = 65536;  // steps that one call passes by
  using Counters = std::array<std::uint64_t, kSweepStates>;

  std::uint64_t segment_of(std::uint64_t step) const { return step * kSegments / size(); }
  Time due(std::uint64_t step) const;
  bool is_fresh(std::uint64_t step) const {
    return states_[step] >> kClassShift != kNotOurs && state(step) == SweepState::never;
  }
  void put(std::uint64_t step, SweepState state);
  void count(std::uint64_t step, int change);
  std::uint32_t others_of(std::uint64_t step) const { return classes_[states_[step] >> kClassShift]; }
  std::uint8_t class_of(std::uint32_t checks);
  bool is_first_complete() const { return !began_ && endpoints_ > 0 && asked_ >= endpoints_ && under_way_ == 0; }
  std::optional<std::uint64_t> next_fresh(Time now);
  std::optional<std::uint64_t> next_again(Time now);
  Time after_quick(Time now) const;
  void enter(std::uint64_t segment, Time now);
  void leave(std::uint64_t segment);

  SweepPlan plan_;
  std::uint64_t key_;
  SweepOrder order_;
  std::vector<std::uint8_t> states_;  // by step: the state below, which of its checks are others' above
  std::array<std::uint32_t, 16> classes_{};
  std::uint8_t known_classes_ = 1;
  // Of what was asked; what was not is the rest of all.
  std::vector<Counters> counts_;        // by segment
  std::vector<Counters> check_counts_;  // by check, then segment
  std::uint64_t endpoints_ = 0;         // that are ours
  std::vector<std::uint64_t> results_;  // the same by check
  std::uint64_t asked_ = 0;             // endpoints in another state than never
  std::uint64_t under_way_ = 0;

  std::uint64_t fresh_ = 0;          // where the search for what was never asked stands
  std::uint64_t cursor_ = 0;         // the next step of the sweep
  std::optional<Time> began_;        // when its step 0 was due, had it never been late
  bool hurry_ = false;               // until its end
  std::optional<Time> quick_since_;  // the beginning of a sweep that is not spread
  std::optional<Time> entered_;      // when the sweep came to the segment where it is
  std::optional<Time> completed_;
  std::array<std::optional<Time>, kSegments> asked_at_{};  // none of the segment was asked longer ago
  std::vector<bool> changed_;                              // slices
};

}  // namespace ajar
