// What the pages show: gathered from the ledger, the configuration and the metrics.
#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "agent/site_reply.h"
#include "agent/static_files.h"
#include "checks/catalogue.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxFirst = 25;   // open cases on the first page; a link leads to all
constexpr std::size_t kMaxLeftOut = 5;  // questions named at the head of every page
constexpr auto kOverdue = std::chrono::minutes(1);
constexpr auto kGivenUp = std::chrono::minutes(15);  // a page no longer waits for a test

// Worst first; the order of keys within a level.
void sort_worst_first(std::vector<ResultState>& results) {
  std::stable_sort(results.begin(), results.end(),
                   [](const ResultState& a, const ResultState& b) { return a.level > b.level; });
}

std::vector<std::string> owners_of(const std::vector<TargetView>& targets) {
  std::set<std::string> owners;
  for (const TargetView& view : targets) {
    if (!view.config.owner.empty()) owners.insert(view.config.owner);
  }
  return {owners.begin(), owners.end()};
}

// When a test was asked for whose result the page waits for.
std::optional<Time> asked_at(const SiteRequest& request, Time now) {
  const std::string text = param(request.params, "after");
  std::int64_t milliseconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const Time asked{std::chrono::milliseconds(milliseconds)};
  if (asked > now || now - asked > kGivenUp) return std::nullopt;
  return asked;
}

template <class Row>
std::vector<Row> rows_of(std::vector<Row> all, const PageOf& place) {
  all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(place.first));
  all.resize(place.count);
  return all;
}

template <class T>
std::size_t shorten(std::vector<T>& items, std::size_t most) {
  if (items.size() <= most) return 0;
  const std::size_t left_out = items.size() - most;
  items.resize(most);
  return left_out;
}

}  // namespace

std::vector<std::string> Site::left_out() const {
  std::vector<std::string> sentences;
  const std::vector<ResultKey> quarantined = state_.metrics.quarantined();
  for (const ResultKey& key : quarantined) {
    if (sentences.size() == kMaxLeftOut) {
      sentences.push_back(fmt::format("{} questions in all.", quarantined.size()));
      break;
    }
    sentences.push_back(fmt::format("{} of {} ({}/{}): its answer crashed ajar twice.", key.check, key.target,
                                    join_host_port(key.address, key.port), to_string(key.transport)));
  }
  return sentences;
}

Frame Site::frame(std::string section) const {
  const Time now = state_.now();
  return {.now = now,
          .paused = state_.ledger.paused(),
          .ready = state_.ready(),
          .failure = state_.ledger.failing() ? state_.ledger.failure() : "",
          .notes = state_.ledger.notes(),
          .left_out = left_out(),
          .canary = state_.metrics.canary(),
          .vantage = state_.metrics.vantage(),
          .section = std::move(section),
          .form_token = form_token_.at(now),
          .running = std::nullopt};
}

ExposureView Site::exposure_view(Case exposure, const Config& config) const {
  const ExemptionConfig* exemption = exemption_now(config, exposure.key.target, exposure.key.check, state_.now());
  ExposureView view{std::move(exposure), exemption != nullptr, std::nullopt, std::nullopt};
  if (exemption != nullptr) view.exemption = *exemption;
  return view;
}

std::vector<ExposureView> Site::cases(const ExposureFilter& filter) const {
  const std::shared_ptr<const Config> config = state_.config();
  std::vector<ExposureView> views;
  for (Case& exposure : state_.ledger.cases()) views.push_back(exposure_view(std::move(exposure), *config));
  return select(filter, std::move(views), state_.now());
}

// One walk through all results: what the headline rests on, the counts, the coverage and the schedule.
void Site::add_results(Overview& shown, const Config& config, const TargetViews& targets) const {
  const Time now = state_.now();
  FirstLook& look = shown.look;
  CoverageCount covered(config, targets, now);
  state_.ledger.each_result([&](const ResultState& result) {
    covered.add(result);
    if (result.last_probe != Time{}) ++shown.counts[result.key.check][result.level];
    if (result.due != Time{} && result.due + kOverdue < now) ++shown.overdue;
    if (result.due >= now) shown.next_due = std::min(shown.next_due.value_or(result.due), result.due);
    const TargetConfig* const target = covered.target(result.key.target);
    if (target == nullptr || target->paused) return;
    ++look.results;
    if (result.last_probe == Time{}) return;
    if (now - result.last_probe <= 2 * config.interval(*target, result.key.check)) ++look.tested;
    if (result.level == Verdict::unclear) ++look.unclear;
    if (result.level == Verdict::unreachable && result.reason != Reason::filtered) ++look.unreachable;
  });
  const std::shared_ptr<const SweepView> swept = state_.metrics.swept();
  covered.add(*swept);
  for (const SweepRow& row : *swept) {
    for (const auto& [check, counts] : row.summary.by_check) {
      shown.counts[check][Verdict::closed] += counts[SweepState::refused];
      shown.counts[check][Verdict::unreachable] += counts[SweepState::silent] + counts[SweepState::no_route];
      if (row.paused) continue;
      look.tested += counts.covered;
      look.results += counts.all() - counts[SweepState::listening];
      // Silence is a filter's where anything of the network answers.
      const bool answers = counts[SweepState::refused] + counts[SweepState::listening] > 0;
      look.unreachable += counts[SweepState::no_route] + (answers ? 0 : counts[SweepState::silent]);
    }
  }
  const std::map<std::string, std::size_t> expected = state_.metrics.expected_results();
  std::size_t should = 0;
  for (const auto& [check, count] : expected) should += count;
  look.results = std::max(look.results, should);
  shown.coverage = covered.by_check(expected);
  shown.in_flight = state_.metrics.probes_in_flight();
}

