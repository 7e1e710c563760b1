#include "checks/stun_path.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "checks/datagrams.h"
#include "checks/wire/greeting.h"
#include "checks/wire/stun.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxOdd = 64;  // bytes kept

// RFC 1035 4.1.1: to a DNS server our message is a query, whose first two bytes it repeats.
bool is_dns(std::string_view bytes, std::string_view sent) {
  return bytes.size() >= 12 && bytes.substr(0, 2) == sent.substr(0, 2) && (static_cast<unsigned char>(bytes[2]) & 0xf8) == 0x80;
}

class DatagramPath : public StunPath {
 public:
  explicit DatagramPath(std::unique_ptr<Datagrams> datagrams) : datagrams_(std::move(datagrams)) {}
  Task<void> say(std::string bytes, std::string as) override {
    datagrams_->say(bytes, as);
    co_return;
  }
  bool stream() const override { return false; }
  bool spoken_to() const override { return datagrams_->spoken_to(); }

 private:
  Task<void> exchange(std::string bytes, std::string as, const Fits& fits, std::string& answer) override {
    return datagrams_->ask(std::move(bytes), std::move(as), fits, answer);
  }

  std::unique_ptr<Datagrams> datagrams_;
};

class StreamPath : public StunPath {
 public:
  explicit StreamPath(std::unique_ptr<Link> link) : link_(std::move(link)) {}
  Task<void> say(std::string bytes, std::string as) override {
    asked_ = true;
    co_await link_->say_bytes(std::move(bytes), std::move(as));
  }
  bool stream() const override { return true; }
  bool spoken_to() const override { return link_->spoken_to(); }

 private:
  Task<void> exchange(std::string bytes, std::string as, const Fits& fits, std::string& answer) override;
  Task<void> hear_early();
  Task<std::string> hear_message();
  [[noreturn]] void no_message(const std::string& first);

  std::unique_ptr<Link> link_;
  bool asked_ = false;
};

Task<void> StreamPath::exchange(std::string bytes, std::string as, const Fits& fits, std::string& answer) {
  if (!asked_ && link_->unread()) co_await hear_early();
  co_await say(std::move(bytes), std::move(as));
  for (unsigned i = 0; i < kMaxPassedOver; ++i) {
    answer = co_await hear_message();
    if (fits(answer)) co_return;
    link_->transcript().note("no answer to what was asked: passed over");
  }
  throw LinkError(Reason::protocol_error, fmt::format("more than {} messages that answer nothing", kMaxPassedOver));
}

// It speaks first: another protocol.
Task<void> StreamPath::hear_early() {
  const std::string early = co_await link_->peek(8);
  if (stun_frame_size(early)) throw LinkError(Reason::protocol_error, "it answered before it was asked");
  no_message(early);
}

// Shows what came, and says that it is no STUN.
void StreamPath::no_message(const std::string& first) {
  link_->transcript().server(first);
  note_odd(first);
  throw LinkError(Reason::protocol_error, "not STUN: " + escape(first, 40));
}

Task<std::string> StreamPath::hear_message() {
  const std::string first = co_await link_->peek(8);
  if (first.empty()) {
    link_->transcript().note("the peer closed the connection");
    throw LinkError(Reason::hung_up, "the peer closed the connection");
  }
  // The beginning of HTTP would do for ChannelData.
  const std::optional<std::size_t> size = stun_frame_size(first);
  if (!size || !recognise(first).empty()) no_message(first);
  const std::size_t whole = *size == 0 ? 8 : *size;  // cut short: hearing more of it says what ended it
  try {
    std::string message = co_await link_->hear_bytes(whole, Link::Show::hex);
    co_return message;
  } catch (const LinkError& error) {
    if (error.reason() != Reason::timeout) throw;
    link_->transcript().server(hex(first));
    throw LinkError(Reason::protocol_error, std::string("an answer was begun and not ended: ") + error.what());
  }
}

}  // namespace

Task<std::unique_ptr<StunPath>> StunPath::dial(Network& network, const Subject& subject) {
  std::unique_ptr<StunPath> path;
  if (subject.transport == Transport::udp) {
    std::unique_ptr<Datagrams> datagrams = co_await network.dial_udp(subject.address, subject.port);
    path = std::make_unique<DatagramPath>(std::move(datagrams));
  } else {
    std::unique_ptr<Link> link = co_await network.dial(subject.address, subject.port, subject.tls);
    path = std::make_unique<StreamPath>(std::move(link));
  }
  co_return path;
}

Task<void> StunPath::ask(std::string bytes, std::string as, const Fits& fits, std::string& answer) {
  if (first_sent_.empty()) first_sent_ = bytes;
  if (const auto sent = parse_stun(bytes)) ids_.push_back(sent->id);
  const Fits watching = [this, &fits](std::string_view came) {
    if (fits(came)) return true;
    if (!in_order(came)) note_odd(came);
    return false;
  };
  try {
    co_await exchange(std::move(bytes), std::move(as), watching, answer);
  } catch (const LinkError& error) {
    if (error.reason() != Reason::timeout || odd_.empty()) throw;
    throw LinkError(Reason::protocol_error, "not an answer in STUN: " + hex(odd_));
  }
}

bool StunPath::in_order(std::string_view bytes) const {
  if (parse_channel_data(bytes) && recognise(bytes).empty()) return true;
  const auto message = parse_stun(bytes);
  if (!message || message->kind == StunClass::request) return false;
  return message->kind == StunClass::indication || std::find(ids_.begin(), ids_.end(), message->id) != ids_.end();
}

void StunPath::note_odd(std::string_view bytes) {
  if (odd_.empty()) odd_ = bytes.substr(0, kMaxOdd);
}

std::string StunPath::foreign() const {
  if (odd_.empty()) return {};
  if (is_echo(odd_, first_sent_)) return "echo";
  if (is_dns(odd_, first_sent_)) return "DNS";
  return std::string(recognise(odd_));
}

}  // namespace ajar
