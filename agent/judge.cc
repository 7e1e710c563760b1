#include "agent/judge.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ajar {
namespace {

// A matrix has some hundred variants; exit addresses and observations come from outside.
constexpr std::size_t kMaxVariants = 500;
constexpr std::size_t kMaxExits = 50;
constexpr std::size_t kMaxObservations = 100;

bool says_yes(Verdict verdict) { return verdict >= Verdict::accepted; }

void add_once(std::vector<std::string>& list, const std::string& item, std::size_t limit) {
  if (item.empty() || list.size() >= limit || std::find(list.begin(), list.end(), item) != list.end()) return;
  list.push_back(item);
}

// The variants that every probe must ask from now on: core variants alone would confirm neither a yes of the full matrix nor
// its end.
void keep_asking(ResultState& state, const Finding& finding) {
  for (const auto& variant : finding.variants) {
    if (says_yes(variant.verdict)) add_once(state.must_ask, variant.name, kMaxVariants);
  }
}

void keep_retries(ResultState& state, const Record& record) {
  const Finding& finding = record.finding;
  const bool first = !state.retries_since;
  const bool given_up = !first && record.started - *state.retries_since >= kRetriesGivenUp;
  // A probe in which nothing was asked decided nothing about what was put off before.
  if (finding.retries.empty() && finding.variants.empty() && !given_up) return;
  if (finding.retries.empty() || given_up) {
    state.retries.clear();
    state.retries_since.reset();
    return;
  }
  state.retries = finding.retries;
  if (first) state.retries_since = record.started;
}

// Greylisted and to be asked again unchanged: the answer is still to come, in a probe that belongs to this one.
bool undecided(const Finding& finding) {
  return finding.verdict == Verdict::unclear && finding.reason == Reason::greylisted && !finding.retries.empty();
}

// What a probe says whatever comes of it.
void note_probe(ResultState& state, const Record& record) {
  const Finding& finding = record.finding;
  state.host = record.host;
  state.owner = record.owner;
  state.tls = std::max(record.tls, finding.tls);
  state.last_level = finding.verdict;
  state.last_reason = finding.reason;
  state.last_probe = record.started;
  if (finding.verdict == Verdict::closed || says_yes(finding.verdict)) state.last_conclusive = record.started;
  // Where nothing answered, or all was put off, the matrix was not asked.
  if (record.full_matrix && finding.whole && finding.verdict != Verdict::unreachable && !undecided(finding)) {
    state.last_full_matrix = record.started;
  }
  keep_retries(state, record);
}

void set_level(ResultState& state, Verdict level, Reason reason, std::string because) {
  state.level = level;
  state.reason = reason;
  state.because = std::move(because);
}

void set_level(ResultState& state, const Finding& finding) {
  set_level(state, finding.verdict, finding.reason, finding.because);
  state.change_to.reset();
}

// One probe says so; the next must confirm.
void pend(ResultState& state, const Record& record, Change& change) {
  state.change_to = record.finding.verdict;
  state.change_since = record.started;
  change.confirm = true;
}

void now_closed(ResultState& state, Time since) {
  state.closed_since = since;
  state.must_ask.clear();
}

// Opens a case for what `state` says, or continues the one that ended not long ago.
Case& open_case(ResultState& state, const Case* last_case, Time first_seen, std::chrono::milliseconds reopen_within,
                Change& change) {
  if (last_case && last_case->closed && first_seen - *last_case->closed <= reopen_within) {
    change.exposure = *last_case;
    change.exposure->reopened += 1;
    change.reopened = true;
  } else {
    change.exposure.emplace();
    change.exposure->id = case_id(state.key, first_seen);
    change.exposure->key = state.key;
    change.exposure->first_seen = first_seen;
    change.opened = true;
  }
  Case& exposure = *change.exposure;
  exposure.status = CaseStatus::open;
  exposure.owner = state.owner;
  exposure.closed.reset();
  exposure.how.clear();
  exposure.level = state.level;
  exposure.reason = state.reason;
  state.case_id = exposure.id;
  return exposure;
}

// A probe that said yes, as evidence of the case.
void add_probe(Case& exposure, const Record& record) {
  exposure.owner = record.owner;
  exposure.last_confirmed = std::max(exposure.last_confirmed, record.started);
  for (const auto& variant : record.finding.variants) {
    if (says_yes(variant.verdict)) add_once(exposure.variants, variant.name, kMaxVariants);
  }
  for (const auto& exit : record.finding.exit_addresses) add_once(exposure.exit_addresses, exit, kMaxExits);
  for (const Arrival& arrival : record.arrivals) exposure.arrivals.add(arrival);
}

void close_case(ResultState& state, const Record& record, Change& change) {
  Case& exposure = *change.exposure;
  exposure.owner = record.owner;
  exposure.status = CaseStatus::closed;
  exposure.closed = state.change_since;
  exposure.how = "fixed";
  change.closed = true;
  state.case_id.reset();
}

// Whether everything that said yes in this case was asked again: a `closed` that left one out does not end it. Nobody listening
// answers all of them; what was asked after STARTTLS is answered in clear where STARTTLS is no longer offered.
bool answers_doubts(const ResultState& state, const Finding& finding) {
  if (finding.variants.empty()) return true;  // no conversation: nobody listens, or another protocol
  return std::all_of(state.must_ask.begin(), state.must_ask.end(), [&](const std::string& name) {
    const std::string clear = name.ends_with("+tls") ? name.substr(0, name.size() - 4) : name;
    return std::any_of(finding.variants.begin(), finding.variants.end(), [&](const Variant& variant) {
      return variant.verdict == Verdict::closed && (variant.name == name || variant.name == clear);
    });
  });
}

// Whether so many refused connections in a row are more than a ban of us.
bool nobody_listens(unsigned refusals, Time since, std::optional<Time> neighbour) {
  return refusals >= kRefusalsThatEnd || (neighbour && *neighbour > since);
}

void judge_exposed(ResultState& state, const Case& open, const Record& record, std::optional<Time> neighbour, Change& change) {
  const Finding& finding = record.finding;
  const bool refused = finding.reason == Reason::nobody_listens;
  const unsigned refusals = std::exchange(state.refusals, 0);  // the run goes on, or it is broken
  if (says_yes(finding.verdict)) {
    change.exposure = open;
    change.raised = finding.verdict > state.level;
    if (finding.verdict >= state.level) set_level(state, finding);
    state.change_to.reset();
    change.exposure->level = state.level;
    change.exposure->reason = state.reason;
    add_probe(*change.exposure, record);
    keep_asking(state, finding);
  } else if (finding.verdict != Verdict::closed || !answers_doubts(state, finding)) {
    state.change_to.reset();  // the run of `closed` is broken
  } else if (state.change_to != Verdict::closed || (refusals > 0 && !refused)) {
    pend(state, record, change);  // also the first answer after refused connections: it begins its own run
    state.refusals = refused ? 1 : 0;
  } else if (refused && !nobody_listens(refusals + 1, state.change_since, neighbour)) {
    state.refusals = refusals + 1;
  } else {
    change.exposure = open;
    close_case(state, record, change);
    now_closed(state, state.change_since);
    set_level(state, finding);
  }
}

// The same answer as the judged one, and no case.
void judge_unchanged(ResultState& state, const Record& record, Change& change) {
  set_level(state, state.level, record.finding.reason, record.finding.because);
  const bool closed = state.level == Verdict::closed;
  if (closed && state.change_to != Verdict::closed && !state.must_ask.empty()) {
    // One probe in between said yes, and may have sent a token: whether the door is closed since then needs a confirmed run
    // too.
    pend(state, record, change);
    return;
  }
  if (closed && state.change_to == Verdict::closed) now_closed(state, state.change_since);
  state.change_to.reset();
}

void judge_unexposed(ResultState& state, bool first, const Case* last_case, const Record& record,
                     std::chrono::milliseconds reopen_within, Change& change) {
  const Finding& finding = record.finding;
  if (says_yes(finding.verdict)) keep_asking(state, finding);
  const bool confirmed = state.change_to == finding.verdict;
  if (!first && finding.verdict == state.level) {
    judge_unchanged(state, record, change);
  } else if (!first && !confirmed && finding.verdict != Verdict::open) {
    pend(state, record, change);
  } else {
    const bool earlier = confirmed || state.change_to == Verdict::accepted;
    const Time since = earlier ? state.change_since : record.started;
    set_level(state, finding);
    if (finding.verdict == Verdict::closed) now_closed(state, since);
    if (says_yes(finding.verdict)) add_probe(open_case(state, last_case, since, reopen_within, change), record);
  }
}

}  // namespace

