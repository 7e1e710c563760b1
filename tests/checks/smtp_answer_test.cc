// What replies of real servers mean: each line as the server says it.
#include "checks/smtp_answer.h"

#include <string>

#include <gtest/gtest.h>

namespace ajar {
namespace {

Spoken spoken() {
  Spoken spoken;
  spoken.our_name = "probe.example.net";
  spoken.server = IpAddress::v4({203, 0, 113, 5});
  spoken.names = {"relay-canary.example.net", "example.org", "mx.example.org"};
  return spoken;
}

SmtpAnswer answer(const std::string& lines, SmtpStage stage = SmtpStage::rcpt, bool tls = false) {
  SmtpReplyReader reader;
  std::size_t start = 0;
  for (std::size_t end = lines.find('|'); end != std::string::npos; end = lines.find('|', start)) {
    reader.take(lines.substr(start, end - start));
    start = end + 1;
  }
  EXPECT_EQ(reader.take(lines.substr(start)), SmtpReplyReader::Step::done) << lines;
  return read_answer(reader.reply(), stage, spoken(), tls);
}

TEST(SmtpAnswer, Yes) {
  for (const char* line : {"250 2.1.5 Ok", "251 forwarded", "252 2.0.0 cannot verify"})
    EXPECT_EQ(answer(line), SmtpAnswer::yes) << line;
}

TEST(SmtpAnswer, Refused) {
  for (const char* line : {
           "554 5.7.1 <x@relay-canary.example.net>: Relay access denied",            // Postfix 3.7 reject_unauth_destination
           "454 4.7.1 <x@relay-canary.example.net>: Relay access denied",            // Postfix 3.7 defer_unauth_destination
           "550 relay not permitted",                                                // Exim 4.96
           "550 Invalid recipient",                                                  // OpenSMTPD 6.8
           "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",  // qmail 1.03
           "550 5.7.1 Unable to relay for x@relay-canary.example.net",               // Exchange
           "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",      // Exchange 2016
           "550 5.7.64 TenantAttribution; Relay Access Denied",                      // Exchange Online
           "550 5.7.1 <x@relay-canary.example.net>... Relaying denied. Proper authentication required.",  // sendmail 8
           "571 5.7.1 we do not relay",
           // cPanel's Exim names our HELO and our address, and still it speaks of relaying.
           "550-(probe.example.net) [198.51.100.7]:44444 is currently not permitted to relay through|550 this server.",
           "501 5.1.3 Bad recipient address syntax",
           "550 5.1.1 <token@example.org>: User unknown",
           "550 5.7.1 <ajar@[203.0.113.5]>: no",
           "550 5.7.1 <aaarblaaaptr@relay-canary.example.net>: no",
       }) {
    EXPECT_EQ(answer(line), SmtpAnswer::refused) << line;
  }
}

TEST(SmtpAnswer, PutOff) {
  for (
      const char* line : {
          "450 4.2.0 <x@relay-canary.example.net>: Recipient address rejected: Greylisted, see http://postgrey.example/",  // postgrey
          "451 4.7.1 198.51.100.7 greylisted, please try again in 300 seconds",
          "450 4.3.2 Service currently unavailable",  // postscreen
          "452 4.5.3 Error: too many recipients",
          "421 4.3.2 shutting down",
          "454 4.7.0 Temporary authentication failure",
          // The domain of our own address is not a word of the server's.
          "454 4.7.1 <x@relay-canary.example.net>: try again later",
      }) {
    EXPECT_EQ(answer(line), SmtpAnswer::put_off) << line;
  }
}

TEST(SmtpAnswer, RefusesUsNotStrangers) {
  for (const char* line : {
           "554 5.7.1 Service unavailable; Client host [198.51.100.7] blocked using zen.spamhaus.org",  // Postfix
                                                                                                        // reject_rbl_client
           "550 5.7.606 Access denied, banned sending IP [198.51.100.7]",                               // Exchange Online
           "550 5.7.25 The IP address sending this message does not have a PTR record",                 // Gmail
           "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]",                // Postfix 3.7
           "504 5.5.2 <probe>: Helo command rejected: need fully-qualified hostname",
           "550 5.7.1 <x@relay-canary.example.net>... Relaying denied. IP name lookup failed [198.51.100.7]",  // sendmail 8
           "550 rejected because of its reputation",
           "550 your address is listed in our blacklist",
       }) {
    EXPECT_EQ(answer(line), SmtpAnswer::blocked) << line;
  }
  for (const char* line : {
           "554 5.7.1 <unknown[198.51.100.7]>: Client host rejected: Access denied",  // Postfix 3.7
           "550 probe.example.net is not welcome",
           "550 access denied for 2001:db8:1::2",
           "451 198.51.100.7 is not yet authorized to deliver mail",
           "550 5.7.23 SPF validation failed",
       }) {
    EXPECT_EQ(answer(line), SmtpAnswer::names_us) << line;
  }
  EXPECT_EQ(answer("550 5.1.8 <x@probe.example.net>: Sender address rejected"), SmtpAnswer::refused);
  EXPECT_EQ(answer("503 5.5.1 Error: send HELO/EHLO first"), SmtpAnswer::bad_sequence);
}

TEST(SmtpAnswer, WantsTlsOrALogin) {
  EXPECT_EQ(answer("530 5.7.0 Must issue a STARTTLS command first", SmtpStage::mail), SmtpAnswer::wants_tls);
  EXPECT_EQ(answer("451 5.7.3 STARTTLS is required to send mail", SmtpStage::mail), SmtpAnswer::wants_tls);  // Exchange Online
  EXPECT_EQ(answer("530 5.7.0 Must issue a STARTTLS command first", SmtpStage::mail, true), SmtpAnswer::wants_auth);
  EXPECT_EQ(answer("530 5.7.1 Authentication required", SmtpStage::mail), SmtpAnswer::wants_auth);
  EXPECT_EQ(answer("530 5.7.57 Client not authenticated to send mail"), SmtpAnswer::wants_auth);  // Exchange
  EXPECT_EQ(answer("550 5.7.1 Authentication required", SmtpStage::mail), SmtpAnswer::wants_auth);
  EXPECT_EQ(answer("550 5.7.1 Authentication required", SmtpStage::rcpt), SmtpAnswer::refused);
}

}  // namespace
}  // namespace ajar
