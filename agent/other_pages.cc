// Databases, runbooks, the configuration, and what could not be answered.
#include <algorithm>

#include <fmt/format.h>

#include "agent/pages.h"

namespace ajar {

std::string zones_page(const Frame& frame, const ZonesView& view) {
  constexpr auto kNumber = Cell::Kind::number;
  std::string body =
      "<h1>Public databases</h1><p>What a database says is believed only while it passes its own test: it lists what "
      "it must, and does not list what nobody can have listed.</p>";
  if (!view.resolvers.empty()) body += fmt::format("<p>Asked by way of {}.</p>", html(view.resolvers));
  std::vector<std::vector<Cell>> rows;
  for (const ZoneStatus& zone : view.zones) {
    std::string state = zone.state == ZoneState::healthy ? "healthy" : fmt::format("<b>{}</b>", to_string(zone.state));
    std::string tests;
    for (const auto& [kind, health] : zone.kinds) {
      tests += fmt::format("{}{}: {}: {}{}", tests.empty() ? "" : "<br>", to_string(kind), to_string(health.state),
                           html(health.because), health.tested ? "<br>" + when(health.tested, frame.now) : "");
      if (!zone.info.has_test_points(kind)) tests += " <span class=tag>no test points</span>";
    }
    if (zone.kinds.empty()) state = "<span class=dim>nothing to ask about</span>";
    std::string answers;
    for (const auto& [result, count] : zone.answers) {
      answers += fmt::format("{}{} {}", answers.empty() ? "" : ", ", count, result);
    }
    std::string about = html(zone.name);
    if (!zone.info.lists.empty()) about += fmt::format("<br><span class=dim>{}</span>", html(zone.info.lists));
    if (!zone.info.terms.empty()) about += fmt::format("<br><span class=dim>terms: {}</span>", html(zone.info.terms));
    rows.push_back({state,
                    {about, Cell::Kind::head},
                    wide(tests),
                    number(fmt::format("{}", zone.listed)),
                    number(fmt::format("{}", zone.unknown)),
                    number(fmt::format("{}", zone.subjects)),
                    html(answers),
                    number(fmt::format("{}", zone.left_today))});
  }
  body += rows.empty() ? "<p class=dim>None is asked.</p>"
                       : table("Public databases",
                               {"State",
                                {"Database", Cell::Kind::wide},
                                {"Last tests", Cell::Kind::wide},
                                {"Listed", kNumber},
                                {"Not known", kNumber},
                                {"Of", kNumber},
                                "Answers",
                                {"Left today", kNumber}},
                               rows);
  return page(frame, "Public databases", body);
}

namespace {

// What stands between the title and the first section: one line.
std::string_view urgency(const Runbook& runbook) {
  std::string_view text = runbook.markdown;
  text.remove_prefix(std::min(text.size(), text.find('\n')));
  return text.substr(0, text.find("\n## "));
}

}  // namespace

std::string runbooks_page(const Frame& frame, std::span<const Runbook> runbooks) {
  std::string body = "<h1>Runbooks</h1><p>What to do when an alert fires.</p>";
  std::vector<std::vector<Cell>> rows;
  for (const Runbook& runbook : runbooks) {
    rows.push_back({head(fmt::format("<a href=\"/runbooks/{}\">{}</a>", url_encode(runbook.alert), html(runbook.alert))),
                    markdown_html(urgency(runbook))});
  }
  return page(frame, "Runbooks", body + table("Runbooks", {"Alert", "Urgency"}, rows, "tight"));
}

std::string runbook_page(const Frame& frame, const Runbook& runbook) {
  return page(frame, runbook.alert, "<div class=book>" + markdown_html(runbook.markdown) + "</div>");
}

std::string config_page(const Frame& frame, const Config& config, const DiscoveryView* discovery) {
  std::string body = "<h1>Configuration</h1>";
  if (discovery != nullptr) body += discovery_section(*discovery, frame.now);
  body +=
      fmt::format("<p>As it is in force, defaults included{}.</p><pre tabindex=0 role=group aria-label=Configuration>{}</pre>",
                  config.file.empty() ? "" : ", from <b>" + html(config.file) + "</b>", html(config_text(config)));
  return page(frame, "Configuration", body);
}

namespace {

std::string_view status_words(int status) {
  switch (status) {
    case 400:
      return "This cannot be asked so";
    case 403:
      return "Refused";
    case 404:
      return "Not found";
    case 405:
      return "Not in this way";
    case 429:
      return "Too soon";
    case 503:
      return "Not now";
    default:
      return "This did not work";
  }
}

}  // namespace

std::string error_page(const Frame& frame, int status, std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  const bool lines = text.find('\n') != std::string_view::npos;
  const std::string said = lines ? fmt::format("<pre>{}</pre>", html(text)) : fmt::format("<p>{}.</p>", html(text));
  return page(frame, status_words(status),
              fmt::format("<h1>{} <span class=dim>{}</span></h1>{}<p><a href=\"/\">What is open now</a> · "
                          "<a href=\"/targets\">all targets</a> · <a href=\"/exposures\">all exposures</a></p>",
                          status_words(status), status, said));
}

}  // namespace ajar
