// The pages that people read: pure functions from what is known to HTML. They work without their script; every byte that is not
// ours is escaped. The reader is an engineer on call at night: what is open comes first, every colour is a word as well, every
// time is UTC and relative.
//
// The frame is in page_frame, each page in a file of its own: overview_page, target_pages, exposure_pages, other_pages.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/headline.h"
#include "agent/html.h"
#include "agent/ledger.h"
#include "agent/metrics.h"
#include "agent/page_frame.h"
#include "agent/runbooks.h"
#include "agent/selection.h"
#include "agent/suspicions.h"
#include "agent/target_view.h"
#include "agent/zones.h"

namespace ajar {

struct DiscoveryView;

struct Overview {
  std::vector<ExposureView> open;  // the first of them: what can be acted on, the oldest first; what is exempt comes last
  FirstLook look;
  std::map<std::string, std::map<Verdict, std::size_t>> counts;  // judged, by check
  std::map<std::string, Coverage> coverage;
  std::size_t targets = 0;
  bool canary_configured = false;
  std::map<std::string, std::size_t> listed;         // by target: how many listings of databases that can be believed now
  std::size_t databases = 0, databases_healthy = 0;  // those that are asked
  // From where and when.
  AgentConfig agent;
  std::optional<Time> next_due;  // of what is not overdue
  std::size_t overdue = 0;       // results whose time has passed by more than a minute
  std::size_t in_flight = 0;     // probes that run now
};

struct TargetsPage {
  std::vector<TargetRow> rows;  // of this page
  PageOf place;
  TargetFilter filter;
  std::vector<std::string> owners;                      // that there are
  std::shared_ptr<const DiscoveryView> discovery = {};  // nullptr: every target is declared
};

// One result with its evidence.
struct ResultView {
  ResultState state;
  bool exempt = false;
  std::optional<Record> latest;
  std::optional<Record> not_closed;  // the latest that was not closed, when it is another than `latest`
  std::vector<LevelChange> history;  // with evidence; newest last
};

struct TargetPage {
  TargetView target;
  std::optional<SweepSummary> swept;  // of a network
  std::vector<ResultView> results;    // worst first; the first ones with evidence
  std::size_t left_out = 0;           // results that the page is too long for
  bool one_result = false;            // `results` is a selection of them
  std::vector<ExposureView> cases;    // of this target, open and ended
  // What public databases say: listed first; at most kMaxRows.
  std::vector<ListingView> listings;
  std::size_t listings_left_out = 0;
  std::vector<SuspicionView> suspicions;  // of others, confirmed first
  std::size_t suspicions_left_out = 0;
};

struct ExposuresPage {
  std::vector<ExposureView> rows;  // of this page
  PageOf place;
  ExposureFilter filter;
  std::vector<std::string> owners;
};

std::string overview_page(const Frame& frame, const Overview& overview);
std::string targets_page(const Frame& frame, const TargetsPage& targets);
std::string target_page(const Frame& frame, const TargetPage& page);
std::string exposures_page(const Frame& frame, const ExposuresPage& exposures);
// `others`: what other checks heard last at that endpoint, which may tell what runs there.
std::string exposure_page(const Frame& frame, const ExposureView& exposure, const std::optional<Record>& evidence,
                          const std::vector<Record>& others);
// The same selection for a spreadsheet: RFC 4180; a cell that a spreadsheet would take for a formula gets an apostrophe.
std::string exposures_csv(const std::vector<ExposureView>& exposures, Time now);
// Open and ended cases as a table; sorted by `filter`, where that is given.
std::string exposure_table(std::string_view caption, const std::vector<ExposureView>& exposures, Time now,
                           const ExposureFilter* filter = nullptr);
// Every database: what it is doing, how its last tests went, what it was asked.
std::string zones_page(const Frame& frame, const ZonesView& zones);
std::string runbooks_page(const Frame& frame, std::span<const Runbook> runbooks);
std::string runbook_page(const Frame& frame, const Runbook& runbook);
// `discovery`: what its sources say; nullptr: there are none.
std::string config_page(const Frame& frame, const Config& config, const DiscoveryView* discovery = nullptr);
// The sources of targets, how they are and what of theirs is not taken; empty without any.
std::string discovery_section(const DiscoveryView& discovery, Time now);
// One sentence about them for the list of targets; empty without any.
std::string discovery_note(const DiscoveryView& discovery);
// What a browser gets instead of the line of text that a script gets.
std::string error_page(const Frame& frame, int status, std::string_view text);
// The effective configuration in its own notation; what is secret in it is masked.
std::string config_text(const Config& config);

}  // namespace ajar
