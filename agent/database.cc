#include "agent/database.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/ledger.h"

namespace ajar {
namespace {

constexpr std::int64_t kApplicationId = 0x616a6172;  // "ajar": tells our file from another program's
// A sound check of a large file must not keep the agent from starting; what it does not reach is found when it is read.
constexpr std::chrono::seconds kQuickCheckLimit{3};

[[noreturn]] void fail(sqlite3* handle, int code) {
  throw DatabaseError(code, handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
}

int past_limit(void* until) {
  return std::chrono::steady_clock::now() > *static_cast<const std::chrono::steady_clock::time_point*>(until) ? 1 : 0;
}

}  // namespace

bool DatabaseError::corrupt() const { return (code_ & 0xff) == SQLITE_CORRUPT || (code_ & 0xff) == SQLITE_NOTADB; }

FileLock::FileLock(const std::string& path) {
  const std::string name = path + ".lock";
  fd_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    throw LedgerError(fmt::format("{}: cannot be made: {}; its folder must exist and be writable", name,
                                  std::generic_category().message(errno)));
  }
  char pid[32] = {};
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const bool read = ::pread(fd_, pid, sizeof pid - 1, 0) > 0;
    ::close(fd_);
    if (error != EWOULDBLOCK)
      throw LedgerError(fmt::format("{}: cannot be locked: {}", name, std::generic_category().message(error)));
    pid[std::strcspn(pid, "\n")] = '\0';
    throw LedgerLocked(fmt::format("{}: locked by another agent (pid {}); stop it or give this one another `state`", path,
                                   read ? pid : "unknown"));
  }
  // For the message above only: a full disk may refuse it.
  const std::string own = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, own.data(), own.size(), 0) < 0) errno = 0;
}

FileLock::~FileLock() { ::close(fd_); }

Database::Database(const std::string& path, std::span<const Migration> migrations) {
  try {
    open(path);
    migrate(path, migrations);
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() { sqlite3_close(handle_); }

void Database::open(const std::string& path) {
  const int code =
      sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) fail(handle_, code);
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, 200);
  // One process has it: no shared-memory file, which a full disk could refuse.
  execute("PRAGMA locking_mode=EXCLUSIVE");
  execute("PRAGMA journal_mode=WAL");
  execute("PRAGMA synchronous=NORMAL");
  quick_check();
}

void Database::quick_check() {
  auto until = std::chrono::steady_clock::now() + kQuickCheckLimit;
  sqlite3_progress_handler(handle_, 10'000, past_limit, &until);
  std::string found = "ok";
  try {
    Statement check(*this, "PRAGMA quick_check(1)");
    check.start();
    if (check.step()) found = check.text(0);
  } catch (const DatabaseError& error) {
    sqlite3_progress_handler(handle_, 0, nullptr, nullptr);
    if ((error.code() & 0xff) != SQLITE_INTERRUPT) throw;
  }
  sqlite3_progress_handler(handle_, 0, nullptr, nullptr);
  if (found != "ok") throw DatabaseError(SQLITE_CORRUPT, found);
}

std::int64_t Database::pragma(const char* sql) {
  Statement statement(*this, sql);
  statement.start();
  return statement.step() ? statement.integer(0) : 0;
}

void Database::migrate(const std::string& path, std::span<const Migration> migrations) {
  const std::int64_t version = pragma("PRAGMA user_version");
  const std::int64_t application = pragma("PRAGMA application_id");
  if (application != kApplicationId && (version != 0 || pragma("SELECT count(*) FROM sqlite_schema") != 0)) {
    throw LedgerError(fmt::format("{}: a database of another program; give the agent another `state`", path));
  }
  const int ours = migrations.back().version;
  if (version > ours) {
    throw LedgerError(
        fmt::format("{}: written by a newer ajar (schema {}, this one knows {}); run that version, or move the file away "
                    "to start anew",
                    path, version, ours));
  }
  migrated_from_ = static_cast<int>(version);
  for (const Migration& step : migrations) {
    if (step.version <= version) continue;
    execute("BEGIN IMMEDIATE");
    execute(fmt::format("PRAGMA application_id={}", kApplicationId).c_str());
    execute(step.sql);
    execute(fmt::format("PRAGMA user_version={}", step.version).c_str());
    execute("COMMIT");
  }
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(handle_, code);
}

std::string move_aside(const std::string& path, Time now) {
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(now - day);
  const std::string stem = fmt::format("{}.corrupt-{:04}{:02}{:02}T{:02}{:02}{:02}", path, static_cast<int>(date.year()),
                                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                       clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  std::string name = stem;
  for (int again = 2; std::filesystem::exists(name); ++again) name = fmt::format("{}-{}", stem, again);
  for (const char* part : {"", "-wal", "-shm"}) {
    if (!std::filesystem::exists(path + part)) continue;
    std::error_code error;
    std::filesystem::rename(path + part, name + part, error);
    if (error) throw LedgerError(fmt::format("{}: corrupt, and cannot be moved aside: {}", path + part, error.message()));
  }
  return name;
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  check(sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr));
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    const DatabaseError error(code, sqlite3_errmsg(database_.handle()));
    sqlite3_reset(statement_);
    throw error;
  }
  sqlite3_reset(statement_);
  return false;
}

std::string_view Statement::view(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return bytes ? std::string_view(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)))
               : std::string_view();
}

std::string Statement::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}

void Statement::check(int code) {
  if (code != SQLITE_OK) fail(database_.handle(), code);
}

}  // namespace ajar
