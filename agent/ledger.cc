#include "agent/ledger.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "agent/json.h"
#include "agent/judge.h"
#include "agent/ledger_store.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxLate = 20;
// Evidence that waits for a disk with room: past this, transcripts are left out.
constexpr std::size_t kMaxWaiting = 64 * 1024 * 1024;

using CountKey = std::pair<std::string, std::string>;  // check, owner

// Whom a token is about, whatever the target is called now.
using PlaceKey = std::tuple<IpAddress, std::uint16_t, Transport, std::string>;

PlaceKey place_of(const ResultKey& key) { return {key.address, key.port, key.transport, key.check}; }

// Serialised records that the database does not have yet. Null: unchanged.
constexpr auto kListingRetention = std::chrono::hours(24 * 30);  // of what nobody asks any more

struct Waiting {
  std::shared_ptr<const std::string> latest, not_closed;
};

// What is not in the database yet.
struct Dirty {
  std::set<ResultKey> results;
  std::set<std::int64_t> forgotten;  // results
  std::set<std::string> cases;       // those that are gone are deleted
  std::set<std::string> tokens;      // likewise
  std::set<CountKey> counts;
  std::set<std::string> cursors;
  std::map<ListingKey, std::optional<Listing>> listings;  // nullopt: to be deleted
  std::set<SuspicionKey> suspicions;                      // those that are gone are deleted
  bool paused = false;
  bool empty() const {
    return suspicions.empty() && listings.empty() && results.empty() && forgotten.empty() && cases.empty() && tokens.empty() &&
           counts.empty() && cursors.empty() && !paused;
  }
};

// What readers see. Written under the mutex by the loop thread, which may therefore read it without.
struct Visible {
  std::map<ResultKey, HeldResult> results;
  std::map<std::string, Case> cases;
  std::map<CountKey, CaseCount> counts;
  std::map<SuspicionKey, Suspicion> suspicions;
  std::map<std::int64_t, Waiting> waiting;  // shown, but refused by the disk
  bool paused = false;
  bool failing = false;
  std::string failure;
  std::uint64_t version = 0;
};

// What the next flush makes visible. nullopt: gone.
struct Pending {
  std::map<ResultKey, std::optional<HeldResult>> results;
  std::map<std::string, std::optional<Case>> cases;
  std::map<CountKey, CaseCount> counts;
  std::map<SuspicionKey, std::optional<Suspicion>> suspicions;
  std::map<std::int64_t, Waiting> waiting;
  std::set<std::int64_t> forgotten;
  std::optional<bool> paused;
  bool empty() const {
    return results.empty() && cases.empty() && counts.empty() && suspicions.empty() && waiting.empty() && forgotten.empty() &&
           !paused;
  }
};

void overlay(std::map<std::int64_t, Waiting>& onto, std::map<std::int64_t, Waiting>& from) {
  for (auto& [id, waiting] : from) {
    Waiting& place = onto[id];
    if (waiting.latest) place.latest = std::move(waiting.latest);
    if (waiting.not_closed) place.not_closed = std::move(waiting.not_closed);
  }
  from.clear();
}

std::string without_transcript(Record record) {
  record.transcript = {"# not kept: the database could not be written"};
  return serialise(record);
}

}  // namespace

struct Ledger::State {
  explicit State(LedgerOptions given) : options(std::move(given)), store(options.path, options.now()) {}

  LedgerOptions options;
  LedgerStore store;
  mutable std::shared_mutex mutex;  // of `visible`
  Visible visible;

  // Loop thread only.
  Pending pending;
  Dirty dirty;
  std::size_t waiting_bytes = 0;
  std::int64_t next_result = 1;
  std::map<std::string, HeldToken> tokens;
  std::map<PlaceKey, std::vector<std::string>> tokens_at;  // in the order sent
  std::map<ResultKey, std::vector<std::string>> cases_of;  // ids, in the order opened
  std::map<std::string, std::int64_t> cursors;
  std::vector<Listing> listings;   // as loaded
  Time next_expiry = Time::min();  // nothing expires before

