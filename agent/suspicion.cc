#include "agent/suspicion.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/ledger.h"

namespace ajar {
namespace {

constexpr std::string_view kHttpChecks[] = {"http_connect", "http_forward"};
constexpr std::string_view kSocksChecks[] = {"socks4", "socks5"};
constexpr std::string_view kMailChecks[] = {"smtp_relay"};

constexpr std::string_view kHttpColumns[] = {"tag", "http", "http_code", "http_reason", "via", "server", "proxy_authenticate"};
constexpr std::string_view kSocksColumns[] = {"tag"};
constexpr std::string_view kMailColumns[] = {"tag", "banner"};
constexpr std::string_view kListColumns[] = {"tag", "source", "reason"};

// The-Shadowserver-Foundation/report_schema, reports.json.
constexpr ReportType kReportTypes[] = {
    {"scan_http_proxy", "open HTTP proxy", kHttpChecks, kHttpColumns},
    {"scan6_http_proxy", "open HTTP proxy", kHttpChecks, kHttpColumns},
    {"population_http_proxy", "accessible HTTP proxy", kHttpChecks, kHttpColumns},
    {"population6_http_proxy", "accessible HTTP proxy", kHttpChecks, kHttpColumns},
    {"scan_socks", "accessible SOCKS proxy", kSocksChecks, kSocksColumns},
    {"scan6_socks", "accessible SOCKS proxy", kSocksChecks, kSocksColumns},
    {"scan_smtp", "accessible mail server", kMailChecks, kMailColumns},
    {"scan6_smtp", "accessible mail server", kMailChecks, kMailColumns},
    {"scan_smtp_vulnerable", "vulnerable mail server", kMailChecks, kMailColumns},
    {"scan6_smtp_vulnerable", "vulnerable mail server", kMailChecks, kMailColumns},
    {"blocklist", "listed address", {}, kListColumns},
};

bool is_open(const ResultState& result) { return result.case_id && result.level >= Verdict::accepted; }

// Why a result does not refute what was reported then; empty: it does.
std::string doubt(const ResultState& result, Time reported) {
  const ResultKey& key = result.key;
  const std::string where = fmt::format("{} at port {}", key.check, key.port);
  if (result.last_probe <= reported) return where + " was not asked since";
  if (result.level != Verdict::closed || result.last_level != Verdict::closed) {
    const bool judged = result.level != Verdict::closed;
    return fmt::format("{} is {} ({})", where, to_string(judged ? result.level : result.last_level),
                       to_string(judged ? result.reason : result.last_reason));
  }
  if (result.change_to) return where + " is to be confirmed";
  if (!result.last_full_matrix || *result.last_full_matrix <= reported) return where + " was not asked in all forms since";
  return {};
}

// A case that ended after the report: they were right then.
const Case* past_case(const Suspicion& suspicion, std::span<const Case> cases) {
  const Case* latest = nullptr;
  for (const Case& exposure : cases) {
    if (!exposure.closed || *exposure.closed <= suspicion.reported || !answers(exposure.key, suspicion.key)) continue;
    if (latest == nullptr || *exposure.closed > *latest->closed) latest = &exposure;
  }
  return latest;
}

// Checks that would answer it and of which there is no result.
std::string missing_checks(const ReportType& type, const std::vector<const ResultState*>& own) {
  std::string missing;
  for (const std::string_view check : type.checks) {
    const bool known = std::any_of(own.begin(), own.end(), [&](const ResultState* r) { return r->key.check == check; });
    if (!known) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", check);
  }
  return missing;
}

void judge_open(const ResultState& worst, SuspicionJudgement& judgement) {
  judgement.status = SuspicionStatus::confirmed;
  judgement.case_id = worst.case_id;
  judgement.because = fmt::format("our own test of {} at port {}: {} ({})", worst.key.check, worst.key.port,
                                  to_string(worst.level), to_string(worst.reason));
}

void judge_closed(const Suspicion& suspicion, std::span<const Case> cases, SuspicionJudgement& judgement) {
  judgement.status = SuspicionStatus::refuted;
  judgement.because = "all that we ask there, in every form, was closed since the report";
  if (const Case* past = past_case(suspicion, cases)) {
    judgement.because = "it was open, and all that we ask there is closed since " + to_rfc3339(*past->closed);
    judgement.case_id = past->id;
  }
}

}  // namespace

std::span<const ReportType> report_types() { return kReportTypes; }

const ReportType* find_report_type(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kReportTypes), std::end(kReportTypes), [&](const ReportType& type) { return type.name == name; });
  return found == std::end(kReportTypes) ? nullptr : found;
}

std::string_view to_string(SuspicionStatus status) {
  switch (status) {
    case SuspicionStatus::confirmed:
      return "confirmed";
    case SuspicionStatus::refuted:
      return "refuted";
    case SuspicionStatus::untested:
      return "untested";
  }
  return "untested";
}

std::optional<SuspicionStatus> parse_suspicion_status(std::string_view name) {
  for (const SuspicionStatus status : kSuspicionStatuses) {
    if (to_string(status) == name) return status;
  }
  return std::nullopt;
}

bool answers(const ResultKey& result, const SuspicionKey& suspicion) {
  const ReportType* const type = find_report_type(suspicion.report);
  if (type == nullptr || result.address != suspicion.address) return false;
  if (!type->names_port()) return true;
  return result.port == suspicion.port && result.transport == Transport::tcp &&
         std::find(type->checks.begin(), type->checks.end(), result.check) != type->checks.end();
}

SuspicionJudgement judge(const Suspicion& suspicion, std::span<const ResultState> results, std::span<const Case> cases) {
  SuspicionJudgement judgement;
  const ReportType* const type = find_report_type(suspicion.key.report);
  if (type == nullptr) return judgement;
  std::vector<const ResultState*> own;
  for (const ResultState& result : results) {
    if (answers(result.key, suspicion.key)) own.push_back(&result);
  }
  std::stable_sort(own.begin(), own.end(), [](const ResultState* a, const ResultState* b) {
    return std::pair(is_open(*a), a->level) > std::pair(is_open(*b), b->level);
  });
  for (const ResultState* result : own) judgement.results.push_back(result->key);
  if (own.empty()) {
    judgement.because =
        type->names_port() ? "we ask nothing at this port that would answer it" : "we ask nothing of this address";
    return judgement;
  }
  if (is_open(*own.front())) {
    judge_open(*own.front(), judgement);
    return judgement;
  }
  if (const std::string missing = missing_checks(*type, own); !missing.empty()) {
    judgement.because = fmt::format("we do not ask {} at this port", missing);
    return judgement;
  }
  for (const ResultState* result : own) {
    judgement.because = doubt(*result, suspicion.reported);
    if (!judgement.because.empty()) return judgement;
  }
  judge_closed(suspicion, cases, judgement);
  return judgement;
}

}  // namespace ajar
