#include "agent/sweep_table.h"

#include <algorithm>
#include <utility>

namespace ajar {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLeastPatience{1000};

std::size_t number(SweepState state) { return static_cast<std::size_t>(state); }

}  // namespace

std::string_view to_string(SweepState state) {
  switch (state) {
    case SweepState::never:
      return "not_asked";
    case SweepState::refused:
      return "refused";
    case SweepState::silent:
      return "silent";
    case SweepState::no_route:
      return "no_route";
    case SweepState::listening:
      return "listening";
  }
  return "not_asked";
}

std::optional<std::uint32_t> SweepPlan::door(std::uint16_t port, Transport transport) const {
  const auto found =
      std::find_if(doors.begin(), doors.end(), [&](const SweepDoor& d) { return d.port == port && d.transport == transport; });
  if (found == doors.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - doors.begin());
}

std::uint64_t SweepCounts::all() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : by_state) sum += count;
  return sum;
}

SweepTable::SweepTable(SweepPlan plan, std::uint64_t key)
    : plan_(std::move(plan)),
      key_(key),
      order_(plan_.addresses, static_cast<std::uint32_t>(plan_.doors.size()), key),
      states_(plan_.size()),
      counts_(kSegments),
      check_counts_(plan_.checks.size() * kSegments),
      endpoints_(plan_.size()),
      results_(plan_.checks.size()),
      changed_((plan_.size() + kSlice - 1) / kSlice) {
  classes_[kNotOurs] = UINT32_MAX;
  for (const SweepDoor& door : plan_.doors) {
    for (const std::uint16_t check : door.checks) results_[check] += plan_.addresses;
  }
}

// ---- states ----

// Adds an endpoint to the counts, or takes it out, as it stands.
void SweepTable::count(std::uint64_t step, int change) {
  if (is_others(step) || state(step) == SweepState::never) return;
  const auto add = [&](std::uint64_t& value) { value += static_cast<std::uint64_t>(static_cast<std::int64_t>(change)); };
  const std::uint64_t segment = segment_of(step);
  const std::size_t of = number(state(step));
  add(asked_);
  add(counts_[segment][of]);
  const std::uint32_t others = others_of(step);
  const SweepDoor& door = plan_.doors[order_.at(step).door];
  for (std::size_t i = 0; i < door.checks.size(); ++i) {
    if ((others >> i & 1U) == 0) add(check_counts_[door.checks[i] * kSegments + segment][of]);
  }
}

void SweepTable::put(std::uint64_t step, SweepState next) {
  if (state(step) == next) return;
  count(step, -1);
  states_[step] = static_cast<std::uint8_t>((states_[step] & ~kStateMask) | static_cast<std::uint8_t>(next));
  count(step, +1);
  changed_[step / kSlice] = true;
}

void SweepTable::set(std::uint64_t step, SweepState next) {
  if (!is_others(step)) put(step, next);
}

// A class for each set of checks that others ask. There are few; of more than fit, the last stands for those with the fewest
// of ours.
std::uint8_t SweepTable::class_of(std::uint32_t checks) {
  const auto end = classes_.begin() + known_classes_;
  const auto found = std::find(classes_.begin(), end, checks);
  if (found != end) return static_cast<std::uint8_t>(found - classes_.begin());
  if (known_classes_ == kNotOurs) return kNotOurs - 1;
  classes_[known_classes_] = checks;
  return known_classes_++;
}

void SweepTable::set_others(std::uint64_t step, std::uint32_t checks) {
  const SweepDoor& door = plan_.doors[order_.at(step).door];
  const std::uint32_t all = door.checks.size() >= 32 ? UINT32_MAX : (1U << door.checks.size()) - 1;
  const bool none = (checks & all) == all;
  const std::uint8_t next = none ? kNotOurs : class_of(checks & all);
  const std::uint8_t before = states_[step] >> kClassShift;
  if (before == next) return;
  count(step, -1);
  const std::uint32_t had = others_of(step);
  states_[step] = static_cast<std::uint8_t>(next << kClassShift | (states_[step] & kStateMask));
  const std::uint32_t has = others_of(step);
  for (std::size_t i = 0; i < door.checks.size(); ++i) {
    results_[door.checks[i]] += (had >> i & 1U);
    results_[door.checks[i]] -= (has >> i & 1U);
  }
  if (before == kNotOurs) ++endpoints_;
  if (next == kNotOurs) --endpoints_;
  // What others asked for meanwhile is not known any more.
  if (before == kNotOurs || none) states_[step] = static_cast<std::uint8_t>(states_[step] & ~kStateMask);
  if (before == kNotOurs || none) changed_[step / kSlice] = true;
  count(step, +1);
}

