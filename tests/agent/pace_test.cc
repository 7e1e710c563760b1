#include "agent/pace.h"

#include <map>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Time kStart = Time(hours(24 * 365 * 56));  // the beginning of a day

IpAddress host(unsigned number, unsigned network = 0) {
  return IpAddress::v4({10, 0, static_cast<std::uint8_t>(network), static_cast<std::uint8_t>(number)});
}
IpAddress parsed(const std::string& text) { return *IpAddress::parse(text); }
PaceLimits rates(unsigned per_address, unsigned per_network) { return {per_address, per_network, 0, 0}; }

// Connections that begin as early as they may, one after the other, until `end`.
template <class Choose>
std::size_t begin_all(Pace& pace, Time now, Time end, Choose choose) {
  for (std::size_t count = 0;; ++count) {
    const IpAddress address = choose(count);
    while (const std::optional<Time> then = pace.earliest(address, now)) {
      EXPECT_GT(*then, now);
      now = *then;
    }
    if (now >= end) return count;
    pace.started(address, now);
  }
}

TEST(Pace, WithoutLimitsNothingWaitsAndNothingIsKept) {
  Pace pace;
  for (unsigned i = 0; i < 1000; ++i) {
    EXPECT_FALSE(pace.earliest(host(1), kStart));
    pace.started(host(1), kStart);
    pace.ended(host(1), kStart, true);
    pace.add_bytes(host(1), 1000, kStart);
  }
  EXPECT_EQ(pace.turn_of_address(host(1), kStart), kStart);
  EXPECT_EQ(pace.turn_of_network(host(1), kStart), kStart);
  EXPECT_EQ(pace.addresses(), 0U);
  EXPECT_EQ(pace.networks(), 0U);
}

TEST(Pace, OneAddressIsAskedAtItsRate) {
  for (const unsigned rate : {1U, 4U, 20U, 300U}) {
    Pace pace(rates(rate, 0));
    const std::size_t count = begin_all(pace, kStart, kStart + seconds(10), [](std::size_t) { return host(1); });
    EXPECT_GE(count, 10 * rate);
    EXPECT_LE(count, 10 * rate + rate / 4 + 1) << rate;  // the burst at the beginning
    EXPECT_FALSE(pace.earliest(host(2), kStart)) << "another address has its own";
  }
}

TEST(Pace, ASlash24AndASlash64ShareARate) {
  Pace pace(rates(0, 5));
  const std::size_t count =
      begin_all(pace, kStart, kStart + seconds(20), [](std::size_t n) { return host(static_cast<unsigned>(n % 256)); });
  EXPECT_GE(count, 100U);
  EXPECT_LE(count, 102U);
  EXPECT_TRUE(pace.earliest(host(200), kStart + seconds(19)));
  EXPECT_EQ(pace.held(host(200), kStart + seconds(19))->scope, PaceScope::network);
  EXPECT_FALSE(pace.earliest(host(200, 1), kStart + seconds(19)));
  pace.started(parsed("2001:db8:0:1::1"), kStart);
  EXPECT_TRUE(pace.earliest(parsed("2001:db8:0:1:ffff::2"), kStart));
  EXPECT_FALSE(pace.earliest(parsed("2001:db8:0:2::1"), kStart));
}

TEST(Pace, WhatWasNotUsedIsNotSavedUp) {
  Pace pace(rates(20, 0));
  pace.started(host(1), kStart);
  std::size_t together = 0;
  const Time later = kStart + minutes(1);
  while (!pace.earliest(host(1), later)) {
    pace.started(host(1), later);
    ++together;
  }
  EXPECT_EQ(together, 5U);  // a quarter of a second's
}

TEST(Pace, TurnsThatAreTakenAheadKeepTheRateAndTheOthersOut) {
  Pace pace(rates(0, 4));
  std::vector<milliseconds> turns;
  for (unsigned i = 0; i < 4; ++i) turns.push_back(pace.turn_of_network(host(i), kStart) - kStart);
  EXPECT_THAT(turns, ElementsAre(milliseconds(0), milliseconds(250), milliseconds(500), milliseconds(750)));
  EXPECT_EQ(pace.earliest(host(9), kStart), kStart + seconds(1));
}

TEST(Pace, AConnectionThatCouldNotWaitIsPaidForLater) {
  Pace pace(rates(1, 0));
  for (int i = 0; i < 5; ++i) pace.started(host(1), kStart);
  EXPECT_EQ(pace.earliest(host(1), kStart), kStart + seconds(5));
}

