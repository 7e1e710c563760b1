#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "agent/json.h"
#include "agent/ledger_state.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxLate = 20;

}  // namespace

// -- tokens --

void Ledger::State::add_token(HeldToken token) {
  next_expiry = std::min(next_expiry, token.message.sent + std::min(options.delivery_timeout, options.token_retention));
  auto& at = tokens_at[place_of(token.message.key)];
  if (!tokens.contains(token.message.token)) at.push_back(token.message.token);
  std::string name = token.message.token;
  tokens.insert_or_assign(std::move(name), std::move(token));
}

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

// What comes back for a result that was retired is about the past.
void Ledger::State::settle_tokens(const ResultKey& key) {
  const auto at = tokens_at.find(place_of(key));
  if (at == tokens_at.end() || find_at(key)) return;
  for (const auto& name : at->second) {
    tokens.at(name).judged = true;
    dirty.tokens.insert(name);
  }
}

// -- proofs --

Proof proof_of(const HeldToken& token) {
  return {token.message.variant,
          token.message.probe_id,
          token.message.sent,
          token.message.arrived.value_or(token.message.sent),
          token.peer,
          token.reason,
          token.arrival};
}

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
  take(std::move(next), std::move(judgement), proof.arrived);
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
    if (proof.arrival) next.arrivals.add(*proof.arrival);
    next.late.push_back(fmt::format("what {} sent at {} arrived at {} from {}", proof.variant, to_rfc3339(proof.sent),
                                    to_rfc3339(arrival.time), proof.peer.to_string()));
    put_case(next);
    return;
  }
}

// Something came that proves nothing, for a token we know: said beside the verdict.
void Ledger::State::note(const HeldToken& token, const Arrival& arrival) {
  const std::optional<HeldResult> held = find_at(token.message.key);
  if (!held) return;
  HeldResult next = *held;
  const Arrival shown = without_tokens(arrival, token.message.key);
  edit_evidence(next, [&](Record& record) {
    auto& observations = record.finding.observations;
    const std::string text = fmt::format("something that proves nothing came back for {} from {}{}{}", token.message.variant,
                                         shown.peer.address.to_string(), shown.facts.empty() ? "" : ": ",
                                         shown.facts.empty() ? "" : shown.facts.front());
    if (observations.size() >= kMaxLate || std::find(observations.begin(), observations.end(), text) != observations.end())
      return false;
    observations.push_back(text);
    return true;
  });
  edit(next);
}

// As it may be shown: also the tokens of other variants are hidden, where a server wrote them together with other letters.
Arrival Ledger::State::without_tokens(const Arrival& arrival, const ResultKey& key) const {
  Arrival shown = presentable(arrival);
  const auto at = tokens_at.find(place_of(key));
  if (at == tokens_at.end()) return shown;
  for (std::string& fact : shown.facts) {
    for (const std::string& name : at->second) fact = without_token(fact, name);
  }
  return shown;
}

std::pair<ArrivalResult, Change> Ledger::State::prove(HeldToken& token, const Arrival& arrival) {
  token.message.arrived = arrival.time;
  token.peer = arrival.peer.address;
  token.arrival = std::make_shared<const Arrival>(without_tokens(arrival, token.message.key));
  // By how it came, not by what was asked for: a message that was refused after DATA (not_sent) may be delivered all the same,
  // and a tunnel may lead to the canary's mail side.
  token.reason = arrival.message ? Reason::message_delivered : Reason::token_returned;
  dirty.tokens.insert(token.message.token);
  const std::optional<HeldResult> held = find_at(token.message.key);
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
  const std::optional<HeldResult> held = find_at(token.message.key);
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

// What was said in a case that is forgotten: what its result said since stays.
void Ledger::State::forget_evidence_of(const Case& gone) {
  const std::optional<HeldResult> held = find(gone.key);
  if (!held || !gone.closed || held->state.case_id) return;
  const auto text = evidence(held->id, Evidence::not_closed);
  if (!text) return;
  try {
    if (parse_record(*text).started > *gone.closed) return;
  } catch (const std::runtime_error&) {
    return;  // unreadable: nobody can be shown it
  }
  dirty.old_evidence.insert(held->id);
}

void Ledger::State::forget_old(Time now) {
  dirty.history_before = now - options.case_retention;
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
    forget_evidence_of(*current);
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

}  // namespace ajar
