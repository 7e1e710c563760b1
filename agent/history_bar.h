// A stretch of time as a bar: what was known when. Pure, any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "agent/time.h"
#include "checks/check.h"

namespace ajar {

struct HistorySpan {
  Time from{};
  std::optional<Time> to;  // nullopt: until now
  Verdict level{};
};

// From `begin` to `now`; where no span is, nothing is recorded. Later spans lie over earlier ones. The same stands below it as
// text, and the longest-lasting in its label. `label`: whose history it is.
std::string history_bar(std::string_view label, std::span<const HistorySpan> spans, Time begin, Time now);

}  // namespace ajar
