// See socks5_udp.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> socks5_udp(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
