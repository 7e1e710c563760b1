// The ledger: the judged state of every result, the exposures (cases), the evidence, the tokens that are on their way; in
// memory for readers, in SQLite for the next start. Written by the loop thread only; every const function may be called from
// any thread.
//
// Order that kill -9 may interrupt anywhere: a change is committed before a reader can see it, so nothing that was shown is
// lost. While the disk refuses to take it, readers see it all the same (an open relay is not kept quiet for that) and failing()
// says so.
//
// A heartbeat is no change: that a result at rest (no case open, nothing to confirm, nothing put off) was probed again and
// found as it was. Readers see at once when that was; it is committed with others, `heartbeat_interval` after the first of them
// at the latest. One that kill -9 took away lets last_probe, last_conclusive and due be those of an earlier probe, so that the
// result is probed again a little early. A level, reason, case, proof, token or evidence never waits for it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "agent/kept_arrivals.h"
#include "agent/listing.h"
#include "agent/record.h"
#include "agent/suspicion.h"

namespace ajar {

enum class CaseStatus { open, closed, retired };
std::string_view to_string(CaseStatus);

// An exposure: from the first accepted/open of an endpoint's check to its confirmed end.
struct Case {
  std::string id;  // stable, in URLs
  ResultKey key;
  std::string owner;
  CaseStatus status = CaseStatus::open;
  Verdict level = Verdict::accepted;  // the highest so far while open
  Reason reason{};
  Time first_seen{};
  Time last_confirmed{};       // the last probe or arrival that said accepted or open
  std::optional<Time> closed;  // end
  std::string how;             // "fixed", "retired"; empty while open
  unsigned reopened = 0;
  std::vector<std::string> variants;        // those that said yes
  std::vector<std::string> exit_addresses;  // where proofs came from
  std::vector<std::string> late;            // arrivals after its end: evidence of the past
  KeptArrivals arrivals;                    // the canary's side of its proofs, the late ones too
};

// What is known of one result now.
struct ResultState {
  ResultKey key;
  std::string host;
  std::string owner;
  TlsMode tls = TlsMode::none;
  Verdict level{};  // judged: contract of ajar_exposure_level
  Reason reason{};
  std::string because;
  std::optional<Verdict> change_to;  // one probe said so; a second must confirm
  Time change_since{};               // when the first probe of that change started
  unsigned refusals = 0;             // connections refused in a row, of that change to `closed`, while a case is open
  Verdict last_level{};              // the last probe, raw
  Reason last_reason{};
  Time last_probe{};                    // start of the last probe
  std::optional<Time> last_conclusive;  // start of the last probe that said closed, accepted or open
  std::optional<Time> closed_since;     // start of the first probe of the latest confirmed run of `closed`; kept when that ends
  std::optional<Time> last_full_matrix;
  std::optional<std::string> case_id;  // of the open case
  std::vector<std::string> must_ask;  // variants that every probe must ask: they said yes, and no confirmed `closed` came since
  std::vector<Retry> retries;         // put off; asked again unchanged
  std::optional<Time> retries_since;  // when the first of them was put off: given up after 4 h
  Time due{};                         // next probe, as the scheduler last said
};

// The judged level of a result changed, or was known for the first time.
struct LevelChange {
  Time time{};  // of the probe or arrival that decided
  Verdict level{};
  Reason reason{};
  friend bool operator==(const LevelChange&, const LevelChange&) = default;
};
inline constexpr std::size_t kMaxHistory = 64;  // changes kept of one result

// A message on its way, or one that was.
struct Message {
  std::string token;
  ResultKey key;
  std::string probe_id;
  std::string variant;
  std::string variant_class;
  Time sent{};
  std::optional<Time> arrived;
  bool expired = false;  // delivery_timeout passed without it
};

struct LedgerOptions {
  std::string path;  // ":memory:" in tests
  WallClock now = wall_now;
  std::chrono::milliseconds delivery_timeout{std::chrono::minutes(15)};
  std::chrono::milliseconds token_retention{std::chrono::hours(120)};
  std::chrono::milliseconds message_interval{std::chrono::hours(24)};
  std::chrono::milliseconds reopen_within{std::chrono::hours(24)};  // a case that opens again within this continues
  std::chrono::milliseconds case_retention{std::chrono::hours(24 * 400)};
  std::chrono::milliseconds heartbeat_interval{std::chrono::seconds(15)};  // 0: with every flush
};

// What applying something changed: for counters, logs and the scheduler.
struct Change {
  bool opened = false, reopened = false, raised = false, closed = false;
  bool confirm = false;  // a second probe is wanted after retry_interval
  bool retry = false;    // what was put off is to be asked again, unchanged, after retry_interval
  std::string owner;
  std::optional<Case> exposure;  // the case concerned, after the change
};

// What an arrival turned out to be: the label of ajar_canary_arrivals_total. `noted`: something that proves nothing came
// (Arrival::proof is false), so it is none of the four and not counted there.
enum class ArrivalResult { proved, late, unknown_token, replayed, noted };
std::string_view to_string(ArrivalResult);

// Counters that survive a restart (ajar_exposures_*).
struct CaseCount {
  std::string check, owner;
  std::uint64_t opened = 0, reopened = 0, fixed = 0, retired = 0;
  std::vector<double> durations;  // seconds of cases closed since this start
};

// What became of a suspicion: `known` was held already, or a later one; `full`: kMaxSuspicions others are held.
enum class SuspicionKept { added, newer, known, full };

struct LedgerTotals {
  std::size_t results = 0, open_cases = 0;
};

// The database cannot be used at all; what() says why and what to do ("locked by another agent (pid 123)").
class LedgerError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
// Another agent has it.
class LedgerLocked : public LedgerError {
  using LedgerError::LedgerError;
};

class Ledger {
 public:
  // Opens and locks the database, migrates its schema forward, loads the state. A corrupt file is moved aside to
  // "PATH.corrupt-TIME" and a new one started; notes() says so. LedgerError: locked by another agent, newer schema, unwritable
  // folder.
  explicit Ledger(LedgerOptions options);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // -- loop thread --
  // Judges a probe: contract §1 "From many variants to one verdict". `neighbour`: when another port of its address last took a
  // connection.
  Change apply(const Record& record, std::optional<Time> neighbour = {});
  // Judges an arrival; `change` is what it did to its result. A proof is committed before this returns (what is pending with
  // it): the server that delivered it will not come again. One that outruns its own probe's first record is kept and judged
  // with that record.
  std::pair<ArrivalResult, Change> apply(const Arrival& arrival);
  // Whether a message may be sent; `granted` has been committed. Where that fails the answer is canary_down: an arrival could
  // not be attributed after a restart, and the next probe may ask again.
  Permit ask_to_send(const Message& message);
  // The server did not take the message after all: none is on its way, and the next probe may ask again. Should it arrive in
  // spite of that, it proves what it proves.
  void not_sent(const std::string& token);
  // A token that a probe minted for something else than a message (proxies): attributable later. Not committed at once.
  void remember(const Message& message);
  // Messages whose delivery_timeout has passed: marks them, and their results `no_proof`. Old tokens and cases are dropped.
  void expire();
  // Results whose endpoint left the configuration or DNS: their case is retired, the result forgotten.
  Change retire(const ResultKey& key);
  // When its next probe is due. Nothing for a result that was never probed: those are due at once.
  void set_due(const ResultKey& key, Time due);
  void set_paused(bool paused);
  void set_options(const LedgerOptions& options);  // durations only (reload)
  // Commits what is pending, heartbeats when it is time, and lets readers see all of it. Never throws: a failing disk is said
  // by failing() and retried. The destructor commits the heartbeats too.
  void flush();
  // What databases say, kept for the next start; a zone or subject that is not asked any more is forgotten.
  void keep(const Listing& listing);
  void forget(const ListingKey& key);
  std::vector<Listing> take_listings();  // what was kept before this start; once
  // What somebody reported about a server of ours. It replaces what is held of the same key only where it was reported later,
  // so the same report twice changes nothing. Dropped by expire() kSuspicionRetention after it was reported.
  SuspicionKept keep(const Suspicion& suspicion);
  // The cursor of a remote canary's arrivals, kept with what was applied.
  void set_cursor(const std::string& canary, std::int64_t id);
  std::int64_t cursor(const std::string& canary) const;

