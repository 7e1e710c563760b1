#include "tests/lab/gateway.h"

#include <algorithm>
#include <coroutine>

#include <event2/event_struct.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/lab/loopback.h"
#include "tests/lab/mailbox.h"

namespace ajar::lab {
namespace {

// A link with its own transcript, which nobody reads.
struct OwnTranscript {
  Transcript own;
};
class FarLink : private OwnTranscript, public LiveLink {
 public:
  FarLink(Loop& loop, int fd, Steady::time_point until)
      : LiveLink(loop, fd, Side::client, nullptr, own, Gateway::kIdle, until) {}
};

// Awaits something new on either of two descriptors that are on the loop already, edge-triggered: what has arrived before must
// have been looked at. False when the deadline passed or the loop is shutting down.
class EitherReadable {
 public:
  EitherReadable(Loop& loop, int one, int other, Steady::time_point until) : loop_(loop), until_(until) {
    deadline_.waits = this;
    event_assign(&one_, loop.base(), one, EV_READ | EV_ET, &EitherReadable::on_event, this);
    event_assign(&other_, loop.base(), other, EV_READ | EV_ET, &EitherReadable::on_event, this);
  }
  ~EitherReadable() { forget(); }
  EitherReadable(const EitherReadable&) = delete;
  EitherReadable& operator=(const EitherReadable&) = delete;

  bool await_ready() const { return loop_.shutting_down(); }
  void await_suspend(std::coroutine_handle<> awaiter) {
    awaiter_ = awaiter;
    event_add(&one_, nullptr);
    event_add(&other_, nullptr);
    loop_.add_deadline(deadline_, until_);
  }
  bool await_resume() const { return readable_; }

 private:
  struct Deadline : TimingWheel::Entry {
    EitherReadable* waits = nullptr;
    void expire() override { waits->wake(false); }
  };
  static void on_event(int, short, void* self) { static_cast<EitherReadable*>(self)->wake(true); }
  void wake(bool readable) {
    forget();
    readable_ = readable;
    awaiter_.resume();
  }
  void forget() {
    event_del(&one_);
    event_del(&other_);
    deadline_.remove();
  }

  Loop& loop_;
  Steady::time_point until_;
  event one_{}, other_{};
  Deadline deadline_;
  std::coroutine_handle<> awaiter_;
  bool readable_ = false;
};

// Takes what is here to the other side, at most a little at a time; how many bytes that were.
Task<std::size_t> carry(Link& from, Link& to) {
  constexpr std::size_t kTurn = 65536;
  std::size_t count = 0;
  while (count < kTurn && from.unread()) {
    std::string bytes = co_await from.hear_some();
    count += bytes.size();
    co_await to.say_bytes(std::move(bytes), "(carried)");
  }
  co_return count;
}

}  // namespace

bool peer_has_ended(int fd) {
  pollfd state{fd, POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

std::optional<IpAddress> Gateway::resolve(const std::string& host) const {
  const std::optional<IpAddress> literal = IpAddress::parse(host);
  if (literal) return *literal == canary_ ? literal : std::nullopt;
  std::string name = to_lower(host);
  if (name.ends_with('.')) name.pop_back();
  if (name == domain_ || name.ends_with("." + domain_)) return canary_;
  return std::nullopt;
}

Task<std::string> Gateway::exchange(std::string source, std::string host, std::uint16_t port, std::string bytes) {
  const std::optional<IpAddress> from = IpAddress::parse(source), to = resolve(host);
  std::string answer;
  if (!from || !to || port == 0) co_return answer;
  const int fd = connect_inside_lab(*from, {*to, port}, true);
  if (fd < 0) co_return answer;
  Transcript transcript;
  LiveDatagrams datagrams(loop_, fd, transcript, kExchange, loop_.now() + kExchange);
  try {
    const Datagrams::Fits any = [](std::string_view) { return true; };
    datagrams.say(bytes, "(carried)");
    co_await datagrams.hear(any, answer);
  } catch (const LinkError&) {
    answer.clear();
  }
  co_return answer;
}

Task<std::unique_ptr<Link>> Gateway::connect(std::string source, std::string host, std::uint16_t port) {
  const std::optional<IpAddress> from = IpAddress::parse(source), to = resolve(host);
  std::unique_ptr<FarLink> link;
  if (!from || !to || port == 0) co_return link;
  const AddressPort place{*to, port};
  const int fd = connect_inside_lab(*from, place);
  if (fd < 0) co_return link;
  const Steady::time_point now = loop_.now();
  link = std::make_unique<FarLink>(loop_, fd, now + kLifetime);
  try {
    co_await link->connected(now + kConnectTimeout);
  } catch (const LinkError&) {
    link.reset();
  }
  co_return link;
}

Task<void> Gateway::join(LiveLink& near, LiveLink& far) {
  const Steady::time_point until = loop_.now() + kLifetime;
  std::size_t out = 0, back = 0;
  bool near_ended = false;
  while (out <= kMaxCarried && back <= kMaxCarried && loop_.now() < until) {
    // Looked at before the bytes: what came before the end is still carried.
    const bool far_has_ended = peer_has_ended(far.fd());
    const bool near_has_ended = peer_has_ended(near.fd());
    const std::size_t more_out = co_await carry(near, far);
    const std::size_t more_back = co_await carry(far, near);
    out += more_out;
    back += more_back;
    if (more_out + more_back > 0) continue;
    if (far_has_ended) co_return;
    if (near_has_ended && !near_ended) {
      near_ended = true;
      shutdown(far.fd(), SHUT_WR);
    }
    EitherReadable news(loop_, near.fd(), far.fd(), std::min(loop_.now() + kIdle, until));
    const bool some = co_await news;
    if (!some) co_return;
  }
}

Task<void> Gateway::linger(LiveLink& link) {
  // The end of a TLS stream is said when the link is closed.
  if (link.tls()) {
    link.unread();
    co_return;
  }
  shutdown(link.fd(), SHUT_WR);
  link.set_reply_timeout(kLinger);
  const Steady::time_point until = loop_.now() + kLinger;
  try {
    while (loop_.now() < until) {
      const std::string bytes = co_await link.hear_some();
      if (bytes.empty()) break;
    }
  } catch (const LinkError&) {
    // It stayed for too long, or went with a reset: either way it has been answered.
  }
}

}  // namespace ajar::lab
