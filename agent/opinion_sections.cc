#include "agent/opinion_sections.h"

#include <algorithm>

#include <fmt/format.h>

namespace ajar {
namespace {

// Meaning, reason and what to do, for a listing; else why nothing is known, or what was said instead.
std::string listing_text(const ListingView& row) {
  std::string text;
  if (row.last) {
    for (const DnsblCode& code : row.last->codes) {
      text += fmt::format("{}{} <span class=dim>{}</span>", text.empty() ? "" : ", ", html(code.meaning), html(code.code));
    }
    if (!row.last->text.empty()) text += fmt::format("<br><span class=dim>it says:</span> {}", peer(row.last->text));
  }
  const ZoneInfo* known = find_zone(row.zone);
  const std::string link = known != nullptr ? known->delisting_link(row.subject.text) : "";
  const bool listed = row.last && row.last->listed;
  if (listed && !link.empty()) text += fmt::format("<br><a href=\"{}\" rel=noreferrer>ask to be taken out</a>", html(link));
  return text;
}

// "listed", "not listed", or what hides it.
std::string listing_state(const ListingView& row) {
  if (row.listed) return *row.listed ? "<b>listed</b>" : "not listed";
  std::string text = "<span class=tag>not known</span>";
  if (row.last) text += row.last->listed ? " <span class=dim>was listed</span>" : " <span class=dim>was not listed</span>";
  return text;
}

}  // namespace

std::string listings_section(const TargetPage& target, Time now) {
  std::string body = "<h2>Public databases</h2>";
  if (target.listings.empty()) return body + "<p class=dim>None is asked about it.</p>";
  std::vector<std::vector<Cell>> rows;
  for (const ListingView& row : target.listings) {
    rows.push_back({listing_state(row), head(html(row.subject.text)), "<a href=\"/zones\">" + html(row.zone) + "</a>",
                    wide(listing_text(row)), row.last ? when(row.last->since, now) : std::string(),
                    row.last ? when(row.last->checked, now) : std::string(), html(to_string(row.state))});
  }
  body +=
      table("What public databases say",
            {"Listed", "Address", "Database", {"What it says", Cell::Kind::wide}, "Since", "Last heard", "Database is"}, rows);
  return body + left_out_text(target.listings_left_out, "answers");
}

namespace {

std::string suspicion_badge(SuspicionStatus status) {
  const Verdict colour = status == SuspicionStatus::confirmed ? Verdict::open
                         : status == SuspicionStatus::refuted ? Verdict::closed
                                                              : Verdict::unclear;
  return badge(colour, to_string(status));
}

// Our own word on it, with the way to the evidence and to what must be configured.
std::string own_word(const SuspicionView& view) {
  constexpr std::size_t kMostLinks = 4;  // of a block list, all checks of the address answer it
  const SuspicionJudgement& judgement = view.judgement;
  std::string text = html(judgement.because);
  if (judgement.case_id) text += " · " + case_link(*judgement.case_id, "case");
  const std::vector<ResultKey>& results = judgement.results;
  for (std::size_t i = 0; i < std::min(results.size(), kMostLinks); ++i)
    text += " · " + evidence_link(results[i], results[i].check);
  if (view.remedy.empty()) return text;
  text += fmt::format("<br>Not all of it is asked. In <code>[[target]]</code> of {}:", html(view.target));
  for (const std::string& line : view.remedy) text += fmt::format("<br><code>{}</code>", html(line));
  return text;
}

}  // namespace

std::string suspicions_section(const TargetPage& target, Time now) {
  std::string body = "<h2>Suspicions of others</h2>";
  if (target.suspicions.empty()) return body + "<p class=dim>None was imported.</p>";
  std::vector<std::vector<Cell>> rows;
  for (const SuspicionView& view : target.suspicions) {
    const SuspicionKey& key = view.suspicion.key;
    const ReportType* const type = find_report_type(key.report);
    std::string saw = type != nullptr ? html(type->says) : "";
    for (const auto& [column, text] : view.suspicion.saw) {
      saw += fmt::format("<br><span class=dim>{}:</span> {}", html(column), peer(text));
    }
    const std::string where = key.port == 0 ? key.address.to_string() : join_host_port(key.address, key.port);
    rows.push_back({suspicion_badge(view.judgement.status), html(key.source) + "<br>" + html(key.report), head(html(where)),
                    when(view.suspicion.reported, now), wide(saw), wide(own_word(view))});
  }
  body += table("Suspicions of others",
                {"Status", "Report", "Where", "When", {"What they saw", Cell::Kind::wide}, {"Our own test", Cell::Kind::wide}},
                rows);
  return body + left_out_text(target.suspicions_left_out, "suspicions");
}

}  // namespace ajar
