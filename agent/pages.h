// The pages that people read: pure functions from what is known to HTML. No script; every byte that is not ours is escaped.
// The reader is an engineer on call at night: what is open comes first, every colour is a word as well, every time is UTC and
// relative.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ledger.h"
#include "agent/metrics.h"
#include "agent/runbooks.h"
#include "agent/suspicions.h"
#include "agent/target_view.h"
#include "agent/zones.h"

namespace ajar {

// What every page says around its own matter.
struct Frame {
  Time now{};
  bool paused = false;
  bool ready = true;
  std::string failure;                // the state cannot be written: why
  std::vector<std::string> notes;     // of the ledger's opening
  std::map<CanaryKind, bool> canary;  // self-tests that have run
};

// A case and whether an exemption covers it now.
struct ExposureView {
  Case exposure;
  bool exempt = false;
};

struct Overview {
  std::vector<ExposureView> open;
  std::map<std::string, std::map<Verdict, std::size_t>> counts;  // judged, by check
  std::map<std::string, Coverage> coverage;
  std::size_t targets = 0;
  bool canary_configured = false;
  std::map<std::string, std::size_t> listed;         // by target: how many listings of databases that can be believed now
  std::size_t databases = 0, databases_healthy = 0;  // those that are asked
};

struct TargetRow {
  TargetView target;
  std::map<Verdict, std::size_t> counts;  // judged
  std::optional<Time> last_probe;         // the latest of all
};

// One result with its evidence.
struct ResultView {
  ResultState state;
  bool exempt = false;
  std::optional<Record> latest;
  std::optional<Record> not_closed;  // the latest that was not closed, when it is another than `latest`
};

struct TargetPage {
  TargetView target;
  std::vector<ResultView> results;  // worst first; the first ones with evidence
  std::size_t left_out = 0;         // results that the page is too long for
  // What public databases say: listed first; at most kMaxListings.
  std::vector<ListingView> listings;
  std::size_t listings_left_out = 0;
  std::vector<SuspicionView> suspicions;  // of others, confirmed first
  std::size_t suspicions_left_out = 0;
};

std::string overview_page(const Frame& frame, const Overview& overview);
// `verdict`: only targets with such a result were selected; `left_out`: rows that the page is too long for.
std::string targets_page(const Frame& frame, const std::vector<TargetRow>& rows, std::optional<Verdict> verdict,
                         std::size_t left_out);
std::string target_page(const Frame& frame, const TargetPage& page);
std::string exposures_page(const Frame& frame, const std::vector<ExposureView>& exposures, std::optional<CaseStatus> status,
                           std::size_t left_out);
// `others`: what other checks heard last at that endpoint, which may tell what runs there.
std::string exposure_page(const Frame& frame, const ExposureView& exposure, const std::optional<Record>& evidence,
                          const std::vector<Record>& others);
// Every database: what it is doing, how its last tests went, what it was asked.
std::string zones_page(const Frame& frame, const ZonesView& zones);
std::string runbooks_page(const Frame& frame, std::span<const Runbook> runbooks);
std::string runbook_page(const Frame& frame, const Runbook& runbook);
std::string config_page(const Frame& frame, const Config& config);
// The effective configuration in its own notation; what is secret in it is masked.
std::string config_text(const Config& config);

// The one style sheet, inline in every page: named by its hash in the Content-Security-Policy.
std::string_view style_sheet();
std::string html(std::string_view text);        // escaped for text and attribute values; what is not UTF-8 becomes U+FFFD
std::string url_encode(std::string_view text);  // one path segment or query value
std::string relative(Time when, Time now);      // "3 h ago", "in 5 min"

}  // namespace ajar
