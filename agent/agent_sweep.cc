// The agent's side of sweeps: what they find becomes results, and results where nobody listens any more go back to them.
#include <algorithm>

#include <spdlog/spdlog.h>

#include "agent/agent.h"

namespace ajar {
namespace {

constexpr unsigned kVisitsForGone = 2;

bool is_absence(Verdict verdict, Reason reason) {
  if (verdict == Verdict::closed) return reason == Reason::nobody_listens;
  return verdict == Verdict::unreachable &&
         (reason == Reason::timeout || reason == Reason::filtered || reason == Reason::no_route);
}

}  // namespace

SweepEvents Agent::sweep_events() {
  SweepEvents events;
  events.allows = [this](const IpAddress& address) { return targets_.scope().allows(address); };
  events.paused = [this] { return ledger_.paused(); };
  events.found = [this](const std::string& target, const Door& door) { listens(target, door); };
  events.gone = [this](const std::string& target, const Door& door, SweepState state) { listens_no_more(target, door, state); };
  return events;
}

// A knock counts as a connection does.
SweepPace Agent::sweep_pace() {
  SweepPace pace;
  pace.earliest = [this](const IpAddress& address, Time now) { return gate_.pace().earliest(address, now); };
  pace.started = [this](const IpAddress& address, Time now) { gate_.pace().started(address, now); };
  pace.ended = [this](const IpAddress& address, Time now, bool timed_out) { gate_.pace().ended(address, now, timed_out); };
  return pace;
}

void Agent::listens(const std::string& target, const Door& door) {
  if (!targets_.adopt(target, door)) return;
  sweep_.learn(target, door, SweepState::listening);
  pump();
}

// The visits met nobody, and the sweep says the same.
void Agent::listens_no_more(const std::string& target, const Door& door, SweepState state) {
  if (state == SweepState::no_route || !is_absent(target, door)) {
    sweep_.learn(target, door, SweepState::listening);
    return;
  }
  spdlog::debug("target {}: nobody listens at {}/{} any more; the sweep of the network asks on", escape(target),
                join_host_port(door.address, door.port), to_string(door.transport));
  absent_.erase({target, door});
  targets_.release(target, door);
}

// Its results are all that of nobody there, and nothing of them is to be kept: no case, no change to confirm, nothing to ask
// again, no report of others that they answer.
bool Agent::is_absent(const std::string& target, const Door& door) const {
  if (!ledger_.suspicions_of(door.address).empty()) return false;
  const std::vector<std::string> checks = targets_.owned(target, door);
  return std::all_of(checks.begin(), checks.end(), [&](const std::string& check) {
    const auto result = ledger_.result({target, door.address, door.port, door.transport, check});
    return result && is_absence(result->level, result->reason) && is_absence(result->last_level, result->last_reason) &&
           !result->change_to && !result->case_id && result->must_ask.empty() && result->retries.empty();
  });
}

// A result that was something else before may still have tokens on their way. A refusal makes them evidence of the past; behind
// silence they would prove what is, so it is kept until they are too old.
bool Agent::may_be_forgotten(const ResultState& result) const {
  if (result.level == Verdict::closed) return true;
  const std::vector<LevelChange> changes = ledger_.history(result.key);
  return changes.size() <= 1 || wall_now() - changes.back().time >= config_->canary.token_retention;
}

void Agent::visited(const ResultKey& key) {
  const Door door{key.address, key.port, key.transport};
  if (targets_.listening(key.target).contains(door)) visited_.emplace(key.target, door);
}

void Agent::look_at_visited() {
  for (const auto& place : std::exchange(visited_, {})) {
    const auto& [target, door] = place;
    if (!targets_.listening(target).contains(door) || !is_absent(target, door)) {
      absent_.erase(place);
      continue;
    }
    if (++absent_[place] < kVisitsForGone) continue;
    const std::vector<std::string> checks = targets_.owned(target, door);
    const bool all = std::all_of(checks.begin(), checks.end(), [&](const std::string& check) {
      const auto result = ledger_.result({target, door.address, door.port, door.transport, check});
      return result && may_be_forgotten(*result);
    });
    if (all) sweep_.ask(target, door);
  }
}

// What `ajar check` learnt of a place that only the sweep asks. True: nobody listens there, which needs no result.
bool Agent::take_in_swept(const Record& record) {
  const ResultKey& key = record.key;
  if (targets_.endpoint(key) || !targets_.owns(key)) return false;
  const Door door{key.address, key.port, key.transport};
  if (record.finding.verdict == Verdict::closed && record.finding.reason == Reason::nobody_listens) {
    sweep_.learn(key.target, door, SweepState::refused);
    return true;
  }
  listens(key.target, door);
  return false;
}

}  // namespace ajar
