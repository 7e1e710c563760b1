// What is written of probes that change nothing, and what of it a killed agent finds again.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/ledger.h"
#include "tests/support/ledger_steps.h"

namespace ajar {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class LedgerHeartbeats : public LedgerTest {
 protected:
  std::string path() const { return folder_ / "ajar.db"; }
  // The database as it would be found if the agent that has it were killed now.
  std::string as_killed() {
    const std::string copy = folder_ / ("killed" + std::to_string(++copies_) + ".db");
    for (const char* part : {"", "-wal"}) {
      if (fs::exists(path() + part)) fs::copy_file(path() + part, copy + part);
    }
    return copy;
  }
  ResultState found_if_killed(const ResultKey& about = key()) {
    const Ledger ledger(options(as_killed()));
    EXPECT_TRUE(ledger.notes().empty());
    const auto state = ledger.result(about);
    EXPECT_TRUE(state);
    return state.value_or(ResultState{});
  }
  // As an agent does it: judged, planned on, flushed.
  Change pass(Ledger& ledger, const Record& record) {
    const Change change = ledger.apply(record);
    ledger.set_due(record.key, now + hours(1));
    ledger.flush();
    return change;
  }
  Record refusal(const std::string& id = "00000000000000aa") { return probe(Verdict::closed, Reason::refused, now, key(), id); }
  Time stored(const Ledger& ledger) { return ledger.latest(key()).value_or(Record{}).started; }

 private:
  const TempDir folder_;
  int copies_ = 0;
};

std::int64_t number(const std::string& path, const std::string& query) {
  sqlite3* database = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(database, query.c_str(), -1, &statement, nullptr), SQLITE_OK);
  EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
  const std::int64_t value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return value;
}

TEST_F(LedgerHeartbeats, AreShownAtOnceAndWrittenTogether) {
  Ledger ledger(options(path()));
  pass(ledger, refusal());
  const Time first = now;
  now += hours(1);
  const auto version = ledger.version();
  pass(ledger, refusal());
  EXPECT_EQ(ledger.result(key())->last_probe, now);
  EXPECT_EQ(ledger.result(key())->last_conclusive, now);
  EXPECT_EQ(ledger.result(key())->due, now + hours(1));
  EXPECT_GT(ledger.version(), version);
  const ResultState early = found_if_killed();
  EXPECT_EQ(early.last_probe, first);
  EXPECT_EQ(early.last_conclusive, first);
  EXPECT_EQ(early.due, now) << "it is asked again a little early";
  EXPECT_EQ(early.level, Verdict::closed);

  const Time second = now;
  now += seconds(14);
  ledger.flush();
  EXPECT_EQ(found_if_killed().last_probe, first);
  now += seconds(1);
  ledger.flush();  // nothing else is needed for it
  const ResultState kept = found_if_killed();
  EXPECT_EQ(kept.last_probe, second);
  EXPECT_EQ(kept.last_conclusive, second);
  EXPECT_EQ(kept.due, second + hours(1));
}

TEST_F(LedgerHeartbeats, AreWrittenAtTheEnd) {
  {
    Ledger ledger(options(path()));
    pass(ledger, refusal());
    now += hours(1);
    pass(ledger, refusal());
  }
  const Ledger ledger(options(path()));
  EXPECT_EQ(ledger.result(key())->last_probe, now);
  EXPECT_EQ(ledger.result(key())->due, now + hours(1));
}

TEST_F(LedgerHeartbeats, AClockThatWentBackHoldsThemNotForLong) {
  Ledger ledger(options(path()));
  pass(ledger, refusal());
  now += hours(1);
  const Time second = now;
  pass(ledger, refusal());
  now -= hours(12);
  ledger.flush();
  EXPECT_EQ(found_if_killed().last_probe, second);
}

