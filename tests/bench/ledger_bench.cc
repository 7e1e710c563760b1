// ledger_bench [RESULTS] [FOLDER]: what the ledger costs with many known results, all of them `closed`, ten to a host. Writes a
// database into a folder of its own below FOLDER (default: the temporary one) by the ledger's own API, closes it, opens it
// again, and prints a line for each figure. Fails when a result takes more than 150 bytes, or the start more than 10 s.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/ledger.h"
#include "agent/memory.h"
#include "agent/resolver.h"
#include "agent/scheduler.h"
#include "agent/targets.h"
#include "tests/bench/usage.h"

namespace ajar {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::minutes;

constexpr double kMostBytes = 150;
constexpr double kMostSeconds = 10;
constexpr unsigned kOfHost = 10;

struct Asked {
  const char* check;
  std::uint16_t port;
  const char* because;
};
constexpr Asked kAsked[kOfHost] = {
    {"smtp_relay", 25, "It refused every stranger's recipient, and took postmaster: 554 5.7.1 Relay access denied"},
    {"smtp_relay", 587, "It wants a login before it takes mail"},
    {"http_connect", 3128, "It answers, and does not connect strangers: 403 Forbidden"},
    {"http_connect", 8080, "nobody listens"},
    {"http_forward", 3128, "It answers, and does not connect strangers: 403 Forbidden"},
    {"http_forward", 8080, "nobody listens"},
    {"socks4", 1080, "nobody listens"},
    {"socks5", 1080, "nobody listens"},
    {"telnet_proxy", 23, "nobody listens"},
    {"open_resolver", 53, "It answers, and does not resolve for strangers: REFUSED"},
};

std::string name_of(unsigned host) { return fmt::format("host{:06}", host); }

// A probe as it ends in an agent: some variants, a greeting, a conversation.
void make(Record& record, unsigned number, Time started) {
  const unsigned host = number / kOfHost;
  const Asked& asked = kAsked[number % kOfHost];
  const bool heard = std::string_view(asked.because) != "nobody listens";
  record.probe_id = fmt::format("{:016x}", (static_cast<std::uint64_t>(started.time_since_epoch().count()) << 24U) + number);
  record.key = {name_of(host),
                IpAddress::v4({10, static_cast<std::uint8_t>(host >> 16), static_cast<std::uint8_t>(host >> 8),
                               static_cast<std::uint8_t>(host)}),
                asked.port, Transport::tcp, asked.check};
  record.host = record.key.target + ".example.org";
  record.owner = fmt::format("team{}", host % 50);
  record.source_address = "198.51.100.7";
  record.started = started;
  record.duration = std::chrono::milliseconds(40);
  Finding& finding = record.finding;
  finding.verdict = Verdict::closed;
  finding.reason = heard ? Reason::refused : Reason::nobody_listens;
  finding.because = asked.because;
  finding.variants.clear();
  record.transcript.clear();
  if (!heard) return;
  record.transcript.push_back(fmt::format("S: 220 {} ESMTP Postfix", record.host));
  for (const char* variant :
       {"external/plain", "null/plain", "forged_local/plain", "postmaster", "external/percent", "external/bang"}) {
    finding.variants.push_back({variant, Verdict::closed, Reason::refused, 554, "5.7.1 Relay access denied"});
    record.transcript.push_back(fmt::format("C: RCPT TO:<probe.{}@canary.example.net>", variant));
    record.transcript.push_back("S: 554 5.7.1 <probe@canary.example.net>: Relay access denied");
  }
}

std::uint64_t written_bytes() {
  std::FILE* const file = std::fopen("/proc/self/io", "r");
  char line[256];
  unsigned long long bytes = 0;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) std::sscanf(line, "wchar: %llu", &bytes);
  if (file != nullptr) std::fclose(file);
  return bytes;
}

// This machine may be busy: what counts is the CPU's time.
class Stopwatch {
 public:
  double cpu() const { return (cpu_microseconds() - cpu_) / 1e6; }
  std::string text() const {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begun_;
    return fmt::format("{:.2f} s of CPU ({:.2f} s)", cpu(), wall.count());
  }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  double cpu_ = cpu_microseconds();
};

class NoDns : public Dns {
 public:
  Task<DnsAnswer> look_up(std::string, DnsType) override { co_return DnsAnswer{}; }
};

// Every child has a memory of its own, so that what one leaves behind is not another's.
void in_child(const std::function<void()>& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
      std::fflush(nullptr);
      std::_Exit(2);
    }
    std::fflush(nullptr);
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("a part of the measurement failed");
}

const Time kStart{std::chrono::milliseconds(1767355200000)};

struct Fleet {
  std::string path;
  unsigned results;
  Time now = kStart;
  LedgerOptions options() {
    LedgerOptions made;
    made.path = path;
    made.now = [this] { return now; };
    return made;
  }
  // They are probed, the next probe of each is planned, and `at_once` of them are written together.
  void sweep(Ledger& ledger, unsigned count, bool full, unsigned at_once, unsigned step = 1) {
    Record record;
    for (unsigned i = 0, number = 0; i < count; ++i, number = (number + step) % results) {
      make(record, number, now);
      record.full_matrix = full;
      ledger.apply(record);
      ledger.set_due(record.key, now + hours(1));
      now += std::chrono::milliseconds(i % 5 < 3 ? 4 : 3);  // a million an hour
      if (i % at_once == at_once - 1) ledger.flush();
    }
    ledger.flush();
  }
};

