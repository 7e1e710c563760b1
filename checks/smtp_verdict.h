// What the answers of one visit make of each other before they are folded: STARTTLS, SPF, submission. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "checks/fold.h"
#include "checks/smtp_answer.h"
#include "checks/smtp_matrix.h"

namespace ajar {

// What came of one variant. `ask` lives as long as the plan.
struct SmtpResult {
  Asked asked;
  const SmtpAsk* ask = nullptr;
  bool wants_tls = false;  // not asked: it wants STARTTLS first
  bool names_us = false;   // refused by 5yz with our address in the text and nothing else
  bool closing = false;    // 421
  bool local_yes = false;  // a yes to a recipient in its own domain
};

bool is_external(const SmtpAsk& ask);  // the sender is our own

// What a reply means for the variant that it answered. `ours`: the sender is our own; a refusal of that says nothing.
void take_answer(SmtpResult& result, const SmtpReply& reply, SmtpAnswer answer, SmtpStage stage, bool ours);

// A variant that wanted STARTTLS was asked again behind it: there the answer stands. Where STARTTLS is no longer offered, a way
// that said yes behind it is judged by what it says in clear text; where it is and fails, that way was not asked.
void settle_starttls(std::vector<SmtpResult>& results, const std::vector<SmtpAsk>& asks, bool starttls_offered);

// What is behind STARTTLS is for those alone who have a certificate.
void settle_certificate(std::vector<SmtpResult>& results);

// "198.51.100.7 may not send for example.org" is said to whoever forges a sender. It refuses us only when our own sender hears
// of our address as well; else it is a refusal.
void settle_forged(std::vector<SmtpResult>& results);

// RFC 6409 4.3: a submission server (587, 465, 2525) serves those who have logged in. Where all core variants are refused by
// one code and all controls too (`controls_refused`), or by our address where it offers AUTH, they are closed: auth_required.
// Postfix' template says "554 Client host rejected: Access denied" to everybody, with the address in it.
void settle_submission(std::vector<SmtpResult>& results, std::uint16_t port, bool auth_offered, bool controls_refused);

}  // namespace ajar
