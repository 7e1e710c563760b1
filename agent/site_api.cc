// The JSON API: everything that is known, as objects.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/json.h"
#include "agent/site_reply.h"

namespace ajar {
namespace {

using Json = nlohmann::ordered_json;

// The API's frame around objects that are text already.
class DataArray {
 public:
  void add(const Json& object) {
    text_ += count_++ == 0 ? "\n" : ",\n";
    text_ += object.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  SiteReply finish(const SiteRequest& request) {
    text_ += count_ == 0 ? "]}\n" : "\n]}\n";
    return packed(request, reply(200, std::move(text_), kJson));
  }

 private:
  std::string text_ = "{\"data\":[";
  std::size_t count_ = 0;
};

// What the sweep of a target's network knows; nullptr: it has none.
const SweepSummary* find_swept(const SweepView& swept, const std::string& target) {
  const auto found = std::lower_bound(swept.begin(), swept.end(), target,
                                      [](const SweepRow& row, const std::string& name) { return row.target < name; });
  return found != swept.end() && found->target == target ? &found->summary : nullptr;
}

Json swept_object(const SweepSummary* swept) {
  if (swept == nullptr) return nullptr;
  Json object = {{"endpoints", swept->endpoints.all()}};
  for (std::size_t state = 0; state < kSweepStates; ++state)
    object[std::string(to_string(static_cast<SweepState>(state)))] = swept->endpoints.by_state[state];
  object["completed"] = swept->completed ? Json(to_rfc3339(*swept->completed)) : Json(nullptr);
  return object;
}

// The level of what has no result because nobody listens there.
std::optional<Verdict> level_of(const SweepSummary* swept) {
  if (swept == nullptr) return std::nullopt;
  const SweepCounts& counts = swept->endpoints;
  if (counts[SweepState::silent] + counts[SweepState::no_route] > 0) return Verdict::unreachable;
  return counts[SweepState::refused] > 0 ? std::optional(Verdict::closed) : std::nullopt;
}

}  // namespace

SiteReply Site::api_results(const SiteRequest& request) const {
  const std::string name = param(request.params, "target");
  const std::string check = param(request.params, "check");
  const std::string wanted = param(request.params, "verdict");
  const std::optional<Verdict> verdict = parse_verdict(wanted);
  if (!wanted.empty() && !verdict) return reply(400, "unknown verdict\n");
  if (!name.empty() && find_target(*state_.targets(), name) == nullptr) return not_found("unknown target");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  std::vector<std::pair<ResultKey, Time>> asked;  // and when they were probed last
  state_.ledger.each_result([&](const ResultState& result) {
    if ((!name.empty() && result.key.target != name) || (!check.empty() && result.key.check != check)) return;
    asked.emplace_back(result.key, result.last_probe);
  });
  DataArray data;
  for (const auto& [key, last_probe] : asked) {
    const std::optional<Record> record = state_.ledger.latest(key);
    if (!record || (verdict && record->finding.verdict != *verdict)) continue;
    Json object = to_json(*record);
    // A probe that found what that record says left none of its own.
    object["last_probe"] = to_rfc3339(std::max(last_probe, record->started));
    data.add(object);
  }
  return data.finish(request);
}

SiteReply Site::api_exposures(const SiteRequest& request) const {
  DataArray data;
  for (const ExposureView& view : cases(ExposureFilter::of(request.params))) data.add(to_json(view.exposure, view.exempt));
  return data.finish(request);
}

SiteReply Site::api_listings(const SiteRequest& request) const {
  const std::string target = param(request.params, "target");
  const std::shared_ptr<const ZonesView> known = zones();
  DataArray data;
  for (const ListingView& row : known->listings) {
    if (target.empty() || row.target == target) data.add(to_json(row));
  }
  return data.finish(request);
}

SiteReply Site::api_suspicions(const SiteRequest& request) const {
  const std::string target = param(request.params, "target");
  const std::string wanted = param(request.params, "status");
  const std::optional<SuspicionStatus> status = parse_suspicion_status(wanted);
  if (!wanted.empty() && !status) return reply(400, "unknown status: confirmed, refuted or untested\n");
  DataArray data;
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  for (const SuspicionView& view : suspicion_views(state_.ledger, *state_.config(), *targets)) {
    if (!target.empty() && view.target != target) continue;
    if (!status || view.judgement.status == *status) data.add(to_json(view));
  }
  return data.finish(request);
}

SiteReply Site::api_targets(const SiteRequest& request) const {
  std::map<std::string, Verdict> worst;
  state_.ledger.each_result([&](const ResultState& result) {
    if (result.last_probe == Time{}) return;
    Verdict& level = worst.try_emplace(result.key.target, result.level).first->second;
    level = std::max(level, result.level);
  });
  DataArray data;
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  const std::shared_ptr<const SweepView> swept = state_.metrics.swept();
  for (const TargetView& view : *targets) {
    const TargetConfig& config = view.config;
    const auto level = worst.find(config.name);
    Json object = {
        {"kind", "target"},      {"name", config.name},      {"host", place_text(config.place)}, {"addresses", view.addresses},
        {"owner", config.owner}, {"labels", Json::object()}, {"checks", config.checks}};
    if (config.dnsbl) object["checks"].push_back("dnsbl");
    for (const auto& [key, value] : config.labels) object["labels"][key] = value;
    const SweepSummary* const of_sweep = find_swept(*swept, config.name);
    std::optional<Verdict> shown = level_of(of_sweep);
    if (level != worst.end()) shown = std::max(level->second, shown.value_or(level->second));
    object["level"] = shown ? Json(static_cast<int>(*shown)) : Json(nullptr);
    object["paused"] = config.paused;
    object["swept"] = swept_object(of_sweep);
    data.add(object);
  }
  return data.finish(request);
}

}  // namespace ajar
