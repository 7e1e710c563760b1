// "The canary's side": the part of a page that says what arrived at our canary, from where, and which lines it carried.
#pragma once

#include <string>

#include "agent/ledger.h"
#include "agent/record.h"

namespace ajar {

// HTML of the proofs of a case, and of those that came while one probe ran. Empty where none is kept.
std::string canary_side(const Case& exposure);
std::string canary_side(const Record& record);

}  // namespace ajar
