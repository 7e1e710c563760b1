// The notice for machines: XARF 4.2 (https://xarf.org), as abuse desks and their tools take it. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/notice_facts.h"

namespace ajar {

// One report (a JSON object in one line) for each door, `vulnerability`/`misconfiguration` with its evidence, then one for each
// listing, `reputation`/`blocklist`. The same finding has the same report_id.
std::vector<std::string> xarf_reports(const NoticeFacts& facts);

}  // namespace ajar
