#include "agent/evidence_section.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/by_hand.h"
#include "agent/canary_side.h"
#include "agent/page_frame.h"

namespace ajar {
namespace {

constexpr std::size_t kMostUnfolded = 12;

std::string counts_text(const std::vector<Variant>& variants) {
  std::vector<std::string> parts;
  for (const Verdict verdict : kWorstFirst) {
    const auto count = std::count_if(variants.begin(), variants.end(), [&](const Variant& v) { return v.verdict == verdict; });
    if (count > 0) parts.push_back(fmt::format("{} {}", count, to_string(verdict)));
  }
  return join(parts, ", ");
}

std::string observations(const std::vector<std::string>& items) {
  if (items.size() <= kMostUnfolded) return bullet_list(items);
  return folded(fmt::format("{} observations", items.size()), bullet_list(items));
}

std::string variants_table(const Finding& finding) {
  if (finding.variants.empty()) return "";
  std::vector<std::vector<Cell>> rows;
  for (const Variant& variant : finding.variants) {
    rows.push_back({head(peer(variant.name)), badge(variant.verdict), html(to_string(variant.reason)),
                    number(variant.code ? fmt::format("{}", *variant.code) : ""), wide(peer(variant.reply.value_or("")))});
  }
  std::string out = table("Variants: each way of asking, and its answer",
                          {"Variant", "Verdict", "Reason", {"Code", Cell::Kind::number}, {"Reply", Cell::Kind::wide}}, rows);
  return rows.size() > kMostUnfolded ? folded(fmt::format("{} variants: {}", rows.size(), counts_text(finding.variants)), out)
                                     : out;
}

std::string transcript(const std::vector<std::string>& lines) {
  if (lines.empty()) return "<p class=dim>No transcript.</p>";
  std::string out = "<pre tabindex=0 role=group aria-label=Conversation>";
  for (const std::string& line : lines) {
    const char* kind = line.starts_with("C: ") ? "c" : line.starts_with("# ") ? "n" : "";
    out += *kind == '\0' ? html(line) : fmt::format("<span class={}>{}</span>", kind, html(line));
    out += '\n';
  }
  return out + "</pre>";
}

std::string escaped(const std::vector<std::string>& items) {
  std::vector<std::string> out;
  out.reserve(items.size());
  for (const std::string& item : items) out.push_back(peer(item));
  return join(out, ", ");
}

// The same question, in the form that was told yes where one was.
std::string repeat_by_hand(const Record& record) {
  const std::vector<Variant>& variants = record.finding.variants;
  const auto worst = std::max_element(variants.begin(), variants.end(),
                                      [](const Variant& a, const Variant& b) { return a.verdict < b.verdict; });
  const bool told_yes = worst != variants.end() && worst->verdict >= Verdict::accepted;
  const std::string section = by_hand_section(record.key, record.tls, told_yes ? worst->name : "", record.host);
  return section.empty() ? "" : folded("Repeat it by hand", section);
}

}  // namespace

std::string evidence_section(const Record& record, Time now) {
  const Finding& finding = record.finding;
  std::string out =
      fmt::format("<p>{} {} — {}</p><dl>", badge(finding.verdict), html(to_string(finding.reason)), peer(finding.because));
  out += fact("Probe", fmt::format("{} · {}{}", when(record.started, now), html(record.probe_id),
                                   record.full_matrix ? " · full matrix" : ""));
  out += fact("Took", fmt::format("{:.1f} s", static_cast<double>(record.duration.count()) / 1000));
  if (!record.source_address.empty()) out += fact("Asked from", html(record.source_address));
  if (record.tls != TlsMode::none) out += fact("TLS", html(to_string(record.tls)));
  if (!finding.exit_addresses.empty()) out += fact("Came out at", escaped(finding.exit_addresses));
  out += "</dl>" + observations(finding.observations) + variants_table(finding);
  return out + canary_side(record) + transcript(record.transcript) + repeat_by_hand(record);
}

}  // namespace ajar
