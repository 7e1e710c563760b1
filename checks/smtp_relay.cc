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
// `closed`: every core variant was refused and the control was granted (or all core variants want a login). `accepted`: a yes;
// only the arrival at our canary makes it `open`, and that is not for this file to say.
//
// How this harms nobody: only servers of the operator's own scope are asked. Every recipient is our own canary, except
// controls, which get no message. A message is sent only when our canary can see it arrive, once in a while for each kind of
// variant; it says what it is, and asks for no bounce. A sender that may bounce is ours or the server's own postmaster. After a
// few refusals the connection is ended with QUIT, so that no server has to defend itself.
#include "checks/smtp_relay.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/network.h"
#include "checks/smtp_answer.h"
#include "checks/smtp_matrix.h"
#include "checks/smtp_message.h"
#include "checks/smtp_session.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxControls = 16;
constexpr int kMaxDead = 3;  // so many connections in a row that ended without an answer: it does not want to talk

// Fit to stand in a command, between < and >.
bool speakable(const std::string& mailbox) {
  const auto fits = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f' && c != '<' && c != '>'; };
  return !mailbox.empty() && std::all_of(mailbox.begin(), mailbox.end(), fits);
}

// What came of one variant.
struct Result {
  Asked asked;
  const SmtpAsk* ask = nullptr;
  bool wants_tls = false;  // not asked: it wants STARTTLS first
  bool names_us = false;   // refused with our address in the text and nothing else
  bool closing = false;    // 421
  bool local_yes = false;  // a yes to a recipient in its own domain
};

class RelayProbe {
 public:
  RelayProbe(Network& network, Canary& canary, const Subject& subject)
      : canary_(canary),
        subject_(subject),
        transcript_(network.transcript()),
        session_(network, subject),
        asks_(plan_smtp_relay(subject)) {}
  Task<Finding> run();

 private:
  // The connection.
  Task<bool> meet();
  Task<bool> prepare(bool tls);
  Task<void> connect();
  void observe();
  void broken_off(Reason reason);

  // One variant.
  Task<void> ask_all(bool core, bool tls);
  Task<void> ask(SmtpAsk& ask);
  Task<void> transaction(SmtpAsk& ask, Result& result);
  Task<void> send_message(const SmtpAsk& ask, Result& result);
  std::string mail_line(const SmtpAsk& ask) const;
  std::string rcpt_line(const SmtpAsk& ask) const;
  MailboxWords words(const std::string& token, const std::string& sender) const;
  void judge(Result& result, const SmtpReply& reply, SmtpStage stage) const;
  void put_off(const SmtpAsk& ask);
  void record(const SmtpAsk& ask, Result result);
  void record_unasked(const SmtpAsk& ask, Reason reason);

  // What is asked beside the variants.
  Task<void> ask_control(bool tls);
  Task<void> control_transaction();
  bool control_needed(bool tls) const;
  bool is_control_success(const SmtpReply& reply) const;
  Task<int> ask_other(const SmtpAsk& like, std::string sender, std::string recipient);
  Task<void> doubt_yeses();

  // The verdict.
  Finding conclude();
  void finish(Verdict verdict, Reason reason, const std::string& because);
  void settle_tls();
  void settle_forged();
  void settle_submission();
  std::optional<int> one_core_code() const;

  SmtpAnswer read(const SmtpReply& reply, SmtpStage stage) const { return read_answer(reply, stage, spoken_, session_.tls()); }

  Canary& canary_;
  const Subject& subject_;
  Transcript& transcript_;
  SmtpSession session_;
  std::vector<SmtpAsk> asks_;
  std::vector<Result> results_;
  Finding finding_;
  Spoken spoken_;
  std::string domain_;        // the local domain, or the address literal where none is known
  std::string sender_token_;  // of our own sender address in this probe
  bool dirty_ = false;        // the last transaction on this connection was left open
  bool starttls_offered_ = false;
  bool tls_reached_ = false;
  bool auth_offered_ = false;
  int tls_failures_ = 0;
  int dead_ = 0;
  std::optional<Reason> given_up_;
  bool accepts_everything_ = false;

  Control control_;
  std::vector<std::string> controls_;  // mailboxes
  std::size_t next_control_ = 0;
  bool control_blocked_ = false;
  bool controls_refused_ = true;  // every one asked so far, by 5yz
};

