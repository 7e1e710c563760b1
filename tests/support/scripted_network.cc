#include "tests/support/scripted_network.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "checks/tls_failure.h"
#include "tests/support/http2_script.h"

namespace ajar {
namespace {

bool token_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "\\x" && i + 3 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (text.size() < suffix.size() || text.substr(text.size() - suffix.size()) != suffix) return false;
  text.remove_suffix(suffix.size());
  return true;
}

int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// "05 ff": its bytes; nullopt for what is text.
std::optional<std::string> from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    if (i + 2 > text.size() || (i + 2 < text.size() && (text[i + 2] != ' ' || i + 3 == text.size()))) return std::nullopt;
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  if (bytes.empty()) return std::nullopt;
  return bytes;
}

// What the server sends for a line of the script.
std::string on_the_wire(Script::Framing framing, std::string_view text) {
  if (framing == Script::Framing::lines) return unescaped(text) + "\r\n";
  if (framing == Script::Framing::frames) return std::string(text);  // HPACK's tables are the conversation's
  int times = 1;
  if (const std::size_t cross = text.rfind(" ×"); cross != std::string_view::npos) {
    times = std::stoi(std::string(text.substr(cross + std::string_view(" ×").size())));
    text = text.substr(0, cross);
  }
  const std::optional<std::string> bytes = framing == Script::Framing::bytes ? from_hex(text) : std::nullopt;
  const bool not_ended = take_suffix(text, "…");
  const std::string once = bytes ? *bytes : unescaped(text) + (not_ended ? "" : "\r\n");
  std::string all;
  for (int i = 0; i < times; ++i) all += once;
  return all;
}

constexpr std::string_view kPause = "pause";
constexpr std::string_view kNoProtocol = "no application protocol";
constexpr std::string_view kAlert = "alert";
constexpr std::string_view kCertificateAlert = "alert certificate required";

bool is_event(std::string_view word) {
  return word == "hangup" || word == "silence" || word == "fails" || word == "refused" || word == kPause || word == kAlert ||
         word == kCertificateAlert;
}

void take_from(Script::Rule& rule) {
  const std::size_t slash = rule.pattern.rfind('/');
  if (slash == std::string::npos || slash + 1 == rule.pattern.size()) return;
  const std::string number = rule.pattern.substr(slash + 1);
  if (number.find_first_not_of("0123456789") != std::string::npos) return;
  rule.from = std::stoi(number);
  rule.pattern.erase(slash);
}

Script::Rule parse_rule(Script::Framing framing, std::string_view text) {
  const bool lines = framing == Script::Framing::lines;
  Script::Rule rule;
  std::size_t arrow = text.find(" => ");
  if (arrow == std::string_view::npos && !lines && take_suffix(text, " =>")) arrow = text.size();
  if (arrow == std::string_view::npos) throw std::runtime_error("a rule needs \" => \"");
  rule.pattern = std::string(text.substr(0, arrow));
  if (const std::size_t both = lines ? std::string::npos : rule.pattern.find(" & "); both != std::string::npos) {
    rule.other = rule.pattern.substr(both + 3);
    rule.pattern.erase(both);
  }
  take_from(rule);
  const bool whole =
      rule.pattern == "." || rule.pattern.empty() || (framing == Script::Framing::bytes && from_hex(rule.pattern));
  if (rule.pattern.find('*') == std::string::npos && !whole) rule.pattern += "*";
  if (arrow == text.size()) return rule;
  std::string rest(text.substr(arrow + 4));
  if (!lines && rest.ends_with(" |")) rest += " ";
  const auto add = [&](std::string_view part) {
    rule.reply.push_back(is_event(part) ? std::string(part) : on_the_wire(framing, part));
  };
  std::size_t begin = 0;
  for (std::size_t bar = rest.find(" | "); bar != std::string::npos; bar = rest.find(" | ", begin)) {
    add(std::string_view(rest).substr(begin, bar - begin));
    begin = bar + 3;
  }
  add(std::string_view(rest).substr(begin));
  return rule;
}

