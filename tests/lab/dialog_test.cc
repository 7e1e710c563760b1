#include "tests/lab/dialog.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// A client at one personality. say() gives the reply; the clock stands until it is moved.
class Client {
 public:
  explicit Client(const std::string& personality) : personality_(*find_personality(personality)) { reconnect(); }
  void reconnect() {
    Setting setting;
    setting.host = "mx.lab.test";
    setting.address = "127.10.0.1";
    setting.peer = "127.66.0.1";
    setting.date = "Fri, 02 Jan 2026 03:04:05 +0000";
    setting.visit = "A";
    setting.greylist = &greylist_;
    setting.pace = pace;
    dialog_.emplace(personality_.manners, setting);
    if (personality_.implicit_tls) dialog_->tls_started();
  }
  std::string say(const std::string& line) {
    last = dialog_->hear(line, now_);
    if (last.next == Step::Next::start_tls) dialog_->tls_started();
    for (Message& message : last.messages) messages.push_back(std::move(message));
    return last.reply;
  }
  // The reply to RCPT after a new MAIL; the reply to MAIL where that was refused.
  std::string ask(const std::string& sender, const std::string& recipient, const std::string& parameters = {}) {
    say("RSET");
    const std::string reply = say("MAIL FROM:<" + sender + ">" + parameters);
    return reply.starts_with("250") ? say("RCPT TO:<" + recipient + ">") : reply;
  }
  void wait(milliseconds span) { now_ += span; }
  std::string greeting() const { return dialog_->greeting(); }

  Step last;
  std::vector<Message> messages;
  Pace pace;

 private:
  const Personality& personality_;
  Greylist greylist_;
  std::optional<Dialog> dialog_;
  Steady::time_point now_{seconds(1000)};
};

constexpr char kExternal[] = "x@other.test";
constexpr char kForged[] = "postmaster@mx.lab.test";
constexpr char kProbe[] = "token@canary.test";

struct Core {
  std::string personality, external, null, forged, control;
};
void PrintTo(const Core& core, std::ostream* out) { *out << core.personality; }

class CoreTest : public testing::TestWithParam<Core> {};

TEST_P(CoreTest, Answers) {
  const Core& core = GetParam();
  Client client(core.personality);
  EXPECT_THAT(client.say("EHLO probe.test"), StartsWith("250"));
  EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith(core.external));
  EXPECT_THAT(client.ask("", kProbe), StartsWith(core.null));
  EXPECT_THAT(client.ask(kForged, kProbe), StartsWith(core.forged));
  EXPECT_THAT(client.ask(kExternal, kForged), StartsWith(core.control));
}

INSTANTIATE_TEST_SUITE_P(
    Personalities, CoreTest,
    testing::Values(Core{"closed", "554 5.7.1 <token@canary.test>: Relay access denied", "554", "554", "250"},
                    Core{"closed_454", "454 4.7.1 <token@canary.test>: Relay access denied", "454 4.7.1", "454 4.7.1", "250"},
                    Core{"open", "250", "250", "250", "250"}, Core{"open_forged_local", "554", "554", "250", "250"},
                    Core{"greylist_closed", "450 4.2.0", "450", "450", "450"},
                    Core{"greylist_open", "450 4.2.0", "450", "450", "450"}, Core{"catch_all", "250", "250", "250", "250"},
                    Core{"accept_and_discard", "250", "250", "250", "250"},
                    Core{"refuse_after_data", "250", "250", "250", "250"},
                    Core{"submission_auth", "530 5.7.0 Authentication required", "530", "530", "530"},
                    Core{"submissions_auth", "530 5.7.0 Authentication required", "530", "530", "530"},
                    Core{"exim_like", "550 relay not permitted", "550", "550", "250"},
                    Core{"postfix_error_limit", "554", "554", "554", "250"}, Core{"tarpit", "554", "554", "554", "250"},
                    Core{"blocks_us", "554 5.7.1 Service unavailable; Client host [127.66.0.1] blocked using bl.example",
                         "554 5.7.1", "554", "554 5.7.1"},
                    Core{"starttls_open", "554", "554", "554", "250"},
                    Core{"wants_tls_first", "530 5.7.0 Must issue a STARTTLS command first", "530", "530", "530"},
                    Core{"percent_hack_open", "554", "554", "554", "250"}, Core{"xclient_offered", "554", "554", "554", "250"}),
    [](const auto& core) { return core.param.personality; });

