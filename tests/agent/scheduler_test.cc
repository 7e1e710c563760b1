#include "agent/scheduler.h"

#include <algorithm>
#include <map>
#include <queue>
#include <random>
#include <unordered_map>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Time kStart = Time(hours(24 * 365 * 56));

IpAddress address(std::uint32_t number) {
  return IpAddress::v4({static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
                        static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}
ResultKey key(const std::string& target, std::uint32_t host, std::uint16_t port = 25, const std::string& check = "smtp_relay") {
  return {target, address(0x0A000000U + host), port, Transport::tcp, check};
}
SchedulerLimits limits(unsigned concurrency, unsigned per_second, unsigned per_address = 1) {
  return {concurrency, per_second, per_address, minutes(5)};
}
History probed(Time last, Time due) { return {last, due}; }

TEST(Scheduler, NothingIsDueOfNothing) {
  Scheduler scheduler(limits(10, 10));
  EXPECT_FALSE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.next_wakeup(kStart));
  EXPECT_EQ(scheduler.lag(kStart), milliseconds(0));
  EXPECT_FALSE(scheduler.finished(key("a", 1), kStart));
  EXPECT_FALSE(scheduler.reschedule(key("a", 1), kStart));
  EXPECT_EQ(scheduler.due_now("a", "", kStart), 0U);
  scheduler.remove(key("a", 1));
}

TEST(Scheduler, NeverProbedIsDueAtOnce) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1), hours(1), false, {}, kStart);
  EXPECT_EQ(scheduler.next_wakeup(kStart), kStart);
  const auto visit = scheduler.next(kStart);
  ASSERT_TRUE(visit);
  EXPECT_EQ(visit->key, key("a", 1));
  EXPECT_TRUE(visit->first);
  EXPECT_FALSE(visit->requested);
  EXPECT_EQ(scheduler.in_flight(), 1U);
  EXPECT_FALSE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.due(key("a", 1)));
}

TEST(Scheduler, KeepsItsPhaseAcrossRunsAndProbes) {
  std::optional<Time> due;
  for (int run = 0; run < 2; ++run) {
    Scheduler scheduler(limits(10, 0));
    scheduler.add(key("a", 1), hours(1), false, {}, kStart);
    ASSERT_TRUE(scheduler.next(kStart));
    const auto next = scheduler.finished(key("a", 1), kStart + seconds(2));
    ASSERT_TRUE(next);
    EXPECT_GE(*next, kStart + minutes(30));
    EXPECT_LE(*next, kStart + minutes(93));
    if (due) {
      EXPECT_EQ(*next, *due);
    }
    due = next;
    EXPECT_FALSE(scheduler.next(*next - milliseconds(1)));
    ASSERT_TRUE(scheduler.next(*next + seconds(30)));  // late by half a minute: the place stays
    const auto later = scheduler.finished(key("a", 1), *next + seconds(40));
    EXPECT_NEAR(static_cast<double>((*later - *next).count()), 3'600'000.0, 3'600'000.0 * 0.0401);
  }
}

TEST(Scheduler, ConfirmsAfterTheRetryIntervalAndReturnsToItsPlace) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1), hours(1), false, {}, kStart);
  ASSERT_TRUE(scheduler.next(kStart));
  const Time place = *scheduler.finished(key("a", 1), kStart + seconds(1));
  ASSERT_TRUE(scheduler.next(place));
  const auto retry = scheduler.finished(key("a", 1), place + seconds(3), true);
  EXPECT_EQ(*retry, place + seconds(3) + minutes(5));
  ASSERT_TRUE(scheduler.next(*retry));
  const auto next = scheduler.finished(key("a", 1), *retry + seconds(3));
  EXPECT_NEAR(static_cast<double>((*next - place).count()), 3'600'000.0, 3'600'000.0 * 0.0401);
}

TEST(Scheduler, ConfirmsNoLaterThanTheNextPlace) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1), minutes(1), false, {}, kStart);
  ASSERT_TRUE(scheduler.next(kStart));
  EXPECT_LE(*scheduler.finished(key("a", 1), kStart + seconds(1), true), kStart + seconds(93));
}

TEST(Scheduler, ReschedulesAsAsked) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1), hours(1), false, {}, kStart);
  ASSERT_TRUE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.reschedule(key("a", 1), kStart + minutes(9)));  // it runs
  scheduler.finished(key("a", 1), kStart + seconds(1));
  EXPECT_TRUE(scheduler.reschedule(key("a", 1), kStart + minutes(9)));
  EXPECT_EQ(scheduler.due(key("a", 1)), kStart + minutes(9));
  EXPECT_FALSE(scheduler.next(kStart + minutes(8)));
  EXPECT_EQ(scheduler.next_wakeup(kStart + minutes(8)), kStart + minutes(9));
  EXPECT_TRUE(scheduler.next(kStart + minutes(9)));
}

