// How gently: when the next connection to an address may begin. Pure: no clock, no socket, no log; every instant is handed in.
//
// The rules
//   rates     At most so many connections a second to one address, and to one network: an IPv4 /24, an IPv6 /64. Evenly; what
//             was not used in the last quarter of a second may be used together.
//   back-off  A network that falls silent is asked more slowly: half of its rate, a quarter, down to a sixteenth. Silent is
//             measured by what its addresses did before, each for itself: of the last connections, each to another address
//             and eight at least, less than half as many were answered as of old. Each step waits for new connections; when
//             the answers are back, it goes up again step by step. So addresses that never said much are no trouble, and
//             those that have moved away are none any more once their silence is the custom.
//   budget    At most so many connections to one address, and bytes to and from it, in any 24 hours. Counted by quarters of
//             a day, so what was used is free again after 24 to 30 hours. It refuses what is new and ends nothing.
//   memory    Only of what was asked lately: a network is forgotten after two idle days, an address after a minute (after 30
//             hours where there is a budget), and one of the longest idle when there are too many.
//
// Costs: two hash look-ups a call; about 100 bytes an address and 1 KiB a network of 256 (pace_bench measures both). One
// thread's own; several loops have one each, and share the networks out between them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/recent.h"
#include "agent/time.h"
#include "checks/ip_address.h"

namespace ajar {

struct PaceLimits {
  unsigned per_address = 0;             // connections a second to one address; 0: no limit
  unsigned per_network = 0;             // the same to one network; 0: no limit, and no back-off
  std::uint64_t daily_connections = 0;  // to one address in any 24 hours; 0: no limit
  std::uint64_t daily_bytes = 0;        // to and from one address in any 24 hours; 0: no limit
  friend bool operator==(const PaceLimits&, const PaceLimits&) = default;
};

struct AgentConfig;
PaceLimits pace_limits(const AgentConfig& agent);

enum class PaceScope : std::uint8_t { address, network, day };

// Why a connection has to wait.
struct Held {
  Time until;
  PaceScope scope;
};

// The network that an address shares its rate with: its /24 or /64.
Cidr pace_network(const IpAddress& address);

class Pace {
 public:
  explicit Pace(const PaceLimits& limits = {});
  // Takes them over at once. What was counted of the day is kept.
  void set_limits(const PaceLimits& limits);
  const PaceLimits& limits() const { return limits_; }

  // When a connection to `address` may begin; nullopt: now.
  std::optional<Time> earliest(const IpAddress& address, Time now);
  // The same, and which of the limits it waits for.
  std::optional<Held> held(const IpAddress& address, Time now);
  // A connection begins now, whatever earliest() says.
  void started(const IpAddress& address, Time now);
  // How a TCP connection came out: `timed_out` when nobody answered it, by a refusal neither. Of those of one conversation the
  // first counts; need not be told of all.
  void ended(const IpAddress& address, Time now, bool timed_out);

  // For who has begun and waits for each connection: takes the next turn by that rate, and says when it is; `now` at the
  // earliest. Both together are started(), with the day's count in the first.
  Time turn_of_address(const IpAddress& address, Time now);
  Time turn_of_network(const IpAddress& address, Time now);
  // Sent to it and received from it.
  void add_bytes(const IpAddress& address, std::uint64_t bytes, Time now);

  // Forgets what has been idle for long, a part of it at a call: to be called about once a second.
  void expire(Time now);
  std::size_t slowed_networks() const { return slowed_; }
  std::size_t exhausted_addresses() const { return exhausted_.size(); }  // as of the last expire()
  std::size_t addresses() const { return addresses_.size(); }            // that something is kept of
  std::size_t networks() const { return networks_.size(); }
  // What an operator should know of, a sentence each, since the last call. At most 100; then how many more.
  std::vector<std::string> take_notes();

 private:
  static constexpr std::size_t kQuarters = 5;  // of a day: any 24 hours lie within so many
  static constexpr std::size_t kWindow = 32;
  static constexpr unsigned kMostSteps = 4;  // 1/16

  // A rate, as the instant until which it is used up (GCRA): microseconds since the epoch.
  using Micros = std::int64_t;
  struct Address {
    Micros used_until = 0;
    std::uint32_t touched = 0;  // seconds since the epoch
    std::uint32_t quarter = 0;  // the latest of those that are counted, since the epoch; it is counted at quarter % kQuarters
    std::array<std::uint32_t, kQuarters> connections{};
    std::array<std::uint32_t, kQuarters> blocks{};  // of kBlock bytes
  };
  // What one address of a network used to do: `answers` of the last `outcomes`.
  struct Custom {
    std::uint8_t slot = 0;  // its last byte; of an IPv6 address a hash
    std::uint8_t answers = 0, outcomes = 0;
  };
  // The last that was heard of one address.
  struct Outcome {
    std::uint8_t slot = 0;
    std::uint8_t expected = 0;  // an answer, 0…255
    bool answered = false;
  };
  struct Network {
    Micros used_until = 0;
    std::uint32_t touched = 0;
    std::uint8_t step = 0;                  // its rate is divided by 2^step
    std::uint8_t heard = 0;                 // outcomes since the last step; saturates
    std::uint8_t count = 0;                 // of window
    std::vector<Custom> customs;            // one an address
    std::array<Outcome, kWindow> window{};  // one an address, the oldest first
  };

  void watch_clock(Time now);
  bool has_budget() const { return limits_.daily_connections > 0 || limits_.daily_bytes > 0; }
  Network& network_of(const IpAddress& address, Time now);
  Address& address_of(const IpAddress& address, Time now);
  void count_day(const IpAddress& address, Address& state, std::uint32_t connections, std::uint64_t bytes, Time now);
  std::optional<Time> free_again(const Address& state) const;
  static std::uint64_t connections_of(const Address& state);  // in the quarters that are counted
  static std::uint64_t bytes_of(const Address& state);
  void exhausted(const IpAddress& address, const Address& state, Time until);
  static void hear(Network& network, std::uint8_t slot, bool answered);
  void judge(const IpAddress& address, Network& network);
  void note(std::string text);

  PaceLimits limits_;
  Recent<Address> addresses_;
  Recent<Network> networks_;
  std::map<IpAddress, Time> exhausted_;  // until when
  std::size_t slowed_ = 0;
  Time last_now_{};
  std::vector<std::string> notes_;
  std::size_t more_notes_ = 0;
};

}  // namespace ajar
