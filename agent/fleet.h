// All results in short, target by target: what the list of targets shows. Made once for every state of the ledger, so that a
// list of 100,000 targets costs a walk through their results only when something has changed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/ledger.h"

namespace ajar {

using Counts = std::array<std::uint32_t, 5>;  // by verdict
std::optional<Verdict> worst(const Counts& counts);

struct FleetRow {
  Counts counts{};                                         // judged
  std::vector<std::pair<std::uint16_t, Counts>> by_check;  // the check's place in Fleet::checks
  Time last_probe{};                                       // the latest of all
};

struct Fleet {
  std::uint64_t version = 0;
  std::vector<std::string> checks;
  std::unordered_map<std::string, FleetRow> targets;  // those that were probed

  const FleetRow* find(const std::string& target) const;
  // nullptr: no result has it.
  const Counts* counts(const FleetRow& row, std::string_view check) const;
};

Fleet fleet_of(const Ledger& ledger);

// The fleet of the ledger's present state. Thread-safe.
class FleetBook {
 public:
  std::shared_ptr<const Fleet> read(const Ledger& ledger);

 private:
  std::mutex mutex_;
  std::shared_ptr<const Fleet> latest_;
};

}  // namespace ajar
