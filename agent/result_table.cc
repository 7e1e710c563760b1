#include "agent/result_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <utility>

namespace ajar {
namespace {

constexpr std::size_t kMostRows = 128;  // of a leaf
constexpr std::size_t kMoreRows = 8;    // are made room for at a time: half-empty leaves would be what the table costs most
constexpr std::uint32_t kNobody = ~std::uint32_t{0};

// An instant in six bytes.
class PackedTime {
 public:
  PackedTime() { set(kNone); }
  PackedTime& operator=(Time time) {
    set(std::clamp<std::int64_t>(time.time_since_epoch().count(), kNone + 1, kLatest));
    return *this;
  }
  PackedTime& operator=(const std::optional<Time>& time) {
    if (time) return *this = *time;
    set(kNone);
    return *this;
  }
  Time get() const { return Time(std::chrono::milliseconds(value())); }
  std::optional<Time> optional() const { return value() == kNone ? std::nullopt : std::optional(get()); }

 private:
  static constexpr std::int64_t kLatest = (std::int64_t{1} << 47) - 1;
  static constexpr std::int64_t kNone = -kLatest - 1;
  void set(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    parts_ = {static_cast<std::uint16_t>(bits), static_cast<std::uint16_t>(bits >> 16U),
              static_cast<std::uint16_t>(bits >> 32U)};
  }
  std::int64_t value() const {
    const std::uint64_t bits =
        std::uint64_t{parts_[0]} << 16U | std::uint64_t{parts_[1]} << 32U | std::uint64_t{parts_[2]} << 48U;
    return static_cast<std::int64_t>(bits) >> 16;
  }
  std::array<std::uint16_t, 3> parts_{};
};

}  // namespace

// -- texts --

// Where it is, or would be put.
std::size_t TextPool::place_of(std::string_view text) const {
  const std::size_t mask = places_.size() - 1;
  std::size_t place = std::hash<std::string_view>()(text) & mask;
  while (places_[place] != kNobody && (*this)[places_[place]] != text) place = (place + 1) & mask;
  return place;
}

void TextPool::grow() {
  const std::vector<std::uint32_t> before =
      std::exchange(places_, std::vector<std::uint32_t>(std::max<std::size_t>(64, places_.size() * 2), kNobody));
  for (const std::uint32_t number : before) {
    if (number != kNobody) places_[place_of((*this)[number])] = number;
  }
}

std::optional<std::uint32_t> TextPool::find(std::string_view text) const {
  if (places_.empty()) return std::nullopt;
  const std::uint32_t number = places_[place_of(text)];
  return number == kNobody ? std::nullopt : std::optional(number);
}

std::uint32_t TextPool::hold(std::string_view text) {
  if ((count_ + 1) * 4 > places_.size() * 3) grow();
  std::uint32_t& place = places_[place_of(text)];
  if (place != kNobody) {
    ++texts_[place].holders;
    return place;
  }
  if (free_.empty()) {
    place = static_cast<std::uint32_t>(texts_.size());
    texts_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  Text& added = texts_[place];
  added.bytes.reset(new char[text.size()]);
  std::copy(text.begin(), text.end(), added.bytes.get());
  added.length = static_cast<std::uint32_t>(text.size());
  added.holders = 1;
  ++count_;
  return place;
}

void TextPool::release(std::uint32_t number) {
  if (--texts_[number].holders > 0) return;
  const std::size_t mask = places_.size() - 1;
  std::size_t hole = place_of((*this)[number]);
  // Who stands behind moves up, unless it would come before its own first place.
  for (std::size_t at = (hole + 1) & mask; places_[at] != kNobody; at = (at + 1) & mask) {
    const std::size_t first = std::hash<std::string_view>()((*this)[places_[at]]) & mask;
    if (((at - first) & mask) < ((at - hole) & mask)) continue;
    places_[hole] = places_[at];
    hole = at;
  }
  places_[hole] = kNobody;
  texts_[number] = {};
  free_.push_back(number);
  --count_;
}

// -- rows --

struct ResultTable::Rare {
  std::optional<Verdict> change_to;
  unsigned refusals = 0;
  std::optional<std::string> case_id;
  std::vector<std::string> must_ask;
  std::vector<Retry> retries;
  std::optional<Time> retries_since;
};

// Moved as bytes: the table counts its texts and owns what is rare.
struct ResultTable::Row {
  std::int64_t id = 0;
  std::uint32_t finding = 0;
  std::uint32_t rare = kNobody;  // of rare_
  std::uint32_t target = kNobody, host = kNobody, owner = kNobody, check = kNobody, because = kNobody;
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;
  PackedTime last_probe, last_conclusive, closed_since, last_full_matrix, due, change_since, evidence;
  bool v4 = true;
  Transport transport{};
  TlsMode tls{};
  Verdict level{}, last_level{};
  Reason reason{}, last_reason{};
};

namespace {

IpAddress address_of(const std::array<std::uint8_t, 16>& bytes, bool v4) {
  return v4 ? IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]}) : IpAddress::v6(bytes);
}