void SweepTable::clear_others() {
  for (std::uint64_t step = 0; step < size(); ++step) {
    if (states_[step] >> kClassShift != 0) set_others(step, 0);
  }
}

void SweepTable::forget_listening() {
  for (std::uint64_t step = 0; step < size(); ++step) {
    if (state(step) == SweepState::listening) put(step, SweepState::never);
  }
}

std::optional<std::uint64_t> SweepTable::step_of(const IpAddress& address, std::uint16_t port, Transport transport) const {
  const std::optional<std::uint64_t> index = plan_.network.index_of(address);
  const std::optional<std::uint32_t> door = plan_.door(port, transport);
  if (!index || *index >= plan_.addresses || !door) return std::nullopt;
  return order_.step_of({*index, *door});
}

// ---- asking ----

Time SweepTable::due(std::uint64_t step) const {
  // At most 90 days in milliseconds times 2^25 endpoints: it fits.
  const auto part = static_cast<std::uint64_t>(plan_.interval.count()) * step / size();
  return *began_ + milliseconds(part);
}

// When the first sweep is due that is spread.
Time SweepTable::after_quick(Time now) const { return std::max(now, quick_since_.value_or(now) + plan_.interval / 2); }

void SweepTable::enter(std::uint64_t segment, Time now) {
  entered_ = now;
  if (!asked_at_[segment]) asked_at_[segment] = now;
}

void SweepTable::leave(std::uint64_t segment) {
  if (entered_) asked_at_[segment] = entered_;
}

