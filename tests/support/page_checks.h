// Pages as a browser gets them, and what must hold for each.
#pragma once

#include <string>

#include "agent/site.h"

namespace ajar {

// The page at `path`, as a browser without compression gets it.
std::string get_page(Site& site, const std::string& path, Params params = {}, int status = 200);
// Every tag that must be closed is closed, in order; no script but our own file, no style, no handler.
void expect_well_formed(const std::string& text);

}  // namespace ajar
