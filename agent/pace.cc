#include "agent/pace.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "config/config.h"

namespace ajar {
namespace {

constexpr std::size_t kMostAddresses = 1U << 20;
constexpr std::size_t kMostNetworks = 1U << 16;
constexpr std::size_t kMostNotes = 100;
constexpr std::size_t kLookedAt = 10'000;       // in one call of expire()
constexpr std::int64_t kBurst = 250'000;        // microseconds whose connections may come together
constexpr std::int64_t kQuarter = 6 * 60 * 60;  // seconds
constexpr std::uint64_t kBlock = 64;            // bytes
constexpr std::int64_t kNetworkIdle = 48 * 60 * 60;
constexpr std::int64_t kAddressIdle = 60;
constexpr std::chrono::seconds kClockStep{60};  // a clock that goes back further than this was set
constexpr std::uint8_t kMemory = 32;            // outcomes of one address that make its custom
constexpr unsigned kFewest = 8;                 // addresses that tell anything of their network
constexpr unsigned kFewestExpected = 6;         // answers, that their absence tells anything

std::int64_t seconds_of(Time time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }
std::int64_t micros_of(Time time) { return time.time_since_epoch().count() * 1000; }
Time time_of_micros(std::int64_t micros) { return Time(std::chrono::milliseconds((micros + 999) / 1000)); }
Time time_of_seconds(std::int64_t seconds) { return Time(std::chrono::seconds(seconds)); }

std::int64_t interval_of(unsigned rate, unsigned step) { return (std::int64_t{1'000'000} << step) / rate; }

// What may be borrowed from the time to come: the first of a burst borrows nothing.
std::int64_t slack(std::int64_t interval) { return std::max<std::int64_t>(kBurst - interval, 0); }

std::int64_t first_free(std::int64_t used_until, std::int64_t interval) { return used_until - slack(interval); }

std::uint8_t slot_of(const IpAddress& address) {
  const auto bytes = address.bytes();
  if (address.is_v4()) return bytes[3];
  const unsigned hash = std::accumulate(bytes.begin() + 8, bytes.end(), 0U,
                                        [](unsigned sum, std::uint8_t byte) { return (sum ^ byte) * 0x01000193U; });
  return static_cast<std::uint8_t>(hash ^ (hash >> 8) ^ (hash >> 16) ^ (hash >> 24));
}

}  // namespace

PaceLimits pace_limits(const AgentConfig& agent) {
  return {agent.connections_per_second_per_address, agent.connections_per_second_per_network,
          agent.daily_connections_per_address, agent.daily_bytes_per_address};
}

Cidr pace_network(const IpAddress& address) { return {address, address.is_v4() ? 24U : 64U}; }

Pace::Pace(const PaceLimits& limits) : limits_(limits), addresses_(kMostAddresses), networks_(kMostNetworks) {}

void Pace::set_limits(const PaceLimits& limits) {
  if (limits == limits_) return;
  limits_ = limits;
  slowed_ = 0;
  networks_.each([this](const IpAddress&, Network& network) {
    network.used_until = 0;
    if (limits_.per_network == 0) network.step = 0;
    slowed_ += network.step > 0 ? 1 : 0;
  });
  std::map<IpAddress, Time> before;
  before.swap(exhausted_);
  addresses_.each([&](const IpAddress& address, Address& state) {
    state.used_until = 0;
    const std::optional<Time> until = free_again(state);
    if (!until) return;
    if (before.count(address) > 0) {
      exhausted_[address] = *until;
    } else {
      exhausted(address, state, *until);
    }
  });
}

// A clock that was set back leaves every turn far ahead: what was counted by it is forgotten.
void Pace::watch_clock(Time now) {
  if (now + kClockStep < last_now_) {
    const auto touched = static_cast<std::uint32_t>(seconds_of(now));
    networks_.each([&](const IpAddress&, Network& network) {
      network.used_until = 0;
      network.touched = touched;
    });
    addresses_.each([&](const IpAddress&, Address& state) {
      state = Address{};
      state.touched = touched;
    });
    exhausted_.clear();
  }
  last_now_ = now;
}

Pace::Network& Pace::network_of(const IpAddress& address, Time now) {
  Network& network =
      networks_.get(pace_network(address).first(), [this](const Network& gone) { slowed_ -= gone.step > 0 ? 1 : 0; });
  network.touched = static_cast<std::uint32_t>(seconds_of(now));
  return network;
}

Pace::Address& Pace::address_of(const IpAddress& address, Time now) {
  Address& state = addresses_.get(address, [](const Address&) {});
  state.touched = static_cast<std::uint32_t>(seconds_of(now));
  return state;
}

// ---- rates ----

std::optional<Held> Pace::held(const IpAddress& address, Time now) {
  watch_clock(now);
  if (!exhausted_.empty()) {
    const auto found = exhausted_.find(address);
    if (found != exhausted_.end() && found->second > now) return Held{found->second, PaceScope::day};
  }
  std::optional<Held> held;
  const auto consider = [&](std::int64_t free, PaceScope scope) {
    if (free <= micros_of(now)) return;
    const Time until = time_of_micros(free);
    if (!held || until > held->until) held = Held{until, scope};
  };
  if (limits_.per_address > 0) {
    const Address* const state = addresses_.find(address);
    if (state != nullptr) consider(first_free(state->used_until, interval_of(limits_.per_address, 0)), PaceScope::address);
  }
  if (limits_.per_network > 0) {
    const Network* const network = networks_.find(pace_network(address).first());
    if (network != nullptr) {
      consider(first_free(network->used_until, interval_of(limits_.per_network, network->step)), PaceScope::network);
    }
  }
  return held;
}

std::optional<Time> Pace::earliest(const IpAddress& address, Time now) {
  const std::optional<Held> wait = held(address, now);
  if (!wait) return std::nullopt;
  return wait->until;
}

void Pace::started(const IpAddress& address, Time now) {
  watch_clock(now);
  if (limits_.per_address > 0 || has_budget()) {
    Address& state = address_of(address, now);
    if (limits_.per_address > 0) {
      state.used_until = std::max(state.used_until, micros_of(now)) + interval_of(limits_.per_address, 0);
    }
    count_day(address, state, 1, 0, now);
  }
  if (limits_.per_network > 0) {
    Network& network = network_of(address, now);
    network.used_until = std::max(network.used_until, micros_of(now)) + interval_of(limits_.per_network, network.step);
  }
}

Time Pace::turn_of_address(const IpAddress& address, Time now) {
  watch_clock(now);
  if (limits_.per_address == 0 && !has_budget()) return now;
  Address& state = address_of(address, now);
  count_day(address, state, 1, 0, now);
  if (limits_.per_address == 0) return now;
  const std::int64_t interval = interval_of(limits_.per_address, 0);
  const std::int64_t turn = std::max(micros_of(now), first_free(state.used_until, interval));
  state.used_until = std::max(state.used_until, turn) + interval;
  return time_of_micros(turn);
}

Time Pace::turn_of_network(const IpAddress& address, Time now) {
  watch_clock(now);
  if (limits_.per_network == 0) return now;
  Network& network = network_of(address, now);
  const std::int64_t interval = interval_of(limits_.per_network, network.step);
  const std::int64_t turn = std::max(micros_of(now), first_free(network.used_until, interval));
  network.used_until = std::max(network.used_until, turn) + interval;
  return time_of_micros(turn);
}

// ---- back-off ----

void Pace::ended(const IpAddress& address, Time now, bool timed_out) {
  watch_clock(now);
  if (limits_.per_network == 0) return;
  Network& network = network_of(address, now);
  hear(network, slot_of(address), !timed_out);
  judge(address, network);
}

void Pace::hear(Network& network, std::uint8_t slot, bool answered) {
  auto custom =
      std::find_if(network.customs.begin(), network.customs.end(), [slot](const Custom& one) { return one.slot == slot; });
  if (custom == network.customs.end()) custom = network.customs.insert(custom, Custom{slot, 0, 0});
  const auto expected = static_cast<std::uint8_t>(255U * custom->answers / (custom->outcomes + 1U));
  custom->answers = static_cast<std::uint8_t>(custom->answers + (answered ? 1 : 0));
  if (++custom->outcomes >= kMemory) {
    custom->answers = static_cast<std::uint8_t>(custom->answers / 2);
    custom->outcomes = static_cast<std::uint8_t>(custom->outcomes / 2);
  }
  const auto begin = network.window.begin();
  auto gone = std::find_if(begin, begin + network.count, [slot](const Outcome& one) { return one.slot == slot; });
  if (gone == begin + network.count && network.count < kWindow) {
    ++network.count;  // nothing has to go
  } else {
    if (gone == begin + network.count) gone = begin;
    std::move(gone + 1, begin + network.count, gone);
  }
  network.window[network.count - 1U] = {slot, expected, answered};
  network.heard = static_cast<std::uint8_t>(std::min(network.heard + 1, 255));
}

void Pace::judge(const IpAddress& address, Network& network) {
  if (network.count < kFewest) return;
  unsigned answered = 0, expected = 0;
  for (std::size_t i = 0; i < network.count; ++i) {
    answered += network.window[i].answered ? 1 : 0;
    expected += network.window[i].expected;
  }
  expected /= 255;
  const bool silent = expected >= kFewestExpected && 2 * (answered + 1) < expected;
  const bool answers = (expected >= kFewestExpected && 4 * answered >= 3 * expected) || network.heard >= kWindow;
  const unsigned rate = limits_.per_network;
  if (silent && network.step < kMostSteps) {
    if (network.step == 0) ++slowed_;
    ++network.step;
    note(
        fmt::format("network {}: of the last {} addresses that were asked {} answered, where about {} used to: it is asked at "
                    "1/{} of its rate, {:.4g} connections a second",
                    pace_network(address).to_string(), static_cast<unsigned>(network.count), answered, expected,
                    1U << network.step, static_cast<double>(rate) / (1U << network.step)));
  } else if (!silent && answers && network.step > 0) {
    --network.step;
    if (network.step == 0) {
      --slowed_;
      note(fmt::format("network {}: it is asked at its rate again, {} connections a second", pace_network(address).to_string(),
                       rate));
    }
  } else {
    return;
  }
  network.count = network.heard = 0;  // the next step waits for what this one brings
}

// ---- the day's budget ----

void Pace::count_day(const IpAddress& address, Address& state, std::uint32_t connections, std::uint64_t bytes, Time now) {
  if (!has_budget()) return;
  const auto quarter = static_cast<std::uint32_t>(seconds_of(now) / kQuarter);
  if (quarter > state.quarter) {
    const std::uint32_t gone = std::min<std::uint32_t>(quarter - state.quarter, kQuarters);
    for (std::uint32_t i = 0; i < gone; ++i) {
      state.connections[(quarter - i) % kQuarters] = state.blocks[(quarter - i) % kQuarters] = 0;
    }
    state.quarter = quarter;
  }
  const auto add = [](std::uint32_t& to, std::uint64_t what) {
    to = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{to} + what, UINT32_MAX));
  };
  add(state.connections[state.quarter % kQuarters], connections);
  add(state.blocks[state.quarter % kQuarters], (bytes + kBlock - 1) / kBlock);
  if (const std::optional<Time> until = free_again(state)) exhausted(address, state, *until);
}

