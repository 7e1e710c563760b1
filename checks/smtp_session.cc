#include "checks/smtp_session.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "checks/wire/ascii.h"
#include "checks/wire/greeting.h"

namespace ajar {

bool is_odd_syntax(int code) { return (code >= 500 && code <= 504) || code == 555; }

bool is_other_protocol(std::string_view line) {
  const std::string_view protocol = recognise(line);
  if (!protocol.empty() && protocol != "SMTP") return true;
  const auto begins = [&](std::string_view prefix) { return line.substr(0, prefix.size()) == prefix; };
  if (!begins("200 ") && !begins("201 ")) return false;
  const std::string words = to_lower(line);  // NNTP, RFC 3977 5.1.1
  return words.find("nntp") != std::string::npos || words.find("news") != std::string::npos ||
         words.find("posting") != std::string::npos;
}

std::string stuffed(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && c == '.') out += '.';
    out += c;
    line_start = c == '\n';
  }
  if (out.size() < 2 || out.compare(out.size() - 2, 2, "\r\n") != 0) out += "\r\n";
  return out + ".\r\n";
}

// Whether more lines belong to the reply; else it is last().
bool SmtpSession::take_reply_line(SmtpReplyReader& reader, const std::string& line) {
  said_anything_ = true;
  const SmtpReplyReader::Step step = reader.take(line);
  if (step == SmtpReplyReader::Step::bad) throw LinkError(Reason::protocol_error, "not an SMTP reply: " + escape(line, 80));
  if (step == SmtpReplyReader::Step::more) return true;
  last_ = reader.take_reply();
  if (last_.kind() >= 4) ++refusals_;
  if (is_odd_syntax(last_.code)) ++odd_;
  return false;
}

Task<SmtpReply> SmtpSession::hear_reply() {
  SmtpReplyReader reader;
  for (bool more = true; more;) {
    const std::string line = co_await link_->hear();
    more = take_reply_line(reader, line);
  }
  co_return std::move(last_);
}

// Answers before the question; after a batch, perhaps one too many to that.
void SmtpSession::expect_silence(const char* otherwise) {
  if (!link_->unread()) return;
  out_of_step_ = out_of_step_ || batched_;
  one_by_one_ = one_by_one_ || batched_;
  throw LinkError(Reason::protocol_error, otherwise);
}

// Not by hear_reply(): this is where a probe spends its time, and another coroutine would wait there with it.
Task<SmtpReply> SmtpSession::command(std::string&& line) {
  expect_silence("bytes before the command they would answer");
  {
    Link::Say saying = link_->say(std::move(line));
    co_await saying;
  }
  SmtpReplyReader reader;
  for (bool more = true; more;) {
    line.clear();
    line.shrink_to_fit();
    co_await link_->hear(line);
    more = take_reply_line(reader, line);
  }
  co_return std::move(last_);
}

void SmtpSession::gather(std::string_view command, std::string_view note) {
  if (holds_line_break(command)) throw std::logic_error("a command holds a line break");
  if (gathered_.empty()) gathered_.reserve(kGathered);
  if (!note.empty()) gathered_.append("# ").append(note).append("\n");
  gathered_.append(command).append("\n");
  ++gathered_commands_;
}

// What was gathered, as it is sent; into the evidence at the same time.
std::string SmtpSession::take_gathered() {
  const std::string lines = std::exchange(gathered_, {});
  std::string together;
  together.reserve(lines.size() + kGathered / 16);
  for (std::size_t at = 0, end = 0; at < lines.size(); at = end + 1) {
    end = lines.find('\n', at);
    const std::string_view line = std::string_view(lines).substr(at, end - at);
    if (line.starts_with("# ")) {
      network_.transcript().note(line.substr(2));
    } else {
      link_->gather(line, together);
    }
  }
  return together;
}

Task<bool> SmtpSession::batch(std::vector<SmtpReply>& replies) {
  const auto commands = static_cast<std::size_t>(std::exchange(gathered_commands_, 0));
  replies.clear();
  replies.reserve(commands);
  bool whole = false;
  try {
    expect_silence("bytes before the commands they would answer");
    {
      Link::Say saying = link_->say_together(take_gathered());
      co_await saying;
    }
    std::string line;
    SmtpReplyReader reader;
    while (replies.size() < commands) {
      for (bool more = true; more;) {
        co_await link_->hear(line);
        more = take_reply_line(reader, line);
      }
      if (last_.code == 421) throw LinkError(Reason::hung_up, "421 in a batch");
      replies.push_back(std::move(last_));
    }
    // Of what is here already; what the kernel has as well is met before the next command.
    if (link_->known_unread()) expect_silence("more replies than commands");
    batched_ = whole = true;
  } catch (const LinkError& error) {
    network_.transcript().note(std::string("asked again, one by one: ") + error.what());
  }
  if (whole) co_return true;
  gathered_.clear();
  one_by_one_ = true;
  drop();
  co_return false;
}

Task<void> SmtpSession::give_up_pipelining() {
  one_by_one_ = true;
  co_await quit();
}

Task<void> SmtpSession::say_message(std::string message) {
  std::string bytes = stuffed(message);
  std::string shown = "(the message) .";
  co_await say_bytes(std::move(bytes), std::move(shown));
}