int order_of(std::string_view a, std::string_view b) { return a.compare(b); }

template <typename T>
int order_of_numbers(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

}  // namespace

ResultTable::ResultTable() = default;
ResultTable::~ResultTable() = default;
ResultTable::ResultTable(ResultTable&&) noexcept = default;
ResultTable& ResultTable::operator=(ResultTable&&) noexcept = default;

const ResultTable::Row& ResultTable::row(Place place) const { return leaves_[place.leaf][place.row]; }

// As ResultKey's own order has it; IPv6 before IPv4.
int ResultTable::compare(const Row& one, const ResultKey& key) const {
  if (const int order = order_of(texts_[one.target], key.target); order != 0) return order;
  if (one.v4 != key.address.is_v4()) return one.v4 ? 1 : -1;
  const auto bytes = key.address.bytes();
  if (const int order = std::memcmp(one.address.data(), bytes.data(), bytes.size()); order != 0) return order;
  if (const int order = order_of_numbers(one.port, key.port); order != 0) return order;
  if (const int order = order_of_numbers(one.transport, key.transport); order != 0) return order;
  return order_of(texts_[one.check], key.check);
}

// -- finding --

ResultTable::Place ResultTable::next(Place place) const {
  return place.row + 1 < leaves_[place.leaf].size() ? Place{place.leaf, place.row + 1} : Place{place.leaf + 1, 0};
}

ResultTable::Place ResultTable::lower_bound(const ResultKey& key) const {
  const auto leaf =
      std::partition_point(leaves_.begin(), leaves_.end(), [&](const Leaf& one) { return compare(one.back(), key) < 0; });
  if (leaf == leaves_.end()) return end();
  const auto found = std::partition_point(leaf->begin(), leaf->end(), [&](const Row& one) { return compare(one, key) < 0; });
  return {static_cast<std::size_t>(leaf - leaves_.begin()), static_cast<std::size_t>(found - leaf->begin())};
}

bool ResultTable::is_at(Place place, const ResultKey& key) const { return place != end() && compare(row(place), key) == 0; }

ResultTable::Place ResultTable::upper_bound(const ResultKey& key) const {
  const Place place = lower_bound(key);
  return is_at(place, key) ? next(place) : place;
}

bool ResultTable::contains(const ResultKey& key) const { return is_at(lower_bound(key), key); }

std::optional<HeldResult> ResultTable::find(const ResultKey& key) const {
  const Place place = lower_bound(key);
  if (!is_at(place, key)) return std::nullopt;
  std::optional<HeldResult> held(std::in_place);
  read(place, *held);
  return held;
}

// -- reading --

void ResultTable::read(Place place, HeldResult& into) const {
  static const Rare kNone;
  const Row& one = row(place);
  into.id = one.id;
  into.evidence = {one.finding, one.evidence.get()};
  ResultState& state = into.state;
  state.key.target = texts_[one.target];
  state.key.address = address_of(one.address, one.v4);
  state.key.port = one.port;
  state.key.transport = one.transport;
  state.key.check = texts_[one.check];
  state.host = texts_[one.host];
  state.owner = texts_[one.owner];
  state.tls = one.tls;
  state.level = one.level;
  state.reason = one.reason;
  state.because = texts_[one.because];
  state.change_since = one.change_since.get();
  state.last_level = one.last_level;
  state.last_reason = one.last_reason;
  state.last_probe = one.last_probe.get();
  state.last_conclusive = one.last_conclusive.optional();
  state.closed_since = one.closed_since.optional();
  state.last_full_matrix = one.last_full_matrix.optional();
  state.due = one.due.get();
  const Rare& rare = one.rare == kNobody ? kNone : *rare_[one.rare];
  state.change_to = rare.change_to;
  state.refusals = rare.refusals;
  state.case_id = rare.case_id;
  state.must_ask = rare.must_ask;
  state.retries = rare.retries;
  state.retries_since = rare.retries_since;
}

Heartbeat ResultTable::heartbeat(Place place) const {
  const Row& one = row(place);
  return {one.id, one.last_probe.get(), one.last_conclusive.optional(), one.due.get()};
}

std::string_view ResultTable::target(Place place) const { return texts_[row(place).target]; }

bool ResultTable::may_be_exposed(Place place) const {
  const Row& one = row(place);
  return one.level >= Verdict::accepted || (one.rare != kNobody && rare_[one.rare]->case_id);
}

