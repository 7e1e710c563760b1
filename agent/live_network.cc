#include "agent/live_network.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <system_error>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/certificate_facts.h"
#include "checks/tls_failure.h"

namespace ajar {
namespace {

socklen_t fill_sockaddr(const AddressPort& from, sockaddr_storage& to) {
  std::memset(&to, 0, sizeof to);
  const auto bytes = from.address.bytes();
  if (from.address.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(to);
    in.sin_family = AF_INET;
    in.sin_port = htons(from.port);
    std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
    return sizeof in;
  }
  auto& in6 = reinterpret_cast<sockaddr_in6&>(to);
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(from.port);
  std::memcpy(&in6.sin6_addr, bytes.data(), bytes.size());
  return sizeof in6;
}

AddressPort from_sockaddr(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(from);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
    return {IpAddress::v4(bytes), ntohs(in.sin_port)};
  }
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(from);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
  return {IpAddress::v6(bytes), ntohs(in6.sin6_port)};
}

Reason reason_of(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Reason::nobody_listens;
    case ETIMEDOUT:
      return Reason::timeout;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EACCES:
    case EPERM:
    case ENETDOWN:
    case EHOSTDOWN:
      return Reason::no_route;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
      return Reason::hung_up;
    default:
      return Reason::internal_error;
  }
}

// Whether ICMP errors are kept with their sender. Of TCP only while it connects: on a connected socket they would end it, which
// a stray one must not.
void keep_icmp_errors(int fd, bool v4, bool keep) {
  const int value = keep ? 1 : 0;
  setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &value, sizeof value);
}

// Whether a datagram socket may say so for an ICMP error alone (Linux: icmp_err_convert, icmpv6_err_convert).
bool tells_of_icmp(int error) {
  constexpr int kAll[] = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENONET,
                          ENOPROTOOPT,  EPROTO,       EACCES,      EMSGSIZE,  EOPNOTSUPP};
  return std::find(std::begin(kAll), std::end(kAll), error) != std::end(kAll);
}

// Whom a connected socket talks to.
IpAddress peer_of(int fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length);
  return from_sockaddr(peer).address;
}

std::string text_of(int error) { return std::generic_category().message(error); }

// Takes it from the queue; 0: there is none.
int tls_error() {
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  ERR_clear_error();
  return reason;
}

LinkError link_error(int error) {
  if (error == ECONNRESET) return {Reason::hung_up, "the peer reset the connection"};
  return {reason_of(error), text_of(error)};
}

// A connect() that failed. The host itself refuses by RST. "Port unreachable" is a packet filter's word, on it or before it
// (iptables REJECT as fail2ban uses it), and tells nothing of who listens.
LinkError connect_failed(int fd, int error) {
  if (error == ECONNREFUSED) {
    if (const auto icmp = take_icmp_error(fd)) {
      return {Reason::no_route,
              fmt::format("a packet filter refused the connection (ICMP unreachable from {})", icmp->sender.to_string())};
    }
  }
  return link_error(error);
}

// Called where the server asks for a certificate: we have none, and remember that it asked.
int remember_certificate_request(SSL* ssl, X509**, EVP_PKEY**) {
  SSL_set_app_data(ssl, ssl);
  return 0;
}

// RFC 7301 3.1: each name behind its length. Names that do not fit are bugs of ours.
std::string alpn_list(const std::vector<std::string>& protocols) {
  std::string list;
  for (const std::string& name : protocols) {
    list += static_cast<char>(name.size());
    list += name;
  }
  return list;
}

// The alerts by which servers refuse who has no certificate; 1.2 knows no word of its own for it (RFC 5246 7.4.6, RFC
// 8446 6.2).
bool refuses_for_certificate(int reason) {
  constexpr int kAlerts[] = {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
                             SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
                             SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
                             SSL_R_SSLV3_ALERT_NO_CERTIFICATE,
                             SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
                             SSL_R_TLSV1_ALERT_ACCESS_DENIED,
                             SSL_R_TLSV1_ALERT_UNKNOWN_CA};
  return std::find(std::begin(kAlerts), std::end(kAlerts), reason) != std::end(kAlerts);
}

// What one recv can bring; copied out at once, so that a connection at rest holds no buffer.
thread_local std::array<char, 16384> receive_buffer;

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

ProbeTls::ProbeTls() : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
  SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
  SSL_CTX_set_options(context_.get(), SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context_.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_client_cert_cb(context_.get(), remember_certificate_request);
  SSL_CTX_set_default_verify_paths(context_.get());  // only said in the evidence: no probe ends for it
  ERR_clear_error();
}

LiveLink::LiveLink(Loop& loop, int fd, Side side, SSL_CTX* tls, Transcript& transcript, std::chrono::milliseconds reply_timeout,
                   Steady::time_point until, ProbeTalk* talk)
    : Link(transcript),
      side_(side),
      socket_(loop, fd),
      context_(tls),
      reply_timeout_(reply_timeout),
      first_reply_timeout_(reply_timeout),
      until_(until),
      talk_(talk) {
  LiveLink::begin_wait();
}

