#include "agent/selection.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include <fmt/format.h>

#include "agent/page_frame.h"
#include "checks/wire/ascii.h"

namespace ajar {
namespace {

bool contains(std::string_view text, std::string_view wanted) {
  return std::search(text.begin(), text.end(), wanted.begin(), wanted.end(),
                     [](char a, char b) { return to_lower(a) == to_lower(b); }) != text.end();
}

std::size_t page_number(const Params& params) {
  const std::string text = param(params, "page");
  if (text.empty()) return 1;
  std::size_t page = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), page);
  if (error != std::errc() || end != text.data() + text.size() || page == 0) throw BadSelection("page is a number from 1 on");
  return page;
}

SortBy sort_by(const Params& params, const SortBy& otherwise, std::initializer_list<std::string_view> columns) {
  std::string text = param(params, "sort");
  if (text.empty()) return otherwise;
  const bool down = text.starts_with('-');
  if (down) text.erase(0, 1);
  if (std::find(columns.begin(), columns.end(), text) == columns.end())
    throw BadSelection(fmt::format("sort is one of {}, or that with - before it", fmt::join(columns, ", ")));
  return {text, down};
}

std::string check_name(const Params& params) {
  const std::string check = param(params, "check");
  if (!check.empty() && find_check(check) == nullptr) throw BadSelection(fmt::format("unknown check `{}`", check));
  return check;
}

bool has_label(const TargetConfig& config, std::string_view label) {
  const std::size_t sign = label.find('=');
  const auto found = config.labels.find(std::string(label.substr(0, sign)));
  return found != config.labels.end() && (sign == std::string_view::npos || found->second == label.substr(sign + 1));
}

bool matches(const TargetFilter& filter, const TargetRow& row, const Fleet& fleet) {
  const TargetConfig& config = row.target->config;
  if (!filter.owner.empty() && config.owner != filter.owner) return false;
  if (!filter.label.empty() && !has_label(config, filter.label)) return false;
  if (filter.verdict || !filter.check.empty()) {
    const bool asked = std::find(config.checks.begin(), config.checks.end(), filter.check) != config.checks.end();
    if (!filter.verdict && !asked) return false;
    const Counts* counts = row.known == nullptr   ? nullptr
                           : filter.check.empty() ? &row.known->counts
                                                  : fleet.counts(*row.known, filter.check);
    if (filter.verdict && (counts == nullptr || (*counts)[static_cast<std::size_t>(*filter.verdict)] == 0)) return false;
  }
  if (filter.text.empty()) return true;
  return contains(config.name, filter.text) || contains(config.owner, filter.text) ||
         contains(place_text(config.place), filter.text) ||
         std::any_of(row.target->addresses.begin(), row.target->addresses.end(),
                     [&](const std::string& address) { return contains(address, filter.text); });
}

bool matches(const ExposureFilter& filter, const ExposureView& view, Time now) {
  const Case& exposure = view.exposure;
  if (filter.status && exposure.status != *filter.status) return false;
  if (filter.exempt && view.exempt != *filter.exempt) return false;
  if (!filter.owner.empty() && exposure.owner != filter.owner) return false;
  if (!filter.check.empty() && exposure.key.check != filter.check) return false;
  if (!filter.target.empty() && exposure.key.target != filter.target) return false;
  if (filter.older && now - exposure.first_seen < *filter.older) return false;
  return filter.text.empty() || contains(exposure.key.target, filter.text) || contains(exposure.owner, filter.text) ||
         contains(endpoint_text(exposure.key), filter.text) || exposure.id == filter.text;
}

// Sorts by what `of` gives of a row; what is equal keeps its order.
template <class Row, class Of>
void sort_rows(std::vector<Row>& rows, bool down, Of of) {
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return down ? of(b) < of(a) : of(a) < of(b); });
}

int worst_of(const TargetRow& row) {
  const std::optional<Verdict> level = row.known == nullptr ? std::nullopt : worst(row.known->counts);
  return level ? static_cast<int>(*level) : -1;
}

}  // namespace

std::string param(const Params& params, const std::string& name) {
  const auto found = params.find(name);
  return found == params.end() ? std::string() : found->second;
}

std::optional<CaseStatus> parse_status(std::string_view text) {
  for (const CaseStatus status : {CaseStatus::open, CaseStatus::closed, CaseStatus::retired}) {
    if (to_string(status) == text) return status;
  }
  return std::nullopt;
}

void Query::add(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  text_ += fmt::format("{}{}={}", text_.empty() ? "" : "&", name, url_encode(value));
}

std::string Query::text(std::string_view path) const {
  return text_.empty() ? std::string(path) : fmt::format("{}?{}", path, text_);
}

TargetFilter TargetFilter::of(const Params& params) {
  TargetFilter filter;
  filter.text = param(params, "q");
  filter.owner = param(params, "owner");
  filter.label = param(params, "label");
  filter.check = check_name(params);
  if (const std::string wanted = param(params, "verdict"); !wanted.empty()) {
    filter.verdict = parse_verdict(wanted);
    if (!filter.verdict) throw BadSelection("verdict is one of closed, unreachable, unclear, accepted, open");
  }
  filter.sort = sort_by(params, filter.sort, {"worst", "name", "owner", "probed"});
  filter.page = page_number(params);
  return filter;
}

