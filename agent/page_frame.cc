#include "agent/page_frame.h"

#include <fmt/format.h>

#include "agent/static_files.h"
#include "agent/version.h"

namespace ajar {
namespace {

struct Entry {
  std::string_view path, text;
};
constexpr Entry kNavigation[] = {{"/", "Now"},
                                 {"/targets", "Targets"},
                                 {"/exposures", "Exposures"},
                                 {"/zones", "Databases"},
                                 {"/runbooks/", "Runbooks"},
                                 {"/config", "Configuration"},
                                 {"/metrics", "Metrics"}};

std::string navigation(std::string_view section) {
  std::string out = "<nav aria-label=Main><ul>";
  for (const Entry& entry : kNavigation) {
    out += fmt::format("<li><a href=\"{}\"{}>{}</a></li>", entry.path, entry.path == section ? " aria-current=page" : "",
                       entry.text);
  }
  return out + "</ul></nav>";
}

std::string banner(std::string_view bold, std::string_view text) {
  return fmt::format("<div class=banner>{}<p><b>{}</b> {}</p></div>", icon("accepted"), html(bold), html(text));
}

bool blinds(VantageKind kind) { return kind != VantageKind::source_unlisted && kind != VantageKind::rdns; }

std::string banners(const Frame& frame) {
  std::string out;
  if (frame.paused) out += banner("Paused.", "No probe is started, and what is shown grows old. POST /-/resume goes on.");
  if (!frame.ready) out += banner("Starting.", "Not everything is loaded yet.");
  if (!frame.failure.empty()) {
    out += banner("The state cannot be written:",
                  frame.failure + ". Probing and serving go on; a restart would lose what is new.");
  }
  for (const auto& [kind, up] : frame.canary) {
    if (up) continue;
    out += banner(fmt::format("The {} canary does not answer its self-test:", to_string(kind)),
                  "a yes cannot be proven until it does.");
  }
  for (const auto& [kind, state] : frame.vantage) {
    if (state.up) continue;
    out += banner(blinds(kind) ? "We do not see what a stranger sees:" : "Servers may turn us away for our address:",
                  state.because);
  }
  for (const std::string& note : frame.notes) out += banner("At start:", note);
  for (const std::string& one : frame.left_out) out += banner("Left out:", one);
  if (!out.empty()) out = "<section aria-label=Trouble>" + out + "</section>";
  return out;
}

std::string running_text(const Frame& frame) {
  if (!frame.running) return "";
  return fmt::format(
      "<div class=running id=running role=status><p><b>The test is running.</b> {} This page loads again until it is done. "
      "<a href=\"\">See the result</a></p></div>",
      html(*frame.running));
}

std::string_view css_class(Cell::Kind kind) {
  switch (kind) {
    case Cell::Kind::plain:
    case Cell::Kind::head:
      return "";
    case Cell::Kind::number:
      return " class=n";
    case Cell::Kind::wide:
      return " class=wide";
  }
  return "";
}

std::string column_head(const Column& column) {
  if (column.href.empty()) {
    const std::string text = column.name.empty() ? "<span class=vh>Links</span>" : html(column.name);
    return fmt::format("<th scope=col{}>{}</th>", css_class(column.kind), text);
  }
  const char* const sorted = column.sorted == Sorted::up     ? " aria-sort=ascending"
                             : column.sorted == Sorted::down ? " aria-sort=descending"
                                                             : "";
  const char* const arrow = column.sorted == Sorted::up ? "up" : column.sorted == Sorted::down ? "down" : "unsorted";
  return fmt::format("<th scope=col{}{}><a class=sort href=\"{}\">{}{}</a></th>", css_class(column.kind), sorted,
                     html(column.href), html(column.name), icon(arrow));
}

}  // namespace

bool is_blind(const VantageStates& vantage) {
  return std::any_of(vantage.begin(), vantage.end(), [](const auto& entry) { return blinds(entry.first) && !entry.second.up; });
}

std::string page(const Frame& frame, std::string_view title, std::string_view markup) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
      "<meta name=viewport content=\"width=device-width,initial-scale=1\"><meta name=color-scheme content=\"light dark\">"
      "<title>{0} · ajar</title>{1}"
      "<link rel=icon type=\"image/svg+xml\" href=\"{2}\"><link rel=stylesheet href=\"{3}\"><script defer src=\"{4}\"></script>"
      "</head><body><a class=skip href=\"#main\">Skip to the content</a>"
      "<header><a class=logo href=\"/\"><svg class=door aria-hidden=true viewBox=\"0 0 24 24\"><use "
      "href=\"{5}#door\"></use></svg>"
      "ajar</a>{6}</header>"
      "<main id=main tabindex=-1>{7}{8}{9}</main>"
      "<footer><p>ajar {10} ({11}) · {12}</p></footer></body></html>\n",
      html(title), frame.running ? "<noscript><meta http-equiv=refresh content=5></noscript>" : "", static_url("ajar.svg"),
      static_url("ajar.css"), static_url("ajar.js"), static_url("icons.svg"), navigation(frame.section), banners(frame),
      running_text(frame), markup, html(kVersion), html(kRevision), clock_text(frame.now));
}

