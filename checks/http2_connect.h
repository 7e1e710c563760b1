// See http2_connect.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> http2_connect(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
