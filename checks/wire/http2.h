// A client's side of HTTP/2 (RFC 9113) with one stream, as a codec: the server's bytes in, ours out, no socket. Framing, HPACK,
// flow control and the answers to SETTINGS and PING are nghttp2's; all that a server can make it hold is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checks/wire/http_head.h"

namespace ajar {

// RFC 9113 7.
enum class Http2Error : std::uint32_t {
  no_error = 0x0,
  protocol_error = 0x1,
  internal_error = 0x2,
  flow_control_error = 0x3,
  settings_timeout = 0x4,
  stream_closed = 0x5,
  frame_size_error = 0x6,
  refused_stream = 0x7,
  cancel = 0x8,
  compression_error = 0x9,
  connect_error = 0xa,
  enhance_your_calm = 0xb,
  inadequate_security = 0xc,
  http_1_1_required = 0xd,
};
// "REFUSED_STREAM"; "error 23" for a code that is none of these.
std::string to_string(Http2Error);

// RFC 9113 3.4: what every client says first.
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// A frame's header (RFC 9113 4.1).
inline constexpr std::size_t kHttp2FrameHeader = 9;
// Whether a server's first bytes, a frame's header at least, are those of HTTP/2: its SETTINGS (RFC 9113 3.4).
bool begins_http2(std::string_view bytes);

class Http2Client {
 public:
  static constexpr std::size_t kMaxFields = 100;
  static constexpr std::size_t kMaxHeadBytes = 16 * 1024;
  static constexpr int kMaxInterim = 4;
  static constexpr std::size_t kMaxData = 64 * 1024;  // received and not taken yet

  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct GoAway {
    Http2Error error = Http2Error::no_error;
    bool before_ours = false;  // our stream was not looked at (RFC 9113 6.8)
  };
  // A frame as evidence shows it: "HEADERS :status 403; server nghttpx; END_STREAM".
  struct Shown {
    bool ours = false;
    std::string text;  // not escaped
  };

  // The preface and our SETTINGS are the first output.
  Http2Client();
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Opens the stream, and leaves it open for data. Once.
  void request(const Fields& fields);
  // Data for the stream; it waits for the server's window.
  void send(std::string_view data);
  bool unsent() const { return !to_send_.empty(); }
  // What is to be sent now.
  std::string take_output();
  // The frames received and sent since the last call, in their order.
  std::vector<Shown> take_shown() { return std::exchange(shown_, {}); }

  void receive(std::string_view bytes);
  bool settings_came() const { return settings_came_; }
  bool offers_extended_connect() const { return extended_; }  // RFC 8441 3
  // The head of the final response; nullptr: not yet.
  const HttpHead* answer() const { return answer_ ? &*answer_ : nullptr; }
  // Moves data of the stream to `into`, at most `max` bytes; how many.
  std::size_t take_data(std::string& into, std::size_t max);
  bool has_data() const { return !data_.empty(); }
  bool ended() const { return ended_; }  // the server ended its side of the stream
  // RST_STREAM, GOAWAY.
  std::optional<Http2Error> reset() const { return reset_; }
  std::optional<GoAway> goaway() const { return goaway_; }
  // Why the conversation makes no sense any more; empty: it does.
  const std::string& trouble() const { return trouble_; }

 private:
  struct Session;  // nghttp2's, and what it calls

  void fail(std::string why);
  void show(bool ours, std::string text) { shown_.push_back({ours, std::move(text)}); }
  void head_came(bool ends);

  std::unique_ptr<Session> session_;
  std::int32_t stream_ = 0;
  std::string to_send_;
  std::string sent_;   // of the DATA frame that is being made
  std::string data_;   // received, not taken yet
  std::string chunk_;  // of the DATA frame that is being received, as far as it is shown
  Fields fields_;      // of the head that is being received
  std::size_t head_bytes_ = 0;
  int interim_ = 0;
  std::vector<Shown> shown_;
  std::optional<HttpHead> answer_;
  std::optional<Http2Error> reset_;
  std::optional<GoAway> goaway_;
  std::string trouble_;
  bool settings_came_ = false, extended_ = false, ended_ = false;
};

}  // namespace ajar