// What a check notes in its evidence beside the conversation: which variant, which request in words.
bool is_note(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (line == "# impossible" || line == "# once more" || line.starts_with("# SOCKS")) return true;
  if (line.starts_with("# no answer to what was asked")) return true;
  return colon != std::string_view::npos && colon + 1 < line.size() && line[colon + 1] >= '0' && line[colon + 1] <= '9' &&
         line.find(' ', 2) == std::string_view::npos;
}

// What the client says in frames of which no script speaks.
bool passed_over(std::string_view line) {
  return line.starts_with("C: PRI ") || line.starts_with("C: SETTINGS") || line.starts_with("C: WINDOW_UPDATE") ||
         line.starts_with("C: PING");
}

Script::Framing parse_framing(std::string_view word) {
  if (word == "writes") return Script::Framing::writes;
  if (word == "bytes") return Script::Framing::bytes;
  if (word == "frames") return Script::Framing::frames;
  if (word == "lines") return Script::Framing::lines;
  throw std::runtime_error("no such framing: " + std::string(word));
}

}  // namespace

bool glob(std::string_view pattern, std::string_view text) {
  while (!pattern.empty()) {
    std::string_view rest = pattern;
    if (take_prefix(rest, "*") || take_prefix(rest, "…")) {
      for (std::size_t skip = 0; skip <= text.size(); ++skip) {
        if (glob(rest, text.substr(skip))) return true;
      }
      return false;
    }
    if (take_prefix(rest, "<token>")) {
      for (std::size_t taken = 1; taken <= text.size() && token_char(text[taken - 1]); ++taken) {
        if (glob(rest, text.substr(taken))) return true;
      }
      return false;
    }
    if (text.empty() || text.front() != pattern.front()) return false;
    text.remove_prefix(1);
    pattern.remove_prefix(1);
  }
  return text.empty();
}

Script Script::parse(std::string_view text) {
  Script script;
  script.connections.emplace_back();
  bool spelled_out = false;
  int number = 0;
  std::istringstream in{std::string(text)};
  for (std::string whole; std::getline(in, whole);) {
    ++number;
    std::string_view line = whole;
    if (line.empty() || line.substr(0, 2) == "##") continue;
    const auto add = [&](Event::Kind kind, std::string_view what) {
      script.connections.back().events.push_back({kind, std::string(what), number});
      spelled_out = true;
    };
    const bool evidence = script.framing != Framing::lines;
    if (evidence && (line == "S:" || line == "C:")) whole += ' ', line = whole;
    if (script.framing == Framing::frames && passed_over(line)) continue;
    if (take_prefix(line, "S*: ")) {
      script.rules.push_back(parse_rule(script.framing, line));
    } else if (take_prefix(line, "S: ")) {
      add(Event::Kind::server, on_the_wire(script.framing, line));
    } else if (take_prefix(line, "C: ")) {
      add(Event::Kind::client, line);
    } else if (line == "# connect" || (evidence && line.starts_with("# connect "))) {
      // The first of the evidence is the one that has begun.
      if (line == "# connect" || spelled_out) script.connections.emplace_back();
      spelled_out = true;
    } else if (line == "# refused") {
      script.connections.back().refused = true;
      spelled_out = true;
    } else if (line == "# hangup" || (evidence && line == "# the peer closed the connection")) {
      add(Event::Kind::hangup, {});
    } else if (line == "# silence") {
      add(Event::Kind::silence, {});
    } else if (line == "# tls alert" || line == "# tls alert certificate required") {
      add(Event::Kind::alert, line.substr(6));
    } else if (line == "# tls wants a certificate") {
      add(Event::Kind::tls_fails, "a certificate is wanted");
    } else if (line.starts_with("# tls ") && line != "# tls fails" && line.find(':') == std::string_view::npos) {
      add(Event::Kind::tls, line.substr(6));
    } else if (line == "# tls" || (evidence && line == "# TLS from here")) {
      add(Event::Kind::tls, {});
    } else if (line == "# tls fails") {
      add(Event::Kind::tls_fails, {});
    } else if (evidence && is_note(line)) {
      continue;
    } else if (take_prefix(line, "# ") && line.find(": ") != std::string_view::npos) {
      const std::size_t colon = line.find(": ");
      script.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
      if (script.headers.back().first == "framing") script.framing = parse_framing(script.headers.back().second);
    } else {
      throw std::runtime_error(fmt::format("line {}: not a transcript: {}", number, whole));
    }
  }
  if (!spelled_out) script.connections.clear();
  return script;
}

