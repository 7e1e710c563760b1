#include "agent/lent_ports.h"

#include <system_error>

#include <unistd.h>

namespace ajar {

std::optional<std::uint16_t> LentPorts::lend(const std::string& token, const IpAddress& address) {
  close_old();
  const auto known = lent_.find(token);
  if (known != lent_.end()) return known->second.listener->address().port;
  std::unique_ptr<Listener> listener = open(token, address);
  if (!listener) return std::nullopt;
  const std::uint16_t port = listener->address().port;
  lent_.emplace(token, Lent{std::move(listener), 0, loop_.now() + lifetime_});
  return port;
}

// From any of them on: what is late for one question does not meet the next.
std::unique_ptr<Listener> LentPorts::open(const std::string& token, const IpAddress& address) {
  if (ports_.empty()) return nullptr;
  const unsigned count = ports_.last - ports_.first + 1U;
  const unsigned begin = std::uniform_int_distribution<unsigned>(0, count - 1)(random_);
  for (unsigned i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(ports_.first + (begin + i) % count);
    try {
      return std::make_unique<Listener>(loop_, AddressPort{address, port},
                                        [this, token](int fd, AddressPort peer) { accept(token, fd, peer); });
    } catch (const std::system_error&) {
      continue;  // lent already, or another program's
    }
  }
  return nullptr;
}

void LentPorts::accept(const std::string& token, int fd, const AddressPort& peer) {
  const auto lent = lent_.find(token);
  if (lent == lent_.end() || ++lent->second.connections > kMostConnections) {
    ::close(fd);
    return;
  }
  came_(fd, peer, token);
}

void LentPorts::close_old() {
  std::erase_if(lent_, [now = loop_.now()](const auto& one) { return one.second.until <= now; });
}

}  // namespace ajar
