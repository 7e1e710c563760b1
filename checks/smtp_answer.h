// What a reply to MAIL, RCPT or DATA means for the verdict. Pure: a reply and what we said about ourselves in, a word out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"
#include "checks/wire/smtp_reply.h"

namespace ajar {

enum class SmtpAnswer {
  yes,           // 2yz (and 3yz to DATA)
  refused,       // 5yz, or 454 with relay denied (Postfix defer_unauth_destination)
  put_off,       // any other 4yz: greylisting, policy, load
  wants_tls,     // 530 that asks for TLS, in clear text
  wants_auth,    // 530 otherwise; at MAIL any 5yz that says authentication is required
  bad_sequence,  // 503 to a command that was in sequence: nothing was asked
  blocked,       // it names a blocklist, our reverse DNS or our HELO: it refuses us, not strangers
  names_us,      // it names our address and says nothing of relaying: most likely as `blocked`
};

enum class SmtpStage { hello, mail, rcpt, data };  // hello: the greeting and EHLO

// What a reply may echo. Echoed names are taken out before its words are read: a domain "relay.example" is not the word
// "relay".
struct Spoken {
  std::string_view our_name;       // EHLO name; outlives this
  IpAddress server;                // any other address in a reply is taken for ours, which also sees through NAT
  std::vector<std::string> names;  // the canary's domain, the server's domains and its own name
};

SmtpAnswer read_answer(const SmtpReply& reply, SmtpStage stage, const Spoken& spoken, bool tls);

// Whether it speaks of SPF (RFC 7208): refusing a forged sender for that is the server doing its job.
// A refusal of the sender, whatever command it answers: Postfix delays "550 5.1.8 Sender address rejected" to RCPT, Exim says
// "Sender verify failed" there (RFC 3463 X.1.7, X.1.8).
bool refuses_sender(const SmtpReply& reply);
bool speaks_of_spf(const SmtpReply& reply);

}  // namespace ajar
