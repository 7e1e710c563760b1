#include "agent/ledger_store.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include "agent/json.h"

namespace ajar {
namespace {

// A released step is never changed; a change of the schema is a new one.
constexpr Migration kMigrations[] = {{1, R"sql(
CREATE TABLE results(
  id INTEGER PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, host TEXT NOT NULL, owner TEXT NOT NULL, tls TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL,
  because TEXT NOT NULL, change_to TEXT NOT NULL, change_since INTEGER NOT NULL, last_level TEXT NOT NULL,
  last_reason TEXT NOT NULL, last_probe INTEGER NOT NULL, last_conclusive INTEGER, closed_since INTEGER, last_full_matrix INTEGER,
  case_id TEXT NOT NULL, must_ask TEXT NOT NULL, retries TEXT NOT NULL, retries_since INTEGER, due INTEGER NOT NULL);
CREATE TABLE latest(id INTEGER PRIMARY KEY, size INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE not_closed(id INTEGER PRIMARY KEY, size INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE cases(
  id TEXT PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, owner TEXT NOT NULL, status TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL,
  first_seen INTEGER NOT NULL, last_confirmed INTEGER NOT NULL, closed INTEGER, how TEXT NOT NULL, reopened INTEGER NOT NULL,
  variants TEXT NOT NULL, exit_addresses TEXT NOT NULL, late TEXT NOT NULL);
CREATE TABLE tokens(
  token TEXT PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, probe_id TEXT NOT NULL, variant TEXT NOT NULL, variant_class TEXT NOT NULL, sent INTEGER NOT NULL,
  arrived INTEGER, expired INTEGER NOT NULL, mail INTEGER NOT NULL, judged INTEGER NOT NULL, peer TEXT NOT NULL,
  reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counts(
  "check" TEXT NOT NULL, owner TEXT NOT NULL, opened INTEGER NOT NULL, reopened INTEGER NOT NULL, fixed INTEGER NOT NULL,
  retired INTEGER NOT NULL, PRIMARY KEY("check", owner)) WITHOUT ROWID;
CREATE TABLE cursors(canary TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE settings(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
)sql"},
                                     {2, "ALTER TABLE results ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0"},
                                     {3, R"sql(
CREATE TABLE listings(
  zone TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, listed INTEGER NOT NULL, tier TEXT NOT NULL, codes TEXT NOT NULL,
  text TEXT NOT NULL, since INTEGER NOT NULL, checked INTEGER NOT NULL, PRIMARY KEY(zone, kind, subject)) WITHOUT ROWID;
)sql"},
                                     {4, R"sql(
CREATE TABLE suspicions(
  source TEXT NOT NULL, report TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, list TEXT NOT NULL,
  reported INTEGER NOT NULL, imported INTEGER NOT NULL, saw TEXT NOT NULL,
  PRIMARY KEY(source, report, address, port, list)) WITHOUT ROWID;
)sql"},
                                     {5, R"sql(
ALTER TABLE cases ADD COLUMN arrivals TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN arrival TEXT NOT NULL DEFAULT '';
CREATE TABLE history(
  id INTEGER PRIMARY KEY, result INTEGER NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX history_of_result ON history(result);
CREATE INDEX history_by_time ON history(time);
CREATE TABLE retired(
  id INTEGER PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, time INTEGER NOT NULL);
CREATE INDEX retired_by_key ON retired(address, port, transport, "check", target);
)sql"},
                                     {6, R"sql(
ALTER TABLE results ADD COLUMN evidence_finding INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN evidence_started INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN heartbeats_from INTEGER NOT NULL DEFAULT 0;
CREATE TABLE heartbeats(id INTEGER PRIMARY KEY, entries INTEGER NOT NULL, times BLOB NOT NULL);
)sql"}};

constexpr std::int64_t kMaxEvidence = 4 * 1024 * 1024;
constexpr std::int64_t kMaxPortion = std::int64_t{1} << 62;
constexpr std::int64_t kMaxReserved = 4'000'000;  // heartbeats: what the database says of their number is not believed beyond

// A row whose content makes no sense: another program's hand.
struct BadRow {};

template <typename T>
T word(std::optional<T> parsed) {
  if (!parsed) throw BadRow{};
  return *parsed;
}

std::optional<CaseStatus> parse_status(std::string_view name) {
  for (const auto status : {CaseStatus::open, CaseStatus::closed, CaseStatus::retired}) {
    if (to_string(status) == name) return status;
  }
  return std::nullopt;
}

std::string dump(const nlohmann::json& json) { return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

std::string pack(const std::vector<std::string>& list) { return list.empty() ? std::string() : dump(nlohmann::json(list)); }

std::string pack(const std::vector<Retry>& list) {
  if (list.empty()) return {};
  nlohmann::json json = nlohmann::json::array();
  for (const auto& retry : list) json.push_back({retry.variant, retry.token, retry.sender_token});
  return dump(json);
}

std::string pack(const KeptArrivals& arrivals) {
  std::vector<std::string> list;
  for (const Arrival& arrival : arrivals.list()) list.push_back(to_json(arrival).dump());
  return pack(list);
}

std::string pack(const std::vector<DnsblCode>& list) {
  if (list.empty()) return {};
  nlohmann::json json = nlohmann::json::array();
  for (const DnsblCode& code : list) {
    json.push_back({code.code, code.meaning, to_string(code.effect), to_string(code.cause), to_string(code.tier)});
  }
  return dump(json);
}

std::string pack(const std::vector<std::pair<std::string, std::string>>& list) {
  return list.empty() ? std::string() : dump(nlohmann::json(list));
}

template <typename T>
std::vector<T> unpack_as(const std::string& text) {
  if (text.empty()) return {};
  try {
    return nlohmann::json::parse(text).get<std::vector<T>>();
  } catch (const nlohmann::json::exception&) {
    throw BadRow{};
  }
}

std::vector<std::string> unpack(const std::string& text) { return unpack_as<std::string>(text); }

KeptArrivals unpack_arrivals(const std::string& text) {
  KeptArrivals kept;
  for (const auto& item : unpack(text)) {
    try {
      kept.add(parse_arrival(item));
    } catch (const std::runtime_error&) {
      throw BadRow{};
    }
  }
  return kept;
}

std::shared_ptr<const Arrival> unpack_arrival(const std::string& text) {
  if (text.empty()) return nullptr;
  try {
    return std::make_shared<const Arrival>(parse_arrival(text));
  } catch (const std::runtime_error&) {
    throw BadRow{};
  }
}

std::vector<Retry> unpack_retries(const std::string& text) {
  std::vector<Retry> list;
  for (const auto& item : unpack_as<std::vector<std::string>>(text)) {
    if (item.size() != 3) throw BadRow{};
    list.push_back({item[0], item[1], item[2]});
  }
  return list;
}

std::vector<DnsblCode> unpack_codes(const std::string& text) {
  std::vector<DnsblCode> list;
  for (const auto& item : unpack_as<std::vector<std::string>>(text)) {
    if (item.size() != 5 || list.size() >= kMaxDnsblCodes) throw BadRow{};
    list.push_back({item[0], item[1], word(parse_code_effect(item[2])), word(parse_listing_cause(item[3])),
                    word(parse_listing_tier(item[4]))});
  }
  return list;
}

std::optional<DnsblKind> parse_kind(std::string_view name) {
  for (const DnsblKind kind : kDnsblKinds) {
    if (to_string(kind) == name) return kind;
  }
  return std::nullopt;
}

// nullopt: not what Deflater wrote.
std::optional<std::string> inflated(const std::string& bytes, std::int64_t size) {
  if (size < 0 || size > kMaxEvidence) return std::nullopt;
  std::string text(static_cast<std::size_t>(size), '\0');
  uLongf length = text.size();
  const int code =
      ::uncompress(reinterpret_cast<Bytef*>(text.data()), &length, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  if (code != Z_OK || length != text.size()) return std::nullopt;
  return text;
}

void take(ResultState& state, const Heartbeat& heartbeat) {
  state.last_probe = heartbeat.last_probe;
  state.last_conclusive = heartbeat.last_conclusive;
  state.due = heartbeat.due;
}

// The five columns of a key, from `column` on.
void read_key(const Statement& row, int column, ResultKey& key) {
  key.target = row.view(column);
  key.address = word(IpAddress::parse(row.view(column + 1)));
  key.port = static_cast<std::uint16_t>(row.integer(column + 2));
  key.transport = word(parse_transport(row.view(column + 3)));
  key.check = row.view(column + 4);
}

ResultKey read_key(const Statement& row, int column) {
  ResultKey key;
  read_key(row, column, key);
  return key;
}

// Into an object that is used again and again: a start reads a million of them.

void read_result(const Statement& row, HeldResult& held) {
  held.id = row.integer(0);
  ResultState& state = held.state;
  read_key(row, 1, state.key);
  state.host = row.view(6);
  state.owner = row.view(7);
  state.tls = word(parse_tls_mode(row.view(8)));
  state.level = word(parse_verdict(row.view(9)));
  state.reason = word(parse_reason(row.view(10)));
  state.because = row.view(11);
  const std::string_view change_to = row.view(12);
  state.change_to = change_to.empty() ? std::nullopt : std::optional(word(parse_verdict(change_to)));
  state.change_since = row.time(13);
  state.last_level = word(parse_verdict(row.view(14)));
  state.last_reason = word(parse_reason(row.view(15)));
  state.last_probe = row.time(16);
  state.last_conclusive = row.optional_time(17);
  state.closed_since = row.optional_time(18);
  state.last_full_matrix = row.optional_time(19);
  const std::string_view id = row.view(20);
  state.case_id = id.empty() ? std::nullopt : std::optional<std::string>(id);
  state.must_ask = unpack(row.text(21));
  state.retries = unpack_retries(row.text(22));
  state.retries_since = row.optional_time(23);
  state.due = row.time(24);
  state.refusals = static_cast<unsigned>(std::clamp<std::int64_t>(row.integer(25), 0, 1000));
  held.evidence = {static_cast<std::uint32_t>(row.integer(26)), row.time(27)};
}

Case read_case(const Statement& row) {
  Case exposure;
  exposure.id = row.text(0);
  exposure.key = read_key(row, 1);
  exposure.owner = row.text(6);
  exposure.status = word(parse_status(row.text(7)));
  exposure.level = word(parse_verdict(row.text(8)));
  exposure.reason = word(parse_reason(row.text(9)));
  exposure.first_seen = row.time(10);
  exposure.last_confirmed = row.time(11);
  exposure.closed = row.optional_time(12);
  exposure.how = row.text(13);
  exposure.reopened = static_cast<unsigned>(row.integer(14));
  exposure.variants = unpack(row.text(15));
  exposure.exit_addresses = unpack(row.text(16));
  exposure.late = unpack(row.text(17));
  exposure.arrivals = unpack_arrivals(row.text(18));
  return exposure;
}

HeldToken read_token(const Statement& row) {
  HeldToken held;
  Message& message = held.message;
  message.token = row.text(0);
  message.key = read_key(row, 1);
  message.probe_id = row.text(6);
  message.variant = row.text(7);
  message.variant_class = row.text(8);
  message.sent = row.time(9);
  message.arrived = row.optional_time(10);
  message.expired = row.integer(11) != 0;
  held.mail = row.integer(12) != 0;
  held.judged = row.integer(13) != 0;
  held.peer = word(IpAddress::parse(row.text(14)));
  held.reason = word(parse_reason(row.text(15)));
  held.arrival = unpack_arrival(row.text(16));
  return held;
}

Listing read_listing(const Statement& row) {
  Listing listing;
  listing.zone = row.text(0);
  listing.subject = {word(parse_kind(row.text(1))), row.text(2)};
  listing.listed = row.integer(3) != 0;
  listing.tier = word(parse_listing_tier(row.text(4)));
  listing.codes = unpack_codes(row.text(5));
  listing.text = row.text(6);
  listing.since = row.time(7);
  listing.checked = row.time(8);
  return listing;
}

Suspicion read_suspicion(const Statement& row) {
  Suspicion suspicion;
  suspicion.key.source = row.text(0);
  suspicion.key.report = row.text(1);
  if (find_report_type(suspicion.key.report) == nullptr) throw BadRow{};
  suspicion.key.address = word(IpAddress::parse(row.text(2)));
  suspicion.key.port = static_cast<std::uint16_t>(row.integer(3));
  suspicion.key.list = row.text(4);
  suspicion.reported = row.time(5);
  suspicion.imported = row.time(6);
  suspicion.saw = unpack_as<std::pair<std::string, std::string>>(row.text(7));
  if (suspicion.saw.size() > kMaxSaw) throw BadRow{};
  return suspicion;
}

}  // namespace

// Evidence is text that repeats itself: a fifth of it is written, and kept, this way. One after the other: zlib's own quarter
// of a MiB would cost more to fetch each time than the work itself.
class LedgerStore::Deflater {
 public:
  Deflater() {
    if (::deflateInit(&stream_, Z_BEST_SPEED) != Z_OK) throw std::bad_alloc();
  }
  ~Deflater() { ::deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  // Valid until the next.
  std::string_view deflate(std::string_view text) {
    ::deflateReset(&stream_);
    bytes_.resize(::deflateBound(&stream_, text.size()));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream_.avail_in = static_cast<uInt>(text.size());
    stream_.next_out = reinterpret_cast<Bytef*>(bytes_.data());
    stream_.avail_out = static_cast<uInt>(bytes_.size());
    ::deflate(&stream_, Z_FINISH);
    return {bytes_.data(), bytes_.size() - stream_.avail_out};
  }

 private:
  z_stream stream_{};
  std::string bytes_;
};

struct LedgerStore::Statements {
  explicit Statements(Database& database)
      : put_result(database,
                   "INSERT OR REPLACE INTO results VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        put_case(database, "INSERT OR REPLACE INTO cases VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        put_token(database, "INSERT OR REPLACE INTO tokens VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        put_count(database, "INSERT OR REPLACE INTO counts VALUES(?,?,?,?,?,?)"),
        put_latest(database, "INSERT OR REPLACE INTO latest VALUES(?,?,?)"),
        put_not_closed(database, "INSERT OR REPLACE INTO not_closed VALUES(?,?,?)"),
        put_heartbeats(database, "INSERT INTO heartbeats VALUES(?,?,?)"),
        put_cursor(database, "INSERT OR REPLACE INTO cursors VALUES(?,?)"),
        put_setting(database, "INSERT OR REPLACE INTO settings VALUES(?,?)"),
        put_listing(database, "INSERT OR REPLACE INTO listings VALUES(?,?,?,?,?,?,?,?,?)"),
        put_suspicion(database, "INSERT OR REPLACE INTO suspicions VALUES(?,?,?,?,?,?,?,?)"),
        forget_result(database, "DELETE FROM results WHERE id=?"),
        forget_latest(database, "DELETE FROM latest WHERE id=?"),
        forget_not_closed(database, "DELETE FROM not_closed WHERE id=?"),
        forget_heartbeats(database, "DELETE FROM heartbeats WHERE id<?"),
        forget_case(database, "DELETE FROM cases WHERE id=?"),
        forget_token(database, "DELETE FROM tokens WHERE token=?"),
        forget_listing(database, "DELETE FROM listings WHERE zone=? AND kind=? AND subject=?"),
        forget_suspicion(database, "DELETE FROM suspicions WHERE source=? AND report=? AND address=? AND port=? AND list=?"),
        put_history(database, "INSERT INTO history(result,time,level,reason) VALUES(?,?,?,?)"),
        bound_history(
            database,
            "DELETE FROM history WHERE result=?1 AND id<=(SELECT id FROM history WHERE result=?1 ORDER BY id DESC LIMIT 1 "
            "OFFSET ?2)"),
        put_retired(database,
                    "INSERT OR REPLACE INTO retired SELECT ?1,?2,?3,?4,?5,?6,?7 WHERE EXISTS(SELECT 1 FROM history WHERE "
                    "result=?1)"),
        forget_history(database, "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE time<? LIMIT 20000)"),
        forget_retired(database, "DELETE FROM retired WHERE time<?"),
        history(database,
                "SELECT time,level,reason FROM history WHERE time>=? AND result IN (SELECT ? UNION ALL SELECT id FROM retired "
                "WHERE address=? AND port=? AND transport=? AND \"check\"=? AND target=?) ORDER BY id DESC LIMIT ?"),
        latest(database, "SELECT size,record FROM latest WHERE id=?"),
        not_closed(database, "SELECT size,record FROM not_closed WHERE id=?") {}
  Statement put_result, put_case, put_token, put_count, put_latest, put_not_closed, put_heartbeats, put_cursor, put_setting,
      put_listing, put_suspicion;
  Statement forget_result, forget_latest, forget_not_closed, forget_heartbeats, forget_case, forget_token, forget_listing,
      forget_suspicion;
  Statement put_history, bound_history, put_retired, forget_history, forget_retired, history;
  Statement latest, not_closed;
};

LedgerStore::LedgerStore(const std::string& path, Time now) : path_(path), now_(now) {
  if (path != ":memory:") lock_ = std::make_unique<FileLock>(path);
  try {
    try {
      open();
    } catch (const DatabaseError& error) {
      if (!error.corrupt()) throw;
      start_anew(error.what());
    }
  } catch (const DatabaseError& error) {
    throw LedgerError(fmt::format("{}: cannot be used: {}", path, error.what()));
  }
}

LedgerStore::~LedgerStore() = default;

void LedgerStore::start_anew(const std::string& why) {
  statements_.reset();
  database_.reset();
  notes_.push_back(fmt::format("{}: corrupt ({}): moved aside to {}; starting anew, without the earlier results and exposures",
                               path_, why, move_aside(path_, now_)));
  open();
}

void LedgerStore::open() {
  database_ = std::make_unique<Database>(path_, kMigrations);
  const int found = database_->migrated_from();
  const int ours = std::end(kMigrations)[-1].version;
  if (found != 0 && found < ours) notes_.push_back(fmt::format("{}: schema migrated from {} to {}", path_, found, ours));
  statements_ = std::make_unique<Statements>(*database_);
}

// Of a portion; a start reads millions of them.
struct LedgerStore::OldHeartbeat {
  Heartbeat heartbeat;
  std::int64_t portion = 0;
};

// By result, the older before the newer.
std::vector<LedgerStore::OldHeartbeat> LedgerStore::load_heartbeats(Loaded& loaded) {
  std::vector<OldHeartbeat> heartbeats;
  Statement sum(*database_, "SELECT sum(entries) FROM heartbeats");
  sum.start();
  if (sum.step()) heartbeats.reserve(static_cast<std::size_t>(std::clamp<std::int64_t>(sum.integer(0), 0, kMaxReserved)));
  sum.finish();
  Statement rows(*database_, "SELECT id,times FROM heartbeats ORDER BY id");
  rows.start();
  while (rows.step()) {
    const std::int64_t portion = rows.integer(0);
    if (portion <= kMaxPortion) loaded.heartbeats.next = std::max(loaded.heartbeats.next, portion + 1);
    const auto found = unpack_heartbeats(rows.blob(1));
    if (!found || portion > kMaxPortion) {
      ++unreadable_;
      continue;
    }
    for (const Heartbeat& one : *found) heartbeats.push_back({one, portion});
  }
  loaded.heartbeats.entries = heartbeats.size();
  std::sort(heartbeats.begin(), heartbeats.end(), [](const OldHeartbeat& a, const OldHeartbeat& b) {
    return std::pair(a.heartbeat.result, a.portion) < std::pair(b.heartbeat.result, b.portion);
  });
  return heartbeats;
}

// Rows are read by column number: the order of the CREATE TABLE above, spelt out so that a migrated table reads the same.
void LedgerStore::load_results(Loaded& loaded) {
  const std::vector<OldHeartbeat> heartbeats = load_heartbeats(loaded);
  auto newer = heartbeats.begin();
  Statement rows(*database_,
                 "SELECT id,target,address,port,transport,\"check\",host,owner,tls,level,reason,because,change_to,change_since,"
                 "last_level,last_reason,last_probe,last_conclusive,closed_since,last_full_matrix,case_id,must_ask,retries,"
                 "retries_since,due,refusals,evidence_finding,evidence_started,heartbeats_from FROM results ORDER BY id");
  rows.start();
  HeldResult held;
  while (rows.step()) {
    loaded.next_result = std::max(loaded.next_result, rows.integer(0) + 1);
    try {
      read_result(rows, held);
      const std::int64_t from = rows.integer(28);
      if (from > kMaxPortion) throw BadRow{};
      loaded.heartbeats.next = std::max(loaded.heartbeats.next, from);
      while (newer != heartbeats.end() && newer->heartbeat.result < held.id) ++newer;
      for (; newer != heartbeats.end() && newer->heartbeat.result == held.id; ++newer) {
        if (newer->portion >= from) take(held.state, newer->heartbeat);
      }
      loaded.results.put(held);
    } catch (const BadRow&) {
      ++unreadable_;
    }
  }
}

// A number whose history is still there is not used again.
void LedgerStore::load_next_result(Loaded& loaded) {
  Statement numbers(*database_, "SELECT max(result) FROM history UNION ALL SELECT max(id) FROM retired");
  numbers.start();
  while (numbers.step()) loaded.next_result = std::max(loaded.next_result, numbers.integer(0) + 1);
}

void LedgerStore::load_cases(Loaded& loaded) {
  Statement rows(
      *database_,
      "SELECT id,target,address,port,transport,\"check\",owner,status,level,reason,first_seen,last_confirmed,closed,how,"
      "reopened,variants,exit_addresses,late,arrivals FROM cases");
  rows.start();
  while (rows.step()) {
    try {
      loaded.cases.push_back(read_case(rows));
    } catch (const BadRow&) {
      ++unreadable_;
    }
  }
}

void LedgerStore::load_tokens(Loaded& loaded) {
  Statement rows(
      *database_,
      "SELECT token,target,address,port,transport,\"check\",probe_id,variant,variant_class,sent,arrived,expired,mail,judged,"
      "peer,reason,arrival FROM tokens");
  rows.start();
  while (rows.step()) {
    try {
      loaded.tokens.push_back(read_token(rows));
    } catch (const BadRow&) {
      ++unreadable_;
    }
  }
}

void LedgerStore::load_counts(Loaded& loaded) {
  Statement counts(*database_, "SELECT \"check\",owner,opened,reopened,fixed,retired FROM counts");
  counts.start();
  const auto number = [&](int column) { return static_cast<std::uint64_t>(counts.integer(column)); };
  while (counts.step()) {
    loaded.counts.push_back({counts.text(0), counts.text(1), number(2), number(3), number(4), number(5), {}});
  }
  Statement cursors(*database_, "SELECT canary,id FROM cursors");
  cursors.start();
  while (cursors.step()) loaded.cursors.emplace_back(cursors.text(0), cursors.integer(1));
  Statement paused(*database_, "SELECT value FROM settings WHERE name='paused'");
  paused.start();
  loaded.paused = paused.step() && paused.integer(0) != 0;
}

void LedgerStore::load_listings(Loaded& loaded) {
  Statement rows(*database_, "SELECT zone,kind,subject,listed,tier,codes,text,since,checked FROM listings");
  rows.start();
  while (rows.step()) {
    try {
      loaded.listings.push_back(read_listing(rows));
    } catch (const BadRow&) {
      ++unreadable_;
    }
  }
}

void LedgerStore::load_suspicions(Loaded& loaded) {
  Statement rows(*database_, "SELECT source,report,address,port,list,reported,imported,saw FROM suspicions");
  rows.start();
  while (rows.step()) {
    try {
      loaded.suspicions.push_back(read_suspicion(rows));
    } catch (const BadRow&) {
      ++unreadable_;
    }
  }
}

LedgerStore::Loaded LedgerStore::load_all() {
  Loaded loaded;
  unreadable_ = 0;
  load_results(loaded);
  load_next_result(loaded);
  load_cases(loaded);
  load_tokens(loaded);
  load_counts(loaded);
  load_listings(loaded);
  load_suspicions(loaded);
  if (unreadable_ != 0) notes_.push_back(fmt::format("{}: {} rows make no sense and were left out", path_, unreadable_));
  return loaded;
}

LedgerStore::Loaded LedgerStore::load() {
  try {
    try {
      return load_all();
    } catch (const DatabaseError& error) {
      if (!error.corrupt()) throw;
      start_anew(error.what());  // the check at opening is bounded in time: what it did not reach shows here
      return load_all();
    }
  } catch (const DatabaseError& error) {
    throw LedgerError(fmt::format("{}: cannot be read: {}", path_, error.what()));
  }
}

void LedgerStore::transaction(bool durable, const std::function<void()>& write) {
  const std::lock_guard hold(mutex_);
  if (durable) database_->execute("PRAGMA synchronous=FULL");
  try {
    database_->execute("BEGIN IMMEDIATE");
    write();
    database_->execute("COMMIT");
  } catch (...) {
    // Some errors have rolled back already; a failing COMMIT has not.
    if (sqlite3_get_autocommit(database_->handle()) == 0)
      sqlite3_exec(database_->handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    if (durable) sqlite3_exec(database_->handle(), "PRAGMA synchronous=NORMAL", nullptr, nullptr, nullptr);
    throw;
  }
  if (durable) database_->execute("PRAGMA synchronous=NORMAL");
}

void LedgerStore::put(const HeldResult& held, std::int64_t heartbeats_from) {
  const ResultState& state = held.state;
  const std::string address = state.key.address.to_string(), must_ask = pack(state.must_ask), retries = pack(state.retries);
  statements_->put_result.run(
      held.id, state.key.target, address, state.key.port, to_string(state.key.transport), state.key.check, state.host,
      state.owner, to_string(state.tls), to_string(state.level), to_string(state.reason), state.because,
      state.change_to ? to_string(*state.change_to) : std::string_view(), state.change_since, to_string(state.last_level),
      to_string(state.last_reason), state.last_probe, state.last_conclusive, state.closed_since, state.last_full_matrix,
      state.case_id.value_or(""), must_ask, retries, state.retries_since, state.due, state.refusals,
      static_cast<std::int64_t>(held.evidence.finding), held.evidence.started, heartbeats_from);
}

void LedgerStore::put_heartbeats(std::int64_t number, std::span<const Heartbeat> heartbeats) {
  const std::string bytes = ajar::pack(heartbeats);
  statements_->put_heartbeats.run(number, static_cast<std::int64_t>(heartbeats.size()), Blob{bytes});
}

void LedgerStore::forget_heartbeats(std::int64_t before) { statements_->forget_heartbeats.run(before); }

void LedgerStore::put(const Case& exposure) {
  const ResultKey& key = exposure.key;
  const std::string address = key.address.to_string(), variants = pack(exposure.variants),
                    exits = pack(exposure.exit_addresses), late = pack(exposure.late), arrivals = pack(exposure.arrivals);
  statements_->put_case.run(exposure.id, key.target, address, key.port, to_string(key.transport), key.check, exposure.owner,
                            to_string(exposure.status), to_string(exposure.level), to_string(exposure.reason),
                            exposure.first_seen, exposure.last_confirmed, exposure.closed, exposure.how, exposure.reopened,
                            variants, exits, late, arrivals);
}

void LedgerStore::put(const HeldToken& held) {
  const Message& message = held.message;
  const ResultKey& key = message.key;
  const std::string address = key.address.to_string(), peer = held.peer.to_string(),
                    arrival = held.arrival ? to_json(*held.arrival).dump() : std::string();
  statements_->put_token.run(message.token, key.target, address, key.port, to_string(key.transport), key.check,
                             message.probe_id, message.variant, message.variant_class, message.sent, message.arrived,
                             message.expired ? 1 : 0, held.mail ? 1 : 0, held.judged ? 1 : 0, peer, to_string(held.reason),
                             arrival);
}

void LedgerStore::put(const CaseCount& count) {
  const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  statements_->put_count.run(count.check, count.owner, number(count.opened), number(count.reopened), number(count.fixed),
                             number(count.retired));
}

void LedgerStore::put_evidence(std::int64_t result, Evidence which, const std::string& record) {
  Statement& statement = which == Evidence::latest ? statements_->put_latest : statements_->put_not_closed;
  if (!deflater_) deflater_ = std::make_unique<Deflater>();
  statement.run(result, static_cast<std::int64_t>(record.size()), Blob{deflater_->deflate(record)});
}

void LedgerStore::put(const Listing& listing) {
  const std::string codes = pack(listing.codes);
  statements_->put_listing.run(listing.zone, to_string(listing.subject.kind), listing.subject.text, listing.listed ? 1 : 0,
                               to_string(listing.tier), codes, listing.text, listing.since, listing.checked);
}

void LedgerStore::forget_listing(const ListingKey& key) {
  statements_->forget_listing.run(key.first, to_string(key.second.kind), key.second.text);
}

void LedgerStore::put(const Suspicion& suspicion) {
  const SuspicionKey& key = suspicion.key;
  const std::string address = key.address.to_string(), saw = pack(suspicion.saw);
  statements_->put_suspicion.run(key.source, key.report, address, key.port, key.list, suspicion.reported, suspicion.imported,
                                 saw);
}

void LedgerStore::forget_suspicion(const SuspicionKey& key) {
  const std::string address = key.address.to_string();
  statements_->forget_suspicion.run(key.source, key.report, address, key.port, key.list);
}

void LedgerStore::put_cursor(const std::string& canary, std::int64_t id) { statements_->put_cursor.run(canary, id); }

void LedgerStore::put_paused(bool paused) { statements_->put_setting.run("paused", paused ? 1 : 0); }

void LedgerStore::put(std::int64_t result, const LevelChange& change) {
  statements_->put_history.run(result, change.time, to_string(change.level), to_string(change.reason));
  statements_->bound_history.run(result, static_cast<std::int64_t>(kMaxHistory));
}

void LedgerStore::forget_history(Time before) {
  statements_->forget_history.run(before);
  statements_->forget_retired.run(before);
}

void LedgerStore::forget_evidence(std::int64_t result, Evidence which) {
  (which == Evidence::latest ? statements_->forget_latest : statements_->forget_not_closed).run(result);
}

void LedgerStore::forget_result(std::int64_t result, const ResultKey& key, Time when) {
  const std::string address = key.address.to_string();
  statements_->put_retired.run(result, key.target, address, key.port, to_string(key.transport), key.check, when);
  statements_->forget_result.run(result);
  statements_->forget_latest.run(result);
  statements_->forget_not_closed.run(result);
}

void LedgerStore::forget_case(const std::string& id) { statements_->forget_case.run(id); }

void LedgerStore::forget_token(const std::string& token) { statements_->forget_token.run(token); }

std::optional<std::string> LedgerStore::evidence(std::int64_t result, Evidence which) {
  const std::lock_guard hold(mutex_);
  try {
    Statement& statement = which == Evidence::latest ? statements_->latest : statements_->not_closed;
    statement.start(result);
    if (!statement.step()) return std::nullopt;
    const std::int64_t size = statement.integer(0);
    const std::string bytes = statement.blob(1);
    statement.finish();
    return inflated(bytes, size);
  } catch (const DatabaseError&) {
    return std::nullopt;
  }
}

std::vector<LevelChange> LedgerStore::history(std::int64_t result, const ResultKey& key, Time since) {
  const std::lock_guard hold(mutex_);
  std::vector<LevelChange> changes;
  const std::string address = key.address.to_string();
  try {
    Statement& rows = statements_->history;
    rows.start(since, result, address, key.port, to_string(key.transport), key.check, key.target,
               static_cast<std::int64_t>(kMaxHistory));
    while (rows.step()) {
      const auto level = parse_verdict(rows.text(1));
      const auto reason = parse_reason(rows.text(2));
      if (level && reason) changes.push_back({rows.time(0), *level, *reason});
    }
  } catch (const DatabaseError&) {
    return {};
  }
  std::reverse(changes.begin(), changes.end());
  return changes;
}

}  // namespace ajar
