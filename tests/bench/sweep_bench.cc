// The sweep of a network on loopback, where nothing listens or `fleet` does: what does a million endpoints cost?
//
//   sweep_bench NETWORK PORT [CONCURRENCY [PER_SECOND]]
//
// prints: endpoints N listening L refused R silent S wall_s W per_second P cpu_us_per_endpoint C apply_ms A rss_mib M
// rss_of_the_sweep_mib T
//
// Without PER_SECOND there is no rate. `fleet http PORT` before it, in another process, listens on all of 127.0.0.0/8.
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "agent/sweep.h"
#include "tests/bench/usage.h"

namespace ajar {
namespace {

class NoDns : public Dns {
 public:
  Task<DnsAnswer> look_up(std::string, DnsType) override { co_return DnsAnswer{}; }
};

TargetEvents deaf() {
  TargetEvents events;
  events.planned = [](const Planned&) {};
  events.retired = [](const ResultKey&) {};
  events.refused = [](const std::string&, const std::string&, const IpAddress&) {};
  events.noted = [](const std::string&, const std::string&) {};
  return events;
}

Task<void> until_complete(Loop& loop, Sweep& sweep) {
  for (bool go_on = true; go_on;) {
    const bool slept = co_await loop.sleep_for(std::chrono::milliseconds(100));
    sweep.publish();
    go_on = slept && !sweep.view()->front().summary.completed;
  }
}

int run(const Cidr& network, std::uint16_t port, std::size_t concurrency, unsigned per_second) {
  Loop loop;
  ConnectGate gate(loop, per_second);
  NoDns dns;
  Targets targets(dns, wall_now, deaf(), Networks::swept);
  Config config;
  config.scope = {*Cidr::parse("127.0.0.0/8")};
  TargetConfig target;
  target.name = "net";
  target.place.network = network;
  target.checks = {"http_connect"};
  target.ports["http_connect"] = {Port{port}};
  config.targets = {target};

  const std::size_t before = resident_bytes();
  const double cpu_before_apply = cpu_microseconds();
  targets.apply(config);
  targets.totals();
  SweepOptions options;
  options.source_addresses = {*IpAddress::parse("127.66.0.1")};
  options.concurrency = concurrency;
  std::size_t listening = 0;
  SweepEvents events;
  events.allows = [&](const IpAddress& address) { return targets.scope().allows(address); };
  events.found = [&](const std::string&, const Door&) { ++listening; };
  events.gone = [](const std::string&, const Door&, SweepState) {};
  Sweep sweep(loop, gate, options, events, {}, "");
  sweep.apply(targets);
  const double apply = cpu_microseconds() - cpu_before_apply;

  const auto begun = Steady::now();
  const double cpu = cpu_microseconds();
  start(sweep.run());
  start(until_complete(loop, sweep), [&] { loop.stop(); });
  loop.run();
  const double wall = std::chrono::duration<double>(Steady::now() - begun).count();
  const double used = cpu_microseconds() - cpu;
  const SweepCounts counts = sweep.view()->front().summary.endpoints;
  const auto all = static_cast<double>(counts.all());
  fmt::print(
      "endpoints {} listening {} refused {} silent {} no_route {} wall_s {:.1f} per_second {:.0f} cpu_us_per_endpoint {:.1f} "
      "apply_ms {:.1f} rss_mib {:.1f} rss_of_the_sweep_mib {:.1f}\n",
      counts.all(), counts[SweepState::listening], counts[SweepState::refused], counts[SweepState::silent],
      counts[SweepState::no_route], wall, all / wall, used / all, apply / 1000, static_cast<double>(resident_bytes()) / 1048576,
      static_cast<double>(resident_bytes() - before) / 1048576);
  loop.shut_down();
  loop.post([&] { loop.stop(); });
  loop.run();
  return counts[SweepState::silent] + counts[SweepState::no_route] == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  const auto network = argc > 2 ? ajar::Cidr::parse(argv[1]) : std::nullopt;
  if (!network) {
    fmt::print(stderr, "usage: sweep_bench NETWORK PORT [CONCURRENCY [PER_SECOND]]\n");
    return 2;
  }
  return ajar::run(*network, static_cast<std::uint16_t>(std::atoi(argv[2])),
                   argc > 3 ? static_cast<std::size_t>(std::atol(argv[3])) : 1000,
                   argc > 4 ? static_cast<unsigned>(std::atoi(argv[4])) : 0);
}
