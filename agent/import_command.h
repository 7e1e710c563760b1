// `ajar import shadowserver`: a report of others, taken into the state, by way of the agent where one runs.
#pragma once

#include <string>

#include "config/config.h"

namespace ajar {

// The summary goes to stdout, messages to stderr. Returns the exit code: 0 every row was understood, 1 some were not (or could
// not be kept), 3 the file or its type is of no use, or nothing can be stored.
int run_import(const Config& config, const std::string& file);

}  // namespace ajar
