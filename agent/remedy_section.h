// "How to close it": the part of a page, and of what else an owner reads, that says what runs there and what to write instead.
#pragma once

#include <span>
#include <string>

#include "agent/record.h"

namespace ajar {

// HTML for one result that is accepted or open. `heard`: what was heard at that endpoint, the nearest to the result first; it
// only chooses the remedy. Empty for a check that is not in the catalogue.
std::string remedy_section(const ResultKey& key, TlsMode tls, std::span<const Record* const> heard);

}  // namespace ajar
