#include "tests/lab/dialog.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace ajar::lab {
namespace {

// Exim's smtp_max_synprot_errors.
constexpr unsigned kEximProtocolErrors = 3;

bool refusal(std::string_view reply) { return !reply.empty() && (reply.front() == '4' || reply.front() == '5'); }

std::pair<std::string, std::string_view> split_command(std::string_view line) {
  const std::size_t space = std::min(line.find(' '), line.size());
  std::string verb = to_lower(line.substr(0, std::min<std::size_t>(space, 16)));
  line.remove_prefix(space);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  return {std::move(verb), line};
}

bool ascii(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

}  // namespace

bool Greylist::passes(const std::string& triple, Steady::time_point now, milliseconds delay) {
  if (first_seen_.size() >= kMaxTriples && !first_seen_.contains(triple)) first_seen_.clear();
  const auto [seen, fresh] = first_seen_.try_emplace(triple, now);
  return !fresh && now - seen->second >= delay;
}

std::string Dialog::greeting() const {
  if (manners_.dialect == Dialect::exim) return fmt::format("220 {} ESMTP Exim 4.96 {}", setting_.host, setting_.date);
  return fmt::format("220 {} ESMTP Postfix", setting_.host);
}

Step Dialog::hear(std::string_view line, Steady::time_point now) {
  switch (state_) {
    case State::command:
      return command(line, now);
    case State::message:
      return message_line(line);
    case State::auth_user:
      state_ = State::auth_password;
      return finish("334 UGFzc3dvcmQ6", {});
    case State::auth_plain:
    case State::auth_password:
      return finish(answer_auth(), {});
  }
  return {};
}

void Dialog::tls_started() {
  tls_ = true;
  greeted_ = false;  // RFC 3207 4.2: the server forgets what the client said
  reset();
}

Step Dialog::command(std::string_view line, Steady::time_point now) {
  Step step;
  if (++commands_ > kMaxCommands) {
    step.next = Step::Next::hang_up;
    return finish(fmt::format("421 4.7.0 {} Error: too many commands", setting_.host), std::move(step));
  }
  const auto [verb, argument] = split_command(line);
  const bool exim = manners_.dialect == Dialect::exim;
  if (verb == "quit") {
    step.next = Step::Next::hang_up;
    return finish(exim ? fmt::format("221 {} closing connection", setting_.host) : "221 2.0.0 Bye", std::move(step));
  }
  if (verb == "ehlo" || verb == "helo") {
    if (manners_.silent_after_ehlo) step.next = Step::Next::fall_silent;
    return finish(ehlo(argument, verb == "ehlo"), std::move(step));
  }
  if (verb == "noop") return finish(exim ? "250 OK" : "250 2.0.0 Ok", std::move(step));
  if (verb == "starttls" && manners_.offers_tls) {
    std::string reply = starttls(step);
    return finish(std::move(reply), std::move(step));
  }
  if (manners_.wants_tls && !tls_) return finish("530 5.7.0 Must issue a STARTTLS command first", std::move(step));
  if (verb == "rset") {
    reset();
    return finish(exim ? "250 Reset OK" : "250 2.0.0 Ok", std::move(step));
  }
  if (verb == "mail") return finish(mail(argument), std::move(step));
  if (verb == "rcpt") return finish(rcpt(argument, now), std::move(step));
  if (verb == "data") return finish(data(), std::move(step));
  if (verb == "auth") return finish(auth(argument), std::move(step));
  if (verb == "vrfy") return finish(exim ? "252 VRFY not available" : "252 2.0.0 Cannot VRFY user", std::move(step));
  if (verb == "xclient" && manners_.offers_xclient) {
    return finish("550 5.7.0 Error: insufficient authorization", std::move(step));
  }
  return finish(unknown_command(), std::move(step));
}

std::string Dialog::unknown_command() {
  if (manners_.dialect == Dialect::exim) return syntax_error("500 unrecognized command");
  return "502 5.5.2 Error: command not recognized";
}

std::string Dialog::ehlo(std::string_view argument, bool extended) {
  const bool exim = manners_.dialect == Dialect::exim;
  if (argument.empty()) {
    const std::string_view verb = extended ? "EHLO" : "HELO";
    return exim ? syntax_error(fmt::format("501 Syntactically invalid {} argument(s)", verb))
                : fmt::format("501 Syntax: {} hostname", verb);
  }
  reset();
  greeted_ = true;
  extended_ = extended;
  helo_ = printable(argument);
  const std::string hello = exim ? fmt::format("{} Hello {} [{}]", setting_.host, helo_, setting_.peer) : setting_.host;
  if (!extended) return "250 " + hello;
  std::vector<std::string> lines = {hello, fmt::format("SIZE {}", kMaxMessage), "8BITMIME", "PIPELINING"};
  if (manners_.offers_tls && !tls_) lines.emplace_back("STARTTLS");
  if (manners_.wants_auth && (tls_ || !manners_.offers_tls)) lines.emplace_back("AUTH PLAIN LOGIN");
  if (manners_.offers_xclient) lines.emplace_back("XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
  if (exim) {
    lines.emplace_back("HELP");
  } else {
    lines.insert(lines.end(), {"ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8"});
  }
  std::string reply;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    reply += fmt::format("250{}{}{}", i + 1 < lines.size() ? '-' : ' ', lines[i], i + 1 < lines.size() ? "\n" : "");
  }
  return reply;
}

std::string Dialog::starttls(Step& step) {
  if (tls_) return "554 5.5.1 Error: TLS already active";
  step.next = Step::Next::start_tls;
  return "220 2.0.0 Ready to start TLS";
}

std::string Dialog::auth(std::string_view argument) {
  if (!manners_.wants_auth) {
    return manners_.dialect == Dialect::exim ? syntax_error("503 AUTH command used when not advertised")
                                             : "503 5.5.1 Error: authentication not enabled";
  }
  if (manners_.offers_tls && !tls_) return "538 5.7.11 Encryption required for requested authentication mechanism";
  const auto [mechanism, initial] = split_command(argument);
  if (mechanism == "plain") {
    if (!initial.empty()) return answer_auth();
    state_ = State::auth_plain;
    return "334 ";
  }
  if (mechanism == "login") {
    state_ = initial.empty() ? State::auth_user : State::auth_password;
    return initial.empty() ? "334 VXNlcm5hbWU6" : "334 UGFzc3dvcmQ6";
  }
  return "535 5.7.8 Error: authentication failed: Invalid authentication mechanism";
}

std::string Dialog::answer_auth() {
  state_ = State::command;
  return "535 5.7.8 Error: authentication failed: authentication failure";  // nobody has an account here
}

std::string Dialog::mail(std::string_view argument) {
  const bool exim = manners_.dialect == Dialect::exim;
  if (in_mail_) return exim ? syntax_error("503 sender already given") : "503 5.5.1 Error: nested MAIL command";
  const std::optional<Path> path = parse_path(argument, "FROM");
  if (!path) {
    return exim ? syntax_error(fmt::format("501 {}: malformed address", printable(argument)))
                : "501 5.5.4 Syntax: MAIL FROM:<address>";
  }
  if (manners_.wants_auth) return "530 5.7.0 Authentication required";
  if (std::string refused = judge_parameters(path->parameters); !refused.empty()) return refused;
  if (std::string refused = judge_sender(path->text); !refused.empty()) return refused;
  in_mail_ = true;
  sender_ = path->text;
  return exim ? "250 OK" : "250 2.1.0 Ok";
}

std::string Dialog::judge_parameters(const std::vector<std::string>& parameters) {
  static constexpr std::array<std::string_view, 6> kKnown = {"size", "body", "smtputf8", "ret", "envid", "auth"};
  for (const std::string& parameter : parameters) {
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    const std::string name = to_lower(std::string_view(parameter).substr(0, equals));
    if (std::ranges::find(kKnown, name) == kKnown.end()) {
      return fmt::format("555 5.5.4 Unsupported option: {}", printable(parameter));
    }
    if (name == "smtputf8") utf8_ = true;
    if (name != "size") continue;
    const std::string value = parameter.substr(std::min(equals + 1, parameter.size()));
    if (value.empty() || value.size() > 12 || value.find_first_not_of("0123456789") != std::string::npos) {
      return "501 5.5.4 Bad message size syntax";
    }
    if (std::stoull(value) > kMaxMessage) return "552 5.3.4 Message size exceeds fixed limit";
  }
  return {};
}

std::string Dialog::judge_sender(const std::string& sender) {
  if (sender.empty()) return {};
  const Mailbox box = split_mailbox(strip_source_route(sender));
  if (manners_.dialect == Dialect::exim) {
    const std::string shown = printable("<" + sender + ">");
    if (box.domain.starts_with('[')) return syntax_error(fmt::format("501 {}: domain literals not allowed", shown));
    if (box.domain.empty()) return fmt::format("501 {}: sender address must contain a domain", shown);
    return {};
  }
  if (!utf8_ && !ascii(sender)) return fmt::format("553 5.6.7 <{}>: Must declare SMTPUTF8", printable(sender));
  if (box.local.empty()) return "501 5.1.7 Bad sender address syntax";
  return {};
}

std::string Dialog::rcpt(std::string_view argument, Steady::time_point now) {
  const bool exim = manners_.dialect == Dialect::exim;
  if (!in_mail_) {
    return exim ? syntax_error("503 sender not yet given") : "503 5.5.1 Error: need MAIL command";
  }
  const std::optional<Path> path = parse_path(argument, "TO");
  if (!path) {
    return exim ? syntax_error(fmt::format("501 {}: malformed address", printable(argument)))
                : "501 5.5.4 Syntax: RCPT TO:<address>";
  }
  for (const std::string& parameter : path->parameters) {
    const std::string name = to_lower(parameter);
    if (!name.starts_with("notify=") && !name.starts_with("orcpt=")) {
      return fmt::format("555 5.5.4 Unsupported option: {}", printable(parameter));
    }
  }
  if (recipients_.size() >= kMaxRecipients) return "452 4.5.3 Error: too many recipients";
  return exim ? judge_exim_recipient(path->text) : judge_recipient(path->text, now);
}

bool Dialog::own(std::string_view domain) const {
  return domain == setting_.host || domain == "localhost" || domain == fmt::format("[{}]", setting_.address);
}

bool Dialog::known_user(std::string_view local) const {
  const std::string name = to_lower(local);
  return manners_.catch_all || name == "postmaster" || name == "abuse";
}

// As Postfix's trivial-rewrite does (allow_percent_hack, swap_bangpath, resolve_dequoted_address): what the local domain hides
// is brought to light before anything is decided.
Dialog::Destination Dialog::resolve(std::string_view text, std::string& rewritten) const {
  Mailbox box = split_mailbox(strip_source_route(text));
  for (int round = 0; round < 6; ++round) {
    if (box.domain.ends_with('.')) box.domain.pop_back();
    const std::string local = unquote(box.local);
    if (!box.domain.empty() && !own(box.domain)) {
      if (local.empty() || box.domain.find_first_of(" \"@") != std::string::npos) return Destination::malformed;
      rewritten = box.text();
      return manners_.catch_all && box.domain == setting_.canary_domain ? Destination::local : Destination::elsewhere;
    }
    if (local.find('@') != std::string::npos) {
      box = split_mailbox(local);
    } else if (const std::size_t bang = local.find('!'); bang != std::string::npos) {
      box = Mailbox{local.substr(bang + 1), to_lower(local.substr(0, bang))};
    } else if (const std::size_t percent = local.rfind('%'); percent != std::string::npos) {
      box = Mailbox{local.substr(0, percent), to_lower(local.substr(percent + 1))};
    } else {
      if (local.empty()) return Destination::malformed;
      rewritten = local + "@" + setting_.host;
      return known_user(local) ? Destination::local : Destination::unknown_user;
    }
  }
  return Destination::malformed;
}

bool Dialog::may_relay(std::string_view as_given) const {
  switch (manners_.relays) {
    case Relays::nobody:
      return false;
    case Relays::everybody:
      return true;
    case Relays::after_tls:
      return tls_;
    case Relays::local_sender: {
      // A sender without a domain gets the own one (append_at_myorigin), and with it the privilege.
      const Mailbox box = split_mailbox(sender_);
      return !sender_.empty() && (box.domain.empty() || box.domain == setting_.host);
    }
    case Relays::percent_hack: {
      const Mailbox box = split_mailbox(as_given);
      return own(box.domain) && has_unquoted(box.local, '%');
    }
  }
  return false;
}

std::string Dialog::judge_recipient(const std::string& recipient, Steady::time_point now) {
  const std::string shown = printable(recipient);
  if (manners_.blocks_client) {
    return fmt::format(
        "554 5.7.1 Service unavailable; Client host [{0}] blocked using bl.example; see https://bl.example/query/{0}",
        setting_.peer);
  }
  if (!utf8_ && !ascii(recipient)) return fmt::format("553 5.6.7 <{}>: Must declare SMTPUTF8", shown);
  std::string rewritten;
  const Destination destination = resolve(recipient, rewritten);
  if (destination == Destination::malformed) return "501 5.1.3 Bad recipient address syntax";
  if (manners_.greylists && setting_.greylist != nullptr) {
    const std::string triple = fmt::format("{} {} <{}> <{}>", setting_.address, setting_.peer, sender_, recipient);
    if (!setting_.greylist->passes(triple, now, setting_.pace.greylist_delay)) {
      return fmt::format("450 4.2.0 <{}>: Recipient address rejected: Greylisted, please try again later", shown);
    }
  }
  if (destination == Destination::unknown_user) {
    return fmt::format("550 5.1.1 <{}>: Recipient address rejected: User unknown in local recipient table", shown);
  }
  if (destination == Destination::elsewhere) {
    if (!may_relay(recipient)) {
      return fmt::format("{} <{}>: Relay access denied", manners_.defers_relay ? "454 4.7.1" : "554 5.7.1", shown);
    }
    recipients_.push_back(std::move(rewritten));
  } else {
    recipients_.emplace_back();  // local: taken, and thrown away at the end
  }
  return "250 2.1.5 Ok";
}

// Exim 4.96 as Debian configures it: strict syntax first, then acl_check_rcpt. Nothing is rewritten.
std::string Dialog::judge_exim_recipient(const std::string& recipient) {
  const std::string shown = printable("<" + recipient + ">");
  const std::string_view stripped = strip_source_route(recipient);
  if (stripped.empty() || !ascii(stripped)) return syntax_error(fmt::format("501 {}: malformed address", shown));
  const Mailbox box = split_mailbox(stripped);
  if (has_unquoted(box.local, '@')) {
    return syntax_error(
        fmt::format("501 {}: malformed address: @{} may not follow {}", shown, printable(box.domain), printable(box.local)));
  }
  if (box.domain.starts_with('[')) return syntax_error(fmt::format("501 {}: domain literals not allowed", shown));
  if (box.domain.ends_with('.') || box.local.empty()) return syntax_error(fmt::format("501 {}: malformed address", shown));
  if (box.domain.empty()) {
    if (to_lower(box.local) != "postmaster") return fmt::format("501 {}: recipient address must contain a domain", shown);
    recipients_.emplace_back();
    return "250 Accepted";
  }
  if (unquote(box.local).find_first_of("@%!/|") != std::string::npos) return "550 Restricted characters in address";
  if (!own(box.domain)) {
    if (!may_relay(recipient)) return "550 relay not permitted";
    recipients_.push_back(box.text());
    return "250 Accepted";
  }
  if (!known_user(box.local)) return "550 Unrouteable address";
  recipients_.emplace_back();
  return "250 Accepted";
}

std::string Dialog::data() {
  const bool exim = manners_.dialect == Dialect::exim;
  if (!in_mail_) return exim ? syntax_error("503 sender not yet given") : "503 5.5.1 Error: need RCPT command";
  if (recipients_.empty()) {
    return exim ? syntax_error("503 valid RCPT command must precede DATA") : "554 5.5.1 Error: no valid recipients";
  }
  state_ = State::message;
  return exim ? "354 Enter message, ending with \".\" on a line by itself" : "354 End data with <CR><LF>.<CR><LF>";
}

Step Dialog::message_line(std::string_view line) {
  if (line == ".") return end_of_message();
  if (line.starts_with('.')) line.remove_prefix(1);  // RFC 5321 4.5.2
  if (text_.size() + line.size() + 1 > kMaxMessage) {
    too_big_ = true;
  } else {
    text_.append(line).push_back('\n');
  }
  return {};
}

std::string Dialog::received(const std::string& recipient, const std::string& id) const {
  return fmt::format("Received: from {} (unknown [{}])\n\tby {} ({}) with {} id {}\n\tfor <{}>; {}\n",
                     helo_.empty() ? "unknown" : helo_, setting_.peer, setting_.host,
                     manners_.dialect == Dialect::exim ? "Exim 4.96" : "Postfix",
                     extended_ ? (tls_ ? "ESMTPS" : "ESMTP") : "SMTP", id, printable(recipient), setting_.date);
}

Step Dialog::end_of_message() {
  Step step;
  state_ = State::command;
  const std::string id = fmt::format("{}{:X}", setting_.visit, ++messages_);
  std::string reply = manners_.dialect == Dialect::exim ? "250 OK id=" + id : "250 2.0.0 Ok: queued as " + id;
  if (too_big_) {
    reply = "552 5.3.4 Error: message file too big";
  } else if (manners_.fate == Fate::refuse) {
    reply = "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied";
  } else if (manners_.fate == Fate::deliver) {
    std::string sender = sender_;
    if (!sender.empty() && split_mailbox(sender).domain.empty()) sender += "@" + setting_.host;
    for (std::string& recipient : recipients_) {
      if (recipient.empty()) continue;
      Message message{id, setting_.address, setting_.host, sender, recipient, received(recipient, id) + text_, utf8_};
      step.messages.push_back(std::move(message));
    }
  }
  reset();
  return finish(std::move(reply), std::move(step));
}

// Exim's synprot_error(): the one past the limit is answered in two lines, and then the line is cut.
std::string Dialog::syntax_error(std::string text) {
  if (++protocol_errors_ <= kEximProtocolErrors) return text;
  const std::string code = text.substr(0, 3);
  text[3] = '-';
  return text + "\n" + code + " Too many syntax or protocol errors";
}

void Dialog::reset() {
  in_mail_ = utf8_ = too_big_ = false;
  sender_.clear();
  recipients_.clear();
  text_.clear();
}

Step Dialog::finish(std::string reply, Step step) {
  step.delay = manners_.reply_delay;
  if (manners_.dialect == Dialect::exim && protocol_errors_ > kEximProtocolErrors) step.next = Step::Next::hang_up;
  if (refusal(reply)) ++errors_;
  if (manners_.limits_errors) {
    if (errors_ > setting_.pace.soft_error_limit) step.delay += setting_.pace.error_delay;
    if (errors_ >= setting_.pace.hard_error_limit) {
      // Postfix says this as the next reply, without waiting for a command.
      reply += fmt::format("\n421 4.7.0 {} Error: too many errors", setting_.host);
      step.next = Step::Next::hang_up;
    }
  }
  step.reply = std::move(reply);
  return step;
}

}  // namespace ajar::lab
