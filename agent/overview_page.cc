// The first look: are we exposed, to what, since when, and how well is that known?
#include <cmath>

#include <fmt/format.h>

#include "agent/pages.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxListedShown = 20;  // targets

std::string_view css_class(Exposed answer) {
  switch (answer) {
    case Exposed::proven:
      return "open";
    case Exposed::accepted:
      return "accepted";
    case Exposed::cannot_tell:
      return "unclear";
    case Exposed::not_tested:
      return "late";
    case Exposed::fine:
      return "closed";
  }
  return "";
}

std::string state_text(const Headline& said) {
  std::string out =
      fmt::format("<section class=\"state {0}\" aria-labelledby=state>{1}<div><h1 id=state>{2}</h1><p class=say>{3}</p>",
                  css_class(said.answer), icon(css_class(said.answer)), html(said.words), html(said.sentence));
  for (const std::string& note : said.notes) out += fmt::format("<p>{}</p>", html(note));
  return out + "</div></section>";
}

std::string open_text(const Overview& overview, Time now) {
  const std::size_t all = overview.look.open + overview.look.accepted + overview.look.exempt;
  std::string out = "<section aria-labelledby=cases><h2 id=cases>Open cases</h2>";
  if (overview.open.empty()) return out + "<p class=dim>None.</p></section>";
  out += exposure_table("Open cases, the oldest first", overview.open, now);
  if (all > overview.open.size()) {
    out += fmt::format("<p><a href=\"/exposures?state=open\">All {} open cases</a></p>", all);
  }
  return out + "</section>";
}

std::string counts_table(const Overview& overview) {
  std::vector<std::vector<Cell>> rows;
  for (const auto& [check, counts] : overview.counts) {
    std::vector<Cell> row = {head(html(check))};
    for (const Verdict verdict : kWorstFirst) {
      const auto found = counts.find(verdict);
      const std::size_t count = found == counts.end() ? 0 : found->second;
      row.push_back(number(count == 0 ? "<span class=dim>0</span>"
                                      : fmt::format("<a href=\"/targets?verdict={}&amp;check={}\">{}</a>", to_string(verdict),
                                                    url_encode(check), count)));
    }
    const auto covered = overview.coverage.find(check);
    row.push_back(number(covered == overview.coverage.end()
                             ? "<span class=dim>nothing measured yet</span>"
                             : fmt::format("{:.1f} % ({} of {})", std::floor(covered->second.ratio() * 1000) / 10,
                                           covered->second.covered, covered->second.all)));
    rows.push_back(std::move(row));
  }
  constexpr auto kNumber = Cell::Kind::number;
  return table("Results by check and verdict",
               {"Check",
                {"open", kNumber},
                {"accepted", kNumber},
                {"unclear", kNumber},
                {"unreachable", kNumber},
                {"closed", kNumber},
                {"Known", kNumber}},
               rows, "tight");
}

std::string card(std::string_view title, std::string_view markup) {
  return fmt::format("<section class=card><h2>{}</h2>{}</section>", title, markup);
}

std::string canary_text(const Frame& frame, bool configured) {
  if (frame.canary.empty()) {
    return configured ? "<p class=dim>Not tested yet.</p>"
                      : "<p>No canary is configured: a yes stays <b>accepted</b> and cannot be proven.</p>";
  }
  std::string out = "<dl>";
  for (const auto& [kind, up] : frame.canary) {
    out += fact(to_string(kind), badge(up ? Verdict::closed : Verdict::open, up ? "up" : "down"));
  }
  return out + "</dl>";
}

std::string_view words(VantageKind kind) {
  switch (kind) {
    case VantageKind::egress_25:
      return "Mail gets out";
    case VantageKind::egress_tcp:
      return "Connections get out";
    case VantageKind::transparent_proxy_absent:
      return "No proxy between";
    case VantageKind::source_unlisted:
      return "Our address is not listed";
    case VantageKind::rdns:
      break;
  }
  return "Our address has its name";
}

