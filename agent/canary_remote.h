// The client side of the arrivals API: an `ajar canary` on another host, polled every few seconds by a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/loop.h"
#include "agent/record.h"

namespace ajar {

struct RemoteCanaryOptions {
  std::string url;          // canary.remote: "https://canary.example.net:9925"; a path in it is not used
  std::int64_t cursor = 0;  // the last arrival that was applied (Ledger::cursor)
  WallClock now = wall_now;
  std::chrono::milliseconds poll_interval = std::chrono::seconds(3);
  std::chrono::milliseconds down_after = std::chrono::seconds(30);  // without an answer: every kind is down
  // Loop thread: the arrivals in order, and the cursor to keep once they are applied. After a restart some may come again.
  std::function<void(const std::vector<Arrival>& arrivals, std::int64_t cursor)> arrived;
};

// health() and advertised() may be called from any thread, the others from the loop's; its thread asks for them. The loop must
// outlive it; after its end nothing is posted any more.
class RemoteCanary : public CanaryStatus {
 public:
  RemoteCanary(Loop& loop, CanaryKeys keys, RemoteCanaryOptions options);
  // Waits up to 3 s for a request under way.
  ~RemoteCanary() override;
  RemoteCanary(const RemoteCanary&) = delete;
  RemoteCanary& operator=(const RemoteCanary&) = delete;

  CanaryHealth health(CanaryKind kind) const override;
  std::vector<AddressPort> advertised(CanaryKind kind) const override;
  Task<std::optional<AddressPort>> reserve(std::string token, bool v4, std::optional<IpAddress> asker) const override;
  void release(const std::string& token) const override;

  struct State;  // shared with the thread

 private:
  std::shared_ptr<State> state_;
};

}  // namespace ajar
