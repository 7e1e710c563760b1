#include "agent/check_command.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/agent_client.h"
#include "agent/canary_remote.h"
#include "agent/canary_server.h"
#include "agent/check_output.h"
#include "agent/discovery.h"
#include "agent/judge.h"
#include "agent/ledger_options.h"
#include "agent/log.h"
#include "agent/resolver.h"
#include "agent/runner.h"
#include "agent/scheduler.h"
#include "agent/targets.h"
#include "agent/vantage_check.h"
#include "agent/zones.h"
#include "config/config.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kDatabases{30'000};    // how long databases are waited for
constexpr milliseconds kLateArrivals{8'000};  // how far the log of a canary elsewhere may be behind

// A mistake in the command line or the configuration: exit code 3.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

Config load(const std::string& file) {
  auto loaded = load_config(file);
  if (auto* config = std::get_if<Config>(&loaded)) return std::move(*config);
  std::string text;
  for (const ConfigError& error : std::get<std::vector<ConfigError>>(loaded)) text += error.to_string() + "\n";
  throw UsageError(text.substr(0, text.size() - 1));
}

Config config_of_scope(const CheckOptions& options) {
  Config config;
  for (const std::string& text : options.scope) {
    const auto network = Cidr::parse(text);
    if (!network)
      throw UsageError(
          fmt::format("--scope {}: not a network: write it as 203.0.113.0/24 or 2001:db8::/48, host bits zero", text));
    if (network->length() < (network->first().is_v4() ? 8U : 29U)) {
      throw UsageError(fmt::format("--scope {}: too wide: at most a /8 (IPv4) or /29 (IPv6)", text));
    }
    config.scope.push_back(*network);
  }
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  config.agent.name = host.data();
  // The databases that are asked where a configuration does not say.
  const auto usual = parse_config("scope = [\"192.0.2.0/24\"]\n", "");
  if (const auto* written = std::get_if<Config>(&usual)) config.dnsbl = written->dnsbl;
  return config;
}

std::vector<std::string> default_checks() {
  std::vector<std::string> names;
  for (const CheckInfo& check : catalogue()) {
    if (check.on_by_default) names.emplace_back(check.name);
  }
  return names;
}

// A host, address or network that the configuration does not declare.
TargetConfig ad_hoc_target(const std::string& text, const Config& config) {
  TargetConfig target;
  target.name = text;
  target.checks = default_checks();
  std::optional<Cidr> network;
  if (const auto address = IpAddress::parse(text)) {
    target.place.address = address;
    network = Cidr(*address, 128);
  } else if (text.find('/') != std::string::npos) {
    network = target.place.network = Cidr::parse(text);
    if (!network) throw UsageError(fmt::format("{}: not a network: write it as 203.0.113.0/24, host bits zero", escape(text)));
  } else {
    const bool plain = !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
    });
    if (!plain)
      throw UsageError(fmt::format("{}: neither a target of the configuration, nor a host name or address", escape(text)));
    target.place.host = text;
  }
  if (network &&
      std::none_of(config.scope.begin(), config.scope.end(), [&](const Cidr& cidr) { return cidr.contains(*network); })) {
    throw UsageError(fmt::format(
        "{} is outside the scope: ajar asks only servers that are yours; add its network to `scope` if it is", escape(text)));
  }
  return target;
}

bool is_at(const TargetConfig& target, const std::string& text) {
  return target.name == text || target.place.host == text ||
         (target.place.address && target.place.address->to_string() == text);
}

