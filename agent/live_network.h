// Sockets and TLS behind Network and Link.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "agent/loop.h"
#include "agent/pace.h"
#include "agent/scope.h"
#include "checks/datagrams.h"
#include "checks/network.h"

namespace ajar {

// Closes what it holds.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// The client side's TLS settings, shared by all probes: TLS 1.0 and up, every cipher (@SECLEVEL=0), no verification, because a
// server with old TLS must still be asked. Never used for anything but probes.
class ProbeTls {
 public:
  ProbeTls();
  SSL_CTX* context() const { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
};

// What the conversations of one probe share.
struct ProbeTalk {
  std::string sni;             // the name to say in TLS
  Steady::time_point until{};  // the end of the probe; later by what it has waited for its own turns
  std::uint64_t bytes = 0;     // sent and received, those of TLS itself too
  // Of the last handshake by that name, to be resumed by the next (RFC 8446 2.2). Never of a server that asked for a
  // certificate of ours: it would not ask again.
  struct Free {
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  };
  std::unique_ptr<SSL_SESSION, Free> session;
};

// A connected TCP socket as a Link, client or server side. `reply_timeout` bounds every wait for the peer (from its beginning),
// `until` the whole conversation: where there is a `talk`, its end. `talk` outlives the link.
class LiveLink : public Link {
 public:
  enum class Side : std::uint8_t { client, server };
  LiveLink(Loop& loop, int fd, Side side, SSL_CTX* tls, Transcript& transcript, std::chrono::milliseconds reply_timeout,
           Steady::time_point until, ProbeTalk* talk = nullptr);
  ~LiveLink() override;
  int fd() const { return socket_.fd(); }
  // Awaits the end of a connect() under way; LinkError with its cause.
  Task<void> connected(Steady::time_point by);
  void set_reply_timeout(std::chrono::milliseconds timeout) { reply_timeout_ = first_reply_timeout_ = timeout; }
  // Bounds the waits before the peer has sent anything at all.
  void set_first_reply_timeout(std::chrono::milliseconds timeout) { first_reply_timeout_ = timeout; }
  // Closes with RST instead of FIN: only for simulated servers.
  void reset();
  // "TLSv1.3 TLS_AES_256_GCM_SHA384" once handshaken.
  std::string tls_facts() const;
  std::string protocol() const override;
  // Of the server's side. The name in the client's hello (SNI); empty: none. Whether its first byte is that of a TLS hello;
  // waits for it, and takes nothing. LinkError.
  std::string client_hello_name() const;
  Task<bool> begins_with_tls();

 protected:
  Task<std::size_t> read_some(std::string& into, std::size_t max) override;
  Task<void> write_all(std::string bytes) override;
  std::size_t write_now(std::string_view bytes) override;
  void read_now(std::string& into, std::size_t max) override;
  bool may_have_more() const override { return ssl_ || socket_.may_be_read(); }
  Task<void> handshake(const TlsHello& hello) override;
  Task<void> wait_for_line(std::string& line) override;
  Task<void> wait_for_bytes(std::size_t enough) override;
  bool is_server() const override { return side_ == Side::server; }
  bool wants_certificate() const override;
  Task<bool> wait_a_moment(std::chrono::milliseconds patience) override;
  LinkError tls_failure(int reason) const;  // OpenSSL's reason, 0: it has none

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  void begin_wait() override;
  void hurry();
  Task<void> wait_for_clear_line(std::string& line);
  Task<void> wait_for_clear_bytes(std::size_t enough);
  // One recv of a socket that is readable. nullopt: nothing is there yet; 0: the end. LinkError.
  std::optional<std::size_t> receive(std::string& into, std::size_t max);
  LinkError gave_up() const;
  LinkError was_reset();
  // Waits until the TLS call that gave `result` may be tried again; LinkError when it cannot. False: the peer ended the stream.
  Task<bool> wait_for_tls(int result);
  bool unanswered() const;
  bool answers_in_clear() const;
  void keep_session();
  Steady::time_point until() const { return talk_ != nullptr ? talk_->until : until_; }
  void count(std::size_t bytes);
  void count_tls();

