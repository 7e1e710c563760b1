#include "agent/check_output.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/json.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr std::array<const char*, 5> kColours = {"\033[32m", "\033[90m", "\033[33m", "\033[35m", "\033[1;31m"};

std::string painted(Verdict verdict, const std::string& text, bool colour) {
  return colour ? kColours[static_cast<std::size_t>(verdict)] + text + "\033[0m" : text;
}

// Ways that said yes, of one result.
constexpr std::size_t kShown = 4;

using Row = std::array<std::string, 5>;

Row row_of(const Record& record) {
  const std::string tls = record.tls == TlsMode::implicit ? " tls" : "";
  return {escape(record.key.target), join_host_port(record.key.address, record.key.port) + tls, record.key.check,
          std::string(to_string(record.finding.verdict)), std::string(to_string(record.finding.reason))};
}

// What an operator must know beside the verdict: the ways that said yes, where the proof came from, what else was noticed.
std::string details(const Record& record) {
  const Finding& finding = record.finding;
  std::string text = fmt::format("    {}\n", escape(finding.because, 1000));
  std::vector<const Variant*> yes;
  for (const Variant& variant : finding.variants) {
    if (variant.verdict >= Verdict::accepted) yes.push_back(&variant);
  }
  std::stable_sort(yes.begin(), yes.end(), [](const Variant* a, const Variant* b) { return a->verdict > b->verdict; });
  for (std::size_t i = 0; i < std::min(yes.size(), kShown); ++i) {
    const Variant& variant = *yes[i];
    text += fmt::format("    {:<9} {}{}\n", to_string(variant.verdict), variant.name,
                        variant.code ? fmt::format(": {} {}", *variant.code, variant.reply.value_or("")) : "");
  }
  if (yes.size() > kShown) text += fmt::format("    … and {} more ways; all of them with --json\n", yes.size() - kShown);
  for (const std::string& exit : finding.exit_addresses) text += fmt::format("    left from {}\n", escape(exit));
  for (const std::string& observation : finding.observations) {
    if (!observation.starts_with("what ")) text += fmt::format("    {}\n", escape(observation));  // arrivals: said above
  }
  return text;
}

}  // namespace

std::string check_table(const std::vector<Record>& records, bool colour) {
  const Row head = {"TARGET", "ENDPOINT", "CHECK", "VERDICT", "REASON"};
  std::array<std::size_t, 5> widths{};
  for (std::size_t i = 0; i < head.size(); ++i) widths[i] = head[i].size();
  for (const Record& record : records) {
    const Row row = row_of(record);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto line = [&](const Row& row, const Verdict* verdict) {
    const std::string said = fmt::format("{:<{}}", row[3], widths[3]);
    return fmt::format("{:<{}}  {:<{}}  {:<{}}  {}  {}\n", row[0], widths[0], row[1], widths[1], row[2], widths[2],
                       verdict != nullptr ? painted(*verdict, said, colour) : said, row[4]);
  };
  std::string out = line(head, nullptr);
  std::array<std::size_t, 5> counts{};
  for (const Record& record : records) {
    ++counts[static_cast<std::size_t>(record.finding.verdict)];
    out += line(row_of(record), &record.finding.verdict);
    if (record.finding.verdict != Verdict::closed) out += details(record);
  }
  out += "\n";
  for (std::size_t level = counts.size(); level-- > 0;) {
    if (counts[level] == 0) continue;
    const auto verdict = static_cast<Verdict>(level);
    out += painted(verdict, fmt::format("{} {}", counts[level], to_string(verdict)), colour) + "  ";
  }
  return out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
}

std::string check_json(const std::vector<Record>& records) {
  std::string out;
  for (const Record& record : records)
    out += to_json(record).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return out;
}

std::string listings_table(const ZonesView& view) {
  if (view.listings.empty()) return {};
  std::string out;
  std::size_t clean = 0, unknown = 0, listed = 0;
  std::map<std::string, std::pair<ZoneState, std::size_t>> broken;
  for (const ListingView& row : view.listings) {
    if (!row.listed) {
      ++unknown;
      broken.try_emplace(row.zone, row.state, 0).first->second.second++;
    } else if (!*row.listed) {
      ++clean;
    } else {
      ++listed;
      std::string meanings;
      for (const DnsblCode& code : row.last->codes) {
        meanings += fmt::format("{}{} ({})", meanings.empty() ? "" : ", ", code.meaning, code.code);
      }
      out +=
          fmt::format("{}  {}  listed in {}: {}\n", escape(row.target), escape(row.subject.text), row.zone, escape(meanings));
      if (!row.last->text.empty()) out += fmt::format("    {}\n", row.last->text);
    }
  }
  for (const auto& [zone, what] : broken) {
    out += fmt::format("{}: nothing known of {} addresses: {}\n", zone, what.second,
                       what.first == ZoneState::healthy ? "no answer in time" : to_string(what.first));
  }
  return fmt::format("\n{}databases: {} listed  {} not listed  {} not known\n", out, listed, clean, unknown);
}

std::string listings_json(const ZonesView& view) {
  std::string out;
  for (const ListingView& row : view.listings)
    out += to_json(row).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return out;
}

std::string zones_table(const ZonesView& view) {
  std::size_t width = 0;
  for (const ZoneStatus& zone : view.zones) width = std::max(width, zone.name.size());
  std::string out;
  for (const ZoneStatus& zone : view.zones) {
    for (const auto& [kind, health] : zone.kinds) {
      out += fmt::format("{:<{}}  {:<6}  {:<15}  {}\n", zone.name, width, to_string(kind), to_string(health.state),
                         health.because);
    }
  }
  return out;
}

std::string zones_json(const ZonesView& view) {
  std::string out;
  for (const ZoneStatus& zone : view.zones) {
    for (const auto& [kind, health] : zone.kinds) {
      const nlohmann::ordered_json object = {{"kind", "zone"},
                                             {"zone", zone.name},
                                             {"asked_about", to_string(kind)},
                                             {"state", to_string(health.state)},
                                             {"because", health.because}};
      out += object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
  }
  return out;
}

}  // namespace ajar
