// What the ledger keeps of the past: how levels changed, what the canary saw, for how long, and when a case is the same again.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "agent/json.h"
#include "agent/ledger_options.h"
#include "tests/support/ledger_steps.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class LedgerHistory : public LedgerTest {
 protected:
  // A confirmed end, after which the clock stands at the second probe.
  void end(Ledger& ledger, const ResultKey& about = key()) {
    closed(ledger, about);
    now += minutes(5);
    closed(ledger, about);
    ledger.flush();
  }
  Change says(Ledger& ledger, Verdict verdict, Reason reason, const ResultKey& about = key()) {
    return ledger.apply(probe(verdict, reason, now, about));
  }
};

// -- how levels changed --

TEST_F(LedgerHistory, EveryChangeOfTheJudgedLevelIsKept) {
  Ledger ledger(options());
  EXPECT_THAT(ledger.history(key()), IsEmpty());
  closed(ledger);  // known for the first time
  now += hours(1);
  closed(ledger);  // the same again
  now += hours(1);
  says(ledger, Verdict::unreachable, Reason::timeout);  // not confirmed
  now += hours(1);
  closed(ledger);
  now += hours(1);
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  now += minutes(5);
  accepted(ledger);
  now += minutes(1);
  ledger.apply(arrival("t1", now));
  now += hours(1);
  says(ledger, Verdict::unreachable, Reason::timeout);  // says nothing about a case
  now += hours(1);
  ledger.apply(probe(Verdict::closed, Reason::refused, now, key(), "00000000000000ab"));
  now += minutes(5);
  ledger.apply(probe(Verdict::closed, Reason::refused, now, key(), "00000000000000ac"));
  ledger.flush();
  EXPECT_THAT(ledger.history(key()),
              ElementsAre(LevelChange{kNoon, Verdict::closed, Reason::refused},
                          LevelChange{kNoon + hours(4) + minutes(5), Verdict::accepted, Reason::token_pending},
                          LevelChange{kNoon + hours(4) + minutes(6), Verdict::open, Reason::message_delivered},
                          LevelChange{kNoon + hours(6) + minutes(11), Verdict::closed, Reason::refused}));
  EXPECT_THAT(ledger.history(key(1)), IsEmpty());
}

TEST_F(LedgerHistory, SurvivesRestartsAndRetirement) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    accepted(ledger);
    closed(ledger, key(1));
    ledger.flush();
  }
  now += hours(1);
  {
    Ledger ledger(options(folder / "ajar.db"));
    ledger.retire(key());
    ledger.retire(key(1));
    ledger.flush();
    EXPECT_THAT(ledger.history(key()), SizeIs(1));
    EXPECT_FALSE(ledger.result(key()));
  }
  now += hours(1);
  // Its number is given to nobody else, though no result has it any more.
  Ledger ledger(options(folder / "ajar.db"));
  closed(ledger, key(2));
  closed(ledger);
  ledger.flush();
  EXPECT_THAT(ledger.history(key()), ElementsAre(LevelChange{kNoon, Verdict::accepted, Reason::token_pending},
                                                 LevelChange{now, Verdict::closed, Reason::refused}));
  EXPECT_THAT(ledger.history(key(1)), ElementsAre(LevelChange{kNoon, Verdict::closed, Reason::refused}));
  EXPECT_THAT(ledger.history(key(2)), ElementsAre(LevelChange{now, Verdict::closed, Reason::refused}));
}

TEST_F(LedgerHistory, IsBoundedInNumberAndAge) {
  const TempDir folder;
  LedgerOptions given = options(folder / "ajar.db");
  given.case_retention = hours(24 * 10);
  Ledger ledger(given);
  closed(ledger, key(1));
  for (int i = 0; i < 200; ++i, now += hours(1)) {
    const bool quiet = i / 2 % 2 == 0;
    says(ledger, quiet ? Verdict::closed : Verdict::unclear, quiet ? Reason::refused : Reason::protocol_error);
  }
  ledger.flush();
  const std::vector<LevelChange> changes = ledger.history(key());
  ASSERT_THAT(changes, SizeIs(kMaxHistory));
  EXPECT_EQ(changes.back().level, Verdict::unclear);
  EXPECT_LT(changes.front().time, changes.back().time);
  ledger.retire(key(1));
  ledger.flush();
  EXPECT_THAT(ledger.history(key(1)), SizeIs(1));
  now = kNoon + hours(24 * 11);
  EXPECT_THAT(ledger.history(key(1)), IsEmpty());
  ledger.expire();
  ledger.flush();
  // Gone from the file too, with who it was.
  now = kNoon;
  EXPECT_THAT(ledger.history(key(1)), IsEmpty());
}