Task<Finding> RelayProbe::run() {
  const bool serves = co_await meet();
  if (!serves) co_return std::move(finding_);
  for (const bool core : {true, false}) {
    for (const bool tls : {false, true}) {
      co_await ask_all(core, tls);
      if (core) co_await ask_control(tls);
    }
  }
  co_await doubt_yeses();
  co_await session_.quit();
  co_return conclude();
}

// RFC 5321 3.1, 4.1.1.1: greeting and EHLO
// ---------------------------------------------------------------------------------------

// The first connection. False when the finding is complete already. LinkError when nothing was learnt.
Task<bool> RelayProbe::meet() {
  for (int attempt = 1;; ++attempt) {
    std::optional<LinkError> failure;
    SmtpSession::Opening opening = SmtpSession::Opening::refused;
    try {
      opening = co_await session_.open();
    } catch (const LinkError& error) {
      failure = error;
    }
    if (failure) {
      session_.drop();
      const Reason reason = failure->reason();
      if (attempt == 1 && reason == Reason::hung_up) continue;  // once is chance
      if (attempt == 1 && !session_.said_anything()) throw LinkError(*failure);
      const bool tells = session_.said_anything() && reason != Reason::nobody_listens;
      finish(Verdict::unclear, tells ? reason : Reason::hung_up, failure->what());
      co_return false;
    }
    if (opening == SmtpSession::Opening::other_protocol) {
      session_.drop();
      finish(Verdict::closed, Reason::other_protocol,
             "It speaks another protocol: " + escape(session_.other_protocol_line(), 80));
      co_return false;
    }
    domain_ = !subject_.mail_domains.empty() ? subject_.mail_domains.front() : subject_.host;
    if (!speakable(domain_)) domain_ = spoken_name(session_.greeting());
    if (domain_.empty()) domain_ = subject_.address.literal();
    spoken_.our_name = subject_.our_name;
    spoken_.server = subject_.address;
    spoken_.names = {canary_.mail_domain(), domain_, subject_.host, spoken_name(session_.greeting())};
    spoken_.names.insert(spoken_.names.end(), subject_.mail_domains.begin(), subject_.mail_domains.end());
    if (opening == SmtpSession::Opening::ready) break;

    // 554 "no SMTP service here", 421 "busy", 550 "your address is listed": it refuses everything, which proves nothing.
    const SmtpReply& reply = session_.last();
    const SmtpAnswer answer = read(reply, SmtpStage::hello);
    const bool blocked = answer == SmtpAnswer::blocked || answer == SmtpAnswer::names_us;
    const Reason reason = blocked ? Reason::source_blocked : reply.kind() == 4 ? Reason::greylisted : Reason::control_failed;
    finish(Verdict::unclear, reason,
           fmt::format("It turned us away before any mail: {} {}", reply.code, escape(reply.text(), 120)));
    co_await session_.quit();
    co_return false;
  }
  observe();
  sender_token_ = canary_.mint("sender");
  for (const std::string& mailbox : subject_.control_recipients) controls_.push_back(mailbox);
  for (const std::string& domain : subject_.mail_domains) controls_.push_back("postmaster@" + domain);
  if (subject_.mail_domains.empty()) controls_.push_back("postmaster@" + domain_);
  std::erase_if(controls_, [](const std::string& mailbox) { return !speakable(mailbox); });
  if (controls_.size() >= kMaxControls) controls_.resize(kMaxControls - 1);
  controls_.push_back("Postmaster");
  co_return true;
}

void RelayProbe::observe() {
  const SmtpCapabilities& offers = session_.offers();
  const auto note = [&](bool condition, const char* fact) {
    auto& facts = finding_.observations;
    if (condition && std::find(facts.begin(), facts.end(), fact) == facts.end()) facts.emplace_back(fact);
  };
  note(offers.auth && !session_.tls(), "AUTH offered in clear text");
  note(offers.xclient, "XCLIENT offered to a stranger");
  note(offers.xforward, "XFORWARD offered to a stranger");
  auth_offered_ = auth_offered_ || offers.auth;
  if (!session_.tls()) starttls_offered_ = starttls_offered_ || offers.starttls;
  finding_.tls = subject_.tls == TlsMode::implicit ? TlsMode::implicit : finding_.tls;
}

