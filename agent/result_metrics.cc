#include "agent/result_metrics.h"

#include <algorithm>
#include <charconv>

#include "agent/exemption.h"

namespace ajar {
namespace {

constexpr MetricType kGauge = MetricType::gauge;

constexpr MetricFamily kLevel{
    "ajar_exposure_level", kGauge,
    "Judged state of a result: 0 closed, 1 unreachable, 2 unclear, 3 accepted (it said yes, without proof), 4 open "
    "(proven). Held while a case is open."};
constexpr MetricFamily kFirstSeen{"ajar_exposure_first_seen_timestamp_seconds", kGauge,
                                  "When the open case of a result began."};
constexpr MetricFamily kExempt{"ajar_exposure_exempt", kGauge, "1 while an exemption of the configuration covers the result."};
constexpr MetricFamily kLastLevel{"ajar_last_probe_level", kGauge,
                                  "What the last probe alone said, 0 to 4 as in ajar_exposure_level."};
constexpr MetricFamily kLastProbe{"ajar_last_probe_timestamp_seconds", kGauge, "When the last probe of a result began."};
constexpr MetricFamily kLastConclusive{"ajar_last_conclusive_timestamp_seconds", kGauge,
                                       "When the last probe began that said closed, accepted or open."};
constexpr MetricFamily kDue{"ajar_result_due_timestamp_seconds", kGauge,
                            "When the next probe of a result is due; absent while its target is paused."};
constexpr MetricFamily kTargetLevel{"ajar_target_exposure_level", kGauge,
                                    "The worst ajar_exposure_level of a target, from its first result on."};
constexpr MetricFamily kTargetConclusive{
    "ajar_target_last_conclusive_timestamp_seconds", kGauge,
    "The oldest ajar_last_conclusive_timestamp_seconds of a target, filtered ports left out; 0 when a "
    "result never was conclusive."};

// In the order of the page: a place in ResultSeries::out_ each.
constexpr std::array kFamilies = {&kLevel,          &kFirstSeen, &kExempt,      &kLastLevel,       &kLastProbe,
                                  &kLastConclusive, &kDue,       &kTargetLevel, &kTargetConclusive};
enum Place { level, first_seen, exempt, last_level, last_probe, last_conclusive, due, target_level, target_conclusive };

bool was_probed(const ResultState& result) { return result.last_probe != Time{}; }

// A port where nobody serves is counted, not shown, unless a case is open there.
bool is_shown(const ResultState& result) {
  const bool nobody = result.reason == Reason::nobody_listens || result.reason == Reason::filtered;
  return was_probed(result) && (result.case_id || !nobody);
}

double level_of(Verdict verdict) { return static_cast<double>(static_cast<int>(verdict)); }

// What leaves a result out, of what may.
std::optional<Cut> cut_of(Verdict verdict) {
  if (verdict == Verdict::closed) return Cut::closed;
  if (verdict < Verdict::accepted) return Cut::unknown;
  return std::nullopt;
}

// Whether the target of a result is paused and its checks exempt: looked up once for each target, which stand together.
class TargetFacts {
 public:
  explicit TargetFacts(const ResultScene& scene) : scene_(scene) {
    for (const ExemptionConfig& exemption : scene.config.exemptions) exempted_.insert(exemption.target);
  }
  // True when it is another one than before.
  bool move_to(const std::string& target) {
    if (known_ && target == name_) return false;
    known_ = true;
    name_ = target;
    const auto [view, place] = scene_.targets.find(target, place_);
    place_ = place;
    paused = view != nullptr && view->config.paused;
    has_exemption_ = exempted_.contains(target);
    return true;
  }
  bool is_exempt(const std::string& check) const {
    return has_exemption_ && ajar::is_exempt(scene_.config, name_, check, scene_.now);
  }
  const std::string& name() const { return name_; }

  bool paused = false;

