// What `ajar check` prints: a table for people, JSON lines for programs.
#pragma once

#include <string>
#include <vector>

#include "agent/record.h"

namespace ajar {

// One line a result, what said yes below it, a summary at the end; `colour` with ANSI escapes.
std::string check_table(const std::vector<Record>& records, bool colour);
// One JSON object a line.
std::string check_json(const std::vector<Record>& records);

}  // namespace ajar
