// An agent's knowledge made up for tests of pages, metrics and the API: a fixed clock, a configuration, a ledger in memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/discovery.h"
#include "agent/ledger.h"
#include "agent/metrics.h"
#include "agent/target_view.h"
#include "agent/web.h"
#include "agent/zones.h"

namespace ajar {

struct MadeUpAgent {
  MadeUpAgent();

  // Applies a probe that began `ago` before now, and lets readers see it.
  Change probe(const Record& record);
  // A record with everything that a page shows; the caller changes what matters.
  Record record(const std::string& target, const std::string& address, std::uint16_t port, Verdict verdict, Reason reason,
                std::chrono::milliseconds ago) const;
  // mx1 open, mx2 closed, office accepted and exempt, lab unclear, nobody_listens and filtered; counters of some probes.
  void fill();
  TargetConfig target(const std::string& name, const std::string& host, const std::string& owner) const;
  void add(TargetConfig target, std::vector<std::string> addresses, std::string note = {});
  // What two databases say: bl.example lists mx1 and not mx2; broken.example does not answer, and listed mx1 before.
  void fill_zones();
  // What Shadowserver reported two hours ago, after fill(): mx1 rightly, mx2 once wrongly, and once of a port that is not
  // asked.
  void fill_suspicions();
  // Two sources of targets: files that found mx2, and a URL that fails.
  void fill_discovery();
  WebState web_state();

  Time now;
  std::shared_ptr<Config> config = std::make_shared<Config>();
  std::vector<TargetView> targets;
  ZonesView zones;
  std::shared_ptr<const DiscoveryView> discovery;
  Ledger ledger;
  Metrics metrics;
};

}  // namespace ajar
