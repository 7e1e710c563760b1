// The servers: all of them as a list, and one with everything that is known of it.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "agent/evidence_section.h"
#include "agent/filter_form.h"
#include "agent/history_bar.h"
#include "agent/opinion_sections.h"
#include "agent/pages.h"
#include "agent/remedy_section.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxHistories = 20;
constexpr auto kHistory = std::chrono::hours(24 * 90);

std::string counts_text(const Counts& counts) {
  std::vector<std::string> parts;
  for (const Verdict verdict : kWorstFirst) {
    const std::uint32_t count = counts[static_cast<std::size_t>(verdict)];
    if (count > 0) parts.push_back(fmt::format("{} {}", count, to_string(verdict)));
  }
  return join(parts, ", ");
}

std::string worst_text(const Counts& counts) {
  const std::optional<Verdict> level = worst(counts);
  return level ? badge(*level) : "<span class=dim>not probed yet</span>";
}

std::string filters(const TargetsPage& shown) {
  const TargetFilter& filter = shown.filter;
  std::string out = "<form class=filter method=get action=\"/targets\" role=search aria-label=\"Filter targets\">";
  out += text_field("q", "Text", filter.text, "name, address or owner");
  out += choice("verdict", "Has a result", filter.verdict ? to_string(*filter.verdict) : "",
                {{"", "any"},
                 {"open", "open"},
                 {"accepted", "accepted"},
                 {"unclear", "unclear"},
                 {"unreachable", "unreachable"},
                 {"closed", "closed"}});
  out += check_choice(filter.check) + owner_field(filter.owner, shown.owners);
  out += text_field("label", "Label", filter.label, "site=zrh");
  if (filter.sort != TargetFilter().sort) out += hidden_field("sort", filter.sort.text());
  return out + form_end("/targets");
}

std::vector<Cell> target_row(const TargetRow& row, Time now) {
  const TargetConfig& config = row.target->config;
  std::string name = target_link(config.name);
  if (config.paused) name += " " + tag("paused");
  if (!row.target->note.empty()) name += fmt::format("<br><span class=dim>{}</span>", peer(row.target->note));
  const Counts counts = row.known == nullptr ? Counts{} : row.known->counts;
  return {worst_text(counts),
          head(name),
          peer(place_text(config.place)),
          peer(config.owner),
          html(counts_text(counts)),
          when_short(row.known == nullptr ? Time{} : row.known->last_probe, now)};
}

}  // namespace

std::string targets_page(const Frame& frame, const TargetsPage& shown) {
  const TargetFilter& filter = shown.filter;
  const auto column = [&](std::string_view key, const char* name, bool down_first = false) {
    return sorted_column(filter, "/targets", key, name, Cell::Kind::plain, down_first);
  };
  std::string body = "<h1>Targets</h1>" + filters(shown);
  body += fmt::format("<p>{}</p>", count_text(shown.place, "target", "targets"));
  if (shown.discovery) body += discovery_note(*shown.discovery);
  std::vector<std::vector<Cell>> rows;
  for (const TargetRow& row : shown.rows) rows.push_back(target_row(row, frame.now));
  body += rows.empty() ? "<p class=dim>None.</p>"
                       : table("Targets",
                               {column("worst", "Worst", true), column("name", "Target"), Column("Place"),
                                column("owner", "Owner"), Column("Results"), column("probed", "Last probe (UTC)")},
                               rows);
  return page(frame, "Targets", body + pager(filter, "/targets", shown.place));
}