Task<void> SmtpSession::say_bytes(std::string bytes, std::string shown) {
  expect_silence("bytes before what they would answer");
  co_await link_->say_bytes(std::move(bytes), std::move(shown));
}

// RFC 5321 4.1.1.1: EHLO, and HELO where that is not known. 4yz is no reason to try the other.
Task<bool> SmtpSession::hello() {
  offers_ = {};
  const SmtpReply extended = co_await command("EHLO " + subject_.our_name);
  last_ = extended;
  if (extended.kind() == 2) {
    offers_ = parse_ehlo(extended);
    co_return true;
  }
  if (extended.kind() != 5) co_return false;
  const SmtpReply plain = co_await command("HELO " + subject_.our_name);
  last_ = plain;
  co_return plain.kind() == 2;
}

// FTP greets with 220 as well, knows neither EHLO nor HELO, and vsftpd answers everything with "530 Please login with USER and
// PASS." The server's name does not count: a mail server may be called ftp.example.org.
bool SmtpSession::speaks_ftp(const SmtpReply& greeting) const {
  if (last_.code != 500 && last_.code != 502 && last_.code != 503 && last_.code != 530) return false;
  std::string said = to_lower(greeting.text());
  const std::string name = to_lower(spoken_name(greeting));
  if (said.find("smtp") != std::string::npos) return false;
  said.erase(0, name.size());
  said += ' ' + to_lower(last_.text());
  return said.find("ftp") != std::string::npos || said.find("filezilla") != std::string::npos ||
         said.find("login with user and pass") != std::string::npos;
}

Task<SmtpSession::Opening> SmtpSession::open() {
  link_.reset();
  refusals_ = odd_ = 0;
  after_starttls_ = batched_ = false;
  ++connections_;
  TlsMode first = TlsMode::none;
  if (subject_.tls == TlsMode::implicit) first = TlsMode::implicit;
  link_ = co_await network_.dial(subject_.address, subject_.port, first);

  // RFC 5321 3.1: the server speaks first, 220 or 554.
  SmtpReplyReader reader;
  for (SmtpReplyReader::Step step = SmtpReplyReader::Step::more; step == SmtpReplyReader::Step::more;) {
    const std::string line = co_await link_->hear();
    if (!said_anything_ && is_other_protocol(line)) {
      last_.code = 0;
      last_.lines.assign(1, line);
      co_return Opening::other_protocol;
    }
    said_anything_ = true;
    step = reader.take(line);
    if (step == SmtpReplyReader::Step::bad)
      throw LinkError(Reason::protocol_error, "not an SMTP greeting: " + escape(line, 80));
  }
  greeted_ = true;
  const SmtpReply greeting = reader.take_reply();
  server_name_ = spoken_name(greeting);
  last_ = greeting;
  if (greeting.kind() >= 4) co_return Opening::refused;
  if (greeting.code != 220) throw LinkError(Reason::protocol_error, "not an SMTP greeting");

  const bool welcome = co_await hello();
  if (welcome) co_return Opening::ready;
  if (last_.kind() == 3) throw LinkError(Reason::protocol_error, "3yz to HELO");
  if (last_.kind() == 5 && speaks_ftp(greeting)) {
    last_.code = 0;
    last_.lines.assign(1, "220 " + greeting.text());
    co_return Opening::other_protocol;
  }
  co_return Opening::refused;
}

Task<SmtpSession::Upgrade> SmtpSession::start_tls() {
  const SmtpReply reply = co_await command("STARTTLS");
  if (reply.code != 220) {
    co_await quit();
    co_return Upgrade::refused;
  }
  bool shaken = false, welcome = false;
  try {
    co_await link_->start_tls();
    after_starttls_ = true;
    // RFC 3207 4.2: forget what was said before, and introduce ourselves again. TLS 1.3 refuses who has no certificate here.
    welcome = co_await hello();
    shaken = true;
  } catch (const LinkError& error) {
    certificate_wanted_ = certificate_wanted_ || error.reason() == Reason::auth_required;
    const bool unshaken = !after_starttls_ && (error.reason() == Reason::tls_failed || error.reason() == Reason::hung_up);
    if (!unshaken && error.reason() != Reason::auth_required) throw;
  }
  if (!shaken) {
    after_starttls_ = false;
    drop();
    co_return Upgrade::refused;
  }
  if (!welcome) throw LinkError(Reason::hung_up, "EHLO refused after STARTTLS");
  co_return Upgrade::done;
}

Task<void> SmtpSession::reset() {
  bool granted = false;
  try {
    const SmtpReply reply = co_await command("RSET");
    granted = grants_reset_ = reply.code == 250;
  } catch (const LinkError&) {
    drop();
  }
  if (link_ && !granted) co_await quit();
}

Task<void> SmtpSession::quit() {
  if (!link_) co_return;
  try {
    const SmtpReply reply = co_await command("QUIT");
    if (batched_ && reply.code != 221) out_of_step_ = one_by_one_ = true;
  } catch (const LinkError&) {
    drop();  // it is gone already; that was the wish
  }
  drop();
}

}  // namespace ajar