std::optional<std::uint64_t> SweepTable::next_fresh(Time now) {
  if (asked_ >= endpoints_) return std::nullopt;
  for (std::uint64_t passed = 0; passed < kMostPassed; ++passed) {
    if (fresh_ == size()) {
      // What is under way is never asked yet, and must not be asked twice.
      if (under_way_ > 0) return std::nullopt;
      fresh_ = 0;
    }
    const std::uint64_t step = fresh_++;
    if (!is_fresh(step)) continue;
    if (!began_ && !asked_at_[segment_of(step)]) asked_at_[segment_of(step)] = now;
    if (!began_ && !quick_since_) quick_since_ = now;
    ++under_way_;
    return step;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> SweepTable::next_again(Time now) {
  if (!began_) return std::nullopt;
  const milliseconds patience = std::max<milliseconds>(plan_.interval / static_cast<int>(kSegments), kLeastPatience);
  for (std::uint64_t passed = 0; passed < kMostPassed; ++passed) {
    if (cursor_ == size()) {
      leave(segment_of(size() - 1));
      completed_ = now;
      cursor_ = 0;
      began_ = hurry_ ? after_quick(now) : std::max(*began_ + plan_.interval, now - patience);
      hurry_ = false;
      entered_.reset();
    }
    const Time when = due(cursor_);
    if (!hurry_) {
      if (when > now) return std::nullopt;
      if (now - when > patience) *began_ += now - when;
    }
    const std::uint64_t step = cursor_++;
    const std::uint64_t segment = segment_of(step);
    if (!entered_ || (step > 0 && segment_of(step - 1) != segment)) {
      if (step > 0 && entered_) leave(segment_of(step - 1));
      enter(segment, now);
    }
    const SweepState known = state(step);
    if (is_others(step) || known == SweepState::never || known == SweepState::listening) continue;
    ++under_way_;
    return step;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> SweepTable::next(Time now) {
  if (const auto step = next_fresh(now)) return step;
  if (is_first_complete()) {
    completed_ = now;
    began_ = after_quick(now);
    cursor_ = 0;
  }
  return next_again(now);
}

std::optional<Time> SweepTable::next_due() const {
  if (asked_ < endpoints_ && (fresh_ < size() || under_way_ == 0)) return Time{};
  if (!began_) return is_first_complete() ? std::optional(Time{}) : std::nullopt;
  if (hurry_) return Time{};
  return cursor_ == size() ? *began_ + plan_.interval : due(cursor_);
}

void SweepTable::note(std::uint64_t step, SweepState state) {
  give_back();
  set(step, state);
}

void SweepTable::give_back() {
  if (under_way_ > 0) --under_way_;
}

void SweepTable::hurry(Time now) {
  if (!began_) return;  // the first sweep is as quick
  began_ = now;
  cursor_ = 0;
  entered_.reset();
  hurry_ = true;
  quick_since_ = now;
}

// ---- what changes ----

void SweepTable::set_interval(Duration interval, Time now) {
  if (plan_.interval == interval) return;
  plan_.interval = interval;
  if (began_) *began_ += now - due(cursor_);
}

void SweepTable::take_over(const SweepTable& old, Time now) {
  std::optional<Time> oldest = now;
  for (const std::optional<Time>& asked : old.asked_at_) {
    if (asked) oldest = std::min(*oldest, *asked);
  }
  bool any = false;
  for (std::uint64_t step = 0; step < old.size(); ++step) {
    const SweepState known = old.state(step);
    if (known == SweepState::never || old.is_others(step)) continue;
    const SweepSpot spot = old.at(step);
    const SweepDoor& door = old.plan_.doors[spot.door];
    const auto here = step_of(old.address(spot), door.port, door.transport);
    if (!here) continue;
    put(*here, known);
    any = true;
  }
  if (!any) return;
  asked_at_.fill(oldest);
  completed_ = old.completed_;
  if (old.began_) began_ = now;
}

// ---- what is shown ----

SweepSummary SweepTable::summary(Time now) const {
  SweepSummary shown;
  shown.completed = completed_;
  const bool answered = std::any_of(counts_.begin(), counts_.end(), [](const Counters& counts) {
    return counts[number(SweepState::refused)] + counts[number(SweepState::listening)] > 0;
  });
  std::array<bool, kSegments> recent{};
  for (std::size_t i = 0; i < kSegments; ++i) {
    recent[i] = asked_at_[i] && now - *asked_at_[i] <= 2 * plan_.interval;
    const bool refusals = counts_[i][number(SweepState::refused)] > 0;
    if (refusals && asked_at_[i]) shown.oldest = std::min(shown.oldest.value_or(*asked_at_[i]), *asked_at_[i]);
  }
  const auto sum = [&](const Counters* counts, std::uint64_t all) {
    SweepCounts total;
    std::uint64_t asked = 0;
    for (std::size_t segment = 0; segment < kSegments; ++segment) {
      for (std::size_t state = 0; state < kSweepStates; ++state) {
        total.by_state[state] += counts[segment][state];
        asked += counts[segment][state];
      }
      if (!recent[segment]) continue;
      total.covered += counts[segment][number(SweepState::refused)];
      // Silence is a filter's where anything of the network answers; else it may be a way that leads nowhere.
      if (answered) total.covered += counts[segment][number(SweepState::silent)];
    }
    total.by_state[number(SweepState::never)] = all - asked;
    return total;
  };
  shown.endpoints = sum(counts_.data(), endpoints_);
  for (std::size_t check = 0; check < plan_.checks.size(); ++check)
    shown.by_check[plan_.checks[check]] = sum(&check_counts_[check * kSegments], results_[check]);
  return shown;
}

// ---- for the store ----

SweepTable::Progress SweepTable::progress() const {
  return {key_, fresh_, cursor_, began_, entered_, completed_, {asked_at_.begin(), asked_at_.end()}};
}

bool SweepTable::restore(const Progress& progress, std::span<const std::pair<std::uint64_t, std::string>> slices) {
  if (progress.key != key_ || progress.fresh > size() || progress.cursor > size() || progress.asked.size() != kSegments)
    return false;
  for (const auto& [number, bytes] : slices) {
    if (number >= this->slices() || bytes.size() != std::min(kSlice, size() - number * kSlice)) return false;
    const bool sound =
        std::all_of(bytes.begin(), bytes.end(), [](char c) { return static_cast<unsigned char>(c) < kSweepStates; });
    if (!sound) return false;
  }
  for (const auto& [number, bytes] : slices) {
    std::uint64_t step = number * kSlice;
    for (const char state : bytes) set(step++, static_cast<SweepState>(state));
  }
  std::copy(progress.asked.begin(), progress.asked.end(), asked_at_.begin());
  // What was lost with the end of the agent is asked first, wherever it lies.
  fresh_ = 0;
  cursor_ = progress.cursor;
  began_ = progress.began;
  entered_ = progress.entered;
  completed_ = progress.completed;
  changed_.assign(changed_.size(), false);
  return true;
}

std::string SweepTable::slice(std::uint64_t number) const {
  std::string bytes;
  const std::uint64_t begin = number * kSlice, end = std::min(size(), begin + kSlice);
  bytes.reserve(end - begin);
  for (std::uint64_t step = begin; step < end; ++step) bytes += static_cast<char>(states_[step] & kStateMask);
  return bytes;
}

std::vector<std::uint64_t> SweepTable::take_changed() {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t number = 0; number < changed_.size(); ++number) {
    if (changed_[number]) numbers.push_back(number);
    changed_[number] = false;
  }
  return numbers;
}

}  // namespace ajar
