// The SOCKS side of a simulated proxy: SOCKS4 and 4a as their authors' memos have them, SOCKS5 as RFC 1928.
#pragma once

#include <string>

#include "checks/network.h"
#include "checks/task.h"
#include "tests/lab/proxy.h"

namespace ajar::lab {

// The version byte has been heard. `exit`: the address that onward connections leave by. LinkError when the peer leaves.
Task<void> converse_as_socks4(Link& link, SocksWay way, std::string exit, World& world);
Task<void> converse_as_socks5(Link& link, SocksWay way, std::string exit, World& world);

}  // namespace ajar::lab