// The configuration with only what was asked for.
std::shared_ptr<const Config> narrowed(Config config, const CheckOptions& options) {
  for (const std::string& check : options.checks) {
    if (find_check(check) != nullptr || check == "dnsbl") continue;
    std::vector<std::string> names = {"dnsbl"};
    for (const CheckInfo& known : catalogue()) names.emplace_back(known.name);
    const auto near = did_you_mean(check, names);
    throw UsageError(fmt::format("--check {}: no such check{}", escape(check), near ? ": did you mean " + *near + "?" : ""));
  }
  if (!options.targets.empty()) {
    std::vector<TargetConfig> chosen;
    for (const std::string& text : options.targets) {
      const auto declared =
          std::find_if(config.targets.begin(), config.targets.end(), [&](const auto& t) { return is_at(t, text); });
      const TargetConfig target = declared != config.targets.end() ? *declared : ad_hoc_target(text, config);
      if (std::none_of(chosen.begin(), chosen.end(), [&](const auto& t) { return t.name == target.name; }))
        chosen.push_back(target);
    }
    config.targets = std::move(chosen);
  }
  for (TargetConfig& target : config.targets) {
    target.paused = false;
    if (options.checks.empty()) continue;
    target.checks = options.checks;
    target.dnsbl = std::erase(target.checks, "dnsbl") > 0;
  }
  if (config.targets.empty()) throw UsageError("nothing to check: name a TARGET, or declare [[target]] in the configuration");
  return std::make_shared<const Config>(std::move(config));
}

// One run of the command: everything of an agent but the schedule, the pages and the patience.
class Check {
 public:
  Check(std::shared_ptr<const Config> config, const CheckOptions& options, CanaryKeys keys)
      : config_(std::move(config)),
        options_(options),
        keys_(keys),
        resolver_(loop_, ResolverOptions{}),
        gate_(loop_, config_->agent.connections_per_second, pace_limits(config_->agent)),
        scheduler_({config_->agent.concurrency, config_->agent.connections_per_second, config_->agent.per_address,
                    config_->agent.retry_interval},
                   [this](const IpAddress& address, Time now) { return gate_.pace().held(address, now); }),
        targets_(resolver_, wall_now, events()),
        zones_(loop_),
        sightings_(loop_, milliseconds(0)),
        public_dns_(loop_, without_hosts()),
        vantage_(loop_, keys_, tls_, public_dns_, milliseconds(0)),
        world_{loop_, gate_, tls_, keys_, nullptr, book(), answered_, sightings_, wall_now} {}

  // Results, sorted. UsageError, CanaryError.
  std::vector<Record> run(std::unique_ptr<Ledger> ledger, std::unique_ptr<AgentClient> agent) {
    ledger_ = std::move(ledger);
    agent_ = std::move(agent);
    for (const int signal : {SIGTERM, SIGINT}) {
      loop_.on_signal(signal, [this] {
        interrupted_ = true;
        loop_.shut_down();
        loop_.post([this] { loop_.stop(); });
      });
    }
    start(work());
    loop_.run();
    loop_.shut_down();
    loop_.post([this] { loop_.stop(); });  // what the shut-down posted is still run
    loop_.run();
    if (failure_) std::rethrow_exception(failure_);
    std::sort(records_.begin(), records_.end(), [](const Record& a, const Record& b) { return a.key < b.key; });
    return std::move(records_);
  }
  // What databases said.
  ZonesView databases() const { return zones_.view(); }
  // Whether every target was asked: no signal came in between, every name led somewhere.
  bool whole() const { return !interrupted_ && !unasked_; }

 private:
  struct Sent {
    Message message;
    bool mail = true;  // else a tunnel that may still bring it: looked at, but not waited for
    bool arrived = false;
  };

  TargetEvents events() {
    TargetEvents events;
    events.planned = [this](const Planned& plan) { scheduler_.add(plan.key, plan.interval, false, History{}, wall_now()); };
    events.retired = [this](const ResultKey& key) { scheduler_.remove(key); };
    events.refused = [](const std::string& target, const std::string& host, const IpAddress& address) {
      spdlog::warn("{}: {}{} is outside the scope and is not asked", escape(target),
                   host.empty() ? "" : escape(host) + " points to ", address.to_string());
    };
    events.noted = [](const std::string& target, const std::string& note) {
      if (!note.empty()) spdlog::warn("{}: {}", escape(target), escape(note));
    };
    return events;
  }

