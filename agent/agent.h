// The running agent: everything wired together on one loop, beside which threads may probe
// (agent/workers.h). Data flows one way: configuration -> targets -> scheduler -> runner
// -> ledger -> metrics and pages.
#pragma once

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/crash_guard.h"
#include "agent/discovery.h"
#include "agent/ledger.h"
#include "agent/live_network.h"
#include "agent/loop.h"
#include "agent/metrics.h"
#include "agent/resolver.h"
#include "agent/runner.h"
#include "agent/scheduler.h"
#include "agent/service_manager.h"
#include "agent/sweep.h"
#include "agent/target_view.h"
#include "agent/targets.h"
#include "agent/vantage_check.h"
#include "agent/web.h"
#include "agent/workers.h"
#include "agent/zones.h"
#include "config/config.h"

namespace ajar {

class ArrivalLog;
class CanaryApi;
class CanaryServer;
class RemoteCanary;

class Agent {
 public:
  // Opens the ledger, the canary and the web server. Throws LedgerError, SecretError, CanaryError, WebError: what() says what
  // to do.
  // `max_series`: Metrics::limit_series().
  explicit Agent(std::shared_ptr<const Config> config, std::size_t max_series = 0);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Probes until SIGTERM or SIGINT; SIGHUP reloads. What ran is given up, what was learnt is committed.
  void run();

 private:
  void start_canary();
  TargetEvents target_events();
  DiscoveryEvents discovery_events();
  SweepEvents sweep_events();
  SweepPace sweep_pace();
  MessageBook message_book();

  // -- loop thread --
  Task<void> drive();
  Task<void> visit(Visit visit);
  void pump();
  void start_workers();
  const Answered& answered(const IpAddress& address) const;
  void housekeeping();
  void watch_pace();
  void flush();
  void publish_targets();
  void publish_zones();
  void warn_of_no_proof() const;
  void tell_service_manager();
  void watch_canary();
  bool canary_is_known();
  void watch_vantage();
  Task<void> check_vantage();
  bool vantage_is_known() const;
  std::optional<ProbePlan> plan_for(const ResultKey& key) const;
  bool wants_to_be_alone(const Visit& visit) const;
  struct Wanted {
    bool confirm = false, retry = false;
  };
  Wanted settle(const Record& record);
  void finish(const ResultKey& key, Wanted wanted);
  std::string take_in(const Record& record);
  std::string take_in(const Message& message);
  std::string take_in(const std::vector<Suspicion>& suspicions);
  bool is_suspected(const ResultKey& key, Time since) const;
  void arrived(const Arrival& arrival);
  void outran(const Arrival& arrival);
  void say(const Change& change) const;
  void planned(const Planned& planned);
  void retired(const ResultKey& key);
  void refused(const std::string& target, const std::string& host, const IpAddress& address);
  std::optional<std::string> reload();  // what is wrong, when the configuration was not taken over
  std::optional<std::string> take_over_configuration();
  void set_paused(bool paused);
  ProbeNow probe_now(const std::string& target, const std::optional<std::string>& check);
  void stop();
  void stop_loop();

  // -- swept networks (agent_sweep.cc) --
  void listens(const std::string& target, const Door& door);
  void listens_no_more(const std::string& target, const Door& door, SweepState state);
  bool is_absent(const std::string& target, const Door& door) const;
  bool may_be_forgotten(const ResultState& result) const;
  void visited(const ResultKey& key);
  void look_at_visited();
  bool take_in_swept(const Record& record);

  // -- web threads --
  WebState web_state();
  ApiReply internal_api(const ApiRequest& request);
  ApiReply doubts(const ApiRequest& request);
  // Runs `work` on the loop thread and waits for its answer; nullopt when the loop does not get to it in time.
  template <class Work>
  auto on_loop(Work work) -> std::optional<decltype(work())>;

  Loop loop_;
  ServiceManager service_manager_;
  std::shared_ptr<const Config> config_;  // loop thread; readers take published_config_
  CanaryKeys keys_;
  Ledger ledger_;
  Metrics metrics_;
  CrashGuard crash_guard_;
  Resolver resolver_;
  ConnectGate gate_;
  ProbeTls tls_;
  Answered answered_;
  std::unique_ptr<CanaryServer> server_;  // one of the two: ours, or that of canary.remote
  std::unique_ptr<RemoteCanary> remote_;
  std::unique_ptr<ArrivalLog> no_arrivals_;  // with remote_
  std::unique_ptr<CanaryApi> canary_api_;
  Scheduler scheduler_;
  Targets targets_;
  Sweep sweep_;
  std::map<std::pair<std::string, Door>, unsigned> absent_;  // visits in a row that met nobody, of what a sweep found
  std::set<std::pair<std::string, Door>> visited_;           // what a look at is due, once the ledger shows it
  Discovery discovery_;
  Zones zones_;
  Sightings sightings_;
  Resolver public_dns_;  // without hosts(5): names as others see them
  VantageCheck vantage_;
  ProbeWorld world_;
  std::unique_ptr<Workers> workers_;  // nullptr: probes run on this loop
  bool pumping_ = false;
  bool alone_ = false;            // a visit is under way beside which no other may begin
  std::optional<Visit> waiting_;  // one that begins when it is alone
  bool targets_changed_ = true;
  bool ledger_changed_ = false;
  bool was_failing_ = false;
  bool canary_known_ = false;
  bool checking_vantage_ = false;
  std::set<CanaryKind> not_looked_at_;  // sides_down() when the vantage was last measured
  Steady::time_point begin_ = Steady::now();
  Steady::time_point next_publish_{}, next_expiry_{}, next_status_{}, next_zones_{}, next_vantage_{}, next_slow_disk_{};
  std::uint64_t zones_version_ = 0;
  std::map<std::string, Time> asked_;  // POST /probe, by target: limits its rate

  std::mutex published_mutex_;
  std::shared_ptr<const Config> published_config_;
  std::shared_ptr<const TargetViews> published_targets_ = std::make_shared<TargetViews>();
  std::shared_ptr<const ZonesView> published_zones_;
  std::shared_ptr<const DiscoveryView> published_discovery_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<Web> web_;  // last: its threads end first
};

}  // namespace ajar
