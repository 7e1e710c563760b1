#include "agent/canary_smtp.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace ajar {
namespace {

constexpr std::size_t kMaxCommandLine = 2048;  // RFC 5321 4.5.3.1.4 asks for 512 and room for extensions
constexpr std::size_t kMaxHeaderLine = 998;
constexpr std::size_t kMaxHttpLines = 40;

enum class Address : std::uint8_t {
  recipient,      // TOKEN: what arrives was carried
  probe_sender,   // probe-TOKEN: who writes to it answers a sender, which proves nothing
  bounce_sender,  // bounce-TOKEN: a bounce to it proves that the server bounces
};

struct Recipient {
  std::string token;  // empty: postmaster or abuse
  Address address = Address::recipient;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// "GET / HTTP/1.0": a proxy was told to connect to a mail port.
bool is_http(std::string_view line) {
  const auto space = line.find(' ');
  return space != std::string_view::npos && line.find(" HTTP/", space) != std::string_view::npos;
}

// The SIZE= parameter of MAIL (RFC 1870), 0 when there is none.
std::uint64_t declared_size(const std::string& parameters) {
  const std::string lower = to_lower(parameters);
  const auto at = lower.find("size=");
  if (at == std::string::npos || (at > 0 && lower[at - 1] != ' ')) return 0;
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(lower.data() + at + 5, lower.data() + lower.size(), size);
  static_cast<void>(end);
  return error == std::errc::result_out_of_range ? UINT64_MAX : size;
}

// Which headers say where a message came from.
bool worth_keeping(const std::string& header) {
  const std::string lower = to_lower(header.substr(0, 24));
  for (const std::string_view name : {"received:", "via:", "message-id:", "return-path:", "x-originating-ip:"}) {
    if (lower.starts_with(name)) return true;
  }
  return false;
}

class SmtpSink {
 public:
  SmtpSink(Link& link, const CanarySession& session)
      : link_(link), session_(session), reader_(link, kMaxCommandLine), now_(session.now()), facts_(session.keys, now_) {}

  Task<void> converse();
  // What must be said of a conversation that is over: recipients that were accepted and got no message.
  void over();

 private:
  enum class Next { go_on, close, data, tls };

  Next answer(const std::string& line);
  Next greet(const std::string& argument, bool extended);
  Next mail(const std::string& argument);
  Next rcpt(const std::string& argument);
  Next data();
  Next starttls(const std::string& argument);
  Next good(std::string reply);
  Next bad(std::string reply);
  std::optional<Recipient> recipient(const MailPath& path);

  Task<void> send_reply();
  Task<bool> next_line(LineReader::Line& line);
  Task<void> receive_message();
  Task<void> hear_http_out(std::string first);
  Task<bool> secure();

  void reset();
  void arrive(const std::string& token, bool proof, std::string_view note, bool message = false);
  void arrive_whole(const Recipient& to);

