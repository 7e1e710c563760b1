// The mail servers of mail_opt_in.cc: the ends that each takes, whom it knows, whose password it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/conversation.h"
#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Visit {
  std::string said;
  std::vector<Message> messages;
};

Visit visit(std::string_view name, std::deque<std::string> pieces) {
  Transcript transcript;
  MemoryLink link(transcript, std::move(pieces), MemoryLink::End::hangs_up);
  MemoryWorld world;
  Setting setting;
  setting.host = "mx.lab.test";
  setting.address = "127.10.6.1";
  setting.visit = "V";
  bool ended = false;
  start(converse(link, *find_personality(name), setting, world, 0), [&ended] { ended = true; });
  EXPECT_TRUE(ended);
  return {link.said(), world.messages};
}

const std::string kEnvelope = "MAIL FROM:<a@canary.test>\r\nRCPT TO:<postmaster@mx.lab.test>\r\nDATA\r\n";

TEST(MailOptIn, EndsMessagesWhereItsWaysSay) {
  struct Row {
    const char* name;
    std::string end;
    bool ends;
  };
  for (const Row& row :
       {Row{"strict_mail", "\r\n.\r\n", true}, Row{"strict_mail", "\n.\n", false}, Row{"strict_mail", "\n.\r\n", false},
        Row{"strict_mail", "\r\n\0.\r\n"s, false}, Row{"ends_at_bare_lf", "\n.\n", true},
        Row{"ends_at_bare_lf", "\n.\r\n", true}, Row{"ends_at_bare_lf", "\r\n.\n", true},
        Row{"ends_at_bare_lf", "\r.\r", false}, Row{"ends_at_nul", "\r\n\0.\r\n"s, true}, Row{"ends_at_nul", "\n.\n", false}}) {
    const std::string said = visit(row.name, {kEnvelope, "A: b\r\n\r\nx", row.end}).said;
    EXPECT_EQ(said.find("250 2.0.0 Ok: queued") != std::string::npos, row.ends) << row.name << " " << escape(row.end);
  }
  EXPECT_THAT(visit("hangs_up_at_bare_lf", {kEnvelope, "A: b\r\n\r\nx\n.\n"}).said, HasSubstr("\r\n521 5.5.2"));
  EXPECT_THAT(visit("strict_mail", {kEnvelope + ".\r\nQUIT\r\n"}).said, HasSubstr("queued as V1\r\n221"));
}

TEST(MailOptIn, SmugglesAWholeTransaction) {
  const Visit result =
      visit("smuggles", {"MAIL FROM:<a@canary.test>\r\nRCPT TO:<b@canary.test>\r\nDATA\r\n",
                         "one\n.\nMAIL FROM:<a@canary.test>\r\nRCPT TO:<c@canary.test>\r\nDATA\r\ntwo\r\n.\r\n"});
  ASSERT_EQ(result.messages.size(), 2U);
  EXPECT_EQ(result.messages[0].recipient, "b@canary.test");
  EXPECT_EQ(result.messages[1].recipient, "c@canary.test");
  EXPECT_EQ(result.messages[1].text, "two\n");
}

TEST(MailOptIn, WritesBackWhereNobodyIsThere) {
  const std::string unknown = "MAIL FROM:<bounce-t@canary.test>\r\nRCPT TO:<xt@mx.lab.test>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\n";
  EXPECT_THAT(visit("strict_mail", {unknown}).said, HasSubstr("\r\n550 5.1.1 "));
  EXPECT_THAT(visit("puts_off_unknown", {unknown}).said, HasSubstr("\r\n450 4.1.1 "));
  EXPECT_TRUE(visit("drops_unknown", {unknown}).messages.empty());
  const Visit bounced = visit("bounces", {unknown});
  ASSERT_EQ(bounced.messages.size(), 1U);
  EXPECT_EQ(bounced.messages[0].sender, "");
  EXPECT_EQ(bounced.messages[0].recipient, "bounce-t@canary.test");
  const std::string of_nobody = "MAIL FROM:<>\r\nRCPT TO:<xt@mx.lab.test>\r\nDATA\r\nx\r\n.\r\n";
  EXPECT_TRUE(visit("bounces", {of_nobody}).messages.empty());  // RFC 5321 6.1
}

TEST(MailOptIn, TakesThePasswordsThatItsWaysSay) {
  const std::string login = "EHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@canary.test>\r\nRCPT TO:<b@canary.test>\r\n";
  EXPECT_THAT(visit("any_login", {login}).said,
              HasSubstr("\r\n235 2.7.0 Authentication successful\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok"));
  EXPECT_THAT(visit("any_login_no_relay", {login}).said, HasSubstr("554 5.7.1 <b@canary.test>: Relay access denied"));
  EXPECT_THAT(visit("login_by_gssapi", {"EHLO x\r\n"}).said, HasSubstr("250-AUTH GSSAPI NTLM\r\n"));
  EXPECT_THAT(visit("strict_mail", {"EHLO x\r\n"}).said, Not(HasSubstr("AUTH")));
  EXPECT_THAT(visit("login_refused", {login}).said, HasSubstr("\r\n535 5.7.8 "));
}

TEST(MailOptIn, IsBounded) {
  const std::string said =
      visit("strict_mail", {kEnvelope, std::string(70000, 'x'), std::string(70000, 'x'), ".\r\nNOOP\r\n"}).said;
  EXPECT_THAT(said, Not(HasSubstr("queued")));
  EXPECT_THAT(visit("strict_mail", {"WHAT\r\nMAIL\r\nRCPT TO:x\r\nDATA\r\nRSET\r\nNOOP\r\n"}).said,
              HasSubstr("500 5.5.2 Error: command not recognized\r\n501 5.5.4"));
}

}  // namespace
}  // namespace ajar::lab
