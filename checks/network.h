// The seam: all that a check may do in the world. Buffers, limits and the transcript live here, once; sockets live behind it.
#pragma once

#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/check.h"
#include "checks/task.h"

namespace ajar {

class Datagrams;

// The peer is absent or incoherent. `reason` is one of nobody_listens, filtered, timeout, no_route, hung_up, tls_failed,
// protocol_error, auth_required, out_of_scope. Thrown by every awaited operation of Network and Link, caught by the check that
// can say more, else in one place, by the runner.
class LinkError : public std::exception {
 public:
  LinkError(Reason reason, std::string what) : reason_(reason), what_(std::move(what)) {}
  Reason reason() const { return reason_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  Reason reason_;
  std::string what_;
};

// Printable ASCII is kept, every other byte becomes \xHH (backslash: \\); longer than `limit` bytes of input is cut with "…".
// What a peer said passes here before it reaches a transcript, a log, a page or a label.
inline constexpr std::size_t kMaxShown = 512;
std::string escape(std::string_view bytes, std::size_t limit = kMaxShown);

// CR or LF.
bool holds_line_break(std::string_view line);

// "05 01 00": bytes of a binary protocol as evidence and transcripts write them.
std::string hex(std::string_view bytes);

// Text that only grows, in pieces of one size: it is never copied to become longer, and less than a piece of it is unused.
class GrowingText {
 public:
  GrowingText() = default;
  ~GrowingText() { clear(); }
  GrowingText(const GrowingText&) = delete;
  GrowingText& operator=(const GrowingText&) = delete;
  void append(std::string_view text);
  void clear();
  std::size_t size() const { return size_; }
  std::string whole() const;

 private:
  struct Piece {
    Piece* next = nullptr;
    std::array<char, 248> text;
  };
  Piece* first_ = nullptr;
  Piece* last_ = nullptr;
  std::size_t size_ = 0;
  std::size_t room_ = 0;  // in last_
};

// Evidence in RFC notation: "S: 220 mx.example.org", "C: EHLO probe.example.net", and "# …" for what happened. Bounded: past
// kMaxLines or kMaxBytes the conversations share the room. Of a long one the middle is dropped, of too many of them all but the
// first and the latest, which decided; a line says what is missing where it was.
class Transcript {
 public:
  static constexpr std::size_t kMaxLines = 600;
  static constexpr std::size_t kMaxBytes = 64 * 1024;
  void begin_conversation();  // with each connection
  void server(std::string_view line) {
    heard_ = true;
    add("S: ", line);
  }
  void client(std::string_view line) { add("C: ", line); }
  void note(std::string_view line) { add("# ", line); }
  bool noted(std::string_view line) const;  // and still kept
  std::vector<std::string> lines() const;
  bool heard() const { return heard_; }  // the peer said something

 private:
  struct Conversation {
    std::size_t begin = 0;
    std::size_t gap = 0;  // where lines were dropped, if any
    std::size_t dropped = 0;
  };
  void add(std::string_view prefix, std::string_view line);
  void append(std::string_view prefix, std::string_view line);
  void make_room();
  std::size_t remarks() const;  // the lines that lines() adds

  GrowingText text_;  // every line with its LF: a line is escaped, so none is inside
  std::vector<Conversation> conversations_;
  std::uint32_t lines_ = 0;
  std::uint32_t forgotten_ = 0;  // whole conversations, after the first
  bool heard_ = false;
};

// What our ClientHello says (RFC 8446 4.1.2).
struct TlsHello {
  std::string server_name;             // RFC 6066 3; empty: the subject's host, where it has a name
  std::vector<std::string> protocols;  // ALPN (RFC 7301), by preference: "h2", "http/1.1"; empty: no such extension
};

// One conversation. Not thread-safe; one operation at a time. Closing is destroying.
class Link {
 public:
  static constexpr std::size_t kMaxLine = 4096;            // without CRLF; a longer one is a protocol_error
  static constexpr std::size_t kMaxReceived = 256 * 1024;  // bytes from the peer in one conversation; more is a protocol_error

