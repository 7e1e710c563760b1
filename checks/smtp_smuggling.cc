// smtp_smuggling: does it end a message at a non-standard end of data (CVE-2023-51764, -51765, -51766)?
//
//   S: 220 mx.example.org ESMTP
//   C: EHLO probe.example.net
//   S: 250 mx.example.org
//   C: MAIL FROM:<probe-<token>@canary.example.net>
//   C: RCPT TO:<postmaster@example.org>                 a recipient that it takes from strangers: the control
//   S: 250 2.1.5 Ok
//   C: DATA
//   S: 354 End data with <CR><LF>.<CR><LF>
//   C: (a short message) \x0a.\x0a                      a line end, a dot and a line end, one of them not CRLF; and no more
//     … silence                                         not ended there: refused. We go, without the true end
//     … 521 5.5.2 bare <LF> received, and it goes       refused
//     … 250 2.0.0 Ok: queued                            a yes: what follows in a message is taken for commands
//     … 5yz, and it answers NOOP                        a yes as well: it dropped the message, and takes commands
//
// After a yes, on the same connection: would it carry our mail too?
//
//   C: MAIL FROM:<probe-<token>@canary.example.net>
//   C: RCPT TO:<<token>@canary.example.net>
//   S: 554 5.7.1 Relay access denied                    no: there is no way to our canary, and it stays at `accepted`
//     … 250: then DATA, and in one go a message to our probe sender, the bad end, a whole transaction with a message to
//     <token>@canary.example.net, and the true end. Nobody but who took the second one for commands brings it to our canary.
//
// `closed`: DATA was granted, and no core form ended the message; afterwards it still answers. A silence that nobody ends is
// the time of reply_timeout: the same in which it must answer anything else. `accepted`, no_proof: it ended a message where
// none ends, which only the reply says: 250 before the end, for a receiver is all there is to see. `open`: the smuggled message
// arrived at our canary, which takes a server that also carries our mail.
//
// How this harms nobody: the message of a form that is not taken is never ended, and a server throws away what was not ended
// (RFC 5321 4.1.1.4). A form that is taken delivers one short, clearly labelled message to the control recipient, at most once
// in message_interval: that cannot be helped, and is why the check is off by default. A server that takes it and answers later
// than reply_timeout is not told from one that waits: it delivers the message each time. Nothing is smuggled to anybody but our
// canary, and nothing is sent to a domain that only the greeting names. Each form has a connection of its own.
#include "checks/smtp_smuggling.h"

#include <algorithm>
#include <array>
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

namespace ajar {
namespace {

// How a message may end for a careless reader. The names are stored and shown: never rename one.
struct Ending {
  std::string_view name;
  std::string_view bytes;
  std::string_view words;
  bool core = false;
};
using namespace std::string_view_literals;
constexpr std::array kEndings = {
    Ending{"lf.lf", "\n.\n", "<LF>.<LF>", true},
    Ending{"lf.crlf", "\n.\r\n", "<LF>.<CRLF>", true},
    Ending{"crlf.lf", "\r\n.\n", "<CRLF>.<LF>"},
    Ending{"cr.cr", "\r.\r", "<CR>.<CR>"},
    Ending{"cr.crlf", "\r.\r\n", "<CR>.<CRLF>"},
    Ending{"crlf.cr", "\r\n.\r", "<CRLF>.<CR>"},
    Ending{"crlf_nul.crlf", "\r\n\0.\r\n"sv, "<CRLF><NUL>.<CRLF>"},
};

constexpr std::size_t kMaxRecipients = 16;

class SmugglingProbe {
 public:
  SmugglingProbe(Network& network, Canary& canary, const Subject& subject)
      : canary_(canary), subject_(subject), visit_(network, subject, canary.mail_domain()) {}
  static Task<Finding> run(Network& network, Canary& canary, const Subject& subject);