  void load();
  void fit_case(ResultState& state) const;
  void restore_result(const Case& exposure);
  const HeldResult* find(const ResultKey& key) const;
  const HeldResult* find_at(const ResultKey& key) const;
  const Case* find_case(const std::string& id) const;
  const Case* last_case(const ResultKey& key) const;
  const Suspicion* find(const SuspicionKey& key) const;
  CaseCount& count(const std::string& check, const std::string& owner);
  HeldResult& edit(const HeldResult& held);
  void add_token(HeldToken token);
  void put_case(const Case& exposure);
  void take(HeldResult held, Judgement judgement);
  void count_change(const Change& change);
  std::optional<std::string> evidence(std::int64_t id, Evidence which);
  std::optional<std::string> shown(const ResultKey& key, Evidence which);  // any thread
  void put_evidence(std::int64_t id, const Record& record, bool latest, bool not_closed);
  template <typename Edit>
  void edit_evidence(HeldResult& held, Edit edit_record);
  std::vector<HeldToken*> arrived_at(const ResultKey& key);
  Change judge_proof(const HeldResult& held, HeldToken& token);
  void add_late(const ResultKey& key, const Proof& proof, const Arrival& arrival);
  void note(const HeldToken& token, const Arrival& arrival);
  std::pair<ArrivalResult, Change> prove(HeldToken& token, const Arrival& arrival);
  bool message_pending(const ResultKey& key) const;
  void settle_tokens(const ResultKey& key);
  void expire_message(HeldToken& token);
  void forget_old(Time now);
  void write();
  void publish(bool written, const std::string& failure);
  void set_failure(const std::string& failure);
  void flush();
};

std::string_view to_string(CaseStatus status) {
  switch (status) {
    case CaseStatus::open:
      return "open";
    case CaseStatus::closed:
      return "closed";
    case CaseStatus::retired:
      return "retired";
  }
  return "open";
}

std::string_view to_string(ArrivalResult result) {
  switch (result) {
    case ArrivalResult::proved:
      return "proved";
    case ArrivalResult::late:
      return "late";
    case ArrivalResult::unknown_token:
      return "unknown_token";
    case ArrivalResult::replayed:
      return "replayed";
    case ArrivalResult::noted:
      return "noted";
  }
  return "noted";
}

// -- opening --

void Ledger::State::load() {
  LedgerStore::Loaded loaded = store.load();
  next_result = loaded.next_result;
  for (auto& exposure : loaded.cases) {
    cases_of[exposure.key].push_back(exposure.id);
    std::string id = exposure.id;
    visible.cases.emplace(std::move(id), std::move(exposure));
  }
  for (auto& [key, ids] : cases_of) {
    std::sort(ids.begin(), ids.end(), [&](const std::string& a, const std::string& b) {
      return visible.cases.at(a).first_seen < visible.cases.at(b).first_seen;
    });
  }
  for (auto& held : loaded.results) {
    ResultKey key = held.state.key;
    visible.results.emplace(std::move(key), std::move(held));
  }
  std::sort(loaded.tokens.begin(), loaded.tokens.end(),
            [](const HeldToken& a, const HeldToken& b) { return a.message.sent < b.message.sent; });
  for (auto& token : loaded.tokens) add_token(std::move(token));
  for (auto& count : loaded.counts) {
    CountKey key(count.check, count.owner);
    visible.counts.emplace(std::move(key), std::move(count));
  }
  cursors.insert(loaded.cursors.begin(), loaded.cursors.end());
  for (Listing& listing : loaded.listings) {
    if (options.now() - listing.checked <= kListingRetention) {
      listings.push_back(std::move(listing));
    } else {
      dirty.listings[{listing.zone, listing.subject}] = std::nullopt;
    }
  }
  for (Suspicion& suspicion : loaded.suspicions) {
    SuspicionKey key = suspicion.key;
    visible.suspicions.emplace(std::move(key), std::move(suspicion));
  }
  visible.paused = loaded.paused;
  for (auto& [key, held] : visible.results) fit_case(held.state);
  for (const auto& [id, exposure] : visible.cases) {
    if (exposure.status == CaseStatus::open && !visible.results.contains(exposure.key)) restore_result(exposure);
  }
}

// A result and its case are written together, so they fit; where another hand changed one, the case decides.
void Ledger::State::fit_case(ResultState& state) const {
  const Case* exposure = last_case(state.key);
  if (exposure && exposure->status == CaseStatus::open) {
    if (state.case_id == exposure->id) return;
    state.case_id = exposure->id;
    state.level = exposure->level;
    state.reason = exposure->reason;
  } else {
    state.case_id.reset();
    if (state.level < Verdict::accepted) return;
    state.level = Verdict::unclear;
    state.reason = Reason::internal_error;
  }
}

