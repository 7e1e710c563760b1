#include "agent/canary_smtp.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_link.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class CanarySmtp : public ::testing::Test {
 protected:
  // The replies to `pieces`, one conversation.
  std::string talk(std::deque<std::string> pieces, MemoryLink::End end = MemoryLink::End::hangs_up) {
    arrivals_.clear();
    Transcript transcript;
    MemoryLink link(transcript, std::move(pieces), end);
    const CanarySession session{.identity = identity_,
                                .keys = keys_,
                                .now = [this] { return now_; },
                                .peer = {*IpAddress::parse("203.0.113.9"), 40000},
                                .listener = {*IpAddress::parse("198.51.100.7"), 25},
                                .starttls = true,
                                .server_name = {},
                                .arrived = [this](Arrival arrival) { arrivals_.push_back(std::move(arrival)); }};
    bool ended = false;
    start(serve_smtp(link, session), [&ended] { ended = true; });
    EXPECT_TRUE(ended);
    handshaken_ = link.handshaken();
    return link.said();
  }
  std::string talk(const std::string& text) { return talk(std::deque<std::string>{text}); }
  // The reply to RCPT of `address`.
  std::string rcpt(const std::string& address) {
    const std::string said = talk("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:" + address + "\r\n");
    const auto at = said.find("250 2.1.0 Ok\r\n");
    return at == std::string::npos ? "" : said.substr(at + 14);
  }

  Time now_{1'800'000'000s};
  CanaryKeys keys_{std::string(32, 'k')};
  CanaryIdentity identity_{.name = "probe.example.net",
                           .contact = "mailto:sre@example.net",
                           .host = "canary.example.net",
                           .mail_domain = "canary.example.net",
                           .authorities = {}};
  std::string token_ = keys_.mint(now_, 1h);
  std::vector<Arrival> arrivals_;
  bool handshaken_ = false;
};

TEST_F(CanarySmtp, DeliveredMessageIsAProof) {
  const std::string said =
      talk("EHLO mx.example.org\r\nMAIL FROM:<probe-x@canary.example.net> SIZE=500\r\nRCPT TO:<" + token_ +
           "@canary.example.net>\r\nDATA\r\nReceived: from [203.0.113.1]\r\n\tby mx.example.org\r\nVia: a\r\nSubject: x\r\n"
           "Message-ID: <1@x>\r\n\r\nReceived: in the body\r\n..dot\r\n.\r\nQUIT\r\n");
  EXPECT_THAT(said, HasSubstr("220 canary.example.net ESMTP ajar canary\r\n"));
  EXPECT_THAT(said, HasSubstr("\r\n354 "));
  EXPECT_THAT(said, HasSubstr("\r\n250 2.0.0 Seen"));
  EXPECT_THAT(said, HasSubstr("\r\n221 2.0.0"));
  ASSERT_EQ(arrivals_.size(), 1U);
  const Arrival& arrival = arrivals_[0];
  EXPECT_TRUE(arrival.proof);
  EXPECT_EQ(arrival.token, token_);
  EXPECT_EQ(arrival.kind, CanaryKind::smtp);
  EXPECT_EQ(arrival.peer.to_string(), "203.0.113.9:40000");
  EXPECT_EQ(arrival.listener.to_string(), "198.51.100.7:25");
  EXPECT_THAT(arrival.facts,
              ::testing::ElementsAre("message", "EHLO mx.example.org", "MAIL FROM:<probe-x@canary.example.net> SIZE=500",
                                     "RCPT TO:<<token>@canary.example.net>", "Received: from [203.0.113.1] by mx.example.org",
                                     "Via: a", "Message-ID: <1@x>"));
}

TEST_F(CanarySmtp, BytewiseIsTheSame) {
  const std::string text =
      "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n";
  std::deque<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  EXPECT_EQ(talk(std::move(bytes)), talk(text));
  EXPECT_EQ(arrivals_.size(), 1U);
}