 private:
  void begin();
  bool wanted(const Ending& ending) const;
  bool said_yes_before(const Ending& ending) const;
  Task<void> ask(const Ending& ending);
  Task<void> transaction(const Ending& ending, Asked& asked);
  Task<bool> begin_message(Asked& asked);
  Task<bool> recipient_taken(Asked& asked);
  void not_asked_again(const Ending& ending, Permit permit, Asked& asked);
  Task<void> end_badly(const Ending& ending, const std::string& token, Asked& asked);
  Task<void> hear_end(Asked& asked);
  Task<bool> takes_commands();
  Task<void> smuggle(const Ending& ending, const std::string& token, Asked& asked);
  Task<bool> would_carry(const std::string& token);
  Task<bool> begin_outer();
  Task<void> hear_smuggled(Asked& asked);
  Task<void> still_there();

  std::string mail_line() const { return fmt::format("MAIL FROM:<{}>", own_sender()); }
  std::string own_sender() const { return fmt::format("probe-{}@{}", sender_token_, canary_.mail_domain()); }
  std::string message(const std::string& token, const std::string& recipient, std::vector<std::string> text) const;
  std::string first_message(const Ending& ending, const std::string& recipient) const;
  void judge(Asked& asked, const SmtpReply& reply, SmtpStage stage);
  Finding conclude();