// An open case whose result is lost would stay open for ever: its result is due at once.
void Ledger::State::restore_result(const Case& exposure) {
  HeldResult held{next_result++, {}};
  held.state.key = exposure.key;
  held.state.owner = exposure.owner;
  held.state.level = held.state.last_level = exposure.level;
  held.state.reason = held.state.last_reason = exposure.reason;
  held.state.case_id = exposure.id;
  held.state.must_ask = exposure.variants;
  dirty.results.insert(exposure.key);
  visible.results.insert_or_assign(exposure.key, std::move(held));
}

Ledger::Ledger(LedgerOptions options) : state_(std::make_unique<State>(std::move(options))) { state_->load(); }

Ledger::~Ledger() { state_->flush(); }

// -- looking up, loop thread: what is pending hides what is visible --

const HeldResult* Ledger::State::find(const ResultKey& key) const {
  if (const auto found = pending.results.find(key); found != pending.results.end()) {
    return found->second ? &*found->second : nullptr;
  }
  const auto found = visible.results.find(key);
  return found == visible.results.end() ? nullptr : &found->second;
}

// The result of that endpoint and check, also where its target has another name since.
const HeldResult* Ledger::State::find_at(const ResultKey& key) const {
  if (const HeldResult* held = find(key)) return held;
  const PlaceKey place = place_of(key);
  for (const auto& [other, held] : pending.results) {
    if (held && place_of(other) == place) return &*held;
  }
  for (const auto& [other, held] : visible.results) {
    if (place_of(other) == place && !pending.results.contains(other)) return &held;
  }
  return nullptr;
}

const Case* Ledger::State::find_case(const std::string& id) const {
  if (const auto found = pending.cases.find(id); found != pending.cases.end()) return found->second ? &*found->second : nullptr;
  const auto found = visible.cases.find(id);
  return found == visible.cases.end() ? nullptr : &found->second;
}

// The open case of a result, else the one that ended last: never two are open, and an open one is the newest.
const Case* Ledger::State::last_case(const ResultKey& key) const {
  const auto found = cases_of.find(key);
  return found == cases_of.end() || found->second.empty() ? nullptr : find_case(found->second.back());
}

const Suspicion* Ledger::State::find(const SuspicionKey& key) const {
  if (const auto found = pending.suspicions.find(key); found != pending.suspicions.end()) {
    return found->second ? &*found->second : nullptr;
  }
  const auto found = visible.suspicions.find(key);
  return found == visible.suspicions.end() ? nullptr : &found->second;
}

CaseCount& Ledger::State::count(const std::string& check, const std::string& owner) {
  CountKey key(check, owner);
  dirty.counts.insert(key);
  const auto shown = visible.counts.find(key);
  const auto [place, fresh] = pending.counts.try_emplace(std::move(key));
  if (fresh) {
    if (shown != visible.counts.end()) {
      place->second = shown->second;
    } else {
      place->second.check = check;
      place->second.owner = owner;
    }
  }
  return place->second;
}

// -- changing --

// The pending copy of a result; what is changed there becomes visible with the next flush.
HeldResult& Ledger::State::edit(const HeldResult& held) {
  const ResultKey key = held.state.key;
  dirty.results.insert(key);
  auto& place = pending.results[key];
  if (!place || &*place != &held) place = held;
  return *place;
}

