// Mail servers for the checks that are off by default: where they see the end of a message, what becomes of mail for nobody,
// and whose password they take.
#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

using namespace std::string_view_literals;

enum class Users : std::uint8_t {
  known,    // 550 5.1.1 to all but postmaster and abuse
  bounced,  // everybody is taken, and who does not exist is written back to
  dropped,  // everybody is taken, and that is all
  put_off,  // 450 to all but postmaster and abuse
};
enum class Logins : std::uint8_t { none, refused, all, gssapi };

struct Ways {
  std::span<const std::string_view> ends{};  // beside CRLF dot CRLF
  Users users = Users::known;
  Logins logins = Logins::none;
  bool relays = false;               // for strangers
  bool relays_for_users = false;     // who has logged in
  bool hangs_up_at_bare_lf = false;  // 521
};

constexpr std::string_view kTrueEnd = "\r\n.\r\n";
constexpr std::array kBareLf = {"\n.\n"sv, "\n.\r\n"sv};  // in whatever stands before the LF
constexpr std::array kNul = {"\r\n\0.\r\n"sv};

// One conversation. Pure: bytes in, bytes and messages out.
class Server {
 public:
  static constexpr std::size_t kMaxHeld = 100000;
  Server(const Ways& ways, Setting setting) : ways_(ways), setting_(std::move(setting)) {}

  std::string greeting() const { return fmt::format("220 {} ESMTP Postfix\r\n", setting_.host); }
  // What it says to these bytes, and to what was held back of those before.
  std::string hear(std::string_view bytes) {
    held_ += bytes;
    std::string said;
    while (!bye_ && held_.size() <= kMaxHeld && (in_data_ ? end_message(said) : command(said))) {
    }
    bye_ = bye_ || held_.size() > kMaxHeld;
    return said;
  }
  bool bye() const { return bye_; }
  std::vector<Message> take_messages() { return std::exchange(messages_, {}); }

 private:
  bool own(std::string_view domain) const { return domain == setting_.host; }

  // One line, where it is whole.
  bool command(std::string& said) {
    const std::size_t end = held_.find('\n');
    if (end == std::string::npos) return false;
    std::string line = held_.substr(0, end);
    held_.erase(0, end + 1);
    if (line.ends_with('\r')) line.pop_back();
    said += answer(line) + "\r\n";
    return true;
  }

  std::string answer(const std::string& line) {
    const std::string verb = to_lower(line.substr(0, line.find_first_of(" :")));
    if (verb == "ehlo") return ehlo();
    if (verb == "mail") return mail(line);
    if (verb == "rcpt") return rcpt(line);
    if (verb == "auth") return login();
    if (verb == "data") {
      if (recipients_.empty()) return "554 5.5.1 Error: no valid recipients";
      in_data_ = true;
      held_.insert(0, "\r\n");  // the line end before it: a dot may stand in the first line
      return "354 End data with <CR><LF>.<CR><LF>";
    }
    if (verb == "quit") {
      bye_ = true;
      return "221 2.0.0 Bye";
    }
    if (verb == "rset") recipients_.clear();
    return verb == "rset" || verb == "noop" ? "250 2.0.0 Ok" : "500 5.5.2 Error: command not recognized";
  }

  std::string ehlo() const {
    std::string reply = fmt::format("250-{}\r\n", setting_.host);
    if (ways_.logins == Logins::gssapi) reply += "250-AUTH GSSAPI NTLM\r\n";
    if (ways_.logins == Logins::refused || ways_.logins == Logins::all) reply += "250-AUTH PLAIN LOGIN\r\n";
    return reply + "250 PIPELINING";
  }

  std::string login() {
    if (ways_.logins == Logins::none) return "503 5.5.1 Error: authentication not enabled";
    logged_in_ = ways_.logins == Logins::all;
    return logged_in_ ? "235 2.7.0 Authentication successful" : "535 5.7.8 Error: authentication failed";
  }

