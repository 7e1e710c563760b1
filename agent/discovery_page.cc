// What pages say of [[discovery]].
#include <fmt/format.h>

#include "agent/discovery.h"
#include "agent/pages.h"

namespace ajar {
namespace {

std::string state_text(const SourceView& source) {
  if (!source.up) return "not read yet";
  std::string out = icon(*source.up ? "up" : "down") + (*source.up ? " well" : " failing");
  if (!source.trouble.empty()) out += "<br><span class=dim>" + peer(source.trouble) + "</span>";
  return out;
}

std::string refusals(const SourceView& source) {
  std::vector<std::string> items;
  for (const RefusedEntry& refused : source.refusals) items.push_back(peer(refused.entry) + " " + peer(refused.why));
  return folded(fmt::format("{} entries of {} are not taken", source.refused, peer(source.name)),
                bullet_list(items) + left_out_text(source.refused - std::min(source.refused, items.size()), "entries"));
}

}  // namespace

std::string discovery_section(const DiscoveryView& discovery, Time now) {
  if (discovery.sources.empty()) return "";
  std::vector<std::vector<Cell>> rows;
  std::string below;
  for (const SourceView& source : discovery.sources) {
    std::string name = peer(source.name);
    if (!source.place.ends_with(" " + source.name)) name += "<br><span class=dim>" + peer(source.place) + "</span>";
    rows.push_back({head(name), wide(state_text(source)), number(fmt::to_string(source.targets)),
                    number(fmt::to_string(source.refused)), when_short(source.last_success.value_or(Time{}), now)});
    if (source.refused > 0) below += refusals(source);
  }
  return "<h2 id=discovery>Discovery</h2>" +
         table("Where targets are read from",
               {"Source", Column("State", Cell::Kind::wide), Column("Targets", Cell::Kind::number),
                Column("Not taken", Cell::Kind::number), "Last read well (UTC)"},
               rows) +
         below + "<h2>File</h2>";
}

std::string discovery_note(const DiscoveryView& discovery) {
  if (discovery.sources.empty()) return "";
  std::size_t failing = 0, refused = 0;
  for (const SourceView& source : discovery.sources) {
    failing += source.up == false ? 1 : 0;
    refused += source.refused;
  }
  std::string text =
      fmt::format("{} of them are found by <a href=\"/config#discovery\">discovery</a>", discovery.found_by.size());
  if (failing > 0)
    text += fmt::format("; <b>{} of {} sources are failing</b>, what they said last holds", failing, discovery.sources.size());
  if (refused > 0) text += fmt::format("; {} entries are not taken", refused);
  return "<p>" + text + ".</p>";
}

}  // namespace ajar
