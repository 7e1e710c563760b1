#include "agent/metrics.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <unordered_map>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "agent/discovery_metrics.h"
#include "agent/process_metrics.h"
#include "agent/suspicions.h"
#include "agent/version.h"
#include "agent/zone_metrics.h"

namespace ajar {
namespace {

struct Family {
  const char* name;
  MetricType type;
  const char* help;
};
constexpr MetricType kCounter = MetricType::counter;
constexpr MetricType kGauge = MetricType::gauge;
constexpr MetricType kHistogram = MetricType::histogram;

constexpr Family kBuildInfo{"ajar_build_info", kGauge, "Which ajar this is; always 1."};
constexpr Family kAgentInfo{"ajar_agent_info", kGauge, "What this agent calls itself and from where it asks; always 1."};
constexpr Family kTargetInfo{
    "ajar_target_info", kGauge,
    "A target with its owner and the labels that the owner gave it; paused=\"true\" while its configuration "
    "pauses it; always 1."};
constexpr Family kLevel{
    "ajar_exposure_level", kGauge,
    "Judged state of a result: 0 closed, 1 unreachable, 2 unclear, 3 accepted (it said yes, without proof), 4 open "
    "(proven). Held while a case is open."};
constexpr Family kFirstSeen{"ajar_exposure_first_seen_timestamp_seconds", kGauge, "When the open case of a result began."};
constexpr Family kExempt{"ajar_exposure_exempt", kGauge, "1 while an exemption of the configuration covers the result."};
constexpr Family kLastLevel{"ajar_last_probe_level", kGauge,
                            "What the last probe alone said, 0 to 4 as in ajar_exposure_level."};
constexpr Family kLastProbe{"ajar_last_probe_timestamp_seconds", kGauge, "When the last probe of a result began."};
constexpr Family kLastConclusive{"ajar_last_conclusive_timestamp_seconds", kGauge,
                                 "When the last probe began that said closed, accepted or open."};
constexpr Family kDue{"ajar_result_due_timestamp_seconds", kGauge,
                      "When the next probe of a result is due; absent while its target is paused."};
constexpr Family kTargetLevel{"ajar_target_exposure_level", kGauge,
                              "The worst ajar_exposure_level of a target, from its first result on."};
constexpr Family kTargetConclusive{
    "ajar_target_last_conclusive_timestamp_seconds", kGauge,
    "The oldest ajar_last_conclusive_timestamp_seconds of a target, filtered ports left out; 0 when a "
    "result never was conclusive."};
constexpr Family kResults{"ajar_results", kGauge, "How many results have this judged verdict now."};
constexpr Family kCoverage{
    "ajar_coverage_ratio", kGauge,
    "Share of the results of targets that are not paused that is known: conclusive or filtered, not longer "
    "than two intervals ago."};
constexpr Family kProbes{"ajar_probes_total", kCounter, "Probes that ended, by what they said."};
constexpr Family kFailures{"ajar_probe_failures_total", kCounter, "Probes that ended unreachable or unclear, by reason."};
constexpr Family kDuration{"ajar_probe_duration_seconds", kHistogram, "How long probes took."};
constexpr Family kInFlight{"ajar_probes_in_flight", kGauge, "Probes that run now."};
constexpr Family kLag{"ajar_schedule_lag_seconds", kGauge, "How late the latest probe began."};
constexpr Family kEndpoints{"ajar_endpoints", kGauge, "Endpoints (address, port, transport) that are probed now."};
constexpr Family kOpened{"ajar_exposures_opened_total", kCounter, "Cases that began."};
constexpr Family kReopened{"ajar_exposures_reopened_total", kCounter, "Cases that began again within a day of their end."};
constexpr Family kClosed{"ajar_exposures_closed_total", kCounter,
                         "Cases that ended: fixed (confirmed closed) or retired (the endpoint left)."};
constexpr Family kExposureDuration{"ajar_exposure_duration_seconds", kHistogram,
                                   "How long cases lasted that ended since this start."};
constexpr Family kExemption{"ajar_exemption_expiry_timestamp_seconds", kGauge, "When an exemption ends."};
constexpr Family kCanaryUp{"ajar_canary_up", kGauge,
                           "Whether the canary's latest self-test through its advertised addresses succeeded."};
constexpr Family kVantageUp{"ajar_vantage_up", kGauge,
                            "Whether the place that the agent asks from sees what a stranger sees, as far as it is measured."};
constexpr Family kCertificate{"ajar_tls_certificate_expiry_timestamp_seconds", kGauge,
                              "When the certificate of the agent's own web server ends; absent without TLS."};
constexpr Family kArrivals{"ajar_canary_arrivals_total", kCounter, "What arrived at the canary."};
constexpr Family kReloadOk{"ajar_config_last_reload_successful", kGauge,
                           "Whether the last reload of the configuration succeeded."};
constexpr Family kReloadTime{"ajar_config_last_reload_success_timestamp_seconds", kGauge,
                             "When the configuration was last loaded successfully."};
constexpr Family kPaused{"ajar_paused", kGauge, "1 while probing is paused (POST /-/pause)."};
constexpr Family kDetail{"ajar_metrics_detail", kGauge,
                         "Which series are shown: of all results, or of targets and what is not closed."};

constexpr Verdict kVerdicts[] = {Verdict::closed, Verdict::unreachable, Verdict::unclear, Verdict::accepted, Verdict::open};
constexpr ArrivalResult kArrivalResults[] = {ArrivalResult::proved, ArrivalResult::late, ArrivalResult::unknown_token,
                                             ArrivalResult::replayed};
// Seconds: a closed server answers at once, a tarpit or a greylist takes until the deadline.
const std::vector<double> kDurationBounds = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
// 5m 15m 1h 4h 12h 1d 3d 7d 14d 30d 90d
const std::vector<double> kExposureBounds = {300, 900, 3600, 14400, 43200, 86400, 259200, 604800, 1209600, 2592000, 7776000};

// Whether a probe can end unreachable or unclear for this reason: those counters exist from the start.
bool is_failure(Reason reason) {
  switch (reason) {
    case Reason::filtered:
    case Reason::control_failed:
    case Reason::greylisted:
    case Reason::source_blocked:
    case Reason::timeout:
    case Reason::no_route:
    case Reason::hung_up:
    case Reason::tls_failed:
    case Reason::protocol_error:
    case Reason::out_of_scope:
    case Reason::internal_error:
      return true;
    default:
      return false;
  }
}

// A port where nobody serves is counted, not shown, unless a case is open there.
bool is_shown(const ResultState& result) {
  const bool nobody = result.reason == Reason::nobody_listens || result.reason == Reason::filtered;
  return result.case_id || !nobody;
}

bool was_probed(const ResultState& result) { return result.last_probe != Time{}; }

double level_of(Verdict verdict) { return static_cast<double>(static_cast<int>(verdict)); }

std::string result_labels(const ResultKey& key) {
  return Exposition::labels({{"target", key.target},
                             {"address", key.address.to_string()},
                             {"port", std::to_string(key.port)},
                             {"transport", to_string(key.transport)},
                             {"check", key.check}});
}

void begin(Exposition& out, const Family& family) { out.family(family.name, family.type, family.help); }

void single(Exposition& out, const Family& family, double value) {
  begin(out, family);
  out.sample({}, value);
}

// A family's series in the order of their labels, whatever order they were found in.
using Series = std::map<std::string, double>;
void write_series(Exposition& out, const Family& family, const Series& series) {
  begin(out, family);
  for (const auto& [labels, value] : series) out.sample(labels, value);
}

struct Row {
  const ResultState* result;
  std::string labels;
};

std::set<std::string_view> paused_targets(std::span<const TargetView> targets) {
  std::set<std::string_view> names;
  for (const TargetView& view : targets) {
    if (view.config.paused) names.insert(view.config.name);
  }
  return names;
}

bool exempt_now(const Config& config, const ResultKey& key, Time now) { return is_exempt(config, key.target, key.check, now); }

// The per-result families. `rows` are the results shown, in the order of their keys.
void write_rows(Exposition& out, const Metrics::Scene& scene, const std::vector<Row>& rows) {
  std::unordered_map<std::string, Time> first_seen;
  for (const Case& exposure : scene.ledger.cases()) {
    if (exposure.status == CaseStatus::open) first_seen[exposure.id] = exposure.first_seen;
  }
  const auto each = [&](const Family& family, auto value) {
    begin(out, family);
    for (const Row& row : rows) {
      const std::optional<double> found = value(*row.result);
      if (found) out.sample(row.labels, *found);
    }
  };
  using Value = std::optional<double>;
  each(kLevel, [](const ResultState& r) -> Value { return level_of(r.level); });
  each(kFirstSeen, [&](const ResultState& r) -> Value {
    const auto found = r.case_id ? first_seen.find(*r.case_id) : first_seen.end();
    return found == first_seen.end() ? Value() : to_seconds(found->second);
  });
  each(kExempt, [&](const ResultState& r) -> Value { return exempt_now(scene.config, r.key, scene.now) ? Value(1) : Value(); });
  each(kLastLevel, [](const ResultState& r) -> Value { return level_of(r.last_level); });
  each(kLastProbe, [](const ResultState& r) -> Value { return to_seconds(r.last_probe); });
  each(kLastConclusive,
       [](const ResultState& r) -> Value { return r.last_conclusive ? Value(to_seconds(*r.last_conclusive)) : Value(); });
  // Nothing of a paused target is due: it would be overdue for as long as the pause lasts.
  const std::set<std::string_view> paused = paused_targets(scene.targets);
  each(kDue, [&](const ResultState& r) -> Value {
    return r.due == Time{} || paused.contains(r.key.target) ? Value() : to_seconds(r.due);
  });
}

std::vector<Row> rows_of(const std::vector<ResultState>& results, bool only_not_closed) {
  std::vector<Row> rows;
  for (const ResultState& result : results) {
    if (!was_probed(result) || !is_shown(result)) continue;
    if (only_not_closed && result.level == Verdict::closed) continue;
    rows.push_back({&result, result_labels(result.key)});
  }
  return rows;
}

// One number for a target: its worst level, and the oldest conclusive answer.
void write_target_states(Exposition& out, const std::vector<ResultState>& results) {
  struct State {
    Verdict worst = Verdict::closed;
    std::optional<double> oldest;
  };
  std::map<std::string, State> states;
  for (const ResultState& result : results) {
    if (!was_probed(result)) continue;
    State& state = states[result.key.target];
    state.worst = std::max(state.worst, result.level);
    if (result.last_reason == Reason::filtered && !result.case_id) continue;
    const double when = result.last_conclusive ? to_seconds(*result.last_conclusive) : 0;
    state.oldest = state.oldest ? std::min(*state.oldest, when) : when;
  }
  begin(out, kTargetLevel);
  for (const auto& [target, state] : states) out.sample(Exposition::labels({{"target", target}}), level_of(state.worst));
  begin(out, kTargetConclusive);
  for (const auto& [target, state] : states) {
    if (state.oldest) out.sample(Exposition::labels({{"target", target}}), *state.oldest);
  }
}

void write_target_info(Exposition& out, std::span<const TargetView> targets) {
  Series series;
  for (const TargetView& view : targets) {
    const TargetConfig& target = view.config;
    const std::string host = place_text(target.place);
    std::vector<Label> labels = {{"target", target.name}, {"host", host}, {"owner", target.owner}};
    // Two keys that become the same label name would spoil the whole scrape: the first in order wins.
    std::map<std::string, std::string_view> own;
    for (const auto& [key, value] : target.labels) own.emplace("label_" + Exposition::label_name(key), value);
    for (const auto& [name, value] : own) labels.emplace_back(name, value);
    if (target.paused) labels.emplace_back("paused", "true");
    series[Exposition::labels(labels)] = 1;
  }
  write_series(out, kTargetInfo, series);
}

std::set<std::string> checks_of(std::span<const TargetView> targets) {
  std::set<std::string> checks;
  for (const TargetView& view : targets) checks.insert(view.config.checks.begin(), view.config.checks.end());
  return checks;
}

void write_results(Exposition& out, const Metrics::Scene& scene, const std::vector<ResultState>& results,
                   const std::map<std::string, std::size_t>& expected) {
  std::map<std::pair<std::string, Verdict>, std::size_t> counts;
  for (const std::string& check : checks_of(scene.targets)) {
    for (const Verdict verdict : kVerdicts) counts[{check, verdict}] = 0;
  }
  for (const ResultState& result : results) {
    if (was_probed(result)) ++counts[{result.key.check, result.level}];
  }
  begin(out, kResults);
  for (const auto& [key, count] : counts) {
    out.sample(Exposition::labels({{"check", key.first}, {"verdict", to_string(key.second)}}), static_cast<double>(count));
  }
  begin(out, kCoverage);
  for (const auto& [check, found] : coverage(results, scene.config, scene.targets, expected, scene.now)) {
    out.sample(Exposition::labels({{"check", check}}), found.ratio());
  }
}

struct Cumulative {
  std::vector<std::uint64_t> counts;
  double sum = 0;
};
Cumulative cumulate(const std::vector<double>& bounds, const std::vector<double>& values) {
  Cumulative result{std::vector<std::uint64_t>(bounds.size() + 1), 0};
  for (const double value : values) {
    for (std::size_t i = 0; i <= bounds.size(); ++i) {
      if (i == bounds.size() || value <= bounds[i]) ++result.counts[i];
    }
    result.sum += value;
  }
  return result;
}

// The cases' counters come from the ledger, so that they survive a restart; every configured owner has them from 0 on.
void write_cases(Exposition& out, const Metrics::Scene& scene) {
  std::map<std::pair<std::string, std::string>, CaseCount> counts;
  for (const TargetView& view : scene.targets) {
    for (const std::string& check : view.config.checks) counts[{check, view.config.owner}];
  }
  for (CaseCount& count : scene.ledger.case_counts()) {
    const std::pair key(count.check, count.owner);
    counts[key] = std::move(count);
  }
  const auto each = [&](const Family& family, auto value) {
    begin(out, family);
    for (const auto& [key, count] : counts) {
      out.sample(Exposition::labels({{"check", key.first}, {"owner", key.second}}), static_cast<double>(value(count)));
    }
  };
  each(kOpened, [](const CaseCount& c) { return c.opened; });
  each(kReopened, [](const CaseCount& c) { return c.reopened; });
  begin(out, kClosed);
  for (const auto& [key, count] : counts) {
    const auto labels = [&key = key](const char* how) {
      return Exposition::labels({{"check", key.first}, {"owner", key.second}, {"how", how}});
    };
    out.sample(labels("fixed"), static_cast<double>(count.fixed));
    out.sample(labels("retired"), static_cast<double>(count.retired));
  }
  begin(out, kExposureDuration);
  for (const auto& [key, count] : counts) {
    const Cumulative found = cumulate(kExposureBounds, count.durations);
    out.histogram(Exposition::labels({{"check", key.first}, {"owner", key.second}}), kExposureBounds, found.counts, found.sum);
  }
}

void write_exemptions(Exposition& out, const Config& config) {
  Series series;
  for (const ExemptionConfig& exemption : config.exemptions) {
    const std::optional<Time> until = exempt_until(config, exemption.target, exemption.check);
    series[Exposition::labels({{"target", exemption.target}, {"check", exemption.check}})] = until ? to_seconds(*until) : 0;
  }
  write_series(out, kExemption, series);
}

void write_vantage(Exposition& out, const VantageStates& states) {
  begin(out, kVantageUp);
  for (const auto& [kind, state] : states) out.sample(Exposition::labels({{"kind", to_string(kind)}}), state.up ? 1 : 0);
}

bool shows_targets_only(const Config& config, std::size_t results) {
  if (config.metrics.detail == "auto") return results > Metrics::kDetailLimit;
  return config.metrics.detail == "targets";
}

}  // namespace

// The registry owns the series; the maps find them without hashing label sets, and in order.
struct Metrics::State {
  explicit State(WallClock clock) : now(std::move(clock)) {}

