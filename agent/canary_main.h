// `ajar canary`: the canary alone, on a host that tested servers reach, for an agent elsewhere.
#pragma once

#include "config/config.h"

namespace ajar {

// Listens, serves the arrivals API on web.listen, tests itself, until SIGTERM or SIGINT. Returns the exit code: 0, or 3 when it
// cannot start (said on stderr, with a remedy).
int run_canary(const Config& config);

}  // namespace ajar
