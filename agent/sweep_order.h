// The order in which the endpoints of a network are swept: a permutation that is computed, never held.
//
// The addresses lie in blocks of 256 (a /24 of IPv4). A round asks one endpoint of each block, the blocks in an order that the
// key chooses; every block is asked again only after all the others, so it meets its share of the pace and never a burst. Which
// of its addresses and ports is asked in a round is a permutation of its own, of the same key. Nobody without the key can tell
// which endpoint comes next.
#pragma once

#include <cstdint>

namespace ajar {

// A permutation of 0 … size-1: a Feistel network over the next power of four, walked until it is inside.
class KeyedPermutation {
 public:
  // `size` at least 1, at most 2^62.
  KeyedPermutation(std::uint64_t size, std::uint64_t key);
  std::uint64_t at(std::uint64_t place) const;
  std::uint64_t place_of(std::uint64_t value) const;  // the inverse of at()
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t encrypt(std::uint64_t x) const;
  std::uint64_t decrypt(std::uint64_t x) const;
  std::uint64_t size_, key_;
  unsigned half_ = 1;  // bits
};

// Where a step of a sweep leads.
struct SweepSpot {
  std::uint64_t address = 0;  // its number within the network
  std::uint32_t door = 0;     // which of the ports
  friend bool operator==(const SweepSpot&, const SweepSpot&) = default;
};

class SweepOrder {
 public:
  static constexpr std::uint64_t kBlock = 256;  // addresses

  // `addresses`: a power of two. `doors`: ports asked of each of them, at least 1.
  SweepOrder(std::uint64_t addresses, std::uint32_t doors, std::uint64_t key);
  std::uint64_t size() const { return addresses_ * doors_; }
  std::uint64_t blocks() const { return blocks_.size(); }
  // `step` and what is in `spot` are inside their bounds.
  SweepSpot at(std::uint64_t step) const;
  std::uint64_t step_of(const SweepSpot& spot) const;

 private:
  KeyedPermutation within(std::uint64_t block) const;
  std::uint64_t addresses_;
  std::uint32_t doors_;
  std::uint64_t key_;
  std::uint64_t in_block_;  // addresses of one block
  KeyedPermutation blocks_;
};

}  // namespace ajar