  Canary& canary_;
  const Subject& subject_;
  SmtpVisit visit_;
  std::string sender_token_;
  std::vector<std::string> recipients_;  // those that it must take from a stranger; the first that it took stands alone
  std::vector<Asked> asked_;
  Control control_;
  bool tls_ = false;  // behind STARTTLS, where it insists on that
  bool wants_tls_ = false;
  std::optional<std::size_t> silent_;  // of asked_: not ended, and whether the server is still there is not known yet
  bool ended_ = false;                 // a form was taken in this transaction: only commands may follow
  bool recently_sent_ = false;
};

Task<Finding> SmugglingProbe::run(Network& network, Canary& canary, const Subject& subject) {
  SmugglingProbe probe(network, canary, subject);
  const std::unique_ptr<SmtpVisit::Dismissal> dismissal = co_await probe.visit_.meet();
  if (dismissal) co_return probe.visit_.dismissed(*dismissal);
  probe.begin();
  for (const Ending& ending : kEndings) {
    if (probe.wanted(ending)) co_await probe.ask(ending);
  }
  co_await probe.still_there();
  co_return probe.conclude();
}

void SmugglingProbe::begin() {
  sender_token_ = canary_.mint("sender");
  recipients_ = subject_.control_recipients;
  for (const std::string& domain : subject_.mail_domains) recipients_.push_back("postmaster@" + domain);
  // A domain that only the greeting names may be a stranger's.
  if (subject_.mail_domains.empty() && visit_.domain_declared()) recipients_.push_back("postmaster@" + visit_.local_domain());
  std::erase_if(recipients_, [](const std::string& mailbox) { return !speakable(mailbox); });
  if (recipients_.size() >= kMaxRecipients) recipients_.resize(kMaxRecipients - 1);
  recipients_.push_back("Postmaster");
}

bool SmugglingProbe::said_yes_before(const Ending& ending) const {
  return std::find(subject_.must_ask.begin(), subject_.must_ask.end(), ending.name) != subject_.must_ask.end();
}

bool SmugglingProbe::wanted(const Ending& ending) const {
  return subject_.full_matrix || ending.core || said_yes_before(ending);
}

// Asks one form, each on a connection of its own; where the server hangs up before it was asked, once more.
Task<void> SmugglingProbe::ask(const Ending& ending) {
  Asked asked;
  for (int attempt = 1;; ++attempt) {
    asked = {};
    asked.variant.name = ending.name;
    asked.core = ending.core;
    asked.must_ask = said_yes_before(ending);
    wants_tls_ = ended_ = false;
    std::optional<Reason> failure = visit_.given_up();
    try {
      bool ready = false;
      if (!failure) ready = co_await visit_.prepare(tls_);
      if (ready) silent_.reset();
      if (ready) co_await transaction(ending, asked);
      if (!ready && !failure) asked.variant.reason = Reason::tls_failed;
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (failure) visit_.broken_off(*failure);
    if (wants_tls_ && !tls_ && visit_.starttls_offered()) {
      tls_ = true;
      continue;
    }
    if (failure && attempt == 1 && *failure != Reason::timeout && !visit_.given_up()) continue;
    if (failure && asked.variant.verdict == Verdict::unclear)
      asked.variant.reason = *failure == Reason::nobody_listens ? Reason::hung_up : *failure;
    break;
  }
  co_await visit_.session().quit();
  asked_.push_back(std::move(asked));
}

Task<void> SmugglingProbe::transaction(const Ending& ending, Asked& asked) {
  const bool ready = co_await begin_message(asked);
  if (!ready) co_return;
  const std::string name(ending.name);
  const std::string token = canary_.mint(name);
  const Permit permit = co_await canary_.ask_to_send(token, name, name);
  if (permit != Permit::granted) {
    not_asked_again(ending, permit, asked);
    co_return;
  }
  std::optional<LinkError> failure;
  try {
    co_await end_badly(ending, token, asked);
  } catch (const LinkError& error) {
    failure = error;
  }
  // Kept back for message_interval only where it was delivered.
  if (asked.variant.verdict != Verdict::accepted) canary_.not_sent(token);
  if (failure) throw LinkError(*failure);
}

// MAIL, and RCPT of a recipient that it takes.
Task<bool> SmugglingProbe::begin_message(Asked& asked) {
  std::string line = mail_line();
  const SmtpReply reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) {
    judge(asked, reply, SmtpStage::mail);
    co_return false;
  }
  visit_.left_open(true);
  const bool taken = co_await recipient_taken(asked);
  co_return taken;
}

Task<bool> SmugglingProbe::recipient_taken(Asked& asked) {
  for (std::size_t i = 0; i < recipients_.size() && !visit_.session().worn_out(); ++i) {
    std::string line = "RCPT TO:<" + recipients_[i] + ">";
    const SmtpReply reply = co_await visit_.command(std::move(line));
    if (reply.code == 421) throw LinkError(Reason::hung_up, "421 to the control");
    if (reply.kind() == 2) {
      recipients_ = std::vector<std::string>(1, recipients_[i]);
      control_.result = Control::Result::succeeded;
      co_return true;
    }
    judge(asked, reply, SmtpStage::rcpt);
  }
  // It refuses its own postmaster: nothing can be asked.
  const bool about_us = asked.variant.reason == Reason::source_blocked || asked.variant.reason == Reason::greylisted;
  asked.variant.verdict = Verdict::unclear;
  if (!about_us) asked.variant.reason = Reason::control_failed;
  co_return false;
}

// A refusal before the question is none of the question.
void SmugglingProbe::judge(Asked& asked, const SmtpReply& reply, SmtpStage stage) {
  SmtpResult result;
  take_answer(result, reply, visit_.read(reply, stage), stage, true);
  wants_tls_ = result.wants_tls;
  asked.variant.code = result.asked.variant.code;
  asked.variant.reply = std::move(result.asked.variant.reply);
  asked.variant.verdict = Verdict::unclear;
  asked.variant.reason = result.asked.variant.reason;
  if (result.asked.variant.reason == Reason::no_proof) asked.variant.reason = Reason::protocol_error;  // a yes that is none
  if (result.asked.variant.reason == Reason::auth_required) asked.variant.verdict = Verdict::closed;
  if (result.closing) throw LinkError(Reason::hung_up, "421");
}

// Without the permit nothing may be delivered. A form that was taken not long ago was, as far as is known.
void SmugglingProbe::not_asked_again(const Ending& ending, Permit permit, Asked& asked) {
  const bool recently = permit == Permit::pending || permit == Permit::recently_sent;
  recently_sent_ = recently_sent_ || recently;
  const bool taken = recently && said_yes_before(ending);
  asked.variant.verdict = taken ? Verdict::accepted : Verdict::unclear;
  asked.variant.reason = permit == Permit::canary_down ? Reason::canary_unreachable : Reason::no_proof;
}

std::string SmugglingProbe::message(const std::string& token, const std::string& recipient,
                                    std::vector<std::string> text) const {
  RelayTest test;
  test.token = token;
  test.sender = own_sender();
  test.recipient = recipient;
  test.our_name = subject_.our_name;
  test.contact = subject_.contact;
  test.server = join_host_port(subject_.address, subject_.port);
  test.date = subject_.date;
  return test_message(test, "End of data test", text);
}

// The token of the smuggled message is not in it.
std::string SmugglingProbe::first_message(const Ending& ending, const std::string& recipient) const {
  std::vector<std::string> text = {"This is a test message of ajar, a program that asks mail servers on behalf of",
                                   "the people who run them what they do for strangers.",
                                   "",
                                   fmt::format("It was never ended as RFC 5321 wants it, but by {}.", ending.words),
                                   "If you read it, the server takes that for the end of a message, and what follows",
                                   "for commands: anybody can smuggle forged mail past it (CVE-2023-51764).",
                                   "",
                                   "You can delete it. No answer is needed."};
  return message(sender_token_, recipient, std::move(text));
}

// RFC 5321 4.1.1.4: DATA, the message, and what is no end.
Task<void> SmugglingProbe::end_badly(const Ending& ending, const std::string& token, Asked& asked) {
  const SmtpReply ready = co_await visit_.command("DATA");
  if (ready.code != 354) {
    if (ready.kind() < 4) throw LinkError(Reason::protocol_error, "not an answer to DATA");
    judge(asked, ready, SmtpStage::data);
    co_return;
  }
  // The last line of the message is ended by the first bytes of the form.
  std::string bytes = first_message(ending, recipients_.front());
  bytes.resize(bytes.size() - 2);
  bytes += ending.bytes;
  std::string shown = "(a short message) " + escape(ending.bytes);
  co_await visit_.session().say_bytes(std::move(bytes), std::move(shown));
  co_await hear_end(asked);
  if (ended_) co_await smuggle(ending, token, asked);
}

Task<void> SmugglingProbe::hear_end(Asked& asked) {
  std::optional<LinkError> failure;
  SmtpReply reply;
  try {
    reply = co_await visit_.session().hear_reply();
  } catch (const LinkError& error) {
    failure = error;
  }
  Variant& variant = asked.variant;
  if (failure) {
    visit_.session().drop();  // without the true end: nothing is delivered
    if (failure->reason() != Reason::timeout) throw LinkError(*failure);
    visit_.note("no answer: it waits for the end of the message");
    visit_.answered();
    variant.verdict = Verdict::closed;
    variant.reason = Reason::refused;
    silent_ = asked_.size();
    co_return;
  }
  variant.code = reply.code;
  variant.reply = escape(reply.text(), 240);
  if (reply.kind() == 3) throw LinkError(Reason::protocol_error, "3yz inside a message");
  if (reply.kind() == 2) {
    ended_ = true;
  } else {
    ended_ = co_await takes_commands();
  }
  visit_.left_open(false);
  variant.verdict = ended_ ? Verdict::accepted : reply.kind() == 5 ? Verdict::closed : Verdict::unclear;
  variant.reason = ended_ ? Reason::no_proof : reply.kind() == 5 ? Reason::refused : Reason::greylisted;
  if (!ended_ && visit_.blocks_us(reply, SmtpStage::data)) {
    variant.verdict = Verdict::unclear;
    variant.reason = Reason::source_blocked;
  }
}

// It refused the message before its end. Who answers now takes what follows for commands; who does not, closed or waits for the
// true end.
Task<bool> SmugglingProbe::takes_commands() {
  bool answers = false;
  try {
    const SmtpReply reply = co_await visit_.command("NOOP");
    answers = reply.kind() == 2;
  } catch (const LinkError&) {
    visit_.session().drop();
  }
  if (!answers) visit_.session().drop();
  co_return answers;
}

// The proof

Task<void> SmugglingProbe::smuggle(const Ending& ending, const std::string& token, Asked& asked) {
  std::optional<LinkError> failure;
  try {
    const bool carries = co_await would_carry(token);
    if (!carries) co_return;
    const bool ready = co_await begin_outer();
    if (!ready) co_return;
    std::string bytes = first_message(ending, own_sender());
    bytes.resize(bytes.size() - 2);
    bytes += ending.bytes;
    bytes += mail_line() + "\r\n" + fmt::format("RCPT TO:<{}@{}>\r\nDATA\r\n", token, canary_.mail_domain());
    bytes += message(token, fmt::format("{}@{}", token, canary_.mail_domain()),
                     {"This is a test message of ajar. It was smuggled into another one, to the tester's",
                      "own mailbox; if it arrives there, anybody can smuggle forged mail past the server."});
    bytes += ".\r\n";
    std::string shown = fmt::format("(a short message) {}(a transaction with a message to us) .", escape(ending.bytes));
    asked.variant.reason = Reason::token_pending;
    co_await visit_.session().say_bytes(std::move(bytes), std::move(shown));
    co_await hear_smuggled(asked);
  } catch (const LinkError& error) {
    failure = error;
  }
  // What was taken stays taken, however it ends.
  if (failure) visit_.session().drop();
}

// Whether it takes a recipient at our canary: the only one that may be smuggled to.
Task<bool> SmugglingProbe::would_carry(const std::string& token) {
  std::string line = mail_line();
  SmtpReply reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) co_return false;
  line = fmt::format("RCPT TO:<{}@{}>", token, canary_.mail_domain());
  reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) co_return false;
  reply = co_await visit_.command("RSET");
  co_return reply.kind() == 2;
}

