// smtp_relay: would it carry a stranger's mail?
//
//   S: 220 mx.example.org ESMTP
//   C: EHLO probe.example.net
//   S: 250-mx.example.org
//   S: 250 STARTTLS
//   C: MAIL FROM:<probe-<token>@canary.example.net>    our own address, nobody's, one forged in their domain, …
//   S: 250 2.1.0 Ok                                    refused: a forged or null sender is refused; our own one was not asked
//   C: RCPT TO:<<token>@canary.example.net>            plain, or written so that a careless server misreads it
//   S: 554 5.7.1 Relay access denied                   5yz, or 454 with relay denied: refused     other 4yz: put off, ask again
//   C: RSET                                            names us or a blocklist: refused us, not strangers
//   S: 250 2.0.0 Ok
//     … 2yz instead: DATA and one small message to ourselves; 250 is a yes, a refusal now takes the yes back
//   C: RCPT TO:<postmaster@example.org>                the control: a server that refuses this too refuses everybody
//   S: 250 2.1.5 Ok
//   C: STARTTLS                                        and the same again: another policy may hold behind it
//
// Where EHLO offers PIPELINING (RFC 2920), RSET, MAIL and RCPT of a variant, and of as many of the next as the server surely
// bears, are said at once; DATA never, because whether a message follows is for the answer to RCPT to decide. smtp_pipeline.h.
//
// `closed`: every core variant was refused and the control was granted (or all core variants want a login). `accepted`: a yes;
// only the arrival at our canary makes it `open`, and that is not for this file to say.
//
// How this harms nobody: only servers of the operator's own scope are asked. Every recipient is our own canary, except
// controls, which get no message. A message is sent only when our canary can see it arrive, once in a while for each kind of
// variant; it says what it is, and asks for no bounce. A sender that may bounce is ours or the server's own postmaster. After a
// few refusals the connection is ended with QUIT, so that no server has to defend itself.
#include "checks/smtp_relay.h"

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/network.h"
#include "checks/smtp_control.h"
#include "checks/smtp_delivery.h"
#include "checks/smtp_matrix.h"
#include "checks/smtp_message.h"
#include "checks/smtp_pipeline.h"
#include "checks/smtp_verdict.h"
#include "checks/smtp_visit.h"

namespace ajar {
namespace {

SmtpPipeline::Kind kind_of(const SmtpAsk& ask) {
  return {static_cast<std::uint8_t>(ask.sender - kSenders.data()),
          static_cast<std::uint8_t>(ask.recipient - kRecipients.data())};
}

constexpr std::size_t kUsualLine = 128;  // bytes that most MAIL and RCPT do not exceed

class RelayProbe {
 public:
  RelayProbe(Network& network, Canary& canary, const Subject& subject)
      : canary_(canary),
        subject_(subject),
        visit_(network, subject, canary.mail_domain()),
        pipeline_(visit_),
        picks_(pick_smtp_relay(subject)),
        asks_(picks_.size()),
        literal_(subject.address.literal()) {}
  static Task<Finding> run(Network& network, Canary& canary, const Subject& subject);

 private:
  // The matrix is asked in four parts, in the order of the plan.
  struct Part {
    bool core;
    bool tls;
  };
  static constexpr std::array<Part, 4> kParts = {Part{true, false}, Part{true, true}, Part{false, false}, Part{false, true}};
  Task<void> ask_all();
  SmtpAsk* next_of(const Part& part);
  SmtpAsk& spelled(std::size_t pick);
  Task<void> ask(SmtpAsk& ask);
  Task<bool> ask_together(SmtpAsk& ask, SmtpResult& result);
  void gather(SmtpAsk& ask);
  std::vector<SmtpAsk*> gather_more(const SmtpAsk& first);
  std::size_t take_answers(const std::vector<SmtpAsk*>& asked);
  bool missing_here(const SmtpAsk& ask, SmtpResult& result) const;
  Task<void> transaction(SmtpAsk& ask, SmtpResult& result);
  Task<void> send_message(const SmtpAsk& ask, SmtpResult& result);
  Task<int> ask_other(const SmtpAsk& like, std::string sender, std::string recipient);
  Task<void> doubt_yeses();

  std::string mail_line(const SmtpAsk& ask) const;
  std::string rcpt_line(const SmtpAsk& ask) const;
  RelayTest message(const SmtpAsk& ask) const;
  MailboxWords words(std::string_view token, std::string_view sender) const;
  const std::string& sender_token(const SmtpAsk& ask) const {
    return ask.sender_token.empty() ? sender_token_ : ask.sender_token;
  }
  void judge(SmtpResult& result, const SmtpReply& reply, SmtpStage stage) const;
  void record(const SmtpAsk& ask, SmtpResult result);
  void record_unasked(const SmtpAsk& ask, Reason reason);
  void begin_control();
  void begin_again();
  Finding conclude();

