// Whether the canary can be trusted to see what comes back: the embedded one, or an `ajar canary` on another host.
#pragma once

#include <chrono>
#include <optional>
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

// health() and advertised() may be called from any thread, the others from the loop's.
class CanaryStatus {
 public:
  virtual ~CanaryStatus() = default;
  virtual CanaryHealth health(CanaryKind kind) const = 0;
  // The addresses as tested servers reach them.
  virtual std::vector<AddressPort> advertised(CanaryKind kind) const = 0;
  // Opens a TCP port for this token alone (Canary::reserve) until release(), or for kLent at most; waits for one for a while,
  // where all are lent. nullopt: none is free, or there is none of that family. The token must be valid.
  virtual Task<std::optional<AddressPort>> reserve(std::string token, bool v4, std::optional<IpAddress> asker) const;
  virtual void release(const std::string& token) const;
  static constexpr std::chrono::milliseconds kLent = std::chrono::minutes(10);
};

// The domain of our recipients and senders: the configured mail_domain, else the canary's host, else the agent's name.
std::string canary_mail_domain(const CanaryConfig& config, const std::string& agent_name);

}  // namespace ajar
