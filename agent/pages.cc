#include "agent/pages.h"

#include <algorithm>
#include <cmath>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "agent/canary_side.h"
#include "agent/remedy_section.h"
#include "agent/version.h"
#include "checks/catalogue.h"

namespace ajar {
namespace {

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#5b636b;--line:#d5d9dd;--soft:#f4f6f8;--link:#0a58b5;
--closed:#146c2e;--unreachable:#59626b;--unclear:#6b5200;--accepted:#8f3d00;--open:#b3001b}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e3e6e8;--dim:#9aa4ad;--line:#363d44;--soft:#1d2226;--link:#79b4ff;
--closed:#1f7a3a;--unreachable:#5d6770;--unclear:#7a6000;--accepted:#a84a00;--open:#cc1f36}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.45 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;align-items:baseline;padding-top:.7rem;padding-bottom:.6rem;
border-bottom:1px solid var(--line)}
header b{font-size:1.15rem}header b a{color:inherit;text-decoration:none}
footer{color:var(--dim);font-size:.85rem;border-top:1px solid var(--line);padding-top:.6rem;padding-bottom:1.5rem;margin-top:2rem}
a{color:var(--link)}
h1{font-size:1.5rem;line-height:1.25;margin:1.1rem 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:1.7rem 0 .5rem;overflow-wrap:anywhere}h3{font-size:1rem;margin:1.1rem 0 .3rem}
p{margin:.4rem 0;max-width:60rem;overflow-wrap:anywhere}
.dim{color:var(--dim)}.when{overflow-wrap:normal}
.badge{display:inline-block;padding:.05rem .5rem;border-radius:.25rem;color:#fff;font-weight:600;font-size:.9em;white-space:nowrap}
.closed{background:var(--closed)}.unreachable{background:var(--unreachable)}.unclear{background:var(--unclear)}
.accepted{background:var(--accepted)}.open{background:var(--open)}
.tag{display:inline-block;padding:0 .4rem;border:1px solid var(--dim);border-radius:.25rem;font-size:.85em;white-space:nowrap}
.banner{border-left:.35rem solid var(--open);background:var(--soft);padding:.5rem .8rem;margin:.8rem 0;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.4rem 0}
table{border-collapse:collapse;width:100%;font-size:.94rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--dim);white-space:nowrap}td.n,th.n{text-align:right}
td.wide{min-width:16rem;overflow-wrap:anywhere}td.zero{color:var(--dim)}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.2rem 1rem;margin:.6rem 0}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
details{border:1px solid var(--line);border-radius:.35rem;padding:.5rem .8rem;margin:.6rem 0}
summary{cursor:pointer;overflow-wrap:anywhere}
pre{background:var(--soft);padding:.6rem .8rem;border-radius:.35rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;
font:13.5px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;margin:.4rem 0}
pre .c{color:var(--link)}pre .n{color:var(--dim)}
code{font:.9em ui-monospace,"DejaVu Sans Mono",monospace;background:var(--soft);border-radius:.2rem;padding:.05rem .2rem}
pre code{font:inherit;padding:0}
.book li{max-width:60rem;margin:.3rem 0}.book td{overflow-wrap:anywhere}.book th{white-space:normal}
button{font:inherit;padding:.25rem .8rem;border:1px solid var(--dim);border-radius:.3rem;background:var(--soft);color:var(--fg);
cursor:pointer}
table.tight{width:auto}table.tight td,table.tight th{padding-right:1.4rem}
@media (max-width:40rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}
thead{display:none}.book thead{display:block}table,tbody,tr,td{display:block}table.tight{width:100%}tr{border-bottom:1px solid var(--line);padding:.5rem 0}
td,td.n,td.wide{border:0;padding:.1rem 0;text-align:left;min-width:0;overflow-wrap:anywhere}td:empty{display:none}
td[data-h]::before{content:attr(data-h);color:var(--dim);display:inline-block;min-width:7rem;margin-right:.5rem}}
)css";