  Canary& canary_;
  const Subject& subject_;
  SmtpVisit visit_;
  SmtpPipeline pipeline_;
  std::vector<SmtpPick> picks_;
  std::size_t next_ = 0;
  std::vector<std::unique_ptr<SmtpAsk>> asks_;  // of each pick, once its turn has come
  const std::string literal_;                   // the address as a domain (RFC 5321 4.1.3)
  std::vector<SmtpResult> results_;
  std::vector<SmtpResult> more_;  // of those that were asked together with one and come after it
  std::vector<Retry> retries_;
  std::string sender_token_;  // of our own sender address in this probe
  std::unique_ptr<SmtpControl> control_;
  unsigned unasked_ = 0;  // forms that the server left us no time for
  bool alone_ = false;    // something was granted: no two variants in a batch
  bool accepts_everything_ = false;
  bool recently_sent_ = false;
};

Task<Finding> RelayProbe::run(Network& network, Canary& canary, const Subject& subject) {
  RelayProbe probe(network, canary, subject);
  const std::unique_ptr<SmtpVisit::Dismissal> dismissal = co_await probe.visit_.meet();
  if (dismissal) co_return probe.visit_.dismissed(*dismissal);
  probe.sender_token_ = canary.mint("sender");
  co_await probe.ask_all();
  if (probe.visit_.session().out_of_step()) {
    probe.begin_again();
    co_await probe.ask_all();
  }
  co_return probe.conclude();
}

// Ends early where the session falls out of step.
Task<void> RelayProbe::ask_all() {
  const SmtpSession& session = visit_.session();
  for (const Part& part : kParts) {
    while (SmtpAsk* const one = next_of(part)) {
      co_await ask(*one);
      if (session.out_of_step()) co_return;
    }
    settle_forged(results_);
    if (!part.core) continue;
    begin_control();
    co_await control_->ask(part.tls, results_);
    if (session.out_of_step()) co_return;
  }
  co_await doubt_yeses();
  co_await visit_.session().quit();
}

// Which of its replies answered what is not known: nothing of it counts, and all is asked one by one.
void RelayProbe::begin_again() {
  visit_.note("it said more than it was asked: all is asked again, one by one");
  visit_.begin_again();
  next_ = 0;
  results_.clear();
  retries_.clear();
  control_.reset();
  unasked_ = 0;
  accepts_everything_ = recently_sent_ = false;
}

void RelayProbe::begin_control() {
  if (control_) return;
  control_ =
      std::make_unique<SmtpControl>(visit_, subject_, write_mailbox(kSenders[0].mailbox, words({}, sender_token_)), &pipeline_);
}

// RFC 5321 3.3: MAIL, RCPT, DATA

// The next variant of the part that can be asked, spelled out; null when there is none.
SmtpAsk* RelayProbe::next_of(const Part& part) {
  for (; next_ < picks_.size() && picks_[next_].core == part.core && picks_[next_].tls == part.tls; ++next_) {
    if (part.tls && (!visit_.starttls_offered() || visit_.starttls_failed())) continue;
    SmtpAsk& one = spelled(next_);
    if (!visit_.given_up()) {
      ++next_;
      return &one;
    }
    record_unasked(one, *visit_.given_up());
  }
  return nullptr;
}

// Whose turn comes a second time keeps its token.
SmtpAsk& RelayProbe::spelled(std::size_t pick) {
  if (!asks_[pick]) asks_[pick] = std::make_unique<SmtpAsk>(spell_out(picks_[pick], subject_));
  return *asks_[pick];
}

// That way is not there: refused, in a word.
bool RelayProbe::missing_here(const SmtpAsk& ask, SmtpResult& result) const {
  if (!ask.recipient->needs_smtputf8 || visit_.offers().smtputf8) return false;
  result.ask = &ask;
  result.asked.variant.verdict = Verdict::closed;
  result.asked.variant.reason = Reason::refused;
  return true;
}

// Asks one variant, and with it as many of the next as the server takes at once; where it hangs up on that one, once more on a
// new connection.
Task<void> RelayProbe::ask(SmtpAsk& ask) {
  for (int attempt = 1;; ++attempt) {
    SmtpResult result;
    std::optional<Reason> failure;
    bool ready = true, answered = true;
    try {
      ready = co_await visit_.prepare(ask.tls, SmtpVisit::Reset::with_batch);
      const bool missing = ready && missing_here(ask, result);
      if (ready && !missing && !pipeline_.takes(kind_of(ask))) ready = co_await visit_.prepare(ask.tls);
      if (ready && !missing) {
        if (pipeline_.takes(kind_of(ask))) {
          answered = co_await ask_together(ask, result);
        } else {
          co_await transaction(ask, result);
        }
      }
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (!ready) co_return;
    if (!answered) {
      --attempt;  // it comes alone now, or one command at a time
      continue;
    }
    if (failure) visit_.broken_off(*failure);
    if (result.closing) visit_.session().drop();
    const bool again = attempt == 1 && !visit_.given_up() && (failure ? *failure != Reason::timeout : result.closing);
    if (again) continue;
    if (failure) {
      record_unasked(ask, *failure == Reason::nobody_listens ? Reason::hung_up : *failure);
    } else {
      visit_.answered();
      record(ask, std::move(result));
    }
    for (SmtpResult& more : more_) {
      const SmtpAsk& one = *more.ask;
      record(one, std::move(more));
    }
    more_.clear();
    co_return;
  }
}

Task<void> RelayProbe::transaction(SmtpAsk& ask, SmtpResult& result) {
  result.ask = &ask;
  if (ask.token.empty()) ask.token = canary_.mint(ask.name);
  visit_.note(ask.name);

  std::string line = mail_line(ask);
  SmtpReply reply = co_await visit_.command(std::move(line));
  if (reply.kind() != 2) {
    pipeline_.learn(kind_of(ask), reply, nullptr);
    judge(result, reply, SmtpStage::mail);
    co_return;
  }
  visit_.left_open(true);
  line = rcpt_line(ask);
  const SmtpReply answer = co_await visit_.command(std::move(line));
  pipeline_.learn(kind_of(ask), reply, &answer);
  judge(result, answer, SmtpStage::rcpt);
  if (result.asked.variant.verdict == Verdict::accepted) co_await send_message(ask, result);
}

// RFC 2920: transactions together, DATA never with them: whether a message follows is decided by the answer to RCPT

void RelayProbe::gather(SmtpAsk& ask) {
  if (ask.token.empty()) ask.token = canary_.mint(ask.name);
  pipeline_.add(kind_of(ask), ask.name, mail_line(ask), rcpt_line(ask));
}

// Those of the same part that come after `first`. Where something was granted there will be DATA: then each is alone.
std::vector<SmtpAsk*> RelayProbe::gather_more(const SmtpAsk& first) {
  std::vector<SmtpAsk*> asked;
  while (!alone_ && next_ < picks_.size()) {
    const SmtpPick& pick = picks_[next_];
    if (pick.core != first.core || pick.tls != first.tls) break;
    if (kRecipients[pick.recipient].needs_smtputf8 && !visit_.offers().smtputf8) break;
    if (!pipeline_.takes({pick.sender, pick.recipient})) break;
    asked.push_back(&spelled(next_));
    gather(*asked.back());
    ++next_;
  }
  return asked;
}

// False: nothing is known of `ask` yet, and it is to be asked again.
Task<bool> RelayProbe::ask_together(SmtpAsk& ask, SmtpResult& result) {
  gather(ask);
  std::vector<SmtpAsk*> asked = gather_more(ask);
  asked.insert(asked.begin(), &ask);
  const bool whole = co_await pipeline_.ask();
  const std::size_t taken = whole ? take_answers(asked) : 0;
  co_await pipeline_.end();
  // The rest has its turn again.
  next_ -= asked.size() - std::max<std::size_t>(taken, 1);
  if (taken == 0) co_return false;
  result = std::move(more_.front());
  more_.erase(more_.begin());
  if (result.asked.variant.verdict == Verdict::accepted) co_await send_message(ask, result);
  co_return true;
}

// Into more_. Returns how many of them are to stand: up to a RSET that was refused, and up to the first yes that is not alone,
// because its transaction is over.
std::size_t RelayProbe::take_answers(const std::vector<SmtpAsk*>& asked) {
  for (std::size_t i = 0; i < asked.size() && !pipeline_.void_of(i); ++i) {
    SmtpResult result;
    result.ask = asked[i];
    const bool greeted = pipeline_.mail(i).kind() == 2;
    judge(result, greeted ? pipeline_.rcpt(i) : pipeline_.mail(i), greeted ? SmtpStage::rcpt : SmtpStage::mail);
    const bool yes = result.asked.variant.verdict == Verdict::accepted;
    alone_ = alone_ || yes;
    if (yes && asked.size() > 1) break;
    more_.push_back(std::move(result));
  }
  return more_.size();
}

// RFC 5321 4.1.1.4. A yes becomes a message to ourselves, where the canary can see it arrive.
Task<void> RelayProbe::send_message(const SmtpAsk& ask, SmtpResult& result) {
  Variant& variant = result.asked.variant;
  const std::string message_class = ask.message_class();
  const Permit permit = co_await canary_.ask_to_send(ask.token, ask.name, message_class);
  variant.reason = reason_of(permit);
  recently_sent_ = recently_sent_ || permit == Permit::recently_sent;
  if (permit != Permit::granted) co_return;
  std::string text = relay_test_message(message(ask));
  const SmtpDelivery delivery = co_await deliver(visit_, canary_, ask.token, std::move(text));
  if (delivery.lost) co_return;
  judge(result, delivery.reply, SmtpStage::data);
  if (delivery.taken) variant.reason = Reason::token_pending;
}

RelayTest RelayProbe::message(const SmtpAsk& ask) const {
  RelayTest test;
  test.token = ask.token;
  test.sender = write_mailbox(kSenders[0].mailbox, words(ask.token, sender_token(ask)));
  test.recipient = write_mailbox(kRecipients[0].mailbox, words(ask.token, sender_token(ask)));
  test.our_name = subject_.our_name;
  test.contact = subject_.contact;
  test.server = join_host_port(subject_.address, subject_.port);
  test.target = subject_.target;
  test.variant = ask.name;
  test.date = subject_.date;
  return test;
}

MailboxWords RelayProbe::words(std::string_view token, std::string_view sender) const {
  return {token, sender, visit_.canary_domain(), visit_.local_domain(), literal_};
}

std::string RelayProbe::mail_line(const SmtpAsk& ask) const {
  std::string line;
  line.reserve(kUsualLine);
  line += "MAIL FROM:<";
  write_mailbox(line, ask.sender->mailbox, words(ask.token, sender_token(ask)));
  line += ask.recipient->needs_smtputf8 ? "> SMTPUTF8" : ">";
  return line;
}

std::string RelayProbe::rcpt_line(const SmtpAsk& ask) const {
  std::string line;
  line.reserve(kUsualLine);
  line += "RCPT TO:<";
  write_mailbox(line, ask.recipient->mailbox, words(ask.token, sender_token(ask)));
  line += visit_.offers().dsn ? "> NOTIFY=NEVER" : ">";  // RFC 3461 4.1: no bounce
  return line;
}

// What a reply makes of a variant.
void RelayProbe::judge(SmtpResult& result, const SmtpReply& reply, SmtpStage stage) const {
  const bool external = is_external(*result.ask);
  SmtpAnswer answer = visit_.read(reply, stage);
  // A sender that is not ours may be refused for SPF, with our address or HELO in the text: the server doing its job.
  const bool about_us = answer == SmtpAnswer::names_us || answer == SmtpAnswer::blocked;
  if (about_us && !external && stage != SmtpStage::data && reply.kind() == 5 && speaks_of_spf(reply))
    answer = SmtpAnswer::refused;
  take_answer(result, reply, answer, stage, external);
  if (answer == SmtpAnswer::yes) result.local_yes = result.ask->recipient->place != kOutside;
}

void RelayProbe::record(const SmtpAsk& ask, SmtpResult result) {
  Variant& variant = result.asked.variant;
  variant.name = ask.name;
  result.ask = &ask;
  result.asked.core = ask.core;
  result.asked.must_ask = ask.must_ask;
  // RFC 5321 4.5.4.1: 4yz, try again; greylisting knows us by source, sender and recipient.
  const bool put_off_again = ask.retried || (variant.code && *variant.code / 100 == 4);
  if (variant.verdict == Verdict::unclear && put_off_again && !result.wants_tls) {
    retries_.push_back({ask.name, ask.token, ask.token.empty() ? std::string() : sender_token(ask)});
  }
  if (results_.empty()) results_.reserve(picks_.size());
  results_.push_back(std::move(result));
}

// A variant that the verdict rests on and that got no answer.
void RelayProbe::record_unasked(const SmtpAsk& ask, Reason reason) {
  if (!ask.core && !ask.must_ask && !ask.retried && ask.token.empty()) {
    ++unasked_;  // never said: not worth a line of its own
    return;
  }
  SmtpResult result;
  // TLS that wants a certificate of ours is a refusal of all who have none.
  result.asked.variant.verdict = reason == Reason::auth_required ? Verdict::closed : Verdict::unclear;
  result.asked.variant.reason = reason;
  record(ask, std::move(result));
}

// Doubts about a yes

// The reply code to another recipient, on the side of STARTTLS where `like` was asked; 0 when there was none. No message
// follows.
Task<int> RelayProbe::ask_other(const SmtpAsk& like, std::string sender, std::string recipient) {
  if (visit_.given_up()) co_return 0;
  std::optional<Reason> failure;
  int code = 0;
  try {
    const bool ready = co_await visit_.prepare(like.tls);
    if (!ready) co_return 0;
    const SmtpReply mail = co_await visit_.command("MAIL FROM:<" + sender + ">");
    if (mail.kind() == 2) {
      visit_.left_open(true);
      const SmtpReply reply = co_await visit_.command("RCPT TO:<" + recipient + ">");
      code = reply.code;
    }
  } catch (const LinkError& error) {
    failure = error.reason();
  }
  if (failure) visit_.broken_off(*failure);
  if (code == 421) visit_.session().drop();
  co_return code;
}

// A yes to a recipient in its own domain counts only where a random local part there is refused: else it is local delivery. And
// a server that takes an impossible recipient (RFC 2606 2: .invalid) takes everything.
Task<void> RelayProbe::doubt_yeses() {
  std::set<std::string> refuses;
  std::set<std::string> takes;
  std::set<std::string> unknown;
  for (SmtpResult& result : results_) {
    if (!result.local_yes || result.asked.variant.verdict != Verdict::accepted) continue;
    const std::string place = fmt::format("{} {} {}", result.ask->sender->name, result.ask->recipient->place, result.ask->tls);
    if (refuses.count(place) + takes.count(place) + unknown.count(place) == 0) {
      visit_.note("a random local part in the same place as " + result.ask->name);
      const std::string sender = write_mailbox(result.ask->sender->mailbox, words({}, sender_token(*result.ask)));
      const std::string random = write_mailbox(result.ask->recipient->place, words(canary_.mint("random_local"), {}));
      const int code = co_await ask_other(*result.ask, sender, random);
      (code / 100 == 5 ? refuses : code / 100 == 2 ? takes : unknown).insert(place);
    }
    if (refuses.count(place) > 0) continue;
    result.asked.counts = false;
    result.asked.variant.verdict = Verdict::unclear;
    // Nobody said whether it is local delivery: then it is no refusal either.
    if (unknown.count(place) > 0) result.asked.must_ask = true;
  }
  for (const SmtpResult& result : results_) {
    if (result.asked.variant.verdict != Verdict::accepted) continue;
    visit_.note("an impossible recipient");
    const std::string token = canary_.mint("impossible");
    const std::string impossible = token.substr(0, 12) + "@" + token + ".invalid";
    const std::string sender = write_mailbox(result.ask->sender->mailbox, words({}, sender_token(*result.ask)));
    const int code = co_await ask_other(*result.ask, sender, impossible);
    accepts_everything_ = code / 100 == 2;
    break;
  }
}

// The verdict

Finding RelayProbe::conclude() {
  std::vector<SmtpAsk> plan;  // names what said yes before; lives as long as the results are looked at
  if (!subject_.must_ask.empty()) plan = plan_smtp_relay(subject_);
  settle_starttls(results_, plan, visit_.starttls_offered());
  if (visit_.session().certificate_wanted()) settle_certificate(results_);
  settle_submission(results_, subject_.port, visit_.auth_offered(), control_->all_refused());
  settle_forged(results_);
  std::vector<Asked> asked;
  asked.reserve(results_.size());
  for (SmtpResult& result : results_) asked.push_back(std::move(result.asked));
  const Folded judgement = fold(asked, control_->result(), accepts_everything_);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = because(judgement, asked);
  finding.spoken = "SMTP";
  finding.observations = visit_.observations();
  if (recently_sent_) {
    finding.observations.emplace_back("No message was sent where one of that kind was sent within message_interval.");
  }
  finding.whole = unasked_ == 0;
  if (unasked_ > 0) finding.observations.push_back(fmt::format("{} more forms could not be asked", unasked_));
  finding.retries = std::move(retries_);
  finding.tls = visit_.tls();
  finding.variants.reserve(asked.size());
  for (Asked& one : asked) finding.variants.push_back(std::move(one.variant));
  return finding;
}

}  // namespace

Task<Finding> smtp_relay(Network& network, Canary& canary, const Subject& subject) {
  return RelayProbe::run(network, canary, subject);
}

}  // namespace ajar
