// One SMTP conversation of a simulated server, as a value: a line in, a reply out. Pure: no socket, no clock of its own, no
// sleep. What the server is like stands in Manners, as data; the personalities are a table of those (personality.cc).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/lab/mailbox.h"

namespace ajar::lab {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

// For whom the server relays.
enum class Relays : std::uint8_t {
  nobody,        // a stranger's mail stays here
  everybody,     // mynetworks = 0.0.0.0/0
  local_sender,  // check_sender_access own.domain OK
  percent_hack,  // a final destination that rewrites u%other@own and does not look again
  after_tls,     // a second policy behind STARTTLS
};

// What becomes of a message that was taken.
enum class Fate : std::uint8_t { deliver, discard, refuse };

enum class Dialect : std::uint8_t { postfix, exim };

struct Manners {
  Dialect dialect = Dialect::postfix;
  Relays relays = Relays::nobody;
  Fate fate = Fate::deliver;
  bool defers_relay = false;   // Postfix: 454 4.7.1 (defer_unauth_destination) instead of 554 5.7.1
  bool greylists = false;      // 450 4.2.0 at the first sight of client, sender and recipient
  bool catch_all = false;      // the canary's domain and every local part of its own are local
  bool blocks_client = false;  // 554 5.7.1 … blocked using …, to every recipient
  bool offers_tls = false;     // STARTTLS
  bool wants_tls = false;      // 530 5.7.0 Must issue a STARTTLS command first
  bool wants_auth = false;     // 530 5.7.0 Authentication required; AUTH offered over TLS
  bool offers_xclient = false;
  bool silent_after_ehlo = false;
  bool limits_errors = false;  // Postfix smtpd_soft_error_limit and smtpd_hard_error_limit
  milliseconds reply_delay{0};
};

// Times and limits that a test or a demonstration may shorten.
struct Pace {
  milliseconds greylist_delay{2000};  // a retry before this is put off again
  milliseconds error_delay{1000};     // smtpd_error_sleep_time
  unsigned soft_error_limit = 10;
  unsigned hard_error_limit = 20;
  milliseconds tarpit_delay{200};
  milliseconds banner_interval{50};  // between lines of the endless banner
  milliseconds byte_interval{1000};  // between bytes of slow_byte
  milliseconds proxy_delay{300};     // before an answer of proxy_slow
};

// Who was here before: (client, sender, recipient) -> first sight. Bounded; when full it forgets all.
class Greylist {
 public:
  static constexpr std::size_t kMaxTriples = 20000;
  // True when the triple was first seen at least `delay` ago.
  bool passes(const std::string& triple, Steady::time_point now, milliseconds delay);
  void clear() { first_seen_.clear(); }
  std::size_t size() const { return first_seen_.size(); }

 private:
  std::unordered_map<std::string, Steady::time_point> first_seen_;
};

// A message to carry to one recipient. The text has LF line ends and no dot stuffing.
struct Message {
  std::string id;      // queue id
  std::string from;    // the server's own address: the source of the delivery
  std::string host;    // the server's name
  std::string sender;  // "" for <>
  std::string recipient;
  std::string text;
  bool utf8 = false;
};

// Where and for whom a dialog takes place.
struct Setting {
  std::string host;     // own name and only mail domain: "open-forged-local.lab.test"
  std::string address;  // own address, also as a literal: "127.10.0.4"
  std::string peer;     // the client's address
  std::string canary_domain = "canary.test";
  std::string canary = "127.9.9.9";  // its address, for a proxy whose fixed origin it is
  std::uint16_t canary_http_port = 8025;
  std::string date;   // RFC 5322, for Received and Exim's greeting
  std::string visit;  // unique, for queue ids
  Pace pace;
  Greylist* greylist = nullptr;  // owner: the place; lives longer than the dialog
  std::uint16_t port = 0;        // own
  std::uint16_t peer_port = 0;
  // What a place remembers between conversations and datagrams (allocations, sessions). Owner: the place; forgotten with its
  // personality.
  std::map<std::string, std::string>* memory = nullptr;
};

// What to do after a line.
struct Step {
  enum class Next : std::uint8_t { hear, start_tls, hang_up, fall_silent };
  std::string reply;  // lines separated by LF; empty: nothing is said
  Next next = Next::hear;
  milliseconds delay{0};          // before the reply
  std::vector<Message> messages;  // to carry on
};

class Dialog {
 public:
  static constexpr std::size_t kMaxMessage = 100000;  // bytes; RFC 1870 SIZE
  static constexpr std::size_t kMaxRecipients = 50;
  static constexpr unsigned kMaxCommands = 1000;

  Dialog(const Manners& manners, Setting setting) : manners_(manners), setting_(std::move(setting)) {}

  std::string greeting() const;
  Step hear(std::string_view line, Steady::time_point now);
  // After the handshake that Step::Next::start_tls asked for, or before the greeting for implicit TLS.
  void tls_started();

 private:
  enum class State : std::uint8_t { command, message, auth_plain, auth_user, auth_password };
  enum class Destination : std::uint8_t { local, unknown_user, elsewhere, malformed };

  Step command(std::string_view line, Steady::time_point now);
  std::string ehlo(std::string_view argument, bool extended);
  std::string mail(std::string_view argument);
  std::string rcpt(std::string_view argument, Steady::time_point now);
  std::string starttls(Step& step);
  std::string auth(std::string_view argument);
  std::string data();
  Step message_line(std::string_view line);
  Step end_of_message();
  std::string answer_auth();
  std::string unknown_command();

  std::string judge_sender(const std::string& sender);
  std::string judge_parameters(const std::vector<std::string>& parameters);
  std::string judge_recipient(const std::string& recipient, Steady::time_point now);
  std::string judge_exim_recipient(const std::string& recipient);
  // Where mail for an address would go, and the address as rewritten.
  Destination resolve(std::string_view text, std::string& rewritten) const;
  bool may_relay(std::string_view as_given) const;
  bool own(std::string_view domain) const;
  bool known_user(std::string_view local) const;
  std::string syntax_error(std::string text);  // counted as Exim counts
  void take_recipient(std::string recipient);
  void reset();
  Step finish(std::string reply, Step step);
  std::string received(const std::string& recipient, const std::string& id) const;

  Manners manners_;
  Setting setting_;
  State state_ = State::command;
  bool tls_ = false, greeted_ = false, extended_ = false, in_mail_ = false, utf8_ = false, too_big_ = false;
  std::string helo_;
  std::string sender_;
  std::vector<std::string> recipients_;
  std::string text_;
  unsigned errors_ = 0, protocol_errors_ = 0, commands_ = 0, messages_ = 0;
};

}  // namespace ajar::lab