// ---- back-off ----

// Each of the first `hosts` is asked once; those from `answering` on are silent.
Time round_of(Pace& pace, Time now, unsigned hosts, unsigned answering) {
  for (unsigned i = 0; i < hosts; ++i) {
    const unsigned number = i * 101 % hosts;  // a prime: not in their order
    now += milliseconds(20);
    pace.ended(host(number), now, number >= answering);
  }
  return now;
}

double rate_of(Pace& pace, Time now) {
  return static_cast<double>(
             begin_all(pace, now, now + seconds(20), [](std::size_t n) { return host(static_cast<unsigned>(n % 256)); })) /
         20;
}

TEST(Pace, ANetworkThatFallsSilentIsAskedMoreSlowlyStepByStepAndBack) {
  Pace pace(rates(0, 64));
  Time now = kStart;
  for (int i = 0; i < 3; ++i) now = round_of(pace, now, 100, 100);
  EXPECT_EQ(pace.slowed_networks(), 0U);
  now = round_of(pace, now, 30, 0);
  EXPECT_EQ(pace.slowed_networks(), 1U);
  const auto notes = pace.take_notes();
  ASSERT_FALSE(notes.empty());
  EXPECT_THAT(notes.front(), HasSubstr("network 10.0.0.0/24: of the last 32 addresses that were asked"));
  EXPECT_THAT(notes.front(), HasSubstr("1/2 of its rate, 32 connections a second"));
  now = round_of(pace, now, 100, 0);
  EXPECT_NEAR(rate_of(pace, now), 4.0, 0.2);  // a sixteenth, and no slower
  now += minutes(1);
  now = round_of(pace, now, 100, 100);
  EXPECT_EQ(pace.slowed_networks(), 0U);
  EXPECT_NEAR(rate_of(pace, now), 64.0, 1.0);
  EXPECT_THAT(pace.take_notes().back(), HasSubstr("at its rate again, 64 connections"));
}

TEST(Pace, ANetworkOfSilentAddressesIsNoTrouble) {
  Pace pace(rates(0, 64));
  Time now = kStart;
  for (int i = 0; i < 20; ++i) now = round_of(pace, now, 256, 3);
  EXPECT_EQ(pace.slowed_networks(), 0U);
  EXPECT_THAT(pace.take_notes(), IsEmpty());
}

// Who answers at once is done soon; who is silent, or silent at most ports, is asked for long after.
TEST(Pace, TheSilentThatAreLeftAtTheEndAreNoTrouble) {
  Pace pace(rates(0, 64));
  Time now = kStart;
  for (int port = 0; port < 30; ++port) now = round_of(pace, now, 200, 120);
  for (int port = 0; port < 30; ++port) {
    for (unsigned number = 120; number < 200; ++number) pace.ended(host(number), now += milliseconds(20), true);
  }
  EXPECT_EQ(pace.slowed_networks(), 0U);
  // Each has one port that answers and 30 behind a filter.
  for (int round = 0; round < 62; ++round) {
    for (unsigned number = 200; number < 256; ++number) {
      pace.ended(host(number), now += milliseconds(20), (round + static_cast<int>(number)) % 31 != 0);
    }
  }
  EXPECT_EQ(pace.slowed_networks(), 0U);
}

TEST(Pace, OneAddressThatFallsSilentIsNotItsNetwork) {
  Pace pace(rates(0, 64));
  Time now = kStart;
  for (int i = 0; i < 3; ++i) now = round_of(pace, now, 30, 30);
  for (int i = 0; i < 100; ++i) pace.ended(host(7), now, true);
  EXPECT_EQ(pace.slowed_networks(), 0U);
  for (int i = 0; i < 5; ++i) now = round_of(pace, now, 30, 20);  // a third of them moved away
  EXPECT_EQ(pace.slowed_networks(), 0U);
}

TEST(Pace, SevenAddressesTellNothing) {
  Pace pace(rates(0, 64));
  Time now = kStart;
  for (int i = 0; i < 30; ++i) now = round_of(pace, now, 7, 7);
  for (int i = 0; i < 30; ++i) now = round_of(pace, now, 7, 0);
  EXPECT_EQ(pace.slowed_networks(), 0U);
  for (int i = 0; i < 30; ++i) now = round_of(pace, now, 8, 8);
  for (int i = 0; i < 2; ++i) now = round_of(pace, now, 8, 0);
  EXPECT_EQ(pace.slowed_networks(), 1U);
}

