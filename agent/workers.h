// Threads that probe. Each runs a loop of its own and has, for itself, what a probe touches thousands of times: connections,
// deadlines, TLS, tokens under way, which ports answered. The loop that began them, the main loop, keeps the schedule, the
// ledger and the canary. A visit goes over to a worker, its records come back, and between them go the questions of a probe
// that only the ledger or the canary can answer.
//
// Whatever comes back is taken in the order in which the worker said it: a token that may still arrive is known before the
// record that speaks of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "agent/loop.h"
#include "agent/runner.h"

namespace ajar {

// What other threads hand to a loop: one wake-up for many.
class Outbox {
 public:
  // `loop` runs it.
  explicit Outbox(Loop& loop) : loop_(loop) {}
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void push(std::function<void()> work);  // any thread
  // Runs what was pushed so far, in order; also from within something that it runs. Loop thread.
  void run();

 private:
  Loop& loop_;
  std::deque<std::function<void()>> taken_;  // loop thread
  std::mutex mutex_;
  std::vector<std::function<void()>> pushed_;
};

// Which of `count` workers asks an address: the same for all of its network, which is a /24 of IPv4 or a /64 of IPv6, so that
// what is paced by address or network is paced in one place.
std::size_t worker_of(const IpAddress& address, std::size_t count);

// Main loop's thread, all of it.
class Workers {
 public:
  struct Hooks {
    std::function<void()> begin;  // on each worker's thread, before its first probe
    // A proof that came before the ledger knew its token, which it knows now. Main loop.
    std::function<void(const Arrival&)> outran;
  };
  // Begins `count` threads. `main` is the world of a probe on the main loop; each worker gets one like it, and asks its book
  // and its canary there. `main` and what it refers to outlive this. std::system_error where there is no room for a thread or a
  // loop.
  Workers(ProbeWorld& main, unsigned count, Hooks hooks);
  // After shut_down() has called `then` and the main loop was shut down too, or before the first visit.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // run_visit() on the thread of its address; `done` is called on the main loop.
  Task<bool> visit(std::vector<ProbePlan> plans, std::function<void(const Record&)> done);
  // Sightings::note() of all; and whatever a worker said before is taken in when this returns.
  bool note(const Arrival& arrival);
  // Of that address.
  const Answered& answered(const IpAddress& address) const;
  // What is known of the vantage from now on.
  void know(const Vantage& vantage);
  // ConnectGate::set_pace() and Pace::expire() of each.
  void set_pace(const PaceLimits& limits);
  void expire();
  // The thread (gettid) of one that has not come round since this was called last; 0: all have. Asks them to come round again.
  std::uint32_t late();

  // Ends every wait and every thread. What they learnt is taken in; then `then` is called, once. No visit after this.
  void shut_down(std::function<void()> then);
  std::size_t size() const { return workers_.size(); }

 private:
  class Worker;
  void ended();

  ProbeWorld& main_;
  const Hooks hooks_;
  Outbox outbox_;
  std::atomic<bool> ending_{false};
  std::size_t running_ = 0;
  std::function<void()> then_;
  std::vector<std::unique_ptr<Worker>> workers_;  // last: their threads end first
};

}  // namespace ajar
