#include "agent/canary_http.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace ajar {
namespace {

constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxHeaders = 100;

struct Request {
  std::string method, target, version;
  std::string path;                      // without authority and query
  std::optional<std::string> authority;  // of the absolute form, else of Host
  bool absolute = false;
  std::optional<std::uint64_t> length;
  bool bad_length = false, chunked = false, expects_continue = false;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// RFC 9112 3. The target's absolute form outranks Host (3.2.2).
std::optional<Request> parse_request_line(const std::string& line) {
  const auto first = line.find(' '), last = line.rfind(' ');
  if (first == std::string::npos || last == first) return std::nullopt;
  Request request;
  request.method = line.substr(0, first);
  request.target = std::string(trim(std::string_view(line).substr(first, last - first)));
  request.version = line.substr(last + 1);
  if (!request.version.starts_with("HTTP/") || request.target.empty()) return std::nullopt;
  std::string_view rest = request.target;
  if (to_lower(rest.substr(0, 7)) == "http://") {
    rest.remove_prefix(7);
    const auto slash = std::min(rest.find_first_of("/?#"), rest.size());
    request.authority = std::string(rest.substr(0, slash));
    request.absolute = true;
    rest.remove_prefix(slash);
  }
  request.path = std::string(rest.substr(0, rest.find_first_of("?#")));
  if (request.path.empty()) request.path = "/";
  return request;
}

void take_header(Request& request, const std::string& line, Facts& facts) {
  const auto colon = line.find(':');
  if (colon == std::string::npos) return;
  const std::string name = to_lower(line.substr(0, colon));
  const std::string value(trim(std::string_view(line).substr(colon + 1)));
  for (const std::string_view kept : {"host", "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip",
                                      "x-proxy-id", "user-agent", "proxy-connection", "max-forwards"}) {
    if (name == kept) facts.add("", line);
  }
  if (name == "host" && !request.absolute) {
    // Two Hosts that differ: no authority is ours (RFC 9112 3.2 asks for 400).
    const bool differs = request.authority && *request.authority != value;
    request.authority = differs ? std::string() : value;
  }
  if (name == "transfer-encoding" && to_lower(value).ends_with("chunked")) request.chunked = true;
  if (name == "expect" && to_lower(value) == "100-continue") request.expects_continue = true;
  if (name == "content-length") {
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (value.empty() || error != std::errc() || end != value.data() + value.size()) {
      request.bad_length = true;
    } else {
      request.length = length;
    }
  }
}

// Inside TLS the name of the hello says where the client wanted to go: "5vq….canary.example.net" (RFC 6066 3).
bool names_token(std::string_view name, const std::string& token, const CanarySession& session) {
  if (session.identity.host.empty()) return false;
  return same_domain(name, token + "." + session.identity.host);
}

class TcpSink {
 public:
  TcpSink(Link& link, const CanarySession& session)
      : link_(link), session_(session), reader_(link, kMaxLine), now_(session.now()), facts_(session.keys, now_) {}
  Task<void> converse();

 private:
  struct Answer {
    std::string status;
    std::string body;
  };
  std::string raw(const std::string& line);
  Task<void> http(Request request);
  Task<bool> hear_head(Request& request);
  Task<bool> hear_body(const Request& request);
  Task<bool> hear_chunks();
  Task<bool> hear_counted(std::uint64_t length);
  Answer judge(const Request& request);
  std::string token_of(const Request& request) const;
  std::string about() const;
  Task<void> respond(std::string status, std::string body, bool with_body);
  Task<bool> next_line(LineReader::Line& line);
  void arrive(const std::string& token, bool proof, std::string_view note);
  void keep_body(std::string_view bytes) {
    body_ += bytes.substr(0, kHttpBodySearched - std::min(kHttpBodySearched, body_.size()));
  }

