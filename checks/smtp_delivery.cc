#include "checks/smtp_delivery.h"

#include <exception>

namespace ajar {

Task<SmtpDelivery> deliver(SmtpVisit& visit, std::string message) {
  SmtpDelivery delivery;
  bool said = false;
  std::exception_ptr failure;
  try {
    delivery.reply = co_await visit.command("DATA");
    if (delivery.reply.code == 354) {
      co_await visit.session().say_message(std::move(message));
      said = true;
      delivery.reply = co_await visit.session().hear_reply();
    } else if (delivery.reply.kind() < 4) {
      throw LinkError(Reason::protocol_error, "not an answer to DATA");
    }
  } catch (const LinkError&) {
    failure = std::current_exception();
  }
  if (failure && said) {
    visit.session().drop();
    delivery.lost = true;
    co_return delivery;
  }
  if (failure) std::rethrow_exception(failure);
  delivery.taken = said && delivery.reply.kind() == 2;
  visit.left_open(!delivery.taken);  // RFC 5321 4.1.1.4: the buffers are cleared
  co_return delivery;
}

Task<SmtpDelivery> deliver(SmtpVisit& visit, Canary& canary, const std::string& token, std::string message) {
  SmtpDelivery delivery;
  std::exception_ptr failure;
  try {
    delivery = co_await deliver(visit, std::move(message));
  } catch (const LinkError&) {
    failure = std::current_exception();
  }
  if (failure || (!delivery.taken && !delivery.lost)) canary.not_sent(token);
  if (failure) std::rethrow_exception(failure);
  co_return delivery;
}

Reason reason_of(Permit permit) {
  switch (permit) {
    case Permit::granted:
    case Permit::pending:
      return Reason::token_pending;
    case Permit::canary_down:
      return Reason::canary_unreachable;
    case Permit::recently_sent:
    case Permit::no_mail_domain:
      break;
  }
  return Reason::no_proof;
}

}  // namespace ajar