 private:
  const ResultScene& scene_;
  std::set<std::string_view> exempted_;
  std::string name_;
  bool known_ = false;
  bool has_exemption_ = false;
  std::size_t place_ = 0;
};

// The worst level of a target, and its oldest conclusive answer.
struct TargetState {
  Verdict worst = Verdict::closed;
  std::optional<double> oldest;
  bool any = false;

  void add(const ResultState& result) {
    any = true;
    worst = std::max(worst, result.level);
    if (result.last_reason == Reason::filtered && !result.case_id) return;
    const double when = result.last_conclusive ? to_seconds(*result.last_conclusive) : 0;
    oldest = oldest ? std::min(*oldest, when) : when;
  }
  // What was swept is closed where it was refused, and unreachable else; silence there is a filtered port's.
  void add(const SweepCounts& swept, const std::optional<Time>& refused) {
    const bool unreachable = swept[SweepState::silent] + swept[SweepState::no_route] > 0;
    any = any || unreachable || swept[SweepState::refused] > 0;
    if (unreachable) worst = std::max(worst, Verdict::unreachable);
    if (refused) oldest = std::min(oldest.value_or(to_seconds(*refused)), to_seconds(*refused));
  }
};

// Goes from target to target, by name, also through those of which only sweeps know.
class TargetWalk {
 public:
  // Adds what a sweep knows of the target so far to `state`; then `change` ends it and begins the next one, which it names,
  // until that is `next`. nullopt: there is no next.
  template <class Change>
  void move(const SweepView* swept, const std::optional<std::string>& next, TargetState& state, Change change) {
    while (swept != nullptr && place_ < swept->size() && (!next || (*swept)[place_].target < *next)) {
      const SweepRow& row = (*swept)[place_++];
      if (row.target != name_) change(row.target);
      name_ = row.target;
      state.add(row.summary.endpoints, row.summary.oldest);
    }
    name_ = next.value_or("");
    change(name_);
  }

 private:
  std::string name_;
  std::size_t place_ = 0;
};

// What is copied of a result while the ledger is held.
struct Row {
  std::string labels;
  Verdict level{}, last_level{};
  Time last_probe{};
  std::optional<Time> first_seen, conclusive, due;
  bool exempt = false;
};
struct TargetRow {
  std::string labels;
  TargetState state;
};

// Rows that keep their memory from portion to portion.
template <class T>
class Portion {
 public:
  T& add() {
    if (size_ == rows_.size()) rows_.emplace_back();
    return rows_[size_++];
  }
  std::span<const T> rows() const { return {rows_.data(), size_}; }
  void clear() { size_ = 0; }

 private:
  std::vector<T> rows_;
  std::size_t size_ = 0;
};

// Takes results in the order of their keys, and writes what it has taken.
class Writer {
 public:
  Writer(std::vector<Exposition>& out, const ResultScene& scene, const PageDetail& detail)
      : out_(out), scene_(scene), detail_(detail), facts_(scene), coverage_(scene.config, scene.targets, scene.now) {}

  // With the ledger held.
  void take(const ResultState& result, const Case* open) {
    if (facts_.move_to(result.key.target)) next_target(facts_.name());
    coverage_.add(result);
    if (!was_probed(result)) return;
    count(result);
    state_.add(result);
    if (!is_shown(result)) return;
    if (detail_.targets_only && result.level == Verdict::closed) return;
    const std::optional<Cut> cut = cut_of(result.level);
    if (cut && detail_.leaves_out(*cut)) return;
    Row& row = rows_.add();
    label(row.labels, result.key);
    row.level = result.level;
    row.last_level = result.last_level;
    row.last_probe = result.last_probe;
    row.conclusive = result.last_conclusive;
    row.first_seen = open == nullptr ? std::nullopt : std::optional(open->first_seen);
    // Nothing of a paused target is due: it would be overdue for as long as the pause lasts.
    row.due = result.due == Time{} || facts_.paused ? std::nullopt : std::optional(result.due);
    row.exempt = facts_.is_exempt(result.key.check);
  }