  Link& link_;
  const CanarySession& session_;
  LineReader reader_;
  Time now_;
  Facts facts_;
  std::string reply_;
  std::string hello_;
  std::optional<std::string> sender_;
  std::vector<std::string> envelope_;  // RCPT lines
  std::vector<Recipient> recipients_;
  std::vector<std::string> headers_;  // of the message
  unsigned commands_ = 0, bad_ = 0;
};

SmtpSink::Next SmtpSink::good(std::string reply) {
  reply_ = std::move(reply);
  return Next::go_on;
}

SmtpSink::Next SmtpSink::bad(std::string reply) {
  reply_ = std::move(reply);
  if (++bad_ < kSmtpMaxBad) return Next::go_on;
  reply_ = fmt::format("421 4.7.0 {} too many errors", session_.identity.mail_domain);
  return Next::close;
}

void SmtpSink::reset() {
  over();
  sender_.reset();
  envelope_.clear();
  recipients_.clear();
  headers_.clear();
}

void SmtpSink::over() {
  for (const Recipient& recipient : recipients_) {
    if (!recipient.token.empty()) arrive(recipient.token, false, "recipient asked about, no whole message followed");
  }
  recipients_.clear();
}

void SmtpSink::arrive(const std::string& token, bool proof, std::string_view note, bool message) {
  Facts facts(session_.keys, now_);
  facts.add("", note);
  if (!hello_.empty()) facts.add("EHLO ", hello_);
  if (link_.tls()) facts.add("", "STARTTLS");
  if (sender_) facts.add("MAIL FROM:", *sender_);
  for (const std::string& line : envelope_) facts.add("RCPT TO:", line);
  for (const std::string& header : headers_) facts.add("", header);
  Arrival arrival;
  arrival.kind = CanaryKind::smtp;
  arrival.token = token;
  arrival.message = message;
  arrival.proof = proof;
  arrival.peer = session_.peer;
  arrival.listener = session_.listener;
  arrival.facts = facts.lines();
  session_.arrived(std::move(arrival));
}

// A whole message. A bounce has the null sender (RFC 5321 4.5.5): nobody else can have meant to write to such an address.
void SmtpSink::arrive_whole(const Recipient& to) {
  const MailPath sender = parse_mail_path(*sender_);
  const bool bounce = sender.local.empty() && sender.domain.empty();
  switch (to.address) {
    case Address::recipient:
      return arrive(to.token, true, "message", true);
    case Address::probe_sender:
      return arrive(to.token, false, "message to our probe sender", true);
    case Address::bounce_sender:
      return arrive(to.token, bounce, bounce ? "bounce" : "message to our bounce address that is no bounce", true);
  }
}

SmtpSink::Next SmtpSink::greet(const std::string& argument, bool extended) {
  const std::string name(trim(argument));
  if (name.empty()) return bad("501 5.5.4 say your name");
  reset();
  hello_ = name;
  const std::string& own = session_.identity.mail_domain;
  const std::string token = leading_token(name);
  std::string first = own;
  if (token.size() == name.size() && session_.keys.check(token, now_) == TokenState::valid) {
    arrive(token, true, "token in EHLO");
    first += " proof " + session_.keys.proof(token);
  }
  if (!extended) return good("250 " + first);
  std::string reply = "250-" + first;
  for (const std::string_view word : {"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}) {
    reply += fmt::format("\r\n250-{}", word);
  }
  if (session_.starttls && !link_.tls()) reply += "\r\n250-STARTTLS";
  return good(reply + fmt::format("\r\n250 SIZE {}", kSmtpMaxMessage));
}

SmtpSink::Next SmtpSink::mail(const std::string& argument) {
  if (sender_) return bad("503 5.5.1 one sender at a time");
  const MailPath path = parse_mail_path(argument);
  if (!path.valid) return bad("501 5.5.4 MAIL FROM:<address>");
  if (declared_size(path.parameters) > kSmtpMaxMessage) return good("552 5.3.4 larger than this machine reads");
  sender_ = argument;
  return good("250 2.1.0 Ok");
}

// Whom it takes mail for. Everything else, a valid token under another's domain too, is a stranger's mail: no relaying here.
std::optional<Recipient> SmtpSink::recipient(const MailPath& path) {
  const bool own = same_domain(path.domain, session_.identity.mail_domain);
  const std::string local = to_lower(path.local);
  if ((own && (local == "postmaster" || local == "abuse")) || (path.domain.empty() && local == "postmaster"))
    return Recipient{};
  std::string_view rest = local;
  Address address = Address::recipient;
  for (const auto& [prefix, sender] :
       {std::pair("probe-", Address::probe_sender), std::pair("bounce-", Address::bounce_sender)}) {
    if (!local.starts_with(prefix)) continue;
    rest.remove_prefix(std::string_view(prefix).size());
    address = sender;
    break;
  }
  const std::string token = leading_token(rest);
  if (token.empty()) return std::nullopt;
  const TokenState state = session_.keys.check(token, now_);
  if (state == TokenState::bad) return std::nullopt;
  if (!own) {
    arrive(token, false, "recipient in a domain that is not ours");
    return std::nullopt;
  }
  const bool exact = rest.size() == token.size() || (address == Address::recipient && rest[token.size()] == '+');
  if (!exact) return std::nullopt;
  if (state == TokenState::expired) {
    arrive(token, false, "the token has expired");
    return std::nullopt;
  }
  return Recipient{token, address};
}

SmtpSink::Next SmtpSink::rcpt(const std::string& argument) {
  if (!sender_) return bad("503 5.5.1 MAIL first");
  const MailPath path = parse_mail_path(argument);
  if (!path.valid || path.local.empty()) return bad("501 5.5.4 RCPT TO:<address>");
  if (recipients_.size() >= kSmtpMaxRecipients) return bad("452 4.5.3 too many recipients");
  envelope_.push_back(argument);
  const std::optional<Recipient> wanted = recipient(path);
  if (!wanted) {
    envelope_.pop_back();
    return bad("550 5.7.1 not here: this machine takes its own probes only, and relays nothing");
  }
  recipients_.push_back(*wanted);
  return good("250 2.1.5 Ok");
}

SmtpSink::Next SmtpSink::data() {
  if (!sender_) return bad("503 5.5.1 MAIL first");
  if (recipients_.empty()) return bad("554 5.5.1 no valid recipients");
  const bool token = std::any_of(recipients_.begin(), recipients_.end(), [](const Recipient& r) { return !r.token.empty(); });
  if (!token)
    return good(
        fmt::format("554 5.7.1 this machine keeps no mail; write to {}", escape(readable_contact(session_.identity), 200)));
  reply_ = "354 end with <CRLF>.<CRLF>";
  return Next::data;
}

SmtpSink::Next SmtpSink::starttls(const std::string& argument) {
  if (!session_.starttls || link_.tls()) return bad("502 5.5.1 not now");
  if (!trim(argument).empty()) return bad("501 5.5.4 no parameters");
  // RFC 3207 4.2 and CVE-2011-0411: what was sent before the handshake must not be taken for what comes after it.
  if (reader_.pending() || link_.unread()) {
    reply_ = "554 5.5.0 bytes after STARTTLS";
    return Next::close;
  }
  reply_ = "220 2.0.0 go ahead";
  return Next::tls;
}

SmtpSink::Next SmtpSink::answer(const std::string& line) {
  const auto space = line.find_first_of(" \t");
  const std::string verb = to_lower(line.substr(0, space));
  const std::string argument = space == std::string::npos ? "" : std::string(trim(std::string_view(line).substr(space)));
  const auto after = [&](std::string_view word) -> std::optional<std::string> {
    if (!to_lower(argument).starts_with(word)) return std::nullopt;
    return std::string(trim(std::string_view(argument).substr(word.size())));
  };
  if (verb == "ehlo" || verb == "helo") return greet(argument, verb == "ehlo");
  if (verb == "mail") {
    const auto path = after("from:");
    return path ? mail(*path) : bad("501 5.5.4 MAIL FROM:<address>");
  }
  if (verb == "rcpt") {
    const auto path = after("to:");
    return path ? rcpt(*path) : bad("501 5.5.4 RCPT TO:<address>");
  }
  if (verb == "data") return data();
  if (verb == "starttls") return starttls(argument);
  if (verb == "rset") {
    reset();
    return good("250 2.0.0 Ok");
  }
  if (verb == "noop") return good("250 2.0.0 Ok");
  if (verb == "vrfy") return good("252 2.5.1 send some mail and see");  // RFC 5321 3.5.3
  if (verb == "help")
    return good(fmt::format("214 2.0.0 ajar canary; contact {}", escape(readable_contact(session_.identity), 200)));
  if (verb == "quit") {
    reply_ = fmt::format("221 2.0.0 {} bye", session_.identity.mail_domain);
    return Next::close;
  }
  return bad("500 5.5.2 unknown command");
}

Task<void> SmtpSink::send_reply() {
  std::string bytes = std::exchange(reply_, {}) + "\r\n";
  co_await link_.say_bytes(std::move(bytes));
}

Task<bool> SmtpSink::next_line(LineReader::Line& line) {
  while (!reader_.take(line)) {
    const bool more = co_await reader_.fill();
    if (!more) co_return false;
  }
  co_return true;
}

// RFC 5321 4.1.1.4. The end is a dot alone between two CRLFs, and nothing else (SMTP smuggling).
Task<void> SmtpSink::receive_message() {
  LineReader::Line line;
  std::size_t size = 0;
  bool in_headers = true, after_crlf = true, bare_lf = false;
  for (;;) {
    while (!reader_.take(line)) {
      const bool more = co_await reader_.fill();
      if (!more) throw LinkError(Reason::hung_up, "hung up inside DATA");
    }
    if (line.text == "." && line.crlf && after_crlf) break;
    after_crlf = line.crlf;
    if (!line.crlf) bare_lf = true;
    size += line.text.size() + line.cut + 2;
    if (line.text.empty()) in_headers = false;
    if (!in_headers) continue;
    const bool folded = line.text.front() == ' ' || line.text.front() == '\t';
    if (folded && !headers_.empty() && headers_.back().size() < kMaxHeaderLine) {
      headers_.back() += " " + std::string(trim(line.text));
    } else if (!folded && headers_.size() < Facts::kMax) {
      headers_.push_back(line.text.substr(0, kMaxHeaderLine));
    }
  }
  std::erase_if(headers_, [](const std::string& header) { return !worth_keeping(header); });
  if (bare_lf) headers_.insert(headers_.begin(), "the message has bare LF line ends");
  const bool large = size > kSmtpMaxMessage;
  for (const Recipient& to : recipients_) {
    if (to.token.empty()) continue;
    arrive_whole(to);
  }
  recipients_.clear();
  reset();
  reply_ = large ? "552 5.3.4 larger than this machine reads" : "250 2.0.0 Seen, and dropped: it was a probe";
}

// A proxy was told to connect here and to say HTTP. What it says may hold a token: recorded, never answered with a proof.
Task<void> SmtpSink::hear_http_out(std::string first) {
  reply_ = fmt::format("500 5.5.2 {} speaks SMTP", session_.identity.mail_domain);
  co_await send_reply();
  LineReader::Line line;
  line.text = std::move(first);
  std::string token;
  Facts facts(session_.keys, now_);
  facts.add("", "HTTP spoken to the SMTP port");
  for (std::size_t count = 0; count < kMaxHttpLines; ++count) {
    facts.add("", line.text);
    for (const std::string_view before : {"/", "token="}) {
      for (std::size_t at = line.text.find(before); at != std::string::npos && token.empty();
           at = line.text.find(before, at + 1)) {
        const std::string found = leading_token(std::string_view(line.text).substr(at + before.size()));
        if (!found.empty() && session_.keys.check(found, now_) != TokenState::bad) token = found;
      }
    }
    if (!token.empty()) break;
    const bool more = co_await next_line(line);
    if (!more) {
      line.text = reader_.take_partial();
      if (line.text.empty()) break;
    }
  }
  if (token.empty()) co_return;
  Arrival arrival;
  arrival.kind = CanaryKind::smtp;
  arrival.token = token;
  arrival.peer = session_.peer;
  arrival.listener = session_.listener;
  arrival.facts = facts.lines();
  session_.arrived(std::move(arrival));
}

Task<bool> SmtpSink::secure() {
  co_await link_.start_tls();
  hello_.clear();  // RFC 3207 4.2: forget what was said in clear text
  reset();
  co_return true;
}

Task<void> SmtpSink::converse() {
  reply_ = fmt::format("220 {} ESMTP ajar canary", session_.identity.mail_domain);
  co_await send_reply();
  LineReader::Line line;
  for (;;) {
    const bool more = co_await next_line(line);
    if (!more) co_return;
    now_ = session_.now();
    if (commands_ == 0 && is_http(line.text)) {
      co_await hear_http_out(std::move(line.text));
      co_return;
    }
    Next next = Next::go_on;
    if (++commands_ > kSmtpMaxCommands) {
      reply_ = fmt::format("421 4.7.0 {} too many commands", session_.identity.mail_domain);
      next = Next::close;
    } else {
      next = line.cut > 0 ? bad("500 5.5.2 line too long") : answer(line.text);
    }
    co_await send_reply();
    if (next == Next::close) co_return;
    if (next == Next::tls) co_await secure();
    if (next == Next::data) {
      co_await receive_message();
      co_await send_reply();
    }
  }
}

}  // namespace

MailPath parse_mail_path(std::string_view text) {
  MailPath path;
  text = trim(text);
  const bool brackets = text.starts_with('<');
  if (brackets) text.remove_prefix(1);
  if (brackets && text.starts_with('@')) {  // source route (RFC 5321 appendix C): the mailbox is what follows
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return path;
    text.remove_prefix(colon + 1);
  }
  bool quoted = false, in_domain = false;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\' && i + 1 < text.size()) {
        path.local += text[++i];
      } else if (c == '"') {
        quoted = false;
      } else {
        path.local += c;
      }
      continue;
    }
    if (brackets ? c == '>' : c == ' ') break;
    if (c == '"' && !in_domain) {
      quoted = true;
    } else if (c == '@') {
      if (in_domain) path.local += "@" + path.domain;  // the last one divides
      path.domain.clear();
      in_domain = true;
    } else {
      (in_domain ? path.domain : path.local) += c;
    }
  }
  if (quoted || (brackets && i == text.size())) return path;
  path.parameters = std::string(trim(text.substr(std::min(text.size(), i + (brackets ? 1U : 0U)))));
  path.valid = true;
  return path;
}

Task<void> serve_smtp(Link& link, const CanarySession& session) {
  SmtpSink sink(link, session);
  bool silent = false;
  try {
    co_await sink.converse();
  } catch (const LinkError& error) {
    silent = error.reason() == Reason::timeout;
  }
  sink.over();
  if (!silent) co_return;
  try {
    std::string last = "421 4.4.2 " + session.identity.mail_domain + " closing the connection\r\n";
    co_await link.say_bytes(std::move(last));
  } catch (const LinkError&) {
    co_return;  // gone
  }
}

}  // namespace ajar