  MessageBook book() {
    MessageBook book;
    book.ask_to_send = [this](const Message& message) {
      Permit permit = Permit::granted;
      if (ledger_) permit = ledger_->ask_to_send(message);
      if (agent_) permit = agent_->ask_to_send(message);
      if (permit == Permit::granted) sent_[message.token] = {message, true, false};
      return at_once(permit);
    };
    book.remember = [this](const Message& message) {
      sent_[message.token] = {message, false, false};
      if (ledger_) ledger_->remember(message);
    };
    book.not_sent = [this](const std::string& token) {
      const auto sent = sent_.find(token);
      if (sent == sent_.end()) return;
      if (ledger_) ledger_->not_sent(token);
      if (agent_) agent_->not_sent(sent->second.message);
      sent_.erase(sent);
    };
    return book;
  }

  Task<void> work() {
    try {
      co_await resolve();
      open_canary();
      co_await first_self_test();
      co_await check_vantage();
      co_await probe_all();
      co_await wait_for_mail();
      co_await wait_for_databases();
      vantage_.take(own_listings(zones_.book(), config_->dnsbl, vantage_.addresses()));
      keep_listings();
      if (agent_) hand_over();
      if (ledger_) ledger_->flush();
    } catch (...) {
      failure_ = std::current_exception();
    }
    loop_.stop();
  }

  // To the agent that has the ledger: what it does not take is not in its pages, alerts and notices.
  void hand_over() {
    std::map<std::string, std::vector<const Record*>> refused;  // by why
    for (const Record& record : records_) {
      if (!agent_->store(record)) refused[agent_->trouble()].push_back(&record);
    }
    for (const auto& [why, records] : refused) {
      const ResultKey& first = records.front()->key;
      spdlog::warn("the agent did not take {} of {} results ({} {} {}{}): {}", records.size(), records_.size(),
                   escape(first.target), join_host_port(first.address, first.port), first.check,
                   records.size() > 1 ? ", …" : "", escape(why));
    }
  }

  Task<void> resolve() {
    targets_.apply(*config_);
    for (;;) {
      targets_.refresh();
      const auto status = targets_.status();
      if (std::none_of(status.begin(), status.end(), [](const TargetStatus& s) { return s.resolving; })) break;
      const bool go_on = co_await loop_.sleep_for(milliseconds(20));
      if (!go_on) break;
    }
    planned_ = scheduler_.size();  // what was planned and given up again, for a target that owns it rather, is not asked
    for (const TargetStatus& status : targets_.status()) {
      const TargetConfig* const target = config_->find_target(status.name);
      if (target != nullptr) views_.push_back({*target, status.addresses, status.note});
    }
    zones_.apply(config_->dnsbl, views_);
    for (const TargetStatus& status : targets_.status()) {
      const TargetConfig* const target = config_->find_target(status.name);
      if (target != nullptr && target->checks.empty() && !status.addresses.empty()) continue;  // only databases are asked
      if (status.endpoints == 0 && !status.refused.empty()) {
        throw UsageError(fmt::format("{} is outside the scope: ajar asks only servers that are yours", escape(status.name)));
      }
      if (status.endpoints == 0) {
        unasked_ = true;
        spdlog::warn("{}: nothing could be asked{}", escape(status.name),
                     status.note.empty() ? "" : ": " + escape(status.note));
      }
    }
  }

  void open_canary() {
    if (!config_->canary.remote.empty()) {
      RemoteCanaryOptions options;
      options.url = config_->canary.remote;
      if (ledger_) options.cursor = ledger_->cursor(options.url);
      options.arrived = [this, url = options.url](const std::vector<Arrival>& arrivals, std::int64_t cursor) {
        for (const Arrival& arrival : arrivals) arrived(arrival);
        if (ledger_) ledger_->set_cursor(url, cursor);
      };
      remote_ = std::make_unique<RemoteCanary>(loop_, keys_, std::move(options));
      vantage_.set_patience(kLateArrivals);
      world_.canary = remote_.get();
      sightings_.set_patience(kLateArrivals);
      return;
    }
    if (agent_) {
      world_.canary = agent_.get();
      sightings_.set_patience(kLateArrivals);
      return;
    }
    CanaryServerOptions options;
    options.config = config_->canary;
    options.agent_name = config_->agent.name;
    options.contact = config_->agent.contact;
    options.arrived = [this](const Arrival& arrival) { arrived(arrival); };
    if (config_->file.empty()) {
      std::optional<IpAddress> first;
      targets_.each([&](const Planned& plan) {
        first = plan.key.address;
        return false;
      });
      if (first) options.config.listen_tcp = {{local_address_towards(*first), 0}};
    }
    server_ = std::make_unique<CanaryServer>(loop_, keys_, std::move(options));
    world_.canary = server_.get();
  }

