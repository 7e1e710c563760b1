// Several transactions said at once (RFC 2920), where EHLO offers it, and no more of them than a server puts up with. What is
// not answered one by one is no answer: such a server is asked again, one command at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checks/smtp_visit.h"

namespace ajar {

class SmtpPipeline {
 public:
  // Even if everything were refused of a sudden, Postfix would not hang up (smtpd_hard_error_limit = 20).
  static constexpr int kMaxCommands = SmtpSession::kHangUpRefusals - 1;
  // RFC 2920 3.1: within what TCP takes while the server is writing. A batch ends before the transaction that would begin past
  // kMaxBytes.
  static constexpr std::size_t kMaxBytes = 2560;

  // The visit outlives it.
  explicit SmtpPipeline(SmtpVisit& visit) : visit_(visit) {}

  // Who a transaction is from and how its recipient is written, as far as the server's temper is concerned.
  struct Kind {
    std::uint8_t sender = 0;  // under kKinds
    std::uint8_t form = 0;    // under kKinds
  };
  static constexpr std::uint8_t kKinds = 32;

  // Whether one more transaction may go with those that were added since the last ask(), on the connection that prepare()
  // left; a RSET before it counts. False as well where there is no pipelining.
  bool takes(Kind kind) const;
  // Only what takes() takes. `name`: a note in the evidence.
  void add(Kind kind, std::string_view name, std::string_view mail, std::string_view rcpt);
  std::size_t size() const { return groups_.size(); }
  // Says them and hears their answers. False: there are none. The connection is gone then, and nothing is pipelined any more.
  // Never throws.
  Task<bool> ask();
  // After ask(): of transaction i. Where a RSET before it was refused it was not asked at all.
  bool void_of(std::size_t i) const;
  const SmtpReply& mail(std::size_t i) const { return replies_[groups_[i].first]; }
  const SmtpReply& rcpt(std::size_t i) const { return replies_[groups_[i].first + 1U]; }
  // Once the answers were taken. A server that refused RSET is asked one command at a time from now on. Never throws.
  Task<void> end();
  // What was asked without it: what the server did then is what it will do. `rcpt`: null where MAIL was refused.
  void learn(Kind kind, const SmtpReply& mail, const SmtpReply* rcpt);

 private:
  struct Group {
    std::uint8_t first;  // where the reply to MAIL is; that to RSET is before it
    bool reset;
    Kind kind;
  };
  // How many replies may be refusals, and how many of those about syntax or sequence, of a server that stays as it has shown
  // itself. RCPT after a MAIL that was refused is one more of both (503).
  struct Cost {
    int refusals = 0;
    int odd = 0;
  };
  Cost cost(Kind kind, bool reset) const;
  void clear();
  // What it has shown, before and after STARTTLS.
  struct Shown {
    std::uint32_t senders = 0;  // MAIL was granted to, the last time
    std::uint32_t forms = 0;    // RCPT was answered without a complaint about syntax, the last time
    bool refuses = false;       // MAIL was refused, whoever it was from, the last time
  };

  SmtpVisit& visit_;
  std::vector<Group> groups_;
  std::vector<SmtpReply> replies_;
  Cost cost_;  // of groups_
  std::array<Shown, 2> shown_;
};

}  // namespace ajar
