// http_forward: would it fetch for a stranger? (RFC 9110 7.6, RFC 9112 3.2)
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> http_forward(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