SiteReply Site::overview(const SiteRequest& request) const {
  const std::shared_ptr<const Config> config = state_.config();
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  Overview shown;
  ExposureFilter open;
  open.status = CaseStatus::open;
  shown.open = cases(open);
  for (ExposureView& view : shown.open) {
    view.result = state_.ledger.result(view.exposure.key);
    if (view.exempt) {
      ++shown.look.exempt;
      continue;
    }
    ++(view.exposure.level == Verdict::open ? shown.look.open : shown.look.accepted);
    shown.look.not_seen += not_seen(view) ? 1 : 0;
  }
  shorten(shown.open, kMaxFirst);
  for (const TargetView& view : *targets) {
    for (const std::string& check : view.config.checks) shown.counts[check];
    shown.look.targets += view.config.paused ? 0 : 1;
  }
  add_results(shown, *config, *targets);
  shown.look.paused = state_.ledger.paused();
  shown.look.ready = state_.ready();
  shown.look.blind = is_blind(state_.metrics.vantage());
  shown.targets = targets->size();
  shown.agent = config->agent;
  const std::shared_ptr<const ZonesView> known = zones();
  for (const ZoneStatus& zone : known->zones) {
    if (zone.kinds.empty()) continue;
    ++shown.databases;
    shown.databases_healthy += zone.state == ZoneState::healthy ? 1 : 0;
  }
  for (const ListingView& row : known->listings) {
    if (row.listed == true) ++shown.listed[row.target];
  }
  const CanaryConfig& canary = config->canary;
  shown.canary_configured = !canary.remote.empty() || !canary.listen_tcp.empty() || !canary.listen_udp.empty() ||
                            !canary.listen_tls.empty() || !canary.listen_smtp.empty();
  return packed(request, reply(200, overview_page(frame("/"), shown), kHtml));
}

SiteReply Site::targets(const SiteRequest& request) {
  TargetsPage shown;
  shown.filter = TargetFilter::of(request.params);
  const std::shared_ptr<const Fleet> fleet = fleet_.read(state_.ledger);
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  std::vector<TargetRow> rows = select(shown.filter, *targets, *fleet);
  shown.place = page_of(rows.size(), shown.filter.page);
  shown.rows = rows_of(std::move(rows), shown.place);
  shown.owners = owners_of(*targets);
  shown.discovery = discovery();
  return packed(request, reply(200, targets_page(frame("/targets"), shown), kHtml));
}

ResultView Site::result_view(const ResultState& state, const Config& config, bool with_evidence) const {
  ResultView view;
  view.state = state;
  view.exempt = is_exempt(config, state.key.target, state.key.check, state_.now());
  if (!with_evidence) return view;
  view.history = state_.ledger.history(state.key);
  view.latest = state_.ledger.latest(state.key);
  view.not_closed = state_.ledger.latest_not_closed(state.key);
  if (view.not_closed && view.latest && view.not_closed->probe_id == view.latest->probe_id) view.not_closed.reset();
  return view;
}