std::string icon(std::string_view name) {
  return fmt::format("<svg class=i aria-hidden=true viewBox=\"0 0 16 16\"><use href=\"{}#{}\"></use></svg>",
                     static_url("icons.svg"), name);
}

std::string badge(Verdict verdict) { return badge(verdict, to_string(verdict)); }

std::string badge(Verdict verdict, std::string_view word) {
  return fmt::format("<span class=\"badge {}\">{}{}</span>", to_string(verdict), icon(to_string(verdict)), html(word));
}

std::string tag(std::string_view markup) { return fmt::format("<span class=tag>{}</span>", markup); }

std::string_view meaning(Verdict verdict) {
  switch (verdict) {
    case Verdict::closed:
      return "a stranger was refused, by a server that answers what it should, or nobody listens";
    case Verdict::unreachable:
      return "no answer from where we ask";
    case Verdict::unclear:
      return "what it said proves neither open nor closed";
    case Verdict::accepted:
      return "it said yes to a stranger, but no proof has come back";
    case Verdict::open:
      return "proven: our token came back through it";
  }
  return "";
}

std::string when(Time time, Time now) {
  if (time == Time{}) return "<span class=dim>never</span>";
  return fmt::format("<time datetime=\"{}\">{}</time> <span class=\"dim when\">{}</span>", to_rfc3339(time), clock_text(time),
                     relative(time, now));
}

std::string when(const std::optional<Time>& time, Time now) { return when(time.value_or(Time{}), now); }

std::string when_short(Time time, Time now) {
  if (time == Time{}) return "<span class=dim>never</span>";
  return fmt::format("<time datetime=\"{}\">{}</time> <span class=\"dim when\">{}</span>", to_rfc3339(time),
                     clock_text(time).substr(0, 16), relative(time, now));
}

std::string endpoint_text(const ResultKey& key) {
  return fmt::format("{}/{}", join_host_port(key.address, key.port), to_string(key.transport));
}

std::string target_link(std::string_view target) {
  return fmt::format("<a href=\"/targets/{}\">{}</a>", url_encode(target), peer(target));
}

std::string case_link(std::string_view id, std::string_view text) {
  return fmt::format("<a href=\"/exposures/{}\">{}</a>", url_encode(id), html(text));
}

std::string evidence_url(const ResultKey& key) {
  return fmt::format("/targets/{}?check={}&amp;address={}&amp;port={}&amp;transport={}", url_encode(key.target),
                     url_encode(key.check), url_encode(key.address.to_string()), key.port, to_string(key.transport));
}

std::string evidence_link(const ResultKey& key, std::string_view text) {
  return fmt::format("<a href=\"{}\">{}</a>", evidence_url(key), html(text));
}

std::string notice_link(std::string_view target) {
  return fmt::format("<a href=\"/notices/{}\">Notice to the owner</a>", url_encode(target));
}

std::string join(const std::vector<std::string>& items, std::string_view separator) {
  return fmt::format("{}", fmt::join(items, separator));
}

std::string bullet_list(const std::vector<std::string>& items) {
  if (items.empty()) return "";
  std::string text = "<ul>";
  for (const std::string& item : items) text += fmt::format("<li>{}</li>", peer(item));
  return text + "</ul>";
}

std::string fact(std::string_view name, std::string_view markup) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>", html(name), markup);
}

std::string left_out_text(std::size_t count, std::string_view what) {
  return count == 0 ? "" : fmt::format("<p class=dim>{} more {} are not on this page; the API has them all.</p>", count, what);
}

std::string folded(std::string_view summary_markup, std::string_view markup) {
  return fmt::format("<details><summary>{}</summary>{}</details>", summary_markup, markup);
}

std::string test_again(const Frame& frame, std::string_view target, std::string_view check, std::string_view exposure) {
  std::string action = "/probe?target=" + url_encode(target);
  if (!check.empty()) action += "&amp;check=" + url_encode(check);
  if (!exposure.empty()) action += "&amp;exposure=" + url_encode(exposure);
  return fmt::format(
      "<form method=post action=\"{}\"><input type=hidden name=token value=\"{}\"><button>Test again</button></form>", action,
      html(frame.form_token));
}

std::string table(std::string_view caption, const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                  std::string_view style) {
  std::string body;
  for (const std::vector<Cell>& row : rows) {
    body += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Cell& cell = row[i];
      const bool head = cell.kind == Cell::Kind::head;
      const std::string name = columns[i].name.empty() ? "" : fmt::format(" data-h=\"{}\"", html(columns[i].name));
      body += fmt::format("<{}{}{}>{}</{}>", head ? "th scope=row" : "td", css_class(cell.kind), name, cell.markup,
                          head ? "th" : "td");
    }
    body += "</tr>\n";
  }
  std::string heads;
  for (const Column& column : columns) heads += column_head(column);
  // What is wider than the screen must be reachable by keyboard, by a link in it or itself.
  const bool reachable = heads.find("<a ") != std::string::npos || body.find("<a ") != std::string::npos;
  return fmt::format(
      "<div class=scroll{}><table{}><caption class=vh>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
      reachable ? "" : fmt::format(" tabindex=0 role=group aria-label=\"{}\"", html(caption)),
      style.empty() ? "" : fmt::format(" class=\"{}\"", style), html(caption), heads, body);
}

}  // namespace ajar