// Before each write. One after another that nothing answered would wait for the peer's delayed ACK (RFC 896): most
// conversations take turns, and need not say so.
void LiveLink::hurry() {
  if (!std::exchange(written_, true) || std::exchange(hurries_, true)) return;
  const int on = 1;
  setsockopt(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

LiveLink::~LiveLink() {
  if (!ssl_) return;
  count_tls();
  if (SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // else the session could not be resumed
  if (keeps_session_ && !LiveLink::wants_certificate()) keep_session();
  ERR_clear_error();
}

void LiveLink::keep_session() {
  std::unique_ptr<SSL_SESSION, ProbeTalk::Free> session(SSL_get1_session(ssl_.get()));
  if (session && SSL_SESSION_is_resumable(session.get()) == 1) talk_->session = std::move(session);
}

void LiveLink::count(std::size_t bytes) {
  if (talk_ != nullptr) talk_->bytes += bytes;
}

// What went over the socket, not what was said in it.
void LiveLink::count_tls() {
  if (talk_ == nullptr) return;
  talk_->bytes += BIO_number_read(SSL_get_rbio(ssl_.get())) + BIO_number_written(SSL_get_wbio(ssl_.get()));
}

void LiveLink::begin_wait() {
  const auto timeout = spoken_to() ? reply_timeout_ : first_reply_timeout_;
  socket_.set_deadline(std::min(Steady::now() + timeout, until()));
}

LinkError LiveLink::gave_up() const {
  if (socket_.stopping()) return {Reason::timeout, "interrupted: the agent is stopping"};
  if (Steady::now() >= until()) return {Reason::timeout, "the time for the whole probe is over"};
  return {Reason::timeout, fmt::format("no answer within {}", spoken_to() ? reply_timeout_ : first_reply_timeout_)};
}

Task<std::size_t> LiveLink::read_some(std::string& into, std::size_t max) {
  max = std::min(max, receive_buffer.size());
  for (;;) {
    if (ssl_) {
      if (tls_error_ != 0) throw tls_failure(tls_error_);
      errno = 0;
      const int got = SSL_read(ssl_.get(), receive_buffer.data(), static_cast<int>(max));
      if (got > 0) {
        into.append(receive_buffer.data(), static_cast<std::size_t>(got));
        co_return static_cast<std::size_t>(got);
      }
      const bool again = co_await wait_for_tls(got);
      if (!again) co_return 0;
      continue;
    }
    // Edge-triggered: nothing can be there before the event says so.
    const bool ready = co_await socket_.readable();
    if (!ready) throw gave_up();
    const std::optional<std::size_t> got = receive(into, max);
    if (got) co_return *got;
  }
}

std::optional<std::size_t> LiveLink::receive(std::string& into, std::size_t max) {
  max = std::min(max, receive_buffer.size());
  const ssize_t got = recv(socket_.fd(), receive_buffer.data(), max, 0);
  if (got == 0 && reset_) throw was_reset();
  if (got >= 0) {
    written_ = false;
    if (got > 0 && static_cast<std::size_t>(got) < max) socket_.drained_read();
    count(static_cast<std::size_t>(got));
    into.append(receive_buffer.data(), static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
  }
  if (errno == EAGAIN || errno == EINTR) {
    if (errno == EAGAIN) socket_.drained_read();
    return std::nullopt;
  }
  const int error = errno;
  if (error == ECONNRESET) throw was_reset();
  throw link_error(error);
}

LinkError LiveLink::was_reset() {
  transcript().note("the peer reset the connection");
  return link_error(ECONNRESET);
}

Task<void> LiveLink::wait_for_line(std::string& line) {
  if (ssl_) return Link::wait_for_line(line);
  return wait_for_clear_line(line);
}

// As Link::wait_for_line(), without a coroutine for the read: a probe spends its time here.
Task<void> LiveLink::wait_for_clear_line(std::string& line) {
  begin_wait();
  for (;;) {
    const std::size_t most = make_room();
    const bool ready = co_await socket_.readable();
    if (!ready) {
      const LinkError silence = gave_up();
      if (begun()) begun_and_not_ended(silence);
      throw LinkError(silence);
    }
    const std::optional<std::size_t> count = receive(in_, most);
    if (!count) continue;
    received(*count);
    if (take_line(line)) co_return;
  }
}

Task<void> LiveLink::wait_for_bytes(std::size_t enough) {
  if (ssl_) return Link::wait_for_bytes(enough);
  return wait_for_clear_bytes(enough);
}

Task<void> LiveLink::wait_for_clear_bytes(std::size_t enough) {
  begin_wait();
  while (here() < enough) {
    const std::size_t most = make_room();
    const bool ready = co_await socket_.readable();
    if (!ready) throw gave_up();
    const std::optional<std::size_t> count = receive(in_, most);
    if (count && !counted(*count)) co_return;
  }
}

void LiveLink::read_now(std::string& into, std::size_t max) {
  max = std::min(max, receive_buffer.size());
  ssize_t got = 0;
  if (ssl_) {
    const int count = SSL_read(ssl_.get(), receive_buffer.data(), static_cast<int>(max));
    const bool failed = count <= 0 && SSL_get_error(ssl_.get(), count) == SSL_ERROR_SSL;
    const int reason = tls_error();
    if (failed) tls_error_ = static_cast<std::uint16_t>(reason);
    got = count;
  } else {
    got = recv(socket_.fd(), receive_buffer.data(), max, MSG_DONTWAIT);
    if (got < 0) reset_ = reset_ || errno == ECONNRESET;
    if (got > 0) count(static_cast<std::size_t>(got));
  }
  if (got > 0) into.append(receive_buffer.data(), static_cast<std::size_t>(got));
}

std::size_t LiveLink::write_now(std::string_view bytes) {
  hurry();
  if (ssl_) {
    const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    ERR_clear_error();
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }
  const ssize_t sent = send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0) reset_ = reset_ || errno == ECONNRESET;
  if (sent <= 0) return 0;
  count(static_cast<std::size_t>(sent));
  return static_cast<std::size_t>(sent);
}

Task<void> LiveLink::write_all(std::string bytes) {
  begin_wait();
  hurry();
  std::size_t done = 0;
  while (done < bytes.size()) {
    if (ssl_) {
      errno = 0;
      const int sent = SSL_write(ssl_.get(), bytes.data() + done, static_cast<int>(bytes.size() - done));
      if (sent > 0) {
        done += static_cast<std::size_t>(sent);
        continue;
      }
      // Gone, as below: the alert that says why (RFC 8446 6.2, certificate_required) is to be read yet, or was met by unread().
      const bool gone = tls_error_ != 0 || errno == EPIPE || errno == ECONNRESET;
      if (gone && SSL_get_error(ssl_.get(), sent) == SSL_ERROR_SYSCALL) {
        ERR_clear_error();
        co_return;
      }
      const bool again = co_await wait_for_tls(sent);
      if (!again) co_return;
      continue;
    }
    const ssize_t sent = send(socket_.fd(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<std::size_t>(sent);
      count(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    // Gone: what it said before it went is still to be heard, and the next read says how it ended.
    reset_ = reset_ || errno == ECONNRESET;
    if (errno == EPIPE || errno == ECONNRESET) co_return;
    if (errno != EAGAIN) throw link_error(errno);
    socket_.drained_write();
    const bool ready = co_await socket_.writable();
    if (!ready) throw gave_up();
  }
}

Task<bool> LiveLink::wait_for_tls(int result) {
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: {
      socket_.drained_read();
      const bool ready = co_await socket_.readable();
      if (!ready) throw gave_up();
      co_return true;
    }
    case SSL_ERROR_WANT_WRITE: {
      socket_.drained_write();
      const bool ready = co_await socket_.writable();
      if (!ready) throw gave_up();
      co_return true;
    }
    case SSL_ERROR_ZERO_RETURN:
      co_return false;
    case SSL_ERROR_SYSCALL:
      if (result < 0 && saved == ECONNRESET) throw was_reset();
      if (result < 0 && saved != 0) throw link_error(saved);
      co_return false;
    default: {
      const int reason = tls_error();
      const LinkError failure = tls_failure(reason);
      const bool alert = reason >= SSL_AD_REASON_OFFSET && failure.reason() == Reason::tls_failed;
      if (alert) throw TlsFailure(TlsFailure::How::alert, failure.what(), reason - SSL_AD_REASON_OFFSET);
      throw LinkError(failure);
    }
  }
}

LinkError LiveLink::tls_failure(int reason) const {
  const char* const words = reason == 0 ? nullptr : ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
  const std::string trouble = words == nullptr ? "the peer closed the connection" : words;
  if (certificate_wanted() && refuses_for_certificate(reason)) {
    return {Reason::auth_required, "the server wants a certificate of ours: " + trouble};
  }
  return {Reason::tls_failed, trouble};
}

bool LiveLink::wants_certificate() const { return ssl_ && SSL_get_app_data(ssl_.get()) != nullptr; }

// Whether our ClientHello is all that was said in the handshake.
bool LiveLink::unanswered() const { return ssl_ && SSL_get_state(ssl_.get()) == TLS_ST_CW_CLNT_HELLO; }

// Whether the first byte that is here is that of no TLS record (RFC 8446 5.1). Takes nothing.
bool LiveLink::answers_in_clear() const {
  char first = 0;
  if (recv(socket_.fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) return false;
  return first < SSL3_RT_CHANGE_CIPHER_SPEC || first > SSL3_RT_APPLICATION_DATA;
}

Task<void> LiveLink::handshake(const TlsHello& hello) {
  if (context_ == nullptr) throw LinkError(Reason::tls_failed, "no TLS on this side");
  written_ = true;
  hurry();  // a handshake has flights of several records
  ssl_.reset(SSL_new(context_));
  SSL_set_fd(ssl_.get(), socket_.fd());
  const bool client = side_ == Side::client;
  const bool by_default = hello.server_name.empty() && talk_ != nullptr;
  const std::string name = by_default ? talk_->sni : hello.server_name;
  const bool named = !name.empty() && !IpAddress::parse(name);
  if (client && named) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  if (client && !hello.protocols.empty()) {
    const std::string list = alpn_list(hello.protocols);
    SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(list.data()), static_cast<unsigned>(list.size()));
  }
  const bool resumes = client && by_default && talk_->session;
  if (resumes) SSL_set_session(ssl_.get(), talk_->session.get());
  for (;;) {
    errno = 0;
    const int result = client ? SSL_connect(ssl_.get()) : SSL_accept(ssl_.get());
    if (result == 1) break;
    std::optional<TlsFailure::How> how;
    std::string trouble;
    Reason reason = Reason::tls_failed;
    int alert = 0;
    try {
      const bool again = co_await wait_for_tls(result);
      if (!again) trouble = "the peer closed the connection";
      if (!again && unanswered()) how = TlsFailure::How::ended;
    } catch (const TlsFailure& error) {
      trouble = error.what();
      how = error.how();
      alert = error.alert();
    } catch (const LinkError& error) {
      trouble = error.what();
      if (error.reason() == Reason::auth_required) reason = error.reason();
      if (error.reason() == Reason::hung_up && unanswered()) how = TlsFailure::How::ended;
      if (error.reason() == Reason::timeout && unanswered()) how = TlsFailure::How::silent;
    }
    if (trouble.empty() && client && unanswered() && answers_in_clear()) {
      trouble = "it answers without TLS";
      how = TlsFailure::How::clear;
      count_tls();
      ssl_.reset();
    }
    if (trouble.empty()) continue;
    transcript().note("TLS failed: " + trouble);
    if (resumes) talk_->session.reset();
    // Perhaps for the session alone: what hangs up is asked again, and then without one.
    if (resumes && reason == Reason::tls_failed && how != TlsFailure::How::silent) {
      throw LinkError(Reason::hung_up, "the TLS session was not resumed: " + trouble);
    }
    if (how) throw TlsFailure(*how, "the TLS handshake failed: " + trouble, alert);
    throw LinkError(reason, "the TLS handshake failed: " + trouble);
  }
  transcript().note(tls_facts());
  if (!client) co_return;
  keeps_session_ = by_default;
  // Once: a probe connects often, and meets the same certificate each time.
  for (const std::string& fact : certificate_facts(ssl_.get(), named ? name : std::string())) {
    if (!transcript().noted(fact)) transcript().note(fact);
  }
}

std::string LiveLink::tls_facts() const {
  if (!ssl_) return {};
  return fmt::format("{} {}{}", SSL_get_version(ssl_.get()), SSL_get_cipher_name(ssl_.get()),
                     SSL_session_reused(ssl_.get()) == 1 ? ", resumed" : "");
}

std::string LiveLink::protocol() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  if (ssl_) SSL_get0_alpn_selected(ssl_.get(), &name, &length);
  return name == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(name), length);
}

std::string LiveLink::client_hello_name() const {
  const char* const name = ssl_ ? SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name) : nullptr;
  return name == nullptr ? std::string() : std::string(name);
}

Task<bool> LiveLink::wait_a_moment(std::chrono::milliseconds patience) {
  socket_.set_deadline(std::min(Steady::now() + patience, until()));
  for (;;) {
    const bool ready = co_await socket_.readable();
    if (!ready) co_return false;
    if (unread()) co_return true;
    // The end, an error, or the first part of a TLS record: all is more. A TLS message that brings no text is not.
    char first = 0;
    const ssize_t got = recv(socket_.fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) co_return true;
    if (errno == EAGAIN) socket_.drained_read();
  }
}

// RFC 8446 5.1: a record of type handshake.
Task<bool> LiveLink::begins_with_tls() {
  constexpr char kHandshake = 22;
  begin_wait();
  for (;;) {
    char first = 0;
    const ssize_t got = recv(socket_.fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got >= 0) co_return got == 1 && first == kHandshake;
    if (errno != EAGAIN && errno != EINTR) throw link_error(errno);
    if (errno == EAGAIN) socket_.drained_read();
    const bool ready = co_await socket_.readable();
    if (!ready) throw gave_up();
  }
}

void LiveLink::reset() {
  const linger hard{1, 0};
  setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

namespace {

std::string_view remedy_of(int error) {
  switch (error) {
    case EMFILE:
      return "Raise the limit of open files (LimitNOFILE= of the unit, ulimit -n), or write a smaller agent.concurrency.";
    case ENFILE:
      return "The system has no file handle left: raise fs.file-max, or write a smaller agent.concurrency.";
    case EADDRNOTAVAIL:
    case EAGAIN:
      return "No port is free for one more connection: widen net.ipv4.ip_local_port_range, give more agent.source_addresses, "
             "or "
             "write a smaller agent.connections_per_second.";
    default:
      return "The kernel has no memory for one more socket.";
  }
}

PaceLimits rates_of(PaceLimits limits) {
  limits.daily_connections = limits.daily_bytes = 0;
  return limits;
}

}  // namespace

ConnectGate::ConnectGate(Loop& loop, const ConnectGate& same, std::function<void(const IpAddress&, PaceNews)> tell)
    : loop_(loop), line_(same.line_), clock_(same.clock_), pace_(rates_of(same.pace_.limits())), tell_(std::move(tell)) {}

void ConnectGate::set_pace(const PaceLimits& limits) { pace_.set_limits(tell_ ? rates_of(limits) : limits); }

void ConnectGate::take(const IpAddress& address, PaceNews news) {
  switch (news.kind) {
    case PaceNews::Kind::connection:
      return pace_.started(address, clock_());
    case PaceNews::Kind::answered:
    case PaceNews::Kind::timed_out:
      return pace_.ended(address, clock_(), news.kind == PaceNews::Kind::timed_out);
    case PaceNews::Kind::bytes:
      return pace_.add_bytes(address, news.bytes, clock_());
    case PaceNews::Kind::waited_for_address:
      ++waits_.address;
      return;
    case PaceNews::Kind::waited_for_network:
      ++waits_.network;
      return;
    case PaceNews::Kind::waited_for_all:
      ++waits_.global;
      return;
    case PaceNews::Kind::short_of:
      ++waits_.system;
      return say_shortage(news.error);
  }
}

// Waits are counted where the others are.
void ConnectGate::tell(const IpAddress& address, PaceNews news) {
  if (tell_) {
    tell_(address, news);
  } else if (news.kind >= PaceNews::Kind::waited_for_address) {
    take(address, news);
  }
}

void ConnectGate::ended(const IpAddress& address, bool timed_out) {
  pace_.ended(address, clock_(), timed_out);
  tell(address, {timed_out ? PaceNews::Kind::timed_out : PaceNews::Kind::answered});
}

void ConnectGate::add_bytes(const IpAddress& address, std::uint64_t bytes) {
  pace_.add_bytes(address, bytes, clock_());
  tell(address, {PaceNews::Kind::bytes, bytes});
}

Loop::Sleep ConnectGate::sleep_until(const IpAddress& address, Time turn, PaceNews::Kind waited) {
  const Time now = clock_();
  if (turn <= now) return loop_.sleep_until(loop_.now());
  tell(address, {waited});
  return loop_.sleep_until(loop_.now() + (turn - now));
}

Loop::Sleep ConnectGate::turn_of_address(const IpAddress& address) {
  tell(address, {PaceNews::Kind::connection});
  return sleep_until(address, pace_.turn_of_address(address, clock_()), PaceNews::Kind::waited_for_address);
}

Loop::Sleep ConnectGate::turn_of_network(const IpAddress& address) {
  return sleep_until(address, pace_.turn_of_network(address, clock_()), PaceNews::Kind::waited_for_network);
}

Loop::Sleep ConnectGate::turn() {
  const unsigned rate = line_->per_second.load(std::memory_order_relaxed);
  const Steady::rep now = loop_.now().time_since_epoch().count();
  const Steady::rep soonest = std::max(now, line_->hold_until.load(std::memory_order_relaxed));
  Steady::rep mine = soonest;
  if (rate > 0) {
    const Steady::rep gap = Steady::duration(std::chrono::nanoseconds(1'000'000'000 / rate)).count();
    Steady::rep next = line_->next.load(std::memory_order_relaxed);
    do {
      mine = std::max(next, soonest);
    } while (!line_->next.compare_exchange_weak(next, mine + gap, std::memory_order_relaxed));
  }
  if (mine > now) tell({}, {PaceNews::Kind::waited_for_all});
  return loop_.sleep_until(Steady::time_point(Steady::duration(mine)));
}

void ConnectGate::short_of(int error) {
  line_->hold_until.store((loop_.now() + kShort).time_since_epoch().count(), std::memory_order_relaxed);
  tell({}, {PaceNews::Kind::short_of, 0, error});
}

void ConnectGate::say_shortage(int error) {
  const Steady::time_point now = loop_.now();
  const auto said = said_.find(error);
  if (said != said_.end() && now - said->second < std::chrono::minutes(1)) return;
  said_[error] = now;
  shortages_.push_back(fmt::format("{}: connections wait, and nothing is judged by it. {}", text_of(error), remedy_of(error)));
}

std::vector<std::string> ConnectGate::take_shortages() { return std::exchange(shortages_, {}); }

bool ConnectGate::take_turn() {
  const unsigned rate = line_->per_second.load(std::memory_order_relaxed);
  const Steady::rep now = loop_.now().time_since_epoch().count();
  if (line_->hold_until.load(std::memory_order_relaxed) > now) return false;
  if (rate == 0) return true;
  const Steady::rep gap = Steady::duration(std::chrono::nanoseconds(1'000'000'000 / rate)).count();
  const Steady::rep late = Steady::duration(kLate).count();
  Steady::rep next = line_->next.load(std::memory_order_relaxed);
  do {
    if (next > now) return false;
  } while (!line_->next.compare_exchange_weak(next, std::max(next, now - late) + gap, std::memory_order_relaxed));
  return true;
}

LiveNetwork::LiveNetwork(Loop& loop, const Scope& scope, ConnectGate& gate, const ProbeTls& tls, NetworkOptions options,
                         std::string sni)
    : loop_(loop), scope_(scope), gate_(gate), tls_(tls), options_(std::move(options)) {
  talk_.sni = std::move(sni);
  talk_.until = loop.now() + options_.probe_timeout;
}

LiveNetwork::~LiveNetwork() { count_bytes(); }

void LiveNetwork::count_bytes() {
  if (talk_.bytes > 0) gate_.add_bytes(dialed_, std::exchange(talk_.bytes, 0));
}

// Of a probe the first connection: what the others meet is not the network's doing.
void LiveNetwork::tell_pace(const IpAddress& address, bool timed_out) {
  if (!std::exchange(told_pace_, true)) gate_.ended(address, timed_out);
}

Task<void> LiveNetwork::take_turns(IpAddress address) {
  if (address != dialed_) count_bytes();
  dialed_ = address;
  const auto begun = loop_.now();
  if (begun >= talk_.until) throw LinkError(Reason::timeout, "the time for the whole probe is over");
  const bool of_address = co_await gate_.turn_of_address(address);
  const bool of_network = co_await gate_.turn_of_network(address);
  const bool of_all = co_await gate_.turn();
  if (!of_address || !of_network || !of_all) throw LinkError(Reason::timeout, "interrupted: the agent is stopping");
  spend(begun);
}

// What we waited for ourselves is no time of the peer's.
void LiveNetwork::spend(Steady::time_point since) {
  const auto waited = loop_.now() - since;
  waited_ += waited;
  if (waited_ > options_.probe_timeout) {
    throw LinkError(Reason::internal_error, "our own pace (agent.connections_per_second…) left no time for the probe");
  }
  talk_.until += waited;
}

// Where something of our own is used up, it waits until there is some again.
Task<int> LiveNetwork::begin(MakeSocket make, AddressPort place) {
  for (;;) {
    int error = 0;
    try {
      co_return make(place, options_.source_addresses).release();
    } catch (const Shortage& shortage) {
      error = shortage.error();
    }
    const auto since = loop_.now();
    gate_.short_of(error);
    const bool mine = co_await gate_.turn();
    if (!mine) throw LinkError(Reason::timeout, "interrupted: the agent is stopping");
    spend(since);
  }
}

Shortage::Shortage(int error) : LinkError(Reason::internal_error, "no socket: " + text_of(error)), error_(error) {}

namespace {

// Of socket() and connect().
bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL || error == EAGAIN;
}

[[noreturn]] void throw_no_socket(int error) {
  if (is_shortage(error)) throw Shortage(error);
  throw LinkError(Reason::internal_error, "no socket: " + text_of(error));
}

void bind_source(int fd, const std::vector<IpAddress>& all, const IpAddress& destination) {
  // One address each destination, always the same: greylisting knows us by it.
  std::vector<IpAddress> sources = all;
  std::erase_if(sources, [&](const IpAddress& source) { return source.is_v4() != destination.is_v4(); });
  if (!sources.empty()) {
    const auto bytes = destination.bytes();
    const IpAddress source = sources[std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}) % sources.size()];
    const int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_storage from{};
    const socklen_t length = fill_sockaddr({source, 0}, from);
    if (bind(fd, reinterpret_cast<sockaddr*>(&from), length) != 0) {
      throw LinkError(Reason::no_route,
                      fmt::format("cannot use the source address {}: {}", source.to_string(), text_of(errno)));
    }
    return;
  }
  if (!all.empty()) {
    throw LinkError(Reason::no_route, fmt::format("no source address of the family of {}", destination.to_string()));
  }
}

}  // namespace

FileDescriptor begin_connect(const AddressPort& place, const std::vector<IpAddress>& sources) {
  FileDescriptor fd(socket(place.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) throw_no_socket(errno);
  bind_source(fd.get(), sources, place.address);
  sockaddr_storage to{};
  const socklen_t length = fill_sockaddr(place, to);
  keep_icmp_errors(fd.get(), place.address.is_v4(), true);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length) != 0 && errno != EINPROGRESS) {
    if (is_shortage(errno)) throw Shortage(errno);
    throw connect_failed(fd.get(), errno);
  }
  return fd;
}

Task<std::unique_ptr<Link>> LiveNetwork::dial(const IpAddress& address, std::uint16_t port, TlsMode tls) {
  const AddressPort place{address, port};
  bool connecting = false;
  transcript_.begin_conversation();
  transcript_.note("connecting to " + place.to_string());
  try {
    if (!scope_.allows(address)) throw LinkError(Reason::out_of_scope, address.to_string() + " is outside the scope");
    co_await take_turns(address);
    const int fd = co_await begin(begin_connect, place);
    const auto by = std::min(loop_.now() + options_.connect_timeout, talk_.until);
    auto link = std::make_unique<LiveLink>(loop_, fd, LiveLink::Side::client, tls_.context(), transcript_,
                                           options_.reply_timeout, talk_.until, &talk_);
    connecting = true;
    co_await link->connected(by);
    connecting = false;
    tell_pace(address, false);
    keep_icmp_errors(fd, address.is_v4(), false);
    if (source_address_.empty()) note_source(fd);
    if (options_.first_reply_timeout.count() > 0 && !transcript_.heard()) {
      link->set_first_reply_timeout(options_.first_reply_timeout);
    }
    if (tls == TlsMode::implicit) {
      co_await link->start_tls();
    }
    co_return link;
  } catch (const LinkError& error) {
    if (connecting && !loop_.shutting_down()) {
      tell_pace(address, error.reason() == Reason::timeout || error.reason() == Reason::no_route);
    }
    const bool said = error.reason() == Reason::tls_failed || error.reason() == Reason::auth_required;
    if (!said) transcript_.note(std::string("no connection: ") + error.what());
    throw;
  } catch (const std::system_error& error) {  // no room to watch one more socket
    transcript_.note(std::string("no connection: ") + error.what());
    throw LinkError(Reason::internal_error, error.what());
  }
}

FileDescriptor connected_datagrams(const AddressPort& place, const std::vector<IpAddress>& sources) {
  FileDescriptor fd(socket(place.address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) throw_no_socket(errno);
  bind_source(fd.get(), sources, place.address);
  sockaddr_storage to{};
  const socklen_t length = fill_sockaddr(place, to);
  keep_icmp_errors(fd.get(), place.address.is_v4(), true);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length) != 0) {
    if (is_shortage(errno)) throw Shortage(errno);
    throw link_error(errno);
  }
  return fd;
}

Task<std::unique_ptr<Datagrams>> LiveNetwork::dial_udp(const IpAddress& address, std::uint16_t port) {
  const AddressPort place{address, port};
  transcript_.begin_conversation();
  transcript_.note("datagrams to " + place.to_string());
  try {
    if (!scope_.allows(address)) throw LinkError(Reason::out_of_scope, address.to_string() + " is outside the scope");
    co_await take_turns(address);
    const int fd = co_await begin(connected_datagrams, place);
    const auto timeout = options_.first_reply_timeout.count() > 0 && !transcript_.heard() ? options_.first_reply_timeout
                                                                                          : options_.reply_timeout;
    std::unique_ptr<Datagrams> datagrams =
        std::make_unique<LiveDatagrams>(loop_, fd, transcript_, timeout, talk_.until, &talk_);
    if (source_address_.empty()) note_source(fd);
    co_return datagrams;
  } catch (const LinkError& error) {
    transcript_.note(std::string("no datagrams: ") + error.what());
    throw;
  } catch (const std::system_error& error) {  // no room to watch one more socket
    transcript_.note(std::string("no datagrams: ") + error.what());
    throw LinkError(Reason::internal_error, error.what());
  }
}

LiveDatagrams::LiveDatagrams(Loop& loop, int fd, Transcript& transcript, std::chrono::milliseconds reply_timeout,
                             Steady::time_point until, ProbeTalk* talk)
    : Datagrams(transcript), socket_(loop, fd), peer_(peer_of(fd)), reply_timeout_(reply_timeout), until_(until), talk_(talk) {
  keep_icmp_errors(fd, peer_.is_v4(), true);
}

// Doubling, from half a second or, where the whole is to be shorter, from its share.
std::chrono::milliseconds LiveDatagrams::wait_of(unsigned attempt) const {
  constexpr unsigned kShares = (1U << kAttempts) - 1;
  const auto first = std::min(std::chrono::milliseconds(500), reply_timeout_ / kShares);
  return std::max(first * (1U << attempt), std::chrono::milliseconds(20));
}

void LiveDatagrams::send(const std::string& bytes) {
  // An ICMP error for the one before fails this one, which was not sent; the next read tells of it.
  for (int i = 0; i < 2; ++i) {
    const ssize_t sent = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0 && talk_ != nullptr) talk_->bytes += static_cast<std::size_t>(sent);
    // A full queue is a datagram that was lost: it is sent again.
    if (sent >= 0 || errno == EAGAIN || errno == ENOBUFS || errno == EINTR) return;
  }
  if (errno != ECONNREFUSED) throw link_error(errno);
}

// LinkError where one has come. The word of the host itself counts before that of others.
void LiveDatagrams::hear_refusals() {
  std::optional<IcmpError> refusal;
  for (std::size_t i = 0; i < kMaxReceived; ++i) {
    const std::optional<IcmpError> error = take_icmp_error(socket_.fd());
    if (!error) break;
    if (error->port_unreachable() && error->sender == peer_) {
      throw LinkError(Reason::nobody_listens, "the datagram was refused (ICMP port unreachable)");
    }
    if (error->is_refusal()) refusal = error;
  }
  if (!refusal) return;
  throw LinkError(Reason::no_route,
                  fmt::format("a packet filter refused the datagram (ICMP unreachable from {})", refusal->sender.to_string()));
}

Task<bool> LiveDatagrams::receive(std::string& into, unsigned attempt, bool begins) {
  if (begins) socket_.set_deadline(std::min(Steady::now() + wait_of(attempt), until()));
  for (std::size_t passed_over = 0;;) {
    const ssize_t got = recv(socket_.fd(), receive_buffer.data(), kMaxDatagram, MSG_DONTWAIT);
    if (got >= 0) {
      into.assign(receive_buffer.data(), static_cast<std::size_t>(got));
      if (talk_ != nullptr) talk_->bytes += into.size();
      co_return true;
    }
    const int error = errno;
    hear_refusals();
    // The error of an ICMP message that refuses nothing; it is no longer kept.
    if (error == EINTR || (tells_of_icmp(error) && ++passed_over <= kMaxReceived)) continue;
    if (error != EAGAIN) throw link_error(error);
    socket_.drained_read();
    const bool ready = co_await socket_.readable();
    if (ready) continue;
    if (socket_.stopping()) throw LinkError(Reason::timeout, "interrupted: the agent is stopping");
    if (Steady::now() >= until()) throw LinkError(Reason::timeout, "the time for the whole probe is over");
    co_return false;
  }
}

void LiveNetwork::note_source(int fd) {
  sockaddr_storage local{};
  socklen_t length = sizeof local;
  getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length);
  source_address_ = from_sockaddr(local).address.to_string();
}