std::vector<ResultKey> ResultTable::at(const IpAddress& address, std::uint16_t port, Transport transport,
                                       std::string_view check) const {
  std::vector<ResultKey> found;
  const std::optional<std::uint32_t> number = texts_.find(check);
  if (!number) return found;
  for (const Leaf& leaf : leaves_) {
    for (const Row& one : leaf) {
      if (one.check != *number || one.port != port || one.transport != transport || address_of(one.address, one.v4) != address)
        continue;
      found.push_back({std::string(texts_[one.target]), address, port, transport, std::string(check)});
    }
  }
  return found;
}

// -- writing --

// `fresh`: nothing is held there yet.
void ResultTable::hold(std::uint32_t& number, std::string_view text, bool fresh) {
  if (!fresh && texts_[number] == text) return;
  const std::uint32_t taken = texts_.hold(text);
  if (!fresh) texts_.release(number);
  number = taken;
}

void ResultTable::pack(const HeldResult& held, Row& one) {
  const ResultState& state = held.state;
  const bool fresh = one.target == kNobody;
  hold(one.target, state.key.target, fresh);
  hold(one.host, state.host, fresh);
  hold(one.owner, state.owner, fresh);
  hold(one.check, state.key.check, fresh);
  hold(one.because, state.because, fresh);
  one.id = held.id;
  one.finding = held.evidence.finding;
  one.evidence = held.evidence.started;
  one.v4 = state.key.address.is_v4();
  const auto bytes = state.key.address.bytes();
  std::copy(bytes.begin(), bytes.end(), one.address.begin());
  one.port = state.key.port;
  one.transport = state.key.transport;
  one.tls = state.tls;
  one.level = state.level;
  one.reason = state.reason;
  one.change_since = state.change_since;
  one.last_level = state.last_level;
  one.last_reason = state.last_reason;
  one.last_probe = state.last_probe;
  one.last_conclusive = state.last_conclusive;
  one.closed_since = state.closed_since;
  one.last_full_matrix = state.last_full_matrix;
  one.due = state.due;
  pack_rare(state, one);
}

void ResultTable::pack_rare(const ResultState& state, Row& one) {
  if (!state.change_to && state.refusals == 0 && !state.case_id && state.must_ask.empty() && state.retries.empty() &&
      !state.retries_since) {
    forget_rare(one);
    return;
  }
  if (one.rare == kNobody && !free_.empty()) {
    one.rare = free_.back();
    free_.pop_back();
  } else if (one.rare == kNobody) {
    one.rare = static_cast<std::uint32_t>(rare_.size());
    rare_.emplace_back();
  }
  rare_[one.rare] = std::make_unique<Rare>(
      Rare{state.change_to, state.refusals, state.case_id, state.must_ask, state.retries, state.retries_since});
}

void ResultTable::forget_rare(Row& one) {
  if (one.rare == kNobody) return;
  rare_[one.rare].reset();
  free_.push_back(one.rare);
  one.rare = kNobody;
}

void ResultTable::put(const HeldResult& held) {
  const Place place = lower_bound(held.state.key);
  if (is_at(place, held.state.key)) {
    pack(held, leaves_[place.leaf][place.row]);
    return;
  }
  Row one;
  pack(held, one);
  insert(place, one);
  ++size_;
}

void ResultTable::insert(Place place, const Row& one) {
  if (place == end()) {
    if (leaves_.empty() || leaves_.back().size() >= kMostRows) leaves_.emplace_back();
    place = {leaves_.size() - 1, leaves_.back().size()};
  } else if (leaves_[place.leaf].size() >= kMostRows) {
    Leaf& full = leaves_[place.leaf];
    const auto middle = full.begin() + kMostRows / 2;
    Leaf second(middle, full.end());
    full.erase(middle, full.end());
    full.shrink_to_fit();
    leaves_.insert(leaves_.begin() + static_cast<std::ptrdiff_t>(place.leaf) + 1, std::move(second));
    if (place.row > kMostRows / 2) place = {place.leaf + 1, place.row - kMostRows / 2};
  }
  Leaf& leaf = leaves_[place.leaf];
  if (leaf.size() == leaf.capacity()) leaf.reserve(leaf.size() + kMoreRows);
  leaf.insert(leaf.begin() + static_cast<std::ptrdiff_t>(place.row), one);
}

bool ResultTable::erase(const ResultKey& key) {
  const Place place = lower_bound(key);
  if (!is_at(place, key)) return false;
  Leaf& leaf = leaves_[place.leaf];
  Row& gone = leaf[place.row];
  for (const std::uint32_t text : {gone.target, gone.host, gone.owner, gone.check, gone.because}) texts_.release(text);
  forget_rare(gone);
  leaf.erase(leaf.begin() + static_cast<std::ptrdiff_t>(place.row));
  if (leaf.empty()) {
    leaves_.erase(leaves_.begin() + static_cast<std::ptrdiff_t>(place.leaf));
  } else if (leaf.size() + 2 * kMoreRows < leaf.capacity()) {
    leaf.shrink_to_fit();
  }
  --size_;
  return true;
}

}  // namespace ajar
