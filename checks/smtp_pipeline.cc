#include "checks/smtp_pipeline.h"

namespace ajar {
namespace {

std::uint32_t bit(std::uint8_t kind) { return std::uint32_t{1} << kind; }

void remember(std::uint32_t& kinds, std::uint8_t kind, bool good) {
  if (good) {
    kinds |= bit(kind);
  } else {
    kinds &= ~bit(kind);
  }
}

}  // namespace

SmtpPipeline::Cost SmtpPipeline::cost(Kind kind, bool reset) const {
  const Shown& shown = shown_[visit_.session().tls() ? 1 : 0];
  const int odd_form = (shown.forms & bit(kind.form)) != 0 ? 0 : 1;
  const bool grants_reset = !reset || visit_.session().grants_reset();
  if (grants_reset && (shown.senders & bit(kind.sender)) != 0) return {1, odd_form};
  // MAIL refused, and RCPT for that; or RSET refused, MAIL for that, and RCPT in the transaction before.
  if (grants_reset) return {2, 2};
  return {3, 2 + odd_form};
}

bool SmtpPipeline::takes(Kind kind) const {
  const SmtpSession& session = visit_.session();
  if (!session.pipelines()) return false;
  // Another RCPT in vain, and its 503, are not worth a round trip.
  const Shown& shown = shown_[session.tls() ? 1 : 0];
  if (shown.refuses && (shown.senders & bit(kind.sender)) == 0) return false;
  const bool reset = !groups_.empty() || visit_.is_left_open();
  const Cost more = cost(kind, reset);
  const int commands = session.gathered_commands() + (reset ? 3 : 2);
  return session.refusals() + cost_.refusals + more.refusals <= SmtpSession::kMaxRefusals &&
         session.odd() + cost_.odd + more.odd <= SmtpSession::kMaxOddSyntax && session.refusals() + commands <= kMaxCommands &&
         session.gathered_bytes() <= kMaxBytes;
}

void SmtpPipeline::add(Kind kind, std::string_view name, std::string_view mail, std::string_view rcpt) {
  const bool reset = !groups_.empty() || visit_.is_left_open();
  const Cost more = cost(kind, reset);
  cost_ = {cost_.refusals + more.refusals, cost_.odd + more.odd};
  SmtpSession& session = visit_.session();
  if (reset) session.gather("RSET");
  groups_.push_back({static_cast<std::uint8_t>(session.gathered_commands()), reset, kind});
  session.gather(mail, name);
  session.gather(rcpt);
}

Task<bool> SmtpPipeline::ask() {
  const bool whole = co_await visit_.session().batch(replies_);
  if (!whole) {
    clear();
    co_return false;
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].reset) visit_.session().reset_answered(!void_of(i));
    if (void_of(i)) break;
    learn(groups_[i].kind, mail(i), mail(i).kind() == 2 ? &rcpt(i) : nullptr);
  }
  const std::size_t last = groups_.size() - 1;
  visit_.left_open(mail(last).kind() == 2 || rcpt(last).kind() == 2);
  co_return true;
}

Task<void> SmtpPipeline::end() {
  const bool refused = !groups_.empty() && void_of(groups_.size() - 1);
  clear();
  if (refused) co_await visit_.session().give_up_pipelining();
}

bool SmtpPipeline::void_of(std::size_t i) const {
  for (std::size_t j = 0; j <= i; ++j) {
    if (groups_[j].reset && replies_[groups_[j].first - 1U].code != 250) return true;
  }
  return false;
}

void SmtpPipeline::clear() {
  groups_.clear();
  std::vector<SmtpReply>().swap(replies_);  // a visit at rest holds none
  cost_ = {};
}

void SmtpPipeline::learn(Kind kind, const SmtpReply& mail, const SmtpReply* rcpt) {
  Shown& shown = shown_[visit_.session().tls() ? 1 : 0];
  shown.refuses = mail.kind() != 2;
  remember(shown.senders, kind.sender, mail.kind() == 2);
  if (rcpt != nullptr) remember(shown.forms, kind.form, !is_odd_syntax(rcpt->code));
}

}  // namespace ajar
