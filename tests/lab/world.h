// What a conversation needs from outside. In the lab: the loop, the postman and the gateway; in tests: a clock that is moved,
// and links in memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "checks/network.h"
#include "checks/task.h"
#include "tests/lab/dialog.h"

namespace ajar::lab {

class World {
 public:
  virtual ~World() = default;
  virtual Steady::time_point now() = 0;
  // LinkError when the lab is being shut down.
  virtual Task<void> pause(milliseconds span) = 0;
  // Carries a message to its recipient, later and by itself.
  virtual void carry(Message message) = 0;

  // A connection from the address `source` to a name or address. nullptr where nobody is reached: a world lets nothing go but
  // to its canary.
  virtual Task<std::unique_ptr<Link>> connect(std::string source, std::string host, std::uint16_t port) = 0;
  // Sends one datagram from the address `source` to an address, and gives what comes back within a second; empty: nothing, as
  // where nobody is reached: a world lets nothing go but to its canary.
  virtual Task<std::string> exchange(std::string source, std::string host, std::uint16_t port, std::string bytes) = 0;
  // Carries bytes both ways until the far side ends, or a bound is reached. LinkError.
  virtual Task<void> join(Link& near, Link& far) = 0;
  // Ends our side and hears, for a moment, what the peer still sends: closing with bytes unheard would reset the connection,
  // and what was said last would be lost with it.
  virtual Task<void> linger(Link& link) = 0;
  // Whether the peer has ended its side. What is written to it vanishes without an error.
  virtual bool gone(Link& link) = 0;
  // The connection will end with RST instead of FIN.
  virtual void cut(Link& link) = 0;
};

}  // namespace ajar::lab
