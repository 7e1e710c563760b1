// The SMTP sink: where a relay's mail proves that it is one.
//
//   S: 220 canary.example.net ESMTP ajar canary
//   C: EHLO mx.example.org
//   S: 250-canary.example.net … SIZE, 8BITMIME, SMTPUTF8, PIPELINING, ENHANCEDSTATUSCODES, STARTTLS
//   C: MAIL FROM:<probe-TOKEN@canary.example.net>
//   S: 250 2.1.0 Ok
//   C: RCPT TO:<TOKEN@canary.example.net>
//   S: 250 2.1.5 Ok                        only a valid token of ours, our senders, postmaster and abuse; else 550 5.7.1
//   C: DATA … .
//   S: 250 2.0.0 Seen                      an arrival for each token; the message itself is dropped
//
// It takes mail for its own domain only, keeps none, and opens no connection: it never relays, bounces or fetches. A message
// that was announced by a recipient check (RCPT without DATA), whatever comes to a probe sender, and an expired token are
// arrivals without proof. bounce-TOKEN@ is the sender that the check `backscatter` shows: a message with the null sender to it
// is the bounce that proves; one from anybody else is not.
#pragma once

#include "agent/canary_dialog.h"

namespace ajar {

inline constexpr std::size_t kSmtpMaxMessage =
    128 * 1024;                                        // bytes; a larger message gets 552, past Link::kMaxReceived a hang-up
inline constexpr unsigned kSmtpMaxCommands = 100;      // then 421
inline constexpr unsigned kSmtpMaxBad = 10;            // errors of the peer; then 421
inline constexpr std::size_t kSmtpMaxRecipients = 20;  // then 452

// Runs one conversation to its end. Throws nothing: a peer that goes away is an end.
Task<void> serve_smtp(Link& link, const CanarySession& session);

// The mailbox of "<…>" in MAIL or RCPT, after the colon (RFC 5321 4.1.2): a source route is dropped, brackets may be missing.
struct MailPath {
  bool valid = false;
  std::string local;   // without quotes
  std::string domain;  // empty: none was given
  std::string parameters;
};
MailPath parse_mail_path(std::string_view text);

}  // namespace ajar
