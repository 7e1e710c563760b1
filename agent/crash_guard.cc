#include "agent/crash_guard.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/version.h"

namespace ajar {
namespace {

std::string beside(const std::string& state, const char* ending) { return state == ":memory:" ? "" : state + ending; }

std::string text_of(const ProbePlace& place) {
  return fmt::format("{}/{} {}", join_host_port(place.address, place.port), to_string(place.transport), place.check);
}

}  // namespace

CrashGuard::CrashGuard(const std::string& state, const AgentConfig& agent, Metrics& metrics, WallClock now)
    : journal_(beside(state, ".in-hand")),
      quarantine_(beside(state, ".quarantine"), fmt::format("{} {} {}", kVersion, kRevision, kCompiler), agent.quarantine,
                  std::move(now)),
      metrics_(metrics) {
  for (const std::string& note : journal_.notes()) spdlog::warn("{}", note);
  for (const std::string& note : quarantine_.notes()) spdlog::warn("{}", note);
  if (const std::optional<Crash>& crash = journal_.last_crash()) {
    const bool convicted = quarantine_.take(*crash);
    if (!crash->in_hand) {
      spdlog::error("the last process crashed ({}), outside of any probe: nothing is left out for it",
                    signal_name(crash->signal));
    } else {
      spdlog::error("the last process crashed ({}) on what {} said: {}", signal_name(crash->signal), text_of(*crash->in_hand),
                    convicted ? "the second time, so it is left out" : "it is asked once more, alone");
    }
    say_failure();
  }
  journal_.begin();
}

void CrashGuard::watch_this_thread() {
  if (!journal_.watch_this_thread() && journal_.works()) {
    spdlog::warn("the crash journal has no room for another thread: a server whose answer crashes this one is not skipped");
  }
}

void CrashGuard::planned(const ResultKey& key) {
  if (quarantine_.entries().empty()) return;
  const ProbePlace place = probe_place(key);
  if (!quarantine_.entries().contains(place)) return;
  shown_.insert_or_assign(place, key);
  publish();
}

void CrashGuard::retired(const ResultKey& key) {
  if (shown_.empty()) return;
  const auto found = shown_.find(probe_place(key));
  if (found == shown_.end() || found->second != key) return;
  shown_.erase(found);
  publish();
}

std::string CrashGuard::why_skipped(const ResultKey& key) const {
  const Quarantine::Entry* const entry = quarantine_.held(probe_place(key));
  if (entry == nullptr) return {};
  return fmt::format(
      "Its answer crashed ajar twice ({}, last on {}), so it is not asked until {}, or until another version of ajar runs or "
      "somebody asks for a test.",
      signal_name(entry->signal), to_rfc3339(entry->last), to_rfc3339(quarantine_.until(*entry)));
}

void CrashGuard::survived(const ResultKey& key) {
  if (!quarantine_.has_suspects()) return;
  const ProbePlace place = probe_place(key);
  if (!quarantine_.is_suspect(place)) return;
  quarantine_.survived(place);
  shown_.erase(place);
  spdlog::warn("{} did not crash the agent this time: it is asked as before", text_of(place));
  say_failure();
}

void CrashGuard::asked_for(const std::string& target, const std::string& check) {
  if (!quarantine_.any_held()) return;
  for (const auto& [place, key] : shown_) {
    if (key.target != target || (!check.empty() && key.check != check) || !quarantine_.release(place)) continue;
    spdlog::warn("{} crashed the agent twice, and is asked once more because somebody wants it", text_of(place));
  }
  say_failure();
  publish();
}

void CrashGuard::expire() {
  for (const ProbePlace& place : quarantine_.expire()) {
    spdlog::warn("{} crashed the agent twice; its time is over, and it is asked once more", text_of(place));
    publish();
  }
  say_failure();
}

void CrashGuard::publish() {
  std::vector<ResultKey> held;
  for (const auto& [place, key] : shown_) {
    if (quarantine_.held(place) != nullptr) held.push_back(key);
  }
  metrics_.quarantined(std::move(held));
}

void CrashGuard::say_failure() {
  const bool failing = !quarantine_.failure().empty();
  if (failing && !was_failing_) {
    spdlog::error("what crashed the agent cannot be kept: {}; probing goes on, and a restart forgets it",
                  quarantine_.failure());
  }
  was_failing_ = failing;
}

}  // namespace ajar
