// telnet_proxy: would its prompt connect a stranger onward? WinGate and its like; telnet is RFC 854, texts in wire/telnet.h.
//
//   S: WinGate>                                   a prompt, or nothing; every option that it negotiates is refused (DONT, WONT)
//     … login: or Password: instead               it wants a login: nothing is said. Nothing either where it wants anything
//     else … SSH-2.0-, 220 …                           another protocol
//   C: 198.51.100.7:8025                          our canary; "198.51.100.7 8025" and "connect 198.51.100.7 8025" as well, each
//                                                 on a connection of its own
//   S: Unknown command                            refused, as are a rule and the bare prompt again. "Connection refused",
//                                                 "timed out" and the like: it tried, or says so: put off
//     … words that are not known, and the prompt again: then, once more, a line that is no destination
//   C: =<token>
//   S: the same words                             to any line, then: refused. Others, or none: they prove nothing
//     … Connecting to host 198.51.100.7...Connected
//   C: TOKEN <token>                              towards the canary, which alone can answer; also where it says nothing at all
//   S: PROOF <proof>                              proven: open. Silence behind "Connected": accepted; without it, neither.
//     … the prompt again                          the tunnel that was granted has ended: still accepted
//     … a page of a web server                    refused
//
// No code tells a refusal from anything else, only words of English. Words that are not known prove nothing, unless the server
// has the same for a line that can name no host and is no command: it does not read what it is told.
//
// How this harms nobody: the only destination named is our own canary, except a name under .invalid. A destination is said to a
// prompt that may want one, never to one that wants a name, a password or a key; there is no login.
#include "checks/telnet_proxy.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "checks/proxy_probe.h"
#include "checks/wire/greeting.h"
#include "checks/wire/telnet.h"

namespace ajar {
namespace {

constexpr unsigned kMaxPieces = 200;     // of what one conversation says
constexpr std::size_t kMaxPrompt = 200;  // bytes; a longer one is not looked for again
// A sign that ends prompts may stand in a banner, where a packet ends: nothing is said before that much silence.
constexpr std::chrono::milliseconds kLull{300};

// One conversation: text without negotiation, which is answered as it comes.
class Talk {
 public:
  enum class Got { more, silence, end };

  explicit Talk(Link& link) : link_(link) {}
  // LinkError, but for silence.
  Task<Got> hear();
  Task<void> say(std::string line);  // what is heard from here on is the answer
  const std::string& text() const { return reader_.text(); }
  const std::string& first() const { return first_; }  // bytes since say(), negotiation included
  bool spoke() const { return spoke_ || !text().empty() || reader_.negotiated(); }
  Link& link() { return link_; }

 private:
  Link& link_;
  TelnetReader reader_;
  std::string first_;
  unsigned pieces_ = 0;
  bool spoke_ = false;
};

Task<Talk::Got> Talk::hear() {
  std::string bytes;
  bool silent = false;
  try {
    bytes = co_await link_.hear_some();
  } catch (const LinkError& error) {
    silent = error.reason() == Reason::timeout;
    if (!silent) throw;
  }
  if (silent) co_return Got::silence;
  if (bytes.empty()) {
    link_.transcript().note("the peer closed the connection");
    co_return Got::end;
  }
  constexpr std::size_t kFirst = 16;
  if (first_.size() < kFirst) first_ += bytes.substr(0, kFirst - first_.size());
  std::string refusals = reader_.take(bytes);
  if (reader_.too_long() || ++pieces_ > kMaxPieces) throw LinkError(Reason::protocol_error, "more text than a prompt has");
  if (!refusals.empty()) {
    std::string shown = hex(refusals);
    co_await link_.say_bytes(std::move(refusals), std::move(shown));
  }
  co_return Got::more;
}

Task<void> Talk::say(std::string line) {
  spoke_ = spoke();
  reader_.clear_text();
  first_.clear();
  co_await link_.say(std::move(line));
}

// In one pass, so that what an answer may hold costs no more than its length.
std::string without(const std::string& text, const std::string& what) {
  if (what.empty()) return text;
  std::string rest;
  std::size_t begin = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, begin)) {
    rest.append(text, begin, at - begin);
    begin = at + what.size();
  }
  return rest.append(text, begin);
}

class TelnetProxy : public ProxyProbe {
 public:
  TelnetProxy(Network& network, Canary& canary, const Subject& subject) : ProxyProbe(network, canary, subject, "telnet") {}

 private:
  enum Way { kColon, kSpace, kVerb };
  // What was said last: a destination; a token, to one that says nothing about a connection; a token, into a tunnel.
  enum class Stage { destination, perhaps, tunnel };
  // other_words: that are not known, and the prompt again.
  enum class End { undecided, proof, connected, refused, other_words, unresolved, failed, busy, login, page, silence, closed };
  struct Said {
    const ProxyAsk& ask;
    std::string line;
    Stage stage;
  };

