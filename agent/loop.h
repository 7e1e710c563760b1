// The event loop: libevent underneath, one coarse timing wheel for deadlines, and awaiters. One loop, one thread; only post()
// may be called from another. I/O is polled before deadlines expire.
#pragma once

#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "agent/in_hand.h"
#include "agent/timing_wheel.h"
#include "checks/task.h"

namespace ajar {

using Steady = std::chrono::steady_clock;

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();   // until stop(), also one that came before
  void stop();  // loop thread; from another: post([&]{ loop.stop(); })
  // Runs `work` on the loop thread soon. Thread-safe.
  void post(std::function<void()> work);
  // Calls `handler` on the loop thread when the process gets the signal.
  void on_signal(int number, std::function<void()> handler);
  Steady::time_point now() const { return Steady::now(); }

  // Awaits an instant (coarse: up to one tick late, never early). Returns false when shut_down() cut it short.
  class Sleep;
  Sleep sleep_until(Steady::time_point when);
  Sleep sleep_for(std::chrono::milliseconds span);

  // Ends every pending wait, now and from now on, as if its deadline had passed: coroutines unwind by LinkError or `false`.
  // Called from the loop itself (a signal handler, a posted function), never from a coroutine that is being resumed by a wait.
  void shut_down();
  bool shutting_down() const { return shutting_down_; }

  event_base* base() { return base_; }
  // Puts a deadline on the wheel: it expires at `when`, up to one tick later.
  void add_deadline(TimingWheel::Entry& entry, Steady::time_point when);

 private:
  static constexpr std::chrono::milliseconds kTick{20};
  struct Signal;
  std::uint64_t tick_at(Steady::time_point when) const;  // the first tick that is not before `when`
  void tick();
  void run_posted();

  event_base* base_ = nullptr;
  TimingWheel wheel_;
  Steady::time_point origin_;
  event* tick_event_ = nullptr;
  bool ticking_ = false;
  bool shutting_down_ = false;
  bool stopped_ = false;
  std::vector<std::unique_ptr<Signal>> signals_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  int wake_fd_ = -1;
  event* wake_event_ = nullptr;
};

// Wakes one coroutine when an instant passes or shut_down() is called.
class Loop::Sleep {
 public:
  Sleep(Loop& loop, Steady::time_point when) : loop_(loop), when_(when) {}
  bool await_ready() const { return loop_.shutting_down() || when_ <= loop_.now(); }
  void await_suspend(std::coroutine_handle<> awaiter);
  bool await_resume() const { return !loop_.shutting_down(); }

 private:
  struct Entry : TimingWheel::Entry {
    std::coroutine_handle<> awaiter;
    const ProbeMark* in_hand = nullptr;
    void expire() override { resume_in_hand(awaiter, in_hand); }
  };
  Loop& loop_;
  Steady::time_point when_;
  Entry entry_;
};

// Awaits that the loop has been through everything that the kernel had for it when this was called, and through what that led
// to once more: a connection is taken in, then what came with it is read. Some 60 ms. False when shut_down() cut it short.
Task<bool> come_round(Loop& loop);

// A non-blocking descriptor on a loop: one edge-triggered event for its whole life (libevent event_assign, no allocation). Owns
// the descriptor. One coroutine waits at a time.
class Socket {
 public:
  Socket(Loop& loop, int fd);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  Loop& loop() { return loop_; }
  // The instant after which a wait gives up. Kept until changed; every later wait is bound by it.
  void set_deadline(Steady::time_point when);

  // co_await socket.readable(): true when it may be read, false when the deadline passed or the loop is shutting down. A
  // spurious true is possible: try, and wait again on EAGAIN after calling drained_*. Edge-triggered: without drained_* it is
  // true at once.
  class Wait;
  Wait readable();
  Wait writable();
  // recv said EAGAIN, or gave less than was asked for. Once the peer has ended its side there is always something to read (the
  // end at least), and no further edge would tell.
  void drained_read() { can_read_ = ended_; }
  void drained_write() { can_write_ = false; }  // send said EAGAIN
  // Whether something may be there to read, the end or an error included, as far as the loop knows.
  bool may_be_read() const { return can_read_; }
  bool stopping() const { return loop_.shutting_down(); }

 private:
  struct Deadline : TimingWheel::Entry {
    Socket* socket = nullptr;
    void expire() override { socket->expired(); }
  };
  static void on_event(int fd, short what, void* self);
  void expired();
  void wake();

  Loop& loop_;
  int fd_;
  bool wants_read_ : 1 = false, wants_write_ : 1 = false;
  bool can_read_ : 1 = false, can_write_ : 1 = false, timed_out_ : 1 = false;
  bool ended_ : 1 = false;  // the peer's FIN is here
  event event_{};
  Deadline deadline_;
  Steady::time_point deadline_at_ = Steady::time_point::max();
  Steady::time_point entry_at_{};  // where deadline_ sits on the wheel
  std::coroutine_handle<> waiter_;
  const ProbeMark* in_hand_ = nullptr;  // what the waiter works for
};

class Socket::Wait {
 public:
  Wait(Socket& socket, bool read) : socket_(socket), read_(read) {}
  bool await_ready() const;
  void await_suspend(std::coroutine_handle<> awaiter);
  bool await_resume() const { return !socket_.timed_out_; }

 private:
  Socket& socket_;
  bool read_;
};

}  // namespace ajar