// The message around it goes to our own sender's address, which proves nothing.
Task<bool> SmugglingProbe::begin_outer() {
  std::string line = mail_line();
  SmtpReply reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) co_return false;
  line = fmt::format("RCPT TO:<{}>", own_sender());
  reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) co_return false;
  reply = co_await visit_.command("DATA");
  if (reply.code != 354) throw LinkError(Reason::protocol_error, "not an answer to DATA");
  co_return true;
}

// The end of the first message, MAIL, RCPT, DATA, the end of the second one.
Task<void> SmugglingProbe::hear_smuggled(Asked& asked) {
  constexpr int kReplies = 5;
  for (int i = 0; i < kReplies; ++i) {
    const SmtpReply reply = co_await visit_.session().hear_reply();
    if (reply.kind() < 4) continue;
    asked.variant.reason = Reason::no_proof;
    visit_.session().drop();
    co_return;
  }
}

// After a silence: a server that is gone, or a probe whose time is over, refused nothing.
Task<void> SmugglingProbe::still_there() {
  if (!silent_) co_return;
  bool there = false;
  try {
    there = co_await visit_.prepare(tls_);
  } catch (const LinkError&) {
    visit_.session().drop();
  }
  co_await visit_.session().quit();
  if (there) co_return;
  // Earlier silences stand: a connection came after them.
  Variant& variant = asked_[*silent_].variant;
  variant.verdict = Verdict::unclear;
  variant.reason = Reason::timeout;
}

Finding SmugglingProbe::conclude() {
  const Folded judgement = fold(asked_, control_, false);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = because(judgement, asked_, "It took DATA and ended the message at none of these ends");
  std::string taken;
  for (const Ending& ending : kEndings) {
    const auto is = [&](const Asked& asked) {
      return asked.variant.name == ending.name && asked.variant.verdict == Verdict::accepted;
    };
    if (std::any_of(asked_.begin(), asked_.end(), is)) taken += fmt::format("{}{}", taken.empty() ? "" : ", ", ending.words);
  }
  if (judgement.verdict == Verdict::accepted) {
    finding.because =
        fmt::format("It ends messages at {}, where RFC 5321 ends none: what follows there is taken for commands.", taken);
  }
  finding.spoken = "SMTP";
  finding.tls = visit_.tls();
  finding.observations = visit_.observations();
  if (recently_sent_) {
    finding.observations.emplace_back("A form that was taken is not asked again within message_interval.");
  }
  for (Asked& asked : asked_) finding.variants.push_back(std::move(asked.variant));
  return finding;
}

}  // namespace

Task<Finding> smtp_smuggling(Network& network, Canary& canary, const Subject& subject) {
  return SmugglingProbe::run(network, canary, subject);
}

}  // namespace ajar
