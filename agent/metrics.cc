#include "agent/metrics.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include "agent/discovery_metrics.h"
#include "agent/process_metrics.h"
#include "agent/result_metrics.h"
#include "agent/suspicions.h"
#include "agent/version.h"
#include "agent/zone_metrics.h"

namespace ajar {
namespace {

using Family = MetricFamily;
constexpr MetricType kCounter = MetricType::counter;
constexpr MetricType kGauge = MetricType::gauge;
constexpr MetricType kHistogram = MetricType::histogram;

constexpr Family kBuildInfo{"ajar_build_info", kGauge, "Which ajar this is; always 1."};
constexpr Family kAgentInfo{"ajar_agent_info", kGauge, "What this agent calls itself and from where it asks; always 1."};
constexpr Family kTargetInfo{
    "ajar_target_info", kGauge,
    "A target with its owner and the labels that the owner gave it; paused=\"true\" while its configuration "
    "pauses it; always 1."};
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
constexpr Family kSlowed{"ajar_pace_slowed_networks", kGauge,
                         "Networks (/24, /64) that are asked at less than their rate because they fell silent."};
constexpr Family kExhausted{"ajar_pace_exhausted_addresses", kGauge,
                            "Addresses that are not probed now because their budget of a day is used up."};
constexpr Family kPaceWaits{
    "ajar_pace_waits_total", kCounter,
    "Connections that waited for their turn, by the limit: of their address, their network, of all, of the system "
    "(descriptors, ports, memory)."};
constexpr Family kSweepEndpoints{"ajar_sweep_endpoints", kGauge,
                                 "Endpoints of networks, by what the sweep last met there; where something listens, the checks "
                                 "ask."};
constexpr Family kSweepCompleted{"ajar_sweep_last_completed_timestamp_seconds", kGauge,
                                 "When the latest whole sweep of a network ended; absent before the first one."};
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
constexpr Family kSeriesCut{"ajar_metrics_series_cut", kGauge,
                            "Series that this page leaves out because of --web.max-series, by what they are of."};
constexpr Family kQuarantined{"ajar_quarantined", kGauge,
                              "1 for a result that is not probed because its answer crashed the agent twice."};

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

void begin(Exposition& out, const Family& family) { out.family(family); }

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

// A series of each target, in the order of their names; of all, or of those that `only` names.
void write_target_info(Exposition& out, const TargetIndex& targets, const std::set<std::string, std::less<>>* only) {
  begin(out, kTargetInfo);
  for (const TargetView* view : targets.by_name()) {
    const TargetConfig& target = view->config;
    if (only != nullptr && !only->contains(target.name)) continue;
    const std::string host = place_text(target.place);
    std::vector<Label> labels = {{"target", target.name}, {"host", host}, {"owner", target.owner}};
    // Two keys that become the same label name would spoil the whole scrape: the first in order wins.
    std::map<std::string, std::string_view> own;
    for (const auto& [key, value] : target.labels) own.emplace("label_" + Exposition::label_name(key), value);
    for (const auto& [name, value] : own) labels.emplace_back(name, value);
    if (target.paused) labels.emplace_back("paused", "true");
    out.sample(Exposition::labels(labels), 1);
  }
}

void write_counts(Exposition& out, const TargetIndex& targets, ResultCounts counts) {
  for (const std::string& check : targets.checks()) counts.by_check[check];
  begin(out, kResults);
  for (const auto& [check, by_verdict] : counts.by_check) {
    for (const Verdict verdict : kVerdicts) {
      out.sample(Exposition::labels({{"check", check}, {"verdict", to_string(verdict)}}),
                 static_cast<double>(by_verdict[static_cast<std::size_t>(verdict)]));
    }
  }
  begin(out, kCoverage);
  for (const auto& [check, found] : counts.coverage) out.sample(Exposition::labels({{"check", check}}), found.ratio());
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
void write_cases(Exposition& out, const Ledger& ledger, const TargetIndex& targets) {
  std::map<std::pair<std::string, std::string>, CaseCount> counts;
  for (const auto& owned : targets.owned_checks()) counts[owned];
  ledger.each_case_count([&](const CaseCount& count) { counts[{count.check, count.owner}] = count; });
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

void write_sweeps(Exposition& out, const SweepView& swept) {
  SweepCounts all;
  Series completed;
  for (const SweepRow& row : swept) {
    for (std::size_t state = 0; state < kSweepStates; ++state) all.by_state[state] += row.summary.endpoints.by_state[state];
    if (row.summary.completed) completed[Exposition::labels({{"target", row.target}})] = to_seconds(*row.summary.completed);
  }
  begin(out, kSweepEndpoints);
  for (std::size_t state = 0; state < kSweepStates; ++state) {
    out.sample(Exposition::labels({{"state", to_string(static_cast<SweepState>(state))}}),
               static_cast<double>(all.by_state[state]));
  }
  write_series(out, kSweepCompleted, completed);
}

bool shows_targets_only(const Config& config, std::size_t results) {
  if (config.metrics.detail == "auto") return results > Metrics::kDetailLimit;
  return config.metrics.detail == "targets";
}

// What must go so that no more than `most` series remain, beside `others`; 0: no limit.
std::size_t cuts_for(const CutCounts& counts, std::size_t others, std::size_t most) {
  std::size_t all = others;
  for (const std::size_t count : counts) all += count;
  std::size_t cuts = 0;
  for (; most > 0 && all > most && cuts < kCuts; ++cuts) all -= counts[cuts];
  return cuts;
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
  std::shared_ptr<const SweepView> swept = std::make_shared<SweepView>();
  std::optional<Time> certificate_expiry;
  std::map<std::string, std::size_t> expected;
  std::vector<ResultKey> quarantined;
  PaceNow pace;

  std::size_t most_series = 0;
  std::atomic<std::size_t> cuts{0};       // of the latest page
  std::atomic<bool> targets_only{false};  // of the latest page

  void write_quarantined(Exposition& out) const;
  void write_pace(Exposition& out) const;
  void say(const Config& config, bool targets_only_now, std::size_t results, std::size_t cuts_now, std::size_t left_out);
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

void Metrics::pace(const PaceNow& now) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->pace == now) return;
    state_->pace = now;
  }
  state_->changed();
}

void Metrics::State::write_pace(Exposition& out) const {
  const std::lock_guard lock(mutex);
  single(out, kSlowed, static_cast<double>(pace.slowed_networks));
  single(out, kExhausted, static_cast<double>(pace.exhausted_addresses));
  begin(out, kPaceWaits);
  const std::pair<const char*, std::uint64_t> scopes[] = {{"address", pace.waits_of_address},
                                                          {"global", pace.waits_of_all},
                                                          {"network", pace.waits_of_network},
                                                          {"system", pace.waits_of_system}};
  for (const auto& [scope, count] : scopes) out.sample(Exposition::labels({{"scope", scope}}), static_cast<double>(count));
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

void Metrics::sweep(std::shared_ptr<const SweepView> view) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->swept == view) return;
    state_->swept = std::move(view);
  }
  state_->changed();
}

