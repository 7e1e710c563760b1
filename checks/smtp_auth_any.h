// See smtp_auth_any.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> smtp_auth_any(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
