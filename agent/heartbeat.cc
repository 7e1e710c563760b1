#include "agent/heartbeat.h"

namespace ajar {
namespace {

// Numbers as in Protocol Buffers: seven bits a byte, the lowest first; signed ones with their sign in the lowest bit.
void put(std::string& bytes, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) bytes += static_cast<char>(value | 0x80U);
  bytes += static_cast<char>(value);
}

std::uint64_t zigzag(std::uint64_t difference) {
  return (difference << 1U) ^ ((difference >> 63U) != 0 ? ~std::uint64_t{0} : std::uint64_t{0});
}

std::uint64_t unzigzag(std::uint64_t value) {
  return (value >> 1U) ^ ((value & 1U) != 0 ? ~std::uint64_t{0} : std::uint64_t{0});
}

// Whatever the numbers are, their difference modulo 2^64 leads back.
std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }
std::uint64_t bits(Time time) { return bits(static_cast<std::int64_t>(time.time_since_epoch().count())); }
Time time_of(std::uint64_t value) { return Time(std::chrono::milliseconds(static_cast<std::int64_t>(value))); }

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }
  bool failed() const { return failed_; }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if (byte < 0x80) return value;
    }
    failed_ = true;
    return 0;
  }
  std::uint64_t difference() { return unzigzag(number()); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

enum Conclusive : std::uint64_t { none, by_the_last_probe, before };

}  // namespace

std::string pack(std::span<const Heartbeat> heartbeats) {
  std::string bytes;
  bytes.reserve(heartbeats.size() * 12);
  Heartbeat last;
  for (const Heartbeat& one : heartbeats) {
    put(bytes, zigzag(bits(one.result) - bits(last.result)));
    put(bytes, zigzag(bits(one.last_probe) - bits(last.last_probe)));
    put(bytes, zigzag(bits(one.due) - bits(one.last_probe)));
    if (!one.last_conclusive || *one.last_conclusive == one.last_probe) {
      put(bytes, one.last_conclusive ? by_the_last_probe : none);
    } else {
      put(bytes, before);
      put(bytes, zigzag(bits(one.last_probe) - bits(*one.last_conclusive)));
    }
    last = one;
  }
  return bytes;
}

std::optional<std::vector<Heartbeat>> unpack_heartbeats(std::string_view bytes) {
  std::vector<Heartbeat> heartbeats;
  Reader reader(bytes);
  std::uint64_t result = 0, last_probe = 0;
  while (!reader.at_end()) {
    Heartbeat& one = heartbeats.emplace_back();
    result += reader.difference();
    last_probe += reader.difference();
    one.result = static_cast<std::int64_t>(result);
    one.last_probe = time_of(last_probe);
    one.due = time_of(last_probe + reader.difference());
    const std::uint64_t conclusive = reader.number();
    if (conclusive == by_the_last_probe) one.last_conclusive = one.last_probe;
    if (conclusive == before) one.last_conclusive = time_of(last_probe - reader.difference());
    if (reader.failed() || conclusive > before) return std::nullopt;
  }
  return heartbeats;
}

}  // namespace ajar
