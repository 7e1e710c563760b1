// Every metric of ajar: its name, type, help and labels (contract: the table of metrics). The agent's own counters live here,
// in a prometheus-cpp registry; what is known of results is read from the ledger when a page is written.
//
// Everything may be called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/exposition.h"
#include "agent/ledger.h"
#include "agent/target_view.h"
#include "agent/vantage.h"

namespace ajar {

struct DiscoveryView;
struct ZonesView;

class Metrics {
 public:
  // From this many results on, `detail = "auto"` shows series only of results that are not closed.
  static constexpr std::size_t kDetailLimit = 20000;

  // The configuration that started the agent counts as its first successful reload.
  explicit Metrics(WallClock now = wall_now);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // -- what happened --
  // A probe ended. Counts it, its failure when unreachable or unclear, and its duration; `probe_id` becomes an exemplar.
  void probe_done(const std::string& check, Verdict verdict, Reason reason, double seconds, const std::string& probe_id);
  // A name resolved to an address outside the scope and was not probed: ajar_probe_failures_total{reason="out_of_scope"}.
  void scope_refused(const std::string& check);
  void in_flight(int change);         // +1 when a probe begins, -1 when it ends
  void schedule_lag(double seconds);  // how late the latest probe began
  // How many endpoints there are now, and how many results by check they should have: what coverage is measured against.
  void endpoints(std::size_t count, std::map<std::string, std::size_t> results_by_check);
  void arrival(CanaryKind kind, ArrivalResult result);  // what is none of the contract's four results is not counted
  void canary_up(CanaryKind kind, bool up);             // the latest self-test
  void vantage(VantageStates states);                   // what is known of it now
  void discovery(std::shared_ptr<const DiscoveryView> view);
  // When our own web certificate ends; nullopt: there is none.
  void certificate_expiry(std::optional<Time> expiry);
  void reload(bool ok);  // a reload was tried

  // -- what is known, for pages --
  std::map<CanaryKind, bool> canary() const;  // kinds whose self-test has run
  VantageStates vantage() const;
  std::map<std::string, std::size_t> expected_results() const;
  std::size_t probes_in_flight() const;
  std::uint64_t version() const;  // rises with every call of "what happened"

  // -- pages --
  struct Scene {
    const Ledger& ledger;
    const Config& config;
    std::span<const TargetView> targets;
    Time now;
    const ZonesView* zones = nullptr;  // nullptr: no database is asked
  };
  // The whole page, without finish().
  void write(Exposition& out, const Scene& scene) const;
  // The current results of one target (all its checks, or one), as GET /probe shows them, without finish().
  void write_target(Exposition& out, const Scene& scene, const std::string& target, const std::string& check) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// How much of a check's results is known: conclusive (or filtered) no longer than two intervals ago.
struct Coverage {
  std::size_t covered = 0, all = 0;
  double ratio() const { return all == 0 ? 0 : static_cast<double>(covered) / static_cast<double>(all); }
};
// By check; only checks of which something was measured. `expected`: results that should exist, by check. What is paused in the
// configuration is in neither. Results are added one by one.
class CoverageCount {
 public:
  // Both outlive it.
  CoverageCount(const Config& config, std::span<const TargetView> targets, Time now);
  void add(const ResultState& result);
  std::map<std::string, Coverage> by_check(const std::map<std::string, std::size_t>& expected) const;
  // nullptr: no target has this name.
  const TargetConfig* target(std::string_view name) const;

 private:
  const Config& config_;
  Time now_;
  std::unordered_map<std::string_view, const TargetConfig*> by_name_;
  std::map<std::string, Coverage> found_;
  std::set<std::string> measured_;
};
std::map<std::string, Coverage> coverage(const std::vector<ResultState>& results, const Config& config,
                                         std::span<const TargetView> targets,
                                         const std::map<std::string, std::size_t>& expected, Time now);

// The instant at which the last exemption of a check of a target ends (its `until` is its last day, UTC); nullopt without any.
std::optional<Time> exempt_until(const Config& config, std::string_view target, std::string_view check);
bool is_exempt(const Config& config, std::string_view target, std::string_view check, Time now);
// The exemption that is in force, the longest of them; nullptr without any.
const ExemptionConfig* exemption_now(const Config& config, std::string_view target, std::string_view check, Time now);

}  // namespace ajar
