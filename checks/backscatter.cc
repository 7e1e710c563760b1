// backscatter: would it bounce to a forged sender?
//
//   S: 220 mx.example.org ESMTP
//   C: EHLO probe.example.net
//   S: 250 mx.example.org
//   C: MAIL FROM:<bounce-<token>@canary.example.net>    an address of our own, in the place of the forged one
//   S: 250 2.1.0 Ok
//   C: RCPT TO:<x<token>@example.org>                   nobody has that address: 160 random bits
//   S: 550 5.1.1 User unknown in local recipient table  refused where it must be: in the conversation
//     … 250 2.1.5 Ok instead: DATA and one small message
//   S: 250 2.0.0 Ok: queued                             a yes: it must deliver this, drop it, or write to the sender
//
//   (at our canary)  C: MAIL FROM:<>
//                    C: RCPT TO:<bounce-<token>@canary.example.net>    it wrote to the sender: `open`
//
// `closed`: the recipient was refused, by 5.1.1 (RFC 3463 X.1.1), or by another 5yz beside a postmaster who was granted. 4yz is
// neither: asked again with the same addresses. `accepted`: the message was taken. A server that delivers to everybody, or
// throws away, stays there; only a bounce that arrives at our canary makes it `open`: a whole message with the null sender (RFC
// 5321 4.5.5) to that very address. Somebody who looks whether our sender exists (RCPT without a message) proves nothing.
//
// A domain that only the greeting names may be a stranger's: where the target has neither mail_domains nor a host name, nothing
// is asked.
//
// How this harms nobody: the forged sender is our own canary, so what comes back hits nobody else. One message is sent in
// message_interval, and only where the canary can see what comes of it; it says what it is. The control gets no message.
#include "checks/backscatter.h"

#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/network.h"
#include "checks/smtp_control.h"
#include "checks/smtp_delivery.h"
#include "checks/smtp_message.h"
#include "checks/smtp_verdict.h"
#include "checks/smtp_visit.h"

namespace ajar {
namespace {

constexpr std::string_view kVariant = "unknown_user";  // stored and shown: never rename

class BackscatterProbe {
 public:
  BackscatterProbe(Network& network, Canary& canary, const Subject& subject)
      : canary_(canary), subject_(subject), visit_(network, subject, canary.mail_domain()) {}
  static Task<Finding> run(Network& network, Canary& canary, const Subject& subject);

 private:
  void begin();
  Task<void> ask();
  Task<void> transaction(SmtpResult& result);
  Task<void> send(SmtpResult& result);
  void judge(SmtpResult& result, const SmtpReply& reply, SmtpStage stage);
  void record(SmtpResult result);
  Finding conclude(const Control& control);
  Finding without_domain() const;
  std::string sender() const { return fmt::format("bounce-{}@{}", ask_.token, canary_.mail_domain()); }