void Ledger::State::add_token(HeldToken token) {
  next_expiry = std::min(next_expiry, token.message.sent + std::min(options.delivery_timeout, options.token_retention));
  auto& at = tokens_at[place_of(token.message.key)];
  if (!tokens.contains(token.message.token)) at.push_back(token.message.token);
  std::string name = token.message.token;
  tokens.insert_or_assign(std::move(name), std::move(token));
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

void Ledger::State::take(HeldResult held, Judgement judgement) {
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
  Waiting& waiting = pending.waiting[id];
  if (latest) waiting.latest = text;
  if (not_closed) waiting.not_closed = text;
}

// Changes the stored records of a result where `edit_record` says that it did.
template <typename Edit>
void Ledger::State::edit_evidence(HeldResult& held, Edit edit_record) {
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

std::vector<HeldToken*> Ledger::State::arrived_at(const ResultKey& key) {
  std::vector<HeldToken*> arrived;
  const auto at = tokens_at.find(place_of(key));
  if (at == tokens_at.end()) return arrived;
  for (const auto& name : at->second) {
    HeldToken& token = tokens.at(name);
    if (token.message.arrived) arrived.push_back(&token);
  }
  return arrived;
}

namespace {

Proof proof_of(const HeldToken& token) {
  return {token.message.variant,
          token.message.probe_id,
          token.message.sent,
          token.message.arrived.value_or(token.message.sent),
          token.peer,
          token.reason};
}

}  // namespace

Change Ledger::State::judge_proof(const HeldResult& held, HeldToken& token) {
  const Proof proof = proof_of(token);
  Judgement judgement = judge(held.state, last_case(held.state.key), proof, options.reopen_within);
  Change change = judgement.change;
  token.judged = true;
  dirty.tokens.insert(token.message.token);
  HeldResult next = held;
  next.state = judgement.state;
  edit_evidence(next, [&](Record& record) {
    add_proof(record, proof);
    return true;
  });
  judgement.state = next.state;
  take(std::move(next), std::move(judgement));
  return change;
}

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
  state.take(std::move(next), std::move(judgement));
  change.opened = change.opened || earlier.opened;
  change.reopened = change.reopened || earlier.reopened;
  if (!change.exposure) change.exposure = earlier.exposure;
  return change;
}

// -- arrivals --

// Evidence of the case that the token was sent in, or the newest before.
void Ledger::State::add_late(const ResultKey& key, const Proof& proof, const Arrival& arrival) {
  const auto found = cases_of.find(key);
  if (found == cases_of.end()) return;
  for (auto id = found->second.rbegin(); id != found->second.rend(); ++id) {
    const Case* exposure = find_case(*id);
    if (!exposure || exposure->first_seen > proof.sent) continue;
    if (exposure->late.size() >= kMaxLate) return;
    Case next = *exposure;
    next.late.push_back(fmt::format("what {} sent at {} arrived at {} from {}", proof.variant, to_rfc3339(proof.sent),
                                    to_rfc3339(arrival.time), proof.peer.to_string()));
    put_case(next);
    return;
  }
}

// Something came that proves nothing, for a token we know: said beside the verdict.
void Ledger::State::note(const HeldToken& token, const Arrival& arrival) {
  const HeldResult* held = find_at(token.message.key);
  if (!held) return;
  HeldResult next = *held;
  edit_evidence(next, [&](Record& record) {
    auto& observations = record.finding.observations;
    const std::string text = fmt::format("something that proves nothing came back for {} from {}{}{}", token.message.variant,
                                         arrival.peer.address.to_string(), arrival.facts.empty() ? "" : ": ",
                                         arrival.facts.empty() ? "" : arrival.facts.front());
    if (observations.size() >= kMaxLate || std::find(observations.begin(), observations.end(), text) != observations.end())
      return false;
    observations.push_back(text);
    return true;
  });
  edit(next);
}

std::pair<ArrivalResult, Change> Ledger::State::prove(HeldToken& token, const Arrival& arrival) {
  token.message.arrived = arrival.time;
  token.peer = arrival.peer.address;
  // By how it came, not by what was asked for: a message that was refused after DATA (not_sent) may be delivered all the same,
  // and a tunnel may lead to the canary's mail side.
  token.reason = arrival.message ? Reason::message_delivered : Reason::token_returned;
  dirty.tokens.insert(token.message.token);
  const HeldResult* held = find_at(token.message.key);
  if (held && is_late(held->state, token.message.sent)) {
    token.judged = true;
    add_late(held->state.key, proof_of(token), arrival);
    return {ArrivalResult::late, {}};
  }
  if (held) return {ArrivalResult::proved, judge_proof(*held, token)};
  // Its result was retired since, or its first probe is still under way.
  if (token.judged) {
    add_late(token.message.key, proof_of(token), arrival);
    return {ArrivalResult::late, {}};
  }
  return {ArrivalResult::proved, {}};
}

namespace {

bool is_about_mail(std::string_view check) { return check.starts_with("smtp") || check == "backscatter"; }

}  // namespace

std::pair<ArrivalResult, Change> Ledger::apply(const Arrival& arrival) {
  const auto found = state_->tokens.find(arrival.token);
  const bool known = found != state_->tokens.end();
  if (!arrival.proof) {
    if (known) state_->note(found->second, arrival);
    return {ArrivalResult::noted, {}};
  }
  if (!known) return {ArrivalResult::unknown_token, {}};
  // The token of a message stands in it for everybody to read: only that message proves that it was carried.
  if (is_about_mail(found->second.message.key.check) && !arrival.message) {
    state_->note(found->second, arrival);
    return {ArrivalResult::noted, {}};
  }
  if (found->second.message.arrived) return {ArrivalResult::replayed, {}};
  auto result = state_->prove(found->second, arrival);
  state_->flush();
  return result;
}

// -- messages --

Permit Ledger::ask_to_send(const Message& asked) {
  State& state = *state_;
  Message message = asked;
  const Time now = state.options.now();
  if (message.sent == Time{}) message.sent = now;
  if (const auto at = state.tokens_at.find(place_of(message.key)); at != state.tokens_at.end()) {
    for (auto name = at->second.rbegin(); name != at->second.rend(); ++name) {
      const HeldToken& token = state.tokens.at(*name);
      if (!token.mail || token.message.variant_class != message.variant_class) continue;
      if (!token.message.arrived && !token.message.expired && token.message.sent + state.options.delivery_timeout > now) {
        return Permit::pending;
      }
      if (token.message.sent + state.options.message_interval > now) return Permit::recently_sent;
    }
  }
  const HeldToken token{message, true, false, {}, Reason::message_delivered};
  try {
    state.store.transaction(true, [&] { state.store.put(token); });
  } catch (const DatabaseError& error) {
    state.set_failure(error.what());
    return Permit::canary_down;
  }
  state.add_token(token);
  return Permit::granted;
}

void Ledger::not_sent(const std::string& token) {
  const auto found = state_->tokens.find(token);
  if (found == state_->tokens.end() || found->second.message.arrived) return;
  found->second.mail = false;
  state_->dirty.tokens.insert(token);
}

void Ledger::remember(const Message& asked) {
  if (state_->tokens.contains(asked.token)) return;
  Message message = asked;
  if (message.sent == Time{}) message.sent = state_->options.now();
  state_->dirty.tokens.insert(message.token);
  state_->add_token({message, false, false, {}, Reason::token_returned});
}

bool Ledger::State::message_pending(const ResultKey& key) const {
  const auto at = tokens_at.find(place_of(key));
  if (at == tokens_at.end()) return false;
  return std::any_of(at->second.begin(), at->second.end(), [&](const std::string& name) {
    const HeldToken& token = tokens.at(name);
    return token.mail && !token.message.arrived && !token.message.expired;
  });
}

// The deadline of a message passed: where nothing else is on its way, its result has no proof.
void Ledger::State::expire_message(HeldToken& token) {
  token.message.expired = true;
  dirty.tokens.insert(token.message.token);
  const HeldResult* held = find_at(token.message.key);
  if (!held || message_pending(token.message.key)) return;
  const std::string because =
      fmt::format("it took our message, but nothing arrived within {} s", options.delivery_timeout.count() / 1000);
  HeldResult next = *held;
  edit_evidence(next, [&](Record& record) { return expire_proof(record, because); });
  if (next.state.reason == Reason::token_pending) {
    next.state.reason = Reason::no_proof;
    next.state.because = because;
  }
  if (const Case* exposure = last_case(next.state.key);
      exposure && exposure->status == CaseStatus::open && exposure->reason == Reason::token_pending) {
    Case changed = *exposure;
    changed.reason = Reason::no_proof;
    put_case(changed);
  }
  edit(next);
}

void Ledger::State::forget_old(Time now) {
  for (auto entry = tokens.begin(); entry != tokens.end();) {
    const HeldToken& token = entry->second;
    // A message is remembered for as long as it keeps the next one back.
    const auto keep = token.mail ? std::max(options.token_retention, options.message_interval) : options.token_retention;
    if (token.message.sent + keep > now) {
      next_expiry = std::min(next_expiry, token.message.sent + keep);
      ++entry;
      continue;
    }
    const auto at = tokens_at.find(place_of(token.message.key));
    std::erase(at->second, entry->first);
    if (at->second.empty()) tokens_at.erase(at);
    dirty.tokens.insert(entry->first);
    entry = tokens.erase(entry);
  }
  for (const auto& [id, exposure] : visible.cases) {
    const Case* current = find_case(id);
    if (!current || current->status == CaseStatus::open || !current->closed) continue;
    if (*current->closed + options.case_retention > now) {
      next_expiry = std::min(next_expiry, *current->closed + options.case_retention);
      continue;
    }
    const auto of = cases_of.find(current->key);
    std::erase(of->second, id);
    if (of->second.empty()) cases_of.erase(of);
    pending.cases[id].reset();
    dirty.cases.insert(id);
  }
  for (const auto& [key, shown] : visible.suspicions) {
    const Suspicion* current = find(key);
    if (current == nullptr) continue;
    if (current->reported + kSuspicionRetention > now) {
      next_expiry = std::min(next_expiry, current->reported + kSuspicionRetention);
      continue;
    }
    pending.suspicions[key].reset();
    dirty.suspicions.insert(key);
  }
}

void Ledger::expire() {
  State& state = *state_;
  const Time now = state.options.now();
  if (now < state.next_expiry) return;
  state.next_expiry = now + std::chrono::hours(1);  // cases that end until then are not much older
  for (auto& [name, token] : state.tokens) {
    if (!token.mail || token.message.arrived || token.message.expired) continue;
    const Time deadline = token.message.sent + state.options.delivery_timeout;
    if (deadline > now) {
      state.next_expiry = std::min(state.next_expiry, deadline);
    } else {
      state.expire_message(token);
    }
  }
  state.forget_old(now);
}

// -- the rest --

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
  state.dirty.forgotten.insert(id);
  state.settle_tokens(key);
  return change;
}