Task<void> LiveLink::connected(Steady::time_point by) {
  socket_.set_deadline(by);
  const bool ready = co_await socket_.writable();
  if (!ready)
    throw LinkError(Reason::timeout,
                    socket_.stopping() ? "interrupted: the agent is stopping" : "no answer to the connection request");
  if (!socket_.may_be_read()) co_return;  // an error would make it readable too
  if (const auto trouble = connect_trouble(socket_.fd())) throw LinkError(*trouble);
}

std::optional<LinkError> connect_trouble(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == 0) return std::nullopt;
  return connect_failed(fd, error);
}

bool IcmpError::port_unreachable() const {
  return sender.is_v4() ? type == ICMP_DEST_UNREACH && code == ICMP_PORT_UNREACH
                        : type == ICMP6_DST_UNREACH && code == ICMP6_DST_UNREACH_NOPORT;
}

bool IcmpError::is_refusal() const {
  if (!sender.is_v4()) {
    const bool passes =
        code == ICMP6_DST_UNREACH_NOROUTE || code == ICMP6_DST_UNREACH_BEYONDSCOPE || code == ICMP6_DST_UNREACH_ADDR;
    return type == ICMP6_DST_UNREACH && !passes;
  }
  switch (code) {
    case ICMP_NET_UNREACH:
    case ICMP_HOST_UNREACH:
    case ICMP_FRAG_NEEDED:
    case ICMP_SR_FAILED:
    case ICMP_NET_UNR_TOS:
    case ICMP_HOST_UNR_TOS:
      return false;
    default:
      return type == ICMP_DEST_UNREACH;
  }
}

