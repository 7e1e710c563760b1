// Targets that are found while the agent runs: [[discovery]].
//
// Each file or URL has a thread of its own, which reads, parses and makes targets of what it says; dns_srv is asked on the
// loop. What a source says is its list until it says something else; a source that fails keeps it. The lists are laid over each
// other: a name belongs to the configuration first, then to the sources in their order. What differs from before is handed over
// target by target, kSlice of work at a time, with everything else running in between, and not oftener than every kBatch.
//
// Loop thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/discovered.h"
#include "agent/loop.h"
#include "agent/resolver.h"
#include "agent/time.h"
#include "checks/task.h"
#include "config/config.h"

namespace ajar {

// A source as pages and metrics show it.
struct SourceView {
  std::string name;
  std::string place;        // "file targets/*.json", "url https://cmdb.example.net/targets", "dns_srv _smtp._tcp.example.org"
  std::size_t targets = 0;  // that are its own now
  std::size_t refused = 0;  // entries that are no targets, or have the name of another
  std::vector<RefusedEntry> refusals;  // the first of them
  std::optional<bool> up;              // whether the last look went well; nullopt: none has ended yet
  std::string trouble;                 // of the last look, printable; empty: none
  std::optional<Time> last_success;
};

struct DiscoveryView {
  std::vector<SourceView> sources;              // in the order of the configuration
  std::map<std::string, std::string> found_by;  // the source's name, by target
};

struct DiscoveryEvents {
  std::function<void(const TargetConfig&)> put;     // new, or another than before
  std::function<void(const std::string&)> removed;  // no source has it any more
  std::function<void()> changed;                    // view() says something else
  // Once: every source has been read whole, so that what nobody asks for by now is really gone.
  std::function<void()> complete;
};

class Discovery {
 public:
  static constexpr std::chrono::milliseconds kBatch{1000}, kSlice{15}, kPause{20};
  static constexpr std::chrono::seconds kShortest{30}, kLongest{3600}, kAfterFailure{60};  // between two questions to the DNS

  // `loop` and `dns` outlive this object.
  Discovery(Loop& loop, Dns& dns, DiscoveryEvents events, WallClock now = wall_now);
  // Requests under way are waited for, three seconds at most.
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  // Takes a configuration, the first or a later one; its declared targets are taken over already. A source that is the same
  // goes on; what one said that is another now, or is there no more, is kept until all of the present ones have been read
  // whole.
  void apply(std::shared_ptr<const Config> config);
  bool is_complete() const { return complete_; }
  std::shared_ptr<const DiscoveryView> view();

 private:
  struct Source;
  struct News;

  std::unique_ptr<Source> begin(const DiscoveryConfig& config, std::shared_ptr<const SourceTargets> list);
  Task<void> ask_dns(std::shared_ptr<const bool> alive, Source* source);
  void take(Source& source, News news);
  void report_refusals(const Source& source, const SourceTargets& before) const;
  void compare(const SourceTargets* before, const SourceTargets* after);
  void look_complete();
  void start_work();
  Task<void> work(std::shared_ptr<const bool> alive);
  void settle(const std::string& name);

  Loop& loop_;
  Dns& dns_;
  DiscoveryEvents events_;
  WallClock now_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<const Config> config_;
  std::set<std::string> declared_;
  std::vector<std::unique_ptr<Source>> sources_;
  // What sources said before a reload changed them or took them away; it comes last.
  struct Orphan {
    std::string source;
    std::shared_ptr<const SourceTargets> list;
  };
  std::vector<Orphan> orphans_;
  struct Applied {
    std::shared_ptr<const TargetConfig> target;
    Source* source = nullptr;  // nullptr: one that is there no more
  };
  std::map<std::string, Applied> applied_;
  std::set<std::string> dirty_;  // names to settle
  bool working_ = false;
  bool complete_ = false;
  Steady::time_point next_batch_{};
  std::shared_ptr<const DiscoveryView> view_;  // nullptr: to be made anew
};

// Every source read once, now, on this thread: the configuration with what was found as declared targets behind its own. What
// could not be read or taken is in `troubles`, one sentence each.
Config with_discovered(Config config, std::vector<std::string>& troubles);

}  // namespace ajar
