// See sni_proxy.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> sni_proxy(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
