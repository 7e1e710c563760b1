// From probes and arrivals to one judged state: when a change counts, when a case opens and closes. Pure: no clock, no
// database.
//
// - The first verdict of a result counts at once. Afterwards a change counts when a second probe in a row says the same; a
// proof counts
//   at once.
// - A probe that was greylisted says nothing yet (the first of a result apart): the one that asks again with the same tokens
// decides.
// - While a case is open its level only rises, until two probes in a row say `closed`. `unreachable` and `unclear` say nothing
// about it.
// - A refused connection may be a ban of us alone (fail2ban's REJECT) that passes. It ends a case only when another port of the
// address took a connection since the refusals began, or with the kRefusalsThatEnd-th in a row.
// - A token proves the time it was sent. It changes the state unless a confirmed `closed` began after that.
#pragma once

#include <memory>

#include "agent/ledger.h"
#include "agent/record.h"

namespace ajar {

// Variants that were put off are asked again with the same token and sender for this long; then they start afresh.
inline constexpr std::chrono::hours kRetriesGivenUp{4};

// The first, its confirmation after retry_interval, and two more at the result's own places: one and a half intervals at least.
inline constexpr unsigned kRefusalsThatEnd = 4;

struct Judgement {
  ResultState state;
  Change change;  // exposure: the case concerned, when it changed
};

// A token of ours that came back.
struct Proof {
  std::string variant;
  std::string probe_id;  // of the probe that sent it
  Time sent{};
  Time arrived{};
  IpAddress peer;  // who delivered it
  Reason reason = Reason::message_delivered;
  std::shared_ptr<const Arrival> arrival = nullptr;  // what the canary saw of it, where that is known
};

// What a probe changes. `before`: null for the first. `last_case`: the open case of this result, else the one that ended last,
// else null; a case that opens within `reopen_within` of its end continues it. `neighbour`: when another port of the address
// last took a connection.
Judgement judge(const ResultState* before, const Case* last_case, const Record& record, std::chrono::milliseconds reopen_within,
                std::optional<Time> neighbour = {});
// What a proof changes. Not for a proof that is_late().
Judgement judge(const ResultState& before, const Case* last_case, const Proof& proof, std::chrono::milliseconds reopen_within);
// The state of a result of which nothing is known yet but who was asked: what judge() of a proof starts from.
ResultState unjudged(const Record& record);

// A confirmed `closed` began after the token was sent: it is evidence of the past.
bool is_late(const ResultState& state, Time sent);

// Adds a proof to the evidence of a probe, its own or a later one of the same result. The verdicts rise where that probe sent
// the token or had said yes to the variant; elsewhere the arrival is only noted.
void add_proof(Record& record, const Proof& proof);
// The deadline for the message passed without it: `token_pending` becomes `no_proof`. False when nothing was pending in it.
bool expire_proof(Record& record, const std::string& because);

// Stable and in URLs: 16 hex digits from whom the case is about and when it began.
std::string case_id(const ResultKey& key, Time first_seen);

}  // namespace ajar
