#include "agent/agent.h"

#include <algorithm>
#include <csignal>
#include <thread>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include "agent/canary_api.h"
#include "agent/canary_remote.h"
#include "agent/canary_server.h"
#include "agent/json.h"
#include "agent/ledger_options.h"
#include "agent/log.h"
#include "agent/notice_reply.h"
#include "agent/suspicions.h"
#include "agent/version.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kProbeNowInterval{60};                      // POST /probe of one target
constexpr milliseconds kLoopAnswer{10'000};                   // what a web request waits for the loop
constexpr std::string_view kConnecting = "# connecting to ";  // in a transcript
constexpr milliseconds kFlush{100};                           // a change is committed, and seen by readers, no later
constexpr milliseconds kSlowDisk{1'000};
constexpr milliseconds kIdle{500};
constexpr seconds kStatusInterval{2};  // the line that the service manager shows
constexpr seconds kCanaryPatience{15};
constexpr seconds kVantagePatience{30};    // since the start
constexpr milliseconds kRemoteLag{8'000};  // of the arrivals of a canary elsewhere: two polls and a slow answer

SchedulerLimits limits_of(const AgentConfig& agent) {
  return {agent.concurrency, agent.connections_per_second, agent.per_address, agent.retry_interval};
}

SweepOptions sweep_options(const AgentConfig& agent) {
  return {agent.source_addresses, agent.connect_timeout, agent.sweep_interval, agent.concurrency};
}

// What cannot change while running; nullopt when nothing of it did.
std::optional<std::string> needs_restart(const Config& before, const Config& after) {
  const auto& a = before.canary;
  const auto& b = after.canary;
  const std::pair<const char*, bool> keys[] = {
      {"agent.state", before.agent.state != after.agent.state},
      {"agent.threads", before.agent.threads != after.agent.threads},
      {"web", before.web != after.web},
      {"canary.listen_*", a.listen_tcp != b.listen_tcp || a.listen_udp != b.listen_udp || a.listen_tls != b.listen_tls ||
                              a.listen_smtp != b.listen_smtp},
      {"canary.advertise_*", a.advertise_tcp != b.advertise_tcp || a.advertise_udp != b.advertise_udp ||
                                 a.advertise_tls != b.advertise_tls || a.advertise_smtp != b.advertise_smtp},
      {"canary.reserved_ports", a.reserved_ports != b.reserved_ports},
      {"canary.host", a.host != b.host},
      {"canary.resolver_*", a.resolver_name != b.resolver_name || a.resolver_answers != b.resolver_answers},
      {"canary.mail_domain", a.mail_domain != b.mail_domain},
      {"canary.secret_file", a.secret_file != b.secret_file},
      {"canary.remote", a.remote != b.remote},
  };
  for (const auto& [key, changed] : keys) {
    if (changed)
      return fmt::format("{}: {} has changed, which takes a restart: restart ajar, or put the old value back", after.file, key);
  }
  return std::nullopt;
}

// The kinds of canary that are configured, of those that there are.
std::vector<CanaryKind> served_kinds(const CanaryConfig& canary) {
  std::vector<CanaryKind> kinds;
  const bool remote = !canary.remote.empty();
  if (remote || !canary.listen_tcp.empty() || !canary.advertise_tcp.empty()) kinds.push_back(CanaryKind::tcp);
  if (remote || !canary.listen_smtp.empty() || !canary.advertise_smtp.empty()) kinds.push_back(CanaryKind::smtp);
  return kinds;
}

// A conversation holds a descriptor; pages, the canary and the state have theirs beside.
void raise_descriptor_limit(unsigned concurrency) {
  constexpr rlim_t kBeside = 200;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= concurrency + kBeside) return;
  spdlog::warn("agent.concurrency = {}, but this process may open {} files: what has none left waits; raise the limit to {}",
               concurrency, limit.rlim_cur, concurrency + kBeside);
}

std::string place_of(const ResultKey& key) {
  return fmt::format("{} {}/{} {}", escape(key.target), join_host_port(key.address, key.port), to_string(key.transport),
                     key.check);
}

}  // namespace

Agent::Agent(std::shared_ptr<const Config> config, std::size_t max_series)
    : config_(std::move(config)),
      keys_(CanaryKeys::load(config_->path(config_->canary.secret_file))),
      ledger_(ledger_options(*config_)),
      crash_guard_(config_->path(config_->agent.state), config_->agent, metrics_),
      resolver_(loop_, ResolverOptions{}),
      gate_(loop_, config_->agent.connections_per_second, pace_limits(config_->agent)),
      scheduler_(limits_of(config_->agent),
                 [this](const IpAddress& address, Time now) { return gate_.pace().held(address, now); }),
      targets_(resolver_, wall_now, target_events(), Networks::swept),
      sweep_(loop_, gate_, sweep_options(config_->agent), sweep_events(), sweep_pace(),
             config_->path(config_->agent.state) + ".sweep"),
      discovery_(loop_, resolver_, discovery_events()),
      zones_(loop_),
      sightings_(loop_, config_->canary.remote.empty() ? milliseconds(0) : kRemoteLag),
      public_dns_(loop_, without_hosts()),
      vantage_(loop_, keys_, tls_, public_dns_, config_->canary.remote.empty() ? milliseconds(0) : kRemoteLag,
               [this] {
                 metrics_.vantage(vantage_.now().states);
                 if (workers_) workers_->know(vantage_.now());
                 targets_changed_ = true;  // the databases are asked about our addresses too
               }),
      world_{loop_,
             gate_,
             tls_,
             keys_,
             nullptr,
             message_book(),
             answered_,
             sightings_,
             wall_now,
             [this](int change) { metrics_.in_flight(change); },
             &vantage_.now(),
             [this](const ResultKey& key) { crash_guard_.survived(key); }},
      published_config_(config_) {
  for (const ConfigError& warning : config_->warnings) spdlog::warn("{}", warning.to_string());
  for (const std::string& note : ledger_.notes()) spdlog::warn("{}", note);
  metrics_.limit_series(max_series);
  start_canary();
  warn_of_no_proof();
  targets_.apply(*config_);
  zones_.seed(ledger_.take_listings());
  std::vector<KnownResult> known;
  known.reserve(ledger_.result_count());
  ledger_.each_result([&](const ResultState& result) { known.push_back({result.key, result.host}); });
  targets_.seed(known, !config_->discovery.empty());
  sweep_.apply(targets_);
  discovery_.apply(config_);
  metrics_.discovery(discovery_.view());
  if (ledger_.paused()) spdlog::warn("probing is paused since before the start; POST /-/resume goes on");
  publish_targets();
  try {
    web_ = std::make_unique<Web>(web_state(), config_->web);
  } catch (const WebError&) {
    loop_.shut_down();  // what the canary has begun unwinds while everything is still there
    loop_.post([this] { loop_.stop(); });
    loop_.run();
    throw;
  }
}

Agent::~Agent() = default;

void Agent::start_canary() {
  if (config_->canary.remote.empty()) {
    CanaryServerOptions options;
    options.config = config_->canary;
    options.agent_name = config_->agent.name;
    options.contact = config_->agent.contact;
    options.arrived = [this](const Arrival& arrival) { arrived(arrival); };
    options.self_test_interval = std::min<milliseconds>(config_->agent.interval, minutes(1));
    server_ = std::make_unique<CanaryServer>(loop_, keys_, std::move(options));
    canary_api_ = std::make_unique<CanaryApi>(keys_, *server_, server_->arrivals(), wall_now, lender_of(loop_, *server_));
    world_.canary = server_.get();
    return;
  }
  RemoteCanaryOptions options;
  options.url = config_->canary.remote;
  options.cursor = ledger_.cursor(options.url);
  options.arrived = [this, url = options.url](const std::vector<Arrival>& arrivals, std::int64_t cursor) {
    for (const Arrival& arrival : arrivals) arrived(arrival);
    ledger_.set_cursor(url, cursor);
  };
  remote_ = std::make_unique<RemoteCanary>(loop_, keys_, std::move(options));
  // `ajar check` beside us asks for the canary's state here too; the arrivals it reads from the remote itself.
  no_arrivals_ = std::make_unique<ArrivalLog>("", wall_now, config_->canary.token_retention);
  canary_api_ = std::make_unique<CanaryApi>(keys_, *remote_, *no_arrivals_);
  world_.canary = remote_.get();
}

// Checks that need a part of the canary which is not there.
void Agent::warn_of_no_proof() const {
  const std::vector<CanaryKind> kinds = served_kinds(config_->canary);
  if (std::find(kinds.begin(), kinds.end(), CanaryKind::tcp) != kinds.end()) return;
  for (const TargetConfig& target : config_->targets) {
    const auto asks = [](const std::string& name) {
      const CheckInfo* const check = find_check(name);
      return check == nullptr || check->canary != CanaryKind::smtp;
    };
    if (std::none_of(target.checks.begin(), target.checks.end(), asks)) continue;
    spdlog::warn(
        "canary.listen_tcp is empty, and target {} is asked for open proxies: nothing can be proven; "
        "give the canary ports, or write checks = [\"smtp_relay\"]",
        escape(target.name));
    return;
  }
}

TargetEvents Agent::target_events() {
  TargetEvents events;
  events.planned = [this](const Planned& plan) { planned(plan); };
  events.retired = [this](const ResultKey& key) { retired(key); };
  events.refused = [this](const std::string& target, const std::string& host, const IpAddress& address) {
    refused(target, host, address);
  };
  events.noted = [this](const std::string& target, const std::string& note) {
    targets_changed_ = true;
    if (!note.empty()) spdlog::warn("target {}: {}", escape(target), escape(note));
  };
  events.shared = [this](const std::string& target, const IpAddress& address) { sweep_.shared(targets_, target, address); };
  return events;
}

DiscoveryEvents Agent::discovery_events() {
  DiscoveryEvents events;
  events.put = [this](const TargetConfig& found) {
    targets_.put(found);
    targets_changed_ = true;
  };
  events.removed = [this](const std::string& name) {
    targets_.remove(name);
    targets_changed_ = true;
  };
  events.changed = [this] {
    targets_changed_ = true;
    metrics_.discovery(discovery_.view());
  };
  events.complete = [this] { targets_.retire_unknown(); };
  return events;
}

MessageBook Agent::message_book() {
  return {[this](const Message& message) { return at_once(ledger_.ask_to_send(message)); },
          [this](const Message& message) { ledger_.remember(message); },
          [this](const std::string& token) {
            ledger_.not_sent(token);
            ledger_changed_ = true;
          }};
}

void Agent::run() {
  for (const int signal : {SIGTERM, SIGINT}) loop_.on_signal(signal, [this] { stop(); });
  loop_.on_signal(SIGHUP, [this] { reload(); });
  for (const std::string& address : web_->addresses()) {
    spdlog::info("ajar {} {}: {}://{}/", kVersion, kRevision, web_->scheme(), address);
  }
  raise_descriptor_limit(config_->agent.concurrency);
  crash_guard_.watch_this_thread();
  if (config_->agent.threads > 1) start_workers();
  start(drive());
  start(sweep_.run());
  loop_.run();
  sweep_.save();
  std::thread remote_end([this] { remote_.reset(); });  // both wait a little for requests under way
  web_->stop();
  remote_end.join();
  ledger_.flush();
  spdlog::info("stopped: {} results are kept", ledger_.totals().results);
}

void Agent::start_workers() {
  const unsigned threads = config_->agent.threads;
  try {
    workers_ = std::make_unique<Workers>(
        world_, threads,
        Workers::Hooks{[this] { crash_guard_.watch_this_thread(); }, [this](const Arrival& arrival) { outran(arrival); }});
  } catch (const std::exception& error) {
    spdlog::error("agent.threads = {}: they cannot be started ({}): probes run on one thread; write a smaller number", threads,
                  error.what());
  }
}

void Agent::stop() {
  if (stopping_.exchange(true)) return;
  spdlog::info("stopping");
  service_manager_.stopping();
  ready_ = false;
  if (workers_) {
    workers_->shut_down([this] { stop_loop(); });
  } else {
    stop_loop();
  }
}

// Every wait ends, every conversation unwinds; what they post is still run before the loop ends.
void Agent::stop_loop() {
  loop_.shut_down();
  loop_.post([this] { loop_.stop(); });
}

Task<void> Agent::drive() {
  while (!loop_.shutting_down()) {
    housekeeping();
    pump();
    zones_.pump(ledger_.paused());
    if (loop_.now() >= next_zones_) publish_zones();
    tell_service_manager();
    const auto wakeup = scheduler_.next_wakeup(wall_now());
    auto wait = std::chrono::ceil<milliseconds>(wakeup ? *wakeup - wall_now() : kIdle);
    wait = std::clamp<milliseconds>(wait, milliseconds(20), ledger_changed_ ? kFlush : kIdle);
    co_await loop_.sleep_for(wait);
  }
}

void Agent::housekeeping() {
  targets_.refresh();
  if (loop_.now() >= next_expiry_) {
    ledger_.expire();
    ledger_changed_ = true;
    next_expiry_ = loop_.now() + seconds(1);
    watch_canary();
    watch_vantage();
    crash_guard_.expire();
    gate_.pace().expire(wall_now());
    if (workers_) workers_->expire();
  }
  watch_pace();
  if (ledger_changed_) flush();
  ledger_changed_ = ledger_.failing();
  look_at_visited();
  if (ledger_.failing() != was_failing_) {
    was_failing_ = !was_failing_;
    if (was_failing_) {
      spdlog::error("the state cannot be written: {}; probing and serving go on, and it is tried again", ledger_.failure());
    } else {
      spdlog::info("the state can be written again; nothing was lost");
    }
  }
  metrics_.sweep(sweep_.view());
  metrics_.schedule_lag(static_cast<double>(scheduler_.lag(wall_now()).count()) / 1000.0);
  if (targets_changed_ && loop_.now() >= next_publish_) publish_targets();
}

// The loop waits for the disk, so that nothing is shown which is not kept.
void Agent::flush() {
  const auto begun = loop_.now();
  ledger_.flush();
  const auto took = std::chrono::duration_cast<milliseconds>(loop_.now() - begun);
  if (took < kSlowDisk || loop_.now() < next_slow_disk_) return;
  next_slow_disk_ = loop_.now() + minutes(1);
  spdlog::warn("the state is slow to write: {} for one change, while probing waited: put agent.state on a faster disk", took);
}

void Agent::watch_pace() {
  for (const std::string& note : gate_.pace().take_notes()) spdlog::warn("pace: {}", note);
  for (const std::string& shortage : gate_.take_shortages()) spdlog::warn("{}", shortage);
  for (const PutOff& result : scheduler_.take_put_off()) {
    ledger_.set_due(result.key, result.due);
    ledger_changed_ = true;
  }
  const ConnectGate::Waits& waits = gate_.waits();
  metrics_.pace({gate_.pace().slowed_networks(), gate_.pace().exhausted_addresses(), waits.address, waits.network, waits.global,
                 waits.system});
}

void Agent::publish_targets() {
  targets_changed_ = false;
  next_publish_ = loop_.now() + seconds(1);
  std::vector<TargetView> views;
  bool resolving = false;
  const std::shared_ptr<const DiscoveryView> found = discovery_.view();
  for (const TargetStatus& status : targets_.status()) {
    TargetView& view = views.emplace_back();
    view.config = *status.config;
    view.addresses = status.addresses;
    view.note = status.note;
    if (const auto by = found->found_by.find(status.name); by != found->found_by.end()) view.found_by = by->second;
    resolving = resolving || status.resolving;
  }
  TargetTotals totals = targets_.totals();
  metrics_.endpoints(totals.endpoints, std::move(totals.by_check));
  zones_.apply(config_->dnsbl, views, vantage_.subjects(config_->dnsbl.lookup_private));
  auto published = std::make_shared<const TargetViews>(std::move(views));
  const std::lock_guard lock(published_mutex_);
  published_targets_ = std::move(published);
  published_discovery_ = found;
  published_config_ = config_;
  if (resolving) {
    targets_changed_ = true;  // the first answers are still to come
  } else {
    ready_ = !stopping_;
  }
}

// What readers see of databases. A view of many addresses is large, so it is made at most once a second, and takes a twentieth
// of the time at most.
void Agent::publish_zones() {
  const Steady::time_point begun = Steady::now();
  next_zones_ = begun + seconds(1);
  if (zones_.book().version() == zones_version_) return;
  zones_version_ = zones_.book().version();
  for (const ListingKey& key : zones_.take_changes()) {
    if (const Listing* listing = zones_.book().find(key.first, key.second)) {
      ledger_.keep(*listing);
    } else {
      ledger_.forget(key);
    }
    ledger_changed_ = true;
  }
  vantage_.take(own_listings(zones_.book(), config_->dnsbl, vantage_.addresses()));
  auto view = std::make_shared<const ZonesView>(zones_.view());
  const Steady::time_point made = Steady::now();
  next_zones_ = std::max(next_zones_, made + 20 * (made - begun));
  const std::lock_guard lock(published_mutex_);
  published_zones_ = std::move(view);
}

// The watchdog is fed here and nowhere else, and only while every loop comes round: web threads outlive one that hangs.
void Agent::tell_service_manager() {
  if (!service_manager_.listens()) return;
  if (loop_.now() >= next_status_) {
    next_status_ = loop_.now() + kStatusInterval;
    const LedgerTotals totals = ledger_.totals();
    service_manager_.status(fmt::format("targets: {}, results: {}, open cases: {}{}", targets_.size(), totals.results,
                                        totals.open_cases, ledger_.paused() ? "; probing is paused" : ""));
  }
  if (ready_) service_manager_.ready();
  const std::uint32_t late = workers_ ? workers_->late() : 0;
  crash_guard_.hangs(late);
  if (late == 0) service_manager_.alive(loop_.now());
}

void Agent::watch_canary() {
  for (const CanaryKind kind : served_kinds(config_->canary)) {
    const CanaryHealth health = world_.canary->health(kind);
    if (health.measured) metrics_.canary_up(kind, health.up);
  }
}

// Whether the canary has been measured, or has had its time: what is probed before could not be judged rightly.
bool Agent::canary_is_known() {
  if (canary_known_) return true;
  const std::vector<CanaryKind> kinds = served_kinds(config_->canary);
  canary_known_ = loop_.now() >= begin_ + kCanaryPatience || std::all_of(kinds.begin(), kinds.end(), [this](CanaryKind kind) {
                    return world_.canary->health(kind).measured;
                  });
  return canary_known_;
}

// Once the canary had its time to say where it is.
void Agent::watch_vantage() {
  if (checking_vantage_ || !canary_is_known()) return;
  const bool changed = sides_down(*config_, *world_.canary) != not_looked_at_;
  if (changed || loop_.now() >= next_vantage_) start(check_vantage());
}

Task<void> Agent::check_vantage() {
  checking_vantage_ = true;
  not_looked_at_ = sides_down(*config_, *world_.canary);
  VantageRound round = vantage_round(*config_, *world_.canary);
  for (const bool v4 : {true, false}) {
    if (const auto address = targets_.any_address(v4)) round.towards.push_back(*address);
  }
  co_await vantage_.measure(std::move(round));
  checking_vantage_ = false;
  next_vantage_ = loop_.now() + vantage_interval(config_->agent);
  pump();
}

// What is probed before could not be doubted rightly.
bool Agent::vantage_is_known() const { return vantage_.measured() || loop_.now() >= begin_ + kVantagePatience; }

void Agent::pump() {
  if (pumping_ || !canary_is_known() || !vantage_is_known()) return;  // a probe that ends at once comes back here
  pumping_ = true;
  while (!alone_ && !ledger_.paused() && !stopping_) {
    std::optional<Visit> visit = std::exchange(waiting_, std::nullopt);
    if (!visit) visit = scheduler_.next(wall_now());
    if (!visit) break;
    const bool alone = crash_guard_.has_suspects() && wants_to_be_alone(*visit);
    if (alone && scheduler_.in_flight() > 1) {  // itself
      waiting_ = std::move(visit);
      break;
    }
    alone_ = alone;
    start(this->visit(std::move(*visit)));
  }
  pumping_ = false;
}

// What the agent crashed on is asked while nothing else is: a second crash is then its own doing.
bool Agent::wants_to_be_alone(const Visit& visit) const {
  return crash_guard_.is_suspect(visit.key) ||
         std::any_of(visit.others.begin(), visit.others.end(),
                     [this](const ResultKey& key) { return crash_guard_.is_suspect(key); });
}

Task<void> Agent::visit(Visit visit) {
  std::vector<ResultKey> keys = visit.others;
  keys.push_back(visit.key);  // last: what ends the visit for the scheduler
  std::vector<ProbePlan> plans;
  for (const ResultKey& key : keys) {
    std::optional<ProbePlan> plan = plan_for(key);
    if (plan) plans.push_back(std::move(*plan));
  }
  std::map<ResultKey, Wanted> wanted;
  const std::function<void(const Record&)> done = [&](const Record& record) {
    // It may have left the configuration meanwhile.
    if (targets_.endpoint(record.key)) wanted[record.key] = settle(record);
  };
  bool whole = false;
  if (workers_) {
    whole = co_await workers_->visit(std::move(plans), done);
  } else {
    whole = co_await run_visit(world_, std::move(plans), done);
  }
  if (!whole || loop_.shutting_down()) co_return;
  alone_ = false;  // where it was alone, nothing else has begun
  for (const ResultKey& key : keys) finish(key, wanted[key]);
  visited(keys.back());
  pump();
}

const Answered& Agent::answered(const IpAddress& address) const { return workers_ ? workers_->answered(address) : answered_; }

std::optional<ProbePlan> Agent::plan_for(const ResultKey& key) const {
  const std::optional<Endpoint> endpoint = targets_.endpoint(key);
  const CheckInfo* const check = find_check(key.check);
  if (!endpoint || check == nullptr) return std::nullopt;
  ProbePlan plan;
  plan.config = config_;
  plan.target = std::make_shared<const TargetConfig>(*targets_.find(key.target));
  plan.check = check;
  plan.key = key;
  plan.host = endpoint->host;
  plan.skipped = crash_guard_.why_skipped(key);
  plan.tls = endpoint->port.tls;
  const std::optional<ResultState> state = ledger_.result(key);
  plan.full_matrix = !state || !state->last_full_matrix ||
                     wall_now() - *state->last_full_matrix >= config_->agent.full_matrix_interval ||
                     is_suspected(key, *state->last_full_matrix);
  if (state) {
    plan.must_ask = state->must_ask;
    plan.retries = state->retries;
  }
  return plan;
}

// Whether somebody reported it since then.
bool Agent::is_suspected(const ResultKey& key, Time since) const {
  const std::vector<Suspicion> all = ledger_.suspicions_of(key.address);
  return std::any_of(all.begin(), all.end(),
                     [&](const Suspicion& one) { return one.reported > since && answers(key, one.key); });
}

// Judges a probe that has ended. What it wants is for the end of its visit.
Agent::Wanted Agent::settle(const Record& record) {
  const Finding& finding = record.finding;
  const Change change = ledger_.apply(
      record,
      answered(record.key.address).connected_on_another_port(record.key.address, record.key.port, record.key.transport));
  ledger_changed_ = true;
  metrics_.probe_done(record.key.check, finding.verdict, finding.reason, static_cast<double>(record.duration.count()) / 1000.0,
                      record.probe_id);
  spdlog::debug("probe {} {}: {} ({}): {}", record.probe_id, place_of(record.key), to_string(finding.verdict),
                to_string(finding.reason), escape(finding.because));
  say(change);
  return {change.confirm, change.retry};
}

void Agent::finish(const ResultKey& key, Wanted wanted) {
  std::optional<Time> due = scheduler_.finished(key, wall_now(), wanted.confirm);
  if (due && wanted.retry) {
    const Time again = wall_now() + config_->agent.retry_interval;
    if (again < *due && scheduler_.reschedule(key, again, wanted.confirm)) due = again;
  }
  if (due) ledger_.set_due(key, *due);
}

void Agent::arrived(const Arrival& arrival) {
  if (vantage_.note(arrival)) return;
  const bool awaited = workers_ ? workers_->note(arrival) : sightings_.note(arrival);
  auto [result, change] = ledger_.apply(arrival);
  ledger_changed_ = true;
  if (result == ArrivalResult::unknown_token) result = without_ledger(awaited, keys_.check(arrival.token, arrival.time));
  if (result != ArrivalResult::noted) metrics_.arrival(arrival.kind, result);
  spdlog::debug("canary: {} arrival from {}: {}", to_string(arrival.kind), arrival.peer.to_string(), to_string(result));
  say(change);
}

// Of a token that is remembered only now; it was counted when it came.
void Agent::outran(const Arrival& arrival) {
  const Change change = ledger_.apply(arrival).second;
  ledger_changed_ = true;
  say(change);
}

void Agent::say(const Change& change) const {
  if (!change.exposure) return;
  const Case& exposure = *change.exposure;
  const std::string what = fmt::format("{} {} ({}), exposure {}", place_of(exposure.key), to_string(exposure.level),
                                       to_string(exposure.reason), exposure.id);
  if (change.opened) spdlog::warn("exposure opened: {}", what);
  if (change.reopened) spdlog::warn("exposure reopened: {}", what);
  if (change.raised) spdlog::warn("exposure raised: {}", what);
  if (change.closed) spdlog::warn("exposure closed ({}): {}", exposure.how, what);
}

void Agent::planned(const Planned& plan) {
  targets_changed_ = true;
  History history;
  if (const std::optional<ResultState> state = ledger_.result(plan.key); state) {
    history.last_probe = state->last_probe;
    if (state->due.time_since_epoch().count() > 0) history.due = state->due;
  }
  scheduler_.add(plan.key, plan.interval, plan.paused, history, wall_now());
  crash_guard_.planned(plan.key);
  if (crash_guard_.is_suspect(plan.key)) scheduler_.reschedule(plan.key, wall_now());  // the sooner it is cleared, the better
}

void Agent::retired(const ResultKey& key) {
  targets_changed_ = true;
  scheduler_.remove(key);
  crash_guard_.retired(key);
  say(ledger_.retire(key));
  ledger_changed_ = true;
}

void Agent::refused(const std::string& target, const std::string& host, const IpAddress& address) {
  targets_changed_ = true;
  spdlog::warn("target {}: {}{} is outside the scope and is not probed", escape(target),
               host.empty() ? "" : escape(host) + " points to ", address.to_string());
  const TargetConfig* const of = targets_.find(target);
  if (of == nullptr) return;
  for (const std::string& check : of->checks) metrics_.scope_refused(check);
}

std::optional<std::string> Agent::reload() {
  service_manager_.reloading();
  std::optional<std::string> trouble = take_over_configuration();
  service_manager_.reloaded();
  return trouble;
}

std::optional<std::string> Agent::take_over_configuration() {
  const auto loaded = load_config(config_->file);
  std::string trouble;
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&loaded)) {
    for (const ConfigError& error : *errors) trouble += error.to_string() + "\n";
  } else if (const auto fixed = needs_restart(*config_, std::get<Config>(loaded))) {
    trouble = *fixed + "\n";
  }
  LoadedWebSettings web = load_web_settings(config_->web.config_file.empty() ? "" : config_->path(config_->web.config_file));
  for (const ConfigError& error : web.errors) trouble += error.to_string() + "\n";
  metrics_.reload(trouble.empty());
  if (!trouble.empty()) {
    spdlog::error("the configuration was not taken over, the old one stays in force:\n{}", trouble);
    return trouble;
  }
  config_ = std::make_shared<const Config>(std::get<Config>(loaded));
  set_up_log(config_->log);
  web_->take_over(std::move(web));
  for (const ConfigError& warning : config_->warnings) spdlog::warn("{}", warning.to_string());
  gate_.set_rate(config_->agent.connections_per_second);
  scheduler_.set_limits(limits_of(config_->agent));
  if (pace_limits(config_->agent) != gate_.pace().limits()) {
    gate_.set_pace(pace_limits(config_->agent));
    if (workers_) workers_->set_pace(pace_limits(config_->agent));
    scheduler_.pace_changed(wall_now());
  }
  ledger_.set_options(ledger_options(*config_));
  crash_guard_.set_period(config_->agent.quarantine);
  targets_.apply(*config_);
  sweep_.set_options(sweep_options(config_->agent));
  sweep_.apply(targets_);
  discovery_.apply(config_);
  metrics_.discovery(discovery_.view());
  next_vantage_ = loop_.now();
  publish_targets();
  spdlog::info("the configuration was taken over: {} targets", config_->targets.size());
  pump();
  return std::nullopt;
}

