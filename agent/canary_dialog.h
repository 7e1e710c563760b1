// What the canary's two dialogs share: who it is, what it saw, and a bounded line reader. Each dialog is a coroutine over a
// Link, so a test or a fuzzer runs it over bytes in memory.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/record.h"
#include "checks/network.h"
#include "checks/wire/ascii.h"

namespace ajar {

// Who the canary is. Fixed while it runs.
struct CanaryIdentity {
  std::string name;                      // of the agent, for people: "probe.example.net"
  std::string contact;                   // "mailto:sre@example.net"; may be empty
  std::string host;                      // canary.host; may be empty
  std::string mail_domain;               // never empty: what it calls itself in SMTP, and whose recipients it takes
  std::vector<AddressPort> authorities;  // the advertised TCP addresses: what it answers to in HTTP
};

// One conversation. The caller keeps it alive until the dialog ends.
struct CanarySession {
  const CanaryIdentity& identity;
  const CanaryKeys& keys;
  WallClock now = wall_now;
  AddressPort peer;
  AddressPort listener;
  bool starttls = false;  // whether link.start_tls() will work
  // Set where the conversation is inside TLS: the name of the client's hello, which may be empty.
  std::optional<std::string> server_name;
  std::function<void(Arrival)> arrived;  // id and time are the receiver's to set
};

// Ends lines at LF and takes a CR before it away. Longer lines are cut, not refused: their rest is read and dropped.
class LineReader {
 public:
  struct Line {
    std::string text;
    std::size_t cut = 0;  // bytes past the limit, dropped
    bool crlf = false;    // it ended in CRLF, not in a bare LF
  };
  LineReader(Link& link, std::size_t limit) : link_(link), limit_(limit) {}
  // Takes a line that is here already, without waiting.
  bool take(Line& line);
  // Waits for more bytes; false at end of stream. LinkError.
  Task<bool> fill();
  // Whether bytes are here that nobody took.
  bool pending() const { return next_ < in_.size() || !line_.text.empty(); }
  // Up to `max` bytes that are here already.
  std::string take_bytes(std::size_t max);
  // What came of a line whose end never came.
  std::string take_partial();

 private:
  Link& link_;
  std::size_t limit_;
  std::string in_;
  std::size_t next_ = 0;
  Line line_;        // begun
  bool cr_ = false;  // the last byte was a CR, not yet part of the line
};

// The facts of an arrival: escaped, bounded, tokens shown as <token>.
class Facts {
 public:
  Facts(const CanaryKeys& keys, Time now) : keys_(keys), now_(now) {}
  static constexpr std::size_t kMax = 40;         // facts
  static constexpr std::size_t kMaxLength = 300;  // bytes of input each
  void add(std::string_view label, std::string_view value);
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  const CanaryKeys& keys_;
  Time now_;
  std::vector<std::string> lines_;
};

// `text` with every word that is a token of these keys, valid or expired and in any case of letters, shown as "<token>".
std::string hide_tokens(std::string_view text, const CanaryKeys& keys, Time now);
// The token that begins `text` (in any case of letters) and ends there or before a character that no token has; empty: none.
// Its validity is not asked.
std::string leading_token(std::string_view text);

// Case-insensitive comparison of domain names, a trailing dot of either ignored.
bool same_domain(std::string_view left, std::string_view right);
// The address of "mailto:…" for people; other text as it is.
std::string readable_contact(const CanaryIdentity& identity);

}  // namespace ajar
