#include "agent/scope.h"

#include <algorithm>

namespace ajar {

bool Scope::allows(const IpAddress& address) const {
  if (address.is_multicast() || address.is_unspecified()) return false;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Cidr& network) {
    return network.contains(address) && (!address.is_link_local() || network.first().is_link_local());
  });
}

}  // namespace ajar