Script Script::load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return parse(std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>()));
}

std::vector<std::string> Script::all(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto& [name, value] : headers) {
    if (name == key) values.push_back(value);
  }
  return values;
}

std::string Script::first(std::string_view key, std::string fallback) const {
  const std::vector<std::string> values = all(key);
  return values.empty() ? fallback : values.front();
}

// The server's end of one connection.
class ScriptedLink : public Link {
 public:
  // `spelled_out`: its index in the script, or -1: rules only.
  ScriptedLink(ScriptedNetwork& network, int spelled_out)
      : Link(network.transcript()), network_(network), index_(spelled_out) {}

  // TLS first where it is implicit; then the server speaks.
  Task<void> begin(TlsMode tls) {
    if (tls == TlsMode::implicit) {
      co_await start_tls();
    } else if (script().first("subject.tls") != "implicit") {
      open();
    }
  }

 private:
  using Kind = Script::Event::Kind;
  using Framing = Script::Framing;

  const Script& script() const { return network_.script_; }
  const std::vector<Script::Event>* events() const {
    return index_ < 0 ? nullptr : &script().connections[static_cast<std::size_t>(index_)].events;
  }
  std::size_t& reached() { return network_.reached_[static_cast<std::size_t>(index_)]; }
  const Script::Event* next() {
    return events() != nullptr && reached() < events()->size() ? &(*events())[reached()] : nullptr;
  }

  // The server speaks first, once it may.
  void open() {
    if (index_ < 0 && !std::exchange(greeted_, true)) greet();
    advance();
  }

  std::string encoded(const std::string& line) {
    std::string_view text = line;
    int times = 1;
    if (const std::size_t cross = text.rfind(" ×"); cross != std::string_view::npos) {
      times = std::stoi(std::string(text.substr(cross + std::string_view(" ×").size())));
      text = text.substr(0, cross);
    }
    std::string all;
    for (int i = 0; i < times; ++i) {
      const std::optional<std::string> frame = frames_.bytes_of(text);
      all += frame ? *frame : on_the_wire(Framing::bytes, text);
    }
    return all;
  }

  void speak(const std::string& said) {
    const std::string bytes = script().framing == Framing::frames ? encoded(said) : said;
    if (bytes.empty()) return;
    const bool lines = script().framing == Framing::lines;
    in_message_ = in_message_ || (lines && bytes.starts_with("354"));
    network_.exchanges_.back().answer += bytes;
    if (lines && !ready_.empty()) {
      ready_.back() += bytes;
    } else {
      ready_.push_back(bytes);
    }
  }

  // The server says all that it says before the client's next line.
  void advance() {
    for (const Script::Event* event = next(); event != nullptr && !ended_ && !silent_ && !alert_; event = next()) {
      if (event->kind == Kind::server) {
        speak(event->text);
      } else if (event->kind == Kind::hangup) {
        ended_ = true;
      } else if (event->kind == Kind::alert) {
        be_alerted(event->text);
      } else if (event->kind == Kind::silence) {
        silent_ = true;
      } else {
        break;
      }
      ++reached();
    }
  }

  void be_alerted(std::string_view word) { alert_ = word == kCertificateAlert ? Reason::auth_required : Reason::tls_failed; }

  // "01 01 00 00 <4-19>": with those bytes of what is answered.
  std::string echoed(const std::string& text) const {
    if (!in_bytes() || text.find('<') == std::string::npos) return text;
    std::string line = text;
    take_end(line);
    for (std::size_t at = line.find('<'); at != std::string::npos; at = line.find('<', at + 1)) {
      unsigned first = 0, last = 0;
      int length = 0;
      if (std::sscanf(line.c_str() + at, "<%u-%u>%n", &first, &last, &length) != 2 || length == 0) return text;
      if (last < first || last >= asked_.size()) return text;
      line.replace(at, static_cast<std::size_t>(length), hex(std::string_view(asked_).substr(first, last - first + 1)));
    }
    const std::optional<std::string> bytes = from_hex(line);
    return bytes ? *bytes : text;
  }
  static void take_end(std::string& line) {
    if (line.ends_with("\r\n")) line.resize(line.size() - 2);
  }
  bool in_bytes() const { return datagrams_ || script().framing == Framing::bytes; }

