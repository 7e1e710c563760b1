// What the agent does about its own crashes: reads the journal of the last process, keeps the quarantine, says both in the log
// and in the metrics. The agent asks it before a probe and tells it afterwards.
//
// Loop thread only, but for watch_this_thread().
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/crash_journal.h"
#include "agent/metrics.h"
#include "agent/quarantine.h"
#include "config/config.h"

namespace ajar {

class CrashGuard {
 public:
  // Beside `state`, which this process has locked; `state` ":memory:" keeps nothing. Says what happened last. `metrics`
  // outlives it.
  CrashGuard(const std::string& state, const AgentConfig& agent, Metrics& metrics, WallClock now = wall_now);

  // On the thread that probes, before its first probe.
  void watch_this_thread();
  // CrashJournal::hangs().
  void hangs(std::uint32_t thread) { journal_.hangs(thread); }
  void set_period(std::chrono::milliseconds period) { quarantine_.set_period(period); }

  // A result exists, or does no more: what is quarantined of those that exist is shown.
  void planned(const ResultKey& key);
  void retired(const ResultKey& key);

  // Why it is not asked: a sentence; empty: it is.
  std::string why_skipped(const ResultKey& key) const;
  // It is asked while nothing else is: if the agent crashes then, it was that.
  bool is_suspect(const ResultKey& key) const { return quarantine_.is_suspect(probe_place(key)); }
  bool has_suspects() const { return quarantine_.has_suspects(); }
  void survived(const ResultKey& key);
  // Somebody asks for a test of a target (of one check, or of all when `check` is empty).
  void asked_for(const std::string& target, const std::string& check);
  // Ends what is over; call now and then.
  void expire();

 private:
  void publish();
  void say_failure();

  CrashJournal journal_;
  Quarantine quarantine_;
  Metrics& metrics_;
  std::map<ProbePlace, ResultKey> shown_;  // of what is in the quarantine's book
  bool was_failing_ = false;
};

}  // namespace ajar