  // What of our canary the checks need that are asked.
  std::set<CanaryKind> needed() const {
    std::set<CanaryKind> kinds;
    targets_.each([&](const Planned& plan) {
      const CheckInfo* const check = find_check(plan.key.check);
      if (check != nullptr && check->canary) kinds.insert(*check->canary);
      return true;
    });
    return kinds;
  }

  // Nothing is asked before the canary is known to hear the answer.
  Task<void> first_self_test() {
    const std::set<CanaryKind> kinds = needed();
    for (const CanaryKind kind : kinds) {
      // What the configuration does not have, the checks miss themselves.
      const bool there = kind == CanaryKind::smtp ? !config_->canary.mail_domain.empty()
                                                  : kind == CanaryKind::tcp || !world_.canary->advertised(kind).empty();
      if (there) co_await wait_for_canary(kind);
    }
  }

  // What is wrong is said in the log. Where the agent's canary is used, the agent watches the way to it.
  Task<void> check_vantage() {
    if ((!server_ && !remote_) || needed().empty()) co_return;
    VantageRound round = vantage_round(*config_, *world_.canary);
    co_await vantage_.measure(std::move(round));
    world_.vantage = &vantage_.now();
    const bool databases =
        std::any_of(config_->targets.begin(), config_->targets.end(), [](const TargetConfig& target) { return target.dnsbl; });
    if (databases) zones_.apply(config_->dnsbl, views_, vantage_.subjects(config_->dnsbl.lookup_private));
  }

  Task<void> wait_for_canary(CanaryKind kind) {
    const auto until = loop_.now() + std::chrono::seconds(15);
    while (!world_.canary->health(kind).measured && loop_.now() < until && !world_.canary->advertised(kind).empty()) {
      const bool go_on = co_await loop_.sleep_for(milliseconds(20));
      if (!go_on) co_return;
      if (agent_) agent_->refresh();
    }
    const CanaryHealth health = world_.canary->health(kind);
    if (!health.up) {
      spdlog::warn("the canary ({}) does not answer through its advertised addresses ({}): nothing can be proven through it",
                   to_string(kind), health.measured ? escape(health.trouble) : "no answer yet");
    }
  }

  Task<void> probe_all() {
    while (ended_ < planned_ && !loop_.shutting_down()) {
      while (const auto visit = scheduler_.next(wall_now())) start(this->visit(*visit));
      for (const PutOff& result : scheduler_.take_put_off()) {
        leave_out(result.key, to_rfc3339(result.due));
        scheduler_.remove(result.key);
        ++ended_;
      }
      hear_agent();
      zones_.pump();
      show_progress("asked", done_, planned_);
      co_await loop_.sleep_for(milliseconds(20));
    }
    clear_progress();
  }

  // nullopt: the budget of its address is used up.
  std::optional<ProbePlan> plan_for(const ResultKey& key) {
    ProbePlan plan;
    const auto endpoint = targets_.endpoint(key);
    plan.config = config_;
    plan.check = find_check(key.check);
    plan.key = key;
    plan.host = endpoint ? endpoint->host : "";
    plan.tls = endpoint && endpoint->port.tls;
    plan.full_matrix = !options_.quick;
    if (ledger_) {
      if (const auto state = ledger_->result(key)) {
        plan.must_ask = state->must_ask;
        plan.retries = state->retries;
      }
    } else if (agent_) {
      AgentClient::Doubts doubts = agent_->doubts(key);
      if (!doubts.used_up_until.empty()) {
        leave_out(key, doubts.used_up_until);
        return std::nullopt;
      }
      plan.must_ask = std::move(doubts.must_ask);
      plan.retries = std::move(doubts.retries);
    }
    return plan;
  }