  void greet() {
    if (script().framing == Framing::lines) return answer({"connect"});
    if (const Script::Rule* rule = network_.greeting()) reply(*rule);
  }

  void reply(const Script::Rule& rule) {
    for (const std::string& written : rule.reply) {
      const std::string bytes = echoed(written);
      if (bytes == "hangup") ended_ = true;
      if (bytes == "silence") silent_ = true;
      if (bytes == kPause) ready_.emplace_back();
      if (bytes == kPause) continue;
      if (bytes == kAlert || bytes == kCertificateAlert) be_alerted(bytes);
      if (ended_ || silent_ || alert_) return;
      speak(bytes);
    }
  }

  // `lines`: of one write; the first is the one that is asked about.
  void answer(const std::vector<std::string>& lines) {
    const auto is = [](const std::string& pattern, const std::string& line) { return glob(pattern, line); };
    for (const Script::Rule& rule : script().rules) {
      if (commands_ < rule.from || !is(rule.pattern, lines.front())) continue;
      const auto other = [&](const std::string& line) { return is(rule.other, line); };
      if (rule.other.empty() || std::any_of(lines.begin() + 1, lines.end(), other)) return reply(rule);
    }
    network_.complaints_.push_back("no rule for: " + lines.front());
    ended_ = true;
  }

  void heard(const std::string& line) {
    if (in_message_ && line != ".") {
      message_ += (line.substr(0, 2) == ".." ? line.substr(1) : line) + "\r\n";
      return;
    }
    if (in_message_) {
      network_.messages_.push_back(std::exchange(message_, {}));
      in_message_ = false;
    }
    network_.exchanges_.push_back({line, {}, Exchange::End::none, {}, {}});
    heard_write({line});
  }

  void heard_write(const std::vector<std::string>& lines) {
    ++commands_;
    for (const std::string& line : lines) {
      const Script::Event* event = next();
      if (event == nullptr) {
        if (&line == &lines.front() && !ended_ && !silent_) answer(lines);
        return;
      }
      if (event->kind != Kind::client || !glob(event->text, line)) {
        network_.complaints_.push_back(
            fmt::format("line {}: expected \"{}\", heard \"{}\"", event->line, escape(event->text), line));
        ended_ = true;
        return;
      }
      ++reached();
      advance();
      if (event->text == "*") return;
    }
  }

  std::size_t take(std::string& into, std::size_t max) {
    if (ready_.empty()) return 0;
    const std::size_t count = std::min(max, ready_.front().size());
    into.append(ready_.front(), 0, count);
    ready_.front().erase(0, count);
    if (ready_.front().empty()) ready_.pop_front();
    return count;
  }

  Task<std::size_t> read_some(std::string& into, std::size_t max) override {
    end_pause();
    if (ready_.empty()) network_.exchanges_.back().end = ended_ ? Exchange::End::hang_up : Exchange::End::silence;
    if (ready_.empty() && alert_) {
      const LinkError alert(*alert_, "an alert");
      network_.exchanges_.back().alert = alert;
      throw LinkError(alert);
    }
    if (ready_.empty() && silent_) throw LinkError(Reason::timeout, "silence");
    if (ready_.empty() && !ended_) throw LinkError(Reason::timeout, "both wait");
    co_return take(into, max);
  }
  Task<void> write_all(std::string bytes) override {
    if (ended_ && ready_.empty()) {
      network_.exchanges_.back().end = Exchange::End::hang_up;
      throw LinkError(Reason::hung_up, "the server has hung up");
    }
    write(bytes);
    co_return;
  }

