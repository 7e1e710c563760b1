// A Network whose other end is a text: the transcripts of tests/transcripts. Nothing suspends.
//
//   ## anything                     a comment
//   # key: value                    what the test of the check makes of it (verdict, reason, subject.port, …)
//   S: 220 mx.example.org ESMTP     the server says a line; \xHH is a byte
//   C: RCPT TO:<<token>@*           the client must say this next; * is anything, <token> a token
//   # connect                       the next connection begins (the first one has begun)
//   # refused                       … and is refused
//   # hangup                        the server hangs up
//   # silence                       the server says nothing more
//   # tls, # tls fails              the handshake succeeds, fails
//   S*: RCPT TO:*@example.org => 250 2.1.5 Ok
//                                   a rule: what the server answers to such a line once the connection's own lines are used up;
//                                   " | " ends a line of a reply, "hangup" and "silence" are answers too. The first that
//                                   matches answers.
//   S*: connect => 220 mx           the greeting of connections that are not spelled out
//   S*: tls => fails                their handshakes fail; "wants a certificate", "refused" (by the alert unrecognized_name),
//                                   "refused 80" (internal_error), "hangup", "silence", "clear 220 mx" (an answer without
//                                   TLS), "no application protocol" (an alert, where any is offered), or the name that they
//                                   choose (ALPN)
//   S*: RCPT/20 => 421 too many     a rule that answers from the 20th command of a connection on
//
// After a 354 the client's lines up to "." are its message: kept, then matched as "C: ." or by a rule for ".".
//
// So much for protocols of lines. A header before the first event asks for one of the others. In all, what the client writes
// at once is a unit, each line of the server arrives by itself, a server speaks when it is asked unless the script says
// otherwise, and rules alone answer any number of connections:
//
//   # framing: writes               HTTP. "C:" lines are matched line by line ("C: *": the rest of a write), a rule by the
//   first
//                                   line of a write; the others need none. "PATTERN & PATTERN" wants one of them to match the
//                                   second. An empty part of a reply is an empty line.
//   # framing: bytes                SOCKS. A line of two-digit hexadecimal words is bytes, without CRLF, from either side; as a
//                                   pattern it matches all of a write ("05 01 00 *": its beginning). Anything else is text.
//   # framing: frames               HTTP/2. A line is a frame, as http2_script.h writes it; of the client's only heads, data
//   and
//                                   ends of streams are units, "C: SETTINGS …", WINDOW_UPDATE and PING are passed over.
//                                   Anything else of the server is as with bytes.
//   S: HTTP/1.1 200 O…              a line that is begun and not ended
//   S: X-Filler: 1 ×200             a line two hundred times
//   S*: connect/3 => hangup         from the third connection on, which is made and closed; "refused": not even made
//   S*: CONNECT =>                  nothing is said, not yet
//   S*: connect => user#… | pause | login: …
//                                   what follows comes a moment later
//   # network.source: 198.51.100.7  where we ask from
//   # ipv4:8025, # SOCKS4 CONNECT … what a check notes in its evidence is passed over; "# connect ADDRESS" and "# the peer
//   closed
//                                   the connection" there are "# connect" and "# hangup"
//
// Datagrams (dial_udp) are a connection like the others, always in bytes: each "C:" and "S:" is a datagram; one that nothing
// answers was lost, and the client asks again; "# refused" and "# hangup" are ICMP port unreachable. In a reply, <4-15> is
// bytes 4 to 15 of the write that is answered. "# tls h2": the handshake chooses that protocol (ALPN); "# tls wants a
// certificate": it fails for want of one of ours; "# tls asks for a certificate": it succeeds all the same. "# tls alert", "#
// tls alert certificate required" (and without "# tls " as the answer of a rule): the next read meets it.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checks/datagrams.h"
#include "checks/network.h"

namespace ajar {

struct Script {
  enum class Framing { lines, writes, bytes, frames };
  struct Event {
    enum class Kind { server, client, hangup, silence, tls, tls_fails, alert };
    Kind kind;
    std::string text;  // of the server: its bytes
    int line = 0;
  };
  struct Connection {
    bool refused = false;
    std::vector<Event> events;
  };
  struct Rule {
    std::string pattern;
    std::string other;  // of another line of the write; empty: any
    int from = 0;       // answers from this command of a connection on
    std::vector<std::string> reply;
  };
  Framing framing = Framing::lines;
  std::vector<std::pair<std::string, std::string>> headers;  // "# key: value" in their order
  std::vector<Connection> connections;
  std::vector<Rule> rules;

  // std::runtime_error for a line that is none of the above.
  static Script parse(std::string_view text);
  static Script load(const std::string& path);
  std::vector<std::string> all(std::string_view key) const;
  std::string first(std::string_view key, std::string fallback = {}) const;
};

// What was said in lines, as the client met it.
struct Exchange {
  enum class End { none, hang_up, silence };
  std::string command;               // "connect", a line of the client, "TLS"; "." is the end of a message
  std::string answer;                // bytes
  End end = End::none;               // … and then
  std::optional<LinkError> failure;  // of a connection or a handshake
  std::optional<LinkError> alert;    // instead of more
};

class ScriptedNetwork : public Network {
 public:
  explicit ScriptedNetwork(Script script) : script_(std::move(script)) {}
  Task<std::unique_ptr<Link>> dial(const IpAddress& address, std::uint16_t port, TlsMode tls) override;
  Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress& address, std::uint16_t port) override;
  std::optional<IpAddress> source() const override;

  // What went otherwise than scripted: a line of the client that nothing matched, lines that were never reached.
  std::vector<std::string> complaints() const;
  int dials() const { return dials_; }
  const std::vector<Exchange>& exchanges() const { return exchanges_; }
  const std::vector<std::string>& messages() const { return messages_; }  // with CRLF, stuffing and end of data removed

 private:
  friend class ScriptedLink;
  // The next connection of the script; -1: one of rules only. LinkError.
  int begin_connection(const IpAddress& address, std::uint16_t port);
  const Script::Rule* greeting() const;

  Script script_;
  int dials_ = 0;
  std::vector<std::size_t> reached_;  // events used, of each spelled-out connection
  std::vector<std::string> complaints_;
  std::vector<std::string> messages_;
  std::vector<Exchange> exchanges_;
};

// Runs a task that never suspends to its end; what it throws is thrown on. std::logic_error when it suspended.
template <class T>
T run_now(Task<T> task) {
  std::optional<T> result;
  std::exception_ptr failure;
  struct Runner {
    static Task<void> run(Task<T> inner, std::optional<T>& out, std::exception_ptr& failed) {
      try {
        out = co_await inner;
      } catch (...) {
        failed = std::current_exception();
      }
    }
  };
  start(Runner::run(std::move(task), result, failure));
  if (failure) std::rethrow_exception(failure);
  if (!result) throw std::logic_error("the task suspended");
  return std::move(*result);
}

// Glob: "*" and "…" are anything, "<token>" one or more of a-z and 0-9. The whole of `text` must match.
bool glob(std::string_view pattern, std::string_view text);

}  // namespace ajar