  void leave_out(const ResultKey& key, const std::string& until) {
    unasked_ = true;
    if (!used_up_.insert(key.address).second) return;
    spdlog::warn(
        "{}: its budget of a day is used up (agent.daily_connections_per_address, agent.daily_bytes_per_address): it is "
        "not asked before {}",
        key.address.to_string(), escape(until));
  }

  Task<void> visit(Visit visit) {
    std::vector<ResultKey> keys = visit.others;
    keys.push_back(visit.key);
    std::vector<ProbePlan> plans;
    for (const ResultKey& key : keys) {
      std::optional<ProbePlan> plan = plan_for(key);
      if (plan) plans.push_back(std::move(*plan));
    }
    const std::function<void(const Record&)> done = [this](const Record& record) { take(record); };
    co_await run_visit(world_, std::move(plans), done);
    for (const ResultKey& key : keys) {
      scheduler_.remove(key);
      scheduler_.finished(key, wall_now());
      ++ended_;
    }
  }

  void take(const Record& record) {
    ++done_;
    if (ledger_)
      ledger_->apply(record, answered_.connected_on_another_port(record.key.address, record.key.port, record.key.transport));
    records_.push_back(record);
    for (const Arrival& arrival : early_) prove(arrival);
  }

  // What the agent's canary saw, for the probes that wait for it.
  void hear_agent() {
    if (!agent_ || remote_ || loop_.now() < next_hearing_) return;
    next_hearing_ = loop_.now() + milliseconds(300);
    for (const Arrival& arrival : agent_->arrivals()) arrived(arrival);
  }

  void arrived(const Arrival& arrival) {
    if (vantage_.note(arrival)) return;
    sightings_.note(arrival);
    if (ledger_) ledger_->apply(arrival);
    if (!arrival.proof) return;
    early_.push_back(arrival);
    prove(arrival);
  }

  // Raises the result that sent the token; nothing while its probe still runs.
  void prove(const Arrival& arrival) {
    const auto sent = sent_.find(arrival.token);
    if (sent == sent_.end() || sent->second.arrived) return;
    const auto record = std::find_if(records_.begin(), records_.end(),
                                     [&](const Record& r) { return r.probe_id == sent->second.message.probe_id; });
    if (record == records_.end()) return;
    sent->second.arrived = true;
    Proof proof;
    proof.variant = sent->second.message.variant;
    proof.probe_id = record->probe_id;
    proof.sent = sent->second.message.sent;
    proof.arrived = arrival.time;
    proof.peer = arrival.peer.address;
    proof.arrival = std::make_shared<const Arrival>(presentable(arrival));
    if (!sent->second.mail) proof.reason = Reason::token_returned;
    add_proof(*record, proof);
  }

  Task<void> wait_for_mail() {
    const auto until = loop_.now() + options_.wait;
    for (;;) {
      hear_agent();
      const auto missing =
          std::count_if(sent_.begin(), sent_.end(), [](const auto& sent) { return sent.second.mail && !sent.second.arrived; });
      if (missing == 0 || loop_.now() >= until || loop_.shutting_down()) break;
      show_progress("waiting for messages:", static_cast<std::size_t>(missing), sent_.size());
      const milliseconds pause(agent_ ? 300 : 50);
      const bool go_on = co_await loop_.sleep_for(pause);
      if (!go_on) break;
    }
    clear_progress();
  }

  // They were asked while servers were; what is still open is waited for.
  Task<void> wait_for_databases() {
    const auto until = loop_.now() + kDatabases;
    while (!zones_.book().settled() && loop_.now() < until && !loop_.shutting_down()) {
      zones_.pump();
      show_progress("waiting for databases:", 0, config_->dnsbl.zones.size());
      const bool go_on = co_await loop_.sleep_for(milliseconds(20));
      if (!go_on) break;
    }
    clear_progress();
  }

  // With the time since when it is so, where that was known.
  void keep_listings() {
    if (!ledger_) return;
    std::map<ListingKey, Listing> before;
    for (Listing& listing : ledger_->take_listings()) before.insert_or_assign({listing.zone, listing.subject}, listing);
    for (Listing listing : zones_.book().listings()) {
      const auto known = before.find({listing.zone, listing.subject});
      if (known != before.end() && known->second.listed == listing.listed) listing.since = known->second.since;
      ledger_->keep(listing);
    }
  }

