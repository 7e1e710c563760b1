// http_connect: would it tunnel for a stranger? (RFC 9110 9.3.6)
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> http_connect(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
