// See smtp_smuggling.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> smtp_smuggling(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