  void show_progress(const char* doing, std::size_t some, std::size_t all) {
    if (!progress_ || loop_.now() < next_progress_) return;
    next_progress_ = loop_.now() + milliseconds(500);
    shown_ = true;
    fmt::print(stderr, "\r\033[K{} {} of {}", doing, some, all);
  }
  void clear_progress() {
    if (std::exchange(shown_, false)) fmt::print(stderr, "\r\033[K");
  }

  std::shared_ptr<const Config> config_;
  const CheckOptions& options_;
  Loop loop_;
  CanaryKeys keys_;
  Resolver resolver_;
  ConnectGate gate_;
  ProbeTls tls_;
  Answered answered_;
  Scheduler scheduler_;
  Targets targets_;
  Zones zones_;
  Sightings sightings_;
  Resolver public_dns_;  // without hosts(5): names as others see them
  VantageCheck vantage_;
  ProbeWorld world_;
  std::unique_ptr<CanaryServer> server_;  // one of the three: ours, that of canary.remote, or the agent's
  std::unique_ptr<RemoteCanary> remote_;
  std::unique_ptr<Ledger> ledger_;  // one of the two where there is a configuration: ours, or the agent's
  std::unique_ptr<AgentClient> agent_;
  Steady::time_point next_hearing_{};
  std::vector<TargetView> views_;
  std::size_t planned_ = 0, done_ = 0, ended_ = 0;
  std::vector<Record> records_;
  std::set<IpAddress> used_up_;       // said to be
  std::map<std::string, Sent> sent_;  // by token
  std::vector<Arrival> early_;        // proofs; also of probes that still run
  std::exception_ptr failure_;
  bool interrupted_ = false;
  bool unasked_ = false;
  const bool progress_ = isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
  Steady::time_point next_progress_{Steady::now() + std::chrono::seconds(1)};
};

struct Outcome {
  std::vector<Record> records;
  ZonesView databases;
  bool whole = true;
};

Outcome outcome_of(Check& run, std::unique_ptr<Ledger> ledger, std::unique_ptr<AgentClient> agent) {
  Outcome outcome;
  outcome.records = run.run(std::move(ledger), std::move(agent));
  outcome.databases = run.databases();
  outcome.whole = run.whole();
  return outcome;
}

// The configuration of the options, or that of --scope.
Config config_of(const CheckOptions& options) {
  if (!options.config.empty() && !options.scope.empty())
    throw UsageError("--scope is for a run without a configuration: give one of both");
  const std::string file = options.config.empty() && options.scope.empty() ? default_config_file() : options.config;
  if (file.empty() && options.scope.empty()) {
    throw UsageError("no configuration: give --config FILE, or --scope CIDR with the networks that are yours");
  }
  Config config = file.empty() && !options.scope.empty() ? config_of_scope(options) : load(file);
  set_up_log({file.empty() ? "warn" : std::max<std::string>(config.log.level, "warn"), "text"});
  spdlog::set_level(spdlog::level::warn);
  return config;
}

// With what is found, unless everything that was asked for is declared. `whole`: false when a source could not be read and its
// targets would have been asked.
Config with_sources(Config config, const CheckOptions& options, bool& whole) {
  const bool declared = std::all_of(options.targets.begin(), options.targets.end(), [&](const std::string& text) {
    return std::any_of(config.targets.begin(), config.targets.end(), [&](const auto& target) { return is_at(target, text); });
  });
  if (config.discovery.empty() || (declared && !options.targets.empty())) return config;
  std::vector<std::string> troubles;
  config = with_discovered(std::move(config), troubles);
  for (const std::string& trouble : troubles) spdlog::warn("{}", trouble);
  whole = troubles.empty() || !options.targets.empty();
  return config;
}