TEST(Pace, SilenceThatStaysBecomesTheCustom) {
  Pace pace(rates(0, 64));
  Time now = kStart;
  for (int i = 0; i < 40; ++i) now = round_of(pace, now, 100, 100);
  now = round_of(pace, now, 100, 0);
  EXPECT_EQ(pace.slowed_networks(), 1U);
  for (int i = 0; i < 60; ++i) now = round_of(pace, now, 100, 0);
  EXPECT_EQ(pace.slowed_networks(), 0U);
}

// ---- the day's budget ----

TEST(Pace, ADaysConnectionsAreABudgetInAny24Hours) {
  Pace pace({0, 0, 100, 0});
  Time now = kStart + hours(5);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(pace.earliest(host(1), now)) << i;
    pace.started(host(1), now);
  }
  ASSERT_TRUE(pace.held(host(1), now));
  EXPECT_EQ(pace.held(host(1), now)->scope, PaceScope::day);
  const Time free = pace.held(host(1), now)->until;
  EXPECT_GE(free, now + hours(24));
  EXPECT_LE(free, now + hours(30));
  EXPECT_FALSE(pace.earliest(host(2), now));
  EXPECT_EQ(pace.exhausted_addresses(), 1U);
  pace.started(host(1), now);  // a conversation under way goes on
  const auto notes = pace.take_notes();
  ASSERT_EQ(notes.size(), 1U);  // once
  EXPECT_EQ(notes.front(), fmt::format("10.0.0.1: its budget of a day is used up, 100 connections "
                                       "(agent.daily_connections_per_address = 100): it is not probed again before {}",
                                       to_rfc3339(free)));
  pace.expire(free - milliseconds(1));
  EXPECT_TRUE(pace.earliest(host(1), free - milliseconds(1)));
  pace.expire(free);
  EXPECT_FALSE(pace.earliest(host(1), free));
  EXPECT_EQ(pace.exhausted_addresses(), 0U);
}

TEST(Pace, WhatWasUsedFirstIsFreeFirst) {
  Pace pace({0, 0, 100, 0});
  Time now = kStart;
  for (int hour = 0; hour < 30; ++hour) {
    for (int i = 0; i < 3; ++i) pace.started(host(1), now + hours(hour));  // 72 a day: no trouble
  }
  now += hours(30);
  EXPECT_FALSE(pace.earliest(host(1), now));
  while (!pace.earliest(host(1), now)) pace.started(host(1), now);
  EXPECT_EQ(pace.earliest(host(1), now), kStart + hours(36));  // those of the second quarter are a day old then
}

