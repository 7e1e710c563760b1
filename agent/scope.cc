#include "agent/scope.h"

#include <algorithm>

namespace ajar {

namespace {

// A network of the scope that lies in link-local space as a whole: only writing one down on purpose reaches such addresses, a
// wide network around them does not (169.254.169.254 is a cloud's metadata service).
const Cidr& link_local_v4() {
  static const Cidr network = *Cidr::parse("169.254.0.0/16");  // RFC 3927
  return network;
}
const Cidr& link_local_v6() {
  static const Cidr network = *Cidr::parse("fe80::/10");  // RFC 4291 2.5.6
  return network;
}
bool is_link_local(const Cidr& network) { return link_local_v4().contains(network) || link_local_v6().contains(network); }

// Whether some of its addresses have rules of their own: link-local, multicast, unspecified.
bool has_special(const Cidr& network) {
  static const Cidr multicast_v4 = *Cidr::parse("224.0.0.0/4");  // RFC 5771
  static const Cidr multicast_v6 = *Cidr::parse("ff00::/8");     // RFC 4291 2.7
  const auto meets = [&](const Cidr& other) { return other.contains(network) || network.contains(other); };
  return network.first().is_unspecified() || meets(link_local_v4()) || meets(link_local_v6()) || meets(multicast_v4) ||
         meets(multicast_v6);
}

}  // namespace

bool Scope::allows(const IpAddress& address) const {
  if (address.is_multicast() || address.is_unspecified()) return false;
  const bool link_local = address.is_link_local();
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const Cidr& network) { return network.contains(address) && (!link_local || is_link_local(network)); });
}

bool Scope::allows_all(const Cidr& network) const {
  return !has_special(network) &&
         std::any_of(networks_.begin(), networks_.end(), [&](const Cidr& cidr) { return cidr.contains(network); });
}

}  // namespace ajar
