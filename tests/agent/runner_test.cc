#include "agent/runner.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

TEST(Runner, WhatAProbeThatLearntNothingMeans) {
  struct Row {
    Reason reason;
    bool spoke, another_port;
    Verdict verdict;
    Reason said;
  };
  const Row rows[] = {
      {Reason::nobody_listens, false, false, Verdict::closed, Reason::nobody_listens},
      {Reason::nobody_listens, false, true, Verdict::closed, Reason::nobody_listens},
      {Reason::timeout, false, false, Verdict::unreachable, Reason::timeout},
      {Reason::timeout, false, true, Verdict::unreachable, Reason::filtered},
      {Reason::timeout, true, false, Verdict::unclear, Reason::timeout},
      {Reason::no_route, false, false, Verdict::unreachable, Reason::no_route},
      {Reason::no_route, false, true, Verdict::unreachable, Reason::filtered},
      {Reason::hung_up, false, false, Verdict::unclear, Reason::hung_up},
      {Reason::tls_failed, false, false, Verdict::unclear, Reason::tls_failed},
      {Reason::protocol_error, true, false, Verdict::unclear, Reason::protocol_error},
      {Reason::out_of_scope, false, false, Verdict::unclear, Reason::out_of_scope},
      {Reason::internal_error, false, true, Verdict::unclear, Reason::internal_error},
  };
  for (const Row& row : rows) {
    const Finding finding = finding_of(LinkError(row.reason, "what happened"), row.spoke, row.another_port);
    EXPECT_EQ(finding.verdict, row.verdict) << to_string(row.reason);
    EXPECT_EQ(finding.reason, row.said) << to_string(row.reason);
    EXPECT_FALSE(finding.because.empty());
  }
}

TEST(Runner, ALongSentenceIsShortenedBetweenCharacters) {
  EXPECT_EQ(shortened("short"), "short");
  EXPECT_EQ(shortened(std::string(kMaxSentence, 'a')), std::string(kMaxSentence, 'a'));
  EXPECT_EQ(shortened(std::string(kMaxSentence + 1, 'a')), std::string(kMaxSentence, 'a') + "…");
  EXPECT_EQ(shortened(std::string(kMaxSentence - 1, 'a') + "…"), std::string(kMaxSentence - 1, 'a') + "…");
}

TEST(Runner, SilenceIsAFilterOnlyWhereAnotherPortAnsweredLately) {
  using std::chrono::hours;
  const Time noon{hours(24 * 20000)};
  Answered answered;
  const IpAddress address = *IpAddress::parse("203.0.113.5");
  EXPECT_FALSE(answered.on_another_port(address, 25, Transport::tcp, noon));
  answered.note(address, 25, Transport::tcp, noon, true);
  EXPECT_FALSE(answered.on_another_port(address, 25, Transport::tcp, noon));  // that very port, earlier
  EXPECT_TRUE(answered.on_another_port(address, 587, Transport::tcp, noon));
  EXPECT_FALSE(answered.on_another_port(address, 587, Transport::tcp, noon + hours(1)));  // too long ago: the host may be gone
  answered.note(address, 587, Transport::tcp, noon + hours(1), false);
  answered.note(address, 587, Transport::tcp, noon + hours(2), false);
  EXPECT_TRUE(answered.on_another_port(address, 587, Transport::tcp, noon));  // 25 is still known
  EXPECT_FALSE(answered.on_another_port(*IpAddress::parse("203.0.113.6"), 587, Transport::tcp, noon));
}

TEST(Runner, ARefusedConnectionIsNoNeighbourThatListens) {
  const Time noon{std::chrono::hours(24 * 20000)};
  Answered answered;
  const IpAddress address = *IpAddress::parse("203.0.113.5");
  EXPECT_EQ(answered.connected_on_another_port(address, 25, Transport::tcp), std::nullopt);
  answered.note(address, 80, Transport::tcp, noon, true);
  answered.note(address, 25, Transport::tcp, noon + std::chrono::hours(1), false);
  answered.note(address, 443, Transport::tcp, noon + std::chrono::hours(2), false);
  EXPECT_EQ(answered.connected_on_another_port(address, 25, Transport::tcp), noon);
  EXPECT_EQ(answered.connected_on_another_port(address, 80, Transport::tcp), std::nullopt);
}

// 53/udp beside 53/tcp.
TEST(Runner, TheSameNumberOverUdpIsAnotherPort) {
  const Time noon{std::chrono::hours(24 * 20000)};
  Answered answered;
  const IpAddress address = *IpAddress::parse("203.0.113.5");
  answered.note(address, 53, Transport::tcp, noon, true);
  EXPECT_FALSE(answered.on_another_port(address, 53, Transport::tcp, noon));
  EXPECT_TRUE(answered.on_another_port(address, 53, Transport::udp, noon));
  EXPECT_EQ(answered.connected_on_another_port(address, 53, Transport::tcp), std::nullopt);
  EXPECT_EQ(answered.connected_on_another_port(address, 53, Transport::udp), noon);
  answered.note(address, 53, Transport::udp, noon, false);
  EXPECT_TRUE(answered.on_another_port(address, 53, Transport::tcp, noon));
  EXPECT_EQ(answered.connected_on_another_port(address, 53, Transport::tcp), std::nullopt);
}

}  // namespace
}  // namespace ajar
