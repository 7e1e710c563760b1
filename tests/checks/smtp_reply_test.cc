#include "checks/wire/smtp_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

using Step = SmtpReplyReader::Step;

SmtpReply reply_of(const std::vector<std::string>& lines) {
  SmtpReplyReader reader;
  for (const std::string& line : lines) EXPECT_NE(reader.take(line), Step::bad) << line;
  return reader.reply();
}

TEST(SmtpReply, ReadsOneLine) {
  for (const auto& [line, step, code, text] : std::vector<std::tuple<std::string, Step, int, std::string>>{
           {"250 2.1.0 Ok", Step::done, 250, "2.1.0 Ok"},
           {"250", Step::done, 250, ""},
           {"250 ", Step::done, 250, ""},
           {"250-", Step::more, 250, ""},
           {"250-mx", Step::more, 250, "mx"},
           {"571 we do not relay", Step::done, 571, "we do not relay"},
           {"354 go", Step::done, 354, "go"},
       }) {
    SmtpReplyReader reader;
    EXPECT_EQ(reader.take(line), step) << line;
    EXPECT_EQ(reader.reply().code, code) << line;
    EXPECT_EQ(reader.reply().text(), text) << line;
  }
}

TEST(SmtpReply, RefusesWhatIsNone) {
  for (const char* line :
       {"", "2", "25", "25O ok", "150 ok", "650 ok", "250ok", "250\tok", " 250 ok", "SSH-2.0-x", "2500 ok", "HTTP/1.1 400"}) {
    SmtpReplyReader reader;
    EXPECT_EQ(reader.take(line), Step::bad) << line;
  }
}

TEST(SmtpReply, JoinsLinesOfOneCode) {
  const SmtpReply reply = reply_of({"550-5.7.1 no", "550-", "550 5.7.1 really"});
  EXPECT_EQ(reply.code, 550);
  EXPECT_EQ(reply.text(), "5.7.1 no 5.7.1 really");
  SmtpReplyReader mixed;  // RFC 5321 4.2.1
  EXPECT_EQ(mixed.take("250-mx"), Step::more);
  EXPECT_EQ(mixed.take("550 no"), Step::bad);
}

TEST(SmtpReply, IsBounded) {
  SmtpReplyReader reader;
  for (std::size_t i = 0; i < SmtpReplyReader::kMaxLines; ++i) ASSERT_EQ(reader.take("250-x"), Step::more);
  EXPECT_EQ(reader.take("250-x"), Step::bad);
  EXPECT_EQ(reply_of({"250 " + std::string(4000, 'x')}).lines[0].size(), SmtpReplyReader::kMaxText);
}

TEST(EnhancedCode, IsReadWhereItStands) {
  EXPECT_EQ(parse_enhanced_code("5.7.1 no"), (EnhancedCode{5, 7, 1}));
  EXPECT_EQ(parse_enhanced_code("5.7.606"), (EnhancedCode{5, 7, 606}));
  EXPECT_EQ(parse_enhanced_code("sorry (#5.7.1)"), (EnhancedCode{5, 7, 1}));  // qmail 1.03
  for (const char* none : {"", "5", "5.7", "5.7.1x", "3.7.1 no", "55.7.1 no", "5.1234.1 no", "no 5.7.1", "(#5.7.1", "(#"}) {
    EXPECT_EQ(parse_enhanced_code(none).has_value(), std::string(none) == "(#5.7.1") << none;
  }
  EXPECT_EQ(reply_of({"550-see below", "550 5.7.1 no"}).enhanced(), (EnhancedCode{5, 7, 1}));
  EXPECT_EQ(reply_of({"550 2.1.5 Ok"}).enhanced(), std::nullopt);
}

TEST(Ehlo, ReadsCapabilities) {
  const SmtpCapabilities offers =
      parse_ehlo(reply_of({"250-mx.example.org Hello", "250-SIZE 1000", "250-starttls", "250-AUTH=LOGIN PLAIN", "250-DSN",
                           "250-XCLIENT NAME ADDR", "250-XFORWARD NAME", "250 SMTPUTF8"}));
  EXPECT_EQ(offers.name, "mx.example.org");
  EXPECT_TRUE(offers.starttls && offers.auth && offers.dsn && offers.xclient && offers.xforward && offers.smtputf8);
  const SmtpCapabilities none = parse_ehlo(reply_of({"250 STARTTLS"}));  // the first line is the server's name
  EXPECT_FALSE(none.starttls);
}

TEST(SpokenName, IsSafeToSayBack) {
  EXPECT_EQ(spoken_name(reply_of({"220 mx.example.org ESMTP"})), "mx.example.org");
  for (const char* odd : {"220 mx<x>.org", "220 ..", "220 localhost", "220 203.0.113.5", "220 -a.b", "220 a..b", "220 a.b.",
                          "220 a@b.c", "220"}) {
    EXPECT_EQ(spoken_name(reply_of({odd})), "") << odd;
  }
}

}  // namespace
}  // namespace ajar