 public:
  // The datagrams of one peer.
  void be_datagrams() {
    datagrams_ = true;
    advance();
  }
  // What the client sends, at once.
  void write(const std::string& bytes) {
    asked_ = bytes;
    if (in_bytes()) {
      std::string_view line = bytes;
      const bool text = take_suffix(line, "\r\n") && std::all_of(line.begin(), line.end(), [](char c) { return c >= ' '; });
      heard_write({text ? std::string(line) : hex(bytes)});
      return;
    }
    if (script().framing == Framing::frames) {
      for (const std::string& frame : frames_.take(bytes)) heard_write({frame});
      return;
    }
    said_ += bytes;
    std::vector<std::string> lines;
    for (std::size_t end = said_.find("\r\n"); end != std::string::npos; end = said_.find("\r\n")) {
      lines.push_back(said_.substr(0, end));
      said_.erase(0, end + 2);
      if (script().framing == Framing::lines) heard(lines.back());
    }
    if (script().framing == Framing::writes && !lines.empty()) heard_write(lines);
  }
  bool take_datagram(std::string& into) {
    if (ready_.empty() && ended_) throw LinkError(Reason::nobody_listens, "port unreachable");
    if (ready_.empty()) return false;
    into = std::move(ready_.front());
    ready_.pop_front();
    return true;
  }

 private:
  void read_now(std::string& into, std::size_t max) override {
    if (!pausing()) take(into, max);
  }
  bool pausing() const { return !ready_.empty() && ready_.front().empty(); }
  void end_pause() {
    if (pausing()) ready_.pop_front();
  }
  Task<bool> wait_a_moment(std::chrono::milliseconds) override {
    end_pause();
    co_return !ready_.empty() || ended_;
  }
  Task<void> handshake(const TlsHello& hello) override {
    network_.exchanges_.push_back({"TLS", {}, Exchange::End::none, {}, {}});
    try {
      co_await shake_hands(hello);
    } catch (const LinkError& error) {
      network_.exchanges_.back().failure = error;
      throw;
    }
  }
  Task<void> shake_hands(const TlsHello& hello) {
    const Script::Event* event = next();
    bool fails = false;
    if (event == nullptr && ended_) throw TlsFailure(TlsFailure::How::ended, "the peer closed the connection");
    if (event == nullptr && silent_) throw TlsFailure(TlsFailure::How::silent, "no answer");
    if (event != nullptr) {
      fails = event->kind != Kind::tls;
      if (event->kind == Kind::tls_fails && !event->text.empty()) {
        ++reached();
        throw LinkError(Reason::auth_required, "it wants a certificate of ours");
      }
      if (!fails) choose(event->text);
      if (!fails || event->kind == Kind::tls_fails) ++reached();
    } else {
      for (const Script::Rule& rule : script().rules) {
        if (rule.pattern != "tls*" || rule.reply.empty()) continue;
        std::string word = rule.reply[0];
        take_end(word);
        choose(word);
      }
      if (protocol_ == "wants a certificate") throw LinkError(Reason::auth_required, "it wants a certificate of ours");
      if (protocol_ == kNoProtocol) {
        protocol_.clear();
        if (!hello.protocols.empty()) {
          throw TlsFailure(TlsFailure::How::alert, "tlsv1 alert no application protocol", TlsFailure::kNoApplicationProtocol);
        }
      }
      if (protocol_ == "refused") throw TlsFailure(TlsFailure::How::alert, "tlsv1 unrecognized name", 112);
      if (protocol_ == "refused 80") throw TlsFailure(TlsFailure::How::alert, "tlsv1 alert internal error", 80);
      if (protocol_ == "hangup") throw TlsFailure(TlsFailure::How::ended, "the peer closed the connection");
      if (protocol_ == "silence") throw TlsFailure(TlsFailure::How::silent, "no answer");
      if (protocol_.starts_with("clear ")) {
        ready_.push_back(std::exchange(protocol_, {}).substr(6) + "\r\n");
        throw TlsFailure(TlsFailure::How::clear, "it answers without TLS");
      }
      fails = protocol_ == "fails";
    }
    if (fails) throw LinkError(Reason::tls_failed, "handshake failure");
    open();
    co_return;
  }

  std::string protocol() const override { return protocol_; }
  bool wants_certificate() const override { return asks_for_certificate_; }
  void choose(const std::string& word) {
    asks_for_certificate_ = word == "asks for a certificate";
    if (!asks_for_certificate_) protocol_ = word;
  }

