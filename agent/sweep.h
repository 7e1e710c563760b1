// The sweep of networks: who listens? The first contact with an address and a port of a network is one connection, closed at
// once without a byte, or for UDP one harmless question of the protocol (CheckInfo::knock), sent twice at most. Only where
// something answers do the checks ask: it is handed over by `found`.
//
// Every knock passes the scope, the process's gate of connections and the pace (SweepPace); there is one at a time to an
// address. The order and the times are those of SweepTable.
//
// Loop thread only, but for view().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <event2/event_struct.h>

#include "agent/live_network.h"
#include "agent/loop.h"
#include "agent/sweep_store.h"
#include "agent/sweep_table.h"
#include "agent/targets.h"

namespace ajar {

// How gently networks are asked, beside the limits of the process. Empty functions: no limit.
struct SweepPace {
  std::function<std::optional<Time>(const IpAddress&, Time now)> earliest = {};  // when it may be asked; nullopt: now
  std::function<void(const IpAddress&, Time now)> started = {};
  std::function<void(const IpAddress&, Time now, bool timed_out)> ended = {};
};

struct SweepOptions {
  std::vector<IpAddress> source_addresses;  // empty: the kernel chooses
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds interval{std::chrono::hours(24)};
  std::size_t concurrency = 1000;  // knocks under way
};

struct SweepEvents {
  std::function<bool(const IpAddress&)> allows;                       // the scope, asked before each knock
  std::function<bool()> paused = [] { return false; };                // all probing
  std::function<void(const std::string& target, const Door&)> found;  // something listens
  // Nothing listens any more where something did; after ask().
  std::function<void(const std::string& target, const Door&, SweepState)> gone;
  WallClock now = wall_now;
};

class Sweep {
 public:
  // `path` of the store; empty: nothing is kept. What is referred to outlives it. run() begins it.
  Sweep(Loop& loop, ConnectGate& gate, SweepOptions options, SweepEvents events, SweepPace pace, const std::string& path);
  ~Sweep();
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  void set_options(const SweepOptions& options);
  // The networks of a configuration, the first or a later one: what both have keeps its state. `targets` says who owns what and
  // where something listens.
  void apply(const Targets& targets);
  // Who owns what at an address has changed.
  void shared(const Targets& targets, const std::string& target, const IpAddress& address);
  // What else is learnt of a place: it was adopted, released, or asked by hand.
  void learn(const std::string& target, const Door& door, SweepState state);
  // Asks out of turn whether something still listens there.
  void ask(const std::string& target, const Door& door);
  // Asks all of a network again, as fast as the rates allow. False: it is no network, or paused.
  bool ask_now(const std::string& target);

  // Knocks until the loop shuts down.
  Task<void> run();
  // Starts what may be started now.
  void pump();
  // Writes what has changed.
  void save();

  std::size_t under_way() const { return under_way_; }
  std::shared_ptr<const SweepView> view() const;  // any thread; made anew by publish()
  void publish();
  // What the store says is wrong; empty: nothing.
  const std::string& trouble() const { return trouble_; }

 private:
  struct Network;
  struct Knock;
  struct Waiting {
    std::shared_ptr<Network> network;
    std::uint64_t step = 0;
  };
  static constexpr std::size_t kMostWaiting = 4096;

  std::shared_ptr<Network> make(const SweptNetwork& swept, SweepPlan plan);
  static void paint(Network& network, const Targets& targets, const IpAddress& address);
  std::optional<Waiting> next(Time now);
  std::optional<Time> next_due(Time now) const;
  bool put_off(const Waiting& one, const IpAddress& address, Time now);
  void start_knock(const Waiting& one, Time now);
  void take(Network& network, std::uint64_t step, const Door& door, SweepState state);
  void end_knock(Knock& knock, SweepState state, bool timed_out);
  void give_up(Knock& knock);
  void release(Knock& knock);

  Loop& loop_;
  ConnectGate& gate_;
  SweepOptions options_;
  SweepEvents events_;
  SweepPace pace_;
  std::unique_ptr<SweepStore> store_;
  std::string trouble_;
  bool all_changed_ = false;  // the store missed something
  std::map<std::string, std::shared_ptr<Network>> networks_;
  std::string turn_;                      // the network that was asked last
  std::multimap<Time, Waiting> waiting_;  // put off
  std::set<IpAddress> busy_;              // a knock is under way to each
  std::vector<std::unique_ptr<Knock>> knocks_;
  std::vector<Knock*> free_;
  std::size_t under_way_ = 0;
  std::uint64_t begun_ = 0;
  bool pumping_ = false;
  Time hold_until_{};  // nothing is started before: we ran out of something ourselves
  Steady::time_point next_save_{}, next_publish_{};
  mutable std::mutex view_mutex_;
  std::shared_ptr<const SweepView> view_ = std::make_shared<SweepView>();
};

}  // namespace ajar