constexpr std::size_t kMaxListedShown = 20;  // targets on the first page
constexpr Verdict kWorstFirst[] = {Verdict::open, Verdict::accepted, Verdict::unclear, Verdict::unreachable, Verdict::closed};

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

std::string badge(Verdict verdict) { return fmt::format("<span class=\"badge {0}\">{0}</span>", to_string(verdict)); }

std::string clock_text(Time time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string when(Time time, Time now) {
  if (time == Time{}) return "<span class=dim>never</span>";
  return fmt::format("<span class=when>{}</span> <span class=\"dim when\">{}</span>", clock_text(time), relative(time, now));
}

std::string when(const std::optional<Time>& time, Time now) { return when(time.value_or(Time{}), now); }

// "203.0.113.5:25/tcp", TLS from the first byte said.
std::string endpoint_text(const ResultKey& key) {
  return fmt::format("{}/{}", join_host_port(key.address, key.port), to_string(key.transport));
}

std::string target_link(std::string_view target) {
  return fmt::format("<a href=\"/targets/{}\">{}</a>", url_encode(target), html(target));
}

std::string case_link(std::string_view id, std::string_view text) {
  return fmt::format("<a href=\"/exposures/{}\">{}</a>", url_encode(id), html(text));
}

std::string join(const std::vector<std::string>& items, std::string_view separator) {
  return fmt::format("{}", fmt::join(items, separator));
}

std::string list(const std::vector<std::string>& items) {
  if (items.empty()) return "";
  std::string text = "<ul>";
  for (const std::string& item : items) text += fmt::format("<li>{}</li>", html(item));
  return text + "</ul>";
}

std::string fact(std::string_view name, std::string_view escaped) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>", name, escaped);
}

// A table whose cells are HTML already; a heading or cell that begins with '>' is a number, with '|' a wide text. On a narrow
// screen each row becomes a block whose cells say their heading.
std::string table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows, bool tight = false) {
  const auto split = [](std::string_view text) -> std::pair<std::string_view, std::string_view> {
    if (text.starts_with('>')) return {" class=n", text.substr(1)};
    if (text.starts_with('|')) return {" class=wide", text.substr(1)};
    return {"", text};
  };
  std::string out = fmt::format("<div class=scroll><table{}><thead><tr>", tight ? " class=tight" : "");
  for (const std::string& name : head) {
    const auto [kind, text] = split(name);
    out += fmt::format("<th{}>{}</th>", kind, text);
  }
  out += "</tr></thead><tbody>";
  for (const auto& row : rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto [kind, text] = split(row[i]);
      out += fmt::format("<td{} data-h=\"{}\">{}</td>", kind, split(head[i]).second, text);
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>";
}

std::string banners(const Frame& frame) {
  std::string out;
  const auto say = [&](std::string_view bold, std::string_view text) {
    out += fmt::format("<div class=banner role=alert><b>{}</b> {}</div>", html(bold), html(text));
  };
  if (frame.paused) say("Paused.", "No probe is started, and what is shown grows old. POST /-/resume goes on.");
  if (!frame.ready) say("Starting.", "Not everything is loaded yet.");
  if (!frame.failure.empty())
    say("The state cannot be written:", frame.failure + ". Probing and serving go on; a restart would lose what is new.");
  for (const auto& [kind, up] : frame.canary) {
    if (!up)
      say(fmt::format("The {} canary does not answer its self-test:", to_string(kind)),
          "a yes cannot be proven until it does.");
  }
  for (const std::string& note : frame.notes) say("At start:", note);
  return out;
}

std::string page(const Frame& frame, std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width,initial-scale=1\">"
      "<title>{0} · ajar</title><style>{1}</style></head><body>"
      "<header><b><a href=\"/\">ajar</a></b><a href=\"/\">Now</a><a href=\"/targets\">Targets</a><a "
      "href=\"/exposures\">Exposures</a><a href=\"/zones\">Databases</a>"
      "<a href=\"/runbooks/\">Runbooks</a><a href=\"/config\">Configuration</a><a "
      "href=\"/metrics\">Metrics</a></header><main>{2}{3}</main>"
      "<footer>ajar {4} ({5}) · {6}</footer></body></html>\n",
      html(title), kStyle, banners(frame), body, html(kVersion), html(kRevision), clock_text(frame.now));
}