std::shared_ptr<const SweepView> Metrics::swept() const {
  const std::lock_guard lock(state_->mutex);
  return state_->swept;
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

void Metrics::limit_series(std::size_t most) { state_->most_series = most; }

void Metrics::quarantined(std::vector<ResultKey> results) {
  std::sort(results.begin(), results.end());
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->quarantined == results) return;
    state_->quarantined = std::move(results);
  }
  state_->changed();
}

std::vector<ResultKey> Metrics::quarantined() const {
  const std::lock_guard lock(state_->mutex);
  return state_->quarantined;
}

void Metrics::State::write_quarantined(Exposition& out) const {
  begin(out, kQuarantined);
  const std::lock_guard lock(mutex);
  for (const ResultKey& key : quarantined) {
    out.sample(Exposition::labels({{"target", key.target},
                                   {"address", key.address.to_string()},
                                   {"port", std::to_string(key.port)},
                                   {"transport", to_string(key.transport)},
                                   {"check", key.check}}),
               1);
  }
}

// What a page shows is said when it changes.
void Metrics::State::say(const Config& config, bool targets_only_now, std::size_t results, std::size_t cuts_now,
                         std::size_t left_out) {
  if (targets_only.exchange(targets_only_now) != targets_only_now && config.metrics.detail == "auto") {
    spdlog::info("/metrics shows {} from now on: there are {} results, and metrics.detail = \"auto\" shows each of up to {}",
                 targets_only_now ? "targets and what is not closed" : "every result", results, kDetailLimit);
  }
  const std::size_t before = cuts.exchange(cuts_now);
  if (before == cuts_now) return;
  std::string parts;
  for (std::size_t i = 0; i < cuts_now; ++i) parts += fmt::format("{}{}", i == 0 ? "" : ", ", to_string(static_cast<Cut>(i)));
  if (cuts_now == 0) {
    spdlog::info("/metrics leaves nothing out any more: it has at most {} series (--web.max-series)", most_series);
  } else {
    spdlog::warn("/metrics leaves out {} series, because it would have more than {} (--web.max-series): {}", left_out,
                 most_series, parts);
  }
}