void Agent::set_paused(bool paused) {
  if (ledger_.paused() == paused) return;
  ledger_.set_paused(paused);
  ledger_.flush();
  spdlog::warn(paused ? "probing is paused" : "probing goes on");
  if (!paused) scheduler_.spread_overdue(wall_now());
  pump();
}

ProbeNow Agent::probe_now(const std::string& target, const std::optional<std::string>& check) {
  if (targets_.find(target) == nullptr) return ProbeNow::unknown;
  const Time now = wall_now();
  auto& last = asked_[target];
  if (now - last < kProbeNowInterval) return ProbeNow::limited;
  std::size_t put_off = 0;
  const bool asked = scheduler_.due_now(target, check.value_or(""), now, &put_off) > 0;
  if (!sweep_.ask_now(target) && !asked) return put_off > 0 ? ProbeNow::used_up : ProbeNow::limited;
  last = now;
  crash_guard_.asked_for(target, check.value_or(""));
  pump();
  return ProbeNow::accepted;
}

// What is not begun in time is not done later either: the caller was told so.
template <class Work>
auto Agent::on_loop(Work work) -> std::optional<decltype(work())> {
  using Answer = decltype(work());
  struct Shared {
    std::promise<Answer> promise;
    std::atomic<bool> taken{false};  // by the loop, or given up by the caller
  };
  const auto shared = std::make_shared<Shared>();
  std::future<Answer> answer = shared->promise.get_future();
  loop_.post([shared, work = std::move(work)] {
    if (!shared->taken.exchange(true)) shared->promise.set_value(work());
  });
  const auto until = Steady::now() + kLoopAnswer;
  while (answer.wait_for(milliseconds(20)) != std::future_status::ready) {
    const bool late = stopping_ || Steady::now() >= until;
    if (late && !shared->taken.exchange(true)) return std::nullopt;
    if (stopping_) return std::nullopt;
  }
  return answer.get();
}