Task<void> RelayProbe::connect() {
  if (session_.connections() >= SmtpSession::kMaxConnections) {
    given_up_ = Reason::hung_up;
    throw LinkError(Reason::hung_up, "too many connections needed");
  }
  dirty_ = false;
  const SmtpSession::Opening opening = co_await session_.open();
  if (opening == SmtpSession::Opening::ready) {
    observe();
    co_return;
  }
  if (opening == SmtpSession::Opening::other_protocol) throw LinkError(Reason::protocol_error, "another protocol than before");
  const SmtpAnswer answer = read(session_.last(), SmtpStage::hello);
  const bool blocked = answer == SmtpAnswer::blocked || answer == SmtpAnswer::names_us;
  co_await session_.quit();
  throw LinkError(blocked ? Reason::source_blocked : Reason::hung_up, "turned away from a later connection");
}

// A connection on which a transaction may begin, in clear text or after STARTTLS. False: STARTTLS is not to be had. LinkError.
Task<bool> RelayProbe::prepare(bool tls) {
  if (session_.connected() && (session_.worn_out() || (session_.after_starttls() && !tls))) co_await session_.quit();
  if (session_.connected() && dirty_) co_await session_.reset();
  dirty_ = false;
  if (!session_.connected()) co_await connect();
  while (tls && !session_.after_starttls()) {
    if (tls_failures_ >= 2 || !session_.offers().starttls) co_return false;
    const SmtpSession::Upgrade upgrade = co_await session_.start_tls();
    if (upgrade == SmtpSession::Upgrade::done) {
      tls_reached_ = true;
      finding_.tls = TlsMode::starttls;
      observe();
      break;
    }
    ++tls_failures_;
    co_await connect();
  }
  co_return true;
}

// After a LinkError: what it said so far stays valid, the rest is asked on a new connection, unless it is of no use.
void RelayProbe::broken_off(Reason reason) {
  session_.drop();
  dead_ += reason == Reason::timeout ? 2 : 1;
  if (dead_ >= kMaxDead && !given_up_) given_up_ = reason;
}

// RFC 5321 3.3: MAIL, RCPT, DATA
// ---------------------------------------------------------------------------------------------------

Task<void> RelayProbe::ask_all(bool core, bool tls) {
  for (SmtpAsk& one : asks_) {
    if (one.core != core || one.tls != tls) continue;
    if (tls && (!starttls_offered_ || tls_failures_ >= 2)) co_return;
    if (given_up_) {
      record_unasked(one, *given_up_);
      continue;
    }
    co_await ask(one);
  }
}

