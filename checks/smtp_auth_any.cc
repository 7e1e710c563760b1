// smtp_auth_any: would it take any password?
//
//   S: 220 mail.example.org ESMTP
//   C: EHLO probe.example.net
//   S: 250-mail.example.org
//   S: 250 STARTTLS                                  where there is STARTTLS, the login is asked for behind it
//   C: EHLO probe.example.net
//   S: 250-mail.example.org                          no AUTH on either side of STARTTLS: it offers no login, closed
//   S: 250 AUTH PLAIN LOGIN                          neither PLAIN nor LOGIN: a random pair cannot be asked, unclear
//   C: AUTH PLAIN (a random pair)                    RFC 4616; else AUTH LOGIN and two lines
//   S: 535 5.7.8 authentication failed               5yz: refused     4yz: neither     names us or a blocklist: refused us
//     … 235 2.7.0 Authentication successful instead: a yes
//   C: MAIL FROM:<probe-<token>@canary.example.net>
//   C: RCPT TO:<<token>@canary.example.net>          and one small message to ourselves: does the login open the door?
//
// `closed`: the pair was refused by a server that offers logins (535 and its kin answer the pair itself and need no other
// control), or no login is offered at all. `accepted`: it took the pair. Only the message that arrives at our canary makes it
// `open`. 500 to 504 to an AUTH that it offers is nonsense, and no refusal of the pair.
//
// How this harms nobody: nobody has that name, and the password is random (both 160 bits): it is no guess, and locks no
// account. One pair a probe, never a second one: where the server hangs up or answers 4yz the same pair is said once more at
// most. After a pair that was taken none is said again within message_interval, whatever became of the message; like all checks
// that are off by default, this one is asked once a day unless the configuration says otherwise (a changed answer is confirmed
// by one more probe). The message goes to our own canary.
#include "checks/smtp_auth_any.h"

#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/network.h"
#include "checks/smtp_delivery.h"
#include "checks/smtp_message.h"
#include "checks/smtp_verdict.h"
#include "checks/smtp_visit.h"
#include "checks/wire/base64.h"

namespace ajar {
namespace {

constexpr const char* kVariant = "random_pair";  // stored and shown: never rename
constexpr const char* kClass = "auth";

class AuthProbe {
 public:
  AuthProbe(Network& network, Canary& canary, const Subject& subject)
      : canary_(canary), subject_(subject), visit_(network, subject, canary.mail_domain()) {}
  static Task<Finding> run(Network& network, Canary& canary, const Subject& subject);

 private:
  enum class Mechanism { none, plain, login };
  Task<void> ask();
  Task<void> conversation();
  Task<Mechanism> choose();
  Mechanism offered() const;
  void without_mechanism();
  void not_asked_again(Permit permit);
  Task<void> log_in(Mechanism mechanism);
  Task<SmtpReply> exchange(Mechanism mechanism);
  void judge_login(const SmtpReply& reply);
  Task<void> send();
  Task<bool> recipient_taken();
  void set(Verdict verdict, Reason reason, std::string because);
  Finding conclude();

