#include "agent/timing_wheel.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include <gtest/gtest.h>

namespace ajar {
namespace {

struct Probe : TimingWheel::Entry {
  std::function<void()> then;
  int expired = 0;
  void expire() override {
    ++expired;
    if (then) then();
  }
};

TEST(TimingWheel, ExpiresAtItsTickAndNotBefore) {
  TimingWheel wheel;
  Probe probe;
  wheel.add(probe, 10);
  wheel.advance(9);
  EXPECT_EQ(probe.expired, 0);
  wheel.advance(10);
  EXPECT_EQ(probe.expired, 1);
  wheel.advance(5000);
  EXPECT_EQ(probe.expired, 1);
  EXPECT_EQ(wheel.size(), 0U);
}

TEST(TimingWheel, ADeadlineOfManyRoundsWaitsForItsOwn) {
  TimingWheel wheel;
  Probe probe;
  wheel.add(probe, 1'000'000);
  for (std::uint64_t tick = 0; tick < 1'000'000; tick += 777) wheel.advance(tick);
  EXPECT_EQ(probe.expired, 0);
  wheel.advance(1'000'000);
  EXPECT_EQ(probe.expired, 1);
}

TEST(TimingWheel, OneInThePastExpiresAtTheNextAdvance) {
  TimingWheel wheel;
  wheel.advance(100);
  Probe probe;
  wheel.add(probe, 50);
  wheel.advance(101);
  EXPECT_EQ(probe.expired, 1);
}

TEST(TimingWheel, AJumpOverMoreThanAWholeRoundMissesNothing) {
  TimingWheel wheel;
  std::deque<Probe> probes(5000);
  for (std::size_t i = 0; i < probes.size(); ++i) wheel.add(probes[i], i + 1);
  wheel.advance(1'000'000);
  for (const Probe& probe : probes) EXPECT_EQ(probe.expired, 1);
}

TEST(TimingWheel, DestroyingOrRemovingTakesItOff) {
  TimingWheel wheel;
  auto gone = std::make_unique<Probe>();
  Probe removed;
  wheel.add(*gone, 3);
  wheel.add(removed, 3);
  gone.reset();
  removed.remove();
  EXPECT_FALSE(removed.pending());
  EXPECT_EQ(wheel.size(), 0U);
  wheel.advance(3);
  EXPECT_EQ(removed.expired, 0);
}

TEST(TimingWheel, AnExpiringEntryMayAddRemoveAndDestroyOthers) {
  TimingWheel wheel;
  Probe first, again;
  auto victim = std::make_unique<Probe>();
  Probe removed;
  first.then = [&] {
    victim.reset();
    removed.remove();
    wheel.add(again, 6);
  };
  wheel.add(first, 5);
  wheel.add(*victim, 5);
  wheel.add(removed, 5);
  wheel.advance(5);
  EXPECT_EQ(removed.expired, 0);
  EXPECT_EQ(again.expired, 0);
  wheel.advance(6);
  EXPECT_EQ(again.expired, 1);
}

TEST(TimingWheel, ExpireAllReachesWhatExpiringAdds) {
  TimingWheel wheel;
  Probe first, second;
  first.then = [&] { wheel.add(second, 100'000); };
  wheel.add(first, 50'000);
  wheel.expire_all();
  EXPECT_EQ(first.expired, 1);
  EXPECT_EQ(second.expired, 1);
  EXPECT_EQ(wheel.size(), 0U);
}

// Against a plain sorted map, with random additions, moves, removals and jumps.
TEST(TimingWheel, AgreesWithASortedMap) {
  std::mt19937 random(7);
  TimingWheel wheel;
  std::deque<Probe> probes(300);
  std::map<const Probe*, std::uint64_t> model;
  std::uint64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    Probe& probe = probes[random() % probes.size()];
    if (random() % 4 == 0) {
      probe.remove();
      model.erase(&probe);
    } else {
      const std::uint64_t due = now + random() % 5000;
      wheel.add(probe, due);
      model[&probe] = std::max(due, now + 1);
    }
    if (random() % 3 == 0) {
      now += random() % 60;
      wheel.advance(now);
      for (Probe& p : probes) {
        const auto found = model.find(&p);
        const bool due = found != model.end() && found->second <= now;
        ASSERT_EQ(p.expired, due ? 1 : 0);
        p.expired = 0;
        if (due) model.erase(found);
      }
      ASSERT_EQ(wheel.size(), model.size());
    }
  }
}

}  // namespace
}  // namespace ajar