std::string vantage_text(const AgentConfig& agent, const VantageStates& states) {
  std::vector<std::string> addresses;
  for (const IpAddress& address : agent.source_addresses) addresses.push_back(html(address.to_string()));
  std::string out = "<dl>" + fact("Name", html(agent.vantage)) + fact("Says EHLO", html(agent.name));
  out += fact("Asks from", addresses.empty() ? "<span class=dim>what the route gives</span>" : join(addresses, ", "));
  for (const auto& [kind, state] : states) {
    out += fact(words(kind), badge(state.up ? Verdict::closed : Verdict::open, state.up ? "yes" : "no") +
                                 fmt::format(" <span class=dim>{}</span>", html(state.because)));
  }
  return out + "</dl>";
}

std::string schedule_text(const Frame& frame, const Overview& overview) {
  std::string out = "<dl>" + fact("Interval", duration_text(overview.agent.interval));
  out += fact("Next probe", frame.paused        ? "paused"
                            : overview.next_due ? when_short(*overview.next_due, frame.now)
                                                : "<span class=dim>none planned</span>");
  out += fact("Overdue", fmt::format("{}", overview.overdue)) + fact("Running", fmt::format("{}", overview.in_flight));
  return out + fact("Tested lately", fmt::format("{} of {} results", overview.look.tested, overview.look.results)) + "</dl>";
}

std::string databases_text(const Overview& overview) {
  if (overview.databases == 0) return "<p class=dim>None is asked.</p>";
  std::string text = fmt::format("<p>{} of <a href=\"/zones\">{} databases</a> can be believed now. ",
                                 overview.databases_healthy, overview.databases);
  if (overview.listed.empty()) return text + "Those list none of our addresses.</p>";
  std::vector<std::string> links;
  for (const auto& [target, listings] : overview.listed) {
    if (links.size() == kMaxListedShown) break;
    links.push_back(fmt::format("{} ({})", target_link(target), listings));
  }
  text += fmt::format("Targets with listings: {}", join(links, ", "));
  if (overview.listed.size() > links.size()) text += fmt::format(" and {} more", overview.listed.size() - links.size());
  return text + ".</p>";
}

std::string words_text() {
  std::string out = "<section aria-labelledby=words><h2 id=words>Words</h2><dl>";
  for (const Verdict verdict : kWorstFirst) out += fmt::format("<dt>{}</dt><dd>{}</dd>", badge(verdict), meaning(verdict));
  return out + "</dl></section>";
}

}  // namespace

std::string overview_page(const Frame& frame, const Overview& overview) {
  const Headline said = headline(overview.look);
  std::string body = state_text(said) + open_text(overview, frame.now);
  body += "<div class=cards>" + card("Canary", canary_text(frame, overview.canary_configured)) +
          card("Vantage", vantage_text(overview.agent, frame.vantage)) + card("Schedule", schedule_text(frame, overview)) +
          card("Public databases", databases_text(overview)) + "</div>";
  body += "<section aria-labelledby=known><h2 id=known>What is known</h2>";
  body += overview.counts.empty() ? "<p class=dim>No check is configured.</p>" : counts_table(overview);
  body += "</section>" + words_text();
  body += fmt::format(
      "<section aria-labelledby=more><h2 id=more>More</h2><p><a href=\"/targets\">{} targets</a> · "
      "<a href=\"/exposures\">all exposures</a> · JSON: <a href=\"/api/v1/results\">results</a>, "
      "<a href=\"/api/v1/exposures\">exposures</a>, <a href=\"/api/v1/targets\">targets</a>, "
      "<a href=\"/api/v1/listings\">listings</a>, <a href=\"/api/v1/suspicions\">suspicions</a></p></section>",
      overview.targets);
  return page(frame, said.words, body);
}

}  // namespace ajar
