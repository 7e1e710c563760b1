// Telnet (RFC 854) as a prompt is read: options are refused, and what is left is text; what a prompt and an answer say. Pure.
#pragma once

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>

namespace ajar {

// Takes what the peer sends, in any pieces, and parts it into text and negotiation.
class TelnetReader {
 public:
  // Bytes of text that are kept, and of a subnegotiation that is passed over; more is no prompt.
  static constexpr std::size_t kMaxText = 16 * 1024;
  static constexpr std::size_t kMaxOptionText = 1024;

  // Appends to text(). Returns what is to be answered: WONT for DO and DONT for WILL (RFC 854), once for each option, so that
  // two that misunderstand each other end. Empty: nothing.
  std::string take(std::string_view bytes);
  // Without commands and negotiation, without NUL (RFC 854: CR NUL), and without the escape sequences of terminals
  // (ECMA-48 5.4).
  const std::string& text() const { return text_; }
  void clear_text() { text_.clear(); }
  // More than kMaxText or kMaxOptionText came.
  bool too_long() const { return too_long_; }
  bool negotiated() const { return negotiated_; }

 private:
  enum class State { text, iac, option, sub, sub_iac, escape, control };
  void take_text(char c);
  void take_command(unsigned char c);
  std::string refuse(unsigned char option);

  State state_ = State::text;
  unsigned char verb_ = 0;
  std::string text_;
  std::bitset<256> refused_will_, refused_do_;
  std::size_t option_text_ = 0;
  bool too_long_ = false;
  bool negotiated_ = false;
};

// What a server waits for, by the text before we have said anything.
enum class TelnetPrompt {
  none,     // a line that has ended, or nothing yet: it may wait without a prompt
  command,  // "WinGate>", "Host name:", "$": a destination, or a command
  login,    // "login:", "Password:", "Press any key to login": it wants a login
  other,    // something else that is wanted: a key, a choice, a word that we cannot read
};
TelnetPrompt read_telnet_prompt(std::string_view text);
// The line that has begun and not ended, without blanks around it: the prompt. Empty: none.
std::string_view telnet_prompt_line(std::string_view text);

// The last line that says something, begun or ended, without blanks around it.
std::string_view telnet_last_words(std::string_view text);
// The word that it wants before a host, where it tells ("Usage: open host port"): "telnet", "open"; else "connect".
std::string_view telnet_verb(std::string_view text);

// What a server says to a destination.
enum class TelnetAnswer {
  undecided,  // nothing that we know, or that it is trying
  connected,
  refused,     // it does not do that, or not for us: an unknown command, a rule
  unresolved,  // it does not know such a host: a name that did not resolve, or a form that it misread
  failed,      // it tried, or says so
  busy,        // "Too many connected users": later
  login,       // it wants a login first
};
TelnetAnswer read_telnet_answer(std::string_view text);

}  // namespace ajar
