// The cases: all of them as a list, a spreadsheet, and one with its proof and its remedy.
#include <algorithm>

#include <fmt/format.h>

#include "agent/canary_side.h"
#include "agent/evidence_section.h"
#include "agent/filter_form.h"
#include "agent/history_bar.h"
#include "agent/pages.h"
#include "agent/remedy_section.h"

namespace ajar {
namespace {

std::string day_text(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

std::string exemption_text(const ExemptionConfig& exemption) {
  std::string text = "until " + day_text(exemption.until);
  if (!exemption.who.empty()) text += ", " + peer(exemption.who);
  if (!exemption.why.empty()) text += ": " + peer(exemption.why);
  return text;
}

std::string_view state_word(const Case& exposure) {
  if (exposure.status == CaseStatus::open) return to_string(exposure.level);
  return exposure.how.empty() ? to_string(exposure.status) : std::string_view(exposure.how);
}

std::string state_badge(const Case& exposure) {
  return badge(exposure.status == CaseStatus::open ? exposure.level : Verdict::closed, state_word(exposure));
}

std::string state_cell(const ExposureView& view) {
  const Case& exposure = view.exposure;
  std::string text =
      fmt::format("<a href=\"/exposures/{}\" aria-label=\"{}: the case of {} on {}\">{}</a>", url_encode(exposure.id),
                  html(state_word(exposure)), html(exposure.key.check), html(exposure.key.target), state_badge(exposure));
  if (not_seen(view)) {
    text += fmt::format("<br><span class=dim>not seen since <time datetime=\"{}\">{}</time></span>",
                        to_rfc3339(exposure.last_confirmed), clock_text(exposure.last_confirmed).substr(0, 16));
  }
  return text;
}

std::string lasted_text(const Case& exposure, Time now) {
  const std::string text = duration_text(lasted(exposure, now));
  return exposure.closed ? text : fmt::format("<span class=dim>open for</span> {}", text);
}

Column column(const ExposureFilter* filter, std::string_view key, const char* name) {
  return filter == nullptr ? Column(name) : sorted_column(*filter, "/exposures", key, name);
}

// A cell that a spreadsheet would take for a formula becomes text; quoted where RFC 4180 2.6 wants it.
std::string csv_cell(std::string text) {
  constexpr std::string_view kFormula = "=+-@\t\r";
  if (!text.empty() && kFormula.find(text.front()) != std::string_view::npos) text.insert(0, "'");
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string filters(const ExposuresPage& shown) {
  const ExposureFilter& filter = shown.filter;
  std::string out = "<form class=filter method=get action=\"/exposures\" role=search aria-label=\"Filter exposures\">";
  out += text_field("q", "Text", filter.text);
  out += choice("state", "State", filter.status ? to_string(*filter.status) : "",
                {{"", "any"}, {"open", "open"}, {"closed", "closed"}, {"retired", "retired"}});
  out += check_choice(filter.check) + owner_field(filter.owner, shown.owners);
  out += choice("exempt", "Exempt", filter.exempt ? *filter.exempt ? "yes" : "no" : "",
                {{"", "any"}, {"yes", "yes"}, {"no", "no"}});
  out += choice("older", "First seen", filter.older_text,
                {{"", "any time"},
                 {"1h", "over 1 h ago"},
                 {"1d", "over 1 d ago"},
                 {"7d", "over 7 d ago"},
                 {"30d", "over 30 d ago"},
                 {"90d", "over 90 d ago"}});
  if (!filter.target.empty()) out += hidden_field("target", filter.target);
  if (filter.sort != ExposureFilter().sort) out += hidden_field("sort", filter.sort.text());
  return out + form_end("/exposures");
}

}  // namespace

std::string exposure_table(std::string_view caption, const std::vector<ExposureView>& exposures, Time now,
                           const ExposureFilter* filter) {
  std::vector<std::vector<Cell>> rows;
  for (const ExposureView& view : exposures) {
    const Case& exposure = view.exposure;
    std::string exempt;
    if (view.exempt) exempt = tag("exempt") + (view.exemption ? " " + exemption_text(*view.exemption) : "");
    rows.push_back({state_cell(view), head(target_link(exposure.key.target)), html(exposure.key.check),
                    html(endpoint_text(exposure.key)), peer(exposure.owner), when_short(exposure.first_seen, now),
                    when_short(exposure.last_confirmed, now), lasted_text(exposure, now), exempt});
  }
  return table(
      caption,
      {column(filter, "state", "State"), column(filter, "target", "Target"), column(filter, "check", "Check"),
       Column("Endpoint"), column(filter, "owner", "Owner"), column(filter, "seen", "First seen (UTC)"),
       column(filter, "confirmed", "Last confirmed (UTC)"), column(filter, "lasted", "Time to close"), Column("Exempt")},
      rows);
}

std::string exposures_page(const Frame& frame, const ExposuresPage& shown) {
  const ExposureFilter& filter = shown.filter;
  std::string body = "<h1>Exposures</h1>" + filters(shown);
  ExposureFilter whole = filter;
  whole.page = 1;
  body += fmt::format(
      "<p class=actions><span>{}</span><span>This selection as <a href=\"{}\">CSV</a>, <a href=\"{}\">JSON</a></span></p>",
      count_text(shown.place, "exposure", "exposures"), html(whole.query("/exposures.csv")),
      html(whole.query("/api/v1/exposures")));
  body += shown.rows.empty() ? "<p class=dim>None.</p>" : exposure_table("Exposures", shown.rows, frame.now, &filter);
  return page(frame, "Exposures", body + pager(filter, "/exposures", shown.place));
}

std::string exposures_csv(const std::vector<ExposureView>& exposures, Time now) {
  std::string out =
      "id,state,level,reason,target,owner,address,port,transport,check,first_seen,last_confirmed,closed,how,seconds_to_close,"
      "exempt,"
      "exempt_until,exempt_who,exempt_why\r\n";
  for (const ExposureView& view : exposures) {
    const Case& exposure = view.exposure;
    const std::string seconds =
        exposure.closed ? fmt::format("{}", std::chrono::duration_cast<std::chrono::seconds>(lasted(exposure, now)).count())
                        : "";
    const auto& exemption = view.exemption;
    const std::string cells[] = {exposure.id,
                                 std::string(to_string(exposure.status)),
                                 std::string(to_string(exposure.level)),
                                 std::string(to_string(exposure.reason)),
                                 exposure.key.target,
                                 exposure.owner,
                                 exposure.key.address.to_string(),
                                 std::to_string(exposure.key.port),
                                 std::string(to_string(exposure.key.transport)),
                                 exposure.key.check,
                                 to_rfc3339(exposure.first_seen),
                                 to_rfc3339(exposure.last_confirmed),
                                 exposure.closed ? to_rfc3339(*exposure.closed) : "",
                                 exposure.how,
                                 seconds,
                                 view.exempt ? "yes" : "no",
                                 exemption ? day_text(exemption->until) : "",
                                 exemption ? exemption->who : "",
                                 exemption ? exemption->why : ""};
    bool first = true;
    for (const std::string& cell : cells) {
      out += (first ? "" : ",") + csv_cell(cell);
      first = false;
    }
    out += "\r\n";
  }
  return out;
}

namespace {

// Many are folded, so that the remedy stays in sight.
std::string variants_text(const std::vector<std::string>& variants) {
  constexpr std::size_t kManyVariants = 12;
  if (variants.size() <= kManyVariants) return join(variants, ", ");
  return folded(fmt::format("{} of our ways to ask", variants.size()), join(variants, ", "));
}

// As the first words of a paragraph.
std::string sentence(std::string_view words) {
  std::string text(words);
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return text + ".";
}

std::string case_facts(const ExposureView& view, Time now) {
  const Case& exposure = view.exposure;
  std::string out = "<dl>" + fact("Target", target_link(exposure.key.target));
  out += fact("Endpoint", fmt::format("<a href=\"{}\">{}</a>", evidence_url(exposure.key), html(endpoint_text(exposure.key))));
  if (!exposure.owner.empty()) out += fact("Owner", peer(exposure.owner));
  out += fact("Highest level", badge(exposure.level) + " " + html(to_string(exposure.reason)));
  out += fact("First seen", when(exposure.first_seen, now));
  out += fact("Last confirmed", when(exposure.last_confirmed, now));
  if (view.result) {
    out += fact("Last probe", when(view.result->last_probe, now) + " " + badge(view.result->last_level) + " " +
                                  html(to_string(view.result->last_reason)));
    if (view.result->due != Time{}) out += fact("Next probe", when(view.result->due, now));
  }
  if (exposure.closed) {
    out += fact("Ended", when(exposure.closed, now) + " " + html(exposure.how));
    out += fact("Time to close", duration_text(lasted(exposure, now)));
  }
  if (exposure.reopened > 0)
    out += fact("Reopened", exposure.reopened == 1 ? "once" : fmt::format("{} times", exposure.reopened));
  if (view.exempt) {
    out += fact("Exempt", view.exemption ? exemption_text(*view.exemption) : "an exemption of the configuration covers it");
  }
  std::vector<std::string> variants, exits;
  constexpr std::size_t kMostVariants = 8;
  for (std::size_t i = 0; i < std::min(kMostVariants, exposure.variants.size()); ++i)
    variants.push_back(peer(exposure.variants[i]));
  if (exposure.variants.size() > kMostVariants)
    variants.push_back(fmt::format("and {} more", exposure.variants.size() - kMostVariants));
  for (const std::string& address : exposure.exit_addresses) exits.push_back(peer(address));
  if (!variants.empty()) out += fact("Said yes to", variants_text(variants));
  if (!exits.empty()) out += fact("Came out at", join(exits, ", "));
  return out + fact("Id", "<code>" + html(exposure.id) + "</code>") + "</dl>";
}

// What the state of an open case does not say by itself.
std::string doubt_text(const ExposureView& view, Time now) {
  const Case& exposure = view.exposure;
  if (not_seen(view)) {
    return fmt::format(
        "<p><b>Open, not seen since {}.</b> The last probe was {}: that closes nothing, for a firewall may keep only us out. "
        "It "
        "keeps its level until a probe is refused and a second one confirms it.</p>",
        when(exposure.last_confirmed, now), to_string(view.result->last_level));
  }
  if (exposure.status == CaseStatus::open && view.result && view.result->last_level == Verdict::closed)
    return "<p><b>The last probe was refused.</b> A second one must confirm that before the case ends.</p>";
  return "";
}

std::string case_history(const Case& exposure, Time now) {
  std::vector<HistorySpan> spans = {{exposure.first_seen, exposure.closed, exposure.level}};
  if (exposure.closed && exposure.how == "fixed") spans.push_back({*exposure.closed, std::nullopt, Verdict::closed});
  const auto before = std::max<std::chrono::milliseconds>(std::chrono::minutes(10), (now - exposure.first_seen) / 20);
  return history_bar("this case", spans, exposure.first_seen - before, now);
}

}  // namespace

std::string exposure_page(const Frame& frame, const ExposureView& view, const std::optional<Record>& found,
                          const std::vector<Record>& others) {
  const Case& exposure = view.exposure;
  const bool open = exposure.status == CaseStatus::open;
  const std::string title = exposure.key.check + " on " + exposure.key.target;
  std::string body =
      fmt::format("<h1>{} on {} {}</h1>", html(exposure.key.check), peer(exposure.key.target), state_badge(exposure));
  if (const CheckInfo* check = find_check(exposure.key.check)) body += fmt::format("<p>{}</p>", html(check->question));
  const std::string level(meaning(exposure.level));
  body += fmt::format("<p>{}</p>", sentence(open ? level : "It was: " + level)) + doubt_text(view, frame.now);
  body += "<div class=actions>" + test_again(frame, exposure.key.target, exposure.key.check, exposure.id) +
          notice_link(exposure.key.target) + "<a href=\"#evidence\">Evidence</a></div>";
  body += case_facts(view, frame.now) + case_history(exposure, frame.now);
  body += canary_side(exposure);
  if (!exposure.late.empty()) body += "<h2>Arrived after its end</h2>" + bullet_list(exposure.late);
  if (open) {
    std::vector<const Record*> heard;
    if (found) heard.push_back(&*found);
    for (const Record& record : others) heard.push_back(&record);
    body += remedy_section(exposure.key, found ? found->tls : TlsMode::none, heard);
  }
  body += "<h2 id=evidence>Evidence</h2>";
  body += found ? evidence_section(*found, frame.now) : "<p class=dim>None is stored.</p>";
  return page(frame, title, body);
}

}  // namespace ajar