  prometheus::Family<prometheus::Counter>& counters(const Family& family) {
    return prometheus::BuildCounter().Name(family.name).Help(family.help).Register(registry);
  }
  prometheus::Gauge& gauge(const Family& family) {
    return prometheus::BuildGauge().Name(family.name).Help(family.help).Register(registry).Add({});
  }

  prometheus::Counter& probe(const std::string& check, Verdict verdict) {
    return probes.Add({{"check", check}, {"verdict", std::string(to_string(verdict))}});
  }
  prometheus::Counter& failure(const std::string& check, Reason reason) {
    return failures.Add({{"check", check}, {"reason", std::string(to_string(reason))}});
  }
  prometheus::Histogram& duration(const std::string& check) { return durations.Add({{"check", check}}, kDurationBounds); }

  // Every series of a check exists before its first probe.
  void know(const std::string& check) {
    const std::lock_guard lock(mutex);
    if (!known_checks.insert(check).second) return;
    for (const Verdict verdict : kVerdicts) probe(check, verdict);
    for (int reason = 0; reason < kReasonCount; ++reason) {
      if (is_failure(static_cast<Reason>(reason))) failure(check, static_cast<Reason>(reason));
    }
    duration(check);
    exemplars[check].resize(kDurationBounds.size() + 1);
  }
  std::optional<Time> certificate_until() const {
    const std::lock_guard lock(mutex);
    return certificate_expiry;
  }
  std::shared_ptr<const DiscoveryView> discovered() const {
    const std::lock_guard lock(mutex);
    return discovery;
  }
  void changed() { version.fetch_add(1, std::memory_order_relaxed); }