TEST(Scheduler, OneConversationAnAddress) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1, 25), hours(1), false, {}, kStart);
  scheduler.add(key("a", 1, 587), hours(1), false, {}, kStart);
  scheduler.add(key("b", 1, 8080, "http_connect"), hours(1), false, {}, kStart);
  scheduler.add(key("b", 2), hours(1), false, {}, kStart);
  std::vector<Visit> visits;
  while (const auto visit = scheduler.next(kStart)) visits.push_back(*visit);
  ASSERT_EQ(visits.size(), 2U);  // one to each address
  EXPECT_NE(visits[0].key.address, visits[1].key.address);
  EXPECT_FALSE(scheduler.next_wakeup(kStart));  // only an end helps
  EXPECT_EQ(scheduler.lag(kStart + seconds(7)), seconds(7));
  for (const Visit& visit : visits) {
    if (visit.key.address == address(0x0A000001U)) scheduler.finished(visit.key, kStart + seconds(8));
  }
  const auto second = scheduler.next(kStart + seconds(8));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->key.address, address(0x0A000001U));
  EXPECT_FALSE(scheduler.next(kStart + seconds(8)));
}

TEST(Scheduler, OneVisitAsksAllOfAnEndpoint) {
  Scheduler scheduler(limits(1, 0));
  const ResultKey socks = key("a", 1, 8080, "socks5");
  const ResultKey http = key("a", 1, 8080, "http_connect");
  scheduler.add(http, hours(1), false, {}, kStart);
  scheduler.add(socks, hours(1), false, {}, kStart);
  scheduler.add(key("a", 1, 8081, "socks5"), hours(1), false, {}, kStart + minutes(1));
  const auto visit = scheduler.next(kStart);
  ASSERT_TRUE(visit);
  ASSERT_EQ(visit->others.size(), 1U);
  EXPECT_NE(visit->key, visit->others.front());
  EXPECT_EQ(visit->others.front().port, 8080);
  EXPECT_EQ(scheduler.in_flight(), 1U);  // one conversation
  const auto one = scheduler.finished(visit->others.front(), kStart + minutes(1));
  EXPECT_EQ(scheduler.in_flight(), 1U);
  EXPECT_FALSE(scheduler.next(kStart + minutes(1)));
  const auto two = scheduler.finished(visit->key, kStart + minutes(1));
  EXPECT_EQ(scheduler.in_flight(), 0U);
  EXPECT_EQ(one, two);  // the same place in their intervals
  EXPECT_EQ(scheduler.next(kStart + minutes(1))->key.port, 8081);
}

// What confirms a change hears all that the port says; a shorter interval does not ask the others more often.
TEST(Scheduler, AVisitTakesWhatIsDueSoonAndAConfirmingOneAll) {
  Scheduler scheduler(limits(10, 0));
  const ResultKey often = key("a", 1, 25, "smtp_relay");
  const ResultKey seldom = key("a", 1, 25, "backscatter");
  scheduler.add(often, minutes(15), false, {}, kStart);
  scheduler.add(seldom, hours(24), false, probed(kStart, kStart + hours(20)), kStart);
  auto visit = scheduler.next(kStart);
  ASSERT_TRUE(visit);
  EXPECT_THAT(visit->others, testing::IsEmpty());
  auto due = scheduler.finished(often, kStart + seconds(1), true);
  visit = scheduler.next(*due);
  ASSERT_TRUE(visit);
  EXPECT_THAT(visit->others, testing::ElementsAre(seldom));
  scheduler.remove(seldom);  // while it runs
  EXPECT_FALSE(scheduler.finished(seldom, *due + seconds(1)));
  due = scheduler.finished(often, *due + seconds(1));
  EXPECT_TRUE(due);
  EXPECT_EQ(scheduler.in_flight(), 0U);
  EXPECT_EQ(scheduler.size(), 1U);
  scheduler.add(seldom, hours(24), false, probed(kStart, kStart + hours(20)), kStart);
  EXPECT_EQ(scheduler.due_now("a", "smtp_relay", kStart), 1U);
  visit = scheduler.next(kStart + minutes(6));
  ASSERT_TRUE(visit);
  EXPECT_THAT(visit->others, testing::ElementsAre(seldom));
}

TEST(Scheduler, MoreConversationsAnAddressWhenAllowed) {
  Scheduler scheduler(limits(10, 0, 2));
  for (std::uint16_t port = 1; port <= 3; ++port) scheduler.add(key("a", 1, port), hours(1), false, {}, kStart);
  EXPECT_TRUE(scheduler.next(kStart));
  EXPECT_TRUE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.next(kStart));
}

