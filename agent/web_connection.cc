#include "agent/web_connection.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checks/wire/ascii.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGlance{100};   // how often a waiting connection asks whether it should go on
constexpr milliseconds kGoodbye{200};  // for the client to take the last answer
constexpr std::size_t kMostDrained = 256 * 1024;

void address_and_port(const sockaddr_storage& place, std::string& address, int& port) {
  std::array<char, INET6_ADDRSTRLEN> shown{};
  if (place.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(place);
    inet_ntop(AF_INET, &v4.sin_addr, shown.data(), shown.size());
    port = ntohs(v4.sin_port);
  } else if (place.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(place);
    inet_ntop(AF_INET6, &v6.sin6_addr, shown.data(), shown.size());
    port = ntohs(v6.sin6_port);
  }
  address = shown.data();
}

bool is_token_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// A field that the library would act on, and that must not: answering many ranges is work for nothing (they may be ignored,
// RFC 9110 14.2), and its own fields are not for clients to write.
bool is_left_out(std::string_view line) {
  const std::string name = to_lower(line.substr(0, line.find(':')));
  return name == "range" || name == "if-range" || name == "remote_addr" || name == "remote_port" || name == "local_addr" ||
         name == "local_port";
}

}  // namespace

WebConnection::WebConnection(int fd) : fd_(fd) {
  const int flags = fcntl(fd_, F_GETFL, 0);
  fcntl(fd_, F_SETFL, flags | O_NONBLOCK);
  fcntl(fd_, F_SETFD, FD_CLOEXEC);
}

WebConnection::~WebConnection() {
  if (ssl_ && usable_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  ssl_.reset();
  shutdown(fd_, SHUT_WR);
  drain();
  close(fd_);
}

// Bytes that nobody read would turn the end into a reset, which may overtake the answer.
void WebConnection::drain() {
  const auto until = Steady::now() + kGoodbye;
  std::array<char, 4096> unread;
  for (std::size_t drained = 0; drained < kMostDrained;) {
    const ssize_t n = recv(fd_, unread.data(), unread.size(), 0);
    if (n > 0) {
      drained += static_cast<std::size_t>(n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait(POLLIN, until)) {
      return;
    }
  }
}

bool WebConnection::wait(short events, Steady::time_point until) const {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - Steady::now());
    if (left.count() <= 0) return false;
    pollfd one{fd_, events, 0};
    const int ready = poll(&one, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool WebConnection::wait_for_bytes(milliseconds limit, const std::function<bool()>& go_on) {
  if (!ahead_.empty() || (ssl_ && SSL_pending(ssl_.get()) > 0)) return true;
  const auto until = Steady::now() + limit;
  while (go_on() && Steady::now() < until) {
    if (wait(POLLIN, std::min(until, Steady::now() + kGlance))) return true;
  }
  return false;
}

bool WebConnection::looks_like_tls() const {
  constexpr char kHandshake = 0x16;  // RFC 8446 5.1
  char first = 0;
  return recv(fd_, &first, 1, MSG_PEEK) == 1 && first == kHandshake;
}

// After an operation of OpenSSL that did not succeed: whether it should be tried again.
bool WebConnection::wait_for_tls(int result, Steady::time_point until) const {
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ) return wait(POLLIN, until);
  if (error == SSL_ERROR_WANT_WRITE) return wait(POLLOUT, until);
  return false;
}

bool WebConnection::start_tls(std::shared_ptr<const WebSettings> settings) {
  settings_ = std::move(settings);
  ssl_.reset(SSL_new(settings_->tls.get()));
  usable_ = false;
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd_) != 1) return false;
  const auto until = Steady::now() + kHandshakeTime;
  for (;;) {
    ERR_clear_error();
    const int result = SSL_accept(ssl_.get());
    if (result == 1) break;
    if (!wait_for_tls(result, until)) return false;
  }
  usable_ = true;
  return true;
}

ssize_t WebConnection::receive(char* into, std::size_t size, Steady::time_point until) {
  for (;;) {
    if (ssl_) {
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), into, static_cast<int>(std::min<std::size_t>(size, 16 * 1024)));
      if (n > 0) return n;
      if (SSL_get_error(ssl_.get(), n) == SSL_ERROR_ZERO_RETURN) return 0;
      if (wait_for_tls(n, until)) continue;
    } else {
      const ssize_t n = recv(fd_, into, size, 0);
      if (n >= 0) return n;
      if (errno == EINTR || ((errno == EAGAIN || errno == EWOULDBLOCK) && wait(POLLIN, until))) continue;
    }
    usable_ = false;
    return -1;
  }
}

