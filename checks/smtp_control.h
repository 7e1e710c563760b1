// The control of smtp_relay: a recipient that a healthy server must take from a stranger (RFC 5321 4.5.1). A server that
// refuses it as well refuses us, and its other refusals prove nothing.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "checks/fold.h"
#include "checks/smtp_pipeline.h"
#include "checks/smtp_verdict.h"
#include "checks/smtp_visit.h"

namespace ajar {

class SmtpControl {
 public:
  // After visit.meet(). Asked in this order, one success suffices: control_recipients, postmaster@ each mail domain, bare
  // <Postmaster>. `sender`: our own address. Visit, pipeline and subject outlive the control. Without a pipeline it is asked
  // one command at a time.
  SmtpControl(SmtpVisit& visit, const Subject& subject, std::string sender, SmtpPipeline* pipeline = nullptr);

  // Asks, where beside `results` it matters, on this side of STARTTLS. No message follows. Never throws LinkError.
  Task<void> ask(bool tls, const std::vector<SmtpResult>& results);
  const Control& result() const { return result_; }
  // Every one was refused by 5yz, and none for where we come from.
  bool all_refused() const {
    return result_.result == Control::Result::failed && result_.reason == Reason::control_failed && refused_;
  }

 private:
  bool goes_together() const;
  bool needed(bool tls, const std::vector<SmtpResult>& results) const;
  bool is_success(const SmtpReply& reply, const std::vector<SmtpResult>& results) const;
  Task<void> transaction(const std::vector<SmtpResult>& results);

  SmtpVisit& visit_;
  SmtpPipeline* pipeline_;
  std::string sender_;
  std::vector<std::string> mailboxes_;
  std::size_t next_ = 0;
  Control result_;
  bool blocked_ = false;
  bool refused_ = true;
};

}  // namespace ajar