constexpr unsigned kOfFlush = 56;  // at a million an hour and five flushes a second, as an agent does it

void fill(Fleet fleet) {
  const Stopwatch watch;
  {
    Ledger ledger(fleet.options());
    fleet.sweep(ledger, fleet.results, true, 5000);
  }
  fmt::print("first probe of {} results: {}, {:.1f} us of CPU each, database {:.0f} MB\n", fleet.results, watch.text(),
             watch.cpu() * 1e6 / fleet.results, static_cast<double>(fs::file_size(fleet.path)) / 1e6);
}

// `step`: how far apart in the database those are that are probed one after the other.
void unchanged(Fleet fleet, unsigned count, unsigned step) {
  fleet.now += hours(2);
  Ledger ledger(fleet.options());
  fleet.sweep(ledger, count, false, 5000, step);  // what is stored of those is of a core probe now
  fleet.now += hours(1);
  const std::uint64_t before = written_bytes();
  const Stopwatch watch;
  fleet.sweep(ledger, count, false, kOfFlush, step);
  fleet.now += minutes(1);
  ledger.flush();
  fmt::print("unchanged closed probe, apply + set_due + flush, {}: {:.1f} us of CPU, {:.0f} bytes written\n",
             step == 1 ? "host by host" : "scattered", watch.cpu() * 1e6 / count,
             static_cast<double>(written_bytes() - before) / count);
}

void restart(Fleet fleet) {
  fleet.now += hours(12);
  NoDns dns;
  Config config;
  config.scope = {*Cidr::parse("10.0.0.0/8")};
  for (unsigned host = 0; host < fleet.results / kOfHost; ++host) {
    TargetConfig target;
    target.name = name_of(host);
    target.place.address = IpAddress::v4(
        {10, static_cast<std::uint8_t>(host >> 16), static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)});
    for (const Asked& asked : kAsked) {
      if (target.checks.empty() || target.checks.back() != asked.check) target.checks.push_back(asked.check);
      target.ports[asked.check].push_back({asked.port, Transport::tcp, false});
    }
    config.targets.push_back(std::move(target));
  }
  give_back_memory();
  const std::size_t bare = resident_bytes();
  const Stopwatch whole;
  Ledger ledger(fleet.options());
  const std::string loaded = whole.text();
  const double bytes = static_cast<double>(resident_bytes() - bare) / static_cast<double>(ledger.result_count());
  give_back_memory();
  const double trimmed = static_cast<double>(resident_bytes() - bare) / static_cast<double>(ledger.result_count());
  fmt::print("load: {} results in {}, {:.0f} bytes a result ({:.0f} after the free memory was given back)\n",
             ledger.result_count(), loaded, bytes, trimmed);
  const Stopwatch walk;
  std::size_t seen = 0;
  ledger.each_result([&](const ResultState& result) { seen += result.level == Verdict::closed ? 1 : 0; });
  fmt::print("walk: {} results in {}\n", seen, walk.text());
  const std::size_t before = resident_bytes();
  const Stopwatch planning;
  Scheduler scheduler(SchedulerLimits{});
  TargetEvents events;
  events.planned = [&](const Planned& plan) {
    History history;
    if (const auto state = ledger.result(plan.key)) {
      history.last_probe = state->last_probe;
      history.due = state->due;
    }
    scheduler.add(plan.key, plan.interval, plan.paused, history, fleet.now);
  };
  events.retired = [](const ResultKey&) { throw std::runtime_error("a result was lost"); };
  events.refused = [](const std::string&, const std::string&, const IpAddress&) {};
  events.noted = [](const std::string&, const std::string&) {};
  Targets targets(dns, [&] { return fleet.now; }, events);
  targets.apply(config);
  fmt::print("targets and schedule: {}, {:.0f} bytes a result\n", planning.text(),
             static_cast<double>(resident_bytes() - before) / static_cast<double>(seen));
  const Stopwatch seeding;
  {
    std::vector<KnownResult> known;
    known.reserve(ledger.result_count());
    ledger.each_result([&](const ResultState& result) { known.push_back({result.key, result.host}); });
    targets.seed(known);
  }
  fmt::print("known results handed to the targets: {}\n", seeding.text());
  fmt::print("start: {}, RSS {:.0f} MB (before it {:.0f} MB: the configuration)\n", whole.text(),
             static_cast<double>(resident_bytes()) / 1e6, static_cast<double>(bare) / 1e6);
  if (bytes > kMostBytes || whole.cpu() > kMostSeconds) throw std::runtime_error("FAILED: over the bound");
}

int run(unsigned results, const fs::path& folder) {
  std::string name = (folder / "ajar-ledger-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder can be made in " + folder.string());
  int code = 0;
  try {
    const Fleet fleet{name + "/ajar.db", results};
    in_child([&] { fill(fleet); });
    in_child([&] { unchanged(fleet, results / 20, 1); });
    in_child([&] { unchanged(fleet, results / 20, 7919); });
    in_child([&] { restart(fleet); });
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    code = 1;
  }
  fs::remove_all(name);
  return code;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  try {
    return ajar::run(argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1'000'000,
                     argc > 2 ? argv[2] : std::filesystem::temp_directory_path());
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