  explicit Link(Transcript& transcript) : transcript_(transcript) {}
  virtual ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Sends `line` and CRLF. A CR or LF inside is a bug of ours: std::logic_error.
  class Say;
  Say say(std::string line);
  // Sends bytes as they are; `as` is what the transcript shows (empty: the escaped bytes).
  Say say_bytes(std::string bytes, std::string as = {});
  // Sends lines, each with CRLF, in one go; in the transcript they are lines. A CR or LF inside is a bug of ours.
  Say say_lines(const std::vector<std::string>& lines);
  // Adds `line`, with CRLF, to what say_together() will send; it is in the transcript at once. A CR or LF inside is a bug of
  // ours.
  void gather(std::string_view line, std::string& together);
  // Sends lines that were gathered, in one go. They are in the transcript already.
  Say say_together(std::string together);
  // The next line without its CRLF or LF. A line that is here already does not suspend. LinkError: hung_up at end of stream,
  // timeout on silence, protocol_error for an over-long line or too many bytes.
  class Hear;
  Hear hear();
  // The same into `line`, which the awaiting caller keeps.
  class HearInto;
  HearInto hear(std::string& line);
  // Exactly n bytes (n <= kMaxReceived). The transcript shows them escaped, in hexadecimal, or not: the caller shows what they
  // mean.
  enum class Show { text, hex, nothing };
  Task<std::string> hear_bytes(std::size_t n, Show show = Show::text);
  // What is there, at least one byte, at most `max`; empty at end of stream.
  Task<std::string> hear_some(std::size_t max = 4096);
  // Waits until `enough` bytes are here, or as many as come before the peer ends or falls silent, and returns what is here
  // without hearing it: it stays to be heard, and is not in the transcript. Empty at end of stream; LinkError where nothing
  // came.
  class Peek;
  Peek peek(std::size_t enough);
  // TLS from here on. LinkError: tls_failed; auth_required where the server wants a certificate of ours, then or at a later
  // read. Bytes received before are a protocol_error (RFC 3207 4.2).
  Task<void> start_tls();
  Task<void> start_tls(TlsHello hello);
  // What the server chose of TlsHello::protocols; empty: nothing, or no TLS.
  virtual std::string protocol() const { return {}; }
  // Whether the peer sent bytes that nobody has heard yet: asked before a command, they would be an answer before the question.
  bool unread();
  // The same as far as is known without asking the system for what came since: for one who asks before each of many commands.
  bool known_unread() { return begun() || (may_have_more() && unread()); }
  // Whether anything comes within `patience`, the end of the stream included; nothing is heard of it. For what has no end by
  // which one could tell that it is whole: a prompt. No LinkError.
  Task<bool> more_within(std::chrono::milliseconds patience);
  // Whether the peer sent anything at all in this conversation (a TLS handshake apart).
  bool spoken_to() const { return received_ > 0; }
  bool tls() const { return tls_; }
  // Whether the server asked for a certificate of ours in the handshake, whatever it made of it that there is none.
  bool certificate_wanted() const { return wants_certificate(); }
  Transcript& transcript() { return transcript_; }

 protected:
  // Appends at least one byte to `into` and returns how many; 0 at end of stream. LinkError.
  virtual Task<std::size_t> read_some(std::string& into, std::size_t max) = 0;
  // Sends all. LinkError.
  virtual Task<void> write_all(std::string bytes) = 0;
  // Sends what it can without waiting and returns how many bytes; write_all follows for the rest. LinkError.
  virtual std::size_t write_now(std::string_view) { return 0; }
  // Appends what has arrived, without waiting and without error.
  virtual void read_now(std::string&, std::size_t) {}
  // False: as far as is known, read_now() would find nothing.
  virtual bool may_have_more() const { return true; }
  virtual Task<void> handshake(const TlsHello& hello) = 0;
  // Hear::hear() where no whole line is here yet: receives and, after each receipt, takes it into `line`. A link may override
  // it to wait without a coroutine for read_some().
  virtual Task<void> wait_for_line(std::string& line);
  // Peek where too little is here yet: receives until so much is here, or the peer ends. May be overridden as well.
  virtual Task<void> wait_for_bytes(std::size_t enough);
  // A new answer is awaited: its deadline begins.
  virtual void begin_wait() {}
  // more_within() where nothing is here yet. A link that cannot wait says that nothing comes.
  virtual Task<bool> wait_a_moment(std::chrono::milliseconds patience);
  // The side that waits for the other's ClientHello.
  virtual bool is_server() const { return false; }
  virtual bool wants_certificate() const { return false; }

