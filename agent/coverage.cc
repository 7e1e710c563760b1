#include "agent/coverage.h"

#include <algorithm>

namespace ajar {

CoverageCount::CoverageCount(const Config& config, const TargetIndex& targets, Time now)
    : config_(config), now_(now), targets_(targets) {}

CoverageCount::CoverageCount(const Config& config, std::span<const TargetView> targets, Time now)
    : config_(config), now_(now), own_(std::make_unique<const TargetIndex>(targets)), targets_(*own_) {}

const TargetConfig* CoverageCount::target(std::string_view name) const {
  const auto [found, place] = targets_.find(name, place_);
  place_ = place;
  return found == nullptr ? nullptr : &found->config;
}

CoverageCount::OfCheck& CoverageCount::of_check(const std::string& check) {
  const auto found = std::find_if(found_.begin(), found_.end(), [&](const OfCheck& one) { return one.check == check; });
  return found != found_.end() ? *found : found_.emplace_back(OfCheck{check, {}, false});
}

void CoverageCount::add(const ResultState& result) {
  const TargetConfig* const of_target = target(result.key.target);
  if (of_target != nullptr && of_target->paused) return;
  OfCheck& counted = of_check(result.key.check);
  ++counted.coverage.all;
  if (result.last_probe == Time{}) return;
  counted.measured = true;
  const Duration interval = of_target == nullptr ? config_.agent.interval : config_.interval(*of_target, result.key.check);
  std::optional<Time> known = result.last_conclusive;
  if (result.last_reason == Reason::filtered) known = std::max(known.value_or(Time{}), result.last_probe);
  if (known && now_ - *known <= 2 * interval) ++counted.coverage.covered;
}

void CoverageCount::add(const SweepView& swept) {
  for (const SweepRow& row : swept) {
    if (row.paused) continue;
    for (const auto& [check, counts] : row.summary.by_check) {
      OfCheck& counted = of_check(check);
      counted.coverage.all += counts.all() - counts[SweepState::listening];
      counted.coverage.covered += counts.covered;
      counted.measured = counted.measured || counts[SweepState::never] < counts.all();
    }
  }
}

std::map<std::string, Coverage> CoverageCount::by_check(const std::map<std::string, std::size_t>& expected) const {
  std::map<std::string, Coverage> found;
  for (const OfCheck& counted : found_) {
    if (!counted.measured) continue;
    Coverage& coverage = found[counted.check] = counted.coverage;
    const auto should = expected.find(counted.check);
    if (should != expected.end()) coverage.all = std::max(coverage.all, should->second);
  }
  return found;
}

}  // namespace ajar
