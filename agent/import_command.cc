#include "agent/import_command.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/agent_client.h"
#include "agent/discovery.h"
#include "agent/ledger_options.h"
#include "agent/log.h"
#include "agent/loop.h"
#include "agent/resolver.h"
#include "agent/shadowserver.h"
#include "agent/suspicions.h"
#include "agent/targets.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr std::size_t kBatch = 100;             // suspicions of one request: their texts stay far below its limit
constexpr std::chrono::seconds kResolving{30};  // how long names are waited for

// Nothing can be taken: exit code 3.
class ImportError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string read_report(const std::string& file) {
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(file, error);
  const std::uintmax_t size = regular ? std::filesystem::file_size(file, error) : 0;
  if (!regular || error) throw ImportError(fmt::format("{}: no such file, or none that can be read", escape(file)));
  if (size > kMaxReportBytes) throw ImportError(fmt::format("{}: more than {} bytes: split it", escape(file), kMaxReportBytes));
  std::ifstream in(file, std::ios::binary);
  std::string text(size, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(size)))
    throw ImportError(fmt::format("{}: cannot be read", escape(file)));
  return text;
}

void add(ImportCounts& all, const ImportCounts& some) {
  all.added += some.added;
  all.newer += some.newer;
  all.known += some.known;
  all.outside += some.outside;
  all.no_target += some.no_target;
  all.old += some.old;
  all.full += some.full;
  all.unasked += some.unasked;
}

// Where suspicions go: our own state file while no agent has it, else the agent.
class Store {
 public:
  virtual ~Store() = default;
  virtual ImportCounts take(const std::vector<Suspicion>& some) = 0;  // ImportError
  virtual std::string tested_by() const = 0;
};

class RunningAgentStore : public Store {
 public:
  RunningAgentStore(const Config& config, const std::string& locked)
      : client_(config.web, CanaryKeys::load(config.path(config.canary.secret_file))), locked_(locked) {}
  ImportCounts take(const std::vector<Suspicion>& some) override {
    const std::optional<ImportCounts> counts = client_.take_in(some);
    if (counts) return *counts;
    throw ImportError(
        fmt::format("{}, but it did not take them on {}: {}", locked_, client_.address(), escape(client_.trouble())));
  }
  std::string tested_by() const override { return "the agent on " + client_.address() + " tests them now"; }

 private:
  AgentClient client_;
  std::string locked_;
};

// Knows whose an address is as an agent does: by the configuration, the DNS, and what the state remembers of it.
class FileStore : public Store {
 public:
  FileStore(const Config& config, std::unique_ptr<Ledger> ledger)
      : ledger_(std::move(ledger)), resolver_(loop_, ResolverOptions{}), targets_(resolver_, wall_now, no_events()) {
    std::vector<std::string> troubles;
    targets_.apply(with_discovered(config, troubles));
    for (const std::string& trouble : troubles) spdlog::warn("{}", trouble);
    std::vector<KnownResult> known;
    ledger_->each_result([&](const ResultState& result) { known.push_back({result.key, result.host}); });
    targets_.seed(known);
    start(resolve());
    loop_.run();
  }
  ~FileStore() override {
    loop_.shut_down();
    loop_.post([this] { loop_.stop(); });  // what the shut-down posted is still run
    loop_.run();
  }
  FileStore(const FileStore&) = delete;
  FileStore& operator=(const FileStore&) = delete;

  ImportCounts take(const std::vector<Suspicion>& some) override {
    const Time now = wall_now();
    ImportEvents events;
    events.test = [&](const ResultKey& key) {
      const auto state = ledger_->result(key);
      if (state && state->due > now) ledger_->set_due(key, now);
    };
    events.look_up = [](const IpAddress&) {};
    const ImportCounts counts = take_in(some, targets_, *ledger_, now, events);
    ledger_->flush();
    if (ledger_->failing()) throw ImportError(ledger_->failure());
    return counts;
  }
  std::string tested_by() const override { return "the next `ajar run` tests them"; }