TEST_F(LedgerHistory, IsReadByOtherThreadsWhileItIsWritten) {
  const TempDir folder;
  Ledger ledger(options(folder / "ajar.db"));
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  LedgerOptions other = options();
  std::thread reader([&] {
    while (!done) {
      const std::vector<LevelChange> changes = ledger.history(key());
      for (std::size_t i = 1; i < changes.size(); ++i) wrong += changes[i].level == changes[i - 1].level ? 1 : 0;
    }
  });
  Time at = kNoon;  // the ledger's own clock stands still: it is read by both
  for (int i = 0; i < 100; ++i, at += minutes(1)) {
    const bool quiet = i / 2 % 2 == 0;
    ledger.apply(probe(quiet ? Verdict::closed : Verdict::unclear, Reason::refused, at));
    ledger.set_options(other);
    ledger.flush();
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
}

// -- what the canary saw --

TEST_F(LedgerHistory, ACaseKeepsTheCanarysSide) {
  const TempDir folder;
  const std::string token = "abcdefghijklmnopqrstuvwxyz234567", other = "bbcdefghijklmnopqrstuvwxyz234567";
  Arrival came = arrival(token, now);
  came.facts = {"message", "EHLO mx.example.org", "Received: from x by mx for <X" + token + "Y@example.org>", "Via: 1.1 mx",
                "Message-ID: <y" + other + "@mx>"};
  {
    Ledger ledger(options(folder / "ajar.db"));
    ledger.ask_to_send(message(token));
    ledger.remember(message(other));
    accepted(ledger);
    ledger.apply(came);
    ledger.flush();
  }
  const Ledger ledger(options(folder / "ajar.db"));
  ASSERT_THAT(ledger.cases(), SizeIs(1));
  const std::vector<Arrival> seen = ledger.cases()[0].arrivals.list();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].peer, came.peer);
  EXPECT_EQ(seen[0].listener, came.listener);
  EXPECT_EQ(seen[0].time, came.time);
  EXPECT_EQ(seen[0].kind, CanaryKind::smtp);
  EXPECT_TRUE(seen[0].message && seen[0].proof);
  EXPECT_EQ(seen[0].token, "");
  EXPECT_THAT(seen[0].facts, ElementsAre("message", "EHLO mx.example.org", "Received: from x by mx for <X<token>Y@example.org>",
                                         "Via: 1.1 mx", "Message-ID: <y<token>@mx>"));
  // In the evidence of the probe too.
  ASSERT_TRUE(ledger.latest(key()));
  EXPECT_THAT(ledger.latest(key())->arrivals, SizeIs(1));
  // The public object keeps its keys.
  EXPECT_FALSE(to_json(ledger.cases()[0], false).contains("arrivals"));
  EXPECT_FALSE(to_json(*ledger.latest(key())).contains("arrivals"));
}

TEST_F(LedgerHistory, AnArrivalBeforeItsRecordIsKeptOverARestart) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    ledger.ask_to_send(message("t1"));
    ledger.apply(arrival("t1", now));
  }
  Ledger ledger(options(folder / "ajar.db"));
  accepted(ledger);
  ledger.flush();
  ASSERT_THAT(ledger.cases(), SizeIs(1));
  ASSERT_THAT(ledger.cases()[0].arrivals.list(), SizeIs(1));
  EXPECT_THAT(ledger.cases()[0].arrivals.list()[0].facts, ElementsAre("EHLO mx.example.org"));
}

TEST_F(LedgerHistory, ALateArrivalIsKeptWithThePastCase) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  now += hours(1);
  end(ledger);
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::late);
  EXPECT_THAT(ledger.cases()[0].arrivals.list(), SizeIs(1));
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::closed);
}

TEST_F(LedgerHistory, WhatAProxyBroughtComesWithTheRecord) {
  Ledger ledger(options());
  Record record = probe(Verdict::open, Reason::token_returned, now);
  Arrival came = arrival("", now);
  came.kind = CanaryKind::tcp;
  came.message = false;
  came.facts = {"GET /<token> HTTP/1.1", "Via: 1.1 proxy", "X-Forwarded-For: 198.51.100.7"};
  record.arrivals = {came};
  ledger.apply(parse_record(serialise(record)));  // as `ajar check` hands it over
  ledger.flush();
  ASSERT_THAT(ledger.cases()[0].arrivals.list(), SizeIs(1));
  EXPECT_EQ(ledger.cases()[0].arrivals.list()[0].facts, came.facts);
}

// -- for how long --

TEST_F(LedgerHistory, ReopenedWithinTheTimeItIsTheSameCase) {
  LedgerOptions given = options();
  given.reopen_within = hours(2);
  Ledger ledger(given);
  accepted(ledger);
  ledger.flush();
  const std::string id = ledger.cases()[0].id;
  now += hours(1);
  const Time closed_at = now;
  end(ledger);
  now = closed_at + hours(2);
  says(ledger, Verdict::open, Reason::token_returned);
  ledger.flush();
  ASSERT_THAT(ledger.cases(), SizeIs(1));
  EXPECT_EQ(ledger.cases()[0].id, id);
  EXPECT_EQ(ledger.cases()[0].reopened, 1U);
  now += hours(1);
  const Time again = now;
  end(ledger);
  now = again + hours(2) + minutes(1);
  says(ledger, Verdict::open, Reason::token_returned);
  ledger.flush();
  ASSERT_THAT(ledger.cases(), SizeIs(2));
  EXPECT_NE(ledger.cases()[0].id, id);
  EXPECT_EQ(ledger.cases()[0].reopened, 0U);
}

