#include "tests/lab/conversation.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A peer that has said everything already, and hangs up after `patience` bytes of answer.
class PatientLink : public Link {
 public:
  PatientLink(Transcript& transcript, std::string said, std::size_t patience = 1 << 20)
      : Link(transcript), said_(std::move(said)), patience_(patience) {}
  std::string heard;

 protected:
  Task<std::size_t> read_some(std::string& into, std::size_t max) override {
    const std::size_t count = std::min(max, said_.size());
    into.append(said_, 0, count);
    said_.erase(0, count);
    co_return count;
  }
  Task<void> write_all(std::string bytes) override {
    heard += bytes;
    if (heard.size() > patience_) throw LinkError(Reason::hung_up, "the peer has left");
    co_return;
  }
  Task<void> handshake(const TlsHello&) override { co_return; }

 private:
  std::string said_;
  std::size_t patience_;
};

struct Visit {
  std::string heard;
  milliseconds paused{0};
  std::vector<Message> messages;
  std::optional<Reason> left;
};

Task<void> hold(Link& link, const Personality& personality, World& world, std::uint64_t seed, std::optional<Reason>& left) {
  Greylist greylist;
  Setting setting;
  setting.greylist = &greylist;
  setting.host = "mx.lab.test";
  setting.address = "127.10.0.1";
  setting.peer = "127.66.0.1";
  try {
    if (personality.implicit_tls) co_await link.start_tls();
    co_await converse(link, personality, std::move(setting), world, seed);
  } catch (const LinkError& error) {
    left = error.reason();
  }
}

Visit visit(const std::string& name, std::string said, std::size_t patience = 1 << 20, std::uint64_t seed = 1) {
  Transcript transcript;
  PatientLink link(transcript, std::move(said), patience);
  MemoryWorld world;
  world.patience = 1 << 20;
  Visit result;
  bool ended = false;
  start(hold(link, *find_personality(name), world, seed, result.left), [&ended] { ended = true; });
  EXPECT_TRUE(ended) << name;
  result.heard = link.heard;
  result.paused = world.paused;
  result.messages = world.messages;
  return result;
}

const std::string kProbe =
    "EHLO probe.test\r\nMAIL FROM:<x@other.test>\r\nRCPT TO:<token@canary.test>\r\nDATA\r\nSubject: "
    "x\r\n\r\nhello\r\n.\r\nQUIT\r\n";

TEST(Conversation, OpenCarriesTheMessage) {
  const Visit result = visit("open", kProbe);
  EXPECT_THAT(result.heard, StartsWith("220 mx.lab.test ESMTP Postfix\r\n250-mx.lab.test\r\n"));
  EXPECT_THAT(result.heard, EndsWith("221 2.0.0 Bye\r\n"));
  ASSERT_EQ(result.messages.size(), 1U);
  EXPECT_THAT(result.messages[0].text, EndsWith("Subject: x\n\nhello\n"));
}

TEST(Conversation, OnlyOpenOnesCarryMail) {
  for (const Personality& personality : personalities()) {
    if (personality.kind == Kind::absent || personality.kind == Kind::reset) continue;
    const Visit result = visit(std::string(personality.name), kProbe, 100000);
    // The other open ones wait for TLS, a forged sender, a second visit, a login or a percent sign.
    const bool open = personality.name == "open" || personality.name == "smuggles";
    EXPECT_EQ(result.messages.size(), open ? 1U : 0U) << personality.name;
  }
}

TEST(Conversation, EveryOneEndsWhenThePeerLeavesAtOnce) {
  for (const Personality& personality : personalities()) visit(std::string(personality.name), "", 1000);
}

TEST(Conversation, EximHangsUpWithCommandsUnheard) {
  const Visit result = visit("exim_like", "A\r\nB\r\nC\r\nD\r\nNOOP\r\n");
  EXPECT_THAT(result.heard, EndsWith("500-unrecognized command\r\n500 Too many syntax or protocol errors\r\n"));
  EXPECT_EQ(result.left, std::nullopt) << "it hung up by itself";
}

TEST(Conversation, TarpitWaitsOnceForWhatCameTogether) {
  EXPECT_EQ(visit("tarpit", "EHLO probe.test\r\n").paused, milliseconds(400)) << "greeting and reply";
  EXPECT_EQ(visit("tarpit", "EHLO probe.test\r\nNOOP\r\nQUIT\r\n").paused, milliseconds(400)) << "greeting and replies";
}

TEST(Conversation, HangSaysNothing) { EXPECT_THAT(visit("hang", kProbe).heard, IsEmpty()); }

TEST(Conversation, HangAfterEhloSaysNothingMore) {
  EXPECT_THAT(visit("hang_after_ehlo", kProbe).heard, EndsWith("250 SMTPUTF8\r\n"));
}

TEST(Conversation, ClosesAfterBanner) { EXPECT_EQ(visit("closes_after_banner", kProbe).heard, "220 mx.lab.test ESMTP\r\n"); }

TEST(Conversation, EndlessBannerNeverEndsTheReplyAndKeepsItsPace) {
  const Visit result = visit("endless_banner", kProbe, 50000);
  EXPECT_THAT(result.heard, StartsWith("220-mx.lab.test "));
  EXPECT_THAT(result.heard, testing::Not(HasSubstr("220 ")));
  EXPECT_EQ(result.left, Reason::hung_up);
  EXPECT_GE(result.paused, milliseconds(50 * 900));
}

TEST(Conversation, SlowByteTakesASecondForEach) {
  const Visit result = visit("slow_byte", "");
  EXPECT_EQ(result.heard.size(), 400U);
  EXPECT_EQ(result.paused, seconds(400));
  EXPECT_THAT(result.heard, EndsWith(".\r\n"));
}

TEST(Conversation, GarbageIsBoundedAndSeeded) {
  const std::string chatter(40000, 'x');
  const Visit one = visit("garbage", chatter, 1 << 20, 1), again = visit("garbage", chatter, 1 << 20, 1);
  const Visit two = visit("garbage", chatter, 1 << 20, 2);
  EXPECT_EQ(one.heard, again.heard);
  EXPECT_NE(one.heard, two.heard);
  EXPECT_GE(one.heard.size(), 64U);
  EXPECT_LE(one.heard.size(), 8U * 578U);
}

TEST(Conversation, PregreetAnswersBeforeItIsAsked) {
  const Visit result = visit("pregreet_yes", "");
  EXPECT_THAT(result.heard, StartsWith("220 mx.lab.test ESMTP ready\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n"));
}

TEST(Conversation, NonSmtpIsSsh) { EXPECT_THAT(visit("non_smtp", kProbe).heard, StartsWith("SSH-2.0-")); }

TEST(Conversation, BytesBehindStarttlsAreRefused) {
  const Visit result = visit("starttls_open", "EHLO probe.test\r\nSTARTTLS\r\nMAIL FROM:<x@other.test>\r\n");
  EXPECT_EQ(result.left, Reason::protocol_error);
}

TEST(Conversation, AFloodEndsIt) {
  std::string flood;
  while (flood.size() < 2 * Link::kMaxReceived) flood += "BOGUS\r\n";
  const Visit result = visit("closed", flood, 1 << 22);
  EXPECT_THAT(result.heard, EndsWith("421 4.7.0 mx.lab.test Error: too many commands\r\n"));
  EXPECT_EQ(visit("hang", std::string(2 * Link::kMaxReceived, 'x')).left, Reason::protocol_error);
  EXPECT_EQ(visit("closed", std::string(2 * Link::kMaxLine, 'x')).left, Reason::protocol_error);
}

}  // namespace
}  // namespace ajar::lab