std::string left_out_text(std::size_t count, std::string_view what) {
  return count == 0 ? "" : fmt::format("<p class=dim>{} more {} are not on this page; the API has them all.</p>", count, what);
}

std::string exposure_table(const std::vector<ExposureView>& exposures, Time now) {
  std::vector<std::vector<std::string>> rows;
  for (const ExposureView& view : exposures) {
    const Case& exposure = view.exposure;
    std::string state = exposure.status == CaseStatus::open ? badge(exposure.level) : std::string(to_string(exposure.status));
    if (view.exempt) state += " <span class=tag>exempt</span>";
    rows.push_back({state, target_link(exposure.key.target), html(exposure.key.check), html(endpoint_text(exposure.key)),
                    html(exposure.owner), html(to_string(exposure.reason)), when(exposure.first_seen, now),
                    exposure.closed ? "ended " + when(exposure.closed, now) : when(exposure.last_confirmed, now),
                    case_link(exposure.id, "case")});
  }
  return table({"State", "Target", "Check", "Endpoint", "Owner", "Reason", "Since", "Last yes", ""}, rows);
}

// "2 open and 1 accepted": the sentence that the page begins with.
std::string headline(const std::vector<ExposureView>& open) {
  std::size_t proven = 0, yes = 0, exempt = 0;
  for (const ExposureView& view : open) {
    if (view.exempt) {
      ++exempt;
    } else {
      ++(view.exposure.level == Verdict::open ? proven : yes);
    }
  }
  std::string text;
  if (proven > 0) text = fmt::format("{} proven open", proven);
  if (yes > 0) text += fmt::format("{}{} said yes without proof", text.empty() ? "" : ", ", yes);
  if (text.empty()) text = "Nothing is known to be open";
  if (exempt > 0) text += fmt::format(", {} exempt", exempt);
  return text;
}

std::string variants_table(const Finding& finding) {
  if (finding.variants.empty()) return "";
  std::vector<std::vector<std::string>> rows;
  for (const Variant& variant : finding.variants) {
    rows.push_back({html(variant.name), badge(variant.verdict), html(to_string(variant.reason)),
                    variant.code ? fmt::format(">{}", *variant.code) : ">", "|" + html(variant.reply.value_or(""))});
  }
  return table({"Variant", "Verdict", "Reason", ">Code", "Reply"}, rows);
}

std::string transcript(const std::vector<std::string>& lines) {
  if (lines.empty()) return "<p class=dim>No transcript.</p>";
  std::string out = "<pre>";
  for (const std::string& line : lines) {
    const char* kind = line.starts_with("C: ") ? "c" : line.starts_with("# ") ? "n" : "";
    out += *kind == '\0' ? html(line) : fmt::format("<span class={}>{}</span>", kind, html(line));
    out += '\n';
  }
  return out + "</pre>";
}

std::string evidence(const Record& record, Time now) {
  const Finding& finding = record.finding;
  std::string out =
      fmt::format("<p>{} {} — {}</p><dl>", badge(finding.verdict), html(to_string(finding.reason)), html(finding.because));
  out += fact("Probe", fmt::format("{} · {}{}", when(record.started, now), html(record.probe_id),
                                   record.full_matrix ? " · full matrix" : ""));
  out += fact("Took", fmt::format("{:.1f} s", static_cast<double>(record.duration.count()) / 1000));
  if (!record.source_address.empty()) out += fact("Asked from", html(record.source_address));
  if (record.tls != TlsMode::none) out += fact("TLS", html(to_string(record.tls)));
  if (!finding.exit_addresses.empty()) out += fact("Came out at", html(join(finding.exit_addresses, ", ")));
  out += "</dl>" + list(finding.observations) + variants_table(finding);
  return out + canary_side(record) + transcript(record.transcript);
}

