// See turn_relay.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> turn_relay(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