  WallClock now;
  std::atomic<std::uint64_t> version{0};
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& probes = counters(kProbes);
  prometheus::Family<prometheus::Counter>& failures = counters(kFailures);
  prometheus::Family<prometheus::Counter>& arrivals = counters(kArrivals);
  prometheus::Family<prometheus::Histogram>& durations =
      prometheus::BuildHistogram().Name(kDuration.name).Help(kDuration.help).Register(registry);
  prometheus::Gauge& running = gauge(kInFlight);
  prometheus::Gauge& lag = gauge(kLag);
  prometheus::Gauge& endpoint_count = gauge(kEndpoints);
  prometheus::Gauge& reload_ok = gauge(kReloadOk);
  prometheus::Gauge& reload_time = gauge(kReloadTime);
  prometheus::Family<prometheus::Gauge>& canaries =
      prometheus::BuildGauge().Name(kCanaryUp.name).Help(kCanaryUp.help).Register(registry);

  mutable std::mutex mutex;  // for what follows
  std::set<std::string> known_checks;
  std::map<std::string, std::vector<std::optional<Exemplar>>> exemplars;  // by check: one for each bucket
  std::map<CanaryKind, bool> canary;
  VantageStates vantage;
  std::shared_ptr<const DiscoveryView> discovery;  // nullptr: none
  std::optional<Time> certificate_expiry;
  std::map<std::string, std::size_t> expected;

