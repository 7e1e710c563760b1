// A visit to a mail server over as many connections as it takes: which of them the next transaction may use, before or after
// STARTTLS, and when the server does not want to talk to us any more.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/smtp_answer.h"
#include "checks/smtp_session.h"

namespace ajar {

// Fit to stand in a command, between < and >.
bool speakable(const std::string& mailbox);

class SmtpVisit {
 public:
  // Network and subject outlive the visit. `canary_domain`: the domain of our own addresses.
  SmtpVisit(Network& network, const Subject& subject, std::string canary_domain);

  // What ends a visit before any mail was spoken of.
  struct Dismissal {
    Verdict verdict;
    Reason reason;
    std::string because;
  };
  // The first connection (RFC 5321 3.1, 4.1.1.1). Null when mail may be spoken of. LinkError when nothing was learnt.
  Task<std::unique_ptr<Dismissal>> meet();

  // What it makes of the check.
  Finding dismissed(const Dismissal& dismissal) const;

  // A connection on which a transaction may begin, in clear text or after STARTTLS; the transaction before is reset. False:
  // STARTTLS is not to be had. LinkError. `with_batch`: where the server pipelines, RSET is left to the batch that follows
  // (is_left_open()).
  enum class Reset { at_once, with_batch };
  Task<bool> prepare(bool tls, Reset reset = Reset::at_once);
  // LinkError. See SmtpSession::command.
  Task<SmtpReply> command(std::string&& line) { return session_.command(std::move(line)); }
  SmtpSession& session() { return session_; }
  const SmtpSession& session() const { return session_; }
  void note(std::string_view text) { transcript_.note(text); }  // in the evidence
  // A transaction is open: before the next one comes RSET.
  void left_open(bool open) { left_open_ = open; }
  bool is_left_open() const { return left_open_; }
  // After a LinkError: what was said so far stays valid, the rest is asked on a new connection, until that has no sense.
  void broken_off(Reason reason);
  void answered() { dead_ = 0; }
  // All is to be asked again, because the session was out of step.
  void begin_again();
  // Why nothing more is to be asked.
  const std::optional<Reason>& given_up() const { return given_up_; }

  SmtpAnswer read(const SmtpReply& reply, SmtpStage stage) const { return read_answer(reply, stage, spoken_, session_.tls()); }
  // Whether it refuses us and not strangers.
  bool blocks_us(const SmtpReply& reply, SmtpStage stage) const;

  const std::string& canary_domain() const { return spoken_.names.front(); }
  const SmtpOffers& offers() const { return session_.offers(); }
  const std::string& local_domain() const { return domain_; }  // an address literal where no domain is known
  // Whether its owner declared that domain. One that only the greeting names may be anybody's: no message goes there.
  bool domain_declared() const { return declared_; }
  bool starttls_offered() const { return starttls_offered_; }  // in clear text, once
  bool starttls_failed() const { return tls_failures_ >= 2; }
  bool auth_offered() const { return auth_offered_; }  // on either side of STARTTLS
  TlsMode tls() const { return tls_; }                 // the strongest reached
  std::vector<std::string> observations() const;

 private:
  Task<void> connect();
  std::unique_ptr<Dismissal> turned_away() const;
  void introduce();
  void observe();

  const Subject& subject_;
  Transcript& transcript_;
  SmtpSession session_;
  Spoken spoken_;
  std::string domain_;
  bool declared_ = false;
  bool left_open_ = false;
  bool starttls_offered_ = false;
  bool auth_offered_ = false;
  TlsMode tls_ = TlsMode::none;
  int tls_failures_ = 0;
  int dead_ = 0;  // connections in a row that ended without an answer
  std::optional<Reason> given_up_;
  std::vector<std::string> observations_;
};

}  // namespace ajar