  std::string mail(const std::string& line) {
    const auto path = parse_path(line.substr(std::min<std::size_t>(line.size(), 5)), "FROM");
    if (!path) return "501 5.5.4 Syntax: MAIL FROM:<address>";
    sender_ = path->text;
    recipients_.clear();
    return "250 2.1.0 Ok";
  }

  std::string rcpt(const std::string& line) {
    const auto path = parse_path(line.substr(std::min<std::size_t>(line.size(), 5)), "TO");
    if (!path) return "501 5.5.4 Syntax: RCPT TO:<address>";
    const Mailbox box = split_mailbox(path->text);
    const std::string shown = printable(path->text);
    if (!own(box.domain) && !box.domain.empty()) {
      if (!ways_.relays && !(ways_.relays_for_users && logged_in_))
        return fmt::format("554 5.7.1 <{}>: Relay access denied", shown);
    } else if (!known(box.local) && ways_.users == Users::known) {
      return fmt::format("550 5.1.1 <{}>: Recipient address rejected: User unknown in local recipient table", shown);
    } else if (!known(box.local) && ways_.users == Users::put_off) {
      return fmt::format("450 4.1.1 <{}>: Recipient address rejected: User unknown in local recipient table", shown);
    }
    recipients_.push_back(path->text);
    return "250 2.1.5 Ok";
  }
  static bool known(std::string_view local) {
    const std::string name = to_lower(local);
    return name == "postmaster" || name == "abuse";
  }

  // The message, where one of its ends is here.
  bool end_message(std::string& said) {
    std::size_t at = held_.find(kTrueEnd), length = kTrueEnd.size();
    for (const std::string_view end : ways_.ends) {
      const std::size_t found = held_.find(end);
      if (found < at) at = found, length = end.size();
    }
    if (ways_.hangs_up_at_bare_lf && has_bare_lf()) {
      bye_ = true;
      said += fmt::format("521 5.5.2 {} Error: bare <LF> received\r\n", setting_.host);
      return false;
    }
    if (at == std::string::npos) return false;
    const std::string text = held_.substr(std::min<std::size_t>(2, at), at - std::min<std::size_t>(2, at));
    held_.erase(0, at + length);
    in_data_ = false;
    said += fmt::format("250 2.0.0 Ok: queued as {}\r\n", take(text));
    return true;
  }
  bool has_bare_lf() const {
    for (std::size_t at = held_.find('\n'); at != std::string::npos; at = held_.find('\n', at + 1)) {
      if (at == 0 || held_[at - 1] != '\r') return true;
    }
    return false;
  }

  std::string take(std::string text) {
    std::erase(text, '\r');
    const std::string id = fmt::format("{}{:X}", setting_.visit, ++queued_);
    for (const std::string& recipient : std::exchange(recipients_, {})) {
      const Mailbox box = split_mailbox(recipient);
      const bool here = own(box.domain) || box.domain.empty();
      Message message{id, setting_.address, setting_.host, sender_, recipient, text + "\n"};
      if (!here) {
        messages_.push_back(std::move(message));
      } else if (!known(box.local) && ways_.users == Users::bounced && !sender_.empty()) {
        message.sender.clear();
        message.recipient = sender_;
        message.text =
            fmt::format("From: MAILER-DAEMON@{}\nTo: <{}>\nSubject: Undelivered Mail Returned to Sender\n\nUnknown user.\n",
                        setting_.host, sender_);
        messages_.push_back(std::move(message));
      }
    }
    return id;
  }

  const Ways& ways_;
  Setting setting_;
  std::string held_;
  std::string sender_;
  std::vector<std::string> recipients_;
  std::vector<Message> messages_;
  unsigned queued_ = 0;
  bool in_data_ = false, logged_in_ = false, bye_ = false;
};

