// See open_resolver.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> open_resolver(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
