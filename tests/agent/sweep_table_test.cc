#include "agent/sweep_table.h"

#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "agent/sweep_store.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

SweepPlan plan(const char* network, std::vector<std::uint16_t> ports = {80}) {
  SweepPlan made;
  made.network = Cidr::parse(network).value();
  made.addresses = made.network.size();
  made.checks = {"http_connect", "http_forward"};
  for (const std::uint16_t port : ports) made.doors.push_back({port, Transport::tcp, {0, 1}});
  made.interval = hours(24);
  return made;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ajar-sweep-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(folder_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const char* name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

class SweepTableTest : public testing::Test {
 protected:
  // Asks all that is due, and answers each with what `says` has for its address.
  std::size_t ask_all(SweepTable& table, SweepState says = SweepState::refused) {
    std::size_t asked = 0;
    while (const auto step = table.next(now)) {
      ++asked;
      order.push_back(*step);
      const auto found = listening.find(table.address(table.at(*step)).to_string());
      table.note(*step, found == listening.end() ? says : SweepState::listening);
    }
    return asked;
  }
  // Lets time go by, minute by minute.
  std::size_t live(SweepTable& table, hours span) {
    std::size_t asked = 0;
    for (minutes passed(0); passed < span; passed += minutes(1), now += minutes(1)) asked += ask_all(table);
    return asked;
  }
  std::uint64_t step(const SweepTable& table, const char* address, std::uint16_t port = 80) {
    return table.step_of(*IpAddress::parse(address), port, Transport::tcp).value();
  }

  Time now{hours(24 * 365 * 50)};
  std::set<std::string> listening;
  std::vector<std::uint64_t> order;
};

TEST_F(SweepTableTest, TheFirstSweepAsksEachOnceAtOnce) {
  SweepTable table(plan("10.0.0.0/22", {80, 3128}), 1);
  EXPECT_EQ(ask_all(table), 2048U);
  EXPECT_EQ(std::set<std::uint64_t>(order.begin(), order.end()).size(), 2048U);
  const SweepSummary shown = table.summary(now);
  EXPECT_EQ(shown.completed, now);
  EXPECT_EQ(shown.endpoints[SweepState::refused], 2048U);
  EXPECT_EQ(shown.endpoints.covered, 2048U);
  EXPECT_EQ(shown.by_check.at("http_forward").all(), 2048U);
}

TEST_F(SweepTableTest, TheNextSweepIsSpreadOverItsInterval) {
  SweepTable table(plan("10.0.0.0/22"), 1);
  ask_all(table);
  EXPECT_EQ(live(table, hours(12)), 0U);  // they were asked just now
  std::vector<std::size_t> by_hour;
  std::set<std::uint64_t> asked;
  for (int hour = 0; hour < 24; ++hour) {
    std::size_t count = 0;
    for (int minute = 0; minute < 60; ++minute) {
      order.clear();
      count += ask_all(table);
      asked.insert(order.begin(), order.end());
      EXPECT_LE(order.size(), 2U) << "hour " << hour << " minute " << minute;  // 1024 in 1440 minutes
      now += minutes(1);
    }
    by_hour.push_back(count);
  }
  for (const std::size_t count : by_hour) EXPECT_NEAR(static_cast<double>(count), 1024.0 / 24, 2);
  EXPECT_EQ(asked.size(), 1024U);
  EXPECT_EQ(table.summary(now).endpoints.covered, 1024U);
}

TEST_F(SweepTableTest, WhatListensIsPassedByUntilItIsToldOtherwise) {
  listening = {"10.0.0.7", "10.0.0.9"};
  SweepTable table(plan("10.0.0.0/28"), 1);
  EXPECT_EQ(ask_all(table), 16U);
  const auto again = [&] {
    order.clear();
    live(table, hours(36));
    return std::set<std::uint64_t>(order.begin(), order.end());
  };
  EXPECT_EQ(again().size(), 14U);
  listening.erase("10.0.0.9");
  table.set(step(table, "10.0.0.9"), SweepState::refused);
  const std::set<std::uint64_t> asked = again();
  EXPECT_EQ(asked.size(), 15U);
  EXPECT_FALSE(asked.contains(step(table, "10.0.0.7")));
}

// Nobody is asked in a burst for what a pause has put off.
TEST_F(SweepTableTest, APauseMovesTheRest) {
  SweepTable table(plan("10.0.0.0/22"), 1);
  ask_all(table);
  EXPECT_NEAR(static_cast<double>(live(table, hours(18))), 256, 3);  // six hours of the second sweep
  now += hours(24 * 7);
  EXPECT_LE(ask_all(table), 17U);                       // what a sixty-fourth of the interval holds
  EXPECT_EQ(table.summary(now).endpoints.covered, 0U);  // all were asked a week ago
  EXPECT_NEAR(static_cast<double>(live(table, hours(18))), 768, 20);
  EXPECT_GT(table.summary(now).endpoints.covered, 700U);
}

TEST_F(SweepTableTest, ByHandEverythingIsAskedAtOnceAndThenAsBefore) {
  SweepTable table(plan("10.0.0.0/22"), 1);
  ask_all(table);
  now += minutes(5);
  ask_all(table);
  table.hurry(now);
  EXPECT_EQ(ask_all(table), 1024U);
  EXPECT_EQ(table.summary(now).completed, now);
  EXPECT_EQ(live(table, hours(12)), 0U);
  EXPECT_NEAR(static_cast<double>(live(table, hours(12))), 512, 3);
}

// What is under way is not asked a second time, however long it takes; what was given back is.
TEST_F(SweepTableTest, UnderWayAndGivenBack) {
  SweepTable table(plan("10.0.0.0/30"), 1);
  std::vector<std::uint64_t> taken;
  while (const auto one = table.next(now)) taken.push_back(*one);
  EXPECT_EQ(taken.size(), 4U);
  EXPECT_EQ(table.next(now + hours(1)), std::nullopt);
  EXPECT_EQ(table.next_due(), std::nullopt);
  for (std::size_t i = 0; i < 3; ++i) table.note(taken[i], SweepState::silent);
  table.give_back();
  EXPECT_EQ(table.next(now), taken[3]);
}

TEST_F(SweepTableTest, WhatOthersAskIsPassedByAndNotCounted) {
  SweepTable table(plan("10.0.0.0/28"), 1);
  table.set_others(step(table, "10.0.0.3"), 3);  // both checks
  table.set_others(step(table, "10.0.0.4"), 1);  // http_connect
  EXPECT_EQ(ask_all(table), 15U);
  SweepSummary shown = table.summary(now);
  EXPECT_EQ(shown.endpoints.all(), 15U);
  EXPECT_EQ(shown.endpoints[SweepState::never], 0U);
  EXPECT_EQ(shown.by_check.at("http_connect")[SweepState::refused], 14U);
  EXPECT_EQ(shown.by_check.at("http_forward")[SweepState::refused], 15U);
  // It is ours again: asked at once.
  table.set_others(step(table, "10.0.0.3"), 0);
  EXPECT_EQ(table.summary(now).endpoints[SweepState::never], 1U);
  order.clear();
  EXPECT_EQ(ask_all(table), 1U);
  EXPECT_EQ(order.front(), step(table, "10.0.0.3"));
  table.clear_others();
  EXPECT_EQ(table.summary(now).by_check.at("http_connect").all(), 16U);
}

// Silence is a filter's only where something answers.
TEST_F(SweepTableTest, ANetworkThatIsSilentAsAWholeIsNotCovered) {
  SweepTable table(plan("10.0.0.0/28"), 1);
  ask_all(table, SweepState::silent);
  EXPECT_EQ(table.summary(now).endpoints.covered, 0U);
  table.set(step(table, "10.0.0.3"), SweepState::refused);
  EXPECT_EQ(table.summary(now).endpoints.covered, 16U);
  now += hours(49);
  EXPECT_EQ(table.summary(now).endpoints.covered, 0U);
}

TEST_F(SweepTableTest, AnotherIntervalKeepsThePlace) {
  SweepTable table(plan("10.0.0.0/22"), 1);
  ask_all(table);
  live(table, hours(24));  // half of the second sweep
  table.set_interval(hours(2), now);
  EXPECT_NEAR(static_cast<double>(live(table, hours(1))), 512, 20);
}

TEST_F(SweepTableTest, AChangedPlanKeepsWhatBothHave) {
  listening = {"10.0.0.7"};
  SweepTable old(plan("10.0.0.0/24", {80, 81}), 1);
  ask_all(old);
  SweepTable table(plan("10.0.0.0/25", {81, 3128}), 2);
  table.take_over(old, now);
  EXPECT_EQ(table.state(step(table, "10.0.0.7", 81)), SweepState::listening);
  EXPECT_EQ(table.state(step(table, "10.0.0.8", 81)), SweepState::refused);
  EXPECT_EQ(table.state(step(table, "10.0.0.8", 3128)), SweepState::never);
  EXPECT_NEAR(static_cast<double>(ask_all(table)), 128, 2);  // the new port at once, and what is due of the rest
}

TEST_F(SweepTableTest, TheStoreKeepsItAcrossARestart) {
  const TemporaryFolder folder;
  listening = {"10.0.1.7"};
  SweepTable table(plan("10.0.0.0/17", {80}), 77);
  ask_all(table, SweepState::silent);
  table.set(step(table, "10.0.1.9"), SweepState::refused);
  live(table, hours(14));
  {
    SweepStore store(folder.file("sweep"), now);
    store.save({{"net", &table, true}});
    table.set(step(table, "10.0.1.8"), SweepState::refused);
    store.save({{"net", &table, false}, {"gone", &table, true}});
    store.keep_only({"net"});
    EXPECT_EQ(store.trouble(), "");
  }
  SweepStore store(folder.file("sweep"), now);
  EXPECT_EQ(store.load("gone"), nullptr);
  const std::unique_ptr<SweepTable> kept = store.load("net");
  ASSERT_NE(kept, nullptr);
  for (std::uint64_t one = 0; one < table.size(); ++one) ASSERT_EQ(kept->state(one), table.state(one)) << one;
  const SweepTable::Progress before = table.progress(), after = kept->progress();
  EXPECT_EQ(after.key, before.key);
  EXPECT_EQ(after.cursor, before.cursor);
  EXPECT_EQ(after.began, before.began);
  EXPECT_EQ(after.entered, before.entered);
  EXPECT_EQ(after.completed, before.completed);
  EXPECT_EQ(after.asked, before.asked);
  EXPECT_TRUE(before.completed && before.entered && before.asked.front());
  EXPECT_EQ(kept->state(step(*kept, "10.0.1.8")), SweepState::refused);
}

TEST_F(SweepTableTest, AStoreThatIsNoDatabaseIsMovedAside) {
  const TemporaryFolder folder;
  std::ofstream(folder.file("sweep")) << std::string(8192, 'x');
  SweepStore store(folder.file("sweep"), now);
  EXPECT_EQ(store.trouble(), "");
  EXPECT_EQ(store.load("net"), nullptr);
}

}  // namespace
}  // namespace ajar
