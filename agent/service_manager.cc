#include "agent/service_manager.h"

#include <cstdint>
#include <cstdlib>
#include <system_error>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

namespace ajar {

using std::chrono::microseconds;

ServiceManager::ServiceManager() {
  const char* const socket = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
  listens_ = socket != nullptr && *socket != '\0';
  std::uint64_t interval = 0;
  if (listens_ && sd_watchdog_enabled(0, &interval) > 0) alive_every_ = microseconds(interval) / 3;
}

void ServiceManager::ready() {
  if (ready_) return;
  ready_ = true;
  tell("READY=1");
}

// MONOTONIC_USEC: what Type=notify-reload (systemd 253) asks for; older ones do not mind. steady_clock is CLOCK_MONOTONIC.
void ServiceManager::reloading() {
  if (!ready_) return;
  const auto now = std::chrono::duration_cast<microseconds>(Steady::now().time_since_epoch());
  tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.count()));
}

void ServiceManager::reloaded() {
  if (ready_) tell("READY=1");
}

void ServiceManager::stopping() { tell("STOPPING=1"); }

void ServiceManager::status(const std::string& line) {
  if (line == status_) return;
  status_ = line;
  tell("STATUS=" + line);
}

void ServiceManager::alive(Steady::time_point now) {
  if (!alive_every_ || now < next_alive_) return;
  next_alive_ = now + *alive_every_;
  tell("WATCHDOG=1");
}

void ServiceManager::tell(const std::string& state) {
  if (!listens_) return;
  const int result = sd_notify(0, state.c_str());
  if (result >= 0 || failed_) return;
  failed_ = true;  // said once: the manager would hear no later word either
  spdlog::warn("NOTIFY_SOCKET is set, and the service manager cannot be told {}: {}", state.substr(0, state.find('\n')),
               std::generic_category().message(-result));
}

}  // namespace ajar
