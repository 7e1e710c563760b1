// The embedded canary: its listeners, what bounds them, the arrivals, and the self-test through the advertised addresses.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/arrival_log.h"
#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/loop.h"

namespace ajar {

// It cannot listen; what() names the key, the address, the cause and a remedy.
class CanaryError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct CanaryServerOptions {
  CanaryConfig config;  // advertise_* empty: the addresses it listens on, as far as they are definite
  std::string agent_name;
  std::string contact;
  std::string arrivals_file;  // empty: memory only
  WallClock now = wall_now;
  // Loop thread, for every arrival, before the peer is answered. May be empty.
  std::function<void(const Arrival&)> arrived;
  std::chrono::milliseconds self_test_interval = std::chrono::minutes(1);
  std::chrono::milliseconds self_test_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds conversation_timeout = std::chrono::minutes(5);
  unsigned connections = 500;         // at once; more are closed at once (SMTP: 421)
  unsigned connections_of_peer = 20;  // at once from one address
  std::chrono::milliseconds lent = CanaryStatus::kLent;
};

// Lives on the loop thread; health(), advertised() and arrivals() may be used from any. Destroying it stops listening;
// conversations under way end by themselves or with loop.shut_down().
class CanaryServer : public CanaryStatus {
 public:
  // Listens, and starts the first self-test. CanaryError, ArrivalLogError.
  CanaryServer(Loop& loop, CanaryKeys keys, CanaryServerOptions options);
  ~CanaryServer() override;
  CanaryServer(const CanaryServer&) = delete;
  CanaryServer& operator=(const CanaryServer&) = delete;

  CanaryHealth health(CanaryKind kind) const override;
  std::vector<AddressPort> advertised(CanaryKind kind) const override;
  Task<std::optional<AddressPort>> reserve(std::string token, bool v4, std::optional<IpAddress> asker) const override;
  void release(const std::string& token) const override;
  // reserve() without waiting.
  std::optional<AddressPort> try_reserve(const std::string& token, bool v4, std::optional<IpAddress> asker = {}) const;
  const ArrivalLog& arrivals() const;
  // Where it listens, with the ports that the kernel chose for port 0.
  std::vector<AddressPort> listening(CanaryKind kind) const;
  unsigned connections() const;  // now; loop thread

  struct State;  // shared with the conversations under way

 private:
  std::shared_ptr<State> state_;
};

}  // namespace ajar