  // One collected family in the order of its labels.
  void write_collected(Exposition& out, const Family& family, const std::vector<prometheus::MetricFamily>& collected) const;
};

void Metrics::State::write_collected(Exposition& out, const Family& family,
                                     const std::vector<prometheus::MetricFamily>& collected) const {
  begin(out, family);
  const auto found = std::find_if(collected.begin(), collected.end(),
                                  [&](const prometheus::MetricFamily& f) { return f.name == family.name; });
  if (found == collected.end()) return;
  std::map<std::string, const prometheus::ClientMetric*> ordered;
  for (const prometheus::ClientMetric& metric : found->metric) {
    std::vector<Label> labels;
    for (const auto& label : metric.label) labels.emplace_back(label.name, label.value);
    ordered[Exposition::labels(labels)] = &metric;
  }
  for (const auto& [labels, metric] : ordered) {
    if (family.type == kCounter) out.sample(labels, metric->counter.value);
    if (family.type == kGauge) out.sample(labels, metric->gauge.value);
    if (family.type != kHistogram) continue;
    std::vector<std::uint64_t> counts;
    for (const auto& bucket : metric->histogram.bucket) counts.push_back(bucket.cumulative_count);
    std::vector<std::optional<Exemplar>> examples;
    for (const auto& label : metric->label) {
      const std::lock_guard lock(mutex);
      const auto known = exemplars.find(label.value);
      if (label.name == "check" && known != exemplars.end()) examples = known->second;
    }
    out.histogram(labels, kDurationBounds, counts, metric->histogram.sample_sum, examples);
  }
}

Metrics::Metrics(WallClock now) : state_(std::make_unique<State>(std::move(now))) {
  for (const CanaryKind kind : kCanaryKinds) {
    for (const ArrivalResult result : kArrivalResults) {
      state_->arrivals.Add({{"kind", std::string(to_string(kind))}, {"result", std::string(to_string(result))}});
    }
  }
  reload(true);
}

Metrics::~Metrics() = default;

void Metrics::probe_done(const std::string& check, Verdict verdict, Reason reason, double seconds,
                         const std::string& probe_id) {
  state_->know(check);
  state_->probe(check, verdict).Increment();
  if (verdict == Verdict::unreachable || verdict == Verdict::unclear) state_->failure(check, reason).Increment();
  state_->duration(check).Observe(seconds);
  const auto bucket = std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), seconds) - kDurationBounds.begin();
  {
    const std::lock_guard lock(state_->mutex);
    state_->exemplars[check][static_cast<std::size_t>(bucket)] = Exemplar{probe_id, seconds, state_->now()};
  }
  state_->changed();
}