bool is_yes(Verdict verdict) { return verdict == Verdict::accepted || verdict == Verdict::open; }

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

std::string result_evidence(const TargetPage& target, const ResultView& view, Time now) {
  const ResultState& state = view.state;
  const bool worth_a_look = state.level != Verdict::closed && state.level != Verdict::unreachable;
  std::string out = fmt::format("<details{}><summary>{} <b>{}</b> {}</summary>", worth_a_look ? " open" : "",
                                badge(state.level), html(state.key.check), html(endpoint_text(state.key)));
  out += remedy_text(target, view);
  if (view.latest) out += "<h3>Latest probe</h3>" + evidence(*view.latest, now);
  if (view.not_closed) out += "<h3>Latest probe that was not closed</h3>" + evidence(*view.not_closed, now);
  if (!view.latest && !view.not_closed) out += "<p class=dim>No evidence is stored.</p>";
  return out + "</details>";
}

std::string evidence_link(const ResultKey& key, std::string_view text) {
  return fmt::format("<a href=\"/targets/{}?check={}&amp;address={}&amp;port={}&amp;transport={}\">{}</a>",
                     url_encode(key.target), url_encode(key.check), url_encode(key.address.to_string()), key.port,
                     to_string(key.transport), html(text));
}

std::vector<std::string> result_row(const ResultView& view, Time now) {
  const ResultState& state = view.state;
  std::string level = badge(state.level);
  if (view.exempt) level += " <span class=tag>exempt</span>";
  std::string why = fmt::format("|{} — {}", html(to_string(state.reason)), html(state.because));
  if (state.change_to) {
    why += fmt::format("<br><span class=dim>One later probe said {}; a second one must confirm it.</span>",
                       to_string(*state.change_to));
  }
  std::string last = when(state.last_probe, now);
  if (state.last_level != state.level || state.last_reason != state.reason) {
    last += fmt::format("<br>{} {}", badge(state.last_level), html(to_string(state.last_reason)));
  }
  return {level,
          html(state.key.check),
          html(endpoint_text(state.key)),
          why,
          last,
          state.due != Time{} && state.due < now ? fmt::format("overdue: {}", when(state.due, now)) : when(state.due, now),
          (state.case_id ? case_link(*state.case_id, "case") + " · " : "") + evidence_link(state.key, "evidence")};
}

std::string target_facts(const TargetView& target) {
  const TargetConfig& config = target.config;
  std::string out = "<dl>";
  out += fact(config.place.mx_of.empty() ? "Place" : "MX of", html(place_text(config.place)));
  std::vector<std::string> addresses = target.addresses;
  constexpr std::size_t kMost = 64;
  if (addresses.size() > kMost) {
    addresses.resize(kMost);
    addresses.push_back(fmt::format("and {} more", target.addresses.size() - kMost));
  }
  out += fact("Addresses", addresses.empty() ? "<span class=dim>none known</span>" : html(join(addresses, ", ")));
  if (!config.owner.empty()) out += fact("Owner", html(config.owner));
  for (const auto& [key, value] : config.labels) out += fact(html(key), html(value));
  std::vector<std::string> checks = config.checks;
  if (config.dnsbl) checks.emplace_back("dnsbl");
  out += fact("Checks", html(join(checks, ", ")));
  if (config.paused) out += fact("Paused", "by the configuration: it is not probed");
  if (!target.note.empty()) out += fact("Note", html(target.note));
  return out + "</dl>";
}

