// What the tests of the ledger share: probes, messages and arrivals of made-up relays, and a ledger whose clock the test moves.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "agent/ledger.h"

namespace ajar {

inline const Time kNoon{std::chrono::milliseconds(1767355200000)};

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "ajar-ledger-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline ResultKey key(int number = 0, const std::string& target = "mx") {
  return {fmt::format("{}{}", target, number), *IpAddress::parse(fmt::format("203.0.{}.{}", number / 250, number % 250)), 25,
          Transport::tcp, "smtp_relay"};
}

inline Record probe(Verdict verdict, Reason reason, Time started, const ResultKey& about = key(),
                    const std::string& id = "00000000000000aa") {
  Record record;
  record.probe_id = id;
  record.key = about;
  record.host = "mx.example.org";
  record.owner = "mail-team";
  record.started = started;
  record.finding.verdict = verdict;
  record.finding.reason = reason;
  record.finding.because = std::string(to_string(reason));
  record.finding.variants = {{"external/plain", verdict, reason, 250, "Ok"}};
  record.transcript = {"S: 220 mx.example.org ESMTP", "C: EHLO probe.example.net"};
  return record;
}

inline Message message(const std::string& token, const ResultKey& about = key(), const std::string& id = "00000000000000aa") {
  Message asked;
  asked.token = token;
  asked.key = about;
  asked.probe_id = id;
  asked.variant = "external/plain";
  asked.variant_class = "external";
  return asked;
}

inline Arrival arrival(const std::string& token, Time time) {
  Arrival came;
  came.time = time;
  came.kind = CanaryKind::smtp;
  came.token = token;
  came.message = true;
  came.proof = true;
  came.peer = *AddressPort::parse("203.0.113.9:4711");
  came.listener = *AddressPort::parse("198.51.100.7:25");
  came.facts = {"EHLO mx.example.org"};
  return came;
}

// A ledger whose clock the test moves.
class LedgerTest : public testing::Test {
 protected:
  LedgerOptions options(const std::string& path = ":memory:") {
    LedgerOptions given;
    given.path = path;
    given.now = [this] { return now; };
    return given;
  }
  Change accepted(Ledger& ledger, const ResultKey& about = key()) {
    return ledger.apply(probe(Verdict::accepted, Reason::token_pending, now, about));
  }
  Change closed(Ledger& ledger, const ResultKey& about = key()) {
    return ledger.apply(probe(Verdict::closed, Reason::refused, now, about));
  }
  Time now = kNoon;
};

inline std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void sql(const std::string& path, const std::string& statements) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(database, statements.c_str(), nullptr, nullptr, &error), SQLITE_OK) << (error ? error : "");
  sqlite3_free(error);
  sqlite3_close(database);
}

}  // namespace ajar
