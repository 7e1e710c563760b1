// The matrix of smtp_relay as data: who says the mail is from, and how the recipient at our canary is written.
//
// A variant is called sender/recipient: "external/plain", "forged_local/percent@domain"; "+tls" is appended when it is asked
// after STARTTLS. The names are stored and shown: never rename one.
//
//   {token}   the variant's token      {canary}  the canary's mail domain     {sender}  the token of our sender address
//   {domain}  the local domain         {address} the server's address literal: [203.0.113.5]
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checks/check.h"

namespace ajar {

struct SenderForm {
  std::string_view name;
  std::string_view mailbox;  // between < and > in MAIL FROM
  bool core = false;         // with the plain recipient
  bool with_forms = false;   // asked with every recipient form; the others only with the plain one
};

inline constexpr std::array kSenders = {
    // Our own address, at the canary: exists, takes bounces and answers callouts. Its token is not the recipient's, so that a
    // bounce
    // never looks like a delivery.
    SenderForm{"external", "probe-{sender}@{canary}", true, true},
    // A bounce (RFC 5321 4.5.5).
    SenderForm{"null", "", true, false},
    // Trust in whoever claims to be one of them: the most common hole today (Postfix check_sender_access OK, Exim "accept
    // senders").
    SenderForm{"forged_local", "postmaster@{domain}", true, true},
    // Servers that complete an address with their own domain turn it into forged_local.
    SenderForm{"no_domain", "postmaster", false, false},
    SenderForm{"address_literal", "ajar@{address}", false, false},
    SenderForm{"localhost", "postmaster@localhost", false, false},
};

struct RecipientForm {
  std::string_view name;
  std::string_view mailbox;  // between < and > in RCPT TO
  // Where the recipient lives when read as RFC 5321 wants it read. Outside the server: a yes counts. In its own domain: a yes
  // counts only where a random local part there is refused; `place` is the mailbox of that random one, with {token} as local
  // part.
  std::string_view place;
  std::string_view family;  // variants of one sender and family share one message: see Canary::ask_to_send
  bool needs_smtputf8 = false;
};

inline constexpr std::string_view kOutside = "";
inline constexpr std::string_view kAtDomain = "{token}@{domain}";
inline constexpr std::string_view kAtAddress = "{token}@{address}";
inline constexpr std::string_view kAtLocalhost = "{token}@localhost";
inline constexpr std::string_view kBare = "{token}";

inline constexpr std::array kRecipients = {
    RecipientForm{"plain", "{token}@{canary}", kOutside, "plain"},
    // The percent hack (RFC 1123 5.2.16).
    RecipientForm{"percent@domain", "{token}%{canary}@{domain}", kAtDomain, "percent"},
    RecipientForm{"percent@address", "{token}%{canary}@{address}", kAtAddress, "percent"},
    RecipientForm{"percent@localhost", "{token}%{canary}@localhost", kAtLocalhost, "percent"},
    RecipientForm{"percent", "{token}%{canary}", kBare, "percent"},
    // A quoted local part that a second reading takes for an address (RFC 5321 4.1.2).
    RecipientForm{"quoted", "\"{token}@{canary}\"", kBare, "quoted"},
    RecipientForm{"quoted_percent", "\"{token}%{canary}\"", kBare, "quoted"},
    RecipientForm{"quoted@domain", "\"{token}@{canary}\"@{domain}", kAtDomain, "quoted"},
    RecipientForm{"quoted@address", "\"{token}@{canary}\"@{address}", kAtAddress, "quoted"},
    // Not an address at all: the last domain is judged, the first is used.
    RecipientForm{"double_at@domain", "{token}@{canary}@{domain}", kAtDomain, "double_at"},
    RecipientForm{"double_at@address", "{token}@{canary}@{address}", kAtAddress, "double_at"},
    // Source routes (RFC 5321 appendix C): the recipient is at the canary, so a yes is a yes.
    RecipientForm{"route@domain", "@{domain}:{token}@{canary}", kOutside, "route"},
    RecipientForm{"route@address", "@{address}:{token}@{canary}", kOutside, "route"},
    // UUCP bang paths (RFC 976).
    RecipientForm{"bang", "{canary}!{token}", kBare, "bang"},
    RecipientForm{"bang@domain", "{canary}!{token}@{domain}", kAtDomain, "bang"},
    RecipientForm{"bang@address", "{canary}!{token}@{address}", kAtAddress, "bang"},
    // Escapes a comparison of strings.
    RecipientForm{"trailing_dot", "{token}@{canary}.", kOutside, "trailing_dot"},
    // A policy that was written for ASCII (RFC 6531). The canary knows the token by what stands before the "+".
    RecipientForm{"smtputf8", "{token}+\xc3\xbc@{canary}", kOutside, "smtputf8", true},
};

// One variant to be asked.
//
// In short, as a plan keeps it for as long as the probe lasts.
struct SmtpPick {
  std::uint8_t sender = 0;     // of kSenders
  std::uint8_t recipient = 0;  // of kRecipients
  bool tls = false;            // after STARTTLS
  bool core = false;
};

// Spelled out, when its turn has come.
struct SmtpAsk {
  std::string name;
  const SenderForm* sender = nullptr;
  const RecipientForm* recipient = nullptr;
  bool tls = false;  // after STARTTLS
  bool core = false;
  bool must_ask = false;
  bool retried = false;      // put off before: the tokens are those of the Retry
  std::string token;         // empty: to be minted
  std::string sender_token;  // of the Retry; empty: the probe's own

  std::string message_class() const;  // "external/percent": one message an endpoint and class
  std::string twin() const;           // the name of the same variant on the other side of STARTTLS
};

// What to ask: everything with full_matrix, else the core, the variants of must_ask and those of retries. Names that the matrix
// does not know are left out.
std::vector<SmtpPick> pick_smtp_relay(const Subject& subject);
SmtpAsk spell_out(const SmtpPick& pick, const Subject& subject);
std::vector<SmtpAsk> plan_smtp_relay(const Subject& subject);  // all of them, spelled out

struct MailboxWords {  // of strings that outlive it
  std::string_view token;
  std::string_view sender;
  std::string_view canary;
  std::string_view domain;
  std::string_view address;
};
// A form of the matrix with its words put in; appended to `line`.
void write_mailbox(std::string& line, std::string_view form, const MailboxWords& words);
std::string write_mailbox(std::string_view form, const MailboxWords& words);

}  // namespace ajar
