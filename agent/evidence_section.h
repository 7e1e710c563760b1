// What one probe heard, for pages. Pure, any thread.
#pragma once

#include <string>

#include "agent/record.h"

namespace ajar {

// Verdict, when and from where, the variants, the conversation.
std::string evidence_section(const Record& record, Time now);

}  // namespace ajar
