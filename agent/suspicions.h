// Suspicions among all that is known: whose address it is, what our results say, what the configuration would need; and taking
// them in.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "agent/exposition.h"
#include "agent/ledger.h"
#include "agent/suspicion.h"
#include "agent/target_view.h"

namespace ajar {

class Targets;

// A row of pages and the API.
struct SuspicionView {
  Suspicion suspicion;
  std::string target;  // that holds its address now, the most specific; empty: none
  SuspicionJudgement judgement;
  std::vector<std::string> remedy;  // lines for that target's configuration, so that all of it is asked; empty: it is
};

// Every suspicion that is kept: confirmed first, then untested, then refuted; the latest first among equals.
std::vector<SuspicionView> suspicion_views(const Ledger& ledger, const Config& config, std::span<const TargetView> targets);

// ajar_suspicions.
void write_suspicions(Exposition& out, const Ledger& ledger);

// What became of the rows of a report. Each is in one of the first seven.
struct ImportCounts {
  std::size_t added = 0;      // new
  std::size_t newer = 0;      // known, and reported again since
  std::size_t known = 0;      // known already
  std::size_t outside = 0;    // the scope
  std::size_t no_target = 0;  // holds the address
  std::size_t old = 0;        // reported longer ago than kSuspicionRetention
  std::size_t full = 0;       // kMaxSuspicions are held
  std::size_t unasked = 0;    // of added and newer: no check of ours asks at that port
};

// Who is to be asked soon because of what was taken in.
struct ImportEvents {
  std::function<void(const ResultKey&)> test;     // a result of ours that answers a suspicion
  std::function<void(const IpAddress&)> look_up;  // databases about this address
};

// Keeps those that are about us. Loop thread of `targets` and `ledger`; the caller flushes.
ImportCounts take_in(const std::vector<Suspicion>& suspicions, const Targets& targets, Ledger& ledger, Time now,
                     const ImportEvents& events);

}  // namespace ajar
