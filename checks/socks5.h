// socks5: would it connect for a stranger? (RFC 1928)
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> socks5(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
