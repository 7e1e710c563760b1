#include "checks/smtp_control.h"

#include <algorithm>
#include <optional>

namespace ajar {
namespace {

constexpr std::size_t kMaxControls = 16;

// Our own sender; a form that the matrix does not have.
constexpr SmtpPipeline::Kind kControl = {0, SmtpPipeline::kKinds - 1};
static_assert(kRecipients.size() < SmtpPipeline::kKinds && kSenders.size() < SmtpPipeline::kKinds);

}  // namespace

SmtpControl::SmtpControl(SmtpVisit& visit, const Subject& subject, std::string sender, SmtpPipeline* pipeline)
    : visit_(visit), pipeline_(pipeline), sender_(std::move(sender)) {
  mailboxes_ = subject.control_recipients;
  for (const std::string& domain : subject.mail_domains) mailboxes_.push_back("postmaster@" + domain);
  if (subject.mail_domains.empty()) mailboxes_.push_back("postmaster@" + visit.local_domain());
  std::erase_if(mailboxes_, [](const std::string& mailbox) { return !speakable(mailbox); });
  if (mailboxes_.size() >= kMaxControls) mailboxes_.resize(kMaxControls - 1);
  mailboxes_.push_back("Postmaster");
}

bool SmtpControl::goes_together() const { return pipeline_ != nullptr && pipeline_->takes(kControl); }

// Worth asking when every core variant on this side of STARTTLS was refused: beside anything else it changes nothing.
bool SmtpControl::needed(bool tls, const std::vector<SmtpResult>& results) const {
  if (visit_.given_up() || result_.result == Control::Result::succeeded) return false;
  bool refused = false;
  for (const SmtpResult& result : results) {
    if (!result.asked.core || result.ask->tls != tls || result.wants_tls) continue;
    if (result.asked.variant.verdict != Verdict::closed) return false;
    refused = refused || result.asked.variant.reason != Reason::auth_required;
  }
  return refused;
}

// 2yz; or put off with 450 to 452 where the core was refused for good: greylisting is for recipients that it would take.
bool SmtpControl::is_success(const SmtpReply& reply, const std::vector<SmtpResult>& results) const {
  if (reply.kind() == 2) return true;
  if (reply.code < 450 || reply.code > 452 || visit_.read(reply, SmtpStage::rcpt) != SmtpAnswer::put_off) return false;
  return std::none_of(results.begin(), results.end(),
                      [&](const SmtpResult& r) { return r.asked.core && r.asked.variant.code == reply.code; });
}

Task<void> SmtpControl::ask(bool tls, const std::vector<SmtpResult>& results) {
  if (!needed(tls, results)) co_return;
  next_ = 0;
  refused_ = true;
  int failures = 0;
  while (next_ < mailboxes_.size() && result_.result != Control::Result::succeeded) {
    std::optional<Reason> failure;
    try {
      const auto reset = pipeline_ != nullptr ? SmtpVisit::Reset::with_batch : SmtpVisit::Reset::at_once;
      bool ready = co_await visit_.prepare(tls, reset);
      if (ready && !goes_together()) ready = co_await visit_.prepare(tls);
      if (!ready) co_return;
      co_await transaction(results);
    } catch (const LinkError& error) {
      failure = error.reason();
    }
    if (!failure) continue;
    visit_.broken_off(*failure);
    if (++failures < 2 && !visit_.given_up()) continue;
    refused_ = false;
    result_.result = Control::Result::failed;
    result_.reason = *failure == Reason::nobody_listens ? Reason::hung_up : *failure;
    break;
  }
}

Task<void> SmtpControl::transaction(const std::vector<SmtpResult>& results) {
  result_.result = Control::Result::failed;
  result_.reason = Reason::control_failed;
  SmtpReply reply;
  std::optional<SmtpReply> together;  // the reply to RCPT, where that was asked with MAIL
  if (goes_together()) {
    pipeline_->add(kControl, "control", "MAIL FROM:<" + sender_ + ">", "RCPT TO:<" + mailboxes_[next_] + ">");
    const bool whole = co_await pipeline_->ask();
    const bool asked = whole && !pipeline_->void_of(0);
    if (asked) {
      reply = pipeline_->mail(0);
      together = pipeline_->rcpt(0);
    }
    co_await pipeline_->end();
    if (!asked) co_return;  // again, one by one
  } else {
    visit_.note("control");
    reply = co_await visit_.command("MAIL FROM:<" + sender_ + ">");
  }
  if (reply.kind() == 5) {
    together.reset();
    reply = co_await visit_.command("MAIL FROM:<>");
  }
  if (reply.code == 421) throw LinkError(Reason::hung_up, "421 to the control");
  if (reply.kind() != 2) {
    blocked_ = blocked_ || visit_.blocks_us(reply, SmtpStage::mail);
    refused_ = reply.kind() == 5;
    next_ = mailboxes_.size();
  }
  visit_.left_open(true);
  for (bool first = true; next_ < mailboxes_.size() && (first || !visit_.session().worn_out()); first = false) {
    if (together) {
      reply = std::move(*together);
      together.reset();
    } else {
      reply = co_await visit_.command("RCPT TO:<" + mailboxes_[next_] + ">");
    }
    if (reply.code == 421) throw LinkError(Reason::hung_up, "421 to the control");
    ++next_;
    if (is_success(reply, results)) {
      result_.result = Control::Result::succeeded;
      co_return;
    }
    blocked_ = blocked_ || visit_.blocks_us(reply, SmtpStage::rcpt);
    refused_ = refused_ && reply.kind() == 5;
  }
  if (blocked_) result_.reason = Reason::source_blocked;
}

}  // namespace ajar
