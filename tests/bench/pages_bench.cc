// pages_bench [TARGETS]: what pages cost that show a large fleet, on a ledger in memory with a result of every target. Prints a
// line for each: its path and the milliseconds of CPU for the first and for a second reader (this machine may be
// busy); and at the end the longest of all: slowest_page_ms M.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "agent/site.h"
#include "tests/bench/usage.h"
#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

void fill(MadeUpAgent& agent, unsigned count) {
  Record closed = agent.record("", "203.0.113.1", 25, Verdict::closed, Reason::refused, {});
  Record open = agent.record("", "203.0.113.1", 25, Verdict::open, Reason::message_delivered, {});
  for (unsigned i = 0; i < count; ++i) {
    Record& record = i % 1000 == 0 ? open : closed;
    record.key.target = fmt::format("host{:06}", i);
    record.key.address = IpAddress::parse(fmt::format("203.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255)).value();
    record.owner = fmt::format("team{}", i % 50);
    record.started = agent.now - std::chrono::minutes(i % 60);
    record.probe_id = fmt::format("{:016x}", i);
    agent.ledger.apply(record);
    if (i % 5000 == 0) agent.ledger.flush();
    TargetConfig target = agent.target(record.key.target, record.key.target + ".example.org", record.owner);
    target.labels = {{"site", fmt::format("s{}", i % 7)}};
    agent.add(std::move(target), {record.key.address.to_string()});
  }
  agent.ledger.flush();
}

double milliseconds_of(Site& site, const std::string& path, const Params& params) {
  SiteRequest request;
  request.method = "GET";
  request.path = request.target = path;
  request.params = params;
  const double begun = cpu_microseconds();
  const SiteReply reply = site.answer(request);
  const double took = cpu_microseconds() - begun;
  if (reply.status != 200) throw std::runtime_error(*reply.body);
  return took / 1000;
}

int run(unsigned count) {
  MadeUpAgent agent;
  fill(agent, count);
  WebState state = agent.web_state();
  const auto targets = std::make_shared<const TargetViews>(agent.targets);
  state.targets = [targets] { return targets; };
  Site site(std::move(state));
  const struct {
    const char* path;
    Params params;
  } pages[] = {{"/targets", {}},
               {"/targets", {{"sort", "-probed"}, {"page", "500"}}},
               {"/targets", {{"q", "099"}, {"owner", "team7"}, {"verdict", "closed"}}},
               {"/targets/host000000", {}},
               {"/exposures", {}},
               {"/", {}}};
  double slowest = 0;
  for (const auto& [path, params] : pages) {
    const double first = milliseconds_of(site, path, params);
    const double second = milliseconds_of(site, path, params);
    fmt::print("{:<22} {:>2} parameters  first {:7.1f} ms  second {:7.1f} ms\n", path, params.size(), first, second);
    slowest = std::max({slowest, first, second});
  }
  fmt::print("slowest_page_ms {:.1f}\n", slowest);
  return 0;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  try {
    return ajar::run(argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 100'000);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