std::optional<IcmpError> take_icmp_error(int fd) {
  for (int i = 0; i < 8; ++i) {  // others are our own kernel's, which tells them otherwise
    alignas(cmsghdr) std::array<char, 512> control{};
    std::array<char, 64> sent{};  // the packet that was refused: no matter
    iovec into{sent.data(), sent.size()};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return std::nullopt;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
      const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR;
      const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR;
      const std::size_t sender = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if ((!v4 && !v6) || part->cmsg_len < CMSG_LEN(sizeof(sock_extended_err) + sender)) continue;
      sock_extended_err error{};
      std::memcpy(&error, CMSG_DATA(part), sizeof error);
      if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6) continue;
      sockaddr_storage from{};  // SO_EE_OFFENDER
      std::memcpy(&from, CMSG_DATA(part) + sizeof error, sender);
      return IcmpError{from_sockaddr(from).address, error.ee_type, error.ee_code};
    }
  }
  return std::nullopt;
}

IpAddress local_address_towards(const IpAddress& destination) {
  const FileDescriptor fd(socket(destination.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage place{};
  socklen_t length = fill_sockaddr({destination, 25}, place);
  if (fd.get() >= 0 &&
      connect(fd.get(), reinterpret_cast<sockaddr*>(&place), length) == 0) {  // a datagram socket: nothing is sent
    length = sizeof place;
    if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&place), &length) == 0) return from_sockaddr(place).address;
  }
  return destination.is_v4() ? IpAddress::v4({127, 0, 0, 1}) : *IpAddress::parse("::1");
}

