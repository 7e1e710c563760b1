// Declared targets to endpoints: DNS, mail exchangers, networks; inside the scope; each result owned by one target.
//
// Kinds
//   address   itself.
//   network   every address of it, counted, never listed in memory; of a network larger than kMaxNetwork the first kMaxNetwork.
//             Where networks are swept, its results exist from adopt() to release(): where something listens.
//   host      every A and AAAA address, resolved again when the TTL is over (30 s … 1 h).
//   mx_of     the mail exchangers of the domain, then as hosts. No MX: the domain itself (RFC 5321 5.1). Null MX (RFC 7505):
//   the
//             domain takes no mail; said, nothing to probe.
//
// A name that stops resolving (no answer, no such name, no records at all) keeps its last addresses and its note says so. A
// successful answer without an address retires that address. An answer for one family says nothing of the other.
//
// Scope: an address outside it is never an endpoint, wherever it came from; it is reported once per change.
//
// Overlap: of the targets that ask the same question of the same address and port, the most specific owns the result: address,
// host and mx_of before networks, a longer prefix before a shorter one, then the order of the configuration. So there is one
// probe and one case.
//
// Targets that were found (discovery) come and go one by one, and stand behind the declared ones, in the order of their names.
//
// Nothing here probes or waits: events go to the scheduler and the ledger, look-ups to Dns. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/record.h"
#include "agent/resolver.h"
#include "agent/scope.h"
#include "agent/sweep_table.h"
#include "agent/time.h"
#include "checks/catalogue.h"
#include "config/config.h"

namespace ajar {

// An address and port of a target, and what is asked there: only what this target owns.
struct Endpoint {
  std::string target;
  std::string host;  // the name that resolved to `address`; empty for address and network
  IpAddress address;
  Port port;
  std::vector<std::string> checks;
};

// The place of results, whatever is asked there.
struct Door {
  IpAddress address;
  std::uint16_t port = 0;
  Transport transport = Transport::tcp;
  friend auto operator<=>(const Door&, const Door&) = default;
};

// A network that is swept: what is asked of each of its addresses, in the order of port, transport and check.
struct SweptNetwork {
  struct Ask {
    std::uint16_t port = 0;
    Transport transport = Transport::tcp;
    std::string check;
    friend bool operator==(const Ask&, const Ask&) = default;
  };
  std::string target;
  Cidr network{IpAddress{}, 32};
  std::uint64_t addresses = 0;  // the first so many of it
  std::vector<Ask> asks;
  bool paused = false;
};

// A result that exists from now on, or whose interval or pause changed.
struct Planned {
  ResultKey key;
  Duration interval{};
  bool paused = false;  // of its target: keep the result, do not probe
};

// A result of an earlier run, from the ledger.
struct KnownResult {
  ResultKey key;
  std::string host;
};

// A target as pages, JSON and ajar_target_info show it.
struct TargetStatus {
  std::string name;
  const TargetConfig* config = nullptr;  // valid until the next call that changes anything
  std::string host;                      // as configured: host or mx_of; empty for address and network
  std::vector<std::string> addresses;    // that are probed; a network is one entry, "203.0.113.0/26"
  std::uint64_t endpoints = 0;           // address, port and transport, each once
  std::vector<std::string> refused;      // addresses outside scope, at most kMaxRefused
  std::string note;                      // what an operator should know ("mx1.example.org does not resolve: …"); mostly empty
  bool resolving = false;                // a name whose first answer is still awaited
};

// How much there is to ask, over all targets.
struct TargetTotals {
  std::uint64_t endpoints = 0;                  // address, port and transport, each once
  std::map<std::string, std::size_t> by_check;  // results, without those of paused targets
};

// What happens. Called from apply(), seed() and when a look-up ends. Handlers may
// ask Targets but must not call apply(), seed() or refresh().
struct TargetEvents {
  std::function<void(const Planned&)> planned;
  std::function<void(const ResultKey&)> retired;  // left the configuration, DNS, the scope, or another target owns it now
  // An address outside scope that was not refused before. `host` is empty for address and network.
  std::function<void(const std::string& target, const std::string& host, const IpAddress& address)> refused;
  std::function<void(const std::string& target, const std::string& note)> noted;  // the note changed; empty: it is over
  // Who owns what at an address of a swept network may have changed, but for apply(). May be empty.
  std::function<void(const std::string& target, const IpAddress& address)> shared = {};
};

// What a network's results are: one for each question of each address at once, or only where adopt() says that something
// listens.
enum class Networks { listed, swept };

class Targets {
 public:
  static constexpr std::uint64_t kMaxNetwork = kMaxSwept;               // addresses of one network
  static constexpr std::size_t kMaxExchangers = 16;                     // hosts of one domain
  static constexpr std::size_t kMaxRefused = 64;                        // addresses shown of one target
  static constexpr std::size_t kMaxLookUps = 32;                        // targets that are being resolved at a time
  static constexpr std::chrono::seconds kShortest{30}, kLongest{3600};  // between two resolutions
  static constexpr std::chrono::seconds kAfterFailure{60};

