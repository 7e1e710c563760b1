// That a result at rest was probed again and nothing changed: all that is written of such a probe. As the ledger stores them,
// many in a few bytes each.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/time.h"

namespace ajar {

struct Heartbeat {
  std::int64_t result = 0;  // its number in the database
  Time last_probe{};
  std::optional<Time> last_conclusive;
  Time due{};
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

// Smallest where neighbours have neighbouring numbers and times.
std::string pack(std::span<const Heartbeat> heartbeats);
// nullopt: not what pack() wrote.
std::optional<std::vector<Heartbeat>> unpack_heartbeats(std::string_view bytes);

}  // namespace ajar