// Whatever is more than a heartbeat is there, with its times.
TEST_F(LedgerHeartbeats, AChangeWaitsForNothing) {
  Ledger ledger(options(path()));
  pass(ledger, refusal());
  now += hours(1);
  pass(ledger, refusal());
  now += seconds(1);
  const Change change = ledger.apply(probe(Verdict::accepted, Reason::no_proof, now));
  EXPECT_TRUE(change.confirm);
  ledger.flush();
  ResultState killed = found_if_killed();
  EXPECT_EQ(killed.change_to, Verdict::accepted);
  EXPECT_EQ(killed.last_probe, now);
  // Also when it is to be confirmed: not before its time.
  ledger.set_due(key(), now + minutes(5));
  ledger.flush();
  EXPECT_EQ(found_if_killed().due, now + minutes(5));
  now += minutes(5);
  EXPECT_TRUE(pass(ledger, probe(Verdict::accepted, Reason::no_proof, now)).opened);
  killed = found_if_killed();
  EXPECT_EQ(killed.level, Verdict::accepted);
  EXPECT_TRUE(killed.case_id);
  // With a case, every probe is.
  now += seconds(1);
  pass(ledger, probe(Verdict::accepted, Reason::no_proof, now));
  EXPECT_EQ(found_if_killed().last_probe, now);
}

TEST_F(LedgerHeartbeats, WhatWasPutOffKeepsItsTime) {
  Ledger ledger(options(path()));
  pass(ledger, refusal());
  now += hours(1);
  Record record = probe(Verdict::unclear, Reason::greylisted, now);
  record.finding.retries = {{"external/plain", "t1", "s1"}};
  pass(ledger, record);
  now += seconds(1);
  ledger.set_due(key(), now + minutes(5));
  ledger.flush();
  const ResultState killed = found_if_killed();
  EXPECT_EQ(killed.due, now + minutes(5));
  EXPECT_EQ(killed.retries.size(), 1U);
}

// A row that is written tells its times itself, and those of before it no more.
TEST_F(LedgerHeartbeats, AreOlderThanTheRowThatCameAfterThem) {
  {
    Ledger ledger(options(path()));
    pass(ledger, refusal());
    now += hours(1);
    pass(ledger, refusal());
    now += minutes(1);
    ledger.flush();  // the heartbeat is written
    Record full = refusal();
    full.full_matrix = true;
    pass(ledger, full);
  }
  const Time full = now;
  now += hours(1);
  {
    Ledger ledger(options(path()));
    EXPECT_EQ(ledger.result(key())->last_probe, full);
    EXPECT_EQ(ledger.result(key())->last_full_matrix, full);
    pass(ledger, refusal());
    ledger.retire(key());
    ledger.flush();
    now += minutes(1);
    ledger.flush();
    pass(ledger, refusal());
  }
  EXPECT_EQ(number(path(), "SELECT last_probe FROM results"), now.time_since_epoch().count());
  const Ledger ledger(options(path()));
  EXPECT_EQ(ledger.result(key())->last_probe, now) << "a new result";
}

