#include "checks/wire/telnet.h"

#include <algorithm>
#include <array>
#include <span>

#include "checks/wire/ascii.h"

namespace ajar {
namespace {

// RFC 854
constexpr unsigned char kSe = 240, kSb = 250, kWill = 251, kWont = 252, kDo = 253, kDont = 254, kIac = 255;
constexpr char kEscape = '\x1b';

constexpr std::array<std::string_view, 14> kLogin = {
    "login:",   "login :",  "username", "user name",  "user:",   "user id",  "userid",
    "password", "passcode", "passwd",   "passphrase", "account", "login as", "key to login"};
// A host or a command is asked for.
constexpr std::array<std::string_view, 13> kDestination = {"host",    "destination", "connect", "address", "server",
                                                           "site",    "target",      "machine", "proxy",   "gateway",
                                                           "command", "where to",    "telnet"};
constexpr std::array<std::string_view, 6> kKey = {"press ", "hit ", "strike ", "type any", "any key", "--more--"};

constexpr std::array<std::string_view, 3> kBusy = {"too many", "try again later", "server is busy"};
constexpr std::array<std::string_view, 6> kConnected = {
    "connected", "connection established", "connection is established", "escape character is", "connection opened", "... open"};
constexpr std::array<std::string_view, 4> kNotConnected = {"not connected", "disconnected", "connected users",
                                                           "users connected"};
constexpr std::array<std::string_view, 9> kUnresolved = {"unknown host", "host not found", "host unknown",
                                                         "no such host", "resolve",        "lookup fail",
                                                         "bad host",     "invalid host",   "no address"};
constexpr std::array<std::string_view, 18> kFailed = {"connection refused",
                                                      "refused the connection",
                                                      "timed out",
                                                      "timeout",
                                                      "time out",
                                                      "unreachable",
                                                      "could not connect",
                                                      "couldn't connect",
                                                      "can't connect",
                                                      "cannot connect",
                                                      "can not connect",
                                                      "unable to connect",
                                                      "not connected",
                                                      "failed",
                                                      "failure",
                                                      "no route",
                                                      "no response",
                                                      "not responding"};
constexpr std::array<std::string_view, 28> kRefused = {
    "unknown",       "unrecognized",  "unrecognised", "not recognized", "not recognised", "invalid",    "illegal",
    "not found",     "no such",       "bad command",  "syntax",         "usage:",         "denied",     "not allowed",
    "not permitted", "forbidden",     "not authori",  "unauthori",      "prohibited",     "disallowed", "blocked",
    "not available", "not supported", "incorrect",    "ambiguous",      "% error",        "what?",      "not implemented"};

bool holds(std::string_view text, std::span<const std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

// "login>", as some devices ask.
bool asks_login_by_arrow(std::string_view prompt) {
  if (prompt.empty() || prompt.back() != '>') return false;
  prompt.remove_suffix(1);
  return prompt.ends_with("login") || prompt.ends_with("username") || prompt.ends_with("password") || prompt == "user";
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

void TelnetReader::take_text(char c) {
  if (c == '\0') return;
  if (c == kEscape) {
    state_ = State::escape;
  } else if (text_.size() >= kMaxText) {
    too_long_ = true;
  } else {
    text_ += c;
  }
}

void TelnetReader::take_command(unsigned char c) {
  state_ = State::text;
  if (c == kIac) {
    take_text(static_cast<char>(c));  // a byte of text that is doubled
  } else if (c >= kWill && c <= kDont) {
    negotiated_ = true;
    verb_ = c;
    state_ = State::option;
  } else if (c == kSb) {
    negotiated_ = true;
    option_text_ = 0;
    state_ = State::sub;
  }
}

// WONT and DONT are how things are: nothing to be said.
std::string TelnetReader::refuse(unsigned char option) {
  if (verb_ != kWill && verb_ != kDo) return {};
  std::bitset<256>& refused = verb_ == kWill ? refused_will_ : refused_do_;
  if (refused[option]) return {};
  refused[option] = true;
  return {static_cast<char>(kIac), static_cast<char>(verb_ == kWill ? kDont : kWont), static_cast<char>(option)};
}

std::string TelnetReader::take(std::string_view bytes) {
  std::string answers;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    switch (state_) {
      case State::text:
        byte == kIac ? static_cast<void>(state_ = State::iac) : take_text(c);
        break;
      case State::iac:
        take_command(byte);
        break;
      case State::option:
        answers += refuse(byte);
        state_ = State::text;
        break;
      case State::sub:
        too_long_ = too_long_ || ++option_text_ > kMaxOptionText;
        if (byte == kIac) state_ = State::sub_iac;
        break;
      case State::sub_iac:
        state_ = byte == kSe ? State::text : State::sub;
        break;
      case State::escape:
        state_ = c == '[' ? State::control : State::text;
        break;
      case State::control:  // parameters and intermediates, then one final byte
        if (byte < 0x20 || byte > 0x3f) state_ = State::text;
        break;
    }
  }
  return answers;
}

std::string_view telnet_last_words(std::string_view text) {
  text = trimmed(text);
  const std::size_t end = text.find_last_of("\r\n");
  return end == std::string_view::npos ? text : trimmed(text.substr(end + 1));
}

std::string_view telnet_prompt_line(std::string_view text) {
  const std::size_t end = text.find_last_of("\r\n");
  return trimmed(end == std::string_view::npos ? text : text.substr(end + 1));
}

TelnetPrompt read_telnet_prompt(std::string_view text) {
  constexpr std::string_view kCommandEnds = ">#$%";
  const std::string words = to_lower(telnet_last_words(text));
  if (words.empty()) return TelnetPrompt::none;
  if (asks_login_by_arrow(words)) return TelnetPrompt::login;
  const bool begun = !telnet_prompt_line(text).empty();
  const bool command = begun && kCommandEnds.find(words.back()) != std::string_view::npos;
  if (command) return TelnetPrompt::command;  // of a host of any name: "accounting-sw>"
  if (holds(words, kLogin)) return TelnetPrompt::login;
  if (holds(words, kKey)) return TelnetPrompt::other;
  if (!begun) return TelnetPrompt::none;
  const bool asks = words.back() == ':' || words.back() == '?';
  return asks && holds(words, kDestination) ? TelnetPrompt::command : TelnetPrompt::other;
}

std::string_view telnet_verb(std::string_view text) {
  const std::string words = to_lower(text);
  for (const std::string_view verb : {"telnet", "open"}) {
    for (const std::string_view what : {" host", " <host", " [host"}) {
      if (words.find(std::string(verb) + std::string(what)) != std::string::npos) return verb;
    }
  }
  return "connect";
}

// "Connected" first: what follows it may be any words, and a proof decides.
TelnetAnswer read_telnet_answer(std::string_view text) {
  const std::string words = to_lower(text);
  if (holds(words, kBusy)) return TelnetAnswer::busy;
  if (holds(words, kConnected) && !holds(words, kNotConnected)) return TelnetAnswer::connected;
  if (holds(words, kUnresolved)) return TelnetAnswer::unresolved;
  if (holds(words, kFailed)) return TelnetAnswer::failed;
  if (holds(words, kRefused)) return TelnetAnswer::refused;
  if (read_telnet_prompt(text) == TelnetPrompt::login) return TelnetAnswer::login;
  return TelnetAnswer::undecided;
}

}  // namespace ajar
