#include <algorithm>
#include <mutex>
#include <tuple>

#include "agent/json.h"
#include "agent/ledger_state.h"

namespace ajar {
namespace {

// Evidence that waits for a disk with room: past this, transcripts are left out.
constexpr std::size_t kMaxWaiting = 64 * 1024 * 1024;
constexpr std::size_t kMaxWaitingChanges = 100'000;

// But for its times; so that the next probe says nothing else.
bool differ_in_times_alone(const ResultState& a, const ResultState& b) {
  const auto rest = [](const ResultState& state) {
    return std::tie(state.host, state.owner, state.tls, state.level, state.reason, state.because, state.change_since,
                    state.last_level, state.last_reason, state.closed_since, state.last_full_matrix, state.must_ask);
  };
  return is_at_rest(a) && is_at_rest(b) && rest(a) == rest(b);
}

// FNV-1a: the same after every restart.
class Hash {
 public:
  void add(std::string_view text) {
    for (const char c : text) add_byte(static_cast<unsigned char>(c));
    add_byte(0xff);  // in no UTF-8
  }
  void add(std::int64_t number) {
    for (unsigned shift = 0; shift < 64; shift += 8) add_byte(static_cast<unsigned char>(number >> shift));
  }
  void add(const std::vector<std::string>& list) {
    for (const std::string& text : list) add(text);
    add(static_cast<std::int64_t>(list.size()));
  }
  std::uint64_t value() const { return value_; }

