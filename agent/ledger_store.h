// The ledger's rows in SQLite: what is kept for the next start. Loop thread, besides evidence() and history(), which any thread
// may call.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/database.h"
#include "agent/ledger.h"
#include "agent/result_table.h"

namespace ajar {

// A token that may come back.
struct HeldToken {
  Message message;
  bool mail = false;                                 // a message was sent for it; otherwise only remembered
  bool judged = false;                               // its arrival has been applied to a result
  IpAddress peer;                                    // who delivered it, once arrived
  Reason reason = Reason::message_delivered;         // what its arrival proves
  std::shared_ptr<const Arrival> arrival = nullptr;  // once arrived, as it may be shown
};

enum class Evidence { latest, not_closed };

// The heartbeats in the database: a list of portions, each with a number above those before. The last of a result counts.
struct HeartbeatLog {
  std::int64_t next = 1;    // number of the next portion
  std::size_t entries = 0;  // in all portions
};

class LedgerStore {
 public:
  // Opens, moves aside what is corrupt, migrates. LedgerError.
  LedgerStore(const std::string& path, Time now);
  ~LedgerStore();

  struct Loaded {
    ResultTable results;
    std::vector<Case> cases;
    std::vector<HeldToken> tokens;
    std::vector<CaseCount> counts;
    std::vector<Listing> listings;
    std::vector<Suspicion> suspicions;
    std::vector<std::pair<std::string, std::int64_t>> cursors;
    bool paused = false;
    std::int64_t next_result = 1;
    HeartbeatLog heartbeats;
  };
  // All but the evidence. A row that makes no sense is left out and said in notes().
  Loaded load();

  // Runs `write` (calls of put and forget) as one transaction; `durable`: on the disk, not only in the operating system's
  // hands, when this returns. DatabaseError: nothing of it was written.
  void transaction(bool durable, const std::function<void()>& write);
  // Heartbeats of portions before the number `heartbeats_from` are older than this.
  void put(const HeldResult& result, std::int64_t heartbeats_from);
  void put_heartbeats(std::int64_t number, std::span<const Heartbeat> heartbeats);
  void forget_heartbeats(std::int64_t before);
  void put(const Case& exposure);
  void put(const HeldToken& token);
  void put(const CaseCount& count);
  void put_evidence(std::int64_t result, Evidence which, const std::string& record);
  void put(const Listing& listing);
  void forget_listing(const ListingKey& key);
  void put(const Suspicion& suspicion);
  void forget_suspicion(const SuspicionKey& key);
  void put_cursor(const std::string& canary, std::int64_t id);
  void put_paused(bool paused);
  // The latest kMaxHistory of a result stay.
  void put(std::int64_t result, const LevelChange& change);
  void forget_history(Time before);  // some at a time: a fleet is first seen within an hour
  // Its evidence too. Its history stays, under its key.
  void forget_result(std::int64_t result, const ResultKey& key, Time when);
  void forget_evidence(std::int64_t result, Evidence which);
  void forget_case(const std::string& id);
  void forget_token(const std::string& token);

  // The serialised record; nullopt when there is none, or it cannot be read.
  std::optional<std::string> evidence(std::int64_t result, Evidence which);
  // Of the result with that number, and of those that had its key before they were retired; newest last.
  std::vector<LevelChange> history(std::int64_t result, const ResultKey& key, Time since);
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Statements;
  class Deflater;
  void open();
  void start_anew(const std::string& why);
  struct OldHeartbeat;
  std::vector<OldHeartbeat> load_heartbeats(Loaded& loaded);
  void load_results(Loaded& loaded);
  void load_next_result(Loaded& loaded);
  void load_cases(Loaded& loaded);
  void load_tokens(Loaded& loaded);
  void load_counts(Loaded& loaded);
  void load_listings(Loaded& loaded);
  void load_suspicions(Loaded& loaded);
  Loaded load_all();
  std::string path_;
  Time now_;
  std::unique_ptr<FileLock> lock_;
  std::mutex mutex_;  // the connection: a transaction, or one reading of evidence or history
  std::unique_ptr<Database> database_;
  std::unique_ptr<Statements> statements_;
  std::unique_ptr<Deflater> deflater_;  // made when it is needed
  std::vector<std::string> notes_;
  std::size_t unreadable_ = 0;
};

}  // namespace ajar