WebState Agent::web_state() {
  return WebState{
      ledger_,
      metrics_,
      [this] {
        const std::lock_guard lock(published_mutex_);
        return published_config_;
      },
      [this] {
        const std::lock_guard lock(published_mutex_);
        return published_targets_;
      },
      [this] { return ready_.load(); },
      [this]() -> std::optional<std::string> {
        const auto answer = on_loop([this] { return reload(); });
        return answer ? *answer : "the agent is busy: ask again\n";
      },
      [this](bool paused) {
        on_loop([this, paused] {
          set_paused(paused);
          return true;
        });
      },
      [this](const std::string& target, const std::optional<std::string>& check) {
        return on_loop([this, target, check] { return probe_now(target, check); }).value_or(ProbeNow::limited);
      },
      [this](const ApiRequest& request) { return internal_api(request); },
      wall_now,
      [this] {
        const std::lock_guard lock(published_mutex_);
        return published_zones_;
      },
      [this] {
        const std::lock_guard lock(published_mutex_);
        return published_discovery_;
      },
  };
}

ApiReply Agent::internal_api(const ApiRequest& request) {
  if (request.method == "GET" && request.path == "/api/v1/results") return doubts(request);
  if (request.method == "GET" && request.path.starts_with("/notices/")) return answer_notice(request, keys_, web_state());
  if (request.method == "GET" || request.path == kApiReserve || request.path == kApiRelease) {
    const ApiAnswer answer = canary_api_->answer(request.method, request.target, request.auth, request.body);
    return {answer.status, answer.body, "application/json", answer.auth};
  }
  if (!authorised(keys_, request.method, request.target, request.auth, request.body, wall_now())) {
    return {401, R"({"error":"not authorised"})"};
  }
  try {
    std::optional<std::string> body;
    if (request.path == "/api/v1/messages") {
      body = on_loop([this, message = parse_message(request.body)] { return take_in(message); });
    } else if (request.path == "/api/v1/suspicions") {
      body = on_loop([this, suspicions = parse_suspicions(request.body)] { return take_in(suspicions); });
    } else {
      body = on_loop([this, record = parse_record(request.body)] { return take_in(record); });
    }
    if (!body) return {503, R"({"error":"busy"})"};
    return {200, *body, "application/json", authorise_answer(keys_, request.auth, 200, *body)};
  } catch (const std::runtime_error& error) {
    return {400, nlohmann::json{{"error", error.what()}}.dump()};
  }
}