 private:
  void add_byte(unsigned char byte) { value_ = (value_ ^ byte) * 1099511628211U; }
  std::uint64_t value_ = 14695981039346656037U;
};

// Of what a probe found, without what differs each time: when, its names, the words of replies. Never 0.
std::uint32_t fingerprint(const Record& record) {
  const Finding& finding = record.finding;
  Hash all;
  all.add(record.host);
  all.add(record.owner);
  all.add(to_string(record.tls));
  all.add(to_string(finding.tls));
  all.add(to_string(finding.verdict));
  all.add(to_string(finding.reason));
  all.add(finding.because);
  all.add(finding.spoken);
  all.add(finding.observations);
  all.add(finding.exit_addresses);
  all.add(finding.whole ? 1 : 0);
  std::uint64_t variants = 0;  // in whatever order they were asked
  for (const Variant& variant : finding.variants) {
    Hash one;
    one.add(variant.name);
    one.add(to_string(variant.verdict));
    one.add(to_string(variant.reason));
    one.add(variant.code.value_or(0));
    variants += one.value();
  }
  all.add(static_cast<std::int64_t>(variants));
  return std::max(1U, static_cast<std::uint32_t>(all.value() ^ all.value() >> 32U));
}

std::string without_transcript(Record record) {
  record.transcript = {"# not kept: the database could not be written"};
  return serialise(record);
}

}  // namespace

bool is_at_rest(const ResultState& state) {
  return !state.case_id && !state.change_to && state.refusals == 0 && state.retries.empty() && !state.retries_since;
}

// -- changing --

// Becomes visible, and is written, with the next flush.
void Ledger::State::edit(const HeldResult& held) {
  dirty.results.insert(held.state.key);
  dirty.heartbeats.erase(held.id);  // the row tells it
  pending.results[held.state.key] = held;
}

// Becomes visible with the next flush, and is written when heartbeats are.
void Ledger::State::beat(const HeldResult& held) {
  const ResultState& state = held.state;
  pending.results[state.key] = held;
  if (dirty.results.contains(state.key)) return;
  if (dirty.heartbeats.empty()) heartbeats_since = options.now();
  dirty.heartbeats[held.id] = {held.id, state.last_probe, state.last_conclusive, state.due};
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
void Ledger::State::take(HeldResult held, Judgement judgement, Time when, bool evidence_stands) {
  const std::optional<HeldResult> before = find(held.state.key);
  note_change(held.id, before ? &before->state : nullptr, judgement.state, when);
  held.state = std::move(judgement.state);
  if (judgement.change.exposure) put_case(*judgement.change.exposure);
  count_change(judgement.change);
  if (evidence_stands && before && differ_in_times_alone(before->state, held.state)) {
    beat(held);
  } else {
    edit(held);
  }
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
    if (!found) return std::nullopt;
    id = found->id;
    if (const auto waiting = visible.waiting.find(id); waiting != visible.waiting.end()) {
      const auto& text = which == Evidence::latest ? waiting->second.latest : waiting->second.not_closed;
      if (text) return *text;
    }
  }
  return store.evidence(id, which);
}

bool Ledger::State::put_evidence(std::int64_t id, const Record& record, bool latest, bool not_closed) {
  const bool whole = waiting_bytes < kMaxWaiting;
  const auto text = std::make_shared<const std::string>(whole ? serialise(record) : without_transcript(record));
  waiting_bytes += text->size();
  WaitingEvidence& waiting = pending.waiting[id];
  if (latest) waiting.latest = text;
  if (not_closed) waiting.not_closed = text;
  return whole;
}

// Changes the stored records of a result where `edit_record` says that it did.
void Ledger::State::edit_evidence(HeldResult& held, const std::function<bool(Record&)>& edit_record) {
  for (const Evidence which : {Evidence::not_closed, Evidence::latest}) {
    const auto text = evidence(held.id, which);
    if (!text) continue;
    try {
      Record record = parse_record(*text);
      const bool was_closed = record.finding.verdict == Verdict::closed;
      if (!edit_record(record)) continue;
      put_evidence(held.id, record, which == Evidence::latest, which == Evidence::not_closed);
      if (which != Evidence::latest) continue;
      held.evidence.finding = 0;  // no later probe found this: the next one's record takes its place
      const bool is_the_last = held.state.last_probe == record.started;
      if (is_the_last) {
        held.state.last_level = record.finding.verdict;
        held.state.last_reason = record.finding.reason;
      }
      // A latest record that stopped being closed is the latest that is not.
      if (record.finding.verdict != Verdict::closed && (is_the_last || was_closed)) put_evidence(held.id, record, false, true);
    } catch (const std::runtime_error&) {
      continue;  // unreadable evidence stays what it is
    }
  }
}

// The probe may have sent what comes back later: then its own record is what that proves.
bool Ledger::State::has_own_token(const Record& record) const {
  const auto at = tokens_at.find(place_of(record.key));
  return at != tokens_at.end() && std::any_of(at->second.begin(), at->second.end(), [&](const std::string& name) {
           return tokens.at(name).message.probe_id == record.probe_id;
         });
}

// Whether the stored record says all that this probe found, so that it need not be written.
bool Ledger::State::evidence_stands(const HeldResult& held, const ResultState& after, const Record& record) const {
  const Verdict verdict = record.finding.verdict;
  if (verdict != Verdict::closed && verdict != Verdict::unreachable) return false;
  if (record.full_matrix || !record.arrivals.empty() || !is_at_rest(held.state) || !is_at_rest(after)) return false;
  const auto age = record.started - held.evidence.started;
  if (held.evidence.finding != fingerprint(record) || age < age.zero() || age >= kEvidenceAge) return false;
  return !has_own_token(record);
}

// -- probes --

Change Ledger::apply(const Record& given, std::optional<Time> neighbour) {
  State& state = *state_;
  Record record = given;
  std::optional<HeldResult> held = state.find(record.key);
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
  Change change = judgement.change;
  if (held && state.evidence_stands(*held, judgement.state, record)) {
    state.take(*std::move(held), std::move(judgement), record.started, true);
    return change;
  }
  HeldResult next = held ? *std::move(held) : HeldResult{state.next_result++, {}};
  // While a case is open, a probe that could not tell does not push aside the evidence of the yes.
  const Verdict verdict = record.finding.verdict;
  const bool proves_less = judgement.state.case_id && verdict < Verdict::accepted;
  const bool whole = state.put_evidence(next.id, record, true, verdict != Verdict::closed && !proves_less);
  next.evidence = {whole ? fingerprint(record) : 0U, record.started};
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
  const std::optional<HeldResult> held = state.find(key);
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
  state.dirty.heartbeats.erase(id);
  state.dirty.forgotten.insert({id, {key, state.options.now()}});
  state.settle_tokens(key);
  return change;
}

}  // namespace ajar