TEST(Scheduler, ConcurrencyIsACap) {
  Scheduler scheduler(limits(3, 0));
  for (std::uint32_t host = 0; host < 9; ++host) scheduler.add(key("a", host), hours(1), false, {}, kStart);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.next_wakeup(kStart));
  scheduler.finished(key("a", 0), kStart);
  EXPECT_TRUE(scheduler.next(kStart));
  EXPECT_FALSE(scheduler.next(kStart));
}

TEST(Scheduler, StartsAreSpreadOverTheSecond) {
  Scheduler scheduler(limits(10'000, 100));
  for (std::uint32_t host = 0; host < 1000; ++host) scheduler.add(key("a", host), hours(1), false, {}, kStart);
  std::vector<Time> starts;
  for (Time now = kStart; now < kStart + seconds(5); now += milliseconds(1)) {
    while (scheduler.next(now)) starts.push_back(now);
  }
  EXPECT_NEAR(static_cast<double>(starts.size()), 500.0, 10.0);
  for (std::size_t i = 6; i < starts.size(); ++i) EXPECT_GE(starts[i] - starts[i - 6], milliseconds(1));
  for (std::size_t i = 105; i < starts.size(); ++i) EXPECT_GE(starts[i] - starts[i - 105], milliseconds(950));
}

TEST(Scheduler, ALateCallerStillReachesTheRateButMakesNoBurst) {
  Scheduler scheduler(limits(10'000, 100));
  for (std::uint32_t host = 0; host < 1000; ++host) scheduler.add(key("a", host), hours(1), false, {}, kStart);
  std::size_t most = 0, all = 0;
  for (Time now = kStart; now < kStart + seconds(5); now += milliseconds(40)) {  // two ticks of the wheel
    std::size_t together = 0;
    while (scheduler.next(now)) ++together;
    most = std::max(most, together);
    all += together;
  }
  EXPECT_LE(most, 6U);
  EXPECT_GE(all, 490U);
}

TEST(Scheduler, SmallTargetsTakeTheirTurnBesideALargeOne) {
  Scheduler scheduler(limits(100'000, 0));
  for (std::uint32_t host = 0; host < 20'000; ++host) scheduler.add(key("large", host), hours(1), false, {}, kStart);
  scheduler.add(key("small", 70'001), hours(1), false, {}, kStart + seconds(1));
  scheduler.add(key("tiny", 70'002), hours(1), false, {}, kStart + seconds(1));
  std::map<std::string, int> seen;
  for (int i = 0; i < 4; ++i) ++seen[scheduler.next(kStart + seconds(2))->key.target];
  EXPECT_EQ(seen["small"], 1);
  EXPECT_EQ(seen["tiny"], 1);
}

TEST(Scheduler, PausedTargetsAreNotHandedOutAndComeBackGently) {
  Scheduler scheduler(limits(1000, 0));
  for (std::uint32_t host = 0; host < 100; ++host)
    scheduler.add(key("a", host), hours(1), true, probed(kStart, kStart), kStart);
  EXPECT_EQ(scheduler.size(), 100U);
  EXPECT_FALSE(scheduler.next(kStart + hours(3)));
  EXPECT_FALSE(scheduler.next_wakeup(kStart + hours(3)));
  EXPECT_EQ(scheduler.lag(kStart + hours(3)), milliseconds(0));
  EXPECT_EQ(scheduler.due_now("a", "", kStart), 0U);
  for (std::uint32_t host = 0; host < 100; ++host) scheduler.add(key("a", host), hours(1), false, {}, kStart + hours(3));
  int at_once = 0;
  while (scheduler.next(kStart + hours(3))) ++at_once;
  EXPECT_LE(at_once, 2);
  int soon = at_once;
  while (scheduler.next(kStart + hours(3) + minutes(6))) ++soon;
  EXPECT_EQ(soon, 100);
}

TEST(Scheduler, DueNowGoesFirst) {
  Scheduler scheduler(limits(1000, 0));
  for (std::uint32_t host = 0; host < 50; ++host) scheduler.add(key("large", host), hours(1), false, {}, kStart);
  scheduler.add(key("a", 100), hours(1), false, probed(kStart, kStart + minutes(40)), kStart);
  scheduler.add(key("a", 100, 8080, "http_connect"), hours(1), false, probed(kStart, kStart + minutes(40)), kStart);
  EXPECT_EQ(scheduler.due_now("a", "nonsense", kStart), 0U);
  EXPECT_EQ(scheduler.due_now("unknown", "", kStart), 0U);
  EXPECT_EQ(scheduler.due_now("a", "http_connect", kStart), 1U);
  const auto asked = scheduler.next(kStart);
  EXPECT_EQ(asked->key, key("a", 100, 8080, "http_connect"));
  EXPECT_TRUE(asked->requested);
  EXPECT_EQ(scheduler.next(kStart)->key.target, "large");
  EXPECT_EQ(scheduler.due_now("a", "", kStart), 1U);       // the other one; this one runs
  EXPECT_EQ(scheduler.next(kStart)->key.target, "large");  // its address is busy
  scheduler.finished(asked->key, kStart + seconds(1));
  const auto other = scheduler.next(kStart + seconds(1));
  EXPECT_EQ(other->key, key("a", 100));
  EXPECT_TRUE(other->requested);
}

TEST(Scheduler, RemovedResultsAreGoneAndARunningOneStaysCounted) {
  Scheduler scheduler(limits(1, 0));
  scheduler.add(key("a", 1), hours(1), false, {}, kStart);
  const auto visit = scheduler.next(kStart);
  scheduler.add(key("a", 2), hours(1), false, {}, kStart);
  scheduler.add(key("a", 2, 587), hours(1), false, {}, kStart);
  scheduler.remove(visit->key);
  EXPECT_FALSE(scheduler.next(kStart));
  EXPECT_EQ(scheduler.in_flight(), 1U);
  EXPECT_FALSE(scheduler.finished(visit->key, kStart + seconds(1)));
  EXPECT_EQ(scheduler.in_flight(), 0U);
  EXPECT_EQ(scheduler.size(), 2U);
  const auto second = scheduler.next(kStart + seconds(1));
  ASSERT_TRUE(second);
  scheduler.set_limits(limits(10, 0));
  EXPECT_FALSE(scheduler.next(kStart + seconds(1)));  // parks the other
  scheduler.remove(key("a", 2, second->key.port == 25 ? 587 : 25));
  scheduler.finished(second->key, kStart + seconds(2));
  EXPECT_FALSE(scheduler.next(kStart + seconds(2)));
  EXPECT_EQ(scheduler.size(), 1U);
}

TEST(Scheduler, AResultThatComesBackWhileItRunsStays) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1), hours(1), false, {}, kStart);
  ASSERT_TRUE(scheduler.next(kStart));
  scheduler.remove(key("a", 1));
  scheduler.add(key("a", 1), hours(1), false, {}, kStart);
  EXPECT_FALSE(scheduler.next(kStart));
  EXPECT_TRUE(scheduler.finished(key("a", 1), kStart + seconds(1)));
  EXPECT_EQ(scheduler.size(), 1U);
}

TEST(Scheduler, AShorterIntervalTakesEffectAtOnce) {
  Scheduler scheduler(limits(10, 0));
  scheduler.add(key("a", 1), hours(24), false, probed(kStart, kStart + hours(20)), kStart);
  scheduler.add(key("a", 1), minutes(10), false, {}, kStart);
  EXPECT_LE(*scheduler.due(key("a", 1)), kStart + minutes(11));
  EXPECT_GE(*scheduler.due(key("a", 1)), kStart);
}

TEST(Scheduler, AClockThatWasSetBackDoesNotStopIt) {
  Scheduler scheduler(limits(10, 10));
  const Time wrong = kStart + hours(24 * 365);
  scheduler.add(key("a", 1), hours(1), false, {}, wrong);
  ASSERT_TRUE(scheduler.next(wrong));
  scheduler.finished(key("a", 1), wrong + seconds(1));
  scheduler.add(key("a", 2), hours(1), false, {}, wrong);
  EXPECT_TRUE(scheduler.next(kStart));  // the one never probed
  EXPECT_LE(*scheduler.due(key("a", 1)), kStart + hours(2));
  Scheduler restarted(limits(10, 10));
  restarted.add(key("a", 1), hours(1), false, probed(wrong, wrong + hours(1)), kStart);
  EXPECT_LE(*restarted.due(key("a", 1)), kStart + hours(2));
}

// ---- pace ----

// A scheduler and its pace, on one clock.
struct Paced {
  explicit Paced(const PaceLimits& gentle, unsigned concurrency = 1000)
      : pace(gentle), scheduler(limits(concurrency, 0), [this](const IpAddress& address, Time at) {
          ++asked;
          return pace.held(address, at);
        }) {}

  // What begins until `end`, each with one connection, done at once.
  std::vector<std::pair<Time, ResultKey>> run_until(Time end) {
    std::vector<std::pair<Time, ResultKey>> begun;
    while (now < end) {
      while (const auto visit = scheduler.next(now)) {
        pace.started(visit->key.address, now);
        begun.emplace_back(now, visit->key);
        for (const ResultKey& other : visit->others) scheduler.finished(other, now);
        scheduler.finished(visit->key, now);
      }
      const auto wake = scheduler.next_wakeup(now);
      if (wake && *wake <= now) ++at_once;
      now = wake ? std::min(std::max(*wake, now + milliseconds(1)), end) : end;
    }
    return begun;
  }

  Pace pace;
  std::size_t asked = 0;
  std::size_t at_once = 0;  // times that next() wanted to be called again
  Scheduler scheduler;
  Time now = kStart;
};

TEST(SchedulerPace, ASlowNetworkIsAskedAtItsRateAndTheOthersAtTheirs) {
  Paced all({0, 5, 0, 0});
  for (std::uint32_t i = 0; i < 250; ++i) all.scheduler.add(key("slow", i), hours(1), false, {}, kStart);
  for (std::uint32_t i = 0; i < 250; ++i) all.scheduler.add(key("wide", 0x10000 + 256 * i), hours(1), false, {}, kStart);
  const auto begun = all.run_until(kStart + seconds(40));
  const auto of = [&](const std::string& target) {
    return std::count_if(begun.begin(), begun.end(), [&](const auto& one) { return one.second.target == target; });
  };
  EXPECT_EQ(of("wide"), 250);  // each is another network
  EXPECT_NEAR(static_cast<double>(of("slow")), 200.0, 2.0);
  EXPECT_EQ(all.scheduler.in_flight(), 0U);
  EXPECT_GE(all.scheduler.lag(all.now), seconds(39));  // it is behind, and says so
  const auto rest = all.run_until(kStart + seconds(60));
  EXPECT_EQ(rest.size() + begun.size(), 500U);
}

TEST(SchedulerPace, TargetsOfOneNetworkTakeTurns) {
  Paced all({0, 10, 0, 0});
  for (std::uint32_t i = 0; i < 200; ++i) all.scheduler.add(key("large", i), hours(1), false, {}, kStart);
  for (std::uint32_t i = 200; i < 210; ++i) all.scheduler.add(key("small", i), hours(1), false, {}, kStart + milliseconds(1));
  all.now += milliseconds(1);
  const auto begun = all.run_until(kStart + seconds(3));
  EXPECT_EQ(std::count_if(begun.begin(), begun.end(), [](const auto& one) { return one.second.target == "small"; }), 10);
}

TEST(SchedulerPace, OneAddressThatIsHeldHoldsNoOther) {
  Paced all({1, 0, 0, 0});
  for (std::uint16_t port = 1; port <= 20; ++port) all.scheduler.add(key("a", 1, port), hours(1), false, {}, kStart);
  for (std::uint32_t i = 2; i < 50; ++i) all.scheduler.add(key("a", i), hours(1), false, {}, kStart);
  EXPECT_EQ(all.run_until(kStart + milliseconds(10)).size(), 49U);
  EXPECT_EQ(all.run_until(kStart + seconds(19)).size(), 18U);
}

// Each result waits once, whatever the number of those that wait.
TEST(SchedulerPace, WaitingIsCheap) {
  Paced all({0, 100, 0, 0});
  for (std::uint32_t i = 0; i < 250; ++i) {
    for (std::uint16_t port = 1; port <= 40; ++port) all.scheduler.add(key("a", i, port), hours(1), false, {}, kStart);
  }
  const std::size_t begun = all.run_until(kStart + seconds(50)).size();
  EXPECT_NEAR(static_cast<double>(begun), 5000.0, 30.0);
  EXPECT_LE(all.asked, 10'000U + 8 * begun);
  EXPECT_LE(all.at_once, 2U);  // 10,000 are looked at by a few thousand at a time
}

TEST(SchedulerPace, WhatIsHeldCanBePausedRemovedAskedForAndMoved) {
  Paced all({0, 1, 0, 0});
  for (std::uint32_t i = 0; i < 20; ++i) all.scheduler.add(key("a", i), hours(1), false, {}, kStart);
  all.scheduler.add(key("b", 100), hours(1), false, {}, kStart);
  std::vector<ResultKey> first;
  for (const auto& [time, each] : all.run_until(kStart + milliseconds(500))) first.push_back(each);
  ASSERT_EQ(first.size(), 1U);
  for (std::uint32_t i = 0; i < 5; ++i) all.scheduler.remove(key("a", i));
  EXPECT_TRUE(all.scheduler.reschedule(key("a", 10), kStart + hours(2)) || first.front() == key("a", 10));
  for (std::uint32_t i = 0; i < 20; ++i) {
    if (i >= 5) all.scheduler.add(key("a", i), hours(1), true, {}, all.now);
  }
  EXPECT_LE(all.run_until(kStart + seconds(10)).size(), 1U);  // b alone
  for (std::uint32_t i = 5; i < 20; ++i) all.scheduler.add(key("a", i), hours(1), false, {}, all.now);
  EXPECT_GE(all.run_until(kStart + seconds(12)).size(), 2U);
  EXPECT_GT(all.scheduler.due_now("a", "", all.now), 0U);
  const auto asked = all.scheduler.next(all.now + seconds(1));
  ASSERT_TRUE(asked);
  EXPECT_TRUE(asked->requested);
}

TEST(SchedulerPace, AnAddressWithoutBudgetIsPutOffAndKeepsItsPlaceThen) {
  Paced all({0, 0, 3, 0});
  for (std::uint16_t port = 1; port <= 10; ++port) all.scheduler.add(key("a", 1, port), hours(1), false, {}, kStart);
  EXPECT_EQ(all.run_until(kStart + minutes(1)).size(), 3U);
  const auto put_off = all.scheduler.take_put_off();
  ASSERT_EQ(put_off.size(), 7U);
  EXPECT_TRUE(all.scheduler.take_put_off().empty());
  const Time free = *all.pace.earliest(address(0x0A000001U), all.now);
  for (const PutOff& each : put_off) {
    EXPECT_EQ(each.due, free);
    EXPECT_EQ(all.scheduler.due(each.key), free);
  }
  EXPECT_EQ(all.scheduler.lag(all.now), milliseconds(0));  // it is not late: it is not due
  std::size_t refused = 0;
  EXPECT_EQ(all.scheduler.due_now("a", "", all.now, &refused), 0U);
  EXPECT_EQ(refused, 10U);
  EXPECT_TRUE(all.run_until(free).empty());
  EXPECT_EQ(all.run_until(free + minutes(1)).size(), 3U);
}

TEST(SchedulerPace, ALargerBudgetBringsBackWhatWasPutOff) {
  Paced all({0, 0, 3, 0});
  for (std::uint16_t port = 1; port <= 10; ++port) all.scheduler.add(key("a", 1, port), hours(1), false, {}, kStart);
  all.run_until(kStart + minutes(1));
  all.pace.set_limits({0, 0, 100, 0});
  all.scheduler.pace_changed(all.now);
  EXPECT_EQ(all.run_until(kStart + minutes(8)).size(), 7U);  // spread, as after a restart
}

TEST(Scheduler, FirstVisitsDoNotWalkThroughANetwork) {
  Paced all({0, 50, 0, 0});
  for (std::uint32_t i = 0; i < 256; ++i) {
    all.scheduler.add(key("a", i), hours(1), false, {}, kStart + milliseconds(i));  // planned one after the other
  }
  all.now = kStart + milliseconds(300);
  const auto begun = all.run_until(kStart + seconds(20));
  ASSERT_EQ(begun.size(), 256U);
  std::size_t neighbours = 0, upwards = 0;
  for (std::size_t i = 1; i < begun.size(); ++i) {
    const int step = begun[i].second.address.bytes()[3] - begun[i - 1].second.address.bytes()[3];
    if (step == 1 || step == -1) ++neighbours;
    if (step > 0) ++upwards;
  }
  EXPECT_LE(neighbours, 12U);  // two are to be expected
  EXPECT_NEAR(static_cast<double>(upwards), 128.0, 40.0);
}

// ---- whole days ----

// Runs a scheduler as the agent does, by events only, and watches every promise on the way.
class Simulation {
 public:
  Simulation(const SchedulerLimits& caps, Time start) : caps_(caps), scheduler_(caps), now_(start) {}

  Scheduler& scheduler() { return scheduler_; }
  Time now() const { return now_; }
  std::map<ResultKey, std::vector<Time>>& starts() { return starts_; }
  const std::vector<Time>& order() const { return order_; }

  void run_until(Time end) {
    while (now_ < end) {
      pump();
      std::optional<Time> wake = scheduler_.next_wakeup(now_);
      if (!running_.empty() && (!wake || running_.top().first < *wake)) wake = running_.top().first;
      if (!wake || *wake >= end) break;
      ASSERT_GE(*wake, now_);
      // What is due now was handed out; a wake-up at this very instant would be a busy loop.
      ASSERT_TRUE(*wake > now_ || (!running_.empty() && running_.top().first == now_));
      now_ = *wake;
    }
    now_ = end;
  }

 private:
  void pump() {
    while (!running_.empty() && running_.top().first <= now_) {
      const ResultKey key = running_.top().second;
      running_.pop();
      --conversations_[key.address];
      ASSERT_TRUE(scheduler_.finished(key, now_));
    }
    while (const auto visit = scheduler_.next(now_)) {
      ASSERT_LE(visit->due, now_);
      ASSERT_LE(++conversations_[visit->key.address], static_cast<int>(caps_.per_address));
      starts_[visit->key].push_back(now_);
      order_.push_back(now_);
      // Mostly quick; some hang for half a minute.
      const milliseconds length(random_() % 50 == 0 ? 30'000 : 50 + random_() % 2000);
      running_.push({now_ + length, visit->key});
      ASSERT_LE(running_.size(), caps_.concurrency);
      ASSERT_EQ(running_.size(), scheduler_.in_flight());
    }
  }

  SchedulerLimits caps_;
  Scheduler scheduler_;
  Time now_;
  std::mt19937 random_{42};
  std::priority_queue<std::pair<Time, ResultKey>, std::vector<std::pair<Time, ResultKey>>, std::greater<>> running_;
  std::map<IpAddress, int> conversations_;
  std::map<ResultKey, std::vector<Time>> starts_;
  std::vector<Time> order_;
};

// The most starts in any window of `span`.
std::size_t densest(const std::vector<Time>& order, milliseconds span) {
  std::size_t most = 0, first = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    while (order[i] - order[first] >= span) ++first;
    most = std::max(most, i - first + 1);
  }
  return most;
}

// 5,000 endpoints: 40 targets of 100 and one network of 1,000, two ports an address for half of them.
std::vector<ResultKey> fleet() {
  std::vector<ResultKey> keys;
  for (std::uint32_t i = 0; i < 1000; ++i) keys.push_back(key("network", 50'000 + i));
  for (std::uint32_t i = 0; i < 4000; ++i) {
    const std::uint32_t target = i / 100;
    keys.push_back(key(fmt::format("target{}", target), target < 20 ? i / 2 : i, i % 2 == 0 ? 25 : 587));
  }
  return keys;
}

TEST(SchedulerDays, EveryResultOncePerIntervalForTwoDays) {
  const SchedulerLimits caps = limits(200, 50);
  Simulation days(caps, kStart);
  for (const ResultKey& each : fleet()) days.scheduler().add(each, hours(1), false, {}, kStart);
  days.run_until(kStart + hours(48));
  if (HasFatalFailure()) return;
  ASSERT_EQ(days.starts().size(), 5000U);
  EXPECT_LE(densest(days.order(), seconds(1)), 53U);  // the rate, and 50 ms worth
  for (const auto& [each, starts] : days.starts()) {
    ASSERT_LE(starts.front(), kStart + seconds(140)) << each.target;  // 5,000 at 50 a second, and waiting for the other port
    ASSERT_GE(starts.size(), 46U);
    ASSERT_LE(starts.size(), 49U);
    ASSERT_GE(starts[1] - starts[0], minutes(29));
    ASSERT_LE(starts[1] - starts[0], minutes(92));
    for (std::size_t i = 2; i < starts.size(); ++i) {
      // Jitter at both ends (2 x 2 %), and a hanging neighbour on the same address.
      ASSERT_GE(starts[i] - starts[i - 1], minutes(60) - seconds(144) - seconds(61)) << each.target;
      ASSERT_LE(starts[i] - starts[i - 1], minutes(60) + seconds(144) + seconds(61)) << each.target;
    }
  }
  // Spread: after the first round no ten seconds see more than four times their share (13.9).
  std::vector<Time> settled;
  std::copy_if(days.order().begin(), days.order().end(), std::back_inserter(settled),
               [](Time time) { return time > kStart + hours(2); });
  EXPECT_LE(densest(settled, seconds(10)), 56U);
  EXPECT_LT(days.scheduler().lag(days.now()), minutes(1));
}

TEST(SchedulerDays, ARestartMakesNoBurst) {
  for (const auto down : {minutes(2), minutes(30), minutes(60 * 30)}) {
    Simulation before(limits(200, 50), kStart);
    for (const ResultKey& each : fleet()) before.scheduler().add(each, hours(1), false, {}, kStart);
    before.run_until(kStart + hours(4));
    if (HasFatalFailure()) return;
    const Time start = before.now() + down;
    Simulation after(limits(200, 500), start);
    std::size_t kept = 0;
    for (const auto& [each, starts] : before.starts()) {
      const auto due = before.scheduler().due(each);
      after.scheduler().add(each, hours(1), false, {starts.back(), due}, start);
      if (due && *due > start) {
        ++kept;
        ASSERT_EQ(after.scheduler().due(each), due);
      }
    }
    EXPECT_TRUE(down > hours(2) ? kept == 0 : kept > 2000);
    after.run_until(start + hours(3));
    if (HasFatalFailure()) return;
    // All 5,000 over six minutes are 13.9 a second; random clumping allows some more, the cap of 500 is far away.
    EXPECT_LE(densest(after.order(), seconds(1)), 40U) << down.count();
    for (const auto& [each, starts] : after.starts()) ASSERT_LE(starts.front(), start + minutes(63)) << down.count();
    ASSERT_EQ(after.starts().size(), 5000U);
  }
}

TEST(SchedulerDays, ASmallTargetIsOnTimeBesideASlash16) {
  // The /16 alone wants more than the rate gives: 65,536 an hour are 18.2 a second of 10.
  Simulation days(limits(1000, 10), kStart);
  for (std::uint32_t i = 0; i < 65'536; ++i) days.scheduler().add(key("slash16", 0x10000 + i), hours(1), false, {}, kStart);
  for (std::uint32_t i = 0; i < 5; ++i) days.scheduler().add(key("small", i), hours(1), false, {}, kStart);
  days.run_until(kStart + hours(5));
  if (HasFatalFailure()) return;
  EXPECT_NEAR(static_cast<double>(days.order().size()), 5 * 3600 * 10, 20);  // the rate is used fully
  for (std::uint32_t i = 0; i < 5; ++i) {
    const std::vector<Time>& starts = days.starts()[key("small", i)];
    ASSERT_GE(starts.size(), 4U);
    EXPECT_LE(starts.front(), kStart + seconds(3));
    for (std::size_t k = 2; k < starts.size(); ++k) EXPECT_LE(starts[k] - starts[k - 1], minutes(63));
  }
  EXPECT_GT(days.scheduler().lag(days.now()), minutes(10));  // and it says that it does not keep up
}

TEST(SchedulerDays, RandomOrdersKeepItsBooks) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    Pace pace(round < 10 ? PaceLimits{} : PaceLimits{2, 5, 0, 0});
    const auto held_by = [&](const IpAddress& address, Time at) -> std::optional<Held> {
      if (round >= 15 && random() % 30 == 0) return Held{at + seconds(random() % 60), PaceScope::day};
      return pace.held(address, at);
    };
    Scheduler scheduler(limits(20, 200, round % 2 == 0 ? 1 : 2), held_by);
    std::map<ResultKey, bool> present;  // and whether it runs
    std::vector<ResultKey> running;
    Time now = kStart;
    for (int step = 0; step < 5000; ++step) {
      const ResultKey some = key(fmt::format("t{}", random() % 4), static_cast<std::uint32_t>(random() % 30),
                                 static_cast<std::uint16_t>(random() % 3));
      switch (random() % 8) {
        case 0:
        case 1:
          scheduler.add(some, minutes(1 + random() % 3), random() % 50 == 0, {}, now);
          present.try_emplace(some, false);
          break;
        case 2:
          scheduler.remove(some);
          present.erase(some);
          break;
        case 3:
          scheduler.reschedule(some, now + seconds(random() % 100));
          break;
        case 4:
          if (random() % 20 == 0) scheduler.spread_overdue(now);
          if (random() % 20 == 0) scheduler.pace_changed(now);
          if (random() % 10 == 0) scheduler.due_now(some.target, "", now);
          break;
        case 5:
          if (!running.empty()) {
            std::swap(running.back(), running[random() % running.size()]);
            const bool there = present.contains(running.back());
            ASSERT_EQ(scheduler.finished(running.back(), now, random() % 4 == 0).has_value(), there);
            running.pop_back();
          }
          break;
        default:
          if (const auto visit = scheduler.next(now)) {
            ASSERT_TRUE(present.contains(visit->key));
            ASSERT_EQ(std::count(running.begin(), running.end(), visit->key), 0);
            pace.started(visit->key.address, now);
            running.push_back(visit->key);
          }
      }
      now += milliseconds(random() % 500);
      ASSERT_EQ(scheduler.in_flight(), running.size());
      scheduler.lag(now);
      scheduler.next_wakeup(now);
    }
    // Everything that is left gets its probe in the end.
    for (const auto& [each, unused] : present) scheduler.add(each, minutes(1), false, {}, now);
    std::map<ResultKey, int> seen;
    for (const Time end = now + minutes(10); now < end; now += milliseconds(20)) {
      for (const ResultKey& each : running) scheduler.finished(each, now);
      running.clear();
      while (const auto visit = scheduler.next(now)) {
        running.push_back(visit->key);
        ++seen[visit->key];
      }
    }
    for (const auto& [each, unused] : present) ASSERT_GE(seen[each], 5);
  }
}

}  // namespace
}  // namespace ajar