// Asks one variant; where the server hangs up on it, once more on a new connection.
Task<void> RelayProbe::ask(SmtpAsk& ask) {
  for (int attempt = 1;; ++attempt) {
    Result result;
    std::optional<Reason> failure;
    bool ready = true;
    try {
      ready = co_await prepare(ask.tls);
      if (ready) co_await transaction(ask, result);
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (!ready) co_return;
    if (failure) broken_off(*failure);
    if (result.closing) session_.drop();
    const bool again = attempt == 1 && !given_up_ && (failure ? *failure != Reason::timeout : result.closing);
    if (again) continue;
    if (failure) {
      record_unasked(ask, *failure == Reason::nobody_listens ? Reason::hung_up : *failure);
    } else {
      dead_ = 0;
      record(ask, std::move(result));
    }
    co_return;
  }
}

Task<void> RelayProbe::transaction(SmtpAsk& ask, Result& result) {
  result.ask = &ask;
  if (ask.recipient->needs_smtputf8 && !session_.offers().smtputf8) {
    // That way is not there: refused, in a word.
    result.asked.variant.verdict = Verdict::closed;
    result.asked.variant.reason = Reason::refused;
    co_return;
  }
  if (ask.token.empty()) ask.token = canary_.mint(ask.name);
  if (ask.sender_token.empty()) ask.sender_token = sender_token_;
  transcript_.note(ask.name);

  const std::string mail = mail_line(ask);
  const SmtpReply granted = co_await session_.command(mail);
  if (granted.kind() != 2) {
    judge(result, granted, SmtpStage::mail);
    co_return;
  }
  dirty_ = true;
  const std::string rcpt = rcpt_line(ask);
  const SmtpReply reply = co_await session_.command(rcpt);
  judge(result, reply, SmtpStage::rcpt);
  if (result.asked.variant.verdict == Verdict::accepted) co_await send_message(ask, result);
}

// RFC 5321 4.1.1.4. A yes becomes a message to ourselves, where the canary can see it arrive.
Task<void> RelayProbe::send_message(const SmtpAsk& ask, Result& result) {
  Variant& variant = result.asked.variant;
  switch (canary_.ask_to_send(ask.token, ask.name, ask.message_class())) {
    case Permit::granted:
      variant.reason = Reason::token_pending;
      break;
    case Permit::pending:
      variant.reason = Reason::token_pending;
      co_return;
    case Permit::canary_down:
      variant.reason = Reason::canary_unreachable;
      co_return;
    case Permit::recently_sent:
    case Permit::no_mail_domain:
      variant.reason = Reason::no_proof;
      co_return;
  }
  RelayTest test;
  test.token = ask.token;
  test.sender = write_mailbox(kSenders[0].mailbox, words(ask.token, ask.sender_token));
  test.recipient = write_mailbox(kRecipients[0].mailbox, words(ask.token, ask.sender_token));
  test.our_name = subject_.our_name;
  test.contact = subject_.contact;
  test.server = join_host_port(subject_.address, subject_.port);
  test.target = subject_.target;
  test.variant = ask.name;
  test.date = subject_.date;

  bool said = false;
  std::exception_ptr failure;
  SmtpReply reply;
  try {
    reply = co_await session_.command("DATA");
    if (reply.code == 354) {
      co_await session_.say_message(relay_test_message(test));
      said = true;
      reply = co_await session_.hear_reply();
    } else if (reply.kind() < 4) {
      throw LinkError(Reason::protocol_error, "not an answer to DATA");
    }
  } catch (const LinkError&) {
    failure = std::current_exception();
  }
  if (failure && said) {  // it may have been taken: the canary will see
    session_.drop();
    co_return;
  }
  const bool taken = !failure && said && reply.kind() == 2;
  if (!taken) canary_.not_sent(ask.token);
  if (failure) std::rethrow_exception(failure);
  dirty_ = !taken;  // RFC 5321 4.1.1.4: the buffers are cleared
  judge(result, reply, SmtpStage::data);
  if (taken) variant.reason = Reason::token_pending;
}

MailboxWords RelayProbe::words(const std::string& token, const std::string& sender) const {
  MailboxWords words;
  words.token = token;
  words.sender = sender;
  words.canary = canary_.mail_domain();
  words.domain = domain_;
  words.address = subject_.address.literal();
  return words;
}

std::string RelayProbe::mail_line(const SmtpAsk& ask) const {
  const std::string mailbox = write_mailbox(ask.sender->mailbox, words(ask.token, ask.sender_token));
  return fmt::format("MAIL FROM:<{}>{}", mailbox, ask.recipient->needs_smtputf8 ? " SMTPUTF8" : "");
}

std::string RelayProbe::rcpt_line(const SmtpAsk& ask) const {
  const std::string mailbox = write_mailbox(ask.recipient->mailbox, words(ask.token, ask.sender_token));
  return fmt::format("RCPT TO:<{}>{}", mailbox, session_.offers().dsn ? " NOTIFY=NEVER" : "");  // RFC 3461 4.1: no bounce
}

// What a reply makes of a variant.
void RelayProbe::judge(Result& result, const SmtpReply& reply, SmtpStage stage) const {
  const bool external = result.ask->sender == &kSenders[0];
  Variant& variant = result.asked.variant;
  variant.code = reply.code;
  variant.reply = escape(reply.text(), 240);
  result.closing = reply.code == 421;
  SmtpAnswer answer = read(reply, stage);
  // A sender that is not ours may be refused for SPF, with our address or HELO in the text: the server doing its job.
  const bool about_us = answer == SmtpAnswer::names_us || answer == SmtpAnswer::blocked;
  if (about_us && !external && stage != SmtpStage::data && reply.kind() == 5 && speaks_of_spf(reply))
    answer = SmtpAnswer::refused;
  const auto set = [&](Verdict verdict, Reason reason) {
    variant.verdict = verdict;
    variant.reason = reason;
  };
  switch (answer) {
    case SmtpAnswer::yes:
      set(Verdict::accepted, Reason::no_proof);
      result.local_yes = result.ask->recipient->place != kOutside;
      break;
    case SmtpAnswer::refused:
      // A refusal of our own sender says nothing about relaying.
      set(external && stage == SmtpStage::mail ? Verdict::unclear : Verdict::closed, Reason::refused);
      break;
    case SmtpAnswer::put_off:
      set(Verdict::unclear, Reason::greylisted);
      break;
    case SmtpAnswer::wants_auth:
      set(Verdict::closed, Reason::auth_required);
      break;
    case SmtpAnswer::wants_tls:
      set(Verdict::unclear, Reason::tls_failed);
      result.wants_tls = true;
      break;
    case SmtpAnswer::bad_sequence:
      set(Verdict::unclear, Reason::protocol_error);
      break;
    case SmtpAnswer::names_us:
      result.names_us = reply.kind() == 5;
      [[fallthrough]];
    case SmtpAnswer::blocked:
      set(Verdict::unclear, Reason::source_blocked);
      break;
  }
  if (stage == SmtpStage::mail && answer == SmtpAnswer::yes) set(Verdict::unclear, Reason::protocol_error);  // 3yz
  if (reply.kind() == 3) set(Verdict::unclear, Reason::protocol_error);
}

void RelayProbe::record(const SmtpAsk& ask, Result result) {
  Variant& variant = result.asked.variant;
  variant.name = ask.name;
  result.ask = &ask;
  result.asked.core = ask.core;
  result.asked.must_ask = ask.must_ask;
  // RFC 5321 4.5.4.1: 4yz, try again; greylisting knows us by source, sender and recipient.
  const bool put_off_again = ask.retried || (variant.code && *variant.code / 100 == 4);
  if (variant.verdict == Verdict::unclear && put_off_again && !result.wants_tls) put_off(ask);
  results_.push_back(std::move(result));
}

void RelayProbe::put_off(const SmtpAsk& ask) {
  Retry retry;
  retry.variant = ask.name;
  retry.token = ask.token;
  retry.sender_token = ask.sender_token;
  finding_.retries.push_back(std::move(retry));
}

// A variant that the verdict rests on and that got no answer.
void RelayProbe::record_unasked(const SmtpAsk& ask, Reason reason) {
  if (!ask.core && !ask.must_ask && !ask.retried && ask.token.empty()) return;  // never said: not worth a line
  Result result;
  result.asked.variant.verdict = Verdict::unclear;
  result.asked.variant.reason = reason;
  record(ask, std::move(result));
}

// RFC 5321 4.5.1: the control, which a server for mail must grant
// -----------------------------------------------------------------

// Worth asking when every core variant on this side of STARTTLS was refused: beside anything else it changes nothing.
bool RelayProbe::control_needed(bool tls) const {
  if (given_up_ || control_.result == Control::Result::succeeded) return false;
  bool refused = false;
  for (const Result& result : results_) {
    if (!result.asked.core || result.ask->tls != tls || result.wants_tls) continue;
    if (result.asked.variant.verdict != Verdict::closed) return false;
    refused = refused || result.asked.variant.reason != Reason::auth_required;
  }
  return refused;
}

// 2yz; or put off with 450 to 452 where the core was refused for good: greylisting is for recipients that it would take.
bool RelayProbe::is_control_success(const SmtpReply& reply) const {
  if (reply.kind() == 2) return true;
  if (reply.code < 450 || reply.code > 452 || read(reply, SmtpStage::rcpt) != SmtpAnswer::put_off) return false;
  return std::none_of(results_.begin(), results_.end(),
                      [&](const Result& r) { return r.asked.core && r.asked.variant.code == reply.code; });
}

Task<void> RelayProbe::ask_control(bool tls) {
  settle_forged();
  if (!control_needed(tls)) co_return;
  next_control_ = 0;
  controls_refused_ = true;
  for (int attempt = 1; next_control_ < controls_.size() && control_.result != Control::Result::succeeded; ++attempt) {
    std::optional<Reason> failure;
    try {
      const bool ready = co_await prepare(tls);
      if (!ready) co_return;
      transcript_.note("control");
      co_await control_transaction();
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (!failure) continue;
    broken_off(*failure);
    if (attempt < 2 && !given_up_) continue;
    controls_refused_ = false;
    control_.result = Control::Result::failed;
    control_.reason = *failure == Reason::nobody_listens ? Reason::hung_up : *failure;
    break;
  }
}

Task<void> RelayProbe::control_transaction() {
  control_.result = Control::Result::failed;
  control_.reason = Reason::control_failed;
  const std::string ours = "MAIL FROM:<" + write_mailbox(kSenders[0].mailbox, words({}, sender_token_)) + ">";
  SmtpReply reply = co_await session_.command(ours);
  if (reply.kind() == 5) reply = co_await session_.command("MAIL FROM:<>");
  if (reply.kind() != 2) {
    if (reply.code == 421) throw LinkError(Reason::hung_up, "421 to the control");
    const SmtpAnswer answer = read(reply, SmtpStage::mail);
    control_blocked_ = control_blocked_ || answer == SmtpAnswer::blocked || answer == SmtpAnswer::names_us;
    controls_refused_ = reply.kind() == 5;
    next_control_ = controls_.size();
  }
  dirty_ = true;
  for (bool first = true; next_control_ < controls_.size() && (first || !session_.worn_out()); first = false) {
    const std::string recipient = "RCPT TO:<" + controls_[next_control_] + ">";
    reply = co_await session_.command(recipient);
    if (reply.code == 421) throw LinkError(Reason::hung_up, "421 to the control");
    ++next_control_;
    if (is_control_success(reply)) {
      control_.result = Control::Result::succeeded;
      co_return;
    }
    const SmtpAnswer answer = read(reply, SmtpStage::rcpt);
    control_blocked_ = control_blocked_ || answer == SmtpAnswer::blocked || answer == SmtpAnswer::names_us;
    controls_refused_ = controls_refused_ && reply.kind() == 5;
  }
  if (control_blocked_) control_.reason = Reason::source_blocked;
}

// Doubts about a yes
// ------------------------------------------------------------------------------------------------------------------

// The reply code to another recipient, on the side of STARTTLS where `like` was asked; 0 when there was none. No message
// follows.
Task<int> RelayProbe::ask_other(const SmtpAsk& like, std::string sender, std::string recipient) {
  if (given_up_) co_return 0;
  std::optional<Reason> failure;
  int code = 0;
  try {
    const bool ready = co_await prepare(like.tls);
    if (!ready) co_return 0;
    const SmtpReply mail = co_await session_.command("MAIL FROM:<" + sender + ">");
    if (mail.kind() == 2) {
      dirty_ = true;
      const SmtpReply reply = co_await session_.command("RCPT TO:<" + recipient + ">");
      code = reply.code;
    }
  } catch (const LinkError& error) {
    failure = error.reason();
  }
  if (failure) broken_off(*failure);
  if (code == 421) session_.drop();
  co_return code;
}

// A yes to a recipient in its own domain counts only where a random local part there is refused: else it is local delivery. And
// a server that takes an impossible recipient (RFC 2606 2: .invalid) takes everything.
Task<void> RelayProbe::doubt_yeses() {
  std::set<std::string> refuses;
  std::set<std::string> takes;
  for (Result& result : results_) {
    if (!result.local_yes || result.asked.variant.verdict != Verdict::accepted) continue;
    const std::string place = fmt::format("{} {} {}", result.ask->sender->name, result.ask->recipient->place, result.ask->tls);
    if (refuses.count(place) + takes.count(place) == 0) {
      transcript_.note("a random local part in the same place as " + result.ask->name);
      const std::string sender = write_mailbox(result.ask->sender->mailbox, words({}, result.ask->sender_token));
      const std::string random = write_mailbox(result.ask->recipient->place, words(canary_.mint("random_local"), {}));
      const int code = co_await ask_other(*result.ask, sender, random);
      (code / 100 == 5 ? refuses : takes).insert(place);
    }
    if (refuses.count(place) > 0) continue;
    result.asked.counts = false;
    result.asked.variant.verdict = Verdict::unclear;
  }
  for (const Result& result : results_) {
    if (result.asked.variant.verdict != Verdict::accepted) continue;
    transcript_.note("an impossible recipient");
    const std::string token = canary_.mint("impossible");
    const std::string impossible = token.substr(0, 12) + "@" + token + ".invalid";
    const std::string sender = write_mailbox(result.ask->sender->mailbox, words({}, result.ask->sender_token));
    const int code = co_await ask_other(*result.ask, sender, impossible);
    accepts_everything_ = code / 100 == 2;
    break;
  }
}

// The verdict
// -------------------------------------------------------------------------------------------------------------------------

// A finding before any mail was spoken of.
void RelayProbe::finish(Verdict verdict, Reason reason, const std::string& because) {
  finding_.verdict = verdict;
  finding_.reason = reason;
  finding_.because = because + ".";
}

// A variant that wanted STARTTLS was asked again behind it: there the answer stands. Where STARTTLS is no longer offered, a way
// that said yes behind it is judged by what it says in clear text.
void RelayProbe::settle_tls() {
  const auto find = [&](const std::string& name) {
    return std::find_if(results_.begin(), results_.end(), [&](const Result& r) { return r.asked.variant.name == name; });
  };
  for (const SmtpAsk& ask : asks_) {
    if (!ask.tls || !ask.must_ask || find(ask.name) != results_.end()) continue;
    const auto clear = find(ask.twin());
    if (!starttls_offered_ && clear != results_.end()) clear->asked.must_ask = true;
    if (starttls_offered_) record_unasked(ask, Reason::tls_failed);
  }
  for (Result& result : results_) {
    const auto twin = result.wants_tls ? find(result.ask->twin()) : results_.end();
    if (twin == results_.end()) continue;
    twin->asked.must_ask = twin->asked.must_ask || result.asked.must_ask;
    result.asked.variant.name.clear();
  }
  std::erase_if(results_, [](const Result& r) { return r.asked.variant.name.empty(); });
}

// The code by which all core variants were refused, when it was one.
std::optional<int> RelayProbe::one_core_code() const {
  std::optional<int> code;
  for (const Result& result : results_) {
    if (!result.asked.core) continue;
    const bool refused = result.asked.variant.verdict == Verdict::closed || result.names_us;
    if (!refused || !result.asked.variant.code || (code && *code != *result.asked.variant.code)) return std::nullopt;
    code = result.asked.variant.code;
  }
  return code;
}

// RFC 6409 4.3: a submission server serves those who have logged in. Postfix' template says so by "554 Client host rejected:
// Access denied" with our address in it, Exim and others refuse postmaster alike.
void RelayProbe::settle_submission() {
  const bool submission = subject_.port == 587 || subject_.port == 465 || subject_.port == 2525;
  if (!submission || !one_core_code()) return;
  const bool names_us =
      std::any_of(results_.begin(), results_.end(), [](const Result& r) { return r.asked.core && r.names_us; });
  const bool all_refused =
      control_.result == Control::Result::failed && control_.reason == Reason::control_failed && controls_refused_;
  if (!(names_us ? auth_offered_ : all_refused)) return;
  for (Result& result : results_) {
    if (!result.asked.core && !result.names_us) continue;
    result.names_us = false;
    result.asked.variant.verdict = Verdict::closed;
    result.asked.variant.reason = Reason::auth_required;
  }
}

// "198.51.100.7 may not send for example.org" is said to whoever forges a sender. It refuses us only when our own sender hears
// of our address as well.
void RelayProbe::settle_forged() {
  const auto blocked = [](const Result& r) {
    return r.ask->sender == &kSenders[0] && r.asked.variant.reason == Reason::source_blocked;
  };
  if (std::any_of(results_.begin(), results_.end(), blocked)) return;
  for (Result& result : results_) {
    if (!result.names_us) continue;
    result.asked.variant.verdict = Verdict::closed;
    result.asked.variant.reason = Reason::refused;
  }
}

Finding RelayProbe::conclude() {
  settle_tls();
  settle_submission();
  settle_forged();
  if (tls_failures_ >= 2) finding_.observations.emplace_back("STARTTLS offered, but TLS could not be had");
  std::vector<Asked> asked;
  for (const Result& result : results_) asked.push_back(result.asked);
  const Judgement judgement = fold(asked, control_, accepts_everything_);
  finding_.verdict = judgement.verdict;
  finding_.reason = judgement.reason;
  finding_.because = because(judgement, asked);
  for (Asked& one : asked) finding_.variants.push_back(std::move(one.variant));
  return std::move(finding_);
}

}  // namespace

Task<Finding> smtp_relay(Network& network, Canary& canary, const Subject& subject) {
  RelayProbe probe(network, canary, subject);
  Finding finding = co_await probe.run();
  co_return finding;
}

}  // namespace ajar
