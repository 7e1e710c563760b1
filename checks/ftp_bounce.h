// See ftp_bounce.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

Task<Finding> ftp_bounce(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