ResultState unjudged(const Record& record) {
  ResultState state;
  state.key = record.key;
  state.host = record.host;
  state.owner = record.owner;
  state.tls = record.tls;
  state.level = state.last_level = Verdict::unclear;
  state.reason = state.last_reason = Reason::internal_error;
  state.last_probe = state.due = record.started;
  return state;
}

Judgement judge(const ResultState* before, const Case* last_case, const Record& record, std::chrono::milliseconds reopen_within,
                std::optional<Time> neighbour) {
  Judgement judgement{before ? *before : unjudged(record), {}};
  ResultState& state = judgement.state;
  judgement.change.owner = record.owner;
  note_probe(state, record);
  judgement.change.retry = !record.finding.retries.empty() && !state.retries.empty();
  // Once the tokens of such a series were given up, the next one that is put off confirms that nothing can be said.
  const bool given_up_before = state.change_to == Verdict::unclear;
  if (before && undecided(record.finding) && judgement.change.retry && !given_up_before) return judgement;
  if (state.case_id && last_case && last_case->id == *state.case_id) {
    judge_exposed(state, *last_case, record, neighbour, judgement.change);
  } else {
    judge_unexposed(state, before == nullptr, last_case, record, reopen_within, judgement.change);
  }
  return judgement;
}

Judgement judge(const ResultState& before, const Case* last_case, const Proof& proof, std::chrono::milliseconds reopen_within) {
  Judgement judgement{before, {}};
  ResultState& state = judgement.state;
  Change& change = judgement.change;
  change.owner = state.owner;
  const Verdict level_before = state.level;
  set_level(state, Verdict::open, proof.reason,
            fmt::format("what {} sent came back to our canary from {}", proof.variant, proof.peer.to_string()));
  // A `closed` that waits for its second probe goes on waiting: the token says nothing about the time after it was sent.
  if (state.change_to != Verdict::closed) state.change_to.reset();
  if (state.case_id && last_case && last_case->id == *state.case_id) {
    change.exposure = *last_case;
    change.raised = level_before != Verdict::open;
    change.exposure->level = state.level;
    change.exposure->reason = state.reason;
  } else {
    open_case(state, last_case, proof.sent, reopen_within, change);
  }
  Case& exposure = *change.exposure;
  exposure.last_confirmed = std::max(exposure.last_confirmed, proof.arrived);
  add_once(exposure.variants, proof.variant, kMaxVariants);
  add_once(exposure.exit_addresses, proof.peer.to_string(), kMaxExits);
  if (proof.arrival) exposure.arrivals.add(*proof.arrival);
  add_once(state.must_ask, proof.variant, kMaxVariants);
  return judgement;
}

