// What `ajar check` prints: a table for people, JSON lines for programs.
#pragma once

#include <string>
#include <vector>

#include "agent/record.h"
#include "agent/zones.h"

namespace ajar {

// One line a result, what said yes below it, a summary at the end; `colour` with ANSI escapes.
std::string check_table(const std::vector<Record>& records, bool colour);
// One JSON object a line.
std::string check_json(const std::vector<Record>& records);
// What databases say: where one lists something, or what it says is not known. Empty: none was asked.
std::string listings_table(const ZonesView& view);
std::string listings_json(const ZonesView& view);
// Which databases work.
std::string zones_table(const ZonesView& view);
std::string zones_json(const ZonesView& view);

}  // namespace ajar
