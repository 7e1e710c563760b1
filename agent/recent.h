// What is known of addresses (or of networks, by their first address), the longest untouched first to be forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_set>
#include <utility>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

// At most `most` states, each of an address. One thread's own.
template <class State>
class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most), index_(16, Hash{this}, Equal{this}) {}
  Recent(const Recent&) = delete;
  Recent& operator=(const Recent&) = delete;

  // nullptr: nothing is known. Touches nothing.
  State* find(const IpAddress& address) {
    const auto found = index_.find(address);
    return found == index_.end() ? nullptr : &nodes_[*found].state;
  }
  // As a new one where nothing is known; the latest touched then. `forget` is called with the state that has to go for it.
  // The reference is good until the next call.
  template <class Forget>
  State& touch(const IpAddress& address, Forget forget) {
    const auto found = index_.find(address);
    if (found != index_.end()) {
      unlink(*found);
      link(*found);
      return nodes_[*found].state;
    }
    if (index_.size() >= most_) drop_oldest(forget);
    std::uint32_t number = static_cast<std::uint32_t>(nodes_.size());
    if (free_.empty()) {
      nodes_.emplace_back();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    nodes_[number].address = address;
    nodes_[number].state = State{};
    index_.insert(number);
    link(number);
    return nodes_[number].state;
  }
  // The longest untouched; nullptr: there is none.
  State* oldest() { return oldest_ == kNone ? nullptr : &nodes_[oldest_].state; }
  // There is one.
  template <class Forget>
  void drop_oldest(Forget forget) {
    const std::uint32_t number = oldest_;
    forget(nodes_[number].state);
    unlink(number);
    index_.erase(number);
    free_.push_back(number);
  }
  template <class Visit>
  void each(Visit visit) {
    for (std::uint32_t number = oldest_; number != kNone; number = nodes_[number].later) {
      visit(nodes_[number].address, nodes_[number].state);
    }
  }
  std::size_t size() const { return index_.size(); }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Node {
    IpAddress address;
    std::uint32_t earlier = kNone, later = kNone;  // by when they were touched
    State state;
  };
  struct Hash {
    using is_transparent = void;
    const Recent* self;
    std::size_t operator()(const IpAddress& address) const {
      std::uint64_t hash = 0x9E3779B97F4A7C15U;
      for (const std::uint8_t byte : address.bytes()) hash = (hash ^ byte) * 0x100000001B3U;
      hash ^= hash >> 32;
      hash *= 0xBF58476D1CE4E5B9U;
      return static_cast<std::size_t>(hash ^ (hash >> 29));
    }
    std::size_t operator()(std::uint32_t number) const { return (*this)(self->nodes_[number].address); }
  };
  struct Equal {
    using is_transparent = void;
    const Recent* self;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const IpAddress& a, std::uint32_t b) const { return a == self->nodes_[b].address; }
    bool operator()(std::uint32_t a, const IpAddress& b) const { return b == self->nodes_[a].address; }
  };

  void link(std::uint32_t number) {
    nodes_[number].earlier = latest_;
    nodes_[number].later = kNone;
    (latest_ == kNone ? oldest_ : nodes_[latest_].later) = number;
    latest_ = number;
  }
  void unlink(std::uint32_t number) {
    const Node& node = nodes_[number];
    (node.earlier == kNone ? oldest_ : nodes_[node.earlier].later) = node.later;
    (node.later == kNone ? latest_ : nodes_[node.later].earlier) = node.earlier;
  }

  std::size_t most_;
  std::deque<Node> nodes_;  // stays where it is while it grows
  std::vector<std::uint32_t> free_;
  std::unordered_set<std::uint32_t, Hash, Equal> index_;
  std::uint32_t oldest_ = kNone, latest_ = kNone;
};

}  // namespace ajar
