#include "checks/ftp_session.h"

#include "checks/smtp_session.h"
#include "checks/wire/greeting.h"

namespace ajar {
namespace {

constexpr int kMaxDelays = 3;  // "120 Service ready in 5 minutes"

// RFC 959 5.4: 230, 331, 332, 421 or 530; 500 and 501 too, but those would be anybody's answer to what he does not know.
bool answers_user(const FtpReply& reply) {
  return reply.kind() == 2 || reply.code == 332 || reply.kind() == 4 || reply.code / 10 == 53 || ftp_wants_tls(reply);
}

}  // namespace

Task<FtpReply> FtpSession::hear_reply() {
  FtpReplyReader reader;
  std::string line;
  for (FtpReplyReader::Step step = FtpReplyReader::Step::more; step == FtpReplyReader::Step::more;) {
    co_await link_->hear(line);
    spoken_to_ = true;
    step = reader.take(line);
    if (step == FtpReplyReader::Step::bad) throw LinkError(Reason::protocol_error, "not an FTP reply: " + escape(line, 80));
  }
  last_ = reader.take_reply();
  co_return last_;
}

Task<FtpReply> FtpSession::command(std::string line) {
  if (link_->unread()) throw LinkError(Reason::protocol_error, "bytes before the command they would answer");
  co_await link_->say(std::move(line));
  FtpReply reply = co_await hear_reply();
  co_return reply;
}

// RFC 959 5.4: 120, then 220; 220; 421.
Task<FtpSession::Entry> FtpSession::greet() {
  link_.reset();
  link_ = co_await network_.dial(subject_.address, subject_.port, subject_.tls);
  const std::string first = co_await link_->peek(5);
  if (first.empty()) throw LinkError(Reason::hung_up, "it closed the connection before it said anything");
  spoken_to_ = true;
  const std::string_view protocol = recognise(first);
  if (protocol != "SMTP") {                                // three digits begin no other
    const std::string said = co_await link_->hear_some();  // into the evidence
    if (protocol.empty()) throw LinkError(Reason::protocol_error, "not an FTP greeting: " + escape(said, 80));
    other_protocol_ = protocol;
    co_return Entry::other_protocol;
  }
  FtpReply greeting = co_await hear_reply();
  for (int delays = 0; greeting.code == 120 && delays < kMaxDelays; ++delays) {
    greeting = co_await hear_reply();
  }
  if (is_other_protocol(std::to_string(greeting.code) + " " + greeting.text())) {
    other_protocol_ = "NNTP";
    co_return Entry::other_protocol;
  }
  if (greets_as_mail_server(greeting)) {
    other_protocol_ = "SMTP";
    co_return Entry::other_protocol;
  }
  if (greeting.code == 220) co_return Entry::granted;
  if (greeting.kind() < 4) throw LinkError(Reason::protocol_error, "not an FTP greeting");
  if (ftp_refuses_our_address(greeting)) co_return Entry::source_blocked;
  co_return greeting.kind() == 4 || ftp_is_busy(greeting) ? Entry::busy : Entry::refused;
}

// RFC 4217 4.
Task<bool> FtpSession::start_tls() {
  const FtpReply granted = co_await command("AUTH TLS");
  if (granted.code != 234) co_return false;
  co_await link_->start_tls();
  tls_reached_ = true;
  co_return true;
}

Task<FtpSession::Entry> FtpSession::meet() {
  const Entry greeted = co_await greet();
  if (greeted != Entry::granted) co_return greeted;
  if (wants_tls_) {
    const bool encrypted = co_await start_tls();
    if (!encrypted) co_return Entry::tls_failed;
  }
  // RFC 4217 9: protected data connections, or, where it refuses that, such as before; a server that then wants them protected
  // says so when they are to be opened.
  if (link_->tls()) {
    co_await command("PBSZ 0");
    co_await command("PROT P");
  }
  co_return Entry::granted;
}

// RFC 1635: the password says whom to ask about this visit.
std::string FtpSession::password() const {
  constexpr std::string_view kMail = "mailto:";
  if (subject_.contact.starts_with(kMail)) return subject_.contact.substr(kMail.size());
  return "ajar@" + subject_.our_name;
}

FtpSession::Entry FtpSession::judge_refusal() const {
  if (ftp_refuses_our_address(last_)) return Entry::source_blocked;
  if (last_.kind() == 4 || ftp_is_busy(last_)) return Entry::busy;
  return Entry::wants_login;
}

// RFC 959 5.4: USER is answered by 230, 331 or 332, PASS by 230, 202 or 332; refused with 530 and the like.
Task<FtpSession::Entry> FtpSession::log_in(std::string user) {
  FtpReply reply = co_await command("USER " + user);
  if (answers_as_mail_server(reply)) {
    other_protocol_ = "SMTP";
    co_return Entry::other_protocol;
  }
  if (reply.code == 331) {
    shaped_ = true;
    reply = co_await command("PASS " + password());
  }
  if (!shaped_ && !answers_user(reply)) {
    throw LinkError(Reason::protocol_error, "no answer to a login: " + escape(reply.text(), 80));
  }
  if (reply.kind() == 1 || reply.code == 331) throw LinkError(Reason::protocol_error, "no end of the login");
  shaped_ = shaped_ || reply.kind() != 4;
  if (reply.kind() == 2) co_return Entry::granted;
  if (reply.kind() >= 4 && !link_->tls() && ftp_wants_tls(reply)) co_return Entry::tls_failed;
  co_return reply.code == 332 ? Entry::wants_login : judge_refusal();
}

Task<FtpSession::Entry> FtpSession::enter(std::string user) {
  Entry entry = co_await meet();
  if (entry == Entry::granted) entry = co_await log_in(user);
  if (entry == Entry::tls_failed && !wants_tls_) {
    // Some hang up with it: once more, on a connection that begins with TLS.
    wants_tls_ = true;
    co_await quit(false);
    entry = co_await meet();
    if (entry == Entry::granted) entry = co_await log_in(std::move(user));
  }
  if (entry == Entry::other_protocol) link_.reset();
  if (entry != Entry::granted) co_await quit(true);
  co_return entry;
}

Task<void> FtpSession::quit(bool patient) {
  if (!link_) co_return;
  const FtpReply decided = last_;
  try {
    co_await link_->say("QUIT");
    if (patient) co_await hear_reply();
  } catch (const LinkError&) {
    link_.reset();  // it is gone already; that was the wish
  }
  last_ = decided;
  link_.reset();
}

}  // namespace ajar
