// One probe: one check asked of one endpoint, from its subject to its record. What a check throws becomes a verdict here, in
// one place.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/live_network.h"
#include "agent/loop.h"
#include "agent/probe_canary.h"
#include "agent/record.h"
#include "agent/scope.h"
#include "checks/catalogue.h"
#include "config/config.h"

namespace ajar {

// Which ports of an address answered, and when: silence on another port of it is a filter, not an absent host.
class Answered {
 public:
  void note(const IpAddress& address, std::uint16_t port, Time when);
  // Whether another port of the address answered at `since` or later.
  bool on_another_port(const IpAddress& address, std::uint16_t port, Time since) const;

 private:
  struct Seen {
    std::uint16_t port = 0;
    Time when{};
  };
  std::map<IpAddress, std::array<Seen, 2>> seen_;  // the two ports that answered last: one of them is another one
};

// What every probe of a process shares. The referred objects outlive the probes.
struct ProbeWorld {
  Loop& loop;
  ConnectGate& gate;
  const ProbeTls& tls;
  const CanaryKeys& keys;
  const CanaryStatus* canary;
  MessageBook book;
  Answered& answered;
  WallClock now = wall_now;
};

// What to ask, and of whom. Holds the configuration that it began under.
struct ProbePlan {
  std::shared_ptr<const Config> config;
  const CheckInfo* check = nullptr;
  ResultKey key;
  std::string host;  // may be empty
  bool tls = false;  // implicit TLS
  bool full_matrix = false;
  std::vector<std::string> must_ask;
  std::vector<Retry> retries;
};

// nullopt when the loop was shut down meanwhile: such a probe says nothing.
Task<std::optional<Record>> run_probe(ProbeWorld& world, ProbePlan plan);

// Whether the peer said anything.
bool spoke(const Transcript& transcript);
// The verdict of a probe that learnt nothing but this. `has_spoken`: the peer sent something, so silence afterwards is not
// absence.
Finding finding_of(const LinkError& error, bool has_spoken, bool answered_on_another_port);

}  // namespace ajar
