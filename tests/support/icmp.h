// ICMP errors as a router or a packet filter on the way would send them; loopback alone.
#pragma once

#include <cstdint>

#include "checks/ip_address.h"

namespace ajar {

// "Destination unreachable" (RFC 792) of this code, as `sender` says it of a datagram that went from `from` to `to`; all IPv4.
// False: only root may send it.
bool send_unreachable(const IpAddress& sender, std::uint8_t code, const AddressPort& from, const AddressPort& to);

}  // namespace ajar
