#include "agent/target_index.h"

#include <algorithm>

namespace ajar {

TargetIndex::TargetIndex(std::span<const TargetView> targets) {
  by_name_.reserve(targets.size());
  for (const TargetView& view : targets) {
    by_name_.push_back(&view);
    for (const std::string& check : view.config.checks) {
      checks_.insert(check);
      owned_checks_.emplace(check, view.config.owner);
    }
  }
  std::stable_sort(by_name_.begin(), by_name_.end(),
                   [](const TargetView* a, const TargetView* b) { return a->config.name < b->config.name; });
}

std::pair<const TargetView*, std::size_t> TargetIndex::find(std::string_view name, std::size_t hint) const {
  const auto begin = by_name_.begin();
  const auto is_before = [&](const TargetView* view) { return std::string_view(view->config.name) < name; };
  const bool useful = hint == 0 || (hint <= by_name_.size() && is_before(by_name_[hint - 1]));
  std::size_t low = useful ? hint : 0;
  std::size_t high = by_name_.size();
  // Neighbours first, in steps that double.
  for (std::size_t step = 1; useful && low + step < high; step *= 2) {
    if (!is_before(by_name_[low + step])) {
      high = low + step + 1;
      break;
    }
    low += step;
  }
  const auto found =
      std::partition_point(begin + static_cast<std::ptrdiff_t>(low), begin + static_cast<std::ptrdiff_t>(high), is_before);
  const auto place = static_cast<std::size_t>(found - begin);
  const bool hit = found != by_name_.end() && (*found)->config.name == name;
  return {hit ? *found : nullptr, place};
}

std::shared_ptr<const TargetIndex> TargetIndexBook::read(const std::shared_ptr<const TargetViews>& targets) {
  const std::lock_guard lock(mutex_);
  if (targets_ == targets && index_) return index_;
  struct Held {
    std::shared_ptr<const TargetViews> targets;
    TargetIndex index;
  };
  const auto held = std::make_shared<const Held>(Held{targets, TargetIndex(*targets)});
  targets_ = targets;
  index_ = std::shared_ptr<const TargetIndex>(held, &held->index);
  return index_;
}

}  // namespace ajar
