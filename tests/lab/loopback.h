// 127.0.0.0/8, and fd7f::/16 on the loopback device: the only networks that the lab binds, answers or connects to.
#pragma once

#include "checks/ip_address.h"

namespace ajar::lab {

bool inside_lab(const IpAddress& address);

// fd7f::a:0:3 for 127.10.0.3: where a place lives with `--ipv6`; and back. Others stay as they are.
IpAddress ipv6_twin(const IpAddress& address);
IpAddress ipv4_twin(const IpAddress& address);

// A non-blocking socket (TCP, or UDP with `datagrams`) from `from` (any port), whose connect() to `to` is under way; the caller
// owns it. -1 when there is none. From the twin of `from` where `to` is of the other family. The last gate: where either is
// outside, there is none.
int connect_inside_lab(const IpAddress& from, const AddressPort& to, bool datagrams = false);

}  // namespace ajar::lab
