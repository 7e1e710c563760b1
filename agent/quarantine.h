// Which questions to which endpoints crashed the agent. The first crash makes a suspect: it is asked again, alone. A second
// convicts: it is not asked until the quarantine ends, so that the rest goes on.
//
// A suspect that is asked and does not crash is cleared. A quarantine ends after `period`, with another build of ajar (which
// may have mended it), or when a person asks for a test (POST /probe). What comes out of it is a suspect again: one more crash
// puts it back.
//
// Kept in a small file beside the state, written when something changes, which is at crashes alone. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/crash_journal.h"
#include "agent/time.h"

namespace ajar {

class Quarantine {
 public:
  static constexpr unsigned kCrashes = 2;                // that convict
  static constexpr std::size_t kMost = 1000;             // entries kept; beyond them the oldest suspect is forgotten
  static constexpr std::chrono::hours kForget{24 * 90};  // suspects whose question is never asked again

  struct Entry {
    unsigned crashes = 0;
    int signal = 0;  // of the last
    Time last{};
    std::optional<Time> since;  // quarantined since; nullopt: a suspect
    std::string build;          // that crashed last
  };

  // Reads `path`; an empty one keeps nothing. What is unreadable is moved aside to "PATH.corrupt" and said in notes(). `build`:
  // which ajar this is.
  Quarantine(std::string path, std::string build, std::chrono::milliseconds period, WallClock now = wall_now);

  void set_period(std::chrono::milliseconds period) { period_ = period; }
  // Counts a crash, once: the second call for the same run changes nothing. True when that convicted.
  bool take(const Crash& crash);
  // It was asked, and did not crash.
  void survived(const ProbePlace& place);
  // A person wants to know: it is a suspect again. False: it is not quarantined.
  bool release(const ProbePlace& place);
  // Ends quarantines whose time is over, forgets old suspects. Those that ended.
  std::vector<ProbePlace> expire();

  // To be asked alone.
  bool is_suspect(const ProbePlace& place) const;
  bool has_suspects() const { return suspects_ > 0; }
  // Not to be asked; nullptr: it may be.
  const Entry* held(const ProbePlace& place) const;
  bool any_held() const { return entries_.size() > suspects_; }
  // When it ends by itself.
  Time until(const Entry& entry) const { return entry.since.value_or(Time{}) + period_; }
  const std::map<ProbePlace, Entry>& entries() const { return entries_; }
  const std::vector<std::string>& notes() const { return notes_; }
  // Why it could not be written; empty: it could.
  const std::string& failure() const { return failure_; }

 private:
  void load();
  void changed();
  void make_suspect(Entry& entry);

  std::string path_, build_;
  std::chrono::milliseconds period_;
  WallClock now_;
  std::map<ProbePlace, Entry> entries_;
  std::string last_run_;  // whose crash was counted
  std::size_t suspects_ = 0;
  std::vector<std::string> notes_;
  std::string failure_;
};

// "SIGSEGV".
std::string signal_name(int number);

}  // namespace ajar