TEST_F(LedgerHistory, TheTimesOfAReloadHoldAtOnce) {
  Ledger ledger(options());
  accepted(ledger);
  now += hours(1);
  end(ledger);
  Config config;
  config.agent.reopen_within = minutes(1);
  config.agent.case_retention = hours(2);
  config.agent.state = ":memory:";
  ledger.set_options(ledger_options(config));
  now += minutes(10);
  says(ledger, Verdict::open, Reason::token_returned);
  ledger.flush();
  EXPECT_THAT(ledger.cases(), SizeIs(2));
  now += hours(3);
  ledger.expire();
  ledger.flush();
  ASSERT_THAT(ledger.cases(), SizeIs(1));
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::open);
}

TEST_F(LedgerHistory, AnEndedCaseGoesWithItsEvidenceAndAnOpenOneStays) {
  LedgerOptions given = options();
  given.case_retention = hours(24 * 30);
  Ledger ledger(given);
  accepted(ledger);
  accepted(ledger, key(1));
  now += hours(1);
  end(ledger, key(1));
  EXPECT_TRUE(ledger.latest_not_closed(key(1)));
  now = kNoon + hours(24 * 31);
  closed(ledger, key(1));  // goes on being asked
  ledger.expire();
  ledger.flush();
  ASSERT_THAT(ledger.cases(), SizeIs(1));
  EXPECT_EQ(ledger.cases()[0].key, key());
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::open);
  EXPECT_TRUE(ledger.latest_not_closed(key()));
  EXPECT_FALSE(ledger.latest_not_closed(key(1)));
  EXPECT_TRUE(ledger.latest(key(1)));
  EXPECT_THAT(ledger.history(key(1)), IsEmpty());
}

// -- when a case ends --

TEST_F(LedgerHistory, NothingButAConfirmedClosedEndsACase) {
  Ledger ledger(options());
  says(ledger, Verdict::open, Reason::message_delivered);
  const std::pair<Verdict, Reason> silent[] = {
      {Verdict::unreachable, Reason::timeout},    {Verdict::unreachable, Reason::filtered},
      {Verdict::unreachable, Reason::no_route},   {Verdict::unclear, Reason::source_blocked},
      {Verdict::unclear, Reason::protocol_error}, {Verdict::unclear, Reason::canary_unreachable},
      {Verdict::unclear, Reason::control_failed}, {Verdict::unclear, Reason::tls_failed},
      {Verdict::unclear, Reason::internal_error}, {Verdict::unreachable, Reason::out_of_scope},
  };
  for (const auto& [verdict, reason] : silent) {
    for (int times = 0; times < 10; ++times, now += hours(1)) says(ledger, verdict, reason);
  }
  ledger.flush();
  ASSERT_THAT(ledger.cases(), SizeIs(1));
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::open);
  EXPECT_EQ(ledger.result(key())->level, Verdict::open);
  closed(ledger);  // one alone does not either
  now += hours(1);
  says(ledger, Verdict::unreachable, Reason::timeout);
  now += hours(1);
  closed(ledger);
  ledger.flush();
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::open);
  now += minutes(5);
  closed(ledger);
  ledger.flush();
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::closed);
  EXPECT_EQ(ledger.cases()[0].how, "fixed");
}

// -- an older file --

TEST_F(LedgerHistory, TheFourthSchemaIsStillRead) {
  const TempDir folder;
  sql(folder / "ajar.db", content(AJAR_SOURCE_DIR "/tests/golden/ledger_v4.sql"));
  {
    Ledger ledger(options(folder / "ajar.db"));
    EXPECT_THAT(ledger.notes(), ElementsAre(testing::HasSubstr("schema migrated from 4 to")));
    ASSERT_THAT(ledger.results(), SizeIs(2));
    EXPECT_EQ(ledger.result(key())->refusals, 2U);
    ASSERT_THAT(ledger.cases(), SizeIs(1));
    EXPECT_THAT(ledger.cases()[0].arrivals.list(), IsEmpty());
    EXPECT_THAT(ledger.history(key()), IsEmpty());
    EXPECT_THAT(ledger.take_listings(), SizeIs(1));
    EXPECT_THAT(ledger.suspicions(), SizeIs(1));
    now += minutes(1);
    EXPECT_EQ(ledger.apply(arrival("t2", now)).first, ArrivalResult::proved);
    ledger.retire(key(1));
  }
  const Ledger ledger(options(folder / "ajar.db"));
  EXPECT_THAT(ledger.cases()[0].arrivals.list(), SizeIs(1));
  EXPECT_THAT(ledger.results(), SizeIs(1));
}

}  // namespace
}  // namespace ajar
