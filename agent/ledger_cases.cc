#include <algorithm>
#include <mutex>

#include "agent/json.h"
#include "agent/ledger_state.h"

namespace ajar {
namespace {

// Evidence that waits for a disk with room: past this, transcripts are left out.
constexpr std::size_t kMaxWaiting = 64 * 1024 * 1024;
constexpr std::size_t kMaxWaitingChanges = 100'000;

std::string without_transcript(Record record) {
  record.transcript = {"# not kept: the database could not be written"};
  return serialise(record);
}

}  // namespace

// -- changing --

// The pending copy of a result; what is changed there becomes visible with the next flush.
HeldResult& Ledger::State::edit(const HeldResult& held) {
  const ResultKey key = held.state.key;
  dirty.results.insert(key);
  auto& place = pending.results[key];
  if (!place || &*place != &held) place = held;
  return *place;
}

void Ledger::State::put_case(const Case& exposure) {
  auto& ids = cases_of[exposure.key];
  if (std::find(ids.begin(), ids.end(), exposure.id) == ids.end()) ids.push_back(exposure.id);
  pending.cases[exposure.id] = exposure;
  dirty.cases.insert(exposure.id);
}

void Ledger::State::count_change(const Change& change) {
  if (!change.exposure || !(change.opened || change.reopened || change.closed)) return;
  const Case& exposure = *change.exposure;
  CaseCount& counted = count(exposure.key.check, exposure.owner);
  if (change.opened) ++counted.opened;
  if (change.reopened) ++counted.reopened;
  if (!change.closed) return;
  ++(exposure.status == CaseStatus::retired ? counted.retired : counted.fixed);
  counted.durations.push_back(std::max(0.0, to_seconds(*exposure.closed) - to_seconds(exposure.first_seen)));
}

// While the disk refuses them they wait in memory, within bounds: then the newest are left out.
void Ledger::State::note_change(std::int64_t id, const ResultState* before, const ResultState& after, Time when) {
  if (before != nullptr && before->level == after.level) return;
  if (dirty.changes.size() < kMaxWaitingChanges) dirty.changes.push_back({id, {when, after.level, after.reason}});
}

// `when`: of what decided.
void Ledger::State::take(HeldResult held, Judgement judgement, Time when) {
  const HeldResult* before = find(held.state.key);
  note_change(held.id, before == nullptr ? nullptr : &before->state, judgement.state, when);
  held.state = std::move(judgement.state);
  if (judgement.change.exposure) put_case(*judgement.change.exposure);
  count_change(judgement.change);
  edit(held);
}

// -- evidence --

std::optional<std::string> Ledger::State::evidence(std::int64_t id, Evidence which) {
  for (const auto* place : {&pending.waiting, &visible.waiting}) {
    const auto found = place->find(id);
    if (found == place->end()) continue;
    const auto& text = which == Evidence::latest ? found->second.latest : found->second.not_closed;
    if (text) return *text;
  }
  return store.evidence(id, which);
}

std::optional<std::string> Ledger::State::shown(const ResultKey& key, Evidence which) {
  std::int64_t id = 0;
  {
    const std::shared_lock hold(mutex);
    const auto found = visible.results.find(key);
    if (found == visible.results.end()) return std::nullopt;
    id = found->second.id;
    if (const auto waiting = visible.waiting.find(id); waiting != visible.waiting.end()) {
      const auto& text = which == Evidence::latest ? waiting->second.latest : waiting->second.not_closed;
      if (text) return *text;
    }
  }
  return store.evidence(id, which);
}

void Ledger::State::put_evidence(std::int64_t id, const Record& record, bool latest, bool not_closed) {
  const auto text =
      std::make_shared<const std::string>(waiting_bytes < kMaxWaiting ? serialise(record) : without_transcript(record));
  waiting_bytes += text->size();
  WaitingEvidence& waiting = pending.waiting[id];
  if (latest) waiting.latest = text;
  if (not_closed) waiting.not_closed = text;
}

// Changes the stored records of a result where `edit_record` says that it did.
void Ledger::State::edit_evidence(HeldResult& held, const std::function<bool(Record&)>& edit_record) {
  for (const Evidence which : {Evidence::latest, Evidence::not_closed}) {
    const auto text = evidence(held.id, which);
    if (!text) continue;
    try {
      Record record = parse_record(*text);
      if (!edit_record(record)) continue;
      put_evidence(held.id, record, which == Evidence::latest, which == Evidence::not_closed);
      if (which != Evidence::latest || held.state.last_probe != record.started) continue;
      held.state.last_level = record.finding.verdict;
      held.state.last_reason = record.finding.reason;
      // A latest record that stopped being closed is the latest that is not.
      if (record.finding.verdict != Verdict::closed) put_evidence(held.id, record, false, true);
    } catch (const std::runtime_error&) {
      continue;  // unreadable evidence stays what it is
    }
  }
}

// -- probes --

Change Ledger::apply(const Record& given, std::optional<Time> neighbour) {
  State& state = *state_;
  Record record = given;
  const HeldResult* held = state.find(record.key);
  Change earlier;
  // What arrived before the record of its own probe belongs into that record; what arrived when nothing was known of the result
  // yet, and whose own record never came (the agent was killed), is judged first.
  for (HeldToken* token : state.arrived_at(record.key)) {
    if (token->message.probe_id == record.probe_id) {
      add_proof(record, proof_of(*token));
      if (!token->judged) state.dirty.tokens.insert(token->message.token);
      token->judged = true;
    } else if (!token->judged && !held) {
      const HeldResult fresh{state.next_result++, unjudged(record)};
      earlier = state.judge_proof(fresh, *token);
      held = state.find(record.key);
    }
  }
  Judgement judgement =
      judge(held ? &held->state : nullptr, state.last_case(record.key), record, state.options.reopen_within, neighbour);
  HeldResult next = held ? *held : HeldResult{state.next_result++, {}};
  Change change = judgement.change;
  // While a case is open, a probe that could not tell does not push aside the evidence of the yes.
  const Verdict verdict = record.finding.verdict;
  const bool proves_less = judgement.state.case_id && verdict < Verdict::accepted;
  state.put_evidence(next.id, record, true, verdict != Verdict::closed && !proves_less);
  state.take(std::move(next), std::move(judgement), record.started);
  change.opened = change.opened || earlier.opened;
  change.reopened = change.reopened || earlier.reopened;
  if (!change.exposure) change.exposure = earlier.exposure;
  return change;
}

// -- leaving --

Change Ledger::retire(const ResultKey& key) {
  State& state = *state_;
  Change change;
  const HeldResult* held = state.find(key);
  if (!held) return change;
  change.owner = held->state.owner;
  const Case* open = held->state.case_id ? state.find_case(*held->state.case_id) : nullptr;
  if (open) {
    change.exposure = *open;
    change.exposure->status = CaseStatus::retired;
    change.exposure->closed = state.options.now();
    change.exposure->how = "retired";
    change.closed = true;
    state.put_case(*change.exposure);
    state.count_change(change);
  }
  const std::int64_t id = held->id;
  state.pending.waiting.erase(id);
  state.pending.forgotten.insert(id);
  state.pending.results[key].reset();
  state.dirty.results.erase(key);
  state.dirty.forgotten.insert({id, {key, state.options.now()}});
  state.settle_tokens(key);
  return change;
}

}  // namespace ajar
