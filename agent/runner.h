// One visit: the checks of one endpoint, asked one after the other, each from its subject to its record. What a check throws
// becomes a verdict here, in one place; and what one of them learns of the port settles what another could not tell.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/live_network.h"
#include "agent/loop.h"
#include "agent/probe_canary.h"
#include "agent/record.h"
#include "agent/scope.h"
#include "agent/sightings.h"
#include "agent/vantage.h"
#include "checks/catalogue.h"
#include "config/config.h"

namespace ajar {

// Which ports of an address answered, and when: silence on another port of it is a filter, not an absent host. 53/udp and
// 53/tcp are two ports. Any thread.
class Answered {
 public:
  // `connected`: it took a connection; else it refused one, or a datagram came of it.
  void note(const IpAddress& address, std::uint16_t port, Transport transport, Time when, bool connected);
  // Whether another port of the address answered at `since` or later.
  bool on_another_port(const IpAddress& address, std::uint16_t port, Transport transport, Time since) const;
  // When another port of the address last took a connection.
  std::optional<Time> connected_on_another_port(const IpAddress& address, std::uint16_t port, Transport transport) const;

 private:
  struct Seen {
    std::uint16_t port = 0;  // 0: none
    Transport transport = Transport::tcp;
    Time when{};
    bool is_another(std::uint16_t than, Transport by) const { return port != 0 && (port != than || transport != by); }
  };
  using LastTwo = std::array<Seen, 2>;  // ports: one of them is another one
  struct Ports {
    LastTwo answered, connected;
  };
  static void put(LastTwo& ports, const Seen& seen);
  mutable std::mutex mutex_;
  std::map<IpAddress, Ports> seen_;
};

// What all probes of a loop share. The referred objects outlive the probes.
struct ProbeWorld {
  Loop& loop;
  ConnectGate& gate;
  const ProbeTls& tls;
  const CanaryKeys& keys;
  const CanaryStatus* canary;
  MessageBook book;
  Answered& answered;
  Sightings& sightings;
  WallClock now = wall_now;
  std::function<void(int)> under_way = [](int) {};  // +1 when a probe begins, -1 when it ends
  const Vantage* vantage = nullptr;                 // what is known of it when a probe ends; nullptr: nothing
  std::function<void(const ResultKey&)> survived = [](const ResultKey&) {};  // it was asked, and we are still there
};

// What to ask, and of whom. Holds the configuration that it began under.
struct ProbePlan {
  std::shared_ptr<const Config> config;
  std::shared_ptr<const TargetConfig> target = {};  // nullptr: what `config` has under the name of the key
  const CheckInfo* check = nullptr;
  ResultKey key;
  std::string host;  // may be empty
  bool tls = false;  // implicit TLS
  bool full_matrix = false;
  std::vector<std::string> must_ask;
  std::vector<Retry> retries;
  std::string skipped;  // why it is not asked at all; empty: it is
};

// Asks all of one endpoint (each plan another check), and hands each record over as soon as it is final. A connection that is
// refused or not answered answers all of them; a server that greets in another protocol is not asked the rest. A port that
// takes the connection and says nothing costs one reply_timeout, shared by the checks; where one of them came to a verdict of
// its own, silence towards another is `closed`/`other_protocol`. False when the loop was shut down meanwhile: what is missing
// says nothing.
Task<bool> run_visit(ProbeWorld& world, std::vector<ProbePlan> plans, std::function<void(const Record&)> done);

// What is known of a port within one visit.
class PortTalk {
 public:
  // `doubted`: it said yes before, so its refusal is not the last word on what stands there.
  void note(const CheckInfo& check, const Finding& finding, bool doubted = false);
  // A greeting in another protocol than that of `check`: it would hear the same. Empty: none.
  std::string greeted_instead(const CheckInfo& check) const;
  // The verdict of a check that met nothing but silence: what it would have said, made plainer by what others heard. `doubt`:
  // why its silence may mean something else than another protocol; empty: no reason is known.
  void settle(const CheckInfo& check, Finding& silence, const std::string& doubt = {}) const;

 private:
  struct Heard {
    std::string spoken;
    bool conclusive = false;  // closed, accepted or open came of it: only that settles the silence of others
    bool inside_tls = false;
  };
  std::vector<Heard> heard_;
  std::string greeting_;
  bool mail_or_ftp_ = false;  // the greeting begins with 220 and nobody knows whose it is
};

// `text`, ended with "…" after kMaxSentence bytes.
inline constexpr std::size_t kMaxSentence = 2048;
std::string shortened(std::string text);

// The verdict of a probe that learnt nothing but this. `has_spoken`: the peer sent something, so silence afterwards is not
// absence.
Finding finding_of(const LinkError& error, bool has_spoken, bool answered_on_another_port);

}  // namespace ajar
