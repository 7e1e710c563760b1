// Reports of the Shadowserver Foundation as it mails them: a CSV file for each type and day. Columns are found by their names
// in the header, never by their order, which changes. Pure: the file's bytes and the instant come in.
//
//   2026-01-02-scan_http_proxy-example_org-asn.csv
//   timestamp,severity,ip,protocol,port,hostname,tag,…,http,http_code,via,server,…
//   "2026-01-01 03:04:05","medium","203.0.113.5","tcp",3128,…
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "agent/suspicion.h"

namespace ajar {

inline constexpr std::size_t kMaxReportBytes = 64 * 1024 * 1024;
inline constexpr std::size_t kMaxReportRows = 1'000'000;
inline constexpr std::size_t kMaxBrokenRows = 20;               // that are named
inline constexpr auto kReportAhead = std::chrono::minutes(10);  // of our clock, at most

// The whole file is of no use; what() says why and what to do. Escaped.
class ReportError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The type that the name of a file says, its folder apart. ReportError: it says none, or one that is none of report_types().
const ReportType& shadowserver_type(std::string_view file);

struct BrokenRow {
  std::size_t line = 0;
  std::string why;  // escaped
};

struct ReportSummary {
  std::size_t rows = 0;          // all but the header
  std::size_t broken = 0;        // of them
  std::vector<BrokenRow> named;  // the first kMaxBrokenRows
};

// Hands every row that makes sense to `take`, in the order of the file. `now`: what was reported later than that did not
// happen; it becomes Suspicion::imported. ReportError: no header, or a column is missing.
ReportSummary read_shadowserver(std::string_view text, const ReportType& type, Time now,
                                const std::function<void(Suspicion)>& take);

}  // namespace ajar