SiteReply Site::target(const SiteRequest& request, const std::string& name) const {
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  const TargetView* found = find_target(*targets, name);
  if (found == nullptr) return not_found("unknown target");
  const std::string check = param(request.params, "check");
  const std::string address = param(request.params, "address");
  const std::string port = param(request.params, "port");
  const std::string transport = param(request.params, "transport");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  std::vector<ResultState> results = state_.ledger.results_of(name);
  std::erase_if(results, [&](const ResultState& r) {
    return r.last_probe == Time{} || (!check.empty() && r.key.check != check) ||
           (!address.empty() && r.key.address.to_string() != address) ||
           (!port.empty() && std::to_string(r.key.port) != port) ||
           (!transport.empty() && to_string(r.key.transport) != transport);
  });
  sort_worst_first(results);
  TargetPage shown;
  shown.target = *found;
  const std::shared_ptr<const SweepView> swept = state_.metrics.swept();
  const auto sweep = std::find_if(swept->begin(), swept->end(), [&](const SweepRow& one) { return one.target == name; });
  if (sweep != swept->end()) shown.swept = sweep->summary;
  shown.one_result = !check.empty() || !address.empty() || !port.empty() || !transport.empty();
  Frame around = frame("/targets");
  if (const std::optional<Time> asked = asked_at(request, around.now)) {
    const auto newer = static_cast<std::size_t>(
        std::count_if(results.begin(), results.end(), [&](const ResultState& r) { return r.last_probe >= *asked; }));
    if (newer < results.size() || results.empty())
      around.running = fmt::format("{} of {} results are new.", newer, results.size());
  }
  shown.left_out = shorten(results, kMaxRows);
  const std::shared_ptr<const Config> config = state_.config();
  for (const ResultState& result : results) {
    shown.results.push_back(result_view(result, *config, shown.results.size() < kMaxEvidence));
  }
  ExposureFilter of_target;
  of_target.target = name;
  shown.cases = cases(of_target);
  shorten(shown.cases, kPageRows);
  for (ExposureView& view : shown.cases) view.result = state_.ledger.result(view.exposure.key);
  const std::shared_ptr<const ZonesView> known = zones();
  std::copy_if(known->listings.begin(), known->listings.end(), std::back_inserter(shown.listings),
               [&](const ListingView& row) { return row.target == name; });
  const auto worry = [](const ListingView& row) { return row.listed ? *row.listed ? 0 : 2 : 1; };
  std::stable_sort(shown.listings.begin(), shown.listings.end(),
                   [&](const ListingView& a, const ListingView& b) { return worry(a) < worry(b); });
  shown.listings_left_out = shorten(shown.listings, kMaxRows);
  shown.suspicions = suspicion_views(state_.ledger, *config, *targets);
  std::erase_if(shown.suspicions, [&](const SuspicionView& view) { return view.target != name; });
  shown.suspicions_left_out = shorten(shown.suspicions, kMaxRows);
  return packed(request, reply(200, target_page(around, shown), kHtml));
}

SiteReply Site::exposures(const SiteRequest& request) const {
  ExposuresPage shown;
  shown.filter = ExposureFilter::of(request.params);
  std::vector<ExposureView> rows = cases(shown.filter);
  shown.place = page_of(rows.size(), shown.filter.page);
  shown.rows = rows_of(std::move(rows), shown.place);
  for (ExposureView& view : shown.rows) view.result = state_.ledger.result(view.exposure.key);
  shown.owners = owners_of(*state_.targets());
  return packed(request, reply(200, exposures_page(frame("/exposures"), shown), kHtml));
}

SiteReply Site::exposures_as_csv(const SiteRequest& request) const {
  const std::vector<ExposureView> rows = cases(ExposureFilter::of(request.params));
  SiteReply made = reply(200, exposures_csv(rows, state_.now()), "text/csv; charset=utf-8; header=present");
  made.headers.emplace_back("Content-Disposition", "attachment; filename=\"exposures.csv\"");
  return packed(request, std::move(made));
}

SiteReply Site::exposure(const SiteRequest& request, const std::string& id) const {
  std::optional<Case> found = state_.ledger.find_case(id);
  if (!found) return not_found("unknown exposure");
  const ResultKey key = found->key;
  const std::optional<Record> evidence = state_.ledger.latest_not_closed(key);
  ExposureView view = exposure_view(*std::move(found), *state_.config());
  view.result = state_.ledger.result(key);
  std::vector<Record> others;
  for (const CheckInfo& check : catalogue()) {
    ResultKey other = key;
    other.check = check.name;
    if (std::optional<Record> record = state_.ledger.latest(other); record && other != key)
      others.push_back(*std::move(record));
  }
  Frame around = frame("/exposures");
  const std::optional<Time> asked = asked_at(request, around.now);
  if (asked && view.result && view.result->last_probe < *asked) around.running = "";
  return packed(request, reply(200, exposure_page(around, view, evidence, others), kHtml));
}

SiteReply Site::runbook(const SiteRequest& request, const std::string& alert) const {
  if (alert.empty()) return packed(request, reply(200, runbooks_page(frame("/runbooks/"), runbooks()), kHtml));
  const Runbook* found = find_runbook(alert);
  if (found == nullptr) return not_found("unknown alert");
  return packed(request, reply(200, runbook_page(frame("/runbooks/"), *found), kHtml));
}

SiteReply Site::static_file(const SiteRequest& request, const std::string& name) const {
  const StaticFile* file = find_static_file(name);
  if (file == nullptr) return not_found("no such file");
  SiteReply made = reply(200, std::string(file->text), static_type(name));
  // Another content has another address; without the hash nothing is promised.
  const bool by_hash = param(request.params, "v") == static_hash(name);
  made.headers.emplace_back("Cache-Control", by_hash ? "public, max-age=31536000, immutable" : "no-cache");
  return packed(request, std::move(made));
}

}  // namespace ajar
