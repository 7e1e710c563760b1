// What is known of addresses (or of networks, by their first address); what has long not been touched is forgotten.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

// At most `most` states, each of an address. `State` has a member `touched`, a time in any unit, that its user sets. A look-up
// costs two cache misses: one in a table of hashes, one at the state. One thread's own.
template <class State>
class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most), table_(16) {}
  Recent(const Recent&) = delete;
  Recent& operator=(const Recent&) = delete;

  // nullptr: nothing is known.
  State* find(const IpAddress& address) {
    const std::size_t place = place_of(address, hash(address));
    return table_[place].number == kNone ? nullptr : &nodes_[table_[place].number].state;
  }
  // As a new one where nothing is known. Where there are too many then, one of the longest untouched goes, after `forget` was
  // called with its state. The reference is good until the next call.
  template <class Forget>
  State& get(const IpAddress& address, Forget forget) {
    const std::uint32_t key = hash(address);
    std::size_t place = place_of(address, key);
    if (table_[place].number != kNone) return nodes_[table_[place].number].state;
    if (size_ >= most_) {
      drop(longest_untouched(), forget);
      place = place_of(address, key);
    }
    if ((size_ + 1) * 4 > table_.size() * 3) {
      grow();
      place = place_of(address, key);
    }
    const std::uint32_t number = fresh_node();
    nodes_[number].address = address;
    nodes_[number].used = true;
    table_[place] = {key, number};
    ++size_;
    return nodes_[number].state;
  }
  // Looks at the next `count` in a round that goes on with each call, and forgets those of which `idle` says yes.
  template <class Idle, class Forget>
  void expire(std::size_t count, Idle idle, Forget forget) {
    for (count = std::min(count, nodes_.size()); count > 0; --count) {
      const std::uint32_t number = next();
      if (nodes_[number].used && idle(nodes_[number].state)) drop(number, forget);
    }
  }
  template <class See>
  void each(See see) {
    for (Node& node : nodes_) {
      if (node.used) see(node.address, node.state);
    }
  }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr int kCandidates = 16;
  struct Node {
    IpAddress address;
    bool used = false;
    State state;
  };
  struct Slot {
    std::uint32_t key = 0;
    std::uint32_t number = kNone;
  };

  static std::uint32_t hash(const IpAddress& address) {
    std::uint64_t hash = 0x9E3779B97F4A7C15U;
    for (const std::uint8_t byte : address.bytes()) hash = (hash ^ byte) * 0x100000001B3U;
    hash ^= hash >> 32;
    hash *= 0xBF58476D1CE4E5B9U;
    return static_cast<std::uint32_t>(hash >> 32);
  }
  // Where it is, or where it would be.
  std::size_t place_of(const IpAddress& address, std::uint32_t key) const {
    const std::size_t mask = table_.size() - 1;
    for (std::size_t place = key & mask;; place = (place + 1) & mask) {
      const Slot& slot = table_[place];
      if (slot.number == kNone || (slot.key == key && nodes_[slot.number].address == address)) return place;
    }
  }
  std::uint32_t fresh_node() {
    if (free_.empty()) {
      nodes_.emplace_back();
      return static_cast<std::uint32_t>(nodes_.size() - 1);
    }
    const std::uint32_t number = free_.back();
    free_.pop_back();
    nodes_[number] = Node{};
    return number;
  }
  std::uint32_t next() { return hand_ = hand_ + 1 < nodes_.size() ? hand_ + 1 : 0; }
  // Of the next few.
  std::uint32_t longest_untouched() {
    std::uint32_t longest = kNone;
    for (int seen = 0; seen < kCandidates || longest == kNone; ++seen) {
      const std::uint32_t number = next();
      if (!nodes_[number].used) continue;
      if (longest == kNone || nodes_[number].state.touched < nodes_[longest].state.touched) longest = number;
    }
    return longest;
  }
  template <class Forget>
  void drop(std::uint32_t number, Forget forget) {
    Node& node = nodes_[number];
    forget(node.state);
    remove(place_of(node.address, hash(node.address)));
    node.used = false;
    node.state = State{};
    free_.push_back(number);
    --size_;
  }
  // Those behind it move up, so that a look-up finds them without it.
  void remove(std::size_t hole) {
    const std::size_t mask = table_.size() - 1;
    for (std::size_t place = (hole + 1) & mask; table_[place].number != kNone; place = (place + 1) & mask) {
      const std::size_t wanted = table_[place].key & mask;
      if (((place - wanted) & mask) >= ((place - hole) & mask)) {
        table_[hole] = table_[place];
        hole = place;
      }
    }
    table_[hole] = Slot{};
  }
  void grow() {
    const std::vector<Slot> before = std::exchange(table_, std::vector<Slot>(2 * table_.size()));
    const std::size_t mask = table_.size() - 1;
    for (const Slot& slot : before) {
      if (slot.number == kNone) continue;
      std::size_t place = slot.key & mask;
      while (table_[place].number != kNone) place = (place + 1) & mask;
      table_[place] = slot;
    }
  }

  std::size_t most_;
  std::deque<Node> nodes_;  // stays where it is while it grows
  std::vector<std::uint32_t> free_;
  std::vector<Slot> table_;  // open addressing; a power of two
  std::size_t size_ = 0;
  std::uint32_t hand_ = 0;
};

}  // namespace ajar
