// The canary's side of a case: what arrived, from where, and the lines it carried.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/record.h"

namespace ajar {

// The first arrival and the latest, bounded. A value; copies share what they hold, so that a list of cases is cheap to copy.
class KeptArrivals {
 public:
  static constexpr std::size_t kMost = 8;          // arrivals: the first, and the latest others
  static constexpr std::size_t kMaxFacts = 2'000;  // bytes of facts of one

  // In the order in which they arrived, the first of all first.
  const std::vector<Arrival>& list() const;
  // Keeps it. One that differs from a later one in nothing but its time gives way to it; the first of all stays.
  void add(const Arrival& arrival);

 private:
  std::shared_ptr<const std::vector<Arrival>> list_;  // null: empty
};

// As it may be stored with a case or a record and shown: without its token, also where a server wrote that together with other
// letters, and at most kMaxFacts bytes of facts.
Arrival presentable(const Arrival& arrival);

// `text` with every `token`, in any case of letters and also inside words, shown as "<token>".
std::string without_token(const std::string& text, const std::string& token);

}  // namespace ajar
