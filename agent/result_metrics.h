// The series of results and of their targets: by far the most of a page. One walk through the ledger writes all their families
// at the same time, each into a section of its own; the ledger is held for a portion of the results at a time, and never while
// anything is written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/coverage.h"
#include "agent/exposition.h"
#include "agent/ledger.h"
#include "agent/sweep_table.h"
#include "agent/target_index.h"

namespace ajar {

// What a page leaves out when it would have more series than --web.max-series, in this order. The level, the beginning and the
// exemption of what is accepted or open, and the ajar_target_info of its target, are never left out.
enum class Cut : std::uint8_t {
  closed,       // every series of results that are closed, as with detail = "targets"
  not_listed,   // ajar_dnsbl_listed where it is 0
  detail,       // of the other results all but their level, beginning and exemption
  targets,      // ajar_target_exposure_level and ajar_target_last_conclusive_timestamp_seconds
  unknown,      // results that are unclear or unreachable
  listings,     // ajar_dnsbl_listed and ajar_dnsbl_listing_info
  target_info,  // of targets without an accepted or open result
};
inline constexpr std::size_t kCuts = 7;
std::string_view to_string(Cut cut);
// How many series each holds.
using CutCounts = std::array<std::size_t, kCuts>;

// What is written of what could be.
struct PageDetail {
  bool targets_only = false;                   // detail = "targets": no series of closed results, and that is not a cut
  std::size_t cuts = 0;                        // the first so many of Cut are left out
  std::set<std::string, std::less<>> exposed;  // targets with an accepted or open result, where target_info is cut

  bool leaves_out(Cut cut) const { return static_cast<std::size_t>(cut) < cuts; }
};

// What they are written of. All of it outlives the writing.
struct ResultScene {
  const Ledger& ledger;
  const Config& config;
  const TargetIndex& targets;
  Time now;
  const SweepView* swept = nullptr;  // what sweeps of networks know; nullptr: nothing
};

// The series that ResultSeries would write: one walk.
struct SeriesCount {
  CutCounts by_cut{};
  std::size_t kept = 0;                        // that no cut leaves out
  std::set<std::string, std::less<>> exposed;  // targets with an accepted or open result
};
SeriesCount count_result_series(const ResultScene& scene, bool targets_only);

// What the walk learns besides.
struct ResultCounts {
  std::map<std::string, std::array<std::size_t, 5>> by_check;  // probed or swept, by judged verdict
  std::map<std::string, Coverage> coverage;
};

// The sections of these families, made in their order, and then written. `expected`: as in CoverageCount.
class ResultSeries {
 public:
  explicit ResultSeries(Sections& sections);
  ResultCounts write(const ResultScene& scene, const PageDetail& detail, const std::map<std::string, std::size_t>& expected);
  // The same of one target (and one check, if it is not empty), with all detail.
  void write_target(const ResultScene& scene, const std::string& target, const std::string& check);

 private:
  std::vector<Exposition> out_;  // a section for each family
};

}  // namespace ajar