 private:
  static TargetEvents no_events() {
    TargetEvents events;
    events.planned = [](const Planned&) {};
    events.retired = [](const ResultKey&) {};
    events.refused = [](const std::string&, const std::string&, const IpAddress&) {};
    events.noted = [](const std::string& target, const std::string& note) {
      if (!note.empty()) spdlog::warn("{}: {}", escape(target), escape(note));
    };
    return events;
  }

  Task<void> resolve() {
    const auto until = loop_.now() + kResolving;
    for (;;) {
      targets_.refresh();
      const std::vector<TargetStatus> status = targets_.status();
      const bool busy = std::any_of(status.begin(), status.end(), [](const TargetStatus& s) { return s.resolving; });
      if (!busy || loop_.now() >= until) break;
      const bool go_on = co_await loop_.sleep_for(std::chrono::milliseconds(20));
      if (!go_on) break;
    }
    loop_.stop();
  }

  std::unique_ptr<Ledger> ledger_;
  Loop loop_;
  Resolver resolver_;
  Targets targets_;
};

std::unique_ptr<Store> open_store(const Config& config) {
  try {
    auto ledger = std::make_unique<Ledger>(ledger_options(config));
    for (const std::string& note : ledger->notes()) spdlog::warn("{}", note);
    return std::make_unique<FileStore>(config, std::move(ledger));
  } catch (const LedgerLocked& locked) {
    return std::make_unique<RunningAgentStore>(config, locked.what());
  }
}

void say_broken(const std::string& file, const ReportSummary& summary) {
  for (const BrokenRow& row : summary.named) fmt::print(stderr, "{}:{}: {}\n", escape(file), row.line, row.why);
  if (summary.broken > summary.named.size()) {
    fmt::print(stderr, "{}: and {} more rows that are not understood\n", escape(file), summary.broken - summary.named.size());
  }
}

void say_summary(const ReportType& type, const ReportSummary& summary, const ImportCounts& counts, const Store& store) {
  const std::size_t taken = counts.added + counts.newer;
  fmt::print(
      "{} ({}), {} rows: {} taken ({} new, {} reported again), {} known already, {} outside the scope, {} of no target, "
      "{} older than {} days, {} not understood\n",
      type.name, type.says, summary.rows, taken, counts.added, counts.newer, counts.known, counts.outside, counts.no_target,
      counts.old, kSuspicionRetention / std::chrono::hours(24), summary.broken);
  if (counts.full > 0) fmt::print("{} not taken: {} are kept already\n", counts.full, kMaxSuspicions);
  if (counts.unasked > 0) {
    fmt::print("{} at a port where nothing is asked: the page of the target and /api/v1/suspicions say what to configure\n",
               counts.unasked);
  }
  if (taken > counts.unasked) fmt::print("{}\n", store.tested_by());
}

int import_file(const Config& config, const std::string& file) {
  const ReportType& type = shadowserver_type(file);
  const std::string text = read_report(file);
  const std::unique_ptr<Store> store = open_store(config);
  ImportCounts counts;
  std::vector<Suspicion> waiting;
  const auto hand_over = [&] {
    if (!waiting.empty()) add(counts, store->take(waiting));
    waiting.clear();
  };
  const auto is_ours = [&](const IpAddress& address) {
    return std::any_of(config.scope.begin(), config.scope.end(),
                       [&](const Cidr& network) { return network.contains(address); });
  };
  const auto take = [&](Suspicion suspicion) {
    if (!is_ours(suspicion.key.address)) {
      ++counts.outside;  // most of a report that is forwarded to many
      return;
    }
    waiting.push_back(std::move(suspicion));
    if (waiting.size() >= kBatch) hand_over();
  };
  const ReportSummary summary = read_shadowserver(text, type, wall_now(), take);
  hand_over();
  say_broken(file, summary);
  say_summary(type, summary, counts, *store);
  return summary.broken + counts.full > 0 ? 1 : 0;
}

}  // namespace

int run_import(const Config& config, const std::string& file) {
  set_up_log({"warn", "text"});
  try {
    return import_file(config, file);
  } catch (const ReportError& error) {
    fmt::print(stderr, "ajar: {}: {}\n", escape(file), error.what());
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "ajar: {}\n", error.what());
  }
  return 3;
}

}  // namespace ajar