Outcome check(const CheckOptions& options) {
  bool all_sources = true;
  Config config = with_sources(config_of(options), options, all_sources);
  const bool stored = !config.file.empty();
  const auto narrow = narrowed(std::move(config), options);
  if (!stored) {
    Check run(narrow, options, CanaryKeys::random());
    return outcome_of(run, nullptr, nullptr);
  }
  CanaryKeys keys = CanaryKeys::load(narrow->path(narrow->canary.secret_file));
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<AgentClient> agent;
  try {
    ledger = std::make_unique<Ledger>(ledger_options(*narrow));
    for (const std::string& note : ledger->notes()) spdlog::warn("{}", note);
  } catch (const LedgerLocked& locked) {
    agent = std::make_unique<AgentClient>(narrow->web, keys);
    if (!agent->refresh())
      throw UsageError(fmt::format("{}, but it does not answer on {}: {}", locked.what(), agent->address(), agent->trouble()));
  }
  Check run(narrow, options, keys);
  Outcome outcome = outcome_of(run, std::move(ledger), std::move(agent));
  outcome.whole = outcome.whole && all_sources;
  return outcome;
}

}  // namespace

int exit_code(const std::vector<Verdict>& verdicts) {
  bool unclear = false, closed = false;
  for (const Verdict verdict : verdicts) {
    if (verdict >= Verdict::accepted) return 2;
    unclear = unclear || verdict == Verdict::unclear;
    closed = closed || verdict == Verdict::closed;
  }
  return unclear || !closed ? 1 : 0;
}

std::string default_config_file() {
  for (const char* file : {"ajar.toml", "/etc/ajar/ajar.toml"}) {
    if (std::filesystem::exists(file)) return file;
  }
  return {};
}

namespace {

// Tests every database, by way of an address and a name that nobody has.
Task<void> test_zones(Loop& loop, Zones& zones) {
  const auto until = loop.now() + kDatabases;
  const auto untested = [&] {
    const std::vector<ZoneStatus> all = zones.book().zones();
    return std::any_of(all.begin(), all.end(), [](const ZoneStatus& zone) { return zone.state == ZoneState::untested; });
  };
  while (untested() && loop.now() < until) {
    zones.pump();
    const bool go_on = co_await loop.sleep_for(milliseconds(20));
    if (!go_on) break;
  }
  loop.stop();
}

int check_zones(const CheckOptions& options) {
  Config config = config_of(options);
  config.dnsbl.lookup_private = true;
  TargetView nobody;
  nobody.config.name = "nobody";
  nobody.config.mail_domains = {"ajar-test.invalid"};
  nobody.addresses = {"192.0.2.213", "2001:db8::d5"};
  spdlog::set_level(spdlog::level::err);  // what the log would say is the result
  Loop loop;
  Zones zones(loop);
  zones.apply(config.dnsbl, {nobody});
  start(test_zones(loop, zones));
  loop.run();
  const ZonesView view = zones.view();
  loop.shut_down();
  fmt::print("{}", options.json ? zones_json(view) : zones_table(view));
  const auto healthy = [](const ZoneStatus& zone) { return zone.state == ZoneState::healthy; };
  return std::all_of(view.zones.begin(), view.zones.end(), healthy) ? 0 : 1;
}

}  // namespace

int run_check(const CheckOptions& options) {
  try {
    if (options.zones) return check_zones(options);
    const auto [records, databases, whole] = check(options);
    // One thread, and nobody changes the environment.
    const bool colour = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;  // NOLINT(concurrency-mt-unsafe)
    if (options.json) fmt::print("{}{}", check_json(records), listings_json(databases));
    if (!options.json) fmt::print("{}{}", check_table(records, colour), listings_table(databases));
    std::vector<Verdict> verdicts;
    for (const Record& record : records) verdicts.push_back(record.finding.verdict);
    if (verdicts.empty() && whole && !databases.listings.empty()) return 0;  // only databases were asked
    if (!whole) {
      fmt::print(stderr, "ajar: not everything was asked: this is no \"all closed\"\n");
      return std::max(exit_code(verdicts), 1);
    }
    return exit_code(verdicts);
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "ajar: {}\n", error.what());
    return 3;
  }
}

}  // namespace ajar
