// The metrics of databases and listings (contract: the table of metrics). A zone is shown by its name, never with its key; what
// a database says in words is in no label.
#pragma once

#include "agent/exposition.h"
#include "agent/zones.h"

namespace ajar {

// Every family, with or without series.
void write_zones(Exposition& out, const ZonesView& view);
// Of one target.
void write_listings(Exposition& out, const ZonesView& view, const std::string& target);

}  // namespace ajar
