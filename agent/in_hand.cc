#include "agent/in_hand.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "checks/catalogue.h"

namespace ajar {
namespace {

// FNV-1a of all bytes before the sum: an accident is to be noticed, not an attack.
std::uint64_t sum_of(const ProbeMark& mark) {
  std::array<std::uint8_t, offsetof(ProbeMark, sum)> bytes{};
  std::memcpy(bytes.data(), &mark, bytes.size());
  std::uint64_t sum = 0xCBF29CE484222325U;
  for (const std::uint8_t byte : bytes) sum = (sum ^ byte) * 0x100000001B3U;
  return sum;
}

}  // namespace

thread_local constinit const ProbeMark* InHand::current_ = nullptr;
thread_local constinit HandLane* InHand::lane_ = nullptr;

ProbeMark mark_of(const ResultKey& key) {
  ProbeMark mark;
  const auto bytes = key.address.bytes();
  std::copy(bytes.begin(), bytes.end(), mark.address.begin());
  std::copy_n(key.check.begin(), std::min(key.check.size(), mark.check.size() - 1), mark.check.begin());
  mark.port = key.port;
  mark.family = key.address.is_v4() ? 4 : 6;
  mark.transport = static_cast<std::uint8_t>(key.transport);
  mark.sum = sum_of(mark);
  return mark;
}

std::optional<ProbePlace> place_of(const ProbeMark& mark) {
  if (mark.sum != sum_of(mark) || (mark.family != 4 && mark.family != 6) || mark.check.back() != '\0') return std::nullopt;
  ProbePlace place;
  place.check = mark.check.data();
  if (find_check(place.check) == nullptr) return std::nullopt;
  if (mark.family == 4) {
    std::array<std::uint8_t, 4> bytes{};
    std::copy_n(mark.address.begin(), bytes.size(), bytes.begin());
    place.address = IpAddress::v4(bytes);
  } else {
    place.address = IpAddress::v6(mark.address);
  }
  if (mark.transport != static_cast<std::uint8_t>(Transport::tcp) &&
      mark.transport != static_cast<std::uint8_t>(Transport::udp))
    return std::nullopt;
  place.transport = static_cast<Transport>(mark.transport);
  place.port = mark.port;
  return place;
}

// Relaxed stores are enough: who reads them is a signal handler on this thread, or the next process.
void InHand::take(const ProbeMark* mark) {
  current_ = mark;
  if (lane_ == nullptr) return;
  lane_->busy.store(0, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (mark == nullptr) return;
  lane_->mark = *mark;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  lane_->busy.store(1, std::memory_order_relaxed);
}

const ProbeMark* InHand::leave() {
  const ProbeMark* const left = current_;
  if (left != nullptr) take(nullptr);
  return left;
}

void InHand::write_to(HandLane* lane) {
  if (lane_ != nullptr) lane_->busy.store(0, std::memory_order_relaxed);
  lane_ = lane;
  take(current_);
}

}  // namespace ajar
