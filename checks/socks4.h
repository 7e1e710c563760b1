// socks4: would it connect for a stranger? SOCKS 4 and 4a.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> socks4(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