TEST_F(CanarySmtp, TakesItsOwnRecipientsOnly) {
  std::string upper = token_;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& yes :
       {"<" + token_ + "@canary.example.net>", "<" + token_ + "@CANARY.example.NET.>", "<" + upper + "@canary.example.net>",
        "<" + token_ + "+tag.\xc3\xbc@canary.example.net> NOTIFY=NEVER", "<probe-" + token_ + "@canary.example.net>",
        "<\"" + token_ + "\"@canary.example.net>", "<@mx.example.org:" + token_ + "@canary.example.net>",
        token_ + "@canary.example.net", std::string(" <postmaster@canary.example.net>"), std::string("<Postmaster>"),
        std::string("<ABUSE@canary.example.net>")}) {
    EXPECT_EQ(rcpt(yes), "250 2.1.5 Ok\r\n") << yes;
  }
  const std::string foreign = CanaryKeys(std::string(32, 'o')).mint(now_, 1h);
  for (const std::string& no :
       {"<" + token_ + "@example.org>", "<" + token_ + "@sub.canary.example.net>",
        "<" + token_ + "@canary.example.net@example.org>", "<" + token_ + "%canary.example.net@example.org>",
        "<" + token_ + ">", "<x" + token_ + "@canary.example.net>", "<" + token_ + "x@canary.example.net>",
        "<" + token_ + "-x@canary.example.net>", "<probe-" + token_ + "+x@canary.example.net>",
        "<" + foreign + "@canary.example.net>", std::string("<someone@canary.example.net>"), std::string("<abuse>"),
        std::string("<postmaster@example.org>"), "<\"" + token_ + "@canary.example.net\"@example.org>"}) {
    EXPECT_THAT(rcpt(no), ::testing::StartsWith("550 5.7.1 ")) << no;
  }
  for (const std::string no : {"<>", "<unclosed", "\"<unclosed@canary.example.net>", "<@route>"}) {
    EXPECT_THAT(rcpt(no), ::testing::StartsWith("501 ")) << no;
  }
}

TEST_F(CanarySmtp, TokenUnderAForeignDomainIsNoProof) {
  rcpt("<" + token_ + "%canary.example.net@localhost>");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  EXPECT_EQ(arrivals_[0].token, token_);
  EXPECT_EQ(arrivals_[0].facts[0], "recipient in a domain that is not ours");
  EXPECT_THAT(arrivals_[0].facts, Contains("RCPT TO:<<token>%canary.example.net@localhost>"));
}

TEST_F(CanarySmtp, ExpiredTokenIsRefusedAndSeen) {
  now_ += 2h;
  EXPECT_THAT(rcpt("<" + token_ + "@canary.example.net>"), ::testing::StartsWith("550 5.7.1"));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  EXPECT_EQ(arrivals_[0].facts[0], "the token has expired");
}

TEST_F(CanarySmtp, RecipientCheckIsNoProof) {
  rcpt("<" + token_ + "@canary.example.net>");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  talk("MAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nRSET\r\nQUIT\r\n");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
}

TEST_F(CanarySmtp, MessageCutOffIsNoProof) {
  talk("MAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nDATA\r\nA: b\r\n\r\nhalf");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
}

TEST_F(CanarySmtp, BounceToOurSenderIsNoProof) {
  EXPECT_THAT(talk("MAIL FROM:<>\r\nRCPT TO:<probe-" + token_ + "@canary.example.net>\r\nDATA\r\n.\r\n"),
              HasSubstr("250 2.0.0 Seen"));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  EXPECT_EQ(arrivals_[0].facts[0], "message to our probe sender");
}

// The sender of `backscatter`: a bounce to it is what that check waits for.
TEST_F(CanarySmtp, BounceToTheBounceAddressIsAProof) {
  for (const char* null : {"<>", "<> SIZE=500 RET=HDRS", " <>"}) {
    const std::string address = "RCPT TO:<bounce-" + token_ + "@canary.example.net>\r\n";
    EXPECT_THAT(talk(std::string("MAIL FROM:") + null + "\r\n" + address + "DATA\r\n.\r\n"), HasSubstr("250 2.0.0 Seen"));
    ASSERT_EQ(arrivals_.size(), 1U);
    EXPECT_TRUE(arrivals_[0].proof && arrivals_[0].message);
    EXPECT_EQ(arrivals_[0].token, token_);
    EXPECT_EQ(arrivals_[0].facts[0], "bounce");
  }
}

// A person, or a sender that was looked up, proves nothing.
TEST_F(CanarySmtp, WhatElseComesToTheBounceAddressIsNoProof) {
  const std::string to = "RCPT TO:<bounce-" + token_ + "@canary.example.net>\r\n";
  EXPECT_THAT(talk("MAIL FROM:<postmaster@example.org>\r\n" + to + "DATA\r\n.\r\n"), HasSubstr("250 2.0.0 Seen"));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  EXPECT_EQ(arrivals_[0].facts[0], "message to our bounce address that is no bounce");
  for (const char* rest : {"QUIT\r\n", "RSET\r\n", "DATA\r\nA: b\r\n\r\nhalf", ""}) {
    talk("MAIL FROM:<>\r\n" + to + rest);
    ASSERT_EQ(arrivals_.size(), 1U) << rest;
    EXPECT_FALSE(arrivals_[0].proof) << rest;
  }
  EXPECT_THAT(rcpt("<bounce-" + token_ + "+x@canary.example.net>"), ::testing::StartsWith("550 5.7.1 "));
  EXPECT_THAT(rcpt("<bounce-" + token_ + "@example.org>"), ::testing::StartsWith("550 5.7.1 "));
  EXPECT_THAT(rcpt("<bounce-probe-" + token_ + "@canary.example.net>"), ::testing::StartsWith("550 5.7.1 "));
}