std::uint64_t Pace::connections_of(const Address& state) {
  return std::accumulate(state.connections.begin(), state.connections.end(), std::uint64_t{0});
}

std::uint64_t Pace::bytes_of(const Address& state) {
  return kBlock * std::accumulate(state.blocks.begin(), state.blocks.end(), std::uint64_t{0});
}

// When the budget that is used up has room again; nullopt: it has.
std::optional<Time> Pace::free_again(const Address& state) const {
  std::uint64_t connections = connections_of(state);
  std::uint64_t bytes = bytes_of(state);
  const auto used_up = [&] {
    return (limits_.daily_connections > 0 && connections >= limits_.daily_connections) ||
           (limits_.daily_bytes > 0 && bytes >= limits_.daily_bytes);
  };
  if (!used_up()) return std::nullopt;
  std::int64_t quarter = std::int64_t{state.quarter} - static_cast<std::int64_t>(kQuarters);
  while (used_up() && quarter < state.quarter) {
    const auto place = static_cast<std::size_t>(++quarter) % kQuarters;
    connections -= state.connections[place];
    bytes -= kBlock * state.blocks[place];
  }
  return time_of_seconds((quarter + static_cast<std::int64_t>(kQuarters)) * kQuarter);
}

void Pace::exhausted(const IpAddress& address, const Address& state, Time until) {
  const auto [found, fresh] = exhausted_.try_emplace(address, until);
  found->second = std::max(found->second, until);
  if (!fresh) return;
  const bool connections = limits_.daily_connections > 0 && connections_of(state) >= limits_.daily_connections;
  note(fmt::format(
      "{}: its budget of a day is used up, {} {} (agent.daily_{}_per_address = {}): it is not probed again before {}",
      address.to_string(), connections ? connections_of(state) : bytes_of(state), connections ? "connections" : "bytes",
      connections ? "connections" : "bytes", connections ? limits_.daily_connections : limits_.daily_bytes, to_rfc3339(until)));
}

