#include "agent/zone_metrics.h"

#include <map>
#include <set>

namespace ajar {
namespace {

void write_listed(Exposition& out, const ZonesView& view, const std::string* target) {
  std::map<std::string, double> listed;
  std::set<std::string> info;
  for (const ListingView& row : view.listings) {
    if (!row.listed || !row.last || (target != nullptr && row.target != *target)) continue;
    listed[Exposition::labels(
        {{"target", row.target}, {"address", row.subject.text}, {"zone", row.zone}, {"tier", to_string(row.last->tier)}})] =
        *row.listed ? 1 : 0;
    if (!*row.listed) continue;
    for (const DnsblCode& code : row.last->codes) {
      if (code.effect != CodeEffect::listing) continue;
      info.insert(Exposition::labels({{"target", row.target},
                                      {"address", row.subject.text},
                                      {"zone", row.zone},
                                      {"code", code.code},
                                      {"meaning", code.meaning}}));
    }
  }
  out.family("ajar_dnsbl_listed", MetricType::gauge,
             "Whether a public database lists an address of a target; absent while the database is not healthy.");
  for (const auto& [labels, value] : listed) out.sample(labels, value);
  out.family("ajar_dnsbl_listing_info", MetricType::gauge, "What a database says of an address that it lists; always 1.");
  for (const std::string& labels : info) out.sample(labels, 1);
}

}  // namespace

void write_zones(Exposition& out, const ZonesView& view) {
  write_listed(out, view, nullptr);
  out.family("ajar_dnsbl_zone_state", MetricType::gauge, "1 for the state that a database is in.");
  for (const ZoneStatus& zone : view.zones) {
    for (int i = 0; i < kZoneStateCount; ++i) {
      const auto state = static_cast<ZoneState>(i);
      out.sample(Exposition::labels({{"zone", zone.name}, {"state", to_string(state)}}), zone.state == state ? 1 : 0);
    }
  }
  out.family("ajar_dnsbl_queries_total", MetricType::counter,
             "Answers of a database to questions for addresses, its tests too.");
  for (const ZoneStatus& zone : view.zones) {
    std::map<std::string, std::uint64_t> counts;
    for (const char* result : {"blocked", "hijacked", "listed", "not_listed", "refused", "servfail", "timeout"})
      counts[result] = 0;
    for (const auto& [result, count] : zone.answers) counts[result] = count;
    for (const auto& [result, count] : counts) {
      out.sample(Exposition::labels({{"zone", zone.name}, {"result", result}}), static_cast<double>(count));
    }
  }
}

void write_listings(Exposition& out, const ZonesView& view, const std::string& target) { write_listed(out, view, &target); }

}  // namespace ajar