  // -- any thread: what the last flush() made visible --
  std::vector<ResultState> results() const;  // sorted by key
  std::vector<ResultState> results_of(const std::string& target) const;
  // Calls `take` with each in turn, sorted by key, and copies none: it must be quick, and ask the ledger nothing. The loop can
  // write between any kPortion of them, so a change may be seen in some results and not yet in others; none is seen twice.
  void each_result(const std::function<void(const ResultState&)>& take) const;
  // The same with the open case of each (nullptr: none); after each portion `between` is called, which may take its time.
  using TakeResult = std::function<void(const ResultState&, const Case* open)>;
  void each_result(const TakeResult& take, const std::function<void()>& between) const;
  // Calls `take` with each in turn, under the lock: it must be quick, and ask the ledger nothing.
  void each_case(const std::function<void(const Case&)>& take) const;
  void each_case_count(const std::function<void(const CaseCount&)>& take) const;
  static constexpr std::size_t kPortion = 256;
  std::size_t result_count() const;
  std::optional<ResultState> result(const ResultKey& key) const;
  std::vector<Case> cases() const;  // newest first
  std::optional<Case> find_case(const std::string& id) const;
  // Evidence of the latest probe, and of the latest that was not closed (while a case is open: the latest that said accepted or
  // open). Of a result at rest that is closed or unreachable, the record of an earlier probe stands for those that found the
  // very same since: `started` is that probe's, ResultState::last_probe the latest's. It is replaced by the first that finds
  // anything else, by every full matrix, and once it is kEvidenceAge old.
  std::optional<Record> latest(const ResultKey& key) const;
  std::optional<Record> latest_not_closed(const ResultKey& key) const;
  // How the judged level of a result changed, newest last: the latest kMaxHistory changes within case_retention, also those of
  // before it was retired. Read from the database; what a failing disk refused is not there.
  std::vector<LevelChange> history(const ResultKey& key) const;
  static constexpr std::chrono::hours kEvidenceAge{24};
  std::vector<CaseCount> case_counts() const;
  std::vector<Suspicion> suspicions() const;  // by address
  std::vector<Suspicion> suspicions_of(const IpAddress& address) const;
  LedgerTotals totals() const;
  bool paused() const;
  bool failing() const;                    // the last write failed (disk full): probing and serving go on
  std::string failure() const;             // its message
  std::uint64_t version() const;           // rises with every visible change
  std::vector<std::string> notes() const;  // what happened at opening: migrated, moved aside

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ajar
