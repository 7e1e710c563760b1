// The only place that says which addresses may be touched. Every connect of a probe passes here, after resolution.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

class Scope {
 public:
  Scope() = default;
  explicit Scope(std::vector<Cidr> networks) : networks_(std::move(networks)) {}
  // Inside a network of the scope; never multicast or unspecified; link-local only when a network listed lies in it.
  bool allows(const IpAddress& address) const;
  // Whether allows() is true of every address of a network. False may also mean that this is not quickly known.
  bool allows_all(const Cidr& network) const;
  const std::vector<Cidr>& networks() const { return networks_; }

 private:
  std::vector<Cidr> networks_;
};

}  // namespace ajar