TEST_F(LedgerHeartbeats, TakeNoMoreRoomThanTheyNeed) {
  constexpr int kResults = 300, kRounds = 150;
  std::vector<Time> last;
  {
    LedgerOptions at_once = options(path());
    at_once.heartbeat_interval = milliseconds(0);
    Ledger ledger(at_once);
    for (int round = 0; round < kRounds; ++round) {
      now += minutes(1);
      for (int i = 0; i < kResults; ++i) {
        if (i == 7 && round > 100) continue;  // not probed any more: its last heartbeat is kept all the same
        ledger.apply(probe(Verdict::closed, Reason::refused, now + seconds(i % 50), key(i)));
      }
      ledger.flush();
    }
    for (int i = 0; i < kResults; ++i) last.push_back(ledger.result(key(i))->last_probe);
  }
  EXPECT_LT(number(path(), "SELECT sum(entries) FROM heartbeats"), 21'000) << "of 45,000";
  EXPECT_GT(number(path(), "SELECT sum(entries) FROM heartbeats"), kResults);
  const Ledger ledger(options(path()));
  for (int i = 0; i < kResults; ++i) EXPECT_EQ(ledger.result(key(i))->last_probe, last[static_cast<std::size_t>(i)]) << i;
}

TEST_F(LedgerHeartbeats, ThatMakeNoSenseAreLeftOutAndSaid) {
  const Time first = now;
  {
    Ledger ledger(options(path()));
    pass(ledger, refusal());
    now += hours(1);
    pass(ledger, refusal());
  }
  sql(path(), "UPDATE heartbeats SET times=x'ff'");
  const Ledger ledger(options(path()));
  EXPECT_THAT(ledger.notes(), testing::Contains(testing::HasSubstr("1 rows make no sense")));
  EXPECT_EQ(ledger.result(key())->last_probe, first);
}

TEST_F(LedgerHeartbeats, TheFifthSchemaIsStillRead) {
  sql(path(), content(AJAR_SOURCE_DIR "/tests/golden/ledger_v5.sql"));
  ResultKey quiet{"mx2", *IpAddress::parse("2001:db8::5"), 587, Transport::tcp, "smtp_relay"};
  {
    Ledger ledger(options(path()));
    EXPECT_THAT(ledger.notes(), testing::ElementsAre(testing::HasSubstr("schema migrated from 5 to 6")));
    ASSERT_EQ(ledger.result_count(), 3U);
    const auto state = ledger.result(quiet);
    ASSERT_TRUE(state);
    EXPECT_EQ(state->level, Verdict::closed);
    EXPECT_EQ(state->tls, TlsMode::starttls);
    EXPECT_EQ(state->last_probe, kNoon);
    EXPECT_EQ(ledger.history(quiet).size(), 1U);
    EXPECT_EQ(ledger.result(key())->level, Verdict::open);
    ASSERT_EQ(ledger.cases().size(), 1U);
    EXPECT_TRUE(ledger.latest_not_closed(key()));
    now += hours(1);
    ledger.apply(probe(Verdict::closed, Reason::refused, now, quiet));
    EXPECT_FALSE(ledger.latest(quiet));
    ledger.flush();
    ASSERT_TRUE(ledger.latest(quiet)) << "nothing is known of evidence of before: it is stored";
    EXPECT_EQ(ledger.latest(quiet)->started, now);
  }
  const Ledger ledger(options(path()));
  EXPECT_TRUE(ledger.notes().empty());
  EXPECT_EQ(ledger.result(quiet)->last_probe, now);
}

// -- evidence --

TEST_F(LedgerHeartbeats, ARecordStandsForThoseThatSayTheSame) {
  const Time first = now;
  {
    Ledger ledger(options(path()));
    pass(ledger, refusal());
    now += hours(1);
    Record same = refusal("00000000000000ab");
    same.finding.variants[0].reply = "Ok, number 4711";
    same.transcript.push_back("C: QUIT");
    pass(ledger, same);
    EXPECT_EQ(stored(ledger), first);
    EXPECT_EQ(ledger.latest(key())->probe_id, "00000000000000aa");
  }
  // Also after a restart.
  Ledger ledger(options(path()));
  now += hours(1);
  pass(ledger, refusal("00000000000000ac"));
  EXPECT_EQ(stored(ledger), first);
  EXPECT_EQ(ledger.result(key())->last_probe, now);
}

TEST_F(LedgerHeartbeats, ARecordGivesWayToOneThatSaysAnythingElse) {
  Ledger ledger(options(path()));
  pass(ledger, refusal());
  Record record = refusal();
  const auto expect_stored = [&](const char* what) {
    now += minutes(1);
    record.started = now;
    pass(ledger, record);
    EXPECT_EQ(stored(ledger), now) << what;
    now += minutes(1);
    record.started = now;
    record.full_matrix = false;
    pass(ledger, record);
    EXPECT_EQ(stored(ledger), now - minutes(1)) << what << ", and again";
    EXPECT_EQ(found_if_killed().level, Verdict::closed);
  };
  record.finding.observations = {"AUTH offered in clear text"};
  expect_stored("an observation");
  record.finding.variants[0].code = 554;
  expect_stored("another code");
  record.finding.variants.push_back({"null/plain", Verdict::closed, Reason::refused, 554, ""});
  expect_stored("another variant");
  record.finding.variants[1].verdict = Verdict::unclear;
  expect_stored("another verdict of a variant");
  record.finding.because = "it refused it all";
  expect_stored("another sentence");
  record.finding.reason = Reason::auth_required;
  expect_stored("another reason");
  record.finding.spoken = "SMTP";
  expect_stored("another protocol");
  record.finding.tls = TlsMode::starttls;
  expect_stored("TLS");
  record.host = "mx9.example.org";
  expect_stored("another name");
  record.full_matrix = true;
  expect_stored("the full matrix");
  std::swap(record.finding.variants[0], record.finding.variants[1]);
  now += minutes(1);
  record.started = now;
  pass(ledger, record);
  EXPECT_LT(stored(ledger), now) << "in another order is the same";
}

TEST_F(LedgerHeartbeats, ARecordGivesWayOnceItIsADayOld) {
  Ledger ledger(options(path()));
  pass(ledger, refusal());
  const Time first = now;
  now = first + Ledger::kEvidenceAge - minutes(1);
  pass(ledger, refusal());
  EXPECT_EQ(stored(ledger), first);
  now = first + Ledger::kEvidenceAge;
  pass(ledger, refusal());
  EXPECT_EQ(stored(ledger), now);
  now -= hours(1);
  pass(ledger, refusal());
  EXPECT_EQ(stored(ledger), now) << "the clock was put back";
}

TEST_F(LedgerHeartbeats, WhatIsNotSettledIsAlwaysStored) {
  Ledger ledger(options(path()));
  for (const Verdict verdict : {Verdict::unclear, Verdict::accepted, Verdict::open}) {
    const ResultKey about = key(static_cast<int>(verdict));
    for (int i = 0; i < 4; ++i) {
      now += minutes(5);
      pass(ledger, probe(verdict, Reason::no_proof, now, about));
      EXPECT_EQ(ledger.latest(about)->started, now) << to_string(verdict);
    }
  }
  // While it is open, what is closed is stored as well.
  now += minutes(5);
  pass(ledger, probe(Verdict::closed, Reason::refused, now, key(4)));
  EXPECT_EQ(ledger.latest(key(4))->started, now);
  now += minutes(5);
  EXPECT_TRUE(pass(ledger, probe(Verdict::closed, Reason::refused, now, key(4))).closed);
  EXPECT_EQ(ledger.latest(key(4))->started, now);
}

TEST_F(LedgerHeartbeats, SilenceThatGoesOnIsStoredOnce) {
  Ledger ledger(options(path()));
  const Time first = now;
  for (int i = 0; i < 3; ++i, now += hours(1)) pass(ledger, probe(Verdict::unreachable, Reason::filtered, now));
  EXPECT_EQ(stored(ledger), first);
  EXPECT_EQ(ledger.latest_not_closed(key())->started, first);
  pass(ledger, probe(Verdict::unreachable, Reason::no_route, now));
  EXPECT_EQ(stored(ledger), now) << "for another reason";
  EXPECT_EQ(ledger.latest_not_closed(key())->started, now);
}

// -- proofs --

// The record of the probe that sent the token is what the proof makes evidence of.
TEST_F(LedgerHeartbeats, AProbeWhoseTokenMayComeBackIsStored) {
  Ledger ledger(options(path()));
  pass(ledger, refusal("00000000000000aa"));
  now += hours(1);
  ASSERT_EQ(ledger.ask_to_send(message("t1", key(), "00000000000000ab")), Permit::granted);
  pass(ledger, refusal("00000000000000ab"));
  EXPECT_EQ(stored(ledger), now);
  const Time sent = now;
  now += minutes(1);
  pass(ledger, refusal("00000000000000ac"));
  EXPECT_EQ(stored(ledger), sent);
  now += minutes(1);
  const auto [result, change] = ledger.apply(arrival("t1", now));
  EXPECT_EQ(result, ArrivalResult::proved);
  EXPECT_TRUE(change.opened);
  const auto evidence = ledger.latest_not_closed(key());
  ASSERT_TRUE(evidence);
  EXPECT_EQ(evidence->probe_id, "00000000000000ab");
  EXPECT_EQ(evidence->finding.verdict, Verdict::open);
  EXPECT_EQ(evidence->arrivals.size(), 1U);
  const ResultState killed = found_if_killed();
  EXPECT_EQ(killed.level, Verdict::open);
  EXPECT_TRUE(killed.case_id);
  EXPECT_EQ(killed.last_probe, sent + minutes(1)) << "its row was written, with all its times";
  EXPECT_EQ(killed.last_level, Verdict::closed) << "of the last probe";
}

TEST_F(LedgerHeartbeats, ANoteIsPushedAsideByTheNextProbe) {
  Ledger ledger(options(path()));
  ledger.ask_to_send(message("t1", key(), "00000000000000ab"));
  pass(ledger, refusal("00000000000000ab"));
  now += minutes(1);
  Arrival bounce = arrival("t1", now);
  bounce.proof = false;
  EXPECT_EQ(ledger.apply(bounce).first, ArrivalResult::noted);
  ledger.flush();
  EXPECT_EQ(ledger.latest(key())->finding.observations.size(), 1U);
  now += minutes(1);
  pass(ledger, refusal("00000000000000ac"));
  EXPECT_EQ(stored(ledger), now);
  EXPECT_TRUE(ledger.latest(key())->finding.observations.empty());
}

}  // namespace
}  // namespace ajar
