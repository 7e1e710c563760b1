// A list of targets (config/target_groups.h) in JSON.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "config/target_groups.h"

namespace ajar {

// The groups, or what is wrong with the text: one sentence, printable as it is.
std::variant<TargetGroups, std::string> parse_json_targets(std::string_view text);

}  // namespace ajar