TEST(Personalities, EverySmtpOneIsAskedInTheTableAboveOrFallsSilent) {
  for (const Personality& personality : personalities()) {
    if (personality.kind != Kind::smtp) continue;
    Client client{std::string(personality.name)};
    EXPECT_THAT(client.greeting(), StartsWith("220 mx.lab.test "));
    client.say("EHLO probe.test");
    EXPECT_EQ(client.last.next == Step::Next::fall_silent, personality.name == "hang_after_ehlo") << personality.name;
  }
}

// Every recipient form that hides user@canary.test behind the server's own name.
const std::vector<std::string> kForms = {
    "token@canary.test",
    "token%canary.test@mx.lab.test",
    "token%canary.test@[127.10.0.1]",
    "token%canary.test@localhost",
    "token%canary.test",
    "\"token@canary.test\"",
    "\"token%canary.test\"",
    "\"token@canary.test\"@mx.lab.test",
    "\"token@canary.test\"@[127.10.0.1]",
    "token@canary.test@mx.lab.test",
    "token@canary.test@[127.10.0.1]",
    "@mx.lab.test:token@canary.test",
    "@[127.10.0.1]:token@canary.test",
    "canary.test!token",
    "canary.test!token@mx.lab.test",
    "canary.test!token@[127.10.0.1]",
    "token@canary.test.",
};

TEST(Forms, OpenRewritesEachAndDeliversToTheCanary) {
  for (const std::string& form : kForms) {
    Client client("open");
    EXPECT_THAT(client.ask(kExternal, form), StartsWith("250")) << form;
    client.say("DATA");
    client.say(".");
    ASSERT_THAT(client.messages, SizeIs(1)) << form;
    EXPECT_EQ(client.messages[0].recipient, "token@canary.test") << form;
  }
}

TEST(Forms, ClosedRefusesEach) {
  for (const char* personality : {"closed", "xclient_offered", "starttls_open"}) {
    for (const std::string& form : kForms) {
      Client client(personality);
      EXPECT_THAT(client.ask(kExternal, form), StartsWith("554 5.7.1")) << form;
    }
  }
}

TEST(Forms, PercentHackFallsForPercentAtItsOwnNameOnly) {
  for (const std::string& form : kForms) {
    Client client("percent_hack_open");
    const bool percent = form.starts_with("token%canary.test@");
    EXPECT_THAT(client.ask(kExternal, form), StartsWith(percent ? "250" : "554")) << form;
  }
  Client client("percent_hack_open");
  EXPECT_THAT(client.ask(kExternal, "nobody123@mx.lab.test"), StartsWith("550 5.1.1"));
}

TEST(Forms, EximJudgesSyntaxFirst) {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"token%canary.test@mx.lab.test", "550 Restricted characters in address"},
      {"token@canary.test@mx.lab.test", "501 <token@canary.test@mx.lab.test>: malformed address"},
      {"token%canary.test@[127.10.0.1]", "501 <token%canary.test@[127.10.0.1]>: domain literals not allowed"},
      {"\"token@canary.test\"@mx.lab.test", "550 Restricted characters"},
      {"\"token@canary.test\"", "501 <\"token@canary.test\">: recipient address must contain a domain"},
      {"@mx.lab.test:token@canary.test", "550 relay not permitted"},
      {"canary.test!token@mx.lab.test", "550 Restricted characters"},
      {"token@canary.test.", "501 <token@canary.test.>: malformed address"},
      {"Postmaster", "250 Accepted"},
      {"nobody@mx.lab.test", "550 Unrouteable address"},
  };
  for (const auto& [form, reply] : expected) {
    Client client("exim_like");
    EXPECT_THAT(client.ask(kExternal, form), StartsWith(reply)) << form;
  }
  Client client("exim_like");
  EXPECT_EQ(client.say("MAIL FROM:<x@[127.10.0.1]>"), "501 <x@[127.10.0.1]>: domain literals not allowed");
  EXPECT_EQ(client.say("MAIL FROM:<x>"), "501 <x>: sender address must contain a domain");
}