std::string worst_text(const std::map<Verdict, std::size_t>& counts) {
  for (const Verdict verdict : kWorstFirst) {
    const auto found = counts.find(verdict);
    if (found != counts.end() && found->second > 0) return badge(verdict);
  }
  return "<span class=dim>not probed yet</span>";
}

std::string counts_text(const std::map<Verdict, std::size_t>& counts) {
  std::vector<std::string> parts;
  for (const Verdict verdict : kWorstFirst) {
    const auto found = counts.find(verdict);
    if (found != counts.end() && found->second > 0) parts.push_back(fmt::format("{} {}", found->second, to_string(verdict)));
  }
  return join(parts, ", ");
}

std::string counts_table(const Overview& overview) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [check, counts] : overview.counts) {
    std::vector<std::string> row = {html(check)};
    for (const Verdict verdict : kWorstFirst) {
      const auto found = counts.find(verdict);
      const std::size_t count = found == counts.end() ? 0 : found->second;
      row.push_back(count == 0 ? "><span class=dim>0</span>"
                               : fmt::format("><a href=\"/targets?verdict={}\">{}</a>", to_string(verdict), count));
    }
    const auto covered = overview.coverage.find(check);
    row.push_back(covered == overview.coverage.end()
                      ? "><span class=dim>nothing measured yet</span>"
                      : fmt::format(">{:.1f} % ({} of {})", std::floor(covered->second.ratio() * 1000) / 10,
                                    covered->second.covered, covered->second.all));
    rows.push_back(std::move(row));
  }
  return table({"Check", ">open", ">accepted", ">unclear", ">unreachable", ">closed", ">Known"}, rows, true);
}

// What stands between the title and the first section: one line.
std::string_view urgency(const Runbook& runbook) {
  std::string_view text = runbook.markdown;
  text.remove_prefix(std::min(text.size(), text.find('\n')));
  return text.substr(0, text.find("\n## "));
}

std::string canary_text(const Frame& frame, bool configured) {
  if (frame.canary.empty()) {
    return configured ? "<p class=dim>Not tested yet.</p>"
                      : "<p>No canary is configured: a yes stays <b>accepted</b> and cannot be proven.</p>";
  }
  std::vector<std::string> parts;
  for (const auto& [kind, up] : frame.canary) {
    parts.push_back(
        fmt::format("{} <span class=\"badge {}\">{}</span>", to_string(kind), up ? "closed" : "open", up ? "up" : "down"));
  }
  return fmt::format("<p>{}</p>", join(parts, " · "));
}

}  // namespace

std::string_view style_sheet() { return kStyle; }

