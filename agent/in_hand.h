// Which probe the code that a thread runs works for. A probe's coroutine is resumed thousands of times among thousands of
// others; each wait takes the mark off when it suspends and puts it on again when it resumes, so that a crash finds the one at
// work.
//
// Costs a few plain stores a resume, into pages that the kernel keeps when the process dies (agent/crash_journal).
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "agent/record.h"

namespace ajar {

// What a crash is counted on: the question to one endpoint, whatever its target is called.
struct ProbePlace {
  IpAddress address;
  std::uint16_t port = 0;
  Transport transport = Transport::tcp;
  std::string check;
  friend auto operator<=>(const ProbePlace&, const ProbePlace&) = default;
};
inline ProbePlace probe_place(const ResultKey& key) { return {key.address, key.port, key.transport, key.check}; }

// The same as plain bytes, for a page that outlives the process.
struct ProbeMark {
  std::array<std::uint8_t, 16> address{};
  std::array<char, 32> check{};  // ends with zeros
  std::uint16_t port = 0;
  std::uint8_t family = 0;  // 4 or 6
  std::uint8_t transport = 0;
  std::uint32_t unused = 0;
  std::uint64_t sum = 0;  // of all the rest: tells a torn one
};
static_assert(sizeof(ProbeMark) == 64);
ProbeMark mark_of(const ResultKey& key);
// nullopt: torn, or no check that this version knows.
std::optional<ProbePlace> place_of(const ProbeMark& mark);

// Where one thread writes what it works for. In the journal's pages: what another process left there is read as it is. Two
// cache lines of its own: it is written at each resume, and no two threads may wait for each other over that.
struct alignas(128) HandLane {
  std::atomic<std::uint32_t> thread;  // gettid() of its owner; 0: nobody's
  std::atomic<std::uint32_t> busy;    // 1: `mark` is whole, and in hand
  std::uint64_t unused;
  ProbeMark mark;
};
static_assert(sizeof(HandLane) == 128);

// The calling thread's hand.
class InHand {
 public:
  // nullptr: nothing.
  static const ProbeMark* now() { return current_; }
  // `mark` lives until another is taken, or none.
  static void take(const ProbeMark* mark);
  // Before a wait: what is in hand, which is nothing from here on.
  static const ProbeMark* leave();
  // Where this thread writes from now on; nullptr: nowhere. `lane` lives until then.
  static void write_to(HandLane* lane);

 private:
  static thread_local const ProbeMark* current_;
  static thread_local HandLane* lane_;
};

// Resumes what waited with `mark` in hand, and takes up again what was in hand here.
inline void resume_in_hand(std::coroutine_handle<> waiter, const ProbeMark* mark) {
  const ProbeMark* const before = InHand::now();
  if (mark != before) InHand::take(mark);
  waiter.resume();
  if (InHand::now() != before) InHand::take(before);
}

// A result is worked for while this lives, across every wait.
class WorkOn {
 public:
  explicit WorkOn(const ResultKey& key) : mark_(mark_of(key)) { InHand::take(&mark_); }
  ~WorkOn() {
    if (InHand::now() == &mark_) InHand::take(nullptr);
  }
  WorkOn(const WorkOn&) = delete;
  WorkOn& operator=(const WorkOn&) = delete;

 private:
  ProbeMark mark_;
};

}  // namespace ajar