namespace {

bool is_yes(Verdict verdict) { return verdict == Verdict::accepted || verdict == Verdict::open; }

std::string anchor(const ResultKey& key) {
  return fmt::format("{}-{}-{}-{}", key.check, url_encode(key.address.to_string()), key.port, to_string(key.transport));
}

bool has_evidence(const ResultView& view) { return view.latest || view.not_closed; }

// What is stored of a result, what said yes first.
void add_records(const ResultView& view, std::vector<const Record*>& records) {
  if (view.not_closed) records.push_back(&*view.not_closed);
  if (view.latest) records.push_back(&*view.latest);
}

// How to close what a result found. The other checks of the endpoint heard the same server.
std::string remedy_text(const TargetPage& target, const ResultView& view) {
  const ResultKey& key = view.state.key;
  if (!is_yes(view.state.level)) return "";
  std::vector<const Record*> heard;
  add_records(view, heard);
  const TlsMode tls = heard.empty() ? TlsMode::none : heard.front()->tls;
  for (const ResultView& other : target.results) {
    const ResultKey& there = other.state.key;
    if (&other != &view && there.address == key.address && there.port == key.port && there.transport == key.transport)
      add_records(other, heard);
  }
  return remedy_section(key, tls, heard);
}

std::string result_facts(const ResultView& view, Time now) {
  const ResultState& state = view.state;
  std::string out = "<dl>";
  if (state.case_id) out += fact("Case", case_link(*state.case_id, *state.case_id));
  if (view.exempt) out += fact("Exempt", "an exemption of the configuration covers it");
  std::string last = when(state.last_probe, now);
  if (state.last_level != state.level || state.last_reason != state.reason)
    last += " " + badge(state.last_level) + " " + html(to_string(state.last_reason));
  out += fact("Last probe", last);
  if (state.change_to) {
    out += fact("Change", fmt::format("One later probe said {}; a second one must confirm it.", to_string(*state.change_to)));
  }
  const bool overdue = state.due != Time{} && state.due < now;
  out += fact("Next probe", (overdue ? "overdue: " : "") + when(state.due, now));
  if (state.level == Verdict::closed && state.closed_since) out += fact("Closed since", when(*state.closed_since, now));
  return out + "</dl>";
}

// The record of one probe may stand for later ones, which left none of their own.
std::string latest_section(const Record& record, const ResultState& state, Time now) {
  std::string out = "<h3>Latest probe</h3>";
  if (record.started < state.last_probe && record.finding.verdict == state.last_level &&
      record.finding.reason == state.last_reason)
    out = fmt::format(
        "<h3>Latest probe that found anything new</h3><p class=dim>Every one since found the same, the last {}.</p>",
        when(state.last_probe, now));
  return out + evidence_section(record, now);
}

std::string result_section(const Frame& frame, const TargetPage& target, const ResultView& view) {
  const ResultState& state = view.state;
  const bool worth_a_look = state.level != Verdict::closed && state.level != Verdict::unreachable;
  std::string out = fmt::format("<details id=\"{}\"{}><summary>{} <b>{}</b> {}{} <span class=dim>{} — {}</span></summary>",
                                anchor(state.key), worth_a_look || target.one_result ? " open" : "", badge(state.level),
                                html(state.key.check), html(endpoint_text(state.key)), view.exempt ? " " + tag("exempt") : "",
                                html(to_string(state.reason)), peer(state.because));
  out += result_facts(view, frame.now) + remedy_text(target, view);
  if (view.latest) out += latest_section(*view.latest, state, frame.now);
  if (view.not_closed) out += "<h3>Latest probe that was not closed</h3>" + evidence_section(*view.not_closed, frame.now);
  if (!has_evidence(view)) out += "<p class=dim>No evidence is stored.</p>";
  return out + "</details>";
}

// Rows: endpoints; columns: checks; a cell: the judged verdict, which leads to its evidence.
std::string grid(const TargetPage& target) {
  std::set<std::string> checks;
  std::map<std::tuple<IpAddress, std::uint16_t, Transport>, std::map<std::string, const ResultView*>> endpoints;
  for (const ResultView& view : target.results) {
    const ResultKey& key = view.state.key;
    checks.insert(key.check);
    endpoints[{key.address, key.port, key.transport}][key.check] = &view;
  }
  std::vector<Column> columns = {"Endpoint"};
  for (const std::string& check : checks) columns.emplace_back(check, Cell::Kind::plain, "", Sorted::no);
  std::vector<std::vector<Cell>> rows;
  for (const auto& [place, results] : endpoints) {
    std::vector<Cell> row = {head(html(endpoint_text(results.begin()->second->state.key)))};
    for (const std::string& check : checks) {
      const auto found = results.find(check);
      if (found == results.end()) {
        row.emplace_back("");
        continue;
      }
      const ResultState& state = found->second->state;
      const std::string url = has_evidence(*found->second) ? "#" + anchor(state.key) : evidence_url(state.key);
      row.emplace_back(
          fmt::format("<a href=\"{}\">{}</a>{}", url, badge(state.level),
                      state.change_to ? fmt::format(" <span class=dim>{}?</span>", to_string(*state.change_to)) : ""));
    }
    rows.push_back(std::move(row));
  }
  return table("Endpoints and checks", columns, rows, "grid");
}

std::vector<HistorySpan> spans_of(const std::vector<LevelChange>& history) {
  std::vector<HistorySpan> spans;
  for (const LevelChange& change : history) {
    if (!spans.empty()) spans.back().to = change.time;
    spans.push_back({change.time, std::nullopt, change.level});
  }
  return spans;
}

// What is recorded of each door that has changed, or ever had a case: its levels, and the cases over them.
std::string histories(const TargetPage& target, Time now) {
  struct Door {
    std::string name;
    std::vector<HistorySpan> spans;
  };
  std::map<ResultKey, Door> doors;
  const auto door = [&](const ResultKey& key) -> Door& {
    Door& found = doors[key];
    found.name = key.check + " at " + endpoint_text(key);
    return found;
  };
  const Time begin = now - kHistory;
  std::set<ResultKey> told;
  for (const ResultView& view : target.results) {
    door(view.state.key).spans = spans_of(view.history);
    if (view.history.size() > 1) told.insert(view.state.key);
    if (view.history.empty() && view.state.level == Verdict::closed && view.state.closed_since)
      door(view.state.key).spans.push_back({*view.state.closed_since, std::nullopt, Verdict::closed});
  }
  for (const ExposureView& view : target.cases) {
    const Case& exposure = view.exposure;
    if (exposure.closed.value_or(now) < begin) continue;
    told.insert(exposure.key);
    door(exposure.key).spans.push_back({exposure.first_seen, exposure.closed, exposure.level});
  }
  std::string out;
  std::size_t shown = 0;
  for (auto& [key, found] : doors) {
    if (!told.contains(key)) continue;  // always the same as far as is kept: the grid says all
    if (++shown > kMaxHistories) break;
    std::stable_sort(found.spans.begin(), found.spans.end(),
                     [](const HistorySpan& a, const HistorySpan& b) { return a.from < b.from; });
    const Time earliest = found.spans.front().from;
    const Time first = earliest - std::max<std::chrono::milliseconds>(std::chrono::minutes(10), (now - earliest) / 20);
    out += fmt::format("<h3>{}</h3>", html(found.name)) + history_bar(found.name, found.spans, std::max(first, begin), now);
  }
  return out.empty() ? "" : "<h2 id=history>History</h2>" + out;
}

std::string target_facts(const TargetView& target) {
  const TargetConfig& config = target.config;
  std::string out = "<dl>";
  out += fact(config.place.mx_of.empty() ? "Place" : "MX of", peer(place_text(config.place)));
  constexpr std::size_t kMost = 64;
  std::vector<std::string> addresses;
  for (std::size_t i = 0; i < std::min(kMost, target.addresses.size()); ++i) addresses.push_back(peer(target.addresses[i]));
  if (target.addresses.size() > kMost) addresses.push_back(fmt::format("and {} more", target.addresses.size() - kMost));
  out += fact("Addresses", addresses.empty() ? "<span class=dim>none known</span>" : join(addresses, ", "));
  if (!config.owner.empty()) {
    out += fact("Owner", fmt::format("<a href=\"/targets?owner={}\">{}</a>", url_encode(config.owner), peer(config.owner)));
  }
  for (const auto& [key, value] : config.labels) {
    out += fact(key, fmt::format("<a href=\"/targets?label={}%3D{}\">{}</a>", url_encode(key), url_encode(value), peer(value)));
  }
  std::vector<std::string> checks = config.checks;
  if (config.dnsbl) checks.emplace_back("dnsbl");
  out += fact("Checks", html(join(checks, ", ")));
  if (config.paused) out += fact("Paused", "by the configuration: it is not probed");
  if (!target.found_by.empty())
    out += fact("Found by", peer(target.found_by) + " (<a href=\"/config#discovery\">discovery</a>)");
  if (!target.note.empty()) out += fact("Note", peer(target.note));
  return out + "</dl>";
}

// What the sweep of a network knows: where nobody listens there is no result to show.
std::string sweep_text(const SweepSummary& swept, Time now) {
  const SweepCounts& counts = swept.endpoints;
  std::vector<std::string> parts;
  const auto add = [&](SweepState state, std::string_view words) {
    if (counts[state] > 0) parts.push_back(fmt::format("{} {}", counts[state], words));
  };
  add(SweepState::listening, "listen");
  add(SweepState::refused, "refuse");
  add(SweepState::silent, "are silent");
  add(SweepState::no_route, "cannot be reached from here");
  add(SweepState::never, "were not asked yet");
  std::string out = fmt::format("<p>The sweep of the network: of {} endpoints {}. ", counts.all(), join(parts, ", "));
  out += swept.completed ? "The latest sweep ended " + when(*swept.completed, now) + "." : "The first sweep is under way.";
  return out + " The checks ask where something listens.</p>";
}

std::string cases_text(const TargetPage& target, Time now) {
  if (target.cases.empty()) return "";
  return "<h2 id=cases>Cases</h2>" + exposure_table("Cases of this target", target.cases, now);
}

}  // namespace

