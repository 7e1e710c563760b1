#include "agent/sightings.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

using std::chrono::milliseconds;

Arrival arrival(const std::string& token, bool proof, std::vector<std::string> facts) {
  Arrival it;
  it.kind = CanaryKind::tcp;
  it.token = token;
  it.proof = proof;
  it.peer = *AddressPort::parse("203.0.113.9:4711");
  it.listener = *AddressPort::parse("198.51.100.7:8025");
  it.facts = std::move(facts);
  return it;
}

Task<void> look(Loop& loop, Sightings& sightings, std::string token, SightingWait wait, std::optional<Sighting>& into) {
  into = co_await sightings.find(token, wait);
  loop.stop();
}

TEST(Sightings, OnlyWhatIsWatchedIsKeptAndTheFirstProofStays) {
  Loop loop;
  Sightings sightings(loop, milliseconds(0));
  EXPECT_FALSE(sightings.note(arrival("a", true, {"GET /<token> HTTP/1.1"})));
  sightings.watch("a");
  EXPECT_TRUE(sightings.note(arrival("a", false, {"GET /<token> HTTP/1.1"})));
  EXPECT_TRUE(sightings.note(arrival("a", true, {"HEAD /<token> HTTP/1.1", "Via: 1.1 proxy"})));
  EXPECT_TRUE(sightings.note(arrival("a", true, {"GET /<token> HTTP/1.1"})));
  std::optional<Sighting> seen;
  start(look(loop, sightings, "a", SightingWait::none, seen));
  ASSERT_TRUE(seen);
  EXPECT_TRUE(seen->proof);
  EXPECT_EQ(seen->method, "HEAD");
  EXPECT_EQ(seen->exit, *IpAddress::parse("203.0.113.9"));
  EXPECT_EQ(seen->listener, *AddressPort::parse("198.51.100.7:8025"));
  EXPECT_EQ(seen->facts.size(), 2U);
  sightings.forget("a");
  start(look(loop, sightings, "a", SightingWait::lag, seen));
  EXPECT_FALSE(seen);
}

// A canary elsewhere tells what it saw with the next poll.
TEST(Sightings, AreWaitedForWhereTheLogMayBeBehind) {
  Loop loop;
  Sightings sightings(loop, milliseconds(10'000));
  sightings.watch("a");
  std::optional<Sighting> seen;
  start(look(loop, sightings, "a", SightingWait::lag, seen));
  EXPECT_FALSE(seen);
  loop.post([&] { sightings.note(arrival("a", true, {"TOKEN <token>"})); });
  loop.run();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->method, "TOKEN");
  loop.shut_down();
}

// A peer that says no on one connection, after it has reached our canary on another.
TEST(Sightings, WhatTheKernelHasAlreadyIsTakenInBeforeNothingIsSaid) {
  Loop loop;
  Sightings sightings(loop, milliseconds(0));
  sightings.watch("a");
  sightings.watch("b");
  std::optional<Sighting> settled, other = Sighting{};
  loop.post([&] { sightings.note(arrival("a", true, {"TOKEN <token>"})); });
  start(look(loop, sightings, "a", SightingWait::settled, settled));
  loop.run();
  ASSERT_TRUE(settled);
  EXPECT_TRUE(settled->proof);
  start(look(loop, sightings, "b", SightingWait::settled, other));
  loop.run();
  EXPECT_FALSE(other);
  loop.shut_down();
}

Task<bool> come_round_there(Sightings*& there, int& asked) {
  ++asked;
  there->note(arrival("a", true, {"TOKEN <token>"}));
  co_return true;
}

// The canary may be on another loop than the probe.
TEST(Sightings, WhereTheCanaryIsElsewhereItSaysWhenItHasComeRound) {
  Loop loop;
  Sightings* there = nullptr;
  int asked = 0;
  Sightings sightings(loop, milliseconds(0), [&] { return come_round_there(there, asked); });
  there = &sightings;
  sightings.watch("a");
  std::optional<Sighting> seen;
  start(look(loop, sightings, "a", SightingWait::none, seen));
  EXPECT_FALSE(seen);
  EXPECT_EQ(asked, 0);
  start(look(loop, sightings, "a", SightingWait::settled, seen));
  EXPECT_TRUE(seen);
  EXPECT_EQ(asked, 1);
}

TEST(Sightings, TheMethodIsTheFirstWordThatWasSaid) {
  EXPECT_EQ(method_of(arrival("a", true, {"token in EHLO", "EHLO <token>"})), "EHLO");
  EXPECT_EQ(method_of(arrival("a", false, {"HTTP spoken to the SMTP port", "POST /<token> HTTP/1.1"})), "POST");
  EXPECT_EQ(method_of(arrival("a", true, {})), "");
}

// `ajar check` beside an agent has its tokens arrive at the agent's canary.
TEST(WithoutLedger, ATokenOfOursThatIsNotAwaitedIsNobodysAttempt) {
  EXPECT_EQ(without_ledger(true, TokenState::valid), ArrivalResult::proved);
  EXPECT_EQ(without_ledger(false, TokenState::valid), ArrivalResult::late);
  EXPECT_EQ(without_ledger(false, TokenState::expired), ArrivalResult::late);
  EXPECT_EQ(without_ledger(false, TokenState::bad), ArrivalResult::unknown_token);
}

}  // namespace
}  // namespace ajar
