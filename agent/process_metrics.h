// process_*: what every Prometheus client library says of its own process, from /proc.
#pragma once

#include "agent/exposition.h"

namespace ajar {

// Families whose source cannot be read keep their HELP and TYPE and have no series.
void write_process_metrics(Exposition& out);

}  // namespace ajar
