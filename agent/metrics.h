// Every metric of ajar: its name, type, help and labels (contract: the table of metrics). The agent's own counters live here,
// in a prometheus-cpp registry; what is known of results is read from the ledger when a page is written.
//
// Everything may be called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/coverage.h"
#include "agent/exemption.h"
#include "agent/exposition.h"
#include "agent/ledger.h"
#include "agent/sweep_table.h"
#include "agent/target_index.h"
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
  // What our own gentleness does now, and how often it made a connection wait since the beginning.
  struct PaceNow {
    std::size_t slowed_networks = 0, exhausted_addresses = 0;
    std::uint64_t waits_of_address = 0, waits_of_network = 0, waits_of_all = 0, waits_of_system = 0;
    friend bool operator==(const PaceNow&, const PaceNow&) = default;
  };
  void pace(const PaceNow& now);
  void sweep(std::shared_ptr<const SweepView> view);  // what sweeps of networks know now
  // What is not asked because it crashed the agent, in any order.
  void quarantined(std::vector<ResultKey> results);

  // -- what is known, for pages --
  std::map<CanaryKind, bool> canary() const;  // kinds whose self-test has run
  VantageStates vantage() const;
  std::map<std::string, std::size_t> expected_results() const;
  std::shared_ptr<const SweepView> swept() const;  // never null
  std::size_t probes_in_flight() const;
  std::vector<ResultKey> quarantined() const;  // sorted
  std::uint64_t version() const;               // rises with every call of "what happened"

  // -- pages --
  struct Scene {
    const Ledger& ledger;
    const Config& config;
    std::span<const TargetView> targets;
    Time now;
    const ZonesView* zones = nullptr;    // nullptr: no database is asked
    const TargetIndex* index = nullptr;  // of `targets`; nullptr: it is made for this once
  };
  // The whole page.
  void write(Sections& sections, const Scene& scene) const;
  // The current results of one target (all its checks, or one), as GET /probe shows them.
  void write_target(Sections& sections, const Scene& scene, const std::string& target, const std::string& check) const;
  // A page has no more series than this: what is left out then, and in what order, is said at Cut. 0: no limit. Before the
  // first page.
  void limit_series(std::size_t most);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ajar