  Canary& canary_;
  const Subject& subject_;
  SmtpVisit visit_;
  SmtpResult result_;
  std::string because_;  // empty: as fold.h says it
  std::string user_;     // tokens; the first is also the recipient of the message
  std::string password_;
  std::string sender_token_;
  bool offered_in_clear_ = false;
  std::vector<std::string> observations_;
};

Task<Finding> AuthProbe::run(Network& network, Canary& canary, const Subject& subject) {
  AuthProbe probe(network, canary, subject);
  const std::unique_ptr<SmtpVisit::Dismissal> dismissal = co_await probe.visit_.meet();
  if (dismissal) co_return probe.visit_.dismissed(*dismissal);
  probe.offered_in_clear_ = probe.offered() != Mechanism::none;
  co_await probe.ask();
  co_await probe.visit_.session().quit();
  co_return probe.conclude();
}

void AuthProbe::set(Verdict verdict, Reason reason, std::string because) {
  result_.asked.variant.verdict = verdict;
  result_.asked.variant.reason = reason;
  because_ = std::move(because);
}

// Where the server hangs up, once more on a new connection, with the same pair.
Task<void> AuthProbe::ask() {
  for (int attempt = 1;; ++attempt) {
    std::optional<Reason> failure;
    result_ = {};
    because_.clear();
    try {
      co_await conversation();
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (failure) visit_.broken_off(*failure);
    if (result_.closing) visit_.session().drop();
    if (attempt == 1 && !visit_.given_up() && (failure ? *failure != Reason::timeout : result_.closing)) continue;
    if (failure) set(Verdict::unclear, *failure == Reason::nobody_listens ? Reason::hung_up : *failure, "");
    co_return;
  }
}

Task<void> AuthProbe::conversation() {
  const Mechanism mechanism = co_await choose();
  if (mechanism == Mechanism::none) {
    without_mechanism();
    co_return;
  }
  co_await log_in(mechanism);
}

AuthProbe::Mechanism AuthProbe::offered() const {
  const SmtpOffers& offers = visit_.offers();
  if (offers.plain) return Mechanism::plain;
  return offers.login ? Mechanism::login : Mechanism::none;
}

// A connection on which a login is offered, behind STARTTLS where it can be had.
Task<AuthProbe::Mechanism> AuthProbe::choose() {
  if (visit_.starttls_offered()) {
    const bool secure = co_await visit_.prepare(true);
    if (secure && offered() != Mechanism::none) co_return offered();
    if (!offered_in_clear_) co_return Mechanism::none;
  }
  const bool ready = co_await visit_.prepare(false);
  if (!ready) co_return Mechanism::none;
  co_return offered();
}

void AuthProbe::without_mechanism() {
  if (visit_.starttls_failed()) {
    set(Verdict::unclear, Reason::tls_failed,
        "It offers STARTTLS, but TLS could not be had, and in clear text it offers no login.");
  } else if (visit_.auth_offered()) {
    set(Verdict::unclear, Reason::refused,
        "It offers logins, but neither by PLAIN nor by LOGIN: a random pair cannot be asked there.");
  } else {
    set(Verdict::closed, Reason::refused, "It offers no login, so it takes no password.");
  }
}

// A pair was said not long ago, and not refused.
void AuthProbe::not_asked_again(Permit permit) {
  const auto& yeses = subject_.must_ask;
  const bool taken = std::find(yeses.begin(), yeses.end(), kVariant) != yeses.end();
  set(taken ? Verdict::accepted : Verdict::unclear, reason_of(permit),
      taken ? "It took a random name and password less than message_interval ago, and was not asked again."
            : "It was asked less than message_interval ago, and was not asked again.");
}

Task<void> AuthProbe::log_in(Mechanism mechanism) {
  if (user_.empty()) {
    user_ = canary_.mint(kVariant);
    password_ = canary_.mint("password");
    sender_token_ = canary_.mint("sender");
  }
  const std::string variant(kVariant), variant_class(kClass);
  const Permit permit = co_await canary_.ask_to_send(user_, variant, variant_class);
  if (permit == Permit::pending || permit == Permit::recently_sent) {
    not_asked_again(permit);
    co_return;
  }
  visit_.note(kVariant);
  std::optional<LinkError> failure;
  SmtpReply reply;
  try {
    reply = co_await exchange(mechanism);
  } catch (const LinkError& error) {
    failure = error;
  }
  if (!failure) judge_login(reply);
  const bool yes = result_.asked.variant.verdict == Verdict::accepted;
  if (!yes && permit == Permit::granted) canary_.not_sent(user_);
  if (failure) throw LinkError(*failure);
  if (!yes) co_return;
  result_.asked.variant.reason = reason_of(permit);
  if (permit == Permit::granted) co_await send();
}

// RFC 4954 4. What is said is not for the transcript: base64 would hide the tokens from those who take them out.
Task<SmtpReply> AuthProbe::exchange(Mechanism mechanism) {
  SmtpSession& session = visit_.session();
  const std::string name = fmt::format("{}@{}", user_, visit_.local_domain());
  if (mechanism == Mechanism::plain) {
    std::string bytes = "AUTH PLAIN " + base64(std::string(1, '\0') + name + std::string(1, '\0') + password_) + "\r\n";
    std::string shown = "AUTH PLAIN (a random pair)";
    co_await session.say_bytes(std::move(bytes), std::move(shown));
    const SmtpReply reply = co_await session.hear_reply();
    co_return reply;
  }
  SmtpReply reply = co_await visit_.command("AUTH LOGIN");
  for (int step = 0; step < 2 && reply.code == 334; ++step) {
    std::string bytes = base64(step == 0 ? name : password_) + "\r\n";
    std::string shown = step == 0 ? "(a random name)" : "(a random password)";
    co_await session.say_bytes(std::move(bytes), std::move(shown));
    reply = co_await session.hear_reply();
  }
  co_return reply;
}

// RFC 4954 6.
void AuthProbe::judge_login(const SmtpReply& reply) {
  Variant& variant = result_.asked.variant;
  const SmtpAnswer answer = visit_.read(reply, SmtpStage::hello);
  const bool about_the_pair = reply.code == 535;
  if (reply.kind() >= 4 && !about_the_pair) {
    take_answer(result_, reply, answer, SmtpStage::hello, false);
    if (answer == SmtpAnswer::wants_auth) variant.reason = Reason::refused;  // 530 to the login itself
    if (reply.code >= 500 && reply.code <= 504) {
      set(Verdict::unclear, Reason::protocol_error,
          fmt::format("It offers a login, and does not know it: {} {}.", reply.code, escape(reply.text(), 120)));
    }
    return;
  }
  variant.code = reply.code;
  variant.reply = escape(reply.text(), 240);
  if (about_the_pair) {
    set(Verdict::closed, Reason::refused, "");
  } else if (reply.code == 235) {
    set(Verdict::accepted, Reason::no_proof, "");
  } else {
    set(Verdict::unclear, Reason::protocol_error, "");
  }
}

// Logged in: a message to ourselves. What goes wrong now takes nothing back, nor the permit: the pair was taken.
Task<void> AuthProbe::send() {
  std::optional<LinkError> failure;
  Variant& variant = result_.asked.variant;
  variant.reason = Reason::no_proof;
  try {
    const bool taken = co_await recipient_taken();
    if (taken) {
      RelayTest test;
      test.token = user_;
      test.sender = fmt::format("probe-{}@{}", sender_token_, canary_.mail_domain());
      test.recipient = fmt::format("{}@{}", user_, canary_.mail_domain());
      test.our_name = subject_.our_name;
      test.contact = subject_.contact;
      test.server = join_host_port(subject_.address, subject_.port);
      test.date = subject_.date;
      std::string text =
          test_message(test, "Login test",
                       {"This is a test message of ajar, a program that asks mail servers on behalf of",
                        "the people who run them what they do for strangers.", "",
                        "The server took a login with a random name and a random password. This message",
                        "is addressed to the tester's own mailbox; if it arrives there, anybody may send",
                        "through that server.", "", "If you read this anywhere else, you can ignore it. No answer is needed."});
      const SmtpDelivery delivery = co_await deliver(visit_, std::move(text));
      if (delivery.taken || delivery.lost) variant.reason = Reason::token_pending;
      if (!delivery.taken && !delivery.lost) {
        observations_.push_back(
            fmt::format("Logged in, it refused our message: {} {}", delivery.reply.code, escape(delivery.reply.text(), 120)));
      }
    }
  } catch (const LinkError& error) {
    failure = error;
  }
  if (failure) visit_.broken_off(failure->reason());
}

Task<bool> AuthProbe::recipient_taken() {
  visit_.left_open(true);
  std::string line = fmt::format("MAIL FROM:<probe-{}@{}>", sender_token_, canary_.mail_domain());
  SmtpReply reply = co_await visit_.command(std::move(line));
  if (reply.kind() == 2) {
    line = fmt::format("RCPT TO:<{}@{}>", user_, canary_.mail_domain());
    reply = co_await visit_.command(std::move(line));
  }
  if (reply.kind() == 2) co_return true;
  observations_.push_back(fmt::format("Logged in, it refused our message: {} {}", reply.code, escape(reply.text(), 120)));
  co_return false;
}

Finding AuthProbe::conclude() {
  Variant& variant = result_.asked.variant;
  variant.name = kVariant;
  result_.asked.core = true;
  // What answers a login with 535, or EHLO with what it offers, answers what it should.
  Control control;
  control.result = Control::Result::succeeded;
  const std::vector<Asked> asked(1, result_.asked);
  const Folded judgement = fold(asked, control, false);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = because_.empty() ? because(judgement, asked, "It refused a random name and password") : because_;
  finding.spoken = "SMTP";
  finding.tls = visit_.tls();
  finding.observations = visit_.observations();
  finding.observations.insert(finding.observations.end(), observations_.begin(), observations_.end());
  finding.variants.push_back(std::move(variant));
  return finding;
}

}  // namespace

Task<Finding> smtp_auth_any(Network& network, Canary& canary, const Subject& subject) {
  return AuthProbe::run(network, canary, subject);
}

}  // namespace ajar
