#include "agent/zone_metrics.h"

#include <map>
#include <set>

namespace ajar {
namespace {

constexpr MetricFamily kListed{
    "ajar_dnsbl_listed", MetricType::gauge,
    "Whether a public database lists an address of a target; absent while the database is not healthy."};
constexpr MetricFamily kListingInfo{"ajar_dnsbl_listing_info", MetricType::gauge,
                                    "What a database says of an address that it lists; always 1."};

bool is_known(const ListingView& row) { return row.listed && row.last; }

// What it says of a listing: each code once.
std::set<std::string> infos_of(const ListingView& row) {
  std::set<std::string> infos;
  for (const DnsblCode& code : row.last->codes) {
    if (code.effect != CodeEffect::listing) continue;
    infos.insert(Exposition::labels({{"target", row.target},
                                     {"address", row.subject.text},
                                     {"zone", row.zone},
                                     {"code", code.code},
                                     {"meaning", code.meaning}}));
  }
  return infos;
}

}  // namespace

ListingSeries::ListingSeries(Sections& sections) : listed_(sections.section()), info_(sections.section()) {
  listed_.family(kListed);
  info_.family(kListingInfo);
}

void ListingSeries::write(const ZonesView& view, bool any, bool not_listed, const std::string* target) {
  for (const ListingView& row : view.listings) {
    if (!any || !is_known(row) || (!*row.listed && !not_listed) || (target != nullptr && row.target != *target)) continue;
    listed_.sample(
        Exposition::labels(
            {{"target", row.target}, {"address", row.subject.text}, {"zone", row.zone}, {"tier", to_string(row.last->tier)}}),
        *row.listed ? 1 : 0);
    if (!*row.listed) continue;
    for (const std::string& labels : infos_of(row)) info_.sample(labels, 1);
  }
  listed_.flush();
  info_.flush();
}

void count_listings(const ZonesView& view, std::size_t& not_listed, std::size_t& listed) {
  for (const ListingView& row : view.listings) {
    if (!is_known(row)) continue;
    if (*row.listed) {
      listed += 1 + infos_of(row).size();
    } else {
      ++not_listed;
    }
  }
}

void write_zones(Exposition& out, const ZonesView& view) {
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

}  // namespace ajar
