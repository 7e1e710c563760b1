#include "agent/web.h"

#include <charconv>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "agent/access.h"
#include "agent/site.h"
#include "agent/web_connection.h"

namespace ajar {
namespace {

constexpr auto kStopWait = std::chrono::seconds(2);
constexpr auto kThreadIdle = std::chrono::seconds(10);
// A client that says nothing gives its thread back after this.
constexpr auto kSilent = std::chrono::seconds(2);
constexpr int kMostRequests = 1000;  // of one connection
constexpr int kBacklog = 511;
constexpr std::size_t kMaxPath = 2048;

// What a listening server's threads share. They are detached, and keep the server alive (`owner`), so that a client that is
// slow to leave cannot hold up the end of the agent.
struct Pool {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> jobs;
  std::size_t threads = 0, idle = 0;
  bool stopping = false;
};

void serve(const std::shared_ptr<Pool>& pool, const std::shared_ptr<void>& owner) {
  (void)owner;
  std::unique_lock lock(pool->mutex);
  for (;;) {
    ++pool->idle;
    pool->changed.wait_for(lock, kThreadIdle, [&] { return !pool->jobs.empty() || pool->stopping; });
    --pool->idle;
    if (pool->jobs.empty()) break;
    const std::function<void()> job = std::move(pool->jobs.front());
    pool->jobs.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
  --pool->threads;
  pool->changed.notify_all();
}

// A thread for each connection that needs one, up to the limit; beyond it connections wait their turn.
class Threads : public httplib::TaskQueue {
 public:
  explicit Threads(std::weak_ptr<void> owner) : owner_(std::move(owner)) {}

  void enqueue(std::function<void()> job) override {
    const std::lock_guard lock(pool_->mutex);
    pool_->jobs.push_back(std::move(job));
    if (pool_->idle < pool_->jobs.size() && pool_->threads < Web::kMaxConnections) {
      try {
        std::thread([pool = pool_, owner = owner_.lock()] { serve(pool, owner); }).detach();
        ++pool_->threads;
      } catch (const std::system_error& error) {
        spdlog::warn("web: no thread for a connection: {}", error.what());  // those that run take it in turn
      }
    }
    pool_->changed.notify_one();
  }

  void shutdown() override {
    std::unique_lock lock(pool_->mutex);
    pool_->stopping = true;
    pool_->changed.notify_all();
    pool_->changed.wait_for(lock, kStopWait, [&] { return pool_->threads == 0; });
  }

 private:
  std::shared_ptr<Pool> pool_ = std::make_shared<Pool>();
  std::weak_ptr<void> owner_;
};

// What the library is not asked to answer, because it may not even see the request.
std::string bare_answer(std::string_view status, std::string_view text) {
  std::string answer = fmt::format("HTTP/1.1 {}\r\n", status);
  for (const auto& [name, value] : Site::standard_headers()) answer += fmt::format("{}: {}\r\n", name, value);
  return answer + fmt::format("Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                              text.size(), text);
}

// To a head that WebConnection refuses.
std::string answer_to_head(int status) {
  switch (status) {
    case 414:
      return bare_answer("414 URI Too Long", "the path is too long\n");
    case 431:
      return bare_answer("431 Request Header Fields Too Large", "the header fields are too many or too long\n");
    default:
      return bare_answer("400 Bad Request", "the request is malformed\n");
  }
}

// The library's server with our connections: its own have no TLS whose certificate could change, wait without a deadline for
// a handshake, and know no limit to the number of header fields.
class Server : public httplib::Server {
 public:
  using Settings = std::function<std::shared_ptr<const WebSettings>()>;

  void use(Settings settings) { settings_ = std::move(settings); }
  // The backlog that cpp-httplib compiles in is 5: a burst of clients would have to try again after a second.
  void widen_backlog() { ::listen(svr_sock_, kBacklog); }

 private:
  bool process_and_close_socket(socket_t fd) override {
    WebConnection connection(fd);
    const auto go_on = [this] { return svr_sock_ != INVALID_SOCKET; };
    return connection.wait_for_bytes(kSilent, go_on) && begin(connection) && converse(connection, go_on);
  }

  // TLS, where web.yml has it.
  bool begin(WebConnection& connection) const {
    const std::shared_ptr<const WebSettings> settings = settings_();
    if (!settings->tls) return !connection.looks_like_tls();  // who wants TLS would wait for an answer that never comes
    if (connection.looks_like_tls()) return connection.start_tls(settings);
    const std::string answer = bare_answer("400 Bad Request", "this is an HTTPS server: ask by https://\n");
    connection.write(answer.data(), answer.size());
    return false;
  }

  bool converse(WebConnection& connection, const std::function<bool()>& go_on) {
    for (int left = kMostRequests; left > 0 && connection.wait_for_bytes(kSilent, go_on); --left) {
      const int refused = connection.read_head();
      if (refused > 0) {
        const std::string answer = answer_to_head(refused);
        connection.write(answer.data(), answer.size());
      }
      if (refused != 0) return false;
      bool last = false;
      const bool answered =
          process_request(connection, left == 1, last, [&](httplib::Request& request) { request.ssl = connection.ssl(); });
      if (!answered || last) return answered;
    }
    return true;
  }

  Settings settings_;
};

struct Listener {
  Server server;
  std::thread accepting;
  std::string address;
};

struct HostPort {
  std::string host;
  int port = 0;
};

// "127.0.0.1:9925", "[::1]:9925", ":9925" (every address).
std::optional<HostPort> split(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string host = listen.substr(0, colon);
  int port = 0;
  const char* end = listen.data() + listen.size();
  const auto [parsed, error] = std::from_chars(listen.data() + colon + 1, end, port);
  if (error != std::errc() || parsed != end || port < 0 || port > 65535) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return std::nullopt;
  }
  return HostPort{host.empty() ? "::" : host, port};
}

SiteRequest request_of(const httplib::Request& request) {
  SiteRequest made{.method = request.method == "HEAD" ? "GET" : request.method,
                   .path = request.path,
                   .target = request.target,
                   .params = request.params,
                   .host = request.get_header_value("Host"),
                   .accept = request.get_header_value("Accept"),
                   .accept_encoding = request.get_header_value("Accept-Encoding"),
                   .auth = request.get_header_value("Ajar-Auth"),
                   .site = request.get_header_value("Sec-Fetch-Site"),
                   .origins = {},
                   .content_type = request.get_header_value("Content-Type"),
                   .body = {}};
  const auto [first, last] = request.headers.equal_range("Origin");
  for (auto origin = first; origin != last; ++origin) made.origins.push_back(origin->second);
  return made;
}

// A long page, a piece at a time: nobody needs it in one.
void send_packed(httplib::Response& response, const SiteReply& reply, bool last) {
  const std::shared_ptr<const PackedPage> page = reply.packed;
  if (reply.gzip) {
    response.set_content_provider(page->size(), reply.type,
                                  [page, last](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
                                    const std::string_view piece = page->at(offset).substr(0, length);
                                    return !piece.empty() && sink.write(piece.data(), piece.size()) && !last;
                                  });
    return;
  }
  response.set_content_provider(
      page->plain_size(), reply.type,
      [reader = std::make_shared<PlainReader>(page), last](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
        const std::string_view piece = reader->at(offset).substr(0, length);
        return !piece.empty() && sink.write(piece.data(), piece.size()) && !last;
      });
}

// `last`: the connection ends after it. The library has no other way to say so than a body whose sending "fails" when all is
// sent.
void send(httplib::Response& response, const SiteReply& reply, bool last = false) {
  response.status = reply.status;
  for (const auto& [name, value] : reply.headers) {
    response.headers.erase(name);  // one of the headers of every answer, say
    response.set_header(name, value);
  }
  if (reply.gzip) response.set_header("Content-Encoding", "gzip");
  if (last) response.set_header("Connection", "close");
  if (reply.packed) {
    send_packed(response, reply, last);
    return;
  }
  if (reply.body->empty()) {
    response.set_content("", reply.type);
    return;
  }
  // With a length and a provider the library does not compress on its own (it would take brotli at its slowest).
  response.set_content_provider(reply.body->size(), reply.type,
                                [body = reply.body, last](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
                                  return sink.write(body->data() + offset, length) && !last;
                                });
}

// Refuses a request of which something may be unread: that must not be taken for the next request.
void refuse(httplib::Response& response, int status, std::string text) {
  SiteReply reply;
  reply.status = status;
  reply.body = std::make_shared<const std::string>(std::move(text));
  send(response, reply, true);
}

bool has_body(const httplib::Request& request) {
  const std::string length = request.get_header_value("Content-Length");
  return (!length.empty() && length != "0") || request.has_header("Transfer-Encoding");
}

// Whether it is certain where the request ends (RFC 9112 6.3): a proxy before us must not see another end than we do.
bool is_framed(const httplib::Request& request) {
  if (request.get_header_value_count("Host") > 1) return false;
  const std::size_t lengths = request.get_header_value_count("Content-Length");
  const std::size_t encodings = request.get_header_value_count("Transfer-Encoding");
  if (lengths + encodings > 1) return false;
  if (encodings == 1) return request.get_header_value("Transfer-Encoding") == "chunked";
  const std::string length = lengths == 1 ? request.get_header_value("Content-Length") : "0";
  return !length.empty() && length.size() < 19 && length.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

// Handlers share it; so a request that is still being sent when the Web goes finds the gate closed, not a freed object.
struct Web::Impl {
  Impl(WebState with, std::string file, LoadedWebSettings loaded)
      : state(std::move(with)), site(state), settings(std::move(file), std::move(loaded)) {}

  // Runs `work` while the agent is there.
  template <typename Work>
  void while_open(httplib::Response& response, Work work) {
    const std::shared_lock lock(gate);
    if (closed) {
      refuse(response, 503, "ajar is stopping\n");
    } else {
      work();
    }
  }
  // Everything but the body of a POST.
  httplib::Server::HandlerResponse before(const httplib::Request& request, httplib::Response& response);
  void post(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader);
  SiteRequest asked_of(const httplib::Request& request);
  // Who may not ask this is answered here.
  std::optional<SiteReply> deny(const httplib::Request& request, const SiteRequest& asked);
  // The headers that web.yml wants, in place of our own.
  void put_headers(const httplib::Request& request, httplib::Response& response);

  const WebState state;
  Site site;
  LiveWebSettings settings;
  Access access;
  std::shared_mutex gate;
  bool closed = false;
  std::vector<std::shared_ptr<Listener>> listeners;
};

httplib::Server::HandlerResponse Web::Impl::before(const httplib::Request& request, httplib::Response& response) {
  using Done = httplib::Server::HandlerResponse;
  auto& own = const_cast<httplib::Request&>(request);  // the object is not const
  const bool framed = is_framed(request);
  const bool stray = request.method != "POST" && has_body(request);
  // The connection is ended by sending a body, which HEAD would not do.
  if ((!framed || stray) && request.method == "HEAD") own.method = "GET";
  if (!framed || stray) {
    refuse(response, 400, framed ? "a body is not expected\n" : "the end of the request is not certain\n");
    return Done::Handled;
  }
  if (request.path.size() > kMaxPath) {
    refuse(response, 414, "the path is too long\n");
    return Done::Handled;
  }
  const SiteRequest asked = asked_of(request);
  // Not while the gate is held: a password takes its time.
  if (const std::optional<SiteReply> refused = deny(request, asked)) {
    send(response, *refused, request.method != "GET" && request.method != "HEAD");
    return Done::Handled;
  }
  bool go_on = false;
  while_open(response, [&] {
    std::optional<SiteReply> refused = site.refuse(asked);
    go_on = !refused && request.method == "POST";
    if (!go_on) send(response, refused ? *refused : site.answer(asked), refused && request.method == "POST");
  });
  return go_on ? Done::Unhandled : Done::Handled;
}

SiteRequest Web::Impl::asked_of(const httplib::Request& request) {
  SiteRequest asked = request_of(request);
  asked.authorized = request.method == "POST" && !settings.current()->file.users.empty();
  return asked;
}

std::optional<SiteReply> Web::Impl::deny(const httplib::Request& request, const SiteRequest& asked) {
  const std::shared_ptr<const WebSettings> now = settings.current();
  state.metrics.certificate_expiry(now->expiry);
  if (now->tls && request.ssl == nullptr) {  // a connection from before TLS was asked for
    SiteReply reply;
    reply.status = 400;
    reply.body = std::make_shared<const std::string>("this is an HTTPS server: ask by https://\n");
    return reply;
  }
  AccessRequest wish{.method = request.method,
                     .path = request.path,
                     .address = request.remote_addr,
                     .authorizations = {},
                     .is_signed = Site::is_signed(asked),
                     .own_client = request.ssl != nullptr && is_own_client(request.ssl)};
  const auto [first, last] = request.headers.equal_range("Authorization");
  for (auto header = first; header != last; ++header) wish.authorizations.push_back(header->second);
  return access.refuse(now->file, wish);
}

void Web::Impl::put_headers(const httplib::Request& request, httplib::Response& response) {
  const std::shared_ptr<const WebSettings> now = settings.current();
  for (const auto& [name, value] : now->file.headers) {
    response.headers.erase(name);
    // Over plain HTTP it says nothing (RFC 6797 7.2).
    const bool sent = !value.empty() && (name != "Strict-Transport-Security" || request.ssl != nullptr);
    if (sent) response.headers.emplace(name, value);
  }
}

void Web::Impl::post(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader) {
  if (request.is_multipart_form_data()) return refuse(response, 415, "multipart is not understood\n");
  SiteRequest asked = asked_of(request);
  bool too_long = false;
  const auto take = [&](const char* data, std::size_t size) {
    too_long = asked.body.size() + size > kMaxBody;
    if (!too_long) asked.body.append(data, size);
    return !too_long;
  };
  // Without a length there is no body (RFC 9112 6.3); the library would wait for the end of the connection.
  const bool read = !has_body(request) || reader(take);
  if (too_long) return refuse(response, 413, "the body is too long\n");
  if (!read) return refuse(response, response.status > 0 ? response.status : 400, "the body could not be read\n");
  while_open(response, [&] { send(response, site.answer(asked)); });
}

namespace {

// Sets up one server; `impl` is shared with its handlers.
template <typename Impl>
std::shared_ptr<Listener> listen(const std::shared_ptr<Impl>& impl, const std::string& where) {
  const std::optional<HostPort> place = split(where);
  if (!place) throw WebError(fmt::format("web.listen: `{}` is not host:port, [v6]:port or :port", where));
  auto listener = std::make_shared<Listener>();
  Server& server = listener->server;
  server.new_task_queue = [weak = std::weak_ptr<void>(listener)] { return new Threads(weak); };
  server.use([impl] { return impl->settings.current(); });
  // What it tells clients; kept in converse().
  server.set_keep_alive_timeout(kSilent.count());
  server.set_keep_alive_max_count(kMostRequests);
  server.set_payload_max_length(Web::kMaxBody);
  server.set_tcp_nodelay(true);
  // The library's default is SO_REUSEPORT, by which a second agent would take half of the requests of the first.
  server.set_socket_options([](int fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  httplib::Headers headers;
  for (const auto& [name, value] : Site::standard_headers()) headers.emplace(name, value);
  server.set_default_headers(std::move(headers));
  server.set_pre_routing_handler(
      [impl](const httplib::Request& request, httplib::Response& response) { return impl->before(request, response); });
  server.set_post_routing_handler(
      [impl](const httplib::Request& request, httplib::Response& response) { impl->put_headers(request, response); });
  server.Post(R"([\s\S]*)", [impl](const httplib::Request& request, httplib::Response& response,
                                   const httplib::ContentReader& reader) { impl->post(request, response, reader); });
  server.set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      spdlog::error("web: {}", error.what());
    } catch (...) {
      spdlog::error("web: an exception that is none");
    }
    refuse(response, 500, "internal error: see the log\n");
  });
  errno = 0;
  int port = place->port;
  const bool bound = port != 0 ? server.bind_to_port(place->host, port) : (port = server.bind_to_any_port(place->host)) > 0;
  if (!bound) {
    throw WebError(fmt::format("web.listen: cannot listen on {}: {}; choose another address, or stop what uses it", where,
                               errno != 0 ? std::generic_category().message(errno) : "no such address"));
  }
  server.widen_backlog();
  const bool v6 = place->host.find(':') != std::string::npos;
  listener->address = fmt::format("{}{}{}:{}", v6 ? "[" : "", place->host, v6 ? "]" : "", port);
  return listener;
}

}  // namespace

Web::Web(WebState state, const WebConfig& config) {
  const std::string file = config.config_file.empty() ? "" : state.config()->path(config.config_file);
  LoadedWebSettings loaded = load_web_settings(file);
  if (!loaded.settings) {
    std::string what;
    for (const ConfigError& error : loaded.errors) what += (what.empty() ? "" : "\n") + error.to_string();
    throw WebError(what);
  }
  std::signal(SIGPIPE, SIG_IGN);
  impl_ = std::make_shared<Impl>(std::move(state), file, std::move(loaded));
  try {
    for (const std::string& where : config.listen) impl_->listeners.push_back(listen(impl_, where));
  } catch (...) {
    impl_->listeners.clear();  // their handlers hold impl_
    throw;
  }
  for (const std::shared_ptr<Listener>& listener : impl_->listeners) {
    listener->accepting = std::thread([server = &listener->server] { server->listen_after_bind(); });
  }
  // stop() before the accept loop runs would be overlooked by the library.
  for (const std::shared_ptr<Listener>& listener : impl_->listeners) {
    while (!listener->server.is_running()) std::this_thread::yield();
  }
}

Web::~Web() { stop(); }

void Web::stop() {
  {
    const std::unique_lock lock(impl_->gate);
    impl_->closed = true;
  }
  for (const std::shared_ptr<Listener>& listener : impl_->listeners) listener->server.stop();
  for (const std::shared_ptr<Listener>& listener : impl_->listeners) {
    if (listener->accepting.joinable()) listener->accepting.join();
  }
  impl_->listeners.clear();
}

std::string Web::scheme() const { return impl_->settings.current()->tls ? "https" : "http"; }

void Web::take_over(LoadedWebSettings loaded) { impl_->settings.take_over(std::move(loaded)); }

std::vector<std::string> Web::addresses() const {
  std::vector<std::string> found;
  for (const std::shared_ptr<Listener>& listener : impl_->listeners) found.push_back(listener->address);
  return found;
}

}  // namespace ajar
