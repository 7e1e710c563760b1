#include "agent/loop.h"

#include <csignal>
#include <stdexcept>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace ajar {

struct Loop::Signal {
  std::function<void()> handler;
  event* watcher = nullptr;
  ~Signal() {
    if (watcher != nullptr) event_free(watcher);
  }
};

Loop::Loop() : origin_(Steady::now()) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that went away is an error code, also inside OpenSSL
  event_config* config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_require_features(config, EV_FEATURE_ET);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (base_ == nullptr || wake_fd_ < 0) throw std::runtime_error("cannot make an event loop (epoll or eventfd failed)");
  tick_event_ = event_new(base_, -1, EV_PERSIST, [](int, short, void* self) { static_cast<Loop*>(self)->tick(); }, this);
  wake_event_ = event_new(
      base_, wake_fd_, EV_READ | EV_PERSIST, [](int, short, void* self) { static_cast<Loop*>(self)->run_posted(); }, this);
  event_add(wake_event_, nullptr);
}

Loop::~Loop() {
  signals_.clear();
  event_free(tick_event_);
  event_free(wake_event_);
  close(wake_fd_);
  event_base_free(base_);
}

void Loop::run() {
  if (!stopped_) event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY);
  stopped_ = false;
}

void Loop::stop() {
  stopped_ = true;
  event_base_loopbreak(base_);
}

void Loop::post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (!first) return;  // the loop is to be woken already, and takes all that there is
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);  // fails only when a wake-up is pending already
}

void Loop::run_posted() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_fd_, &count, sizeof count);
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (const auto& function : work) function();
}

void Loop::on_signal(int number, std::function<void()> handler) {
  auto signal = std::make_unique<Signal>();
  signal->handler = std::move(handler);
  signal->watcher =
      evsignal_new(base_, number, [](int, short, void* self) { static_cast<Signal*>(self)->handler(); }, signal.get());
  event_add(signal->watcher, nullptr);
  signals_.push_back(std::move(signal));
}

std::uint64_t Loop::tick_at(Steady::time_point when) const {
  if (when <= origin_) return 0;
  const auto past = when - origin_;
  return static_cast<std::uint64_t>((past + kTick - Steady::duration(1)) / kTick);
}

void Loop::add_deadline(TimingWheel::Entry& entry, Steady::time_point when) {
  if (!ticking_) {
    // The wheel stood still while it was empty: bring it to the present before anything is put on it.
    wheel_.advance(static_cast<std::uint64_t>((now() - origin_) / kTick));
    const timeval interval{0, std::chrono::duration_cast<std::chrono::microseconds>(kTick).count()};
    event_add(tick_event_, &interval);
    ticking_ = true;
  }
  wheel_.add(entry, tick_at(when));
}

void Loop::tick() {
  wheel_.advance(static_cast<std::uint64_t>((now() - origin_) / kTick));
  if (wheel_.size() == 0) {
    event_del(tick_event_);
    ticking_ = false;
  }
}

void Loop::shut_down() {
  shutting_down_ = true;
  wheel_.expire_all();
}

Loop::Sleep Loop::sleep_until(Steady::time_point when) { return Sleep(*this, when); }
Loop::Sleep Loop::sleep_for(std::chrono::milliseconds span) { return Sleep(*this, now() + span); }

void Loop::Sleep::await_suspend(std::coroutine_handle<> awaiter) {
  entry_.awaiter = awaiter;
  entry_.in_hand = InHand::leave();
  loop_.add_deadline(entry_, when_);
}

// A deadline is looked at after what the kernel has, and once it may be in the round that set it.
Task<bool> come_round(Loop& loop) {
  for (int i = 0; i < 3; ++i) {
    const bool go_on = co_await loop.sleep_for(std::chrono::milliseconds(1));
    if (!go_on) co_return false;
  }
  co_return true;
}

Socket::Socket(Loop& loop, int fd) : loop_(loop), fd_(fd) {
  deadline_.socket = this;
  event_assign(&event_, loop.base(), fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, &Socket::on_event, this);
  if (event_add(&event_, nullptr) != 0) {
    close(fd_);
    throw std::system_error(errno, std::generic_category(), "cannot watch a socket");
  }
}

Socket::~Socket() {
  event_del(&event_);
  close(fd_);
}

void Socket::set_deadline(Steady::time_point when) { deadline_at_ = when; }

Socket::Wait Socket::readable() { return Wait(*this, true); }
Socket::Wait Socket::writable() { return Wait(*this, false); }

bool Socket::Wait::await_ready() const {
  socket_.timed_out_ = socket_.loop_.shutting_down();
  return socket_.timed_out_ || (read_ ? socket_.can_read_ : socket_.can_write_);
}

void Socket::Wait::await_suspend(std::coroutine_handle<> awaiter) {
  socket_.waiter_ = awaiter;
  socket_.in_hand_ = InHand::leave();
  socket_.wants_read_ = read_;
  socket_.wants_write_ = !read_;
  // The entry stays on the wheel between waits and moves only to come earlier: a deadline that was put off is noticed when it
  // expires. Without any deadline it still sits there, so that shut_down() finds every waiter.
  const auto when = std::min(socket_.deadline_at_, Steady::now() + std::chrono::hours(24));
  if (!socket_.deadline_.pending() || when < socket_.entry_at_) {
    socket_.entry_at_ = when;
    socket_.loop_.add_deadline(socket_.deadline_, when);
  }
}

void Socket::on_event(int, short what, void* self) {
  auto& socket = *static_cast<Socket*>(self);
  if ((what & EV_CLOSED) != 0) socket.ended_ = true;
  if ((what & (EV_READ | EV_CLOSED)) != 0) socket.can_read_ = true;
  if ((what & EV_WRITE) != 0) socket.can_write_ = true;
  if ((socket.wants_read_ && socket.can_read_) || (socket.wants_write_ && socket.can_write_)) socket.wake();
}

void Socket::expired() {
  if (!waiter_) return;
  if (!loop_.shutting_down() && deadline_at_ > Steady::now()) {
    entry_at_ = std::min(deadline_at_, Steady::now() + std::chrono::hours(24));
    loop_.add_deadline(deadline_, entry_at_);
    return;
  }
  timed_out_ = true;
  wake();
}

// The waiter may destroy this socket: nothing is touched after resume().
void Socket::wake() {
  wants_read_ = wants_write_ = false;
  resume_in_hand(std::exchange(waiter_, {}), in_hand_);
}

}  // namespace ajar