TEST_F(CanarySmtp, EachTokenOfAMessageArrives) {
  const std::string other = keys_.mint(now_, 1h);
  talk("MAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nRCPT TO:<" + other +
       "@canary.example.net>\r\nDATA\r\n.\r\n");
  ASSERT_EQ(arrivals_.size(), 2U);
  EXPECT_EQ(arrivals_[0].token, token_);
  EXPECT_EQ(arrivals_[1].token, other);
  EXPECT_TRUE(arrivals_[0].proof && arrivals_[1].proof);
}

TEST_F(CanarySmtp, DataNeedsAToken) {
  EXPECT_THAT(talk("MAIL FROM:<>\r\nDATA\r\n"), HasSubstr("\r\n554 5.5.1 "));
  EXPECT_THAT(talk("DATA\r\n"), HasSubstr("\r\n503 "));
  const std::string said = talk("MAIL FROM:<>\r\nRCPT TO:<postmaster@canary.example.net>\r\nDATA\r\nQUIT\r\n");
  EXPECT_THAT(said, HasSubstr("554 5.7.1 this machine keeps no mail; write to sre@example.net\r\n221"));
  EXPECT_TRUE(arrivals_.empty());
}

TEST_F(CanarySmtp, OnlyADotBetweenCrlfsEndsAMessage) {
  const std::string begin = "MAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nDATA\r\nA: b\r\n\r\nx";
  for (const std::string end : {"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r.\r\n", "\r\n. \r\n", "\r\n.\r"}) {
    const std::string said = talk(begin + end + "QUIT\r\n");
    EXPECT_THAT(said, Not(HasSubstr("Seen"))) << escape(end);
    EXPECT_THAT(said, Not(HasSubstr("\r\n221"))) << escape(end);
  }
  EXPECT_THAT(talk(begin + "\n.\n\r\n.\r\nQUIT\r\n"), HasSubstr("Seen"));
  EXPECT_THAT(arrivals_.at(0).facts, Contains("the message has bare LF line ends"));
}

TEST_F(CanarySmtp, LargeMessageGets552AndStillProves) {
  const std::string begin = "MAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nDATA\r\n";
  std::string body;
  while (body.size() < kSmtpMaxMessage + 100) body += std::string(5000, 'x') + "\r\n";
  std::string lines;  // short ones
  while (lines.size() < kSmtpMaxMessage + 100) lines += std::string(98, 'x') + "\r\n";
  EXPECT_THAT(talk(begin + lines + ".\r\n"), HasSubstr("\r\n552 5.3.4 "));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_TRUE(arrivals_[0].proof);
  EXPECT_THAT(talk(begin + body + ".\r\n"), HasSubstr("\r\n552 5.3.4 "));
  EXPECT_THAT(talk("MAIL FROM:<> SIZE=999999999\r\n"), HasSubstr("\r\n552 5.3.4 "));
  // Without an end: the link gives up, nothing is proven.
  EXPECT_THAT(talk(begin + lines + lines + lines), Not(HasSubstr("Seen")));
  EXPECT_FALSE(arrivals_.at(0).proof);
}

TEST_F(CanarySmtp, TokenInEhloGetsItsProof) {
  EXPECT_THAT(talk("EHLO " + token_ + "\r\n"), HasSubstr("250-canary.example.net proof " + keys_.proof(token_) + "\r\n"));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_TRUE(arrivals_[0].proof);
  EXPECT_THAT(talk("EHLO " + CanaryKeys(std::string(32, 'o')).mint(now_, 1h) + "\r\n"), Not(HasSubstr("proof")));
  EXPECT_TRUE(arrivals_.empty());
  now_ += 2h;
  EXPECT_THAT(talk("EHLO " + token_ + "\r\n"), Not(HasSubstr("proof")));
}

TEST_F(CanarySmtp, StarttlsForgetsWhatWasSaid) {
  const std::string said =
      talk({"EHLO before\r\n", "MAIL FROM:<>\r\n", "STARTTLS\r\n", "EHLO after\r\nRCPT TO:<x@y>\r\nSTARTTLS\r\n"});
  EXPECT_TRUE(handshaken_);
  EXPECT_THAT(said, HasSubstr("\r\n250-STARTTLS\r\n"));
  EXPECT_EQ(said.find("250-STARTTLS"), said.rfind("250-STARTTLS"));
  EXPECT_THAT(said, HasSubstr("503 5.5.1 MAIL first"));
  EXPECT_THAT(said, HasSubstr("502 5.5.1 not now"));
}