bool is_late(const ResultState& state, Time sent) { return state.closed_since && *state.closed_since > sent; }

void add_proof(Record& record, const Proof& proof) {
  Finding& finding = record.finding;
  const bool own = record.probe_id == proof.probe_id;
  bool raises = own;
  for (auto& variant : finding.variants) {
    if (variant.name != proof.variant || !(own || says_yes(variant.verdict))) continue;
    variant.verdict = Verdict::open;
    variant.reason = proof.reason;
    raises = true;
  }
  const std::string peer = proof.peer.to_string();
  add_once(finding.observations,
           fmt::format("what {} sent at {} arrived at {} from {}", proof.variant, to_rfc3339(proof.sent),
                       to_rfc3339(proof.arrived), peer),
           kMaxObservations);
  if (!raises) return;
  if (proof.arrival && record.arrivals.size() < KeptArrivals::kMost) record.arrivals.push_back(presentable(*proof.arrival));
  add_once(finding.exit_addresses, peer, kMaxExits);
  if (finding.verdict == Verdict::open) return;  // proven already: keep the first reason
  finding.verdict = Verdict::open;
  finding.reason = proof.reason;
  finding.because = fmt::format("what {} sent came back to our canary from {}", proof.variant, peer);
}

bool expire_proof(Record& record, const std::string& because) {
  bool changed = false;
  for (auto& variant : record.finding.variants) {
    if (variant.reason != Reason::token_pending) continue;
    variant.reason = Reason::no_proof;
    changed = true;
  }
  if (record.finding.reason != Reason::token_pending) return changed;
  record.finding.reason = Reason::no_proof;
  record.finding.because = because;
  return true;
}

std::string case_id(const ResultKey& key, Time first_seen) {
  const std::string name = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", key.target, key.address.to_string(), key.port,
                                       static_cast<int>(key.transport), key.check, first_seen.time_since_epoch().count());
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a: the same after every restart
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return fmt::format("{:016x}", hash);
}

}  // namespace ajar
