// How much of what is to be known is known.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ledger.h"
#include "agent/sweep_table.h"
#include "agent/target_index.h"
#include "config/config.h"

namespace ajar {

// How much of a check's results is known: conclusive (or filtered) no longer than two intervals ago.
struct Coverage {
  std::size_t covered = 0, all = 0;
  double ratio() const { return all == 0 ? 0 : static_cast<double>(covered) / static_cast<double>(all); }
};

// By check; only checks of which something was measured. `expected`: results that should exist, by check. What is paused in the
// configuration is in neither. Results are added one by one, quickest in the order of their targets. One thread at a time.
class CoverageCount {
 public:
  // All outlive it.
  CoverageCount(const Config& config, const TargetIndex& targets, Time now);
  CoverageCount(const Config& config, std::span<const TargetView> targets, Time now);
  void add(const ResultState& result);
  // What sweeps know; what listens there is a result of its own. After the results.
  void add(const SweepView& swept);
  std::map<std::string, Coverage> by_check(const std::map<std::string, std::size_t>& expected) const;
  // nullptr: no target has this name.
  const TargetConfig* target(std::string_view name) const;

 private:
  struct OfCheck {
    std::string check;
    Coverage coverage;
    bool measured = false;
  };
  OfCheck& of_check(const std::string& check);

  const Config& config_;
  Time now_;
  std::unique_ptr<const TargetIndex> own_;
  const TargetIndex& targets_;
  mutable std::size_t place_ = 0;  // of the target that was asked for last
  std::vector<OfCheck> found_;     // few
};

}  // namespace ajar
