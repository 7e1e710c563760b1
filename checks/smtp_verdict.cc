#include "checks/smtp_verdict.h"

#include <algorithm>
#include <optional>
#include <string>

#include "checks/network.h"

namespace ajar {
namespace {

// A way that said yes before, and that cannot be asked because TLS fails.
SmtpResult not_asked(const SmtpAsk& ask) {
  SmtpResult result;
  result.ask = &ask;
  result.asked.variant.name = ask.name;
  result.asked.variant.verdict = Verdict::unclear;
  result.asked.variant.reason = Reason::tls_failed;
  result.asked.must_ask = true;
  return result;
}

// The code by which all core variants were refused, when it was one.
std::optional<int> one_core_code(const std::vector<SmtpResult>& results) {
  std::optional<int> code;
  for (const SmtpResult& result : results) {
    if (!result.asked.core) continue;
    const bool refused = result.asked.variant.verdict == Verdict::closed || result.names_us;
    if (!refused || !result.asked.variant.code || (code && *code != *result.asked.variant.code)) return std::nullopt;
    code = result.asked.variant.code;
  }
  return code;
}

}  // namespace

bool is_external(const SmtpAsk& ask) { return ask.sender == &kSenders[0]; }

void take_answer(SmtpResult& result, const SmtpReply& reply, SmtpAnswer answer, SmtpStage stage, bool ours) {
  Variant& variant = result.asked.variant;
  variant.code = reply.code;
  variant.reply = escape(reply.text(), 240);
  result.closing = reply.code == 421;
  const auto set = [&](Verdict verdict, Reason reason) {
    variant.verdict = verdict;
    variant.reason = reason;
  };
  switch (answer) {
    case SmtpAnswer::yes:
      set(Verdict::accepted, Reason::no_proof);
      break;
    case SmtpAnswer::refused:
      // A refusal of our own sender says nothing about relaying, also where it is said at RCPT.
      set(ours && (stage == SmtpStage::mail || refuses_sender(reply)) ? Verdict::unclear : Verdict::closed, Reason::refused);
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

void settle_starttls(std::vector<SmtpResult>& results, const std::vector<SmtpAsk>& asks, bool starttls_offered) {
  const auto find = [&](const std::string& name) {
    return std::find_if(results.begin(), results.end(), [&](const SmtpResult& r) { return r.asked.variant.name == name; });
  };
  for (const SmtpAsk& ask : asks) {
    if (!ask.tls || !ask.must_ask || find(ask.name) != results.end()) continue;
    const auto clear = find(ask.twin());
    if (!starttls_offered && clear != results.end()) clear->asked.must_ask = true;
    if (starttls_offered) results.push_back(not_asked(ask));
  }
  for (SmtpResult& result : results) {
    const auto twin = result.wants_tls ? find(result.ask->twin()) : results.end();
    if (twin == results.end()) continue;
    twin->asked.must_ask = twin->asked.must_ask || result.asked.must_ask;
    result.asked.variant.name.clear();
  }
  std::erase_if(results, [](const SmtpResult& r) { return r.asked.variant.name.empty(); });
}

void settle_certificate(std::vector<SmtpResult>& results) {
  for (SmtpResult& result : results) {
    if (result.asked.variant.verdict != Verdict::unclear || result.asked.variant.reason != Reason::tls_failed) continue;
    result.asked.variant.verdict = Verdict::closed;
    result.asked.variant.reason = Reason::auth_required;
  }
}

void settle_forged(std::vector<SmtpResult>& results) {
  const auto blocked = [](const SmtpResult& r) {
    return is_external(*r.ask) && r.asked.variant.reason == Reason::source_blocked;
  };
  if (std::any_of(results.begin(), results.end(), blocked)) return;
  for (SmtpResult& result : results) {
    if (!result.names_us) continue;
    result.asked.variant.verdict = Verdict::closed;
    result.asked.variant.reason = Reason::refused;
  }
}

void settle_submission(std::vector<SmtpResult>& results, std::uint16_t port, bool auth_offered, bool controls_refused) {
  const bool submission = port == 587 || port == 465 || port == 2525;
  if (!submission || !one_core_code(results)) return;
  const bool names_us =
      std::any_of(results.begin(), results.end(), [](const SmtpResult& r) { return r.asked.core && r.names_us; });
  if (!(names_us ? auth_offered : controls_refused)) return;
  for (SmtpResult& result : results) {
    if (!result.asked.core && !result.names_us) continue;
    result.names_us = false;
    result.asked.variant.verdict = Verdict::closed;
    result.asked.variant.reason = Reason::auth_required;
  }
}

}  // namespace ajar
