// Servers of HTTP/2: CONNECT to the canary, or what they answer instead. The frames are nghttp2's.
#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include <nghttp2/nghttp2.h>

#include "tests/lab/http_request.h"
#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

constexpr std::size_t kMaxCarried = 256 * 1024;  // in either direction
constexpr milliseconds kGlance{5};               // between two looks at both sides of a tunnel
constexpr int kMaxGlances = 6000;                // 30 seconds without a byte

enum class Way { connects, refuses, page, goes_away, resets, silent_tunnel, pings };

// The server's side of one connection, with one stream that counts.
class Server {
 public:
  Server() {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header_came);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_came);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_came);
    const int made = nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    if (made != 0) throw std::bad_alloc();
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &settings, 1);
  }
  ~Server() { nghttp2_session_del(session_); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // False: what came is no HTTP/2.
  bool take(const std::string& bytes) {
    return nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) >= 0;
  }
  std::string output() {
    std::string out;
    const std::uint8_t* bytes = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &bytes)) > 0;)
      out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    return out;
  }
  bool asked() const { return stream_ > 0; }
  const std::string& method() const { return method_; }
  const std::string& authority() const { return authority_; }
  std::string take_data() { return std::exchange(data_, {}); }

  // `type`: of the content; empty: none is announced. The stream stays open where it does not end.
  void answer(int status, const std::string& type, const std::string& content, bool ends) {
    const std::string code = std::to_string(status), server = "ajar-lab";
    const nghttp2_nv fields[] = {pair(":status", code), pair("server", server), pair("content-type", type)};
    nghttp2_data_provider provider{};
    provider.read_callback = give;
    to_send_ = content;
    ends_ = ends;
    nghttp2_submit_response(session_, stream_, fields, type.empty() ? 2 : 3, &provider);
  }
  void say(const std::string& bytes) {
    to_send_ += bytes;
    nghttp2_session_resume_data(session_, stream_);
  }
  void end() {
    ends_ = true;
    nghttp2_session_resume_data(session_, stream_);
  }
  void go_away() { nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0); }
  void reset() { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_, NGHTTP2_PROTOCOL_ERROR); }

 private:
  // Of two strings that outlive it.
  static nghttp2_nv pair(const char* name, const std::string& value) {
    const auto bytes = [](const char* text) {
      return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text));  // NOLINT: it is not written to
    };
    return {bytes(name), bytes(value.c_str()), std::strlen(name), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  static Server& of(void* self) { return *static_cast<Server*>(self); }
  static int header_came(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                         const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":method") of(self).method_ = text;
    if (key == ":authority") of(self).authority_ = text;
    return 0;
  }
  static int frame_came(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    if (frame->hd.type == NGHTTP2_HEADERS && !of(self).asked()) of(self).stream_ = frame->hd.stream_id;
    return 0;
  }
  static int data_came(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* bytes, std::size_t size, void* self) {
    of(self).data_.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }
  static ssize_t give(nghttp2_session*, std::int32_t, std::uint8_t* into, std::size_t most, std::uint32_t* flags,
                      nghttp2_data_source*, void* self) {
    Server& server = of(self);
    const std::size_t count = std::min(most, server.to_send_.size());
    std::copy_n(server.to_send_.begin(), count, into);
    server.to_send_.erase(0, count);
    if (server.to_send_.empty() && server.ends_) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (count == 0 && !server.ends_) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(count);
  }

  nghttp2_session* session_ = nullptr;
  std::int32_t stream_ = 0;
  std::string method_, authority_, data_, to_send_;
  bool ends_ = false;
};

Task<void> flush(Link& link, Server& server) {
  std::string bytes = server.output();
  if (!bytes.empty()) co_await link.say_bytes(std::move(bytes), "(frames)");
}

// False: the client has left, or speaks no HTTP/2.
Task<bool> hear(Link& link, Server& server) {
  const std::string bytes = co_await link.hear_some();
  const bool sound = !bytes.empty() && server.take(bytes);
  if (sound) co_await flush(link, server);
  co_return sound;
}

