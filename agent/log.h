// The log: to stderr, as text or as JSON lines. Values from outside are escaped before they come here.
#pragma once

#include "config/config.h"

namespace ajar {

// Applies level and format to spdlog's default logger; may be called again after a reload.
void set_up_log(const LogConfig& config);

}  // namespace ajar