  ScriptedNetwork& network_;
  int index_;
  Http2Script frames_;
  bool greeted_ = false;
  bool asks_for_certificate_ = false;
  std::optional<Reason> alert_;  // for who reads on
  std::string protocol_;         // chosen by ALPN
  std::string asked_;            // the client's last write
  bool datagrams_ = false;
  std::deque<std::string> ready_;  // said by the server, not yet read
  std::string said_;               // by the client, no whole line yet
  std::string message_;
  int commands_ = 0;
  bool in_message_ = false;
  bool ended_ = false;
  bool silent_ = false;
};

class ScriptedDatagrams : public Datagrams {
 public:
  ScriptedDatagrams(ScriptedNetwork& network, int spelled_out) : Datagrams(network.transcript()), link_(network, spelled_out) {
    link_.be_datagrams();
  }

 private:
  void send(const std::string& bytes) override { link_.write(bytes); }
  Task<bool> receive(std::string& into, unsigned, bool) override { co_return link_.take_datagram(into); }

  ScriptedLink link_;
};

std::optional<IpAddress> ScriptedNetwork::source() const { return IpAddress::parse(script_.first("network.source")); }

// The rule for the connection that was made last; nullptr: none.
const Script::Rule* ScriptedNetwork::greeting() const {
  const auto is = [this](const Script::Rule& rule) { return rule.pattern == "connect*" && dials_ >= rule.from; };
  const auto found = std::find_if(script_.rules.begin(), script_.rules.end(), is);
  return found == script_.rules.end() ? nullptr : &*found;
}

int ScriptedNetwork::begin_connection(const IpAddress& address, std::uint16_t port) {
  const std::size_t index = static_cast<std::size_t>(dials_++);
  exchanges_.push_back({"connect", {}, Exchange::End::none, {}, {}});
  const bool spelled_out = index < script_.connections.size();
  if (spelled_out) {
    reached_.resize(index + 1);
    if (script_.connections[index].refused) throw LinkError(Reason::nobody_listens, "connection refused");
  } else {
    const Script::Rule* const rule = greeting();
    const bool more = rule != nullptr || (script_.framing != Script::Framing::lines && !script_.rules.empty());
    if (!more) {
      complaints_.push_back("one connection more than scripted");
      throw LinkError(Reason::nobody_listens, "one connection more than scripted");
    }
    if (rule != nullptr && rule->reply == std::vector<std::string>{"refused"}) {
      throw LinkError(Reason::nobody_listens, "connection refused");
    }
  }
  transcript().note("connect " + join_host_port(address, port));
  return spelled_out ? static_cast<int>(index) : -1;
}

Task<std::unique_ptr<Link>> ScriptedNetwork::dial(const IpAddress& address, std::uint16_t port, TlsMode tls) {
  int index = 0;
  try {
    index = begin_connection(address, port);
  } catch (const LinkError& error) {
    exchanges_.back().failure = error;
    throw;
  }
  std::unique_ptr<ScriptedLink> link = std::make_unique<ScriptedLink>(*this, index);
  co_await link->begin(tls);
  co_return std::unique_ptr<Link>(std::move(link));
}

Task<std::unique_ptr<Datagrams>> ScriptedNetwork::dial_udp(const IpAddress& address, std::uint16_t port) {
  const int index = begin_connection(address, port);
  std::unique_ptr<Datagrams> datagrams = std::make_unique<ScriptedDatagrams>(*this, index);
  co_return datagrams;
}

std::vector<std::string> ScriptedNetwork::complaints() const {
  std::vector<std::string> all = complaints_;
  for (std::size_t i = 0; i < script_.connections.size(); ++i) {
    const std::vector<Script::Event>& events = script_.connections[i].events;
    const std::size_t reached = i < reached_.size() ? reached_[i] : 0;
    if (i >= static_cast<std::size_t>(dials_)) all.push_back(fmt::format("connection {} was never made", i + 1));
    if (reached < events.size())
      all.push_back(fmt::format("line {} was never reached: {}", events[reached].line, escape(events[reached].text)));
  }
  return all;
}

}  // namespace ajar
