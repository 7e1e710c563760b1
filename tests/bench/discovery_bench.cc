// discovery_bench [TARGETS] [CHANGES]: what a list that changes costs the probing loop. A file of TARGETS servers with every
// check that is on by default, then the same with CHANGES of them others: half gone, half new. Everything of an agent that
// follows a change is behind it: the schedule, a ledger in memory with a result of each, and the views for pages once a second.
// Prints for the first list and for the change: until it was taken over, and the longest time for which the loop did nothing
// else; and at the end that of the change again: longest_hold_ms M.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <unistd.h>

#include "agent/discovery.h"
#include "agent/ledger.h"
#include "agent/scheduler.h"
#include "agent/target_view.h"
#include "agent/targets.h"
#include "agent/zones.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;

double milliseconds_of(Steady::duration span) { return std::chrono::duration<double, std::milli>(span).count(); }

class Bench {
 public:
  explicit Bench(std::string folder)
      : folder_(std::move(folder)),
        ledger_(in_memory()),
        scheduler_(SchedulerLimits{}),
        resolver_(loop_, ResolverOptions{}),
        targets_(resolver_, wall_now, target_events()),
        zones_(loop_),
        discovery_(loop_, resolver_, discovery_events()) {
    const auto parsed = parse_config("scope = [\"10.0.0.0/8\"]\n[[discovery]]\nfile = \"*.json\"\n", folder_ + "/ajar.toml");
    config_ = std::make_shared<const Config>(std::get<Config>(parsed));
    targets_.apply(*config_);
  }

  void put(unsigned first, unsigned count) const {
    std::string text = "[";
    for (unsigned i = first; i < first + count; ++i) {
      text += fmt::format("{}{{\"targets\": [\"10.{}.{}.{}\"], \"labels\": {{\"site\": \"s{}\"}}}}", i > first ? "," : "",
                          i >> 16, (i >> 8) & 255, i & 255, i % 7);
    }
    std::ofstream(folder_ + "/.new") << text << "]";
    std::filesystem::rename(folder_ + "/.new", folder_ + "/a.json");
  }

  // Until `targets` are found and `gone` were taken back.
  double run(const char* what, std::size_t targets, std::size_t gone) {
    const auto begun = Steady::now();
    longest_ = longest_publish_ = Steady::duration::zero();
    start(watch(targets, gone));
    loop_.run();
    fmt::print(
        "{:<12} {:>6} targets, {:>7} results: taken over in {:7.1f} ms; the loop was busy for {:5.1f} ms at a time, "
        "{:5.1f} ms of them with views\n",
        what, targets_.size(), scheduler_.size(), milliseconds_of(Steady::now() - begun), milliseconds_of(longest_),
        milliseconds_of(longest_publish_));
    return milliseconds_of(longest_);
  }
  void begin() { discovery_.apply(config_); }
  void fill() {
    targets_.each([&](const Planned& planned) {
      Record record;
      record.key = planned.key;
      record.started = wall_now();
      record.finding.verdict = Verdict::closed;
      record.finding.reason = Reason::nobody_listens;
      ledger_.apply(record);
      return true;
    });
    ledger_.flush();
  }

 private:
  static LedgerOptions in_memory() {
    LedgerOptions options;
    options.path = ":memory:";
    return options;
  }
  TargetEvents target_events() {
    TargetEvents events;
    events.planned = [this](const Planned& plan) {
      const auto state = ledger_.result(plan.key);
      scheduler_.add(plan.key, plan.interval, plan.paused, History{}, wall_now());
    };
    events.retired = [this](const ResultKey& key) {
      scheduler_.remove(key);
      ledger_.retire(key);
    };
    events.refused = [](const std::string&, const std::string&, const IpAddress&) {};
    events.noted = [](const std::string&, const std::string&) {};
    return events;
  }
  DiscoveryEvents discovery_events() {
    DiscoveryEvents events;
    events.put = [this](const TargetConfig& target) {
      targets_.put(target);
      changed_ = true;
    };
    events.removed = [this](const std::string& name) {
      targets_.remove(name);
      ++removed_;
      changed_ = true;
    };
    events.changed = [this] { changed_ = true; };
    events.complete = [] {};
    return events;
  }
  void publish() {
    const auto begun = Steady::now();
    std::vector<TargetView> views;
    const auto found = discovery_.view();
    for (const TargetStatus& status : targets_.status()) {
      TargetView& view = views.emplace_back();
      view.config = *status.config;
      view.addresses = status.addresses;
      if (const auto by = found->found_by.find(status.name); by != found->found_by.end()) view.found_by = by->second;
    }
    const TargetTotals totals = targets_.totals();
    zones_.apply(config_->dnsbl, views, {});
    if (totals.endpoints == 0 && !views.empty()) std::abort();
    longest_publish_ = std::max(longest_publish_, Steady::now() - begun);
  }
  // A clock that ticks as long as the loop lets it.
  Task<void> watch(std::size_t targets, std::size_t gone) {
    auto next_publish = loop_.now();
    const auto end = loop_.now() + std::chrono::minutes(5);
    for (;;) {
      const auto due = loop_.now() + milliseconds(20);
      const bool goes_on = co_await loop_.sleep_until(due);
      const auto late = loop_.now() - due - milliseconds(20);  // a tick of the wheel
      longest_ = std::max(longest_, late);
      const auto begun = Steady::now();
      ledger_.flush();  // as the agent does, whenever something changed
      longest_ = std::max(longest_, Steady::now() - begun);
      const bool done = targets_.size() == targets && removed_ == gone;
      if (changed_ && (loop_.now() >= next_publish || done)) {
        changed_ = false;
        next_publish = loop_.now() + std::chrono::seconds(1);
        publish();
        longest_ = std::max(longest_, longest_publish_);
      }
      if (done || !goes_on || loop_.now() > end) break;
    }
    loop_.stop();
  }

  std::string folder_;
  Loop loop_;
  std::shared_ptr<const Config> config_;
  Ledger ledger_;
  Scheduler scheduler_;
  Resolver resolver_;
  Targets targets_;
  Zones zones_;
  Discovery discovery_;
  std::size_t removed_ = 0;
  bool changed_ = false;
  Steady::duration longest_{}, longest_publish_{};
};

int run(unsigned targets, unsigned changes) {
  std::string folder = (std::filesystem::temp_directory_path() / "ajar-discovery-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no temporary folder");
  double busy = 0;
  {
    Bench bench(folder);
    bench.put(0, targets);
    bench.begin();
    bench.run("first list", targets, 0);
    bench.fill();
    bench.put(changes / 2, targets);
    busy = bench.run("change", targets, changes / 2);
  }
  std::filesystem::remove_all(folder);
  fmt::print("longest_hold_ms {:.1f}\n", busy);
  return 0;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  try {
    const auto number = [&](int at, unsigned usual) { return argc > at ? static_cast<unsigned>(std::atoi(argv[at])) : usual; };
    return ajar::run(number(1, 5000), number(2, 2000));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "discovery_bench: %s\n", error.what());
    return 2;
  }
}
