#include "agent/sweep_order.h"

#include <algorithm>

namespace ajar {
namespace {

constexpr unsigned kRounds = 4;

// splitmix64's finaliser.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9U;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

std::uint64_t round_value(std::uint64_t key, unsigned round, std::uint64_t half) {
  return mix(key + (round + 1) * 0x9E3779B97F4A7C15U + half * 0xD6E8FEB86659FD93U);
}

}  // namespace

KeyedPermutation::KeyedPermutation(std::uint64_t size, std::uint64_t key) : size_(size), key_(key) {
  while ((std::uint64_t{1} << (2 * half_)) < size_) ++half_;
}

std::uint64_t KeyedPermutation::encrypt(std::uint64_t x) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_) - 1;
  std::uint64_t left = x >> half_, right = x & mask;
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::uint64_t next = left ^ (round_value(key_, round, right) & mask);
    left = right;
    right = next;
  }
  return (left << half_) | right;
}

std::uint64_t KeyedPermutation::decrypt(std::uint64_t x) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_) - 1;
  std::uint64_t left = x >> half_, right = x & mask;
  for (unsigned round = kRounds; round-- > 0;) {
    const std::uint64_t before = right ^ (round_value(key_, round, left) & mask);
    right = left;
    left = before;
  }
  return (left << half_) | right;
}

// What falls outside is sent on: the walk stays on one cycle of the larger permutation, so no two places meet.
std::uint64_t KeyedPermutation::at(std::uint64_t place) const {
  if (size_ == 1) return 0;
  std::uint64_t value = encrypt(place);
  while (value >= size_) value = encrypt(value);
  return value;
}

std::uint64_t KeyedPermutation::place_of(std::uint64_t value) const {
  if (size_ == 1) return 0;
  std::uint64_t place = decrypt(value);
  while (place >= size_) place = decrypt(place);
  return place;
}

SweepOrder::SweepOrder(std::uint64_t addresses, std::uint32_t doors, std::uint64_t key)
    : addresses_(addresses),
      doors_(doors),
      key_(key),
      in_block_(std::min(addresses, kBlock)),
      blocks_(addresses / in_block_, mix(key)) {}

KeyedPermutation SweepOrder::within(std::uint64_t block) const { return {in_block_ * doors_, mix(key_ ^ mix(block + 1))}; }

SweepSpot SweepOrder::at(std::uint64_t step) const {
  const std::uint64_t block = blocks_.at(step % blocks_.size());
  const std::uint64_t inside = within(block).at(step / blocks_.size());
  return {block * in_block_ + inside % in_block_, static_cast<std::uint32_t>(inside / in_block_)};
}

std::uint64_t SweepOrder::step_of(const SweepSpot& spot) const {
  const std::uint64_t block = spot.address / in_block_;
  const std::uint64_t inside = spot.address % in_block_ + spot.door * in_block_;
  return within(block).place_of(inside) * blocks_.size() + blocks_.place_of(block);
}

}  // namespace ajar
