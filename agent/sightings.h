// What the canary has seen of the tokens of probes that are under way: how a proxy's proof is looked at from our own side. In
// memory and no longer than the probe; what may come later is the ledger's (Canary::expect_late).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "agent/canary_keys.h"
#include "agent/ledger.h"
#include "agent/loop.h"
#include "agent/record.h"

namespace ajar {

// Of one loop, on whose thread the probes are; note() and arrival() may be called from any.
class Sightings {
 public:
  // Awaits that the canary has taken in what had come by now; false: the loop is shutting down.
  using Settle = std::function<Task<bool>()>;
  // `patience`: how far the canary's log may be behind. Zero where it is ours: it has seen a token before the answer went out.
  // `settle`: where it is not on `loop`.
  Sightings(Loop& loop, std::chrono::milliseconds patience, Settle settle = {})
      : loop_(loop), patience_(patience), settle_(std::move(settle)) {}
  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }

  std::chrono::milliseconds patience() const { return patience_; }

  void watch(const std::string& token);
  void forget(const std::string& token);
  // Whether it is the token of a probe under way. The first proof stays; before it, the first arrival.
  bool note(const Arrival& arrival);
  // What came of a watched token; null: nothing. Until it is forgotten.
  std::shared_ptr<const Arrival> arrival(const std::string& token) const;
  // nullopt: nothing was seen, or the token is not watched. With SightingWait::lag it is waited for as long as our patience
  // lasts, and for `at_least` so long.
  Task<std::optional<Sighting>> find(const std::string& token, SightingWait wait, std::chrono::milliseconds at_least = {});

 private:
  Task<bool> settle();
  std::optional<std::shared_ptr<const Arrival>> look(const std::string& token) const;

  Loop& loop_;
  std::chrono::milliseconds patience_;
  const Settle settle_;
  mutable std::mutex mutex_;                                       // of what follows
  std::map<std::string, std::shared_ptr<const Arrival>> watched_;  // null: nothing came
};

// What an arrival with a proof is, of whose token the ledger knows nothing. `awaited`: as note() said; the probe judges it. A
// token that we made and do not await is of a probe that ended, or of `ajar check` beside the agent, which judges it itself:
// `late`, and nobody's attempt at a token.
ArrivalResult without_ledger(bool awaited, TokenState token);

// The first word of what was said to the canary: "GET", "TOKEN", "EHLO"; empty where no fact tells.
std::string method_of(const Arrival& arrival);

}  // namespace ajar