  Link& link_;
  const CanarySession& session_;
  LineReader reader_;
  Time now_;
  Facts facts_;
  std::string body_;
  std::string refusal_;  // a status: the request could not be heard out
};

void TcpSink::arrive(const std::string& token, bool proof, std::string_view note) {
  Arrival arrival;
  arrival.kind = session_.server_name ? CanaryKind::tls : CanaryKind::tcp;
  arrival.token = token;
  arrival.proof = proof;
  arrival.peer = session_.peer;
  arrival.listener = session_.listener;
  arrival.facts = facts_.lines();
  if (!note.empty()) arrival.facts.emplace_back(note);
  session_.arrived(std::move(arrival));
}

std::string TcpSink::about() const {
  const CanaryIdentity& identity = session_.identity;
  return fmt::format(
      "This is the canary of ajar, run by {}.\n"
      "ajar asks the mail servers and proxies of its own organisation whether they work for strangers, and this machine\n"
      "notices what comes through them. It relays nothing, fetches nothing and keeps no mail.\nContact: {}\n",
      escape(identity.name, 200), escape(readable_contact(identity), 200));
}

// "TOKEN 5vq…" through a tunnel.
std::string TcpSink::raw(const std::string& line) {
  constexpr std::string_view kWord = "TOKEN ";
  facts_.add("", line.substr(0, 64));
  if (line.starts_with(kWord)) {
    const std::string token(trim(std::string_view(line).substr(kWord.size())));
    switch (session_.keys.check(token, now_)) {
      case TokenState::valid:
        if (session_.server_name && !names_token(*session_.server_name, token, session_)) {
          arrive(token, false, "the name in the TLS hello is not ours");
          return about();
        }
        arrive(token, true, "");
        return "PROOF " + session_.keys.proof(token) + "\r\n";
      case TokenState::expired:
        arrive(token, false, "the token has expired");
        return "EXPIRED\r\n";
      case TokenState::bad:
        break;
    }
  }
  return about();
}

std::string TcpSink::token_of(const Request& request) const {
  const std::string_view path = std::string_view(request.path).substr(1);
  std::string in_path = leading_token(path);
  if (!in_path.empty() && (path.size() == in_path.size() || path.substr(in_path.size()) == "/")) return in_path;
  constexpr std::string_view kName = "token=";
  const auto at = body_.find(kName);
  return at == std::string::npos ? std::string() : leading_token(std::string_view(body_).substr(at + kName.size()));
}

TcpSink::Answer TcpSink::judge(const Request& request) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT"};
  if (std::find(std::begin(kMethods), std::end(kMethods), request.method) == std::end(kMethods)) {
    return {"405 Method Not Allowed", "This machine is no proxy.\n"};
  }
  const bool own = request.authority && own_authority(*request.authority, session_) &&
                   (!session_.server_name || session_.server_name->empty() || own_authority(*session_.server_name, session_));
  const std::string token = request.path.starts_with('/') ? token_of(request) : std::string();
  const TokenState state = token.empty() ? TokenState::bad : session_.keys.check(token, now_);
  if (state == TokenState::expired) {
    arrive(token, false, "the token has expired");
    return {"410 Gone", "This token has expired.\n"};
  }
  if (state == TokenState::valid && own) {
    arrive(token, true, "");
    return {"200 OK", "PROOF " + session_.keys.proof(token) + "\n"};
  }
  if (state == TokenState::valid) arrive(token, false, "the authority of the request is not ours");
  if (!own && request.authority) return {"421 Misdirected Request", "This name is not ours, and this machine is no proxy.\n"};
  if (state == TokenState::valid) return {"400 Bad Request", "Say whom you ask: Host is missing.\n"};
  if (request.path == "/") return {"200 OK", about()};
  return {"404 Not Found", "Nothing is here.\n"};
}

Task<bool> TcpSink::next_line(LineReader::Line& line) {
  while (!reader_.take(line)) {
    const bool more = co_await reader_.fill();
    if (!more) co_return false;
  }
  co_return true;
}

Task<bool> TcpSink::hear_head(Request& request) {
  LineReader::Line line;
  std::size_t bytes = request.target.size();
  for (std::size_t count = 0;; ++count) {
    while (!reader_.take(line)) {
      const bool more = co_await reader_.fill();
      if (!more) co_return false;
    }
    if (line.text.empty()) co_return true;
    bytes += line.text.size() + 2;
    if (line.cut > 0 || bytes > kHttpMaxHead || count >= kMaxHeaders) {
      refusal_ = "431 Request Header Fields Too Large";
      co_return true;
    }
    take_header(request, line.text, facts_);
  }
}

Task<bool> TcpSink::hear_counted(std::uint64_t length) {
  while (length > 0) {
    const std::string bytes = reader_.take_bytes(static_cast<std::size_t>(length));
    if (bytes.empty()) {
      const bool more = co_await reader_.fill();
      if (!more) co_return false;
      continue;
    }
    keep_body(bytes);
    length -= bytes.size();
  }
  co_return true;
}

// RFC 9112 7.1
Task<bool> TcpSink::hear_chunks() {
  std::uint64_t total = 0;
  LineReader::Line line;
  for (;;) {
    const bool size_line = co_await next_line(line);
    if (!size_line) co_return false;
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(line.text.data(), line.text.data() + line.text.size(), size, 16);
    if (error != std::errc() || end == line.text.data()) {
      refusal_ = "400 Bad Request";
      co_return true;
    }
    if (size == 0) co_return true;  // trailers are not heard: the connection ends here
    total += std::min(size, kHttpMaxBody + 1);
    if (total > kHttpMaxBody) {
      refusal_ = "413 Content Too Large";
      co_return true;
    }
    const bool heard = co_await hear_counted(size);
    if (!heard) co_return false;
    const bool after = co_await next_line(line);
    if (!after) co_return false;
  }
}

Task<bool> TcpSink::hear_body(const Request& request) {
  if (request.bad_length || (request.chunked && request.length)) {
    refusal_ = "400 Bad Request";
    co_return true;
  }
  if (request.length && *request.length > kHttpMaxBody) {
    refusal_ = "413 Content Too Large";
    co_return true;
  }
  if (request.expects_continue && (request.chunked || request.length)) {
    std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await link_.say_bytes(std::move(go_on));
  }
  bool whole = true;
  if (request.chunked) {
    whole = co_await hear_chunks();
  } else if (request.length) {
    const std::uint64_t length = *request.length;
    whole = co_await hear_counted(length);
  }
  co_return whole;
}

Task<void> TcpSink::respond(std::string status, std::string body, bool with_body) {
  std::string bytes = fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
      status, body.size());
  if (with_body) bytes += body;
  co_await link_.say_bytes(std::move(bytes));
}