void Metrics::scope_refused(const std::string& check) {
  state_->know(check);
  state_->failure(check, Reason::out_of_scope).Increment();
  state_->changed();
}

void Metrics::in_flight(int change) {
  state_->running.Increment(change);
  state_->changed();
}

std::size_t Metrics::probes_in_flight() const { return static_cast<std::size_t>(std::max(0.0, state_->running.Value())); }

void Metrics::schedule_lag(double seconds) {
  state_->lag.Set(seconds);
  state_->changed();
}

void Metrics::endpoints(std::size_t count, std::map<std::string, std::size_t> results_by_check) {
  state_->endpoint_count.Set(static_cast<double>(count));
  {
    const std::lock_guard lock(state_->mutex);
    state_->expected = std::move(results_by_check);
  }
  state_->changed();
}

void Metrics::arrival(CanaryKind kind, ArrivalResult result) {
  if (std::find(std::begin(kArrivalResults), std::end(kArrivalResults), result) == std::end(kArrivalResults)) return;
  state_->arrivals.Add({{"kind", std::string(to_string(kind))}, {"result", std::string(to_string(result))}}).Increment();
  state_->changed();
}

void Metrics::canary_up(CanaryKind kind, bool up) {
  state_->canaries.Add({{"kind", std::string(to_string(kind))}}).Set(up ? 1 : 0);
  {
    const std::lock_guard lock(state_->mutex);
    state_->canary[kind] = up;
  }
  state_->changed();
}

