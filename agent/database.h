// SQLite underneath the ledger: one connection, locked to one process, moved aside when it is corrupt, its schema migrated
// forward.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sqlite3.h>

#include "agent/time.h"

namespace ajar {

// What SQLite said. corrupt(): the file is not a sound database.
class DatabaseError : public std::runtime_error {
 public:
  DatabaseError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  int code() const { return code_; }
  bool corrupt() const;

 private:
  int code_;
};

// One step forward: brings a schema `version - 1` to `version`. Never changed once released.
struct Migration {
  int version;
  const char* sql;
};

// A file that one process holds: flock(2), which the kernel releases however the process ends. The file stays.
class FileLock {
 public:
  // Holds `path`.lock; LedgerError when another process does (its id is said) or the file cannot be made.
  explicit FileLock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

// Not thread-safe.
class Database {
 public:
  // Opens or makes `path` (":memory:" for none) and brings its schema up to the last of `migrations`. DatabaseError;
  // LedgerError when it was written by a newer agent or is somebody else's.
  Database(const std::string& path, std::span<const Migration> migrations);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const char* sql);
  int migrated_from() const { return migrated_from_; }  // the schema version found; 0 for a new file
  sqlite3* handle() { return handle_; }

 private:
  void open(const std::string& path);
  void quick_check();
  void migrate(const std::string& path, std::span<const Migration> migrations);
  std::int64_t pragma(const char* sql);
  sqlite3* handle_ = nullptr;
  int migrated_from_ = 0;
};

// Renames `path` and what belongs to it to "PATH.corrupt-YYYYmmddTHHMMSS…"; returns the new name.
std::string move_aside(const std::string& path, Time now);

// Bytes to be bound as such.
struct Blob {
  std::string_view bytes;
};

// A prepared statement. What is bound must live until run() returns.
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Binds the values in order and runs to the end. DatabaseError.
  template <typename... Values>
  void run(const Values&... values) {
    start(values...);
    while (step()) {
    }
  }
  // Binds the values in order; then step() until it is false.
  template <typename... Values>
  void start(const Values&... values) {
    sqlite3_reset(statement_);
    int index = 0;
    (bind(++index, values), ...);
  }
  // True when a row is there. The statement is reset after the last, and before an error is thrown.
  bool step();
  // Ends reading before the last row.
  void finish() { sqlite3_reset(statement_); }

  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const { return std::string(view(column)); }
  std::string_view view(int column) const;  // the same, until the next step
  std::string blob(int column) const;
  bool null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  Time time(int column) const { return Time(std::chrono::milliseconds(integer(column))); }
  std::optional<Time> optional_time(int column) const { return null(column) ? std::nullopt : std::optional(time(column)); }

 private:
  void bind(int index, std::int64_t value) { check(sqlite3_bind_int64(statement_, index, value)); }
  void bind(int index, std::string_view value) {
    // A null pointer would bind NULL.
    check(sqlite3_bind_text64(statement_, index, value.data() ? value.data() : "", value.size(), SQLITE_STATIC, SQLITE_UTF8));
  }
  void bind(int index, Blob blob) {
    check(sqlite3_bind_blob64(statement_, index, blob.bytes.data(), blob.bytes.size(), SQLITE_STATIC));
  }
  void bind(int index, Time value) { bind(index, static_cast<std::int64_t>(value.time_since_epoch().count())); }
  void bind(int index, const std::optional<Time>& value) {
    if (value) {
      bind(index, *value);
    } else {
      check(sqlite3_bind_null(statement_, index));
    }
  }
  void check(int code);

  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace ajar