  bool speaks_first() const override { return true; }
  std::vector<ProxyAsk> plan() const override;
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;

  Task<bool> hear_prompt(Talk& talk, ProxyAnswer& answer);
  bool may_ask(Talk& talk) const;
  bool may_ask_at_rest(const Talk& talk, ProxyAnswer& answer);
  static void judge_end(const Talk& talk, ProxyAnswer& answer);
  static void turn_away(const Talk& talk, ProxyAnswer& answer, Verdict verdict, Reason reason);
  bool another_protocol(const Talk& talk, ProxyAnswer& answer) const;
  void learn_verb(std::string_view text);

  std::string request(const ProxyAsk& ask) const;
  Task<End> hear_answer(Talk& talk, const Said& said);
  End judge(const Talk& talk, const Said& said) const;
  static End judge_words(const std::string& words, const ProxyAsk& ask);
  bool prompt_again(const Talk& talk) const;
  std::string bare(const std::string& text, const Said& said) const;
  std::string without_ours(const std::string& text, const Said& said) const;
  Task<bool> says_so_to_anything(Talk& talk, const Said& said);
  static void conclude(End end, const ProxyAsk& ask, ProxyAnswer& answer);
  Task<void> ask_tunnel(Talk& talk, Said said, bool greeted, ProxyAnswer& answer);

  const std::vector<ProxyDestination> destinations_ = proxy_destinations(canary());
  std::string prompt_;    // of this server; empty: none is known
  std::string greeting_;  // its last words, where it waits without a prompt
  bool greets_ = true;    // false: a greeting was waited for in vain
  std::string verb_ = "connect";
};

// Every form at the first literal, which is core, and at the first name; the plainest at the others.
std::vector<ProxyAsk> TelnetProxy::plan() const {
  std::vector<ProxyAsk> all;
  bool literal = true, name = true;  // still to come
  for (const ProxyDestination& to : destinations_) {
    bool& first = to.form == ProxyDestination::Form::name ? name : literal;
    const bool core = literal && to.form != ProxyDestination::Form::name && to.kind == CanaryKind::tcp;
    all.push_back({to.name(), to, kColon, core, false, {}});
    if (!std::exchange(first, false)) continue;
    all.push_back({to.name() + "+space", to, kSpace, core, false, {}});
    all.push_back({to.name() + "+connect", to, kVerb, core, false, {}});
  }
  return all;
}

// What it says before anything was asked

bool TelnetProxy::another_protocol(const Talk& talk, ProxyAnswer& answer) const {
  return recognise(talk.first()) != "telnet" && speaks_other(talk.first(), {}, answer);
}

void TelnetProxy::turn_away(const Talk& talk, ProxyAnswer& answer, Verdict verdict, Reason reason) {
  answer.reply = escape(telnet_last_words(talk.text()), 120);
  answer.shaped = true;
  answer.before_asked = true;
  say(answer, verdict, reason);
}

void TelnetProxy::learn_verb(std::string_view text) {
  if (verb_ == "connect") verb_ = telnet_verb(text);
}

// Whether it waits: at a prompt, or behind all that it said the last time. What is on its way may be a login.
bool TelnetProxy::may_ask(Talk& talk) const {
  const bool prompt = read_telnet_prompt(talk.text()) == TelnetPrompt::command;
  const bool greeted = !greeting_.empty() && telnet_last_words(talk.text()) == greeting_;
  return (prompt || greeted) && !talk.link().unread();
}

// It says nothing more, and there is no prompt that is known.
bool TelnetProxy::may_ask_at_rest(const Talk& talk, ProxyAnswer& answer) {
  if (read_telnet_answer(talk.text()) == TelnetAnswer::busy) {
    turn_away(talk, answer, Verdict::unclear, Reason::greylisted);
    return false;
  }
  if (read_telnet_prompt(talk.text()) == TelnetPrompt::other) {
    turn_away(talk, answer, Verdict::unclear, Reason::protocol_error);
    return false;
  }
  greeting_ = telnet_last_words(talk.text());
  greets_ = talk.spoke();
  return true;
}

// It hung up before it was asked.
void TelnetProxy::judge_end(const Talk& talk, ProxyAnswer& answer) {
  switch (read_telnet_answer(talk.text())) {
    case TelnetAnswer::busy:
      return turn_away(talk, answer, Verdict::unclear, Reason::greylisted);
    case TelnetAnswer::refused:
      return turn_away(talk, answer, Verdict::closed, Reason::refused);
    default:
      throw LinkError(Reason::hung_up, "the peer closed the connection");
  }
}