std::string TargetFilter::query(std::string_view path) const {
  Query made;
  made.add("q", text);
  made.add("verdict", verdict ? to_string(*verdict) : "");
  made.add("check", check);
  made.add("owner", owner);
  made.add("label", label);
  if (sort != TargetFilter().sort) made.add("sort", sort.text());
  if (page > 1) made.add("page", std::to_string(page));
  return made.text(path);
}

ExposureFilter ExposureFilter::of(const Params& params) {
  ExposureFilter filter;
  filter.text = param(params, "q");
  filter.owner = param(params, "owner");
  filter.target = param(params, "target");
  filter.check = check_name(params);
  if (const std::string wanted = param(params, "state"); !wanted.empty()) {
    filter.status = parse_status(wanted);
    if (!filter.status) throw BadSelection("state is one of open, closed, retired");
  }
  if (const std::string wanted = param(params, "exempt"); !wanted.empty()) {
    if (wanted != "yes" && wanted != "no") throw BadSelection("exempt is yes or no");
    filter.exempt = wanted == "yes";
  }
  if (filter.older_text = param(params, "older"); !filter.older_text.empty()) {
    filter.older = parse_duration(filter.older_text);
    if (!filter.older) throw BadSelection("older is a time like 12h or 7d");
  }
  filter.sort = sort_by(params, filter.sort, {"state", "target", "check", "owner", "seen", "confirmed", "lasted"});
  filter.page = page_number(params);
  return filter;
}

std::string ExposureFilter::query(std::string_view path) const {
  Query made;
  made.add("q", text);
  made.add("state", status ? to_string(*status) : "");
  made.add("check", check);
  made.add("target", target);
  made.add("owner", owner);
  made.add("exempt", exempt ? *exempt ? "yes" : "no" : "");
  made.add("older", older_text);
  if (sort != ExposureFilter().sort) made.add("sort", sort.text());
  if (page > 1) made.add("page", std::to_string(page));
  return made.text(path);
}

bool not_seen(const ExposureView& view) {
  if (view.exposure.status != CaseStatus::open || !view.result) return false;
  return view.result->last_level == Verdict::unreachable || view.result->last_level == Verdict::unclear;
}

std::chrono::milliseconds lasted(const Case& exposure, Time now) { return exposure.closed.value_or(now) - exposure.first_seen; }

std::vector<ExposureView> select(const ExposureFilter& filter, std::vector<ExposureView> all, Time now) {
  std::erase_if(all, [&](const ExposureView& view) { return !matches(filter, view, now); });
  const std::string& column = filter.sort.column;
  const auto sort = [&](auto of) { sort_rows(all, filter.sort.down, of); };
  // What can be acted on first: open, not exempt, the oldest; then what ended, the latest first.
  const auto urgency = [](const ExposureView& view) {
    const Case& exposure = view.exposure;
    const bool open = exposure.status == CaseStatus::open;
    return std::tuple(!open, open && view.exempt,
                      open ? exposure.first_seen.time_since_epoch() : -exposure.closed.value_or(Time{}).time_since_epoch());
  };
  sort_rows(all, false, urgency);
  if (column == "state" && filter.sort.down) sort(urgency);
  if (column == "target") sort([](const ExposureView& view) { return view.exposure.key; });
  if (column == "check") sort([](const ExposureView& view) { return view.exposure.key.check; });
  if (column == "owner") sort([](const ExposureView& view) { return view.exposure.owner; });
  if (column == "seen") sort([](const ExposureView& view) { return view.exposure.first_seen; });
  if (column == "confirmed") sort([](const ExposureView& view) { return view.exposure.last_confirmed; });
  if (column == "lasted") sort([now](const ExposureView& view) { return lasted(view.exposure, now); });
  return all;
}

std::vector<TargetRow> select(const TargetFilter& filter, const std::vector<TargetView>& targets, const Fleet& fleet) {
  std::vector<TargetRow> rows;
  for (const TargetView& view : targets) {
    const TargetRow row{&view, fleet.find(view.config.name)};
    if (matches(filter, row, fleet)) rows.push_back(row);
  }
  const std::string& column = filter.sort.column;
  const auto name = [](const TargetRow& row) { return std::string_view(row.target->config.name); };
  sort_rows(rows, column == "name" && filter.sort.down, name);
  if (column == "worst") sort_rows(rows, filter.sort.down, worst_of);
  if (column == "owner")
    sort_rows(rows, filter.sort.down, [](const TargetRow& row) { return std::string_view(row.target->config.owner); });
  if (column == "probed")
    sort_rows(rows, filter.sort.down,
              [](const TargetRow& row) { return row.known == nullptr ? Time{} : row.known->last_probe; });
  return rows;
}

PageOf page_of(std::size_t all, std::size_t page) {
  PageOf made;
  made.all = all;
  made.pages = std::max<std::size_t>(1, (all + kPageRows - 1) / kPageRows);
  made.page = std::min(page, made.pages);
  made.first = (made.page - 1) * kPageRows;
  made.count = std::min(kPageRows, all - std::min(all, made.first));
  return made;
}

}  // namespace ajar
