// What the configuration exempts, and until when.
#pragma once

#include <optional>
#include <string_view>

#include "agent/time.h"
#include "config/config.h"

namespace ajar {

// The instant at which the last exemption of a check of a target ends (its `until` is its last day, UTC); nullopt without any.
std::optional<Time> exempt_until(const Config& config, std::string_view target, std::string_view check);
bool is_exempt(const Config& config, std::string_view target, std::string_view check, Time now);
// The exemption that is in force, the longest of them; nullptr without any.
const ExemptionConfig* exemption_now(const Config& config, std::string_view target, std::string_view check, Time now);

}  // namespace ajar
