// Which targets or exposures a page, a CSV or the API shows, in which order: read from the parameters of an address, and
// written back into links. Pure, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/fleet.h"
#include "agent/ledger.h"
#include "agent/target_view.h"

namespace ajar {

using Params = std::multimap<std::string, std::string>;

inline constexpr std::size_t kPageRows = 100;

// A parameter, or empty. One that is given twice counts once: the first.
std::string param(const Params& params, const std::string& name);
std::optional<CaseStatus> parse_status(std::string_view text);

// What is asked for in another way than it may be; what() tells a person.
class BadSelection : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "name=value&…" of what is set, ready for an address; the page is left out where it is the first.
class Query {
 public:
  void add(std::string_view name, std::string_view value);
  std::string text(std::string_view path) const;  // "/targets?q=mx"; the path alone when nothing is set

 private:
  std::string text_;
};

// How rows are sorted: one column, up or down. In an address: "name", "-name".
struct SortBy {
  std::string column;
  bool down = false;
  std::string text() const { return (down ? "-" : "") + column; }
  friend bool operator==(const SortBy&, const SortBy&) = default;
};

struct TargetFilter {
  std::string text;   // in name, place, address or owner; without regard to case
  std::string owner;  // exactly
  std::string label;  // "site=zrh", or "site": any value
  std::string check;
  std::optional<Verdict> verdict;  // a result of it (of `check`, where that is given) has this one
  SortBy sort{"worst", true};      // worst, name, owner, probed
  std::size_t page = 1;

  static TargetFilter of(const Params& params);  // BadSelection
  std::string query(std::string_view path) const;
};

struct ExposureFilter {
  std::string text;  // in target, owner, endpoint or id; without regard to case
  std::string owner, check, target;
  std::optional<CaseStatus> status;
  std::optional<bool> exempt;
  std::optional<Duration> older;  // first seen at least so long ago
  std::string older_text;         // as given: "7d"
  SortBy sort{"state", false};    // state (open, not exempt, the oldest first), target, check, owner, seen, confirmed, lasted
  std::size_t page = 1;

  static ExposureFilter of(const Params& params);  // BadSelection
  std::string query(std::string_view path) const;
};

// A case, and whether an exemption covers it now.
struct ExposureView {
  Case exposure;
  bool exempt = false;
  std::optional<ExemptionConfig> exemption = {};
  // What is known of its result now; filled in for what is shown.
  std::optional<ResultState> result = {};
};

// Open, and where the last probe could not see it: a firewall may keep us out, so nothing is over.
bool not_seen(const ExposureView& view);
// How long it lasted, or has lasted until now.
std::chrono::milliseconds lasted(const Case& exposure, Time now);

// Those that are wanted, sorted.
std::vector<ExposureView> select(const ExposureFilter& filter, std::vector<ExposureView> all, Time now);

struct TargetRow {
  const TargetView* target = nullptr;
  const FleetRow* known = nullptr;  // nullptr: nothing is known yet
};
std::vector<TargetRow> select(const TargetFilter& filter, const std::vector<TargetView>& targets, const Fleet& fleet);

// One page of rows: which of them, and how many there are.
struct PageOf {
  std::size_t first = 0, count = 0, all = 0;  // rows first … first + count - 1 of `all`
  std::size_t page = 1, pages = 1;
};
PageOf page_of(std::size_t all, std::size_t page);  // a page past the end is the last

}  // namespace ajar