  // Without it.
  void write() {
    const auto each = [&](Place place, auto value) {
      Exposition& out = out_[place];
      for (const Row& row : rows_.rows()) value(out, row);
    };
    each(level, [](Exposition& out, const Row& row) { out.sample(row.labels, level_of(row.level)); });
    each(first_seen, [](Exposition& out, const Row& row) {
      if (row.first_seen) out.sample(row.labels, to_seconds(*row.first_seen));
    });
    each(exempt, [](Exposition& out, const Row& row) {
      if (row.exempt) out.sample(row.labels, 1);
    });
    if (!detail_.leaves_out(Cut::detail)) {
      each(last_level, [](Exposition& out, const Row& row) { out.sample(row.labels, level_of(row.last_level)); });
      each(last_probe, [](Exposition& out, const Row& row) { out.sample(row.labels, to_seconds(row.last_probe)); });
      each(last_conclusive, [](Exposition& out, const Row& row) {
        if (row.conclusive) out.sample(row.labels, to_seconds(*row.conclusive));
      });
      each(due, [](Exposition& out, const Row& row) {
        if (row.due) out.sample(row.labels, to_seconds(*row.due));
      });
    }
    rows_.clear();
    for (const TargetRow& row : targets_.rows()) {
      out_[target_level].sample(row.labels, level_of(row.state.worst));
      if (row.state.oldest) out_[target_conclusive].sample(row.labels, *row.state.oldest);
    }
    targets_.clear();
  }

  ResultCounts finish(const std::map<std::string, std::size_t>& expected) {
    next_target(std::nullopt);
    write();
    for (Exposition& out : out_) out.flush();
    ResultCounts counts;
    for (const auto& [check, of_check] : counts_) counts.by_check[check] = of_check;
    if (scene_.swept != nullptr) {
      coverage_.add(*scene_.swept);
      add_swept(*scene_.swept, counts);
    }
    counts.coverage = coverage_.by_check(expected);
    return counts;
  }

 private:
  void next_target(const std::optional<std::string>& next) {
    walk_.move(scene_.swept, next, state_, [this](const std::string& name) {
      end_target();
      begin_target(name);
    });
  }

  void end_target() {
    if (!state_.any || detail_.leaves_out(Cut::targets)) return;
    TargetRow& row = targets_.add();
    row.labels = target_label_;
    row.state = state_;
  }

  void begin_target(const std::string& name) {
    state_ = {};
    target_label_ = "target=\"";
    Exposition::append_value(target_label_, name);
    target_label_ += '"';
  }

  static void add_swept(const SweepView& swept, ResultCounts& counts) {
    for (const SweepRow& row : swept) {
      for (const auto& [check, of_check] : row.summary.by_check) {
        auto& by_verdict = counts.by_check[check];
        by_verdict[static_cast<std::size_t>(Verdict::closed)] += of_check[SweepState::refused];
        by_verdict[static_cast<std::size_t>(Verdict::unreachable)] +=
            of_check[SweepState::silent] + of_check[SweepState::no_route];
      }
    }
  }

  void count(const ResultState& result) {
    const std::string& check = result.key.check;
    auto found = std::find_if(counts_.begin(), counts_.end(), [&](const auto& one) { return one.first == check; });
    if (found == counts_.end()) found = counts_.insert(found, {check, {}});
    ++found->second[static_cast<std::size_t>(result.level)];
  }

  void label(std::string& text, const ResultKey& key) const {
    std::array<char, 8> port;
    text = target_label_;
    text += ",address=\"";
    text += key.address.to_string();
    text += "\",port=\"";
    text.append(port.data(), std::to_chars(port.data(), port.data() + port.size(), key.port).ptr);
    text += "\",transport=\"";
    text += to_string(key.transport);
    text += "\",check=\"";
    Exposition::append_value(text, key.check);
    text += '"';
  }

