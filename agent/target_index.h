// The targets of a configuration by name, and what follows from all of them: made once for each list of targets, because a walk
// through 100,000 of them at every scrape would cost more than the scrape.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/target_view.h"

namespace ajar {

class TargetIndex {
 public:
  // `targets` outlive it.
  explicit TargetIndex(std::span<const TargetView> targets);
  std::span<const TargetView* const> by_name() const { return by_name_; }
  // Of those with the same name the first; nullptr: none has it.
  const TargetView* find(std::string_view name) const { return find(name, 0).first; }
  // The same, quick where `hint` is the place of the find before and names rise. And the place from here on.
  std::pair<const TargetView*, std::size_t> find(std::string_view name, std::size_t hint) const;
  const std::set<std::string>& checks() const { return checks_; }
  // Every (check, owner) that there is.
  const std::set<std::pair<std::string, std::string>>& owned_checks() const { return owned_checks_; }

 private:
  std::vector<const TargetView*> by_name_;
  std::set<std::string> checks_;
  std::set<std::pair<std::string, std::string>> owned_checks_;
};

// The index of the latest list that was asked for. Thread-safe.
class TargetIndexBook {
 public:
  // It holds the list that it is made of.
  std::shared_ptr<const TargetIndex> read(const std::shared_ptr<const TargetViews>& targets);

 private:
  std::mutex mutex_;
  std::shared_ptr<const TargetViews> targets_;
  std::shared_ptr<const TargetIndex> index_;
};

}  // namespace ajar