// What comes back for a result that was retired is about the past.
void Ledger::State::settle_tokens(const ResultKey& key) {
  const auto at = tokens_at.find(place_of(key));
  if (at == tokens_at.end() || find_at(key)) return;
  for (const auto& name : at->second) {
    tokens.at(name).judged = true;
    dirty.tokens.insert(name);
  }
}

void Ledger::set_due(const ResultKey& key, Time due) {
  const HeldResult* held = state_->find(key);
  if (held && held->state.due != due) state_->edit(*held).state.due = due;
}

void Ledger::set_paused(bool paused) {
  state_->pending.paused = paused;
  state_->dirty.paused = true;
}

void Ledger::set_options(const LedgerOptions& options) {
  LedgerOptions& ours = state_->options;
  ours.delivery_timeout = options.delivery_timeout;
  ours.token_retention = options.token_retention;
  ours.message_interval = options.message_interval;
  ours.reopen_within = options.reopen_within;
  ours.case_retention = options.case_retention;
  state_->next_expiry = Time::min();
}

void Ledger::keep(const Listing& listing) { state_->dirty.listings[{listing.zone, listing.subject}] = listing; }

void Ledger::forget(const ListingKey& key) { state_->dirty.listings[key] = std::nullopt; }

std::vector<Listing> Ledger::take_listings() { return std::exchange(state_->listings, {}); }

