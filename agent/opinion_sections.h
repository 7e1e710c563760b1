// What others say of a target: databases, and reports that were imported. Beside what we know, never mixed with it. Pure.
#pragma once

#include <string>

#include "agent/pages.h"

namespace ajar {

std::string listings_section(const TargetPage& target, Time now);
std::string suspicions_section(const TargetPage& target, Time now);

}  // namespace ajar