// True: it may be asked. False: `answer` says why not.
Task<bool> TelnetProxy::hear_prompt(Talk& talk, ProxyAnswer& answer) {
  if (!greets_ && !talk.link().unread()) co_return true;
  for (;;) {
    const Talk::Got got = co_await talk.hear();
    if (another_protocol(talk, answer)) co_return false;
    if (got == Talk::Got::end) {
      judge_end(talk, answer);
      co_return false;
    }
    if (read_telnet_prompt(talk.text()) == TelnetPrompt::login) {
      turn_away(talk, answer, Verdict::closed, Reason::auth_required);
      co_return false;
    }
    if (got == Talk::Got::silence) {
      const bool may = may_ask_at_rest(talk, answer);
      co_return may;
    }
    if (!may_ask(talk)) continue;
    const bool more = co_await talk.link().more_within(kLull);
    if (!more) break;
  }
  const std::string_view prompt = telnet_prompt_line(talk.text());
  if (prompt_.empty() && !prompt.empty()) {
    observe(fmt::format("It shows strangers a prompt, without a login: {}", escape(prompt, 80)));
  }
  prompt_ = prompt.size() > kMaxPrompt ? std::string_view() : prompt;
  co_return true;
}

// What it says to a destination

std::string TelnetProxy::request(const ProxyAsk& ask) const {
  switch (ask.way) {
    case kSpace:
      return fmt::format("{} {}", ask.to.host, ask.to.port);
    case kVerb:
      return fmt::format("{} {} {}", verb_, ask.to.host, ask.to.port);
    default:
      return ask.to.authority();
  }
}

// Its words without ours and without its prompt, whatever those spell ("….invalid").
std::string TelnetProxy::bare(const std::string& text, const Said& said) const {
  std::string words = text;
  for (const std::string& known : {said.line, said.ask.to.host, prompt_}) words = without(words, known);
  const std::size_t begin = words.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? std::string() : words.substr(begin);
}

// The same without each of our words and without blanks: what stays of an answer that repeats some of the question.
std::string TelnetProxy::without_ours(const std::string& text, const Said& said) const {
  std::string words = bare(text, said);
  for (std::size_t begin = 0; begin < said.line.size();) {
    const std::size_t end = std::min(said.line.find(' ', begin), said.line.size());
    words = without(words, said.line.substr(begin, end - begin));
    begin = end + 1;
  }
  std::erase_if(words, [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; });
  return words;
}

// It has answered in words that are not known and waits at its prompt: whether it has the same for a line that is no
// destination.
Task<bool> TelnetProxy::says_so_to_anything(Talk& talk, const Said& said) {
  if (talk.link().unread()) co_return false;
  const std::string words = without_ours(talk.text(), said);
  const Said other{said.ask, "=" + said.ask.token, Stage::destination};  // "=" is in no name of a host
  bool same = false;
  try {
    co_await talk.say(other.line);
    const End end = co_await hear_answer(talk, other);
    same = end == End::other_words && without_ours(talk.text(), other) == words;
  } catch (const LinkError&) {
    // It broke off: not the same.
  }
  co_return same;
}

bool TelnetProxy::prompt_again(const Talk& talk) const {
  return !prompt_.empty() && telnet_prompt_line(talk.text()) == prompt_;
}

TelnetProxy::End TelnetProxy::judge_words(const std::string& words, const ProxyAsk& ask) {
  // The canary's mail side greets.
  if (ask.to.kind == CanaryKind::smtp && words.find("220 ") != std::string::npos) return End::connected;
  switch (read_telnet_answer(words)) {
    case TelnetAnswer::connected:
      return End::connected;
    case TelnetAnswer::refused:
      return End::refused;
    case TelnetAnswer::unresolved:
      return End::unresolved;
    case TelnetAnswer::failed:
      return End::failed;
    case TelnetAnswer::busy:
      return End::busy;
    case TelnetAnswer::login:
      return End::login;
    case TelnetAnswer::undecided:
      break;
  }
  return End::undecided;
}

// In a tunnel the words are those of whoever is at its other end: only the server's own prompt and pages count.
TelnetProxy::End TelnetProxy::judge(const Talk& talk, const Said& said) const {
  if (said.stage != Stage::destination && canary().proves(said.ask.token, talk.text())) return End::proof;
  const std::string words = bare(talk.text(), said);
  if (recognise(words) == "HTTP") return End::page;
  if (said.stage != Stage::tunnel) {
    const End end = judge_words(words, said.ask);
    if (end == End::connected && said.stage == Stage::perhaps) return End::undecided;  // the token is on its way
    if (end != End::undecided) return end;
  }
  if (!prompt_again(talk) || words.empty()) return End::undecided;
  return said.stage == Stage::tunnel ? End::closed : End::other_words;
}