Task<void> TcpSink::http(Request request) {
  facts_.add("", request.method + " " + request.target + " " + request.version);
  const bool head = co_await hear_head(request);
  if (!head) co_return;
  if (refusal_.empty()) {
    const bool body = co_await hear_body(request);
    if (!body) co_return;
  }
  Answer answer{refusal_, refusal_ + "\n"};
  if (refusal_.empty()) answer = judge(request);
  co_await respond(answer.status, answer.body, request.method != "HEAD");
}

Task<void> TcpSink::converse() {
  if (session_.server_name)
    facts_.add("the TLS hello names ", session_.server_name->empty() ? "nobody" : *session_.server_name);
  LineReader::Line line;
  for (int empty = 0; empty < 4; ++empty) {
    const bool more = co_await next_line(line);
    if (!more) co_return;
    if (!line.text.empty()) break;
  }
  now_ = session_.now();
  if (line.cut == 0) {
    std::optional<Request> request = parse_request_line(line.text);
    if (request) {
      co_await http(std::move(*request));
      co_return;
    }
  }
  std::string answer = raw(line.text);
  co_await link_.say_bytes(std::move(answer));
}

bool own_port(std::uint16_t port, const CanarySession& session) {
  if (port == session.listener.port) return true;
  const auto& own = session.identity.authorities;
  return std::any_of(own.begin(), own.end(), [&](const AddressPort& a) { return a.port == port; });
}

}  // namespace

bool own_authority(std::string_view authority, const CanarySession& session) {
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  std::string_view host = authority, port;
  const auto colon = authority.rfind(':');
  const bool bracketed = authority.starts_with('[');
  const bool has_port = colon != std::string_view::npos && (!bracketed || authority[colon - 1] == ']');
  if (has_port) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || !own_port(number, session)) return false;
  }
  if (bracketed) {
    if (!host.ends_with(']')) return false;
    host = host.substr(1, host.size() - 2);
  }
  if (const auto address = IpAddress::parse(host)) {
    if (*address == session.listener.address) return true;
    const auto& own = session.identity.authorities;
    return std::any_of(own.begin(), own.end(), [&](const AddressPort& a) { return a.address == *address; });
  }
  if (session.identity.host.empty() || host.empty()) return false;
  if (same_domain(host, session.identity.host)) return true;
  std::string name = to_lower(host);
  if (name.ends_with('.')) name.pop_back();
  return name.ends_with("." + to_lower(session.identity.host));
}

std::string answer_datagram(std::string_view bytes, const CanarySession& session) {
  constexpr std::string_view kWord = "TOKEN ";
  const Time now = session.now();
  const std::string token = bytes.starts_with(kWord) ? leading_token(bytes.substr(kWord.size())) : std::string();
  const TokenState state = token.empty() ? TokenState::bad : session.keys.check(token, now);
  if (state == TokenState::bad) return {};
  Facts facts(session.keys, now);
  facts.add("", bytes.substr(0, 64));
  Arrival arrival;
  arrival.kind = CanaryKind::udp;
  arrival.token = token;
  arrival.proof = state == TokenState::valid;
  arrival.peer = session.peer;
  arrival.listener = session.listener;
  arrival.facts = facts.lines();
  if (!arrival.proof) arrival.facts.emplace_back("the token has expired");
  const bool proven = arrival.proof;
  session.arrived(std::move(arrival));
  return proven ? ("PROOF " + session.keys.proof(token)).substr(0, bytes.size()) : std::string();
}

Task<void> serve_tcp(Link& link, const CanarySession& session) {
  TcpSink sink(link, session);
  try {
    co_await sink.converse();
  } catch (const LinkError&) {
    co_return;  // gone, silent or endless
  }
}

}  // namespace ajar
