// What was in hand when the last process crashed. Two pages in a file beside the state, mapped into memory and written by plain
// stores: it belongs to the kernel, so it survives whatever ends the process, and costs no write to a disk. A power cut may
// lose it, which needs no protection: that was no crash of ours.
//
// A handler of the signals that our own faults raise (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT: also a failed assertion, an
// exception that nobody caught, the watchdog of systemd for a loop that hangs) notes which thread it was, and lets the signal
// end the process as it would have. Without that note nothing is blamed: a kill -9, the OOM killer or a power cut finds a
// thousand probes in flight that did nothing. Nor is anything where the crash was outside of a probe's own code.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/in_hand.h"

namespace ajar {

struct Crash {
  std::string run;  // of the process that crashed, 16 hex digits: so that one crash is counted once
  int signal = 0;
  std::optional<ProbePlace> in_hand;  // nullopt: it was in no probe's code
};

class CrashJournal {
 public:
  // Threads that may probe at the same time; more go unjournalled.
  static constexpr std::size_t kLanes = 48;

  // Reads what the last process left at `path`, and maps it. Never throws: where the file cannot be used, notes() says why and
  // what follows from it, and probing goes on without it. An empty path: no journal.
  explicit CrashJournal(const std::string& path);
  // Takes the handlers back, and this thread out of hand. A clean end leaves nobody to blame.
  ~CrashJournal();
  CrashJournal(const CrashJournal&) = delete;
  CrashJournal& operator=(const CrashJournal&) = delete;

  bool works() const { return page_ != nullptr; }
  const std::optional<Crash>& last_crash() const { return last_crash_; }
  const std::vector<std::string>& notes() const { return notes_; }

  // Forgets the last crash, which the caller has counted, and watches from here on: installs the handlers. One journal of a
  // process at a time.
  void begin();
  // The calling thread probes: what it has in hand is written down, and it gets a stack of its own for the handler (an overflow
  // leaves none). The thread ends before the journal does, or is the one that destroys it. False: there is no lane left for it,
  // or no journal.
  bool watch_this_thread();
  // A thread (gettid) that does not come round: what ends the process for that, a signal from outside, is its doing; 0: none
  // does.
  static void hangs(std::uint32_t thread);

 private:
  struct Page;
  void open(const std::string& path);
  void read_last();

  Page* page_ = nullptr;
  bool watching_ = false;
  std::mutex mutex_;                             // for what follows
  std::vector<std::unique_ptr<char[]>> stacks_;  // of the threads
  std::optional<Crash> last_crash_;
  std::vector<std::string> notes_;
};

}  // namespace ajar