// A prompt may be drawn anew before the answer: alone, it is one only where nothing more comes.
Task<TelnetProxy::End> TelnetProxy::hear_answer(Talk& talk, const Said& said) {
  for (;;) {
    const End end = judge(talk, said);
    if (end != End::undecided) co_return end;
    const Talk::Got got = co_await talk.hear();
    if (got == Talk::Got::end) co_return End::closed;
    if (got == Talk::Got::more) continue;
    if (said.stage == Stage::tunnel) co_return End::silence;
    const bool prompt = read_telnet_prompt(talk.text()) == TelnetPrompt::command || prompt_again(talk);
    if (!prompt) co_return End::silence;
    const bool alone = bare(talk.text(), said).empty();
    co_return alone ? End::refused : End::other_words;
  }
}

void TelnetProxy::conclude(End end, const ProxyAsk& ask, ProxyAnswer& answer) {
  switch (end) {
    case End::refused:
      return say(answer, Verdict::closed, Reason::refused);
    case End::page:
      answer.reply = "a page of a web server";
      return say(answer, Verdict::closed, Reason::refused);
    case End::other_words:
      return say(answer, Verdict::unclear, Reason::protocol_error);
    case End::unresolved:
      // A literal needs no resolver: it was not understood.
      if (ask.to.form != ProxyDestination::Form::name) return say(answer, Verdict::closed, Reason::refused);
      return say(answer, Verdict::unclear, Reason::canary_unreachable);
    case End::failed:
      return say(answer, Verdict::unclear, Reason::canary_unreachable);
    case End::busy:
      return say(answer, Verdict::unclear, Reason::greylisted);
    case End::login:
      return say(answer, Verdict::closed, Reason::auth_required);
    case End::silence:
      throw LinkError(Reason::timeout, "no answer to a destination");
    default:
      throw LinkError(Reason::hung_up, "the peer closed the connection");
  }
}

Task<void> TelnetProxy::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  Talk talk(link);
  const bool may = co_await hear_prompt(talk, answer);
  if (!may) co_return;
  const bool greeted = talk.spoke();
  learn_verb(talk.text());
  Said said{ask, request(ask), Stage::destination};
  co_await talk.say(said.line);
  End end = co_await hear_answer(talk, said);
  const bool mail = ask.to.kind == CanaryKind::smtp;
  if (!greeted && !mail && another_protocol(talk, answer)) co_return;
  answer.shaped = talk.spoke();
  const std::string words = bare(talk.text(), said);
  answer.reply = escape(telnet_last_words(words), 120);
  learn_verb(words);
  if (end == End::other_words) {
    const bool to_anything = co_await says_so_to_anything(talk, said);
    if (to_anything) end = End::refused;
  }
  if (end != End::connected && end != End::silence) {
    conclude(end, ask, answer);
    co_return;
  }
  // One that is silent may have connected all the same.
  said.stage = end == End::connected ? Stage::tunnel : Stage::perhaps;
  co_await ask_tunnel(talk, std::move(said), greeted, answer);
}

// `said`: the destination.
Task<void> TelnetProxy::ask_tunnel(Talk& talk, Said said, bool greeted, ProxyAnswer& answer) {
  if (said.stage == Stage::tunnel) granted(said.ask, answer);
  const bool mail = said.ask.to.kind == CanaryKind::smtp;
  bool echo = !greeted && !talk.text().empty() && bare(talk.text(), said).empty();
  said.line = (mail ? "EHLO " : "TOKEN ") + said.ask.token;
  co_await talk.say(said.line);
  const End end = co_await hear_answer(talk, said);
  bool proven = end == End::proof;
  if (proven && mail) co_await talk.link().say("QUIT");
  if (!proven) {
    proven = co_await proven_there(said.ask);
  }
  if (proven) {
    answer.shaped = true;
    say(answer, Verdict::open, Reason::token_returned);
    co_return;
  }
  const std::string words = bare(talk.text(), said);
  echo = echo && !talk.text().empty() && words.empty();
  if (echo) {
    answer.other_protocol = "echo";  // RFC 862
    co_return;
  }
  const bool late = said.stage == Stage::perhaps && judge_words(words, said.ask) == End::connected;
  if (late) {
    said.stage = Stage::tunnel;
    granted(said.ask, answer);
  }
  answer.silent = end == End::silence;
  if (said.stage == Stage::tunnel && end != End::page) co_return;  // a yes
  if (said.stage == Stage::perhaps) answer.reply = escape(telnet_last_words(words), 120);
  conclude(end, said.ask, answer);
}

}  // namespace

Task<Finding> telnet_proxy(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<TelnetProxy>(network, canary, subject));
}

}  // namespace ajar
