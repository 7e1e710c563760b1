#include "agent/sweep_order.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include <gmock/gmock.h>

namespace ajar {
namespace {

TEST(KeyedPermutation, EveryValueOnceAndBack) {
  for (const std::uint64_t size : {1U, 2U, 3U, 5U, 64U, 100U, 256U, 257U, 5000U}) {
    for (const std::uint64_t key : {0U, 1U, 77U}) {
      const KeyedPermutation permutation(size, key);
      std::set<std::uint64_t> values;
      for (std::uint64_t place = 0; place < size; ++place) {
        const std::uint64_t value = permutation.at(place);
        ASSERT_LT(value, size);
        ASSERT_EQ(permutation.place_of(value), place);
        values.insert(value);
      }
      EXPECT_EQ(values.size(), size);
    }
  }
}

TEST(KeyedPermutation, AnotherKeyAnotherOrder) {
  const KeyedPermutation a(1000, 1), b(1000, 2);
  std::uint64_t same = 0;
  for (std::uint64_t place = 0; place < 1000; ++place) same += a.at(place) == b.at(place) ? 1 : 0;
  EXPECT_LT(same, 20U);  // one is what chance has
}

TEST(SweepOrder, EveryEndpointOnceAndBack) {
  for (const std::uint64_t addresses : {1U, 4U, 256U, 512U, 4096U}) {
    for (const std::uint32_t doors : {1U, 3U, 28U}) {
      const SweepOrder order(addresses, doors, 99);
      ASSERT_EQ(order.size(), addresses * doors);
      std::set<std::pair<std::uint64_t, std::uint32_t>> seen;
      for (std::uint64_t step = 0; step < order.size(); ++step) {
        const SweepSpot spot = order.at(step);
        ASSERT_LT(spot.address, addresses);
        ASSERT_LT(spot.door, doors);
        ASSERT_EQ(order.step_of(spot), step);
        seen.emplace(spot.address, spot.door);
      }
      EXPECT_EQ(seen.size(), order.size());
    }
  }
}

// However the steps are cut: of any 256 in a row no /24 gets more than its even share.
TEST(SweepOrder, NoBlockGetsABurst) {
  for (const std::uint64_t addresses : {512U, 4096U, 65536U}) {
    for (const std::uint32_t doors : {1U, 4U}) {
      const SweepOrder order(addresses, doors, 4711);
      const std::uint64_t blocks = addresses / 256, most = std::max<std::uint64_t>(1, 256 / blocks);
      EXPECT_EQ(order.blocks(), blocks);
      std::deque<std::uint64_t> latest;
      std::map<std::uint64_t, std::uint64_t> count;
      for (std::uint64_t step = 0; step < order.size(); ++step) {
        const std::uint64_t block = order.at(step).address / 256;
        if (!latest.empty()) {
          ASSERT_NE(latest.back(), block) << "two in a row, step " << step;
        }
        latest.push_back(block);
        ASSERT_LE(++count[block], most) << "step " << step;
        if (latest.size() == 256) {
          --count[latest.front()];
          latest.pop_front();
        }
      }
    }
  }
}

// Within a block the addresses come in no order that a firewall would see as a scan.
TEST(SweepOrder, AddressesOfABlockDoNotComeInARow) {
  const SweepOrder order(256, 1, 5);
  unsigned next = 0;
  for (std::uint64_t step = 1; step < 256; ++step) next += order.at(step).address == order.at(step - 1).address + 1 ? 1 : 0;
  EXPECT_LT(next, 12U);
}

}  // namespace
}  // namespace ajar