Listener::Listener(Loop& loop, const AddressPort& address, std::function<void(int, AddressPort)> accepted)
    : loop_(loop), accepted_(std::move(accepted)), spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {
  fd_ = FileDescriptor(socket(address.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!address.address.is_v4()) setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  sockaddr_storage where{};
  socklen_t length = fill_sockaddr(address, where);
  if (fd_.get() < 0 || bind(fd_.get(), reinterpret_cast<sockaddr*>(&where), length) != 0 || listen(fd_.get(), 4096) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot listen on " + address.to_string());
  }
  length = sizeof where;
  getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&where), &length);
  address_ = from_sockaddr(where);
  event_assign(&event_, loop_.base(), fd_.get(), EV_READ | EV_PERSIST, &Listener::on_event, this);
  event_add(&event_, nullptr);
}

void answer_from_there(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      info.ipi_ifindex = 0;
      std::memcpy(CMSG_DATA(part), &info, sizeof info);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      std::memcpy(CMSG_DATA(part), &info, sizeof info);
    }
  }
}

DatagramListener::DatagramListener(Loop& loop, const AddressPort& address, Received received)
    : received_(std::move(received)),
      fd_(socket(address.address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  const bool v4 = address.address.is_v4();
  const int on = 1;
  if (!v4) setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  // Which of our addresses was asked, where it listens on all of them: the answer comes from that one.
  setsockopt(fd_.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &on, sizeof on);
  sockaddr_storage where{};
  socklen_t length = fill_sockaddr(address, where);
  if (fd_.get() < 0 || bind(fd_.get(), reinterpret_cast<sockaddr*>(&where), length) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot receive datagrams on " + address.to_string());
  }
  length = sizeof where;
  getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&where), &length);
  address_ = from_sockaddr(where);
  event_assign(&event_, loop.base(), fd_.get(), EV_READ | EV_PERSIST, &DatagramListener::on_event, this);
  event_add(&event_, nullptr);
}

