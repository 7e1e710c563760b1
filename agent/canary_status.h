// Whether the canary can be trusted to see what comes back: the embedded one, or an `ajar canary` on another host.
#pragma once

#include <string>
#include <vector>

#include "checks/canary.h"
#include "config/config.h"

namespace ajar {

struct CanaryHealth {
  bool measured = false;  // a self-test has run
  bool up = false;        // and every advertised address answered it rightly
  std::string trouble;    // why not; empty while up
};

// Every function may be called from any thread.
class CanaryStatus {
 public:
  virtual ~CanaryStatus() = default;
  virtual CanaryHealth health(CanaryKind kind) const = 0;
  // The addresses as tested servers reach them.
  virtual std::vector<AddressPort> advertised(CanaryKind kind) const = 0;
};

// The domain of our recipients and senders: the configured mail_domain, else the canary's host, else the agent's name.
std::string canary_mail_domain(const CanaryConfig& config, const std::string& agent_name);

}  // namespace ajar
