#include "agent/heartbeat.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

Time at(std::int64_t milliseconds) { return Time(std::chrono::milliseconds(milliseconds)); }

constexpr std::int64_t kNow = 1767355200000, kLeast = std::numeric_limits<std::int64_t>::min(),
                       kMost = std::numeric_limits<std::int64_t>::max();

TEST(Heartbeats, ComeBackAsTheyWere) {
  const std::vector<Heartbeat> list = {
      {1, at(kNow), at(kNow), at(kNow + 3'600'000)},
      {2, at(kNow - 7), std::nullopt, at(kNow)},
      {3, at(kNow + 5), at(kNow - 86'400'000), at(0)},
      {4, at(0), at(0), at(0)},
      {kMost, at(kMost), at(kLeast), at(kLeast)},
      {kLeast, at(kLeast), at(kMost), at(kMost)},
      {-1, at(-1), std::nullopt, at(1)},
  };
  for (std::size_t count = 0; count <= list.size(); ++count) {
    const std::vector<Heartbeat> some(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count));
    const auto read = unpack_heartbeats(pack(some));
    ASSERT_TRUE(read) << count;
    EXPECT_EQ(*read, some);
  }
}

TEST(Heartbeats, ThoseOfNeighboursAreFewBytes) {
  std::vector<Heartbeat> list;
  for (int i = 0; i < 1000; ++i) {
    const Time probed = at(kNow + i % 15'000);
    list.push_back({i * 7, probed, probed, probed + std::chrono::hours(1)});
  }
  EXPECT_LT(pack(list).size(), 10'000U);
}

TEST(Heartbeats, WhatNobodyPackedIsRefused) {
  const std::string one = pack(std::vector<Heartbeat>{{5, at(kNow), at(kNow - 1), at(kNow + 1)}});
  for (std::size_t length = 1; length < one.size(); ++length) EXPECT_FALSE(unpack_heartbeats(one.substr(0, length))) << length;
  EXPECT_FALSE(unpack_heartbeats("\xff"));
  EXPECT_FALSE(unpack_heartbeats(std::string(11, '\xff') + std::string(4, '\0'))) << "a number of more than 64 bits";
  EXPECT_FALSE(unpack_heartbeats(std::string("\0\0\0\x03", 4))) << "no such word";
  EXPECT_TRUE(unpack_heartbeats(std::string("\0\0\0\0", 4)));
}

}  // namespace
}  // namespace ajar