TEST(Exim, HangsUpAtTheFourthSyntaxError) {
  Client client("exim_like");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.say("MAIL FROM:<x@[127.10.0.1]>"), "501 <x@[127.10.0.1]>: domain literals not allowed");
    EXPECT_EQ(client.last.next, Step::Next::hear);
  }
  EXPECT_EQ(client.say("BOGUS"), "500-unrecognized command\n500 Too many syntax or protocol errors");
  EXPECT_EQ(client.last.next, Step::Next::hang_up);
}

TEST(Exim, ARefusedRecipientIsNotASyntaxError) {
  Client client("exim_like");
  for (int i = 0; i < 30; ++i) EXPECT_EQ(client.ask(kExternal, kProbe), "550 relay not permitted");
  EXPECT_EQ(client.last.next, Step::Next::hear);
}

TEST(ErrorLimit, SlowsAfterTenAndHangsUpAtTwenty) {
  Client client("postfix_error_limit");
  client.say("MAIL FROM:<x@other.test>");
  for (int i = 1; i < 20; ++i) {
    EXPECT_THAT(client.say("RCPT TO:<token@canary.test>"), StartsWith("554"));
    EXPECT_EQ(client.last.delay, i > 10 ? milliseconds(1000) : milliseconds(0)) << i;
    EXPECT_EQ(client.last.next, Step::Next::hear);
  }
  EXPECT_THAT(client.say("RCPT TO:<token@canary.test>"),
              AllOf(StartsWith("554"), EndsWith("\n421 4.7.0 mx.lab.test Error: too many errors")));
  EXPECT_EQ(client.last.next, Step::Next::hang_up);
}

TEST(ErrorLimit, DelaysEveryReplyNotOnlyErrors) {
  Client client("postfix_error_limit");
  for (int i = 0; i < 11; ++i) client.say("BOGUS");
  EXPECT_THAT(client.say("NOOP"), StartsWith("250"));
  EXPECT_EQ(client.last.delay, milliseconds(1000));
}

TEST(Greylist, PassesARetryThenDecides) {
  for (const auto& [personality, decided] : {std::pair{"greylist_closed", "554 5.7.1"}, std::pair{"greylist_open", "250"}}) {
    Client client(personality);
    EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("450 4.2.0"));
    client.wait(milliseconds(1999));
    EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("450 4.2.0")) << "too early";
    client.wait(milliseconds(1));
    client.reconnect();
    EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith(decided));
    EXPECT_THAT(client.ask(kExternal, "other@canary.test"), StartsWith("450 4.2.0")) << "another recipient, another wait";
    EXPECT_THAT(client.ask("", kProbe), StartsWith("450 4.2.0")) << "another sender too";
  }
}

TEST(Greylist, IsBounded) {
  Greylist greylist;
  for (std::size_t i = 0; i < 3 * Greylist::kMaxTriples; ++i) greylist.passes(std::to_string(i), {}, seconds(1));
  EXPECT_LE(greylist.size(), Greylist::kMaxTriples);
}

TEST(OpenForgedLocal, TakesASenderWithoutADomainForItsOwn) {
  Client client("open_forged_local");
  EXPECT_THAT(client.ask("x", kProbe), StartsWith("250"));
  client.say("DATA");
  client.say(".");
  ASSERT_THAT(client.messages, SizeIs(1));
  EXPECT_EQ(client.messages[0].sender, "x@mx.lab.test");
  EXPECT_THAT(client.ask("x@[127.10.0.1]", kProbe), StartsWith("554"));
  EXPECT_THAT(client.ask("x@localhost", kProbe), StartsWith("554"));
}

TEST(CatchAll, KeepsTheCanarysMailAndRefusesOtherDomains) {
  Client client("catch_all");
  EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("250"));
  EXPECT_THAT(client.say("DATA"), StartsWith("354"));
  EXPECT_THAT(client.say("."), StartsWith("250 2.0.0 Ok: queued as "));
  EXPECT_THAT(client.messages, IsEmpty());
  EXPECT_THAT(client.ask(kExternal, "x@nowhere.invalid"), StartsWith("554"));
  EXPECT_THAT(client.ask(kExternal, "random123@mx.lab.test"), StartsWith("250"));
}

TEST(AcceptAndDiscard, SaysQueuedAndForgets) {
  Client client("accept_and_discard");
  client.ask(kExternal, "x@nowhere.invalid");
  client.say("DATA");
  EXPECT_THAT(client.say("."), StartsWith("250 2.0.0 Ok: queued as "));
  EXPECT_THAT(client.messages, IsEmpty());
}

