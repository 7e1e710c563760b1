#include "agent/scope.h"

#include <algorithm>

namespace ajar {

namespace {

// A network of the scope that lies in link-local space as a whole: only writing one down on purpose reaches such addresses, a
// wide network around them does not (169.254.169.254 is a cloud's metadata service).
bool is_link_local(const Cidr& network) {
  static const Cidr kV4 = *Cidr::parse("169.254.0.0/16");  // RFC 3927
  static const Cidr kV6 = *Cidr::parse("fe80::/10");       // RFC 4291 2.5.6
  return kV4.contains(network) || kV6.contains(network);
}

}  // namespace

bool Scope::allows(const IpAddress& address) const {
  if (address.is_multicast() || address.is_unspecified()) return false;
  const bool link_local = address.is_link_local();
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const Cidr& network) { return network.contains(address) && (!link_local || is_link_local(network)); });
}

}  // namespace ajar