std::string target_page(const Frame& frame, const TargetPage& target) {
  Counts counts{};
  for (const ResultView& view : target.results) ++counts[static_cast<std::size_t>(view.state.level)];
  const std::string& name = target.target.config.name;
  std::string body = fmt::format("<h1>{} {}</h1>", peer(name), worst_text(counts));
  body += target_facts(target.target);
  body += "<div class=actions>" + test_again(frame, name) + notice_link(name);
  if (target.one_result) body += fmt::format("<a href=\"/targets/{}\">All results of this target</a>", url_encode(name));
  body += "</div><h2 id=results>Results</h2>";
  if (target.swept && !target.one_result) body += sweep_text(*target.swept, frame.now);
  body += target.results.empty() ? "<p class=dim>Not probed yet.</p>" : grid(target);
  body += left_out_text(target.left_out, "results");
  if (!target.one_result) body += cases_text(target, frame.now) + histories(target, frame.now);
  body += "<h2 id=evidence>Evidence</h2>";
  bool any = false;
  for (const ResultView& view : target.results) {
    if (!has_evidence(view)) continue;
    body += result_section(frame, target, view);
    any = true;
  }
  if (!any) body += "<p class=dim>None is stored.</p>";
  if (!target.one_result) body += listings_section(target, frame.now) + suspicions_section(target, frame.now);
  return page(frame, name, body);
}

}  // namespace ajar