void Metrics::vantage(VantageStates states) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->vantage = std::move(states);
  }
  state_->changed();
}

void Metrics::discovery(std::shared_ptr<const DiscoveryView> view) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->discovery = std::move(view);
  }
  state_->changed();
}

void Metrics::certificate_expiry(std::optional<Time> expiry) {
  {
    const std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->certificate_expiry, expiry) == expiry) return;
  }
  state_->changed();
}

void Metrics::reload(bool ok) {
  state_->reload_ok.Set(ok ? 1 : 0);
  if (ok) state_->reload_time.Set(to_seconds(state_->now()));
  state_->changed();
}

std::map<CanaryKind, bool> Metrics::canary() const {
  const std::lock_guard lock(state_->mutex);
  return state_->canary;
}

VantageStates Metrics::vantage() const {
  const std::lock_guard lock(state_->mutex);
  return state_->vantage;
}

std::map<std::string, std::size_t> Metrics::expected_results() const {
  const std::lock_guard lock(state_->mutex);
  return state_->expected;
}

std::uint64_t Metrics::version() const { return state_->version.load(std::memory_order_relaxed); }

void Metrics::write(Exposition& out, const Scene& scene) const {
  for (const std::string& check : checks_of(scene.targets)) state_->know(check);
  const std::vector<prometheus::MetricFamily> collected = state_->registry.Collect();
  const auto own = [&](const Family& family) { state_->write_collected(out, family, collected); };
  const std::vector<ResultState> results = scene.ledger.results();
  const bool targets_only = shows_targets_only(scene.config, results.size());
  const AgentConfig& agent = scene.config.agent;

  begin(out, kBuildInfo);
  out.sample(Exposition::labels({{"version", kVersion}, {"revision", kRevision}, {"compiler", kCompiler}}), 1);
  begin(out, kAgentInfo);
  out.sample(
      Exposition::labels({{"name", agent.name}, {"vantage", agent.vantage}, {"external_url", scene.config.web.external_url}}),
      1);
  write_target_info(out, scene.targets);
  write_rows(out, scene, rows_of(results, targets_only));
  write_target_states(out, results);
  write_results(out, scene, results, expected_results());
  for (const Family* family : {&kProbes, &kFailures, &kDuration, &kInFlight, &kLag, &kEndpoints}) own(*family);
  write_cases(out, scene);
  write_exemptions(out, scene.config);
  own(kCanaryUp);
  own(kArrivals);
  write_vantage(out, vantage());
  write_zones(out, scene.zones != nullptr ? *scene.zones : ZonesView());
  write_suspicions(out, scene.ledger);
  write_discovery(out, state_->discovered().get());
  begin(out, kCertificate);
  if (const std::optional<Time> expiry = state_->certificate_until()) out.sample({}, to_seconds(*expiry));
  own(kReloadOk);
  own(kReloadTime);
  single(out, kPaused, scene.ledger.paused() ? 1 : 0);
  begin(out, kDetail);
  out.sample(Exposition::labels({{"detail", targets_only ? "targets" : "results"}}), 1);
  write_process_metrics(out);
}