// One line of a head, without its LF. What it is refused with, or 0.
int WebConnection::check_line(std::size_t begin, std::size_t end) const {
  const std::string_view line(head_.data() + begin, end - begin);
  if (!line.ends_with('\r')) return 400;  // a bare LF ends a line for one server and not for the next
  const std::string_view text = line.substr(0, line.size() - 1);
  const bool odd = std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; });
  if (odd) return 400;
  if (begin == 0) return text.size() > kMostLine ? 414 : 0;
  if (text.size() > kMostLine) return 431;
  if (text.empty()) return 0;
  // "name:", nothing between the two, and no continued lines (RFC 9112 5.1, 5.2).
  const std::size_t colon = text.find(':');
  const bool named = colon != 0 && colon != std::string_view::npos;
  return named && std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon), is_token_character) ? 0 : 400;
}

int WebConnection::read_head() {
  head_.clear();
  given_ = 0;
  write_until_ = {};
  const auto until = Steady::now() + kHeadTime;
  std::size_t line = 0, fields = 0, kept = 0;
  std::string received = std::move(ahead_);
  ahead_.clear();
  for (;;) {
    for (std::size_t at = 0; at < received.size(); ++at) {
      head_ += received[at];
      if (head_.size() - line > kMostLine + 2) return line == 0 ? 414 : 431;
      if (received[at] != '\n') continue;
      if (const int status = check_line(line, head_.size() - 1)) return status;
      const std::string_view text(head_.data() + line, head_.size() - line - 2);
      if (line > 0 && text.empty()) {
        ahead_ = received.substr(at + 1);
        body_until_ = Steady::now() + kBodyTime;
        return 0;
      }
      if (line > 0 && ++fields > kMostFields) return 431;
      kept += text.size() + 2;
      if (kept > kMostHead) return 431;
      if (line > 0 && is_left_out(text)) head_.resize(line);
      line = head_.size();
    }
    std::array<char, 4096> block;
    const ssize_t n = receive(block.data(), block.size(), until);
    if (n <= 0) return -1;
    received.assign(block.data(), static_cast<std::size_t>(n));
  }
}

bool WebConnection::is_writable() const { return wait(POLLOUT, Steady::now() + kWriteSilence); }

ssize_t WebConnection::read(char* into, std::size_t size) {
  const auto take = [&](const std::string& from, std::size_t at) {
    const std::size_t n = std::min(size, from.size() - at);
    std::copy_n(from.data() + at, n, into);
    return n;
  };
  if (given_ < head_.size()) {
    const std::size_t n = take(head_, given_);
    given_ += n;
    return static_cast<ssize_t>(n);
  }
  if (!ahead_.empty()) {
    const std::size_t n = take(ahead_, 0);
    ahead_.erase(0, n);
    return static_cast<ssize_t>(n);
  }
  return receive(into, size, std::min(body_until_, Steady::now() + kSilence));
}

ssize_t WebConnection::write(const char* bytes, std::size_t size) {
  if (write_until_ == Steady::time_point{}) write_until_ = Steady::now() + kWriteTime;
  for (std::size_t written = 0; written < size;) {
    const auto until = std::min(write_until_, Steady::now() + kWriteSilence);
    ssize_t n = 0;
    if (ssl_) {
      ERR_clear_error();
      n = SSL_write(ssl_.get(), bytes + written, static_cast<int>(std::min<std::size_t>(size - written, 1024 * 1024)));
      if (n <= 0 && wait_for_tls(static_cast<int>(n), until)) continue;
    } else {
      n = send(fd_, bytes + written, size - written, MSG_NOSIGNAL);
      if (n < 0 && (errno == EINTR || ((errno == EAGAIN || errno == EWOULDBLOCK) && wait(POLLOUT, until)))) continue;
    }
    if (n <= 0 || Steady::now() > write_until_) {
      usable_ = false;
      return -1;
    }
    written += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(size);
}

void WebConnection::get_remote_ip_and_port(std::string& address, int& port) const {
  sockaddr_storage place{};
  socklen_t size = sizeof place;
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&place), &size) == 0) address_and_port(place, address, port);
}

void WebConnection::get_local_ip_and_port(std::string& address, int& port) const {
  sockaddr_storage place{};
  socklen_t size = sizeof place;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &size) == 0) address_and_port(place, address, port);
}

}  // namespace ajar