TEST(RefuseAfterData, Refuses) {
  Client client("refuse_after_data");
  client.ask(kExternal, kProbe);
  EXPECT_THAT(client.say("DATA"), StartsWith("354"));
  EXPECT_THAT(client.say("."), StartsWith("554 5.7.1 <END-OF-MESSAGE>"));
  EXPECT_THAT(client.messages, IsEmpty());
}

TEST(Submission, OffersAuthAfterStarttlsAndBelievesNobody) {
  Client client("submission_auth");
  EXPECT_THAT(client.say("EHLO probe.test"), AllOf(HasSubstr("250-STARTTLS"), testing::Not(HasSubstr("AUTH"))));
  EXPECT_THAT(client.say("AUTH PLAIN AHgAeA=="), StartsWith("538"));
  EXPECT_THAT(client.say("STARTTLS"), StartsWith("220"));
  EXPECT_THAT(client.say("EHLO probe.test"), AllOf(HasSubstr("250-AUTH PLAIN LOGIN"), testing::Not(HasSubstr("STARTTLS"))));
  EXPECT_THAT(client.say("AUTH PLAIN AHgAeA=="), StartsWith("535"));
  EXPECT_EQ(client.say("AUTH LOGIN"), "334 VXNlcm5hbWU6");
  EXPECT_EQ(client.say("eA=="), "334 UGFzc3dvcmQ6");
  EXPECT_THAT(client.say("eA=="), StartsWith("535"));
  EXPECT_THAT(client.say("MAIL FROM:<x@other.test>"), StartsWith("530"));
}

TEST(StarttlsOpen, RelaysBehindTlsOnly) {
  Client client("starttls_open");
  EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("554"));
  client.say("STARTTLS");
  client.say("EHLO probe.test");
  EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("250"));
}

TEST(WantsTlsFirst, IsClosedBehindIt) {
  Client client("wants_tls_first");
  EXPECT_THAT(client.say("NOOP"), StartsWith("250"));
  client.say("STARTTLS");
  client.say("EHLO probe.test");
  EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("554"));
  EXPECT_THAT(client.ask(kExternal, "Postmaster"), StartsWith("250"));
}

TEST(Xclient, IsOfferedAndNotGranted) {
  Client client("xclient_offered");
  EXPECT_THAT(client.say("EHLO probe.test"), HasSubstr("250-XCLIENT NAME ADDR"));
  EXPECT_THAT(client.say("XCLIENT ADDR=127.0.0.1 NAME=localhost"), StartsWith("550 5.7.0"));
  EXPECT_THAT(client.ask(kExternal, kProbe), StartsWith("554"));
}

TEST(Message, CarriesAReceivedHeaderAndNoDotStuffing) {
  Client client("open");
  client.say("EHLO probe.test");
  client.ask(kExternal, kProbe, " SIZE=100 BODY=8BITMIME");
  client.say("RCPT TO:<two@canary.test> NOTIFY=NEVER");
  client.say("RCPT TO:<abuse@mx.lab.test>");
  client.say("DATA");
  for (const char* line : {"Subject: x", "", "..dot", "end"}) EXPECT_THAT(client.say(line), IsEmpty());
  EXPECT_THAT(client.say("."), StartsWith("250 2.0.0 Ok: queued as A1"));
  ASSERT_THAT(client.messages, SizeIs(2)) << "the local recipient needs no carrying";
  const Message& message = client.messages[0];
  EXPECT_EQ(message.sender, kExternal);
  EXPECT_EQ(message.recipient, kProbe);
  EXPECT_EQ(message.from, "127.10.0.1");
  EXPECT_EQ(message.text,
            "Received: from probe.test (unknown [127.66.0.1])\n\tby mx.lab.test (Postfix) with ESMTP id A1\n"
            "\tfor <token@canary.test>; Fri, 02 Jan 2026 03:04:05 +0000\nSubject: x\n\n.dot\nend\n");
}

