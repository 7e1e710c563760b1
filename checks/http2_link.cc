#include "checks/http2_link.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ajar {

Task<void> Http2Link::flush() {
  std::string bytes = client_.take_output();
  std::vector<Http2Client::Shown> frames = client_.take_shown();
  std::string last = "(frames)";
  if (!bytes.empty() && !frames.empty() && frames.back().ours) {
    last = std::move(frames.back().text);
    frames.pop_back();
  }
  Transcript& transcript = below_.transcript();
  for (const Http2Client::Shown& frame : frames) {
    if (frame.ours) {
      transcript.client(frame.text);
    } else {
      transcript.server(frame.text);
    }
  }
  if (bytes.empty()) co_return;
  co_await below_.say_bytes(std::move(bytes), std::move(last));
}

Task<bool> Http2Link::hear_frames() {
  if (++receipts_ > kMaxReceipts) throw LinkError(Reason::protocol_error, "frames without an end");
  const std::string here = co_await below_.peek(1);
  if (here.empty()) {
    below_.transcript().note("the peer closed the connection");
    co_return false;
  }
  const std::string bytes = co_await below_.hear_bytes(here.size(), Show::nothing);
  client_.receive(bytes);
  co_await flush();
  co_return true;
}

void Http2Link::be_sound() const {
  if (!client_.trouble().empty()) throw LinkError(Reason::protocol_error, client_.trouble());
}

Task<bool> Http2Link::hear_settings() {
  while (!client_.settings_came() && !client_.goaway()) {
    be_sound();
    const bool more = co_await hear_frames();
    if (!more) co_return false;
  }
  co_return true;
}

bool Http2Link::settled() const {
  if (client_.answer() != nullptr || client_.reset()) return true;
  const std::optional<Http2Client::GoAway> goaway = client_.goaway();
  return goaway && (goaway->before_ours || goaway->error != Http2Error::no_error);
}

Task<bool> Http2Link::hear_answer() {
  while (!settled()) {
    be_sound();
    const bool more = co_await hear_frames();
    if (!more) co_return settled();
  }
  co_return true;
}

Task<std::size_t> Http2Link::read_some(std::string& into, std::size_t max) {
  while (!client_.has_data()) {
    if (client_.ended()) co_return 0;
    if (client_.reset()) throw LinkError(Reason::hung_up, "the tunnel was reset: " + to_string(*client_.reset()));
    be_sound();
    const bool more = co_await hear_frames();
    if (!more) co_return 0;
  }
  co_return client_.take_data(into, max);
}

// What the server's window has no room for waits for its frames.
Task<void> Http2Link::write_all(std::string bytes) {
  client_.send(bytes);
  co_await flush();
  while (client_.unsent()) {
    if (client_.ended() || client_.reset() || client_.goaway()) co_return;  // the next read says how it ended
    be_sound();
    const bool more = co_await hear_frames();
    if (!more) co_return;
  }
}

Task<void> Http2Link::handshake(const TlsHello&) {
  throw LinkError(Reason::tls_failed, "no TLS in a stream of HTTP/2");
  co_return;
}

}  // namespace ajar