// Both ways, until either side ends.
Task<void> carry(Link& link, Link& far, Server& server, World& world) {
  std::size_t carried = 0;
  for (int glances = 0; glances < kMaxGlances && carried < kMaxCarried; ++glances) {
    if (link.unread()) {
      glances = 0;
      const bool more = co_await hear(link, server);
      if (!more) co_return;
      std::string out = server.take_data();
      carried += out.size();
      if (!out.empty()) co_await far.say_bytes(std::move(out), "(carried)");
    } else if (far.unread()) {
      glances = 0;
      const std::string back = co_await far.hear_some();
      carried += back.size();
      server.say(back);
      co_await flush(link, server);
    } else if (world.gone(link)) {
      co_return;
    } else if (world.gone(far)) {
      server.end();
      co_await flush(link, server);
      co_return;
    } else {
      co_await world.pause(kGlance);
    }
  }
}

Task<void> connect(Link& link, Server& server, const Setting& setting, World& world) {
  const std::optional<Destination> to = parse_authority(server.authority(), 0);
  if (server.method() != "CONNECT" || !to) {
    server.answer(400, {}, {}, true);
    co_await flush(link, server);
    co_return;
  }
  const std::unique_ptr<Link> far = co_await world.connect(setting.address, to->host, to->port);
  server.answer(far ? 200 : 502, {}, {}, !far);
  co_await flush(link, server);
  if (far) co_await carry(link, *far, server, world);
}

// The answer to a HEADERS frame that names somebody.
void answer(Server& server, Way way) {
  switch (way) {
    case Way::connects:
    case Way::pings:
      return;
    case Way::refuses:
      return server.answer(403, "text/html", "<html><h1>Forbidden</h1></html>\n", true);
    case Way::page:
      return server.answer(200, "text/html", "<html><h1>It works!</h1></html>\n", true);
    case Way::goes_away:
      return server.go_away();
    case Way::resets:
      return server.reset();
    case Way::silent_tunnel:
      return server.answer(200, {}, {}, false);
  }
}

Task<void> serve(Link& link, Setting setting, World& world, Way way) {
  Server server;
  co_await flush(link, server);
  while (!server.asked()) {
    const bool more = co_await hear(link, server);
    if (!more) co_return;
  }
  if (way == Way::connects) {
    co_await connect(link, server, setting, world);
  } else if (way == Way::pings) {
    std::string pings;
    for (int i = 0; i < 1000; ++i) pings += std::string("\0\0\x08\x06\0\0\0\0\0ajarajar", 17);
    co_await link.say_bytes(std::move(pings), "(pings)");
  } else {
    answer(server, way);
    co_await flush(link, server);
  }
  for (bool more = way == Way::silent_tunnel; more;) {
    more = co_await hear(link, server);
  }
  co_await world.linger(link);
}

template <Way way>
Task<void> speak(Link& link, Setting setting, World& world) {
  return serve(link, std::move(setting), world, way);
}

constexpr Personality http2(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                            Speak speak, bool tls = false) {
  Personality one{name, imitates, {{"http2_connect", verdict, reason}}, Kind::other};
  one.port = tls ? 8443 : 8080;
  one.implicit_tls = tls;
  one.speak = speak;
  return one;
}

constexpr Personality kPersonalities[] = {
    http2("h2_open", "nghttpx 1.52, --http2-proxy, open to all", "open", "token_returned", speak<Way::connects>),
    http2("h2_closed", "Envoy without a route for CONNECT", "closed", "refused", speak<Way::refuses>),
    http2("h2_own_page", "A web server of HTTP/2 that shows one page", "closed", "refused", speak<Way::page>),
    http2("h2_goaway", "A server of HTTP/2 that is being stopped", "unclear", "greylisted", speak<Way::goes_away>),
    http2("h2_reset", "A web server of HTTP/2 that knows no CONNECT", "closed", "refused", speak<Way::resets>),
    http2("h2_silent_tunnel", "A honeypot that grants every stream and connects none", "accepted", "accepts_everything",
          speak<Way::silent_tunnel>),
    http2("h2_pings", "A flood of PING frames", "unclear", "protocol_error", speak<Way::pings>),
    http2("h2_tls_open", "stunnel in front of an open nghttpx", "open", "token_returned", speak<Way::connects>, true),
};

}  // namespace

std::span<const Personality> http2_personalities() { return kPersonalities; }

}  // namespace ajar::lab