TEST_F(CanarySmtp, BytesAfterStarttlsEndIt) {
  const std::string said = talk("STARTTLS\r\nMAIL FROM:<>\r\n");
  EXPECT_THAT(said, HasSubstr("\r\n554 5.5.0 "));
  EXPECT_FALSE(handshaken_);
}

TEST_F(CanarySmtp, HttpToThePortIsHungUpOnAndSeen) {
  const std::string said = talk("POST / HTTP/1.0\r\nHost: 198.51.100.7:25\r\nVia: 1.1 squid\r\n\r\ntoken=" + token_);
  EXPECT_THAT(said, HasSubstr("\r\n500 "));
  EXPECT_THAT(said, Not(HasSubstr(keys_.proof(token_))));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  EXPECT_EQ(arrivals_[0].token, token_);
  EXPECT_THAT(arrivals_[0].facts, AllOf(Contains("POST / HTTP/1.0"), Contains("Via: 1.1 squid"), Contains("token=<token>")));
  talk("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(arrivals_.empty());
}

TEST_F(CanarySmtp, OtherCommands) {
  EXPECT_THAT(talk("VRFY root\r\n"), HasSubstr("\r\n252 "));
  EXPECT_THAT(talk("NOOP\r\n"), HasSubstr("\r\n250 "));
  EXPECT_THAT(talk("HELP\r\n"), HasSubstr("sre@example.net"));
  EXPECT_THAT(talk("AUTH PLAIN AGEAYg==\r\n"), HasSubstr("\r\n500 "));
  EXPECT_THAT(talk("EHLO\r\n"), HasSubstr("\r\n501 "));
  EXPECT_THAT(talk("HELO a\r\n"), HasSubstr("\r\n250 canary.example.net\r\n"));
  EXPECT_THAT(talk("MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n"), HasSubstr("\r\n503 "));
  EXPECT_THAT(talk("MAIL a@b\r\n"), HasSubstr("\r\n501 "));
  EXPECT_THAT(talk(std::string(3000, 'x') + "\r\nNOOP\r\n"),
              AllOf(HasSubstr("\r\n500 5.5.2 line too long"), HasSubstr("\r\n250 ")));
  EXPECT_THAT(talk("EHLO a\r\n"), Not(HasSubstr("AUTH")));
}

TEST_F(CanarySmtp, ConversationIsBounded) {
  std::string many;
  for (unsigned i = 0; i < kSmtpMaxCommands + 50; ++i) many += "NOOP\r\n";
  const std::string said = talk(many);
  EXPECT_THAT(said, HasSubstr("421 4.7.0 canary.example.net too many commands\r\n"));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), kSmtpMaxCommands + 2);
  std::string bad;
  for (unsigned i = 0; i < kSmtpMaxBad + 5; ++i) bad += "WHAT\r\n";
  const std::string refused = talk(bad);
  EXPECT_THAT(refused, HasSubstr("421 4.7.0 canary.example.net too many errors\r\n"));
  EXPECT_EQ(std::count(refused.begin(), refused.end(), '\n'), kSmtpMaxBad + 1);
  std::string recipients = "MAIL FROM:<>\r\n";
  for (std::size_t i = 0; i <= kSmtpMaxRecipients; ++i) recipients += "RCPT TO:<" + token_ + "@canary.example.net>\r\n";
  EXPECT_THAT(talk(recipients), HasSubstr("452 4.5.3"));
  EXPECT_EQ(arrivals_.size(), kSmtpMaxRecipients);
}

TEST_F(CanarySmtp, SilenceIsSaid) {
  EXPECT_THAT(talk({"EHLO a\r\n"}, MemoryLink::End::falls_silent),
              HasSubstr("421 4.4.2 canary.example.net closing the connection"));
}

TEST_F(CanarySmtp, FactsAreEscapedAndBounded) {
  std::string headers;
  for (int i = 0; i < 100; ++i) headers += "Received: \x1b[31m<script>" + std::string(2000, 'r') + "\r\n";
  talk("EHLO \xff\r\nMAIL FROM:<>\r\nRCPT TO:<" + token_ + "@canary.example.net>\r\nDATA\r\n" + headers + "\r\n.\r\n");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_LE(arrivals_[0].facts.size(), Facts::kMax);
  EXPECT_EQ(arrivals_[0].facts[1], "EHLO \\xff");
  for (const std::string& fact : arrivals_[0].facts) {
    EXPECT_LE(fact.size(), 4 * Facts::kMaxLength + 32);
    EXPECT_EQ(fact.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace ajar
