// What the service manager (systemd) hears of the agent, by sd_notify(3): that it is ready, reloads and stops, one line about
// its state, and that its loop goes round. Where NOTIFY_SOCKET is not set, nobody is told anything. Loop thread only.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/loop.h"

namespace ajar {

class ServiceManager {
 public:
  // Learns from the environment whether somebody listens, and how often it wants to hear that we live (WATCHDOG_USEC).
  ServiceManager();

  bool listens() const { return listens_; }
  void ready();  // the first call tells it
  // Around a reload. Nothing is told before ready(): the end of a reload looks like it.
  void reloading();
  void reloaded();
  void stopping();
  void status(const std::string& line);  // told when it differs from the last one; a single line
  // The loop came round. Told three times in the interval after which the manager takes us for hung, if it asked for it at all.
  void alive(Steady::time_point now);

 private:
  void tell(const std::string& state);

  bool listens_ = false;
  bool ready_ = false;
  bool failed_ = false;
  std::string status_;
  std::optional<Steady::duration> alive_every_;
  Steady::time_point next_alive_{};
};

}  // namespace ajar
