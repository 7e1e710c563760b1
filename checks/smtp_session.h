// The dialog of a client with an SMTP server that may be broken, slow or tired of us: greeting, EHLO or HELO, STARTTLS,
// commands and their replies, and when it is time for a new connection. What the replies mean is for the caller.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checks/network.h"
#include "checks/wire/smtp_reply.h"

namespace ajar {

class SmtpSession {
 public:
  // Postfix slows down after 10 errors and hangs up at 20; Exim 4.96 hangs up at the 4th syntax or protocol error.
  static constexpr int kMaxRefusals = 8;
  static constexpr int kMaxOddSyntax = 2;
  static constexpr int kHangUpRefusals = 20;  // smtpd_hard_error_limit
  // The whole matrix against Exim, which takes a third of it for syntax errors, needs about 16 before and 16 after STARTTLS.
  static constexpr int kMaxConnections = 48;
  static constexpr std::size_t kGathered = 1024;  // bytes that most batches do not exceed

  // Both outlive the session.
  SmtpSession(Network& network, const Subject& subject) : network_(network), subject_(subject) {}

  enum class Opening {
    ready,           // greeted, and EHLO or HELO was granted
    other_protocol,  // it speaks SSH, HTTP, FTP, POP3, IMAP, NNTP, VNC; last() holds the line that shows it, with code 0
    refused,         // last() is the reply that refused: to the connection or to HELO
  };
  // A new connection (RFC 5321 3.1, 3.2), with implicit TLS where the subject has it. LinkError.
  Task<Opening> open();

  enum class Upgrade {
    done,     // TLS, and EHLO or HELO was granted again
    refused,  // STARTTLS was refused or the handshake failed; the connection is closed
  };
  // RFC 3207. LinkError other than tls_failed and hung_up (which mean `refused`).
  Task<Upgrade> start_tls();

  // Sends a command and hears its reply; `line` is of no use afterwards. Bytes that came before the command are a
  // protocol_error. LinkError; the connection is then of no more use: drop() it. After a 421 the server closes (RFC 5321 3.8):
  // drop() as well.
  Task<SmtpReply> command(std::string&& line);
  // RFC 2920. EHLO of the moment offers it (that after STARTTLS, once it was said), and the server has not got it wrong.
  bool pipelines() const { return link_ && offers_.pipelining && !one_by_one_; }
  // Adds a command, and what the evidence notes before it, to the next batch(). A CR or LF inside is a bug of ours.
  void gather(std::string_view command, std::string_view note = {});
  int gathered_commands() const { return gathered_commands_; }
  std::size_t gathered_bytes() const { return gathered_.size(); }
  // Sends what was gathered, at once, and hears a reply to each command. False where it did not come to exactly those: a reply
  // too many, a hang-up, silence, 421. The connection is dropped then, none of the replies is of use, and from now on there is
  // no pipelining. Never throws.
  Task<bool> batch(std::vector<SmtpReply>& replies);
  // Commands are said one at a time from now on; this connection is quit. Never throws.
  Task<void> give_up_pipelining();
  // On a connection with batches, more came than was asked for, after their end: which reply answered what is not known. Until
  // begin_again().
  bool out_of_step() const { return out_of_step_; }
  void begin_again() { out_of_step_ = false; }
  // After a 354: the message, with CRLF line ends, and its end. Once this returns the message may be delivered. LinkError.
  Task<void> say_message(std::string message);
  // Sends bytes as they are; `shown` is what the transcript has of them. Bytes that came before are a protocol_error.
  // LinkError.
  Task<void> say_bytes(std::string bytes, std::string shown);
  // The reply to what was said last. LinkError.
  Task<SmtpReply> hear_reply();
  // RSET; a server that does not grant it gets a new connection: this one is quit. Never throws.
  Task<void> reset();
  // QUIT, as RFC 5321 4.1.1.10 wants it; waits for the reply. Never throws. No connection: nothing.
  Task<void> quit();
  void drop() { link_.reset(); }

  bool connected() const { return link_ != nullptr; }
  bool tls() const { return link_ && link_->tls(); }
  bool after_starttls() const { return link_ && after_starttls_; }
  bool worn_out() const { return refusals_ >= kMaxRefusals || odd_ >= kMaxOddSyntax; }
  int refusals() const { return refusals_; }                      // of this connection
  int odd() const { return odd_; }                                // … by is_odd_syntax()
  bool grants_reset() const { return grants_reset_; }             // RSET was granted, the last time
  void reset_answered(bool granted) { grants_reset_ = granted; }  // in a batch
  bool greeted() const { return greeted_; }                       // a greeting was heard, now or earlier
  bool said_anything() const { return said_anything_; }           // a line was heard, now or earlier
  // TLS was refused for want of a certificate of ours, now or earlier.
  bool certificate_wanted() const { return certificate_wanted_; }
  int connections() const { return connections_; }
  const std::string& server_name() const { return server_name_; }  // in its greeting; see spoken_name()
  const SmtpReply& last() const { return last_; }                  // of open()
  const SmtpOffers& offers() const { return offers_; }             // by EHLO, of this connection or the one before

 private:
  Task<bool> hello();
  void expect_silence(const char* otherwise);
  std::string take_gathered();
  bool take_reply_line(SmtpReplyReader& reader, const std::string& line);
  bool speaks_ftp(const SmtpReply& greeting) const;

  Network& network_;
  const Subject& subject_;
  std::unique_ptr<Link> link_;
  int connections_ = 0;
  int refusals_ = 0;
  int odd_ = 0;
  int gathered_commands_ = 0;
  std::string gathered_;     // the next batch: commands and notes ("# …"), each with LF
  bool batched_ = false;     // a batch was said on this connection
  bool one_by_one_ = false;  // no pipelining any more
  bool out_of_step_ = false;
  bool grants_reset_ = false;
  bool greeted_ = false;
  bool said_anything_ = false;
  bool after_starttls_ = false;
  bool certificate_wanted_ = false;
  std::string server_name_;
  SmtpReply last_;
  SmtpOffers offers_;
};

// 500 to 504 and 555: about the command, not about mail. Exim counts them.
bool is_odd_syntax(int code);

// "SSH-2.0-…", "HTTP/1.1 …", "* OK IMAP …", "+OK …", "RFB 003.008", "200 news…": a first line that is no SMTP greeting.
bool is_other_protocol(std::string_view first_line);

// `text` with every line that begins with a dot stuffed (RFC 5321 4.5.2), ended by CRLF and the end of data.
std::string stuffed(const std::string& text);

}  // namespace ajar