void Pace::add_bytes(const IpAddress& address, std::uint64_t bytes, Time now) {
  watch_clock(now);
  if (limits_.daily_bytes > 0) count_day(address, address_of(address, now), 0, bytes, now);
}

// ---- memory ----

void Pace::expire(Time now) {
  watch_clock(now);
  std::erase_if(exhausted_, [now](const auto& one) { return one.second <= now; });
  const std::int64_t seconds = seconds_of(now);
  const std::int64_t idle = has_budget() ? static_cast<std::int64_t>(kQuarters) * kQuarter : kAddressIdle;
  addresses_.expire(
      kLookedAt, [&](const Address& state) { return state.touched + idle <= seconds && state.used_until <= micros_of(now); },
      [](const Address&) {});
  networks_.expire(
      kLookedAt, [&](const Network& network) { return network.touched + kNetworkIdle <= seconds; },
      [this](const Network& gone) { slowed_ -= gone.step > 0 ? 1 : 0; });
}

void Pace::note(std::string text) {
  if (notes_.size() < kMostNotes) {
    notes_.push_back(std::move(text));
  } else {
    ++more_notes_;
  }
}

std::vector<std::string> Pace::take_notes() {
  std::vector<std::string> notes = std::exchange(notes_, {});
  if (more_notes_ > 0) notes.push_back(fmt::format("and {} more like these", std::exchange(more_notes_, 0)));
  return notes;
}

}  // namespace ajar
