// Ports of the canary that are open for one question each. A server that is asked to send data to a third host (FTP) has no
// words to say there: that somebody connects is the proof, so a port is open for one token at a time, and nobody listens at
// rest.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "agent/live_network.h"
#include "config/config.h"

namespace ajar {

// Loop thread.
class LentPorts {
 public:
  static constexpr unsigned kMostConnections = 5;  // for one token; more are closed at once
  // `came`: a connection for a token. The descriptor is its to close.
  using Came = std::function<void(int fd, AddressPort peer, const std::string& token)>;
  LentPorts(Loop& loop, PortRange ports, std::chrono::milliseconds lifetime, Came came)
      : loop_(loop), ports_(ports), lifetime_(lifetime), came_(std::move(came)) {}

  // Opens any free one of the range on that address; the same one again for the same token. nullopt: none is free.
  std::optional<std::uint16_t> lend(const std::string& token, const IpAddress& address);
  void release(const std::string& token) { lent_.erase(token); }
  void close_all() { lent_.clear(); }
  // Closes what nobody gave back in time.
  void close_old();

 private:
  struct Lent {
    std::unique_ptr<Listener> listener;
    unsigned connections = 0;
    Steady::time_point until;
  };
  std::unique_ptr<Listener> open(const std::string& token, const IpAddress& address);
  void accept(const std::string& token, int fd, const AddressPort& peer);

  Loop& loop_;
  const PortRange ports_;
  const std::chrono::milliseconds lifetime_;
  const Came came_;
  std::map<std::string, Lent> lent_;
  std::mt19937 random_{std::random_device{}()};
};

}  // namespace ajar
