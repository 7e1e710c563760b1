#include <mutex>

#include <fmt/format.h>

#include "agent/ledger_state.h"

namespace ajar {
namespace {

constexpr std::size_t kMostHeartbeats = 20'000;  // of a portion; more do not wait for the others

void overlay(std::map<std::int64_t, WaitingEvidence>& onto, std::map<std::int64_t, WaitingEvidence>& from) {
  for (auto& [id, waiting] : from) {
    WaitingEvidence& place = onto[id];
    if (waiting.latest) place.latest = std::move(waiting.latest);
    if (waiting.not_closed) place.not_closed = std::move(waiting.not_closed);
  }
  from.clear();
}

}  // namespace

bool Ledger::State::heartbeats_are_due(bool closing) const {
  if (dirty.heartbeats.empty()) return false;
  if (closing || visible.failing || dirty.heartbeats.size() >= kMostHeartbeats) return true;
  const Time now = options.now();
  return now < heartbeats_since || now - heartbeats_since >= options.heartbeat_interval;
}

// One portion after the other. Those of a result that is in a later one too take room for nothing: once they are more than the
// others, all are written anew.
void Ledger::State::write_heartbeats() {
  if (heartbeats.entries + dirty.heartbeats.size() > 2 * visible.results.size() + kMostHeartbeats) {
    write_all_heartbeats();
    return;
  }
  std::vector<Heartbeat> portion;
  portion.reserve(dirty.heartbeats.size());
  for (const auto& [id, heartbeat] : dirty.heartbeats) portion.push_back(heartbeat);
  store.put_heartbeats(heartbeats.next++, portion);
  heartbeats.entries += portion.size();
}

void Ledger::State::write_all_heartbeats() {
  store.forget_heartbeats(heartbeats.next);
  heartbeats.entries = 0;
  std::vector<Heartbeat> portion;
  const auto put = [&] {
    if (portion.empty()) return;
    store.put_heartbeats(heartbeats.next++, portion);
    heartbeats.entries += portion.size();
    portion.clear();
  };
  for (auto place = visible.results.begin(); place != visible.results.end(); place = visible.results.next(place)) {
    const Heartbeat shown = visible.results.heartbeat(place);
    const auto newer = dirty.heartbeats.find(shown.result);
    portion.push_back(newer == dirty.heartbeats.end() ? shown : newer->second);
    if (portion.size() >= kMostHeartbeats) put();
  }
  put();
}

void Ledger::State::write(bool with_heartbeats) {
  if (with_heartbeats) write_heartbeats();
  for (const auto& [id, change] : dirty.changes) store.put(id, change);
  for (const auto& [id, gone] : dirty.forgotten) store.forget_result(id, gone.first, gone.second);
  for (const std::int64_t id : dirty.old_evidence) store.forget_evidence(id, Evidence::not_closed);
  if (dirty.history_before) store.forget_history(*dirty.history_before);
  for (const auto& key : dirty.results) {
    if (const auto held = find(key)) store.put(*held, heartbeats.next);
  }
  for (const auto& id : dirty.cases) {
    if (const Case* exposure = find_case(id)) {
      store.put(*exposure);
    } else {
      store.forget_case(id);
    }
  }
  for (const auto& name : dirty.tokens) {
    if (const auto token = tokens.find(name); token != tokens.end()) {
      store.put(token->second);
    } else {
      store.forget_token(name);
    }
  }
  for (const auto& key : dirty.counts) {
    const auto changed = pending.counts.find(key);
    store.put(changed != pending.counts.end() ? changed->second : visible.counts.at(key));
  }
  for (const auto& canary : dirty.cursors) store.put_cursor(canary, cursors.at(canary));
  for (const auto& [key, listing] : dirty.listings) {
    if (listing) {
      store.put(*listing);
    } else {
      store.forget_listing(key);
    }
  }
  for (const SuspicionKey& key : dirty.suspicions) {
    if (const Suspicion* suspicion = find(key)) {
      store.put(*suspicion);
    } else {
      store.forget_suspicion(key);
    }
  }
  if (dirty.paused) store.put_paused(pending.paused.value_or(visible.paused));
  // Older before newer.
  for (const auto* place : {&visible.waiting, &pending.waiting}) {
    for (const auto& [id, waiting] : *place) {
      if (pending.forgotten.contains(id)) continue;
      if (waiting.latest) store.put_evidence(id, Evidence::latest, *waiting.latest);
      if (waiting.not_closed) store.put_evidence(id, Evidence::not_closed, *waiting.not_closed);
    }
  }
}

void Ledger::State::publish(bool written, const std::string& failure) {
  const std::unique_lock hold(mutex);
  const bool changes = !pending.empty() || visible.failing == written;
  for (auto& [key, held] : pending.results) {
    if (held) {
      visible.results.put(*held);
    } else {
      visible.results.erase(key);
    }
  }
  for (auto& [id, exposure] : pending.cases) {
    if (exposure) {
      visible.cases.insert_or_assign(id, std::move(*exposure));
    } else {
      visible.cases.erase(id);
    }
  }
  for (auto& [key, counted] : pending.counts) visible.counts.insert_or_assign(key, std::move(counted));
  for (auto& [key, suspicion] : pending.suspicions) {
    if (suspicion) {
      visible.suspicions.insert_or_assign(key, std::move(*suspicion));
    } else {
      visible.suspicions.erase(key);
    }
  }
  if (pending.paused) visible.paused = *pending.paused;
  for (const std::int64_t id : pending.forgotten) visible.waiting.erase(id);
  if (written) {
    visible.waiting.clear();
  } else {
    overlay(visible.waiting, pending.waiting);
  }
  visible.failing = !written;
  visible.failure = failure;
  if (changes) ++visible.version;
  pending = {};
}

void Ledger::State::set_failure(const std::string& failure) {
  const std::unique_lock hold(mutex);
  if (!visible.failing) ++visible.version;
  visible.failing = true;
  visible.failure = failure;
}

void Ledger::State::flush(bool closing) {
  // After a refused message nothing may be dirty: a transaction of nothing but the pause flag tells whether the disk has room
  // again.
  if (visible.failing) dirty.paused = true;
  const bool with_heartbeats = heartbeats_are_due(closing);
  const bool changes = with_heartbeats || !dirty.empty();
  if (!changes && pending.empty()) return;
  std::string failure;
  const HeartbeatLog before = heartbeats;
  try {
    if (changes) store.transaction(false, [&] { write(with_heartbeats); });
    LedgerDirty rest;
    if (!with_heartbeats) rest.heartbeats.swap(dirty.heartbeats);
    dirty = std::move(rest);
    waiting_bytes = 0;
  } catch (const DatabaseError& error) {
    heartbeats = before;
    failure = fmt::format("{}: cannot be written: {}", options.path, error.what());
  }
  publish(failure.empty(), failure);
}

void Ledger::flush() { state_->flush(); }

}  // namespace ajar