TEST(Message, TooBigIsRefusedAndTheNextOneTaken) {
  Client client("open");
  client.ask(kExternal, kProbe);
  client.say("DATA");
  for (std::size_t i = 0; i < Dialog::kMaxMessage / 1000 + 1; ++i) client.say(std::string(1000, 'x'));
  EXPECT_THAT(client.say("."), StartsWith("552"));
  EXPECT_THAT(client.messages, IsEmpty());
  EXPECT_THAT(client.ask(kExternal, kProbe, " SIZE=200000"), StartsWith("552"));
  client.ask(kExternal, kProbe);
  client.say("DATA");
  EXPECT_THAT(client.say("."), StartsWith("250"));
  EXPECT_THAT(client.messages, SizeIs(1));
}

TEST(Order, IsKept) {
  Client client("closed");
  EXPECT_THAT(client.say("RCPT TO:<x@y.test>"), StartsWith("503"));
  EXPECT_THAT(client.say("DATA"), StartsWith("503"));
  EXPECT_THAT(client.say("EHLO"), StartsWith("501"));
  EXPECT_THAT(client.say("HELO probe.test"), testing::Eq("250 mx.lab.test"));
  EXPECT_THAT(client.say("MAIL FROM:x@y.test"), StartsWith("501"));
  EXPECT_THAT(client.say("MAIL FROM:<x@y.test> WHAT=1"), StartsWith("555"));
  EXPECT_THAT(client.say("mail from: <x@y.test>"), StartsWith("250"));
  EXPECT_THAT(client.say("MAIL FROM:<x@y.test>"), StartsWith("503"));
  EXPECT_THAT(client.say("RCPT TO:<x@y.test>"), StartsWith("554"));
  EXPECT_THAT(client.say("DATA"), StartsWith("554 5.5.1"));
  EXPECT_THAT(client.say("GET / HTTP/1.1"), StartsWith("502"));
  EXPECT_THAT(client.say("QUIT"), StartsWith("221"));
  EXPECT_EQ(client.last.next, Step::Next::hang_up);
}

TEST(Hostile, RepliesHoldNoBytesOfTheirOwn) {
  Client client("open");
  client.say("EHLO \x01\xff\r evil");
  const std::vector<std::string> lines = {std::string("MAIL FROM:<a\0b@c>", 17),
                                          "MAIL FROM:<a\rb@c>",
                                          "MAIL FROM:<\xff@c>",
                                          "MAIL FROM:<\"" + std::string(400, '>'),
                                          "",
                                          std::string(4096, ' '),
                                          "MAIL FROM:<" + std::string(4000, 'a') + ">",
                                          "MAIL FROM:<>" + std::string(3000, ' ') + "x",
                                          "RCPT TO:<@:>",
                                          "RCPT TO:<%>",
                                          "RCPT TO:<!!!!!!!!!!!!!!!!!!!!!!!!!!!>",
                                          "RCPT TO:<\"\\\">",
                                          "RCPT TO:<@[::1]:x@y>",
                                          "RCPT TO:<.>"};
  for (const std::string& line : lines) {
    for (const char c : client.say(line)) EXPECT_TRUE((c >= 0x20 && c < 0x7f) || c == '\n') << testing::PrintToString(line);
  }
}

TEST(Hostile, CommandsAndRecipientsAreBounded) {
  Client client("open");
  client.ask(kExternal, kProbe);
  for (std::size_t i = 1; i < Dialog::kMaxRecipients; ++i)
    EXPECT_THAT(client.say("RCPT TO:<token@canary.test>"), StartsWith("250"));
  EXPECT_THAT(client.say("RCPT TO:<token@canary.test>"), StartsWith("452"));
  for (unsigned i = 0; i < Dialog::kMaxCommands && client.last.next == Step::Next::hear; ++i) client.say("NOOP");
  EXPECT_THAT(client.last.reply, StartsWith("421"));
}

TEST(Mailbox, SourceRoutesAndQuotes) {
  EXPECT_EQ(strip_source_route("@a,@b:u@d"), "u@d");
  EXPECT_EQ(strip_source_route("@[IPv6:::1]:u@d"), "u@d");
  EXPECT_EQ(strip_source_route("u@d"), "u@d");
  EXPECT_EQ(unquote(R"("a\"b")"), "a\"b");
  EXPECT_EQ(split_mailbox("\"a@b\"@C.test").domain, "c.test");
  EXPECT_EQ(split_mailbox("\"a@b\"").domain, "");
}

}  // namespace
}  // namespace ajar::lab
