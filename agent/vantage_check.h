// The test of the place that we ask from (agent/vantage.h): conversations with our own canary through its advertised addresses,
// from the addresses that probes use; what the DNS says of those.
//
// Not through Scope: the canary is used exactly as configured.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/live_network.h"
#include "agent/loop.h"
#include "agent/resolver.h"
#include "agent/sightings.h"
#include "agent/vantage.h"
#include "agent/zone_book.h"

namespace ajar {

// What one round asks.
struct VantageRound {
  std::vector<std::pair<CanaryKind, AddressPort>> places;  // of our canary: tcp, smtp
  std::vector<IpAddress> source_addresses;                 // as probes use them; empty: the kernel chooses
  std::vector<IpAddress> towards;                          // some that probes ask: from where they are asked is ours too
  std::string name;                                        // agent.name
  std::chrono::milliseconds connect_timeout{5000}, reply_timeout{10000};
  std::chrono::milliseconds pause{1000};  // before what failed is tried once more, which then counts
};
// Without `towards`, and without sides_down().
VantageRound vantage_round(const Config& config, const CanaryStatus& canary);
// The sides of a canary elsewhere that are down, which it says itself or by its silence: nobody there tells nothing of the way.
// One of our own is looked at on the same way as we look, so that what is down there may well be the way.
std::set<CanaryKind> sides_down(const Config& config, const CanaryStatus& canary);

// Of a resolver that does not read hosts(5), which on many machines gives their own name a loopback address: what others are
// told is asked for.
ResolverOptions without_hosts();

// How often it is done: agent.interval, between a minute and an hour.
std::chrono::milliseconds vantage_interval(const AgentConfig& agent);

// What those of these databases say that can be believed.
std::vector<OwnListing> own_listings(const ZoneBook& book, const DnsblConfig& config, const std::vector<IpAddress>& addresses);

// Loop thread. Logs what changes.
class VantageCheck {
 public:
  // `dns`: made with without_hosts(). `patience`: how far the canary's log may be behind. `changed`
  // is called whenever now() or addresses() have.
  VantageCheck(Loop& loop, const CanaryKeys& keys, const ProbeTls& tls, Dns& dns, std::chrono::milliseconds patience,
               std::function<void()> changed = {}, WallClock clock = wall_now);
  VantageCheck(const VantageCheck&) = delete;
  VantageCheck& operator=(const VantageCheck&) = delete;

  // One round; one at a time. Nothing is changed where the loop is shut down meanwhile.
  Task<void> measure(VantageRound round);
  // Whether the ways to the canary have been measured.
  bool measured() const { return measured_; }
  const Vantage& now() const { return now_; }
  // Ours, as others see them. Those that databases are asked about, when private ones are or are not.
  const std::vector<IpAddress>& addresses() const { return now_.addresses; }
  std::set<DnsblSubject> subjects(bool lookup_private) const;
  // Whether it is an arrival of ours, and nobody else's business.
  bool note(const Arrival& arrival) { return sightings_.note(arrival); }
  void set_patience(std::chrono::milliseconds patience) { sightings_.set_patience(patience); }
  void take(const std::vector<OwnListing>& listings);

 private:
  Task<CanaryPath> path(CanaryKind kind, AddressPort place, const VantageRound& round);
  Task<CanaryPath> converse(CanaryKind kind, AddressPort place, const VantageRound& round);
  Task<void> ask_http(Link& link, AddressPort place, const std::string& token, CanaryPath& path);
  Task<void> ask_smtp(Link& link, const std::string& token, CanaryPath& path);
  Task<std::vector<ReverseName>> names(std::vector<IpAddress> addresses, std::string own);
  Task<bool> leads_to(std::string name, IpAddress address, bool& failed);
  void say(const VantageStates& before) const;

  Loop& loop_;
  const CanaryKeys& keys_;
  const ProbeTls& tls_;
  Dns& dns_;
  Sightings sightings_;
  std::function<void()> changed_;
  WallClock clock_;
  ConnectGate gate_;
  bool measured_ = false;
  Vantage now_;
};

}  // namespace ajar
