// exposition_bench [SAMPLES]: what a scrape costs at a million samples, beside prometheus-cpp with the same series in the same
// run (Registry::Collect and TextSerializer::Serialize), pair by pair; how much memory it takes while it runs; and how long the
// loop that probes waits for it. Prints "name value" lines: samples, page_mb, extra_mib, packed_mib (the page that is kept,
// with gzip), packed_extra_mib (beside it), pack_cpu_ms, flush_alone_ms and flush_beside_ms (the longest of a thousand writes),
// own_cpu_ms, prometheus_cpp_cpu_ms and prometheus_cpp_by_ours (a line for each pair).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "agent/packed_page.h"
#include "agent/target_index.h"
#include "tests/bench/usage.h"
#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using Steady = std::chrono::steady_clock;

constexpr unsigned kSamplesOfTarget = 8;  // 5 of its result, 2 of its own, its info
constexpr unsigned kPairs = 5;

std::string address_of(unsigned i) { return fmt::format("203.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255); }

Record record_of(const MadeUpAgent& agent, unsigned i) {
  Record record = agent.record("", "203.0.113.1", 25, Verdict::closed, Reason::refused, {});
  record.key.target = fmt::format("host{:06}", i);
  record.key.address = IpAddress::parse(address_of(i)).value();
  record.owner = fmt::format("team{}", i % 50);
  record.started = agent.now - std::chrono::milliseconds(i * 7 % 3'600'000);
  record.probe_id = fmt::format("{:016x}", i);
  return record;
}

void fill(MadeUpAgent& agent, unsigned count) {
  agent.config->metrics.detail = "results";
  for (unsigned i = 0; i < count; ++i) {
    const Record record = record_of(agent, i);
    agent.ledger.apply(record);
    agent.ledger.set_due(record.key, record.started + std::chrono::hours(1));
    if (i % 5000 == 0) agent.ledger.flush();
    agent.add(agent.target(record.key.target, record.key.target + ".example.org", record.owner), {address_of(i)});
  }
  agent.ledger.flush();
}

// The page, into a sink that only counts: its samples and bytes, and the most memory that it took on the way.
struct Written {
  std::size_t bytes = 0, samples = 0, peak = 0;
};
Written write_page(const MadeUpAgent& agent, const TargetIndex& index, bool watch) {
  Written written;
  const std::size_t before = watch ? resident_bytes() : 0;
  Sections sections(Exposition::Format::text, [&]() -> Exposition::Sink {
    return [&](std::string_view text) {
      written.bytes += text.size();
      if (!watch) return;
      written.samples += static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
      const std::size_t now = resident_bytes();
      written.peak = std::max(written.peak, now > before ? now - before : 0);
    };
  });
  agent.metrics.write(sections, {agent.ledger, *agent.config, agent.targets, agent.now, nullptr, &index});
  return written;
}

std::shared_ptr<const PackedPage> pack_page(const MadeUpAgent& agent, const TargetIndex& index, std::size_t* peak) {
  Packer packer;
  const std::size_t before = resident_bytes();
  Sections sections(Exposition::Format::text, [&]() -> Exposition::Sink {
    return [sink = packer.section(), peak, before](std::string_view text) {
      sink(text);
      if (peak == nullptr) return;
      const std::size_t now = resident_bytes();
      *peak = std::max(*peak, now > before ? now - before : 0);
    };
  });
  agent.metrics.write(sections, {agent.ledger, *agent.config, agent.targets, agent.now, nullptr, &index});
  return packer.finish();
}

// The same series as others hold them.
void register_all(prometheus::Registry& registry, const MadeUpAgent& agent) {
  const auto family = [&](const char* name) -> prometheus::Family<prometheus::Gauge>& {
    return prometheus::BuildGauge().Name(name).Help("What it is.").Register(registry);
  };
  std::vector<prometheus::Family<prometheus::Gauge>*> of_results, of_targets;
  for (const char* name : {"ajar_exposure_level", "ajar_last_probe_level", "ajar_last_probe_timestamp_seconds",
                           "ajar_last_conclusive_timestamp_seconds", "ajar_result_due_timestamp_seconds"}) {
    of_results.push_back(&family(name));
  }
  for (const char* name : {"ajar_target_exposure_level", "ajar_target_last_conclusive_timestamp_seconds"})
    of_targets.push_back(&family(name));
  prometheus::Family<prometheus::Gauge>& info = family("ajar_target_info");
  agent.ledger.each_result([&](const ResultState& result) {
    const ResultKey& key = result.key;
    const prometheus::Labels labels = {{"target", key.target},
                                       {"address", key.address.to_string()},
                                       {"port", std::to_string(key.port)},
                                       {"transport", std::string(to_string(key.transport))},
                                       {"check", key.check}};
    for (std::size_t i = 0; i < of_results.size(); ++i)
      of_results[i]->Add(labels).Set(i < 2 ? 0 : to_seconds(result.last_probe));
    for (std::size_t i = 0; i < of_targets.size(); ++i) {
      of_targets[i]->Add({{"target", key.target}}).Set(i == 0 ? 0 : to_seconds(result.last_probe));
    }
    info.Add({{"target", key.target}, {"host", result.host}, {"owner", result.owner}}).Set(1);
  });
}

double collect_and_serialise(const prometheus::Registry& registry) {
  const double begun = cpu_microseconds();
  if (prometheus::TextSerializer().Serialize(registry.Collect()).empty())
    throw std::runtime_error("prometheus-cpp wrote nothing");
  return cpu_microseconds() - begun;
}

// How long the loop's writes take, the longest of a thousand, while `busy` runs beside it or not.
double longest_flush(MadeUpAgent& agent, const std::function<void()>& busy) {
  std::atomic<bool> stop{false};
  std::atomic<unsigned> rounds{0};
  std::thread other([&] {
    while (!stop && busy) {
      busy();
      ++rounds;
    }
  });
  double longest = 0;
  unsigned written = 0;
  const auto until = Steady::now() + std::chrono::seconds(30);
  while ((written < 1000 || (busy && rounds < 2)) && Steady::now() < until) {
    Record record = record_of(agent, written++ % 1000);
    record.started = agent.now + std::chrono::milliseconds(written);
    agent.ledger.apply(record);
    const auto begun = Steady::now();
    agent.ledger.flush();
    longest = std::max(longest, std::chrono::duration<double, std::milli>(Steady::now() - begun).count());
  }
  stop = true;
  other.join();
  return longest;
}

int run(unsigned samples) {
  MadeUpAgent agent;
  const unsigned targets = samples / kSamplesOfTarget;
  fill(agent, targets);
  const TargetIndex index(agent.targets);

  write_page(agent, index, true);  // what a first page makes once stays
  const Written page = write_page(agent, index, true);
  const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / (1024 * 1024); };
  fmt::print("samples {}\npage_mb {:.1f}\nextra_mib {:.2f}\n", page.samples, static_cast<double>(page.bytes) / 1e6,
             mib(page.peak));
  std::size_t peak = 0;
  const double begun = cpu_microseconds();
  const auto packed = pack_page(agent, index, &peak);
  const double packing = (cpu_microseconds() - begun) / 1000;
  fmt::print("packed_mib {:.2f}\npacked_extra_mib {:.2f}\npack_cpu_ms {:.0f}\n", mib(packed->size()),
             mib(peak - std::min(peak, packed->size())), packing);

  fmt::print("flush_alone_ms {:.2f}\n", longest_flush(agent, nullptr));
  fmt::print("flush_beside_ms {:.2f}\n", longest_flush(agent, [&] { pack_page(agent, index, nullptr); }));

  prometheus::Registry registry;
  register_all(registry, agent);
  for (unsigned pair = 0; pair < kPairs; ++pair) {
    double ours = 0;
    const auto own = [&] {
      const double from = cpu_microseconds();
      write_page(agent, index, false);
      ours = cpu_microseconds() - from;
    };
    if (pair % 2 == 0) own();
    const double theirs = collect_and_serialise(registry);
    if (pair % 2 != 0) own();
    fmt::print("own_cpu_ms {:.1f}\nprometheus_cpp_cpu_ms {:.1f}\nprometheus_cpp_by_ours {:.2f}\n", ours / 1000, theirs / 1000,
               theirs / ours);
  }
  return page.samples > 0 ? 0 : 1;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  try {
    return ajar::run(argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1'000'000);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