// What `ajar check` must ask besides its own questions: what said yes before, and what was put off. And whether it may ask at
// all: the budget of an address is one, whoever uses it.
ApiReply Agent::doubts(const ApiRequest& request) {
  if (!authorised(keys_, request.method, request.target, request.auth, request.body, wall_now())) {
    return {401, R"({"error":"not authorised"})"};
  }
  nlohmann::json body = {{"must_ask", nlohmann::json::array()}, {"retries", nlohmann::json::array()}};
  for (const ResultState& state : ledger_.results()) {
    const ResultKey& key = state.key;
    if (request.query != fmt::format("doubts={}/{}/{}/{}/{}", key.address.to_string(), key.port, to_string(key.transport),
                                     key.check, key.target)) {
      continue;
    }
    body["must_ask"] = state.must_ask;
    for (const Retry& retry : state.retries) body["retries"].push_back({retry.variant, retry.token, retry.sender_token});
  }
  constexpr std::string_view kQuestion = "doubts=";
  const std::string place = request.query.substr(std::min(request.query.size(), kQuestion.size()));
  if (const auto address = IpAddress::parse(place.substr(0, place.find('/')))) {
    const auto held = on_loop([this, of = *address] { return gate_.pace().held(of, wall_now()); });
    if (!held) return {503, R"({"error":"busy"})"};
    if (*held && (*held)->scope == PaceScope::day) body["used_up_until"] = to_rfc3339((*held)->until);
  }
  const std::string text = body.dump();
  return {200, text, "application/json", authorise_answer(keys_, request.auth, 200, text)};
}

