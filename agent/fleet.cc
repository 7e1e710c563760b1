#include "agent/fleet.h"

#include <algorithm>

namespace ajar {
namespace {

std::uint16_t place_of(std::vector<std::string>& checks, const std::string& check) {
  const auto found = std::find(checks.begin(), checks.end(), check);
  const auto place = static_cast<std::uint16_t>(found - checks.begin());
  if (found == checks.end()) checks.push_back(check);
  return place;
}

}  // namespace

std::optional<Verdict> worst(const Counts& counts) {
  for (std::size_t level = counts.size(); level-- > 0;) {
    if (counts[level] > 0) return static_cast<Verdict>(level);
  }
  return std::nullopt;
}

const FleetRow* Fleet::find(const std::string& target) const {
  const auto found = targets.find(target);
  return found == targets.end() ? nullptr : &found->second;
}

const Counts* Fleet::counts(const FleetRow& row, std::string_view check) const {
  for (const auto& [place, counts] : row.by_check) {
    if (checks[place] == check) return &counts;
  }
  return nullptr;
}

Fleet fleet_of(const Ledger& ledger) {
  Fleet fleet;
  // Read before the results: what changes in between is seen again by the next reader.
  fleet.version = ledger.version();
  FleetRow* row = nullptr;
  const std::string* target = nullptr;
  ledger.each_result([&](const ResultState& result) {
    if (result.last_probe == Time{}) return;
    if (target == nullptr || *target != result.key.target) {
      const auto [of_target, added] = fleet.targets.try_emplace(result.key.target);
      target = &of_target->first;
      row = &of_target->second;
    }
    const auto level = static_cast<std::size_t>(result.level);
    ++row->counts[level];
    row->last_probe = std::max(row->last_probe, result.last_probe);
    const std::uint16_t place = place_of(fleet.checks, result.key.check);
    auto of_check = std::find_if(row->by_check.begin(), row->by_check.end(), [&](const auto& e) { return e.first == place; });
    if (of_check == row->by_check.end()) of_check = row->by_check.insert(of_check, {place, Counts{}});
    ++of_check->second[level];
  });
  return fleet;
}

std::shared_ptr<const Fleet> FleetBook::read(const Ledger& ledger) {
  const std::lock_guard lock(mutex_);
  if (!latest_ || latest_->version != ledger.version()) latest_ = std::make_shared<const Fleet>(fleet_of(ledger));
  return latest_;
}

}  // namespace ajar