void Metrics::write_target(Exposition& out, const Scene& scene, const std::string& target, const std::string& check) const {
  std::vector<ResultState> results = scene.ledger.results();
  std::erase_if(results,
                [&](const ResultState& r) { return r.key.target != target || (!check.empty() && r.key.check != check); });
  write_rows(out, scene, rows_of(results, false));
  write_target_states(out, results);
  if (check.empty()) write_listings(out, scene.zones != nullptr ? *scene.zones : ZonesView(), target);
}

CoverageCount::CoverageCount(const Config& config, std::span<const TargetView> targets, Time now) : config_(config), now_(now) {
  by_name_.reserve(targets.size());
  for (const TargetView& view : targets) by_name_[view.config.name] = &view.config;
}

const TargetConfig* CoverageCount::target(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void CoverageCount::add(const ResultState& result) {
  const TargetConfig* const of_target = target(result.key.target);
  if (of_target != nullptr && of_target->paused) return;
  Coverage& of_check = found_[result.key.check];
  ++of_check.all;
  if (!was_probed(result)) return;
  measured_.insert(result.key.check);
  const Duration interval = of_target == nullptr ? config_.agent.interval : config_.interval(*of_target, result.key.check);
  std::optional<Time> known = result.last_conclusive;
  if (result.last_reason == Reason::filtered) known = std::max(known.value_or(Time{}), result.last_probe);
  if (known && now_ - *known <= 2 * interval) ++of_check.covered;
}

std::map<std::string, Coverage> CoverageCount::by_check(const std::map<std::string, std::size_t>& expected) const {
  std::map<std::string, Coverage> found = found_;
  for (auto& [check, of_check] : found) {
    const auto should = expected.find(check);
    if (should != expected.end()) of_check.all = std::max(of_check.all, should->second);
  }
  std::erase_if(found, [&](const auto& entry) { return !measured_.contains(entry.first); });
  return found;
}

std::map<std::string, Coverage> coverage(const std::vector<ResultState>& results, const Config& config,
                                         std::span<const TargetView> targets,
                                         const std::map<std::string, std::size_t>& expected, Time now) {
  CoverageCount count(config, targets, now);
  for (const ResultState& result : results) count.add(result);
  return count.by_check(expected);
}

std::optional<Time> exempt_until(const Config& config, std::string_view target, std::string_view check) {
  std::optional<Time> last;
  for (const ExemptionConfig& exemption : config.exemptions) {
    if (exemption.target != target || exemption.check != check) continue;
    const Time end = exemption.until + std::chrono::days(1);
    last = std::max(last.value_or(end), end);
  }
  return last;
}

bool is_exempt(const Config& config, std::string_view target, std::string_view check, Time now) {
  const std::optional<Time> until = exempt_until(config, target, check);
  return until && now < *until;
}

const ExemptionConfig* exemption_now(const Config& config, std::string_view target, std::string_view check, Time now) {
  const ExemptionConfig* found = nullptr;
  for (const ExemptionConfig& exemption : config.exemptions) {
    if (exemption.target != target || exemption.check != check || exemption.until + std::chrono::days(1) <= now) continue;
    if (found == nullptr || exemption.until > found->until) found = &exemption;
  }
  return found;
}

std::string place_text(const TargetPlace& place) {
  if (!place.host.empty()) return place.host;
  if (place.address) return place.address->to_string();
  if (place.network) return place.network->to_string();
  return place.mx_of;
}

}  // namespace ajar