void Metrics::write(Sections& sections, const Scene& scene) const {
  std::optional<TargetIndex> made;
  const TargetIndex* const held = scene.index;
  const TargetIndex& targets = held != nullptr ? *held : made.emplace(scene.targets);
  for (const std::string& check : targets.checks()) state_->know(check);
  const std::vector<prometheus::MetricFamily> collected = state_->registry.Collect();
  const std::size_t results = scene.ledger.result_count();
  const ZonesView none;
  const ZonesView& zones = scene.zones != nullptr ? *scene.zones : none;
  const AgentConfig& agent = scene.config.agent;

  // In the order of the page; the long ones are written last, when it is known how much room is left for them.
  Exposition head = sections.section();
  Exposition info = sections.section();
  ResultSeries series(sections);
  Exposition counts = sections.section();
  Exposition own = sections.section();
  ListingSeries listings(sections);
  Exposition tail = sections.section();

  begin(head, kBuildInfo);
  head.sample(Exposition::labels({{"version", kVersion}, {"revision", kRevision}, {"compiler", kCompiler}}), 1);
  begin(head, kAgentInfo);
  head.sample(
      Exposition::labels({{"name", agent.name}, {"vantage", agent.vantage}, {"external_url", scene.config.web.external_url}}),
      1);
  head.flush();
  for (const Family* family : {&kProbes, &kFailures, &kDuration, &kInFlight, &kLag, &kEndpoints})
    state_->write_collected(own, *family, collected);
  state_->write_pace(own);
  const std::shared_ptr<const SweepView> swept_now = swept();
  write_sweeps(own, *swept_now);
  write_cases(own, scene.ledger, targets);
  write_exemptions(own, scene.config);
  state_->write_collected(own, kCanaryUp, collected);
  state_->write_collected(own, kArrivals, collected);
  write_vantage(own, vantage());
  own.flush();
  write_zones(tail, zones);
  write_suspicions(tail, scene.ledger);
  write_discovery(tail, state_->discovered().get());
  state_->write_quarantined(tail);
  begin(tail, kCertificate);
  if (const std::optional<Time> expiry = state_->certificate_until()) tail.sample({}, to_seconds(*expiry));
  state_->write_collected(tail, kReloadOk, collected);
  state_->write_collected(tail, kReloadTime, collected);
  single(tail, kPaused, scene.ledger.paused() ? 1 : 0);

  PageDetail detail;
  detail.targets_only = shows_targets_only(scene.config, results);
  const ResultScene walk{scene.ledger, scene.config, targets, scene.now, swept_now.get()};
  CutCounts left_out{};
  if (state_->most_series > 0) {
    SeriesCount all = count_result_series(walk, detail.targets_only);
    const auto of = [&](Cut cut) -> std::size_t& { return all.by_cut[static_cast<std::size_t>(cut)]; };
    count_listings(zones, of(Cut::not_listed), of(Cut::listings));
    for (const TargetView* view : targets.by_name())
      ++(all.exposed.contains(view->config.name) ? all.kept : of(Cut::target_info));
    // What is still to come besides: of each check its counts and coverage; the cuts; the detail and the process.
    const std::size_t others =
        head.samples() + own.samples() + tail.samples() + all.kept + targets.checks().size() * 6 + kCuts + 8;
    detail.cuts = cuts_for(all.by_cut, others, state_->most_series);
    std::copy_n(all.by_cut.begin(), detail.cuts, left_out.begin());
    detail.exposed = std::move(all.exposed);
  }
  state_->say(scene.config, detail.targets_only, results, detail.cuts,
              std::accumulate(left_out.begin(), left_out.end(), std::size_t{0}));

  write_target_info(info, targets, detail.leaves_out(Cut::target_info) ? &detail.exposed : nullptr);
  info.flush();
  write_counts(counts, targets, series.write(walk, detail, expected_results()));
  counts.flush();
  listings.write(zones, !detail.leaves_out(Cut::listings), !detail.leaves_out(Cut::not_listed), nullptr);

  begin(tail, kDetail);
  tail.sample(Exposition::labels({{"detail", detail.targets_only ? "targets" : "results"}}), 1);
  begin(tail, kSeriesCut);
  for (std::size_t i = 0; i < kCuts; ++i) {
    tail.sample(Exposition::labels({{"part", to_string(static_cast<Cut>(i))}}), static_cast<double>(left_out[i]));
  }
  write_process_metrics(tail);
  tail.finish();
}

void Metrics::write_target(Sections& sections, const Scene& scene, const std::string& target, const std::string& check) const {
  const TargetIndex targets(scene.targets);
  const std::shared_ptr<const SweepView> swept_now = swept();
  const ResultScene walk{scene.ledger, scene.config, targets, scene.now, swept_now.get()};
  ResultSeries series(sections);
  series.write_target(walk, target, check);
  if (check.empty()) {
    ListingSeries listings(sections);
    listings.write(scene.zones != nullptr ? *scene.zones : ZonesView(), true, true, &target);
  }
  sections.section().finish();
}

std::string place_text(const TargetPlace& place) {
  if (!place.host.empty()) return place.host;
  if (place.address) return place.address->to_string();
  if (place.network) return place.network->to_string();
  return place.mx_of;
}

}  // namespace ajar