DatagramListener::~DatagramListener() { event_del(&event_); }

void DatagramListener::send(const std::string& bytes, const AddressPort& peer) {
  sockaddr_storage to{};
  const socklen_t length = fill_sockaddr(peer, to);
  static_cast<void>(
      sendto(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&to), length));
}

void DatagramListener::on_event(int, short, void* self) {
  for (int i = 0; i < 64; ++i) {  // then the others have their turn
    if (!static_cast<DatagramListener*>(self)->receive_one()) return;
  }
}

bool DatagramListener::receive_one() {
  sockaddr_storage peer{};
  alignas(cmsghdr) std::array<char, 128> control{};
  iovec into{receive_buffer.data(), Datagrams::kMaxDatagram};
  msghdr message{};
  message.msg_name = &peer;
  message.msg_namelen = sizeof peer;
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  if (got < 0) return false;
  AddressPort local = address_;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      std::array<std::uint8_t, 4> bytes{};
      std::memcpy(bytes.data(), &info.ipi_addr, bytes.size());
      local.address = IpAddress::v4(bytes);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      std::array<std::uint8_t, 16> bytes{};
      std::memcpy(bytes.data(), &info.ipi6_addr, bytes.size());
      local.address = IpAddress::v6(bytes);
    }
  }
  std::string answer =
      received_(std::string_view(receive_buffer.data(), static_cast<std::size_t>(got)), from_sockaddr(peer), local);
  if (answer.empty()) return true;
  into = {answer.data(), answer.size()};
  answer_from_there(message);
  message.msg_flags = 0;
  static_cast<void>(sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL));
  return true;
}

Listener::~Listener() { event_del(&event_); }

void Listener::on_event(int fd, short, void* self) {
  auto& listener = *static_cast<Listener*>(self);
  for (int i = 0; i < 64; ++i) {  // then the others have their turn
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int accepted = accept4(fd, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      listener.accepted_(accepted, from_sockaddr(peer));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE) {
      // No descriptor left: take the connection with the spare one and close it, or it would wake us for ever.
      {
        const FileDescriptor freed(listener.spare_.release());
      }
      const FileDescriptor refused(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
    }
    if (listener.spare_.get() < 0) listener.spare_ = FileDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return;
  }
}

}  // namespace ajar