SuspicionKept Ledger::keep(const Suspicion& suspicion) {
  State& state = *state_;
  const Suspicion* held = state.find(suspicion.key);
  if (held != nullptr && held->reported >= suspicion.reported) return SuspicionKept::known;
  // What waits for a flush counts as if it were new: a little too careful.
  const std::size_t count = state.visible.suspicions.size() + state.pending.suspicions.size();
  if (held == nullptr && count >= kMaxSuspicions) return SuspicionKept::full;
  Suspicion kept = suspicion;
  if (held != nullptr) kept.imported = held->imported;
  const SuspicionKept result = held == nullptr ? SuspicionKept::added : SuspicionKept::newer;
  state.pending.suspicions[kept.key] = kept;
  state.dirty.suspicions.insert(kept.key);
  state.next_expiry = std::min(state.next_expiry, kept.reported + kSuspicionRetention);
  return result;
}

void Ledger::set_cursor(const std::string& canary, std::int64_t id) {
  state_->cursors[canary] = id;
  state_->dirty.cursors.insert(canary);
}

std::int64_t Ledger::cursor(const std::string& canary) const {
  const auto found = state_->cursors.find(canary);
  return found == state_->cursors.end() ? 0 : found->second;
}

// -- writing --

void Ledger::State::write() {
  for (const std::int64_t id : dirty.forgotten) store.forget_result(id);
  for (const auto& key : dirty.results) {
    if (const HeldResult* held = find(key)) store.put(*held);
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
      visible.results.insert_or_assign(key, std::move(*held));
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

void Ledger::State::flush() {
  // After a refused message nothing may be dirty: a transaction of nothing but the pause flag tells whether the disk has room
  // again.
  if (visible.failing) dirty.paused = true;
  if (dirty.empty() && pending.empty()) return;
  std::string failure;
  try {
    store.transaction(false, [this] { write(); });
    dirty = {};
    waiting_bytes = 0;
  } catch (const DatabaseError& error) {
    failure = fmt::format("{}: cannot be written: {}", options.path, error.what());
  }
  publish(failure.empty(), failure);
}

void Ledger::flush() { state_->flush(); }

// -- readers --

std::vector<ResultState> Ledger::results() const {
  const std::shared_lock hold(state_->mutex);
  std::vector<ResultState> list;
  list.reserve(state_->visible.results.size());
  for (const auto& [key, held] : state_->visible.results) list.push_back(held.state);
  return list;
}

std::vector<ResultState> Ledger::results_of(const std::string& target) const {
  const std::shared_lock hold(state_->mutex);
  std::vector<ResultState> list;
  const ResultKey first{target, IpAddress(), 0, Transport::tcp, ""};
  const auto& all = state_->visible.results;
  for (auto at = all.lower_bound(first); at != all.end() && at->first.target == target; ++at) list.push_back(at->second.state);
  return list;
}

void Ledger::each_result(const std::function<void(const ResultState&)>& take) const {
  const std::shared_lock hold(state_->mutex);
  for (const auto& [key, held] : state_->visible.results) take(held.state);
}

std::optional<ResultState> Ledger::result(const ResultKey& key) const {
  const std::shared_lock hold(state_->mutex);
  const auto found = state_->visible.results.find(key);
  return found == state_->visible.results.end() ? std::nullopt : std::optional(found->second.state);
}

std::vector<Case> Ledger::cases() const {
  std::vector<Case> list;
  {
    const std::shared_lock hold(state_->mutex);
    list.reserve(state_->visible.cases.size());
    for (const auto& [id, exposure] : state_->visible.cases) list.push_back(exposure);
  }
  std::stable_sort(list.begin(), list.end(), [](const Case& a, const Case& b) { return a.first_seen > b.first_seen; });
  return list;
}

std::optional<Case> Ledger::find_case(const std::string& id) const {
  const std::shared_lock hold(state_->mutex);
  const auto found = state_->visible.cases.find(id);
  return found == state_->visible.cases.end() ? std::nullopt : std::optional(found->second);
}

namespace {

std::optional<Record> read_evidence(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  try {
    return parse_record(*text);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<Record> Ledger::latest(const ResultKey& key) const { return read_evidence(state_->shown(key, Evidence::latest)); }

std::optional<Record> Ledger::latest_not_closed(const ResultKey& key) const {
  return read_evidence(state_->shown(key, Evidence::not_closed));
}

std::vector<CaseCount> Ledger::case_counts() const {
  const std::shared_lock hold(state_->mutex);
  std::vector<CaseCount> list;
  for (const auto& [key, counted] : state_->visible.counts) list.push_back(counted);
  return list;
}

std::vector<Suspicion> Ledger::suspicions() const {
  const std::shared_lock hold(state_->mutex);
  std::vector<Suspicion> list;
  list.reserve(state_->visible.suspicions.size());
  for (const auto& [key, suspicion] : state_->visible.suspicions) list.push_back(suspicion);
  return list;
}

std::vector<Suspicion> Ledger::suspicions_of(const IpAddress& address) const {
  const std::shared_lock hold(state_->mutex);
  std::vector<Suspicion> list;
  const auto& all = state_->visible.suspicions;
  for (auto found = all.lower_bound({address, 0, "", "", ""}); found != all.end() && found->first.address == address; ++found)
    list.push_back(found->second);
  return list;
}

LedgerTotals Ledger::totals() const {
  const std::shared_lock hold(state_->mutex);
  const auto is_open = [](const auto& entry) { return entry.second.status == CaseStatus::open; };
  const auto& cases = state_->visible.cases;
  return {state_->visible.results.size(), static_cast<std::size_t>(std::count_if(cases.begin(), cases.end(), is_open))};
}

bool Ledger::paused() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.paused;
}

bool Ledger::failing() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.failing;
}

std::string Ledger::failure() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.failure;
}

std::uint64_t Ledger::version() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.version;
}

std::vector<std::string> Ledger::notes() const { return state_->store.notes(); }

}  // namespace ajar
