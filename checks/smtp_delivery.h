// One message through a transaction that stands (RFC 5321 4.1.1.4), after the canary has permitted it.
#pragma once

#include <string>

#include "checks/canary.h"
#include "checks/smtp_visit.h"

namespace ajar {

struct SmtpDelivery {
  bool taken = false;  // 2yz to the end of the message
  bool lost = false;   // it was said whole, and then the connection was gone: it may have been taken, the canary will see
  SmtpReply reply;     // to DATA or to the end of the message; none where it was lost
};

// After RCPT 2yz and Permit::granted for its token: DATA and `message`. What is not taken is the caller's to take back from the
// canary (not_sent). LinkError where the connection ended before the whole message was said.
Task<SmtpDelivery> deliver(SmtpVisit& visit, std::string message);
// The same, and what is not taken is taken back.
Task<SmtpDelivery> deliver(SmtpVisit& visit, Canary& canary, const std::string& token, std::string message);

// What a yes is called where that is all the canary permits: `token_pending` of a message that is, or will be, on its way.
Reason reason_of(Permit permit);

}  // namespace ajar