// What `ajar check` asks before it sends a message, and says when that was not taken.
std::string Agent::take_in(const Message& message) {
  if (message.expired) {
    ledger_.not_sent(message.token);
    return R"({"permit":null})";
  }
  const Permit permit = world_.canary->health(CanaryKind::smtp).up ? ledger_.ask_to_send(message) : Permit::canary_down;
  return fmt::format(R"({{"permit":{}}})", static_cast<int>(permit));
}

// What `ajar import` read. What answers it is asked as soon as the schedule's limits allow; what is asked soon anyway keeps its
// place, because a confirmation must not come too early.
std::string Agent::take_in(const std::vector<Suspicion>& suspicions) {
  const Time now = wall_now();
  ImportEvents events;
  events.test = [&](const ResultKey& key) {
    if (!targets_.endpoint(key)) listens(key.target, {key.address, key.port, key.transport});  // or so they say
    const std::optional<Time> due = scheduler_.due(key);
    if (!due || *due <= now + config_->agent.retry_interval || !scheduler_.reschedule(key, now)) return;
    ledger_.set_due(key, now);
  };
  events.look_up = [&](const IpAddress& address) { zones_.ask_now(address); };
  const ImportCounts counts = ajar::take_in(suspicions, targets_, ledger_, now, events);
  ledger_.flush();
  if (counts.added + counts.newer > 0)
    spdlog::info("import: {} suspicions, {} of them new", counts.added + counts.newer, counts.added);
  pump();
  return serialise(counts);
}

// A probe that `ajar check` ran: judged like our own, its place in the schedule kept.
std::string Agent::take_in(const Record& record) {
  const std::optional<ResultState> known = ledger_.result(record.key);
  if (take_in_swept(record)) return R"({"stored":true})";
  if (!targets_.endpoint(record.key) || (known && known->last_probe > record.started)) return R"({"stored":false})";
  const Change change = ledger_.apply(
      record,
      answered(record.key.address).connected_on_another_port(record.key.address, record.key.port, record.key.transport));
  ledger_changed_ = true;
  say(change);
  for (const std::string& line : record.transcript) {  // they count in the budget of the address, whoever made them
    if (line.starts_with(kConnecting)) gate_.pace().started(record.key.address, wall_now());
  }
  if (change.confirm || change.retry) {
    scheduler_.reschedule(record.key, wall_now() + config_->agent.retry_interval, change.confirm);
  }
  return R"({"stored":true})";
}

}  // namespace ajar