TEST(Pace, BytesAreABudgetToo) {
  Pace pace({0, 0, 0, 10'000});
  pace.started(host(1), kStart);
  pace.add_bytes(host(1), 9'000, kStart);
  EXPECT_FALSE(pace.earliest(host(1), kStart));
  pace.add_bytes(host(1), 1'000, kStart);
  EXPECT_TRUE(pace.earliest(host(1), kStart));
  EXPECT_THAT(pace.take_notes().front(), HasSubstr("bytes (agent.daily_bytes_per_address = 10000)"));
}

TEST(Pace, ALargerBudgetCountsAtOnce) {
  Pace pace({0, 0, 10, 0});
  for (int i = 0; i < 10; ++i) pace.started(host(1), kStart);
  EXPECT_TRUE(pace.earliest(host(1), kStart));
  pace.set_limits({0, 0, 20, 0});
  EXPECT_FALSE(pace.earliest(host(1), kStart));
  EXPECT_EQ(pace.exhausted_addresses(), 0U);
  pace.take_notes();
  pace.set_limits({0, 0, 5, 0});
  EXPECT_TRUE(pace.earliest(host(1), kStart));
  EXPECT_EQ(pace.take_notes().size(), 1U);
  pace.set_limits({0, 0, 6, 0});
  EXPECT_TRUE(pace.earliest(host(1), kStart));
  EXPECT_THAT(pace.take_notes(), IsEmpty());  // said already
}

// ---- memory and clock ----

TEST(Pace, ForgetsWhatIsIdle) {
  Pace pace(rates(10, 100));
  for (unsigned i = 0; i < 200; ++i) {
    pace.started(host(1, i), kStart);
    pace.ended(host(1, i), kStart, false);
  }
  EXPECT_EQ(pace.addresses(), 200U);
  EXPECT_EQ(pace.networks(), 200U);
  pace.expire(kStart + minutes(2));
  EXPECT_EQ(pace.addresses(), 0U);
  EXPECT_EQ(pace.networks(), 200U);  // what they used to do is wanted at the next visit
  pace.expire(kStart + hours(49));
  EXPECT_EQ(pace.networks(), 0U);
  Pace budget({10, 100, 1000, 0});
  budget.started(host(1), kStart);
  budget.expire(kStart + hours(23));
  EXPECT_EQ(budget.addresses(), 1U);
  budget.expire(kStart + hours(31));
  EXPECT_EQ(budget.addresses(), 0U);
}

struct Known {
  unsigned touched = 0;
  unsigned what = 0;
};

TEST(Recent, KeepsSoManyAndForgetsTheLongestUntouched) {
  Recent<Known> recent(3);
  std::vector<unsigned> forgotten;
  const auto forget = [&](const Known& known) { forgotten.push_back(known.what); };
  for (unsigned i = 1; i <= 3; ++i) recent.get(host(i), forget) = {i, i};
  recent.find(host(1))->touched = 4;
  recent.get(host(4), forget) = {5, 4};
  recent.get(host(5), forget) = {6, 5};
  EXPECT_THAT(forgotten, ElementsAre(2U, 3U));
  EXPECT_EQ(recent.size(), 3U);
  EXPECT_EQ(recent.find(host(2)), nullptr);
  EXPECT_EQ(recent.find(host(1))->what, 1U);
  EXPECT_EQ(recent.get(host(2), forget).what, 0U);  // as a new one
  EXPECT_EQ(recent.find(host(1)), nullptr);
  recent.expire(100, [](const Known& known) { return known.what != 5; }, forget);
  EXPECT_EQ(recent.size(), 1U);
  EXPECT_EQ(recent.find(host(5))->what, 5U);
}

// Against a plain map: what comes, goes and stays.
TEST(Recent, IsAMap) {
  Recent<Known> recent(500);
  std::map<IpAddress, unsigned> model;
  std::mt19937 random(3);
  const auto forget = [&](const Known& gone) {
    std::erase_if(model, [&](const auto& one) { return one.second == gone.what; });
  };
  for (unsigned step = 1; step < 20'000; ++step) {
    const IpAddress some = host(static_cast<unsigned>(random() % 256), static_cast<unsigned>(random() % 5));
    if (random() % 50 == 0) {
      recent.expire(random() % 200, [](const Known& known) { return known.what % 3 == 0; }, forget);
    } else if (random() % 2 == 0) {
      Known& known = recent.get(some, forget);
      known = {step, step};
      model[some] = step;
    }
    ASSERT_EQ(recent.size(), model.size());
    const Known* const found = recent.find(some);
    ASSERT_EQ(found != nullptr, model.count(some) > 0);
    if (found != nullptr) {
      ASSERT_EQ(found->what, model[some]);
    }
  }
  EXPECT_GT(recent.size(), 300U);
  std::size_t seen = 0;
  recent.each([&](const IpAddress& address, const Known& known) {
    ++seen;
    EXPECT_EQ(model[address], known.what);
  });
  EXPECT_EQ(seen, model.size());
}

TEST(Pace, AClockThatWasSetBackHoldsNobody) {
  Pace pace({1, 1, 10, 0});
  for (int i = 0; i < 10; ++i) pace.started(host(1), kStart);
  EXPECT_TRUE(pace.earliest(host(1), kStart));
  EXPECT_FALSE(pace.earliest(host(1), kStart - hours(24 * 365)));
  EXPECT_FALSE(pace.earliest(host(2), kStart - hours(24 * 365)));
}

TEST(Pace, NotesAreBounded) {
  Pace pace({0, 0, 1, 0});
  for (unsigned i = 0; i < 250; ++i) pace.started(host(i), kStart);
  const auto notes = pace.take_notes();
  ASSERT_EQ(notes.size(), 101U);
  EXPECT_EQ(notes.back(), "and 150 more like these");
  EXPECT_THAT(pace.take_notes(), IsEmpty());
}

}  // namespace
}  // namespace ajar
