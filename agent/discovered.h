// Entries of a list to targets: what "mx1.example.org:25" with labels means. Pure.
//
//   name      `__ajar_name`, else what is written, ":" and brackets made fit for a URL: mx1.example.org_25. What is there twice
//   in
//             a source in the same words and meaning is one target; in another meaning the later one gets "-2".
//   place     a host name or an address, which must lie inside the scope.
//   port      "host:port" is that port and no other: of the checks that have it among their default ports, and of all of them
//             where none has. `__ajar_ports_CHECK` goes before it.
//   labels    without those that begin with "__". Prometheus has an empty label for none.
//
// An entry that cannot be taken is refused alone, with a reason; the others go on.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/target_groups.h"

namespace ajar {

struct RefusedEntry {
  std::string entry;  // as written, printable
  std::string why;    // printable: "has a port of 0"
  friend auto operator<=>(const RefusedEntry&, const RefusedEntry&) = default;
};

// What a source says, once. Shared between threads; never changes.
struct SourceTargets {
  std::vector<std::shared_ptr<const TargetConfig>> targets;  // by name; what did not change is the object of the list before
  std::vector<RefusedEntry> refused;                         // the first kMaxShownRefusals
  std::size_t refused_count = 0;
};
inline constexpr std::size_t kMaxShownRefusals = 100;

// `before`: the list that this one follows, or nullptr.
std::shared_ptr<const SourceTargets> read_entries(const TargetGroups& groups, const DiscoveryConfig& source,
                                                  const std::vector<Cidr>& scope, const SourceTargets* before);

}  // namespace ajar