  // What wait_for_line() and wait_for_bytes() are made of.
  std::size_t make_room();           // before a receipt: how much may come
  void received(std::size_t count);  // after it; LinkError hung_up where it was the end
  bool counted(std::size_t count);   // the same; false where it was the end
  bool take_line(std::string& line);
  [[noreturn]] void begun_and_not_ended(const LinkError& error);  // instead of a timeout, where unread() bytes are here
  std::string in_;                                                // received, not yet heard from in_[start_]
  bool begun() const { return in_.size() > start_; }
  std::size_t here() const { return in_.size() - start_; }

 private:
  friend class Say;
  friend class Hear;
  friend class HearInto;
  friend class Peek;

  Transcript& transcript_;
  std::size_t start_ = 0;
  std::size_t searched_ = 0;  // no LF before this
  std::size_t received_ = 0;
  bool tls_ = false;
};

class Link::Say {
 public:
  Say(Link& link, std::string bytes) : link_(link), bytes_(std::move(bytes)) {}
  bool await_ready() {
    bytes_.erase(0, link_.write_now(bytes_));
    return bytes_.empty();
  }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
    slow_ = link_.write_all(std::move(bytes_));
    return slow_.await_suspend(awaiter);
  }
  void await_resume() {
    if (slow_) slow_.await_resume();
  }

 private:
  Link& link_;
  std::string bytes_;
  Task<void> slow_;
};

class Link::HearInto {
 public:
  HearInto(Link& link, std::string& line) : link_(link), line_(line) {}
  bool await_ready() { return link_.take_line(line_); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
    slow_ = link_.wait_for_line(line_);
    return slow_.await_suspend(awaiter);
  }
  void await_resume() {
    if (slow_) slow_.await_resume();
  }

 private:
  Link& link_;
  std::string& line_;
  Task<void> slow_;
};

class Link::Peek {
 public:
  Peek(Link& link, std::size_t enough) : link_(link), enough_(enough) {}
  bool await_ready() const { return link_.here() >= enough_; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
    slow_ = link_.wait_for_bytes(enough_);
    return slow_.await_suspend(awaiter);
  }
  std::string await_resume();

 private:
  Link& link_;
  std::size_t enough_;
  Task<void> slow_;
};

class Link::Hear {
 public:
  explicit Hear(Link& link) : into_(link, line_) {}
  Hear(const Hear&) = delete;
  Hear& operator=(const Hear&) = delete;
  bool await_ready() { return into_.await_ready(); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) { return into_.await_suspend(awaiter); }
  std::string await_resume() {
    into_.await_resume();
    return std::move(line_);
  }

 private:
  std::string line_;
  HearInto into_;
};

// What a check may do in the world. One per probe.
class Network {
 public:
  virtual ~Network() = default;
  // Connects to the subject's own endpoint (the only place a check may connect to); TLS first when `tls` is implicit.
  // LinkError.
  virtual Task<std::unique_ptr<Link>> dial(const IpAddress& address, std::uint16_t port, TlsMode tls) = 0;
  // The same for datagrams: the subject's own address, at its port or at one that it told us to use (a SOCKS5 relay). Nothing
  // is sent yet. LinkError.
  virtual Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress& address, std::uint16_t port) = 0;
  // The address of this host that the subject is asked from; nullopt before the first connection. Behind NAT it is not what the
  // subject sees.
  virtual std::optional<IpAddress> source() const { return std::nullopt; }
  Transcript& transcript() { return transcript_; }

 protected:
  Transcript transcript_;
};

}  // namespace ajar
