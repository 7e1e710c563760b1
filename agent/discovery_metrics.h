// The metrics of [[discovery]].
#pragma once

#include "agent/exposition.h"

namespace ajar {

struct DiscoveryView;

// Every family, and a series for each source; nullptr: there are none.
void write_discovery(Exposition& out, const DiscoveryView* view);

}  // namespace ajar