  std::vector<Exposition>& out_;
  const ResultScene& scene_;
  const PageDetail& detail_;
  TargetFacts facts_;
  CoverageCount coverage_;
  std::vector<std::pair<std::string, std::array<std::size_t, 5>>> counts_;  // by check: few
  std::string target_label_;                                                // of the target that is being counted
  TargetState state_;
  TargetWalk walk_;
  Portion<Row> rows_;
  Portion<TargetRow> targets_;
};

}  // namespace

std::string_view to_string(Cut cut) {
  switch (cut) {
    case Cut::closed:
      return "closed";
    case Cut::not_listed:
      return "not_listed";
    case Cut::detail:
      return "detail";
    case Cut::targets:
      return "targets";
    case Cut::unknown:
      return "unknown";
    case Cut::listings:
      return "listings";
    case Cut::target_info:
      return "target_info";
  }
  return "closed";
}

SeriesCount count_result_series(const ResultScene& scene, bool targets_only) {
  SeriesCount counts;
  const auto of = [&](Cut cut) -> std::size_t& { return counts.by_cut[static_cast<std::size_t>(cut)]; };
  TargetFacts facts(scene);
  TargetState state;
  TargetWalk targets;
  const auto next_target = [&](const std::optional<std::string>& next) {
    targets.move(scene.swept, next, state, [&](const std::string&) {
      of(Cut::targets) += (state.any ? 1U : 0U) + (state.oldest ? 1U : 0U);
      state = {};
    });
  };
  scene.ledger.each_result(
      [&](const ResultState& result, const Case* open) {
        if (facts.move_to(result.key.target)) next_target(facts.name());
        if (!was_probed(result)) return;
        state.add(result);
        if (!is_shown(result)) return;
        const std::size_t least = 1U + (open != nullptr ? 1U : 0U) + (facts.is_exempt(result.key.check) ? 1U : 0U);
        const std::size_t more = 2U + (result.last_conclusive ? 1U : 0U) + (result.due != Time{} && !facts.paused ? 1U : 0U);
        const std::optional<Cut> cut = cut_of(result.level);
        if (cut == Cut::closed) {
          of(Cut::closed) += targets_only ? 0 : least + more;
          return;
        }
        of(Cut::detail) += more;
        if (cut) {
          of(*cut) += least;
        } else {
          counts.kept += least;
          counts.exposed.insert(result.key.target);
        }
      },
      [] {});
  next_target(std::nullopt);
  return counts;
}

ResultSeries::ResultSeries(Sections& sections) {
  for (const MetricFamily* family : kFamilies) {
    out_.push_back(sections.section());
    out_.back().family(*family);
  }
}

ResultCounts ResultSeries::write(const ResultScene& scene, const PageDetail& detail,
                                 const std::map<std::string, std::size_t>& expected) {
  Writer writer(out_, scene, detail);
  scene.ledger.each_result([&](const ResultState& result, const Case* open) { writer.take(result, open); },
                           [&] { writer.write(); });
  return writer.finish(expected);
}

void ResultSeries::write_target(const ResultScene& scene, const std::string& target, const std::string& check) {
  const PageDetail all;
  SweepView own;
  if (scene.swept != nullptr && check.empty()) {
    std::copy_if(scene.swept->begin(), scene.swept->end(), std::back_inserter(own),
                 [&](const SweepRow& row) { return row.target == target; });
  }
  ResultScene alone = scene;
  alone.swept = &own;
  Writer writer(out_, alone, all);
  for (const ResultState& result : scene.ledger.results_of(target)) {
    if (!check.empty() && result.key.check != check) continue;
    const std::optional<Case> exposure = result.case_id ? scene.ledger.find_case(*result.case_id) : std::nullopt;
    writer.take(result, exposure && exposure->status == CaseStatus::open ? &*exposure : nullptr);
  }
  writer.finish({});
}

}  // namespace ajar