template <const Ways& ways>
Task<void> serve(Link& link, Setting setting, World& world) {
  Server server(ways, std::move(setting));
  std::string said = server.greeting();
  while (true) {
    if (!said.empty()) co_await link.say_bytes(std::move(said));
    for (Message& message : server.take_messages()) world.carry(std::move(message));
    if (server.bye()) co_return;
    const std::string bytes = co_await link.hear_some();
    if (bytes.empty()) co_return;
    said = server.hear(bytes);
  }
}

constexpr Ways kStrict{};
constexpr Ways kEndsAtBareLf{.ends = kBareLf};
constexpr Ways kSmuggles{.ends = kBareLf, .relays = true};
constexpr Ways kEndsAtNul{.ends = kNul};
constexpr Ways kHangsUp{.hangs_up_at_bare_lf = true};
constexpr Ways kBounces{.users = Users::bounced};
constexpr Ways kDrops{.users = Users::dropped};
constexpr Ways kPutsOff{.users = Users::put_off};
constexpr Ways kAnyLogin{.logins = Logins::all, .relays_for_users = true};
constexpr Ways kAnyLoginNoRelay{.logins = Logins::all};
constexpr Ways kNoLogin{.logins = Logins::refused};
constexpr Ways kGssapi{.logins = Logins::gssapi};

template <const Ways& ways>
constexpr Personality server(std::string_view name, std::string_view imitates, Expectations expect, std::uint16_t port = 2525) {
  return {name, imitates, expect, Kind::other, {}, port, port == 2465, {}, serve<ways>};
}
constexpr Expectations smuggling(std::string_view verdict, std::string_view reason) {
  return {{"smtp_smuggling", verdict, reason}};
}
constexpr Expectations bounce(std::string_view verdict, std::string_view reason) { return {{"backscatter", verdict, reason}}; }
constexpr Expectations login(std::string_view verdict, std::string_view reason) { return {{"smtp_auth_any", verdict, reason}}; }

constexpr Personality kPersonalities[] = {
    server<kStrict>("strict_mail", "Postfix 3.7, smtpd_forbid_bare_newline = normalize",
                    {{"smtp_smuggling", "closed", "refused"},
                     {"backscatter", "closed", "refused"},
                     {"smtp_auth_any", "closed", "refused"}}),
    server<kEndsAtBareLf>("ends_at_bare_lf", "Postfix 3.7 as installed, smtpd_forbid_bare_newline = no",
                          smuggling("accepted", "no_proof")),
    server<kSmuggles>("smuggles", "Postfix 3.7 as installed, mynetworks = 0.0.0.0/0", smuggling("open", "message_delivered")),
    server<kEndsAtNul>("ends_at_nul", "A server that passes over NUL (Cisco Secure Email before 2024)",
                       smuggling("accepted", "no_proof")),
    server<kHangsUp>("hangs_up_at_bare_lf", "Postfix 3.9, smtpd_forbid_bare_newline = reject with code 521",
                     smuggling("closed", "refused")),
    server<kBounces>("bounces", "Postfix 3.7, local_recipient_maps empty", bounce("open", "message_delivered")),
    server<kDrops>("drops_unknown", "A catch-all mailbox", bounce("accepted", "no_proof")),
    server<kPutsOff>("puts_off_unknown", "Postfix 3.7, unknown_local_recipient_reject_code = 450",
                     bounce("unclear", "greylisted")),
    server<kAnyLogin>("any_login", "Postfix 3.7 with a saslauthd that says OK to everybody",
                      login("open", "message_delivered")),
    server<kAnyLoginNoRelay>("any_login_no_relay", "The same without permit_sasl_authenticated", login("accepted", "no_proof")),
    server<kNoLogin>("login_refused", "Postfix 3.7 with SASL, TLS from the first byte", login("closed", "refused"), 2465),
    server<kGssapi>("login_by_gssapi", "Exchange, which offers GSSAPI and NTLM", login("unclear", "refused")),
};

}  // namespace

std::span<const Personality> mail_opt_in_personalities() { return kPersonalities; }

}  // namespace ajar::lab