  Canary& canary_;
  const Subject& subject_;
  SmtpVisit visit_;
  SmtpAsk ask_;
  std::vector<SmtpResult> results_;  // one
  std::vector<Retry> retries_;
  bool knows_its_users_ = false;  // 5.1.1
  bool recently_sent_ = false;
};

Task<Finding> BackscatterProbe::run(Network& network, Canary& canary, const Subject& subject) {
  BackscatterProbe probe(network, canary, subject);
  const std::unique_ptr<SmtpVisit::Dismissal> dismissal = co_await probe.visit_.meet();
  if (dismissal) co_return probe.visit_.dismissed(*dismissal);
  if (!probe.visit_.domain_declared()) {
    co_await probe.visit_.session().quit();
    co_return probe.without_domain();
  }
  probe.begin();
  co_await probe.ask();
  SmtpControl control(probe.visit_, subject, probe.sender());
  if (!probe.knows_its_users_) co_await control.ask(probe.ask_.tls, probe.results_);
  co_await probe.visit_.session().quit();
  co_return probe.conclude(control.result());
}

void BackscatterProbe::begin() {
  ask_.name = kVariant;
  ask_.core = true;
  for (const Retry& retry : subject_.retries) {
    if (retry.variant == kVariant) ask_.token = retry.token;
  }
  ask_.retried = !ask_.token.empty();
  if (!ask_.retried) ask_.token = canary_.mint(ask_.name);
}

// Where the server hangs up on it, once more on a new connection; where it wants STARTTLS first, behind that.
Task<void> BackscatterProbe::ask() {
  for (int attempt = 1;; ++attempt) {
    SmtpResult result;
    std::optional<Reason> failure;
    bool ready = true;
    try {
      ready = co_await visit_.prepare(ask_.tls);
      if (ready) co_await transaction(result);
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (failure) visit_.broken_off(*failure);
    if (result.closing) visit_.session().drop();
    if (!failure && result.wants_tls && !ask_.tls && visit_.starttls_offered()) {
      ask_.tls = true;
      continue;
    }
    if (attempt == 1 && !visit_.given_up() && (failure ? *failure != Reason::timeout : result.closing)) continue;
    if (!ready) result.asked.variant.reason = Reason::tls_failed;
    if (failure) result.asked.variant.reason = *failure == Reason::nobody_listens ? Reason::hung_up : *failure;
    if (!ready || failure) result.asked.variant.verdict = Verdict::unclear;
    record(std::move(result));
    co_return;
  }
}

// RFC 5321 3.3: MAIL, RCPT, DATA
Task<void> BackscatterProbe::transaction(SmtpResult& result) {
  visit_.note(ask_.name);
  std::string line = "MAIL FROM:<" + sender() + ">";
  SmtpReply reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) {
    judge(result, reply, SmtpStage::mail);
    co_return;
  }
  visit_.left_open(true);
  line = fmt::format("RCPT TO:<x{}@{}>", ask_.token, visit_.local_domain());
  reply = co_await visit_.command(std::move(line));
  judge(result, reply, SmtpStage::rcpt);
  if (result.asked.variant.verdict == Verdict::accepted) co_await send(result);
}

Task<void> BackscatterProbe::send(SmtpResult& result) {
  Variant& variant = result.asked.variant;
  const Permit permit = co_await canary_.ask_to_send(ask_.token, ask_.name, ask_.name);
  variant.reason = reason_of(permit);
  recently_sent_ = recently_sent_ || permit == Permit::recently_sent;
  if (permit != Permit::granted) co_return;
  RelayTest test;
  test.token = ask_.token;
  test.sender = fmt::format("probe-{}@{}", ask_.token, canary_.mail_domain());
  test.recipient = fmt::format("x{}@{}", ask_.token, visit_.local_domain());
  test.our_name = subject_.our_name;
  test.contact = subject_.contact;
  test.server = join_host_port(subject_.address, subject_.port);
  test.date = subject_.date;
  std::string text = test_message(test, "Bounce test",
                                  {"This is a test message of ajar, a program that asks mail servers on behalf of",
                                   "the people who run them what they do for strangers.", "",
                                   "Nobody has the address that it is for. A server that takes it all the same, and",
                                   "then writes to the sender, writes to whomever a forger names as the sender.", "",
                                   "If you read this, the server delivers what nobody is there for. You can delete it."});
  const SmtpDelivery delivery = co_await deliver(visit_, canary_, ask_.token, std::move(text));
  if (delivery.lost) co_return;
  judge(result, delivery.reply, SmtpStage::data);
  if (delivery.taken) variant.reason = Reason::token_pending;
}

void BackscatterProbe::judge(SmtpResult& result, const SmtpReply& reply, SmtpStage stage) {
  const SmtpAnswer answer = visit_.read(reply, stage);
  take_answer(result, reply, answer, stage, true);
  const std::optional<EnhancedCode> code = reply.enhanced();
  knows_its_users_ = answer == SmtpAnswer::refused && stage == SmtpStage::rcpt && code && code->kind == 5 &&
                     code->subject == 1 && code->detail == 1;
}

void BackscatterProbe::record(SmtpResult result) {
  Variant& variant = result.asked.variant;
  variant.name = ask_.name;
  result.ask = &ask_;
  result.asked.core = true;
  // RFC 5321 4.5.4.1: 4yz, try again; greylisting knows us by source, sender and recipient.
  const bool put_off = ask_.retried || (variant.code && *variant.code / 100 == 4);
  if (variant.verdict == Verdict::unclear && put_off && !result.wants_tls) retries_.push_back({ask_.name, ask_.token, ""});
  results_.push_back(std::move(result));
}

Finding BackscatterProbe::conclude(const Control& control) {
  Control judged = control;
  if (knows_its_users_) judged.result = Control::Result::succeeded;
  std::vector<Asked> asked = {results_.front().asked};
  const Folded judgement = fold(asked, judged, false);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = because(judgement, asked, "It refused at once what is for nobody, so that it has nothing to bounce");
  finding.spoken = "SMTP";
  finding.tls = visit_.tls();
  finding.observations = visit_.observations();
  if (recently_sent_) {
    finding.observations.emplace_back("No message was sent where one of that kind was sent within message_interval.");
  }
  finding.retries = std::move(retries_);
  finding.variants.push_back(std::move(asked.front().variant));
  return finding;
}

Finding BackscatterProbe::without_domain() const {
  Finding finding;
  finding.verdict = Verdict::unclear;
  finding.reason = Reason::control_failed;
  finding.because = "It is not known for which domain it takes mail: write mail_domains.";
  finding.spoken = "SMTP";
  finding.tls = visit_.tls();
  finding.observations = visit_.observations();
  return finding;
}

}  // namespace

Task<Finding> backscatter(Network& network, Canary& canary, const Subject& subject) {
  return BackscatterProbe::run(network, canary, subject);
}

}  // namespace ajar
