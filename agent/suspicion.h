// What others say of a server of ours: a row of a report that somebody sent, and what our own tests say to it. Pure values and
// functions: no clock, no database.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/record.h"
#include "agent/time.h"

namespace ajar {

struct Case;
struct ResultState;

// A kind of report, by the name that its source gives it.
struct ReportType {
  std::string_view name;                      // "scan_http_proxy"
  std::string_view says;                      // "open HTTP proxy"
  std::span<const std::string_view> checks;   // ours that answer it; empty: all of the address, the report names no port
  std::span<const std::string_view> columns;  // whose text is kept
  bool names_port() const { return !checks.empty(); }
};
std::span<const ReportType> report_types();
const ReportType* find_report_type(std::string_view name);  // nullptr: none of ours

// What one suspicion is about: there is one for each of these, the latest.
struct SuspicionKey {
  IpAddress address;       // first, so that what is said of one address stands together
  std::uint16_t port = 0;  // 0: the report names none
  std::string source;      // "shadowserver"
  std::string report;      // a ReportType's name
  std::string list;        // of a report of block lists: which of them; escaped and bounded
  friend auto operator<=>(const SuspicionKey&, const SuspicionKey&) = default;
};

struct Suspicion {
  SuspicionKey key;
  Time reported{};                                       // when they saw it; the latest
  Time imported{};                                       // when the first of them came to us
  std::vector<std::pair<std::string, std::string>> saw;  // column and text, escaped and bounded
  friend bool operator==(const Suspicion&, const Suspicion&) = default;
};

inline constexpr std::string_view kShadowserver = "shadowserver";
inline constexpr auto kSuspicionRetention = std::chrono::hours(24 * 30);  // since it was last reported
inline constexpr std::size_t kMaxSuspicions = 100'000;                    // that are kept
inline constexpr std::size_t kMaxSaw = 16;                                // texts of one
inline constexpr std::size_t kMaxSawText = 256;                           // bytes of one, before they are escaped

// confirmed: a case is open there. refuted: all that answers it was asked since, in every form, and is closed. untested:
// neither.
enum class SuspicionStatus { confirmed, refuted, untested };
inline constexpr SuspicionStatus kSuspicionStatuses[] = {SuspicionStatus::confirmed, SuspicionStatus::refuted,
                                                         SuspicionStatus::untested};
std::string_view to_string(SuspicionStatus);
std::optional<SuspicionStatus> parse_suspicion_status(std::string_view name);

// Whether a result of ours answers the suspicion: its address, port and check.
bool answers(const ResultKey& result, const SuspicionKey& suspicion);

struct SuspicionJudgement {
  SuspicionStatus status = SuspicionStatus::untested;
  std::string because;                 // one sentence
  std::optional<std::string> case_id;  // open, or one that was open after the report
  std::vector<ResultKey> results;      // ours that answer it, the most worrying first
};
// `results` and `cases`: ours of that address, in any order.
SuspicionJudgement judge(const Suspicion& suspicion, std::span<const ResultState> results, std::span<const Case> cases);

}  // namespace ajar
