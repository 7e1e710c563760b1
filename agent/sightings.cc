#include "agent/sightings.h"

#include <algorithm>

namespace ajar {
namespace {

Sighting sighting_of(const Arrival& arrival) {
  return {arrival.kind, arrival.proof, arrival.peer.address, arrival.listener, method_of(arrival), arrival.facts};
}

}  // namespace

std::string method_of(const Arrival& arrival) {
  for (const std::string& fact : arrival.facts) {
    const std::string word = fact.substr(0, fact.find(' '));
    const bool capitals =
        word.size() >= 3 && std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (capitals && word != "HTTP") return word;  // "HTTP spoken to the SMTP port" stands before the request line
  }
  return {};
}

ArrivalResult without_ledger(bool awaited, TokenState token) {
  if (awaited) return ArrivalResult::proved;
  return token == TokenState::bad ? ArrivalResult::unknown_token : ArrivalResult::late;
}

void Sightings::watch(const std::string& token) {
  const std::lock_guard lock(mutex_);
  watched_.try_emplace(token);
}

void Sightings::forget(const std::string& token) {
  const std::lock_guard lock(mutex_);
  watched_.erase(token);
}

bool Sightings::note(const Arrival& arrival) {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(arrival.token);
  if (found == watched_.end()) return false;
  std::shared_ptr<const Arrival>& seen = found->second;
  if (!seen || (arrival.proof && !seen->proof)) seen = std::make_shared<const Arrival>(arrival);
  return true;
}

std::shared_ptr<const Arrival> Sightings::arrival(const std::string& token) const {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(token);
  return found == watched_.end() ? nullptr : found->second;
}

// nullopt: it is not watched.
std::optional<std::shared_ptr<const Arrival>> Sightings::look(const std::string& token) const {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(token);
  if (found == watched_.end()) return std::nullopt;
  return found->second;
}

Task<bool> Sightings::settle() {
  if (!settle_) return come_round(loop_);
  return settle_();
}

Task<std::optional<Sighting>> Sightings::find(const std::string& token, SightingWait wait, std::chrono::milliseconds at_least) {
  const bool lag = wait == SightingWait::lag;
  const auto until = loop_.now() + (lag ? std::max(patience_, at_least) : std::chrono::milliseconds(0));
  bool settled = wait == SightingWait::none;
  for (;;) {
    const std::optional<std::shared_ptr<const Arrival>> seen = look(token);
    if (!seen) co_return std::nullopt;
    if (*seen) co_return sighting_of(**seen);
    bool go_on = true;
    if (loop_.now() < until) {
      go_on = co_await loop_.sleep_for(std::chrono::milliseconds(50));
    } else if (!std::exchange(settled, true)) {
      go_on = co_await settle();
    } else {
      co_return std::nullopt;
    }
    if (!go_on) co_return std::nullopt;
  }
}

}  // namespace ajar
