#include "agent/database.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "agent/ledger.h"

namespace ajar {
namespace {

constexpr Migration kFirst[] = {{1, "CREATE TABLE songs(title TEXT); INSERT INTO songs VALUES('one')"}};
constexpr Migration kSecond[] = {kFirst[0], {2, "ALTER TABLE songs ADD COLUMN year INTEGER NOT NULL DEFAULT 1999"}};
constexpr Migration kBroken[] = {kFirst[0], kSecond[1], {3, "INSERT INTO songs VALUES('two', 2); DROP TABLE nowhere"}};

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() {
    std::string name = (std::filesystem::temp_directory_path() / "ajar-database-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path = (folder_ / "x.db").string();
  }
  ~DatabaseTest() override { std::filesystem::remove_all(folder_); }

  static std::int64_t number(Database& database, const char* sql) {
    Statement statement(database, sql);
    statement.start();
    return statement.step() ? statement.integer(0) : -1;
  }

  std::string path;

 private:
  std::filesystem::path folder_;
};

TEST_F(DatabaseTest, AnOldSchemaIsBroughtForwardWithWhatItHolds) {
  {
    EXPECT_EQ(Database(path, kFirst).migrated_from(), 0);
  }
  {
    Database database(path, kSecond);
    EXPECT_EQ(database.migrated_from(), 1);
    EXPECT_EQ(number(database, "SELECT count(*) FROM songs WHERE year=1999"), 1);
    EXPECT_EQ(number(database, "PRAGMA user_version"), 2);
  }
  EXPECT_EQ(Database(path, kSecond).migrated_from(), 2);
  EXPECT_THROW(Database(path, kFirst), LedgerError);
}

TEST_F(DatabaseTest, AStepThatFailsLeavesTheOldSchemaWhole) {
  {
    const Database database(path, kSecond);
  }
  EXPECT_THROW(Database(path, kBroken), DatabaseError);
  Database database(path, kSecond);
  EXPECT_EQ(database.migrated_from(), 2);
  EXPECT_EQ(number(database, "SELECT count(*) FROM songs"), 1);
}

TEST_F(DatabaseTest, AnotherProcessCannotOpenIt) {
  const Database database(path, kFirst);
  try {
    const Database second(path, kFirst);
    FAIL() << "opened twice";
  } catch (const DatabaseError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("locked"));
    EXPECT_FALSE(error.corrupt());
  }
}

TEST_F(DatabaseTest, ValuesComeBackAsTheyWereBound) {
  Database database(":memory:", kFirst);
  database.execute("CREATE TABLE v(i INTEGER, t TEXT NOT NULL, o INTEGER, n INTEGER)");
  const Time time{std::chrono::milliseconds(1767323045678)};
  const std::string text("a\0b", 3);
  Statement put(database, "INSERT INTO v VALUES(?,?,?,?)");
  put.run(std::int64_t{-5}, text, std::optional<Time>(time), std::optional<Time>());
  put.run(std::int64_t{6}, std::string_view(), std::optional<Time>(), std::optional<Time>());
  Statement get(database, "SELECT i,t,o,n FROM v ORDER BY i");
  get.start();
  ASSERT_TRUE(get.step());
  EXPECT_EQ(get.integer(0), -5);
  EXPECT_EQ(get.text(1), text);
  EXPECT_EQ(get.optional_time(2), time);
  EXPECT_EQ(get.optional_time(3), std::nullopt);
  ASSERT_TRUE(get.step());
  EXPECT_EQ(get.text(1), "");
  EXPECT_FALSE(get.step());
}

}  // namespace
}  // namespace ajar