  Side side_;
  bool reset_ = false;  // an error that says so comes once, to whoever asks first
  bool keeps_session_ = false;
  bool written_ = false, hurries_ = false;  // since the last receipt; TCP_NODELAY is set
  std::uint16_t tls_error_ = 0;             // OpenSSL's reason; the same, where unread() met it
  Socket socket_;
  SSL_CTX* context_;
  std::unique_ptr<SSL, Free> ssl_;
  std::chrono::milliseconds reply_timeout_, first_reply_timeout_;
  Steady::time_point until_;
  ProbeTalk* talk_;
};

// What one gate tells another.
struct PaceNews {
  enum class Kind : std::uint8_t {
    connection,
    answered,
    timed_out,
    bytes,
    waited_for_address,
    waited_for_network,
    waited_for_all,
    short_of
  };
  Kind kind;
  std::uint64_t bytes = 0;
  int error = 0;  // errno of short_of
};

// Spreads connects in time: at most `per_second`, evenly, for all probes of the process together (0: no limit), and those to
// one address and to one network as Pace says. One loop's own.
class ConnectGate {
 public:
  ConnectGate(Loop& loop, unsigned per_second, const PaceLimits& pace = {}, WallClock clock = wall_now)
      : loop_(loop), line_(std::make_shared<Line>()), clock_(std::move(clock)), pace_(pace) {
    set_rate(per_second);
  }
  // The same gate for those who wait on another loop: the rate of all is that of both together. Addresses and networks are
  // paced here, for each is asked on one loop alone; but the day is counted where `tell` takes the news.
  ConnectGate(Loop& loop, const ConnectGate& same, std::function<void(const IpAddress&, PaceNews)> tell);
  void set_rate(unsigned per_second) { line_->per_second = per_second; }  // any thread
  // Takes over the limits of addresses and networks. Loop thread.
  void set_pace(const PaceLimits& limits);
  // Await this caller's turn, one after the other in this order, each for its own limit; false when the loop is shutting down.
  // The first counts a connection of the day. Loop thread.
  Loop::Sleep turn_of_address(const IpAddress& address);
  Loop::Sleep turn_of_network(const IpAddress& address);
  Loop::Sleep turn();
  // Takes a turn that is due already, or was in the last kLate; false: none is. Those who await theirs come first.
  bool take_turn();
  static constexpr std::chrono::milliseconds kLate{50};

  // How a connection came out, and what it carried: as Pace has it.
  void ended(const IpAddress& address, bool timed_out);
  void add_bytes(const IpAddress& address, std::uint64_t bytes);
  // This process or machine had no more of what a connection takes (descriptors, ports, memory): all who are still to begin
  // wait for kShort. How to mend it is said once a minute.
  void short_of(int error);
  static constexpr std::chrono::milliseconds kShort{250};
  std::vector<std::string> take_shortages();  // what is to be said, since the last call
  // What happened at a gate like this on another loop.
  void take(const IpAddress& address, PaceNews news);
  Pace& pace() { return pace_; }
  // How many turns did not come at once, since the beginning.
  struct Waits {
    std::uint64_t address = 0, network = 0, global = 0, system = 0;
  };
  const Waits& waits() const { return waits_; }

 private:
  struct Line {
    std::atomic<unsigned> per_second{0};
    std::atomic<Steady::rep> next{0};        // the first turn that is nobody's, since the clock's epoch
    std::atomic<Steady::rep> hold_until{0};  // nobody begins before: something was used up
  };
  Loop::Sleep sleep_until(const IpAddress& address, Time turn, PaceNews::Kind waited);
  void tell(const IpAddress& address, PaceNews news);
  void say_shortage(int error);

  Loop& loop_;
  std::shared_ptr<Line> line_;
  WallClock clock_;
  Pace pace_;
  Waits waits_;
  std::map<int, Steady::time_point> said_;  // by errno: when it was
  std::vector<std::string> shortages_;
  std::function<void(const IpAddress&, PaceNews)> tell_;
};

// Not the network's fault: no descriptor, port or memory for one more socket.
class Shortage : public LinkError {
 public:
  explicit Shortage(int error);
  int error() const { return error_; }  // errno

 private:
  int error_;
};

// A TCP socket whose connect() is under way, or a connected UDP socket, with ICMP errors kept. From one of `sources` of the
// destination's family, for each destination always the same; empty: the kernel chooses. Shortage, other LinkError.
FileDescriptor begin_connect(const AddressPort& place, const std::vector<IpAddress>& sources);
FileDescriptor connected_datagrams(const AddressPort& place, const std::vector<IpAddress>& sources);
// Why the connect() of a socket failed that is writable; nullopt: it did not.
std::optional<LinkError> connect_trouble(int fd);

// Datagrams of a connected UDP socket: what others send is dropped by the kernel. "Port unreachable" is the peer's word only
// where it comes from its address (nobody_listens); a refusal by anybody else on the way is a filter's (no_route).
// `reply_timeout` is shared by the waits of Datagrams::ask(), the first half a second at most.
class LiveDatagrams : public Datagrams {
 public:
  // `until` and `talk` as LiveLink has them.
  LiveDatagrams(Loop& loop, int fd, Transcript& transcript, std::chrono::milliseconds reply_timeout, Steady::time_point until,
                ProbeTalk* talk = nullptr);
  void set_reply_timeout(std::chrono::milliseconds timeout) { reply_timeout_ = timeout; }

 protected:
  void send(const std::string& bytes) override;
  Task<bool> receive(std::string& into, unsigned attempt, bool begins) override;

 private:
  std::chrono::milliseconds wait_of(unsigned attempt) const;
  void hear_refusals();
  Steady::time_point until() const { return talk_ != nullptr ? talk_->until : until_; }