std::string html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  // Exposition's escaping makes it valid UTF-8 without control characters; its own three escapes are undone here.
  const std::string clean = Exposition::escape_value(text);
  for (std::size_t i = 0; i < clean.size(); ++i) {
    char c = clean[i];
    if (c == '\\') c = clean[++i] == 'n' ? '\n' : clean[i];
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string url_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string relative(Time when, Time now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(when > now ? when - now : now - when).count();
  const auto [size, unit] = [&]() -> std::pair<std::int64_t, const char*> {
    if (seconds < 120) return {1, "s"};
    if (seconds < 120 * 60) return {60, "min"};
    if (seconds < 48 * 3600) return {3600, "h"};
    return {86400, "d"};
  }();
  if (seconds < 1) return "now";
  return when > now ? fmt::format("in {} {}", seconds / size, unit) : fmt::format("{} {} ago", seconds / size, unit);
}

namespace {

std::string databases_text(const Overview& overview) {
  if (overview.databases == 0) return {};
  std::string text = fmt::format("<h2>Public databases</h2><p>{} of <a href=\"/zones\">{} databases</a> can be believed now. ",
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

}  // namespace

std::string overview_page(const Frame& frame, const Overview& overview) {
  std::string body = fmt::format("<h1>{}</h1>", headline(overview.open));
  if (overview.open.empty()) {
    body += "<p class=dim>No case is open. How much is known, and of what, is below.</p>";
  } else {
    body += exposure_table(overview.open, frame.now);
  }
  body += "<h2>What is known</h2>";
  body += overview.counts.empty() ? "<p class=dim>No check is configured.</p>" : counts_table(overview);
  body += databases_text(overview);
  body += "<h2>Canary</h2>" + canary_text(frame, overview.canary_configured);
  body += "<h2>Words</h2><dl>";
  for (const Verdict verdict : kWorstFirst) body += fact(badge(verdict), meaning(verdict));
  body += "</dl>";
  body += fmt::format(
      "<h2>More</h2><p><a href=\"/targets\">{} targets</a> · <a href=\"/exposures\">all exposures</a> · <a href=\"/config\">"
      "configuration</a> · <a href=\"/metrics\">metrics</a> · JSON: <a href=\"/api/v1/results\">results</a>, "
      "<a href=\"/api/v1/exposures\">exposures</a>, <a href=\"/api/v1/targets\">targets</a>, "
      "<a href=\"/api/v1/suspicions\">suspicions</a></p>",
      overview.targets);
  return page(frame, headline(overview.open), body);
}

std::string targets_page(const Frame& frame, const std::vector<TargetRow>& rows, std::optional<Verdict> verdict,
                         std::size_t left_out) {
  std::string body = "<h1>Targets</h1><p>";
  if (verdict) body += fmt::format("Only those with something {}. <a href=\"/targets\">All</a>", badge(*verdict));
  body += "</p>";
  std::vector<std::vector<std::string>> cells;
  for (const TargetRow& row : rows) {
    const TargetConfig& config = row.target.config;
    std::string name = target_link(config.name);
    if (config.paused) name += " <span class=tag>paused</span>";
    if (!row.target.note.empty()) name += fmt::format("<br><span class=dim>{}</span>", html(row.target.note));
    cells.push_back({worst_text(row.counts), name, html(place_text(config.place)), html(config.owner),
                     html(counts_text(row.counts)), when(row.last_probe, frame.now)});
  }
  body +=
      cells.empty() ? "<p class=dim>None.</p>" : table({"Worst", "Target", "Place", "Owner", "Results", "Last probe"}, cells);
  return page(frame, "Targets", body + left_out_text(left_out, "targets"));
}

namespace {

// Meaning, reason and what to do, for a listing; else why nothing is known, or what was said instead.
std::string listing_text(const ListingView& row) {
  std::string text;
  if (row.last) {
    for (const DnsblCode& code : row.last->codes) {
      text += fmt::format("{}{} <span class=dim>{}</span>", text.empty() ? "" : ", ", html(code.meaning), html(code.code));
    }
    if (!row.last->text.empty()) text += fmt::format("<br><span class=dim>it says:</span> {}", html(row.last->text));
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

std::string listings_text(const TargetPage& target, Time now) {
  std::string body = "<h2>Public databases</h2>";
  if (target.listings.empty()) return body + "<p class=dim>None is asked about it.</p>";
  std::vector<std::vector<std::string>> rows;
  for (const ListingView& row : target.listings) {
    rows.push_back({listing_state(row), html(row.subject.text), "<a href=\"/zones\">" + html(row.zone) + "</a>",
                    "|" + listing_text(row), row.last ? when(row.last->since, now) : "",
                    row.last ? when(row.last->checked, now) : "", html(to_string(row.state))});
  }
  body += table({"", "Address", "Database", "|What it says", "Since", "Last heard", "Database is"}, rows);
  return body + left_out_text(target.listings_left_out, "answers");
}

std::string suspicion_badge(SuspicionStatus status) {
  const char* const colour = status == SuspicionStatus::confirmed ? "open"
                             : status == SuspicionStatus::refuted ? "closed"
                                                                  : "unclear";
  return fmt::format("<span class=\"badge {}\">{}</span>", colour, to_string(status));
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

std::string suspicions_text(const TargetPage& target, Time now) {
  std::string body = "<h2>Suspicions of others</h2>";
  if (target.suspicions.empty()) return body + "<p class=dim>None was imported.</p>";
  std::vector<std::vector<std::string>> rows;
  for (const SuspicionView& view : target.suspicions) {
    const SuspicionKey& key = view.suspicion.key;
    const ReportType* const type = find_report_type(key.report);
    std::string saw = type != nullptr ? html(type->says) : "";
    for (const auto& [column, text] : view.suspicion.saw) {
      saw += fmt::format("<br><span class=dim>{}:</span> {}", html(column), html(text));
    }
    const std::string where = key.port == 0 ? key.address.to_string() : join_host_port(key.address, key.port);
    rows.push_back({suspicion_badge(view.judgement.status), html(key.source) + "<br>" + html(key.report), html(where),
                    when(view.suspicion.reported, now), "|" + saw, "|" + own_word(view)});
  }
  body += table({"", "Report", "Where", "When", "|What they saw", "|Our own test"}, rows);
  return body + left_out_text(target.suspicions_left_out, "suspicions");
}

}  // namespace

std::string target_page(const Frame& frame, const TargetPage& target) {
  std::map<Verdict, std::size_t> counts;
  for (const ResultView& view : target.results) ++counts[view.state.level];
  const std::string& name = target.target.config.name;
  std::string body = fmt::format("<h1>{} {}</h1>", html(name), worst_text(counts));
  body += target_facts(target.target);
  body += fmt::format("<form method=post action=\"/probe?target={}\"><button>Probe now</button></form>", url_encode(name));
  body += "<h2>Results</h2>";
  std::vector<std::vector<std::string>> rows;
  for (const ResultView& view : target.results) rows.push_back(result_row(view, frame.now));
  body += rows.empty() ? "<p class=dim>Not probed yet.</p>"
                       : table({"Judged", "Check", "Endpoint", "|Why", "Last probe", "Next", ""}, rows);
  body += left_out_text(target.left_out, "results");
  body += "<h2>Evidence</h2>";
  bool any = false;
  for (const ResultView& view : target.results) {
    if (!view.latest && !view.not_closed) continue;
    body += result_evidence(target, view, frame.now);
    any = true;
  }
  if (!any) body += "<p class=dim>None is stored.</p>";
  body += listings_text(target, frame.now) + suspicions_text(target, frame.now);
  return page(frame, name, body);
}

std::string zones_page(const Frame& frame, const ZonesView& view) {
  std::string body =
      "<h1>Public databases</h1><p>What a database says is believed only while it passes its own test: it lists what "
      "it must, and does not list what nobody can have listed.</p>";
  if (!view.resolvers.empty()) body += fmt::format("<p>Asked by way of {}.</p>", html(view.resolvers));
  std::vector<std::vector<std::string>> rows;
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
    rows.push_back({state, "|" + about, "|" + tests, fmt::format(">{}", zone.listed), fmt::format(">{}", zone.unknown),
                    fmt::format(">{}", zone.subjects), html(answers), fmt::format(">{}", zone.left_today)});
  }
  body += rows.empty()
              ? "<p class=dim>None is asked.</p>"
              : table({"State", "|Database", "|Last tests", ">Listed", ">Not known", ">Of", "Answers", ">Left today"}, rows);
  return page(frame, "Public databases", body);
}

std::string exposures_page(const Frame& frame, const std::vector<ExposureView>& exposures, std::optional<CaseStatus> status,
                           std::size_t left_out) {
  std::string body = "<h1>Exposures</h1><p>";
  const auto choice = [&](std::string_view text, std::optional<CaseStatus> of) {
    if (of == status) {
      body += fmt::format("<b>{}</b> ", text);
    } else {
      body += fmt::format("<a href=\"/exposures{}\">{}</a> ", of ? fmt::format("?state={}", to_string(*of)) : "", text);
    }
  };
  choice("all", std::nullopt);
  for (const CaseStatus of : {CaseStatus::open, CaseStatus::closed, CaseStatus::retired}) choice(to_string(of), of);
  body += "</p>";
  body += exposures.empty() ? "<p class=dim>None.</p>" : exposure_table(exposures, frame.now);
  return page(frame, "Exposures", body + left_out_text(left_out, "exposures"));
}

std::string exposure_page(const Frame& frame, const ExposureView& view, const std::optional<Record>& found,
                          const std::vector<Record>& others) {
  const Case& exposure = view.exposure;
  const bool open = exposure.status == CaseStatus::open;
  std::string body = fmt::format("<h1>{} on {}: {}</h1>", html(exposure.key.check), html(exposure.key.target),
                                 open ? badge(exposure.level) : html(to_string(exposure.status)));
  if (const CheckInfo* check = find_check(exposure.key.check)) body += fmt::format("<p>{}</p>", html(check->question));
  body += fmt::format("<p>{}.</p><dl>", meaning(exposure.level));
  body += fact("Target", target_link(exposure.key.target));
  body += fact("Endpoint", html(endpoint_text(exposure.key)));
  if (!exposure.owner.empty()) body += fact("Owner", html(exposure.owner));
  body += fact("Highest level", badge(exposure.level) + " " + html(to_string(exposure.reason)));
  body += fact("First seen", when(exposure.first_seen, frame.now));
  body += fact("Last confirmed", when(exposure.last_confirmed, frame.now));
  if (exposure.closed) body += fact("Ended", when(exposure.closed, frame.now) + " " + html(exposure.how));
  if (exposure.reopened > 0) body += fact("Reopened", fmt::format("{} times", exposure.reopened));
  if (view.exempt) body += fact("Exempt", "an exemption of the configuration covers it");
  if (!exposure.variants.empty()) body += fact("Said yes to", html(join(exposure.variants, ", ")));
  if (!exposure.exit_addresses.empty()) body += fact("Came out at", html(join(exposure.exit_addresses, ", ")));
  body += fact("Id", html(exposure.id)) + "</dl>";
  body += canary_side(exposure);
  if (!exposure.late.empty()) body += "<h2>Arrived after its end</h2>" + list(exposure.late);
  if (open) {
    std::vector<const Record*> heard;
    if (found) heard.push_back(&*found);
    for (const Record& record : others) heard.push_back(&record);
    body += remedy_section(exposure.key, found ? found->tls : TlsMode::none, heard);
  }
  body += "<h2>Evidence</h2>";
  body += found ? evidence(*found, frame.now) : "<p class=dim>None is stored.</p>";
  return page(frame, exposure.key.check + " on " + exposure.key.target, body);
}

std::string runbooks_page(const Frame& frame, std::span<const Runbook> runbooks) {
  std::string body = "<h1>Runbooks</h1><p>What to do when an alert fires.</p>";
  std::vector<std::vector<std::string>> rows;
  for (const Runbook& runbook : runbooks) {
    rows.push_back({fmt::format("<a href=\"/runbooks/{}\">{}</a>", url_encode(runbook.alert), html(runbook.alert)),
                    markdown_html(urgency(runbook))});
  }
  return page(frame, "Runbooks", body + table({"Alert", "Urgency"}, rows, true));
}

std::string runbook_page(const Frame& frame, const Runbook& runbook) {
  return page(frame, runbook.alert, "<div class=book>" + markdown_html(runbook.markdown) + "</div>");
}

std::string config_page(const Frame& frame, const Config& config) {
  std::string body = "<h1>Configuration</h1>";
  body += fmt::format("<p>As it is in force, defaults included{}.</p><pre>{}</pre>",
                      config.file.empty() ? "" : ", from <b>" + html(config.file) + "</b>", html(config_text(config)));
  return page(frame, "Configuration", body);
}

}  // namespace ajar
