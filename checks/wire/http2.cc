#include "checks/wire/http2.h"

#include <algorithm>
#include <array>
#include <new>

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

namespace ajar {
namespace {

constexpr std::uint32_t kWindow = 16 * 1024;
constexpr std::size_t kMaxAcks = 64;  // answers to SETTINGS and PING that wait to be sent
constexpr std::size_t kMaxSettings = 32;
constexpr std::size_t kMaxShownData = 1024;

constexpr std::array<std::string_view, 14> kErrors = {
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
};

std::string setting_name(std::int32_t id) {
  switch (id) {
    case NGHTTP2_SETTINGS_HEADER_TABLE_SIZE:
      return "HEADER_TABLE_SIZE";
    case NGHTTP2_SETTINGS_ENABLE_PUSH:
      return "ENABLE_PUSH";
    case NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS:
      return "MAX_CONCURRENT_STREAMS";
    case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE:
      return "INITIAL_WINDOW_SIZE";
    case NGHTTP2_SETTINGS_MAX_FRAME_SIZE:
      return "MAX_FRAME_SIZE";
    case NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE:
      return "MAX_HEADER_LIST_SIZE";
    case NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL:
      return "ENABLE_CONNECT_PROTOCOL";
    default:
      return fmt::format("{:#x}", id);
  }
}

std::string shown_settings(const nghttp2_settings& settings) {
  if ((settings.hd.flags & NGHTTP2_FLAG_ACK) != 0) return "SETTINGS ACK";
  std::string text = "SETTINGS";
  for (std::size_t i = 0; i < settings.niv; ++i) {
    text += fmt::format("{} {} {}", i == 0 ? "" : ";", setting_name(settings.iv[i].settings_id), settings.iv[i].value);
  }
  return text;
}

std::string shown_goaway(const nghttp2_goaway& goaway) {
  std::string text =
      fmt::format("GOAWAY {}; last stream {}", to_string(static_cast<Http2Error>(goaway.error_code)), goaway.last_stream_id);
  if (goaway.opaque_data_len > 0) {
    const std::size_t most = std::min<std::size_t>(goaway.opaque_data_len, 120);
    text += "; " + std::string(reinterpret_cast<const char*>(goaway.opaque_data), most);
  }
  return text;
}

bool ends_stream(const nghttp2_frame& frame) { return (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0; }

// A line of data is shown as one.
std::string shown_data(std::string_view data, bool ends) {
  if (data.ends_with("\r\n")) data.remove_suffix(2);
  std::string text = "DATA";
  if (!data.empty()) text += " " + std::string(data);
  if (ends) text += "; END_STREAM";
  return text;
}

// The frames that carry neither heads nor data.
std::string shown_control(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_SETTINGS:
      return shown_settings(frame.settings);
    case NGHTTP2_RST_STREAM:
      return "RST_STREAM " + to_string(static_cast<Http2Error>(frame.rst_stream.error_code));
    case NGHTTP2_PING:
      return (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0 ? "PING ACK" : "PING";
    case NGHTTP2_GOAWAY:
      return shown_goaway(frame.goaway);
    case NGHTTP2_WINDOW_UPDATE:
      return fmt::format("WINDOW_UPDATE {}; stream {}", frame.window_update.window_size_increment, frame.hd.stream_id);
    default:
      return fmt::format("frame of type {:#x}", frame.hd.type);
  }
}

template <class Pairs>
std::string shown_head(const Pairs& fields, bool ends) {
  std::string text = "HEADERS";
  for (const auto& [name, value] : fields) text += fmt::format("{} {} {}", text.size() > 7 ? ";" : "", name, value);
  if (ends) text += "; END_STREAM";
  return text;
}

std::string_view view(const std::uint8_t* bytes, std::size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

// nghttp2 takes bytes that it may write to, and does not write to them.
nghttp2_nv pair_of(const std::string& name, const std::string& value) {
  const auto bytes = [](const std::string& text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));  // NOLINT
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

int three_digits(std::string_view text) {
  const bool digits = text.size() == 3 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0') : 0;
}

}  // namespace

std::string to_string(Http2Error error) {
  const auto code = static_cast<std::size_t>(error);
  return code < kErrors.size() ? std::string(kErrors[code]) : fmt::format("error {}", code);
}

bool begins_http2(std::string_view bytes) {
  if (bytes.size() < kHttp2FrameHeader) return false;
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const bool of_connection = at(5) == 0 && at(6) == 0 && at(7) == 0 && at(8) == 0;
  const unsigned length = at(1) * 256U + at(2);
  return at(0) == 0 && length % 6 == 0 && at(3) == NGHTTP2_SETTINGS && at(4) == 0 && of_connection;
}

struct Http2Client::Session {
  nghttp2_session* session = nullptr;

  explicit Session(Http2Client& client);
  ~Session() { nghttp2_session_del(session); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  static Http2Client& of(void* self) { return *static_cast<Http2Client*>(self); }

  static int header_came(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                         const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
    Http2Client& client = of(self);
    if (frame->hd.stream_id != client.stream_) return 0;
    client.head_bytes_ += name_size + value_size + 32;  // RFC 9113 6.5.2
    if (client.fields_.size() >= kMaxFields || client.head_bytes_ > kMaxHeadBytes) {
      client.fail("a head of more fields or bytes than anybody needs");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    client.fields_.emplace_back(view(name, name_size), view(value, value_size));
    return 0;
  }

  static int data_came(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* bytes, std::size_t size,
                       void* self) {
    Http2Client& client = of(self);
    if (stream != client.stream_) return 0;
    if (client.data_.size() + size > kMaxData) {
      client.fail("more data than anybody needs");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    client.data_ += view(bytes, size);
    if (client.chunk_.size() < kMaxShownData) client.chunk_ += view(bytes, std::min(size, kMaxShownData));
    return 0;
  }

  static int frame_came(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Http2Client& client = of(self);
    const bool ours = frame->hd.stream_id == client.stream_;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (ours) client.head_came(ends_stream(*frame));
        return 0;
      case NGHTTP2_DATA:
        client.show(false, shown_data(std::exchange(client.chunk_, {}), ends_stream(*frame)));
        if (ours && ends_stream(*frame)) client.ended_ = true;
        return 0;
      case NGHTTP2_SETTINGS:
        take_settings(client, frame->settings);
        break;
      case NGHTTP2_RST_STREAM:
        if (ours) client.reset_ = static_cast<Http2Error>(frame->rst_stream.error_code);
        break;
      case NGHTTP2_GOAWAY:
        client.goaway_ = GoAway{static_cast<Http2Error>(frame->goaway.error_code),
                                client.stream_ == 0 || frame->goaway.last_stream_id < client.stream_};
        break;
      default:
        break;
    }
    client.show(false, shown_control(*frame));
    return 0;
  }

  static void take_settings(Http2Client& client, const nghttp2_settings& settings) {
    if ((settings.hd.flags & NGHTTP2_FLAG_ACK) != 0) return;
    client.settings_came_ = true;
    for (std::size_t i = 0; i < settings.niv; ++i) {
      if (settings.iv[i].settings_id == NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) client.extended_ = settings.iv[i].value == 1;
    }
  }

  static int frame_went(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Http2Client& client = of(self);
    if (frame->hd.type == NGHTTP2_HEADERS) {
      Fields fields;
      for (std::size_t i = 0; i < frame->headers.nvlen; ++i) {
        const nghttp2_nv& pair = frame->headers.nva[i];
        fields.emplace_back(view(pair.name, pair.namelen), view(pair.value, pair.valuelen));
      }
      client.show(true, shown_head(fields, ends_stream(*frame)));
      return 0;
    }
    client.show(true,
                frame->hd.type == NGHTTP2_DATA ? shown_data(std::exchange(client.sent_, {}), false) : shown_control(*frame));
    // We end it for something that the server sent.
    if (frame->hd.type == NGHTTP2_GOAWAY || frame->hd.type == NGHTTP2_RST_STREAM) {
      client.fail("what it sent is no HTTP/2: " + shown_control(*frame));
    }
    return 0;
  }

  static ssize_t give(nghttp2_session*, std::int32_t, std::uint8_t* into, std::size_t most, std::uint32_t*,
                      nghttp2_data_source*, void* self) {
    Http2Client& client = of(self);
    if (client.to_send_.empty()) return NGHTTP2_ERR_DEFERRED;
    const std::size_t count = std::min(most, client.to_send_.size());
    std::copy_n(client.to_send_.begin(), count, into);
    client.sent_ = client.to_send_.substr(0, std::min(count, kMaxShownData));
    client.to_send_.erase(0, count);
    return static_cast<ssize_t>(count);
  }
};

namespace {

template <class T, void (*free)(T*)>
struct Free {
  void operator()(T* value) const { free(value); }
};

}  // namespace

Http2Client::Session::Session(Http2Client& client) {
  nghttp2_session_callbacks* made = nullptr;
  nghttp2_option* chosen = nullptr;
  if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc();
  const std::unique_ptr<nghttp2_session_callbacks, Free<nghttp2_session_callbacks, nghttp2_session_callbacks_del>> callbacks(
      made);
  if (nghttp2_option_new(&chosen) != 0) throw std::bad_alloc();
  const std::unique_ptr<nghttp2_option, Free<nghttp2_option, nghttp2_option_del>> option(chosen);
  nghttp2_session_callbacks_set_on_header_callback(made, header_came);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, data_came);
  nghttp2_session_callbacks_set_on_frame_recv_callback(made, frame_came);
  nghttp2_session_callbacks_set_on_frame_send_callback(made, frame_went);
  nghttp2_option_set_no_http_messaging(chosen, 1);  // what a careless server says is judged, not refused
  nghttp2_option_set_max_outbound_ack(chosen, kMaxAcks);
  nghttp2_option_set_max_settings(chosen, kMaxSettings);
  if (nghttp2_session_client_new2(&session, made, &client, chosen) != 0) throw std::bad_alloc();
  const nghttp2_settings_entry ours[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                         {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
                                         {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeadBytes}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, ours, std::size(ours));
}

Http2Client::Http2Client() : session_(std::make_unique<Session>(*this)) { show(true, "PRI * HTTP/2.0"); }
Http2Client::~Http2Client() = default;

void Http2Client::fail(std::string why) {
  if (trouble_.empty()) trouble_ = std::move(why);
}

void Http2Client::request(const Fields& fields) {
  std::vector<nghttp2_nv> pairs;
  pairs.reserve(fields.size());
  for (const auto& [name, value] : fields) pairs.push_back(pair_of(name, value));
  nghttp2_data_provider provider{};
  provider.read_callback = Session::give;
  stream_ = nghttp2_submit_request(session_->session, nullptr, pairs.data(), pairs.size(), &provider, nullptr);
  if (stream_ < 0) throw std::bad_alloc();
}

void Http2Client::send(std::string_view data) {
  to_send_ += data;
  nghttp2_session_resume_data(session_->session, stream_);  // an error: the stream is gone, and says so itself
}

std::string Http2Client::take_output() {
  std::string out;
  for (;;) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_->session, &bytes);
    if (size < 0) fail(nghttp2_strerror(static_cast<int>(size)));
    if (size <= 0) return out;
    out += view(bytes, static_cast<std::size_t>(size));
  }
}

void Http2Client::receive(std::string_view bytes) {
  if (!trouble_.empty()) return;
  const auto* const data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const ssize_t taken = nghttp2_session_mem_recv(session_->session, data, bytes.size());
  if (taken < 0) fail(nghttp2_strerror(static_cast<int>(taken)));
}

std::size_t Http2Client::take_data(std::string& into, std::size_t max) {
  const std::size_t count = std::min(max, data_.size());
  into.append(data_, 0, count);
  data_.erase(0, count);
  return count;
}

// RFC 9113 8.1: interim responses, the final one, trailers.
void Http2Client::head_came(bool ends) {
  if (!answer_ || ends) show(false, shown_head(fields_, ends));  // of trailers, the one that ends the stream
  Fields fields = std::exchange(fields_, {});
  head_bytes_ = 0;
  ended_ = ended_ || ends;
  if (answer_) return;
  HttpHead head;
  for (auto& [name, value] : fields) {
    if (name == ":status") head.status = three_digits(value);
    head.fields.emplace_back(std::move(name), std::move(value));
  }
  if (head.status < 100 || head.status > 599) return fail("a response without a status");
  if (head.status / 100 == 1) {
    if (ends) return fail("an interim response that ends the stream");
    if (++interim_ > kMaxInterim) fail("interim responses without an end");
    return;
  }
  answer_ = std::move(head);
}

}  // namespace ajar