  Socket socket_;
  IpAddress peer_;
  std::chrono::milliseconds reply_timeout_;
  Steady::time_point until_;
  ProbeTalk* talk_;
};

struct NetworkOptions {
  std::vector<IpAddress> source_addresses;  // empty: the kernel chooses
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds reply_timeout{60000};
  std::chrono::milliseconds probe_timeout{600000};
  std::chrono::milliseconds first_reply_timeout{0};  // until the peer has said something; 0: reply_timeout
};

// The network of one probe. Its deadline begins when it is made, and is later by what a dial has waited for its turns: that we
// are gentle is no fault of the peer's. It is later by another probe_timeout at most; a dial that would need more is an
// internal_error.
class LiveNetwork : public Network {
 public:
  LiveNetwork(Loop& loop, const Scope& scope, ConnectGate& gate, const ProbeTls& tls, NetworkOptions options,
              std::string sni = {});
  ~LiveNetwork() override;
  LiveNetwork(const LiveNetwork&) = delete;
  LiveNetwork& operator=(const LiveNetwork&) = delete;
  Task<std::unique_ptr<Link>> dial(const IpAddress& address, std::uint16_t port, TlsMode tls) override;
  Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress& address, std::uint16_t port) override;
  std::optional<IpAddress> source() const override { return IpAddress::parse(source_address_); }
  // The same as text: the address that the first dial used, as every later one does; empty before.
  const std::string& source_address() const { return source_address_; }
  // How long the dials have waited for their turns, in all: our doing, and no time of the peer's.
  std::chrono::steady_clock::duration waited() const { return waited_; }

 private:
  Task<void> take_turns(IpAddress address);
  // The socket of a connection or flow that has begun.
  using MakeSocket = FileDescriptor (*)(const AddressPort&, const std::vector<IpAddress>&);
  Task<int> begin(MakeSocket make, AddressPort place);
  void spend(Steady::time_point since);
  void count_bytes();
  void tell_pace(const IpAddress& address, bool timed_out);
  void note_source(int fd);

  Loop& loop_;
  const Scope& scope_;
  ConnectGate& gate_;
  const ProbeTls& tls_;
  NetworkOptions options_;
  ProbeTalk talk_;
  std::chrono::steady_clock::duration waited_{0};  // the end of the probe is so much later
  IpAddress dialed_;                               // whose bytes are counted
  bool told_pace_ = false;
  std::string source_address_;
};

// An ICMP error that came for a socket with IP_RECVERR.
struct IcmpError {
  IpAddress sender;
  std::uint8_t type = 0, code = 0;  // RFC 792, 4443: which of them the family of the sender tells

  bool port_unreachable() const;
  // Somebody says that this may not pass, or that there is no such port, protocol, network or host. The others (host or network
  // unreachable, time exceeded, too big) come and go, and to a UDP socket without IP_RECVERR they are nothing.
  bool is_refusal() const;
};
// The oldest that is kept, taken out of the socket's queue; nullopt: none.
std::optional<IcmpError> take_icmp_error(int fd);

// The address that the kernel would use towards `destination`; a loopback address when it knows no way there.
IpAddress local_address_towards(const IpAddress& destination);

// Makes the control data of a datagram that came (IP_PKTINFO) fit for its answer: from the address that was asked, by whichever
// way leads to the peer. Where addresses are those of one link (fe80::), by that link.
void answer_from_there(msghdr& message);

// Receives datagrams: for the canary and the simulated servers. `received` is called on the loop thread; what it returns goes
// back to the peer, from the address that was asked; empty: nothing.
class DatagramListener {
 public:
  using Received = std::function<std::string(std::string_view bytes, const AddressPort& peer, const AddressPort& local)>;
  // std::system_error when the address cannot be bound.
  DatagramListener(Loop& loop, const AddressPort& address, Received received);
  ~DatagramListener();
  DatagramListener(const DatagramListener&) = delete;
  DatagramListener& operator=(const DatagramListener&) = delete;
  AddressPort address() const { return address_; }  // with the port that the kernel chose for port 0
  // One datagram from that address, later than received(). What cannot be sent is lost, as datagrams are.
  void send(const std::string& bytes, const AddressPort& peer);

 private:
  static void on_event(int fd, short what, void* self);
  bool receive_one();
  AddressPort address_;
  Received received_;
  FileDescriptor fd_;
  event event_{};
};

// Accepts connections on a loopback or configured address: for the canary and the simulated servers. Each accepted descriptor
// is non-blocking and handed to `accepted` on the loop thread.
class Listener {
 public:
  // std::system_error when the address cannot be bound.
  Listener(Loop& loop, const AddressPort& address, std::function<void(int fd, AddressPort peer)> accepted);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  AddressPort address() const { return address_; }  // with the port that the kernel chose for port 0

 private:
  static void on_event(int fd, short what, void* self);
  Loop& loop_;
  AddressPort address_;
  std::function<void(int, AddressPort)> accepted_;
  FileDescriptor spare_;  // given up for a moment when the process has no descriptor left
  FileDescriptor fd_;
  event event_{};
};

}  // namespace ajar
