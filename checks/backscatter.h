// See backscatter.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> backscatter(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