  // `dns` outlives this object.
  Targets(Dns& dns, WallClock now, TargetEvents events, Networks networks = Networks::listed);
  ~Targets();
  Targets(const Targets&) = delete;
  Targets& operator=(const Targets&) = delete;

  // Takes a configuration, the first or a later one. Retires and plans only what differs; a target whose name and place are the
  // same keeps its addresses. Names are resolved by refresh().
  void apply(const Config& config);
  // Once, after the first apply() and before the first refresh(): results of an earlier run are the last known addresses of
  // host and mx_of targets, so that probing goes on while the DNS is down. Results that nobody asks for any more are retired.
  // `more_to_come`: others of these results may be those of targets that are still to be found; they wait for retire_unknown().
  void seed(const std::vector<KnownResult>& known, bool more_to_come = false);
  void retire_unknown();
  // A target that was found, new or changed; apply() keeps it. Costs what its own results cost, however many others there are.
  // Nothing happens when the configuration declares one of that name. Its place is an address or a host.
  void put(const TargetConfig& found);
  // It is found no more. Nothing happens to one that the configuration declares.
  void remove(const std::string& name);
  // Something listens at an address of a swept network: what the target owns there are results from now on. False: it is no
  // place that the target asks, or one whose results exist already.
  bool adopt(const std::string& target, const Door& door);
  // Nobody listens there any more: its results are retired, whatever is known of them.
  void release(const std::string& target, const Door& door);
  // Starts the resolutions that are due, kMaxLookUps at a time; they end by themselves.
  void refresh();
  // When refresh() should be called again. nullopt: nothing to resolve, or resolutions that are under way come first.
  std::optional<Time> next_refresh() const;

  const Scope& scope() const;
  // Declared or found; nullptr: neither. Valid until the next call that changes anything.
  const TargetConfig* find(const std::string& name) const;
  std::size_t size() const;
  // The endpoint of a result that exists; nullopt otherwise. Its configuration is find(key.target).
  std::optional<Endpoint> endpoint(const ResultKey& key) const;
  // Whether the target owns the question, be it a result already or the sweep's to ask first.
  bool owns(const ResultKey& key) const;
  // An address of that family that is a target's, if there is one.
  std::optional<IpAddress> any_address(bool v4) const;

  // -- of swept networks --
  std::vector<SweptNetwork> swept() const;
  // Where something listens, by adopt().
  const std::set<Door>& listening(const std::string& target) const;
  // The checks that the target asks there and owns.
  std::vector<std::string> owned(const std::string& target, const Door& door) const;
  // The addresses of a swept network that are not its own alone: outside the scope, or those of a more specific target too.
  void each_shared(const std::string& target, const std::function<void(const IpAddress&)>& visit) const;

  const Config& config() const;              // the one applied last
  std::vector<TargetStatus> status() const;  // in the order of the configuration, then what was found, by name
  // Counted anew only where something changed since it was asked last.
  TargetTotals totals() const;
  // Whose address this is: the targets that hold it, the owner of most questions first; for `ajar check ADDRESS` and listings.
  std::vector<std::string> targets_at(const IpAddress& address) const;
  // Every result that exists, for the whole configuration; stops when `visit` returns false.
  void each(const std::function<bool(const Planned&)>& visit) const;

 private:
  struct Declared;
  struct Name;
  struct Resolution;
  class Model;
  class OtherSide;
  using Addresses = std::map<IpAddress, std::string>;  // and the host that each came from

  Task<void> work(std::shared_ptr<const bool> alive);
  Task<Resolution> ask(std::shared_ptr<const bool> alive, TargetPlace place);
  static void read_exchangers(const std::string& domain, const DnsAnswer& mx, Resolution& found);
  static std::string read_addresses(const std::string& host, const DnsAnswer& a, const DnsAnswer& aaaa, Name& name);
  void take(const std::string& name, const TargetPlace& place, const Resolution& found);
  std::unique_ptr<Declared> prepare(const TargetConfig& written, const Declared* old) const;
  void replace(const std::string& name, std::unique_ptr<Declared> next);
  static bool take_known(Declared& target, const KnownResult& result);
  void update(Declared& target);
  void report(Declared& target, const Addresses& refused_before);
  void plan_at(const Declared& target, const Door& door);
  void tell_shared(const std::vector<IpAddress>& addresses) const;
  struct Counts;
  const Counts& count(const Declared& target) const;

  Dns& dns_;
  WallClock now_;
  TargetEvents events_;
  Networks networks_;
  std::shared_ptr<bool> alive_;
  std::unique_ptr<Model> model_;
  std::size_t resolving_ = 0;
  std::map<std::string, std::vector<KnownResult>> unknown_;  // by target, until retire_unknown()
};

}  // namespace ajar
