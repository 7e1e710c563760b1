// What lies behind a Ledger, for its own files alone: ledger.cc (opening, reading), ledger_cases.cc (probes, cases, evidence),
// ledger_arrivals.cc (tokens and what came back), ledger_flush.cc (what becomes visible and is written).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/judge.h"
#include "agent/ledger.h"
#include "agent/ledger_store.h"

namespace ajar {

using CountKey = std::pair<std::string, std::string>;  // check, owner

// Whom a token is about, whatever the target is called now.
using PlaceKey = std::tuple<IpAddress, std::uint16_t, Transport, std::string>;

inline PlaceKey place_of(const ResultKey& key) { return {key.address, key.port, key.transport, key.check}; }

// Serialised records that the database does not have yet. Null: unchanged.
struct WaitingEvidence {
  std::shared_ptr<const std::string> latest, not_closed;
};

// What is not in the database yet.
struct LedgerDirty {
  std::set<ResultKey> results;
  std::map<std::int64_t, Heartbeat> heartbeats;                  // by result; of none in `results`
  std::map<std::int64_t, std::pair<ResultKey, Time>> forgotten;  // results: whose, and when
  std::vector<std::pair<std::int64_t, LevelChange>> changes;     // of results, in order
  std::set<std::int64_t> old_evidence;                           // of results: the latest that was not closed is to be deleted
  std::optional<Time> history_before;                            // older changes are to be deleted
  std::set<std::string> cases;                                   // those that are gone are deleted
  std::set<std::string> tokens;                                  // likewise
  std::set<CountKey> counts;
  std::set<std::string> cursors;
  std::map<ListingKey, std::optional<Listing>> listings;  // nullopt: to be deleted
  std::set<SuspicionKey> suspicions;                      // those that are gone are deleted
  bool paused = false;
  // But for heartbeats.
  bool empty() const {
    return suspicions.empty() && listings.empty() && results.empty() && forgotten.empty() && cases.empty() && tokens.empty() &&
           counts.empty() && cursors.empty() && changes.empty() && old_evidence.empty() && !history_before && !paused;
  }
};

// What readers see. Written under the mutex by the loop thread, which may therefore read it without.
struct LedgerVisible {
  ResultTable results;
  std::map<std::string, Case> cases;
  std::map<CountKey, CaseCount> counts;
  std::map<SuspicionKey, Suspicion> suspicions;
  std::map<std::int64_t, WaitingEvidence> waiting;  // shown, but refused by the disk
  bool paused = false;
  bool failing = false;
  std::string failure;
  std::uint64_t version = 0;
};

// What the next flush makes visible. nullopt: gone.
struct LedgerPending {
  std::map<ResultKey, std::optional<HeldResult>> results;
  std::map<std::string, std::optional<Case>> cases;
  std::map<CountKey, CaseCount> counts;
  std::map<SuspicionKey, std::optional<Suspicion>> suspicions;
  std::map<std::int64_t, WaitingEvidence> waiting;
  std::set<std::int64_t> forgotten;
  std::optional<bool> paused;
  bool empty() const {
    return results.empty() && cases.empty() && counts.empty() && suspicions.empty() && waiting.empty() && forgotten.empty() &&
           !paused;
  }
};

// Whether a probe that finds nothing else is no more than a heartbeat.
bool is_at_rest(const ResultState& state);

// What a token that arrived says.
Proof proof_of(const HeldToken& token);

struct Ledger::State {
  explicit State(LedgerOptions given) : options(std::move(given)), store(options.path, options.now()) {}

  LedgerOptions options;
  LedgerStore store;
  mutable std::shared_mutex mutex;  // of `visible`
  LedgerVisible visible;

  // Loop thread only.
  LedgerPending pending;
  LedgerDirty dirty;
  std::size_t waiting_bytes = 0;
  std::int64_t next_result = 1;
  HeartbeatLog heartbeats;
  Time heartbeats_since{};  // when the first came of those that wait
  std::map<std::string, HeldToken> tokens;
  std::map<PlaceKey, std::vector<std::string>> tokens_at;  // in the order sent
  std::map<ResultKey, std::vector<std::string>> cases_of;  // ids, in the order opened
  std::map<std::string, std::int64_t> cursors;
  std::vector<Listing> listings;   // as loaded
  Time next_expiry = Time::min();  // nothing expires before

  void load();
  void fit_cases();
  bool fit_case(ResultState& state) const;  // whether it changed anything
  void restore_result(const Case& exposure);
  std::optional<HeldResult> find(const ResultKey& key) const;
  std::optional<HeldResult> find_at(const ResultKey& key) const;
  const Case* find_case(const std::string& id) const;
  const Case* last_case(const ResultKey& key) const;
  const Suspicion* find(const SuspicionKey& key) const;
  CaseCount& count(const std::string& check, const std::string& owner);
  void edit(const HeldResult& held);
  void beat(const HeldResult& held);
  void add_token(HeldToken token);
  void put_case(const Case& exposure);
  void take(HeldResult held, Judgement judgement, Time when, bool evidence_stands = false);
  bool evidence_stands(const HeldResult& held, const ResultState& after, const Record& record) const;
  bool has_own_token(const Record& record) const;
  void note_change(std::int64_t id, const ResultState* before, const ResultState& after, Time when);
  void forget_evidence_of(const Case& gone);
  void count_change(const Change& change);
  std::optional<std::string> evidence(std::int64_t id, Evidence which);
  std::optional<std::string> shown(const ResultKey& key, Evidence which);                  // any thread
  bool put_evidence(std::int64_t id, const Record& record, bool latest, bool not_closed);  // whether with its transcript
  void edit_evidence(HeldResult& held, const std::function<bool(Record&)>& edit_record);
  std::vector<HeldToken*> arrived_at(const ResultKey& key);
  Change judge_proof(const HeldResult& held, HeldToken& token);
  void add_late(const ResultKey& key, const Proof& proof, const Arrival& arrival);
  void note(const HeldToken& token, const Arrival& arrival);
  Arrival without_tokens(const Arrival& arrival, const ResultKey& key) const;
  std::pair<ArrivalResult, Change> prove(HeldToken& token, const Arrival& arrival);
  bool message_pending(const ResultKey& key) const;
  void settle_tokens(const ResultKey& key);
  void expire_message(HeldToken& token);
  void forget_old(Time now);
  bool heartbeats_are_due(bool closing) const;
  void write(bool with_heartbeats);
  void write_heartbeats();
  void write_all_heartbeats();
  void publish(bool written, const std::string& failure);
  void set_failure(const std::string& failure);
  void flush(bool closing = false);
};

}  // namespace ajar
