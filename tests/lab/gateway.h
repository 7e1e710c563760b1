// The way onward of simulated proxies: real connections, but to the canary and inside 127.0.0.0/8 only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent/live_network.h"
#include "agent/loop.h"
#include "tests/lab/dialog.h"

namespace ajar::lab {

class Gateway {
 public:
  static constexpr std::size_t kMaxCarried = 1024 * 1024;  // bytes in either direction of a tunnel
  static constexpr milliseconds kConnectTimeout{5000};
  static constexpr milliseconds kIdle{30000};
  static constexpr milliseconds kLifetime{300000};  // of a connection, however busy
  static constexpr milliseconds kLinger{2000};
  static constexpr milliseconds kExchange{1000};

  // `canary` and, by name, `domain` and what is below it are all that can be reached, on any port.
  Gateway(Loop& loop, IpAddress canary, std::string domain) : loop_(loop), canary_(canary), domain_(std::move(domain)) {}

  // As World promises them. Loop thread.
  Task<std::unique_ptr<Link>> connect(std::string source, std::string host, std::uint16_t port);
  Task<std::string> exchange(std::string source, std::string host, std::uint16_t port, std::string bytes);
  Task<void> join(LiveLink& near, LiveLink& far);
  Task<void> linger(LiveLink& link);

 private:
  std::optional<IpAddress> resolve(const std::string& host) const;

  Loop& loop_;
  IpAddress canary_;
  std::string domain_;
};

// Whether the peer has ended its side, also behind bytes that nobody has read yet.
bool peer_has_ended(int fd);

}  // namespace ajar::lab
