#include "tests/support/scripted_network.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

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

Script::Rule parse_rule(std::string_view text) {
  const std::size_t arrow = text.find(" => ");
  if (arrow == std::string_view::npos) throw std::runtime_error("a rule needs \" => \"");
  Script::Rule rule;
  rule.pattern = std::string(text.substr(0, arrow));
  const std::size_t slash = rule.pattern.find('/');
  if (slash != std::string::npos && slash + 1 < rule.pattern.size() && token_char(rule.pattern[slash + 1])) {
    std::size_t digits = 0;
    rule.from = std::stoi(rule.pattern.substr(slash + 1), &digits);
    rule.pattern.erase(slash, digits + 1);
  }
  if (rule.pattern.find('*') == std::string::npos && rule.pattern != ".") rule.pattern += "*";
  std::string_view rest = text.substr(arrow + 4);
  for (std::size_t bar = rest.find(" | "); bar != std::string_view::npos; bar = rest.find(" | ")) {
    rule.reply.push_back(unescaped(rest.substr(0, bar)));
    rest.remove_prefix(bar + 3);
  }
  rule.reply.push_back(unescaped(rest));
  return rule;
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
    if (take_prefix(line, "S*: ")) {
      script.rules.push_back(parse_rule(line));
    } else if (take_prefix(line, "S: ")) {
      add(Event::Kind::server, unescaped(line));
    } else if (take_prefix(line, "C: ")) {
      add(Event::Kind::client, line);
    } else if (line == "# connect") {
      script.connections.emplace_back();
      spelled_out = true;
    } else if (line == "# refused") {
      script.connections.back().refused = true;
      spelled_out = true;
    } else if (line == "# hangup") {
      add(Event::Kind::hangup, {});
    } else if (line == "# silence") {
      add(Event::Kind::silence, {});
    } else if (line == "# tls") {
      add(Event::Kind::tls, {});
    } else if (line == "# tls fails") {
      add(Event::Kind::tls_fails, {});
    } else if (take_prefix(line, "# ") && line.find(": ") != std::string_view::npos) {
      const std::size_t colon = line.find(": ");
      script.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
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

std::string Script::server_side() const {
  std::string bytes;
  for (const Connection& connection : connections) {
    for (const Event& event : connection.events) {
      if (event.kind == Event::Kind::server) bytes += event.text + "\r\n";
    }
  }
  for (const Rule& rule : rules) {
    for (const std::string& line : rule.reply) bytes += line + "\r\n";
  }
  return bytes;
}

// The server's end of one connection.
class ScriptedLink : public Link {
 public:
  // `spelled_out`: its index in the script, or -1: rules only.
  ScriptedLink(ScriptedNetwork& network, int spelled_out)
      : Link(network.transcript()), network_(network), index_(spelled_out) {}

  // TLS first where it is implicit; then the server speaks.
  Task<void> begin(TlsMode tls) {
    if (tls == TlsMode::implicit) co_await start_tls();
    if (index_ < 0) answer("connect");
    advance();
  }

 private:
  using Kind = Script::Event::Kind;

  const std::vector<Script::Event>* events() const {
    return index_ < 0 ? nullptr : &network_.script_.connections[static_cast<std::size_t>(index_)].events;
  }
  std::size_t& reached() { return network_.reached_[static_cast<std::size_t>(index_)]; }
  const Script::Event* next() {
    return events() != nullptr && reached() < events()->size() ? &(*events())[reached()] : nullptr;
  }

  // The server says all that it says before the client's next line.
  void advance() {
    for (const Script::Event* event = next(); event != nullptr && !ended_ && !silent_; event = next()) {
      if (event->kind == Kind::server) {
        in_message_ = in_message_ || event->text.substr(0, 3) == "354";
        ready_ += event->text + "\r\n";
      } else if (event->kind == Kind::hangup) {
        ended_ = true;
      } else if (event->kind == Kind::silence) {
        silent_ = true;
      } else {
        break;
      }
      ++reached();
    }
  }

  void answer(const std::string& line) {
    for (const Script::Rule& rule : network_.script_.rules) {
      if (commands_ < rule.from || !glob(rule.pattern, line)) continue;
      for (const std::string& reply : rule.reply) {
        if (reply == "hangup") ended_ = true;
        if (reply == "silence") silent_ = true;
        if (ended_ || silent_) return;
        in_message_ = in_message_ || reply.substr(0, 3) == "354";
        ready_ += reply + "\r\n";
      }
      return;
    }
    network_.complaints_.push_back("no rule for: " + line);
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
    ++commands_;
    const Script::Event* event = next();
    if (event == nullptr) {
      if (!ended_ && !silent_) answer(line);
      return;
    }
    if (event->kind != Kind::client || !glob(event->text, line)) {
      network_.complaints_.push_back(fmt::format("line {}: expected \"{}\", heard \"{}\"", event->line, event->text, line));
      ended_ = true;
      return;
    }
    ++reached();
    advance();
  }

  Task<std::size_t> read_some(std::string& into, std::size_t max) override {
    if (ready_.empty() && silent_) throw LinkError(Reason::timeout, "silence");
    if (ready_.empty() && !ended_) throw LinkError(Reason::timeout, "both wait");
    const std::string taken = ready_.substr(0, max);
    ready_.erase(0, taken.size());
    into += taken;
    co_return taken.size();
  }
  Task<void> write_all(std::string bytes) override {
    if (ended_ && ready_.empty()) throw LinkError(Reason::hung_up, "the server has hung up");
    said_ += bytes;
    for (std::size_t end = said_.find("\r\n"); end != std::string::npos; end = said_.find("\r\n")) {
      const std::string line = said_.substr(0, end);
      said_.erase(0, end + 2);
      heard(line);
    }
    co_return;
  }
  void read_now(std::string& into, std::size_t max) override {
    const std::string taken = ready_.substr(0, max);
    ready_.erase(0, taken.size());
    into += taken;
  }
  Task<void> handshake() override {
    const Script::Event* event = next();
    bool fails = false;
    if (event != nullptr) {
      fails = event->kind != Kind::tls;
      if (!fails || event->kind == Kind::tls_fails) ++reached();
    } else {
      for (const Script::Rule& rule : network_.script_.rules)
        fails = fails || (rule.pattern == "tls*" && rule.reply[0] == "fails");
    }
    if (fails) throw LinkError(Reason::tls_failed, "handshake failure");
    advance();
    co_return;
  }

  ScriptedNetwork& network_;
  int index_;
  std::string ready_;  // said by the server, not yet read
  std::string said_;   // by the client, no whole line yet
  std::string message_;
  int commands_ = 0;
  bool in_message_ = false;
  bool ended_ = false;
  bool silent_ = false;
};

Task<std::unique_ptr<Link>> ScriptedNetwork::dial(const IpAddress& address, std::uint16_t port, TlsMode tls) {
  const std::size_t index = static_cast<std::size_t>(dials_++);
  if (index >= script_.connections.size()) {
    const bool more =
        std::any_of(script_.rules.begin(), script_.rules.end(), [](const Script::Rule& r) { return r.pattern == "connect*"; });
    if (!more) {
      complaints_.push_back("one connection more than scripted");
      throw LinkError(Reason::nobody_listens, "one connection more than scripted");
    }
  } else {
    reached_.resize(index + 1);
    if (script_.connections[index].refused) throw LinkError(Reason::nobody_listens, "connection refused");
  }
  transcript().note("connect " + join_host_port(address, port));
  const int spelled_out = index < script_.connections.size() ? static_cast<int>(index) : -1;
  std::unique_ptr<ScriptedLink> link = std::make_unique<ScriptedLink>(*this, spelled_out);
  co_await link->begin(tls);
  co_return std::unique_ptr<Link>(std::move(link));
}

std::vector<std::string> ScriptedNetwork::complaints() const {
  std::vector<std::string> all = complaints_;
  for (std::size_t i = 0; i < script_.connections.size(); ++i) {
    const std::vector<Script::Event>& events = script_.connections[i].events;
    const std::size_t reached = i < reached_.size() ? reached_[i] : 0;
    if (i >= static_cast<std::size_t>(dials_)) all.push_back(fmt::format("connection {} was never made", i + 1));
    if (reached < events.size())
      all.push_back(fmt::format("line {} was never reached: {}", events[reached].line, events[reached].text));
  }
  return all;
}

}  // namespace ajar
