// 127.0.0.0/8: the only network that the lab binds, answers or connects to.
#pragma once

#include "checks/ip_address.h"

namespace ajar::lab {

bool inside_lab(const IpAddress& address);

// A non-blocking TCP socket from `from` (any port), whose connect() to `to` is under way; the caller owns it. -1 when there is
// none. The last gate: where either address is outside 127.0.0.0/8, there is none.
int connect_inside_lab(const IpAddress& from, const AddressPort& to);

}  // namespace ajar::lab
