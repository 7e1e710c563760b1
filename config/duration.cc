// Durations as the operator writes them: "500ms", "30s", "1h30m", "7d".
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include "config/config.h"

namespace ajar {

namespace {

struct Unit {
  std::string_view name;
  std::int64_t milliseconds;
};
// From large to small, which is also the order in which they may follow one another.
constexpr std::array<Unit, 5> kUnits = {{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::int64_t kShortest = 100;

// Takes the unit that `text` starts with; "ms" is not "m" and an "s".
const Unit* take_unit(std::string_view& text) {
  std::size_t letters = 0;
  while (letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z') ++letters;
  for (const Unit& unit : kUnits) {
    if (text.substr(0, letters) != unit.name) continue;
    text.remove_prefix(letters);
    return &unit;
  }
  return nullptr;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  std::int64_t total = 0;
  std::int64_t previous = kMost;
  while (!text.empty()) {
    std::int64_t number = 0;
    if (text.front() < '0' || text.front() > '9') return std::nullopt;  // from_chars would take a minus
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const Unit* unit = take_unit(text);
    if (!unit || unit->milliseconds >= previous) return std::nullopt;
    if (number > (kMost - total) / unit->milliseconds) return std::nullopt;
    total += number * unit->milliseconds;
    previous = unit->milliseconds;
  }
  if (total < kShortest) return std::nullopt;
  return Duration(total);
}

std::string format_duration(Duration duration) {
  std::string text;
  std::int64_t left = duration.count();
  if (left < 0) {
    text = "-";
    left = left == std::numeric_limits<std::int64_t>::min() ? std::numeric_limits<std::int64_t>::max() : -left;
  }
  for (const Unit& unit : kUnits) {
    if (left < unit.milliseconds) continue;
    text += fmt::format("{}{}", left / unit.milliseconds, unit.name);
    left %= unit.milliseconds;
  }
  return text.empty() ? "0s" : text;
}

}  // namespace ajar
