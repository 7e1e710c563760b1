#include "agent/ledger.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/json.h"
#include "tests/support/ledger_steps.h"

namespace ajar {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> files(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

std::string open_error(const LedgerOptions& options) {
  try {
    const Ledger ledger(options);
  } catch (const LedgerError& error) {
    return error.what();
  }
  return "opened";
}

// -- what readers see --

TEST_F(LedgerTest, ReadersSeeWhatWasFlushed) {
  Ledger ledger(options());
  const auto before = ledger.version();
  closed(ledger);
  EXPECT_TRUE(ledger.results().empty());
  EXPECT_FALSE(ledger.latest(key()));
  ledger.flush();
  ASSERT_EQ(ledger.results().size(), 1U);
  EXPECT_EQ(ledger.result(key())->level, Verdict::closed);
  EXPECT_EQ(ledger.latest(key())->finding.reason, Reason::refused);
  EXPECT_GT(ledger.version(), before);
  const auto after = ledger.version();
  ledger.flush();
  EXPECT_EQ(ledger.version(), after);
  EXPECT_FALSE(ledger.result(key(1)));
}

TEST_F(LedgerTest, ReadersMayAskForTheResultsOfOneTarget) {
  Ledger ledger(options());
  ResultKey six = key();
  six.address = *IpAddress::parse("2001:db8::5");
  ResultKey before = key(), after = key();
  before.target = key().target.substr(0, key().target.size() - 1);
  after.target += "0";
  for (const ResultKey& of : {key(), six, before, after}) closed(ledger, of);
  ledger.flush();
  std::vector<ResultKey> found;
  for (const ResultState& result : ledger.results_of(key().target)) found.push_back(result.key);
  EXPECT_THAT(found, ElementsAre(six, key())) << "IPv6 sorts before IPv4";
  EXPECT_TRUE(ledger.results_of("nobody").empty());
  std::size_t count = 0;
  ledger.each_result([&](const ResultState&) { ++count; });
  EXPECT_EQ(count, 4U);
}

// A walk lets the loop write between its portions: what was there all the time is seen once, in order.
TEST_F(LedgerTest, AWalkThroughResultsGoesOnWhileTheyChange) {
  Ledger ledger(options());
  const int all = 2 * static_cast<int>(Ledger::kPortion) + 7;
  for (int i = 0; i < all; ++i) closed(ledger, key(i));
  ledger.flush();
  EXPECT_EQ(ledger.result_count(), static_cast<std::size_t>(all));
  std::vector<ResultKey> seen;
  std::size_t portions = 0;
  ledger.each_result(
      [&](const ResultState& result, const Case* open) {
        EXPECT_EQ(open, nullptr);
        seen.push_back(result.key);
      },
      [&] {
        ++portions;
        // The one that was taken last goes, one that comes later goes too, and a new one appears behind both.
        ledger.retire(seen.back());
        ledger.retire(key(all - 1));
        closed(ledger, {"zz", seen.back().address, 25, Transport::tcp, "smtp_relay"});
        ledger.flush();
      });
  EXPECT_EQ(portions, 3U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
  EXPECT_THAT(seen, testing::Not(testing::Contains(key(all - 1))));
  EXPECT_GE(seen.size(), static_cast<std::size_t>(all - 2));
}

TEST_F(LedgerTest, AWalkShowsTheOpenCase) {
  Ledger ledger(options());
  closed(ledger, key(1));
  accepted(ledger);
  ledger.flush();
  std::map<ResultKey, std::string> cases;
  ledger.each_result([&](const ResultState& result, const Case* open) { cases[result.key] = open == nullptr ? "" : open->id; },
                     [] {});
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[key(1)], "");
  EXPECT_EQ(cases[key()], ledger.cases().at(0).id);
}

TEST_F(LedgerTest, EvidenceOfTheLatestAndOfTheLatestNotClosed) {
  Ledger ledger(options());
  accepted(ledger);
  now += minutes(5);
  closed(ledger);
  now += minutes(5);
  closed(ledger);
  ledger.flush();
  EXPECT_EQ(ledger.latest(key())->started, kNoon + minutes(10));
  EXPECT_EQ(ledger.latest_not_closed(key())->started, kNoon);
  EXPECT_EQ(ledger.latest_not_closed(key())->finding.verdict, Verdict::accepted);
  closed(ledger, key(1));
  ledger.flush();
  EXPECT_FALSE(ledger.latest_not_closed(key(1)));
}

TEST_F(LedgerTest, CasesAreCountedByCheckAndOwner) {
  Ledger ledger(options());
  for (const int times : {0, 1}) {
    accepted(ledger);
    now += minutes(5 + times);
    if (times == 1) accepted(ledger);
    now += minutes(5);
    closed(ledger);
    now += minutes(5);
    EXPECT_TRUE(closed(ledger).closed);
    now += minutes(5);
  }
  accepted(ledger, key(1));
  EXPECT_TRUE(ledger.retire(key(1)).closed);
  ledger.flush();
  const auto counts = ledger.case_counts();
  ASSERT_EQ(counts.size(), 1U);
  EXPECT_EQ(counts[0].check, "smtp_relay");
  EXPECT_EQ(counts[0].owner, "mail-team");
  EXPECT_EQ(counts[0].opened, 2U);
  EXPECT_EQ(counts[0].reopened, 1U);
  EXPECT_EQ(counts[0].fixed, 2U);
  EXPECT_EQ(counts[0].retired, 1U);
  ASSERT_EQ(counts[0].durations.size(), 3U);
  EXPECT_DOUBLE_EQ(counts[0].durations[0], 600);
}

TEST_F(LedgerTest, CasesAreListedNewestFirst) {
  Ledger ledger(options());
  for (int i = 0; i < 3; ++i) {
    accepted(ledger, key(i));
    now += minutes(1);
  }
  ledger.flush();
  const auto cases = ledger.cases();
  ASSERT_EQ(cases.size(), 3U);
  EXPECT_EQ(cases[0].key, key(2));
  EXPECT_EQ(cases[2].key, key(0));
  EXPECT_EQ(ledger.find_case(cases[1].id)->key, key(1));
  EXPECT_FALSE(ledger.find_case("nobody"));
}

TEST_F(LedgerTest, TotalsCountResultsAndOpenCases) {
  Ledger ledger(options());
  for (int i = 0; i < 3; ++i) accepted(ledger, key(i));
  closed(ledger, key(3));
  ledger.retire(key(0));
  EXPECT_EQ(ledger.totals().results, 0U);
  ledger.flush();
  EXPECT_EQ(ledger.totals().results, 3U);
  EXPECT_EQ(ledger.totals().open_cases, 2U);
}

TEST_F(LedgerTest, RetiringKeepsTheCaseAndForgetsTheResult) {
  Ledger ledger(options());
  accepted(ledger);
  ledger.flush();
  now += minutes(5);
  const Change change = ledger.retire(key());
  EXPECT_TRUE(change.closed);
  EXPECT_EQ(change.exposure->status, CaseStatus::retired);
  ledger.flush();
  EXPECT_TRUE(ledger.results().empty());
  EXPECT_FALSE(ledger.latest(key()));
  ASSERT_EQ(ledger.cases().size(), 1U);
  EXPECT_EQ(ledger.cases()[0].how, "retired");
  EXPECT_EQ(ledger.cases()[0].closed, now);
  EXPECT_FALSE(ledger.retire(key()).closed);
  // Back soon: the case goes on.
  EXPECT_TRUE(accepted(ledger).reopened);
  ledger.flush();
  EXPECT_EQ(ledger.cases().size(), 1U);
  EXPECT_EQ(ledger.latest(key())->started, now);
}

TEST_F(LedgerTest, RetiredAndBackBeforeAFlushIsANewResult) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    ledger.apply(probe(Verdict::unclear, Reason::timeout, now));
    ledger.flush();
    ledger.retire(key());
    closed(ledger);
    ledger.flush();
    EXPECT_FALSE(ledger.latest_not_closed(key()));
  }
  const Ledger ledger(options(folder / "ajar.db"));
  ASSERT_EQ(ledger.results().size(), 1U);
  EXPECT_EQ(ledger.result(key())->level, Verdict::closed);
  EXPECT_FALSE(ledger.latest_not_closed(key()));
}

// -- messages and arrivals --

TEST_F(LedgerTest, OneMessageOfAClassInTheInterval) {
  Ledger ledger(options());
  EXPECT_EQ(ledger.ask_to_send(message("t1")), Permit::granted);
  EXPECT_EQ(ledger.ask_to_send(message("t2")), Permit::pending);
  EXPECT_EQ(ledger.ask_to_send(message("t2", key(0, "renamed"))),
            Permit::pending);  // the endpoint counts, not its target's name
  EXPECT_EQ(ledger.ask_to_send(message("t3", key(1))), Permit::granted);
  Message other = message("t4");
  other.variant_class = "null";
  EXPECT_EQ(ledger.ask_to_send(other), Permit::granted);
  now += minutes(15);
  EXPECT_EQ(ledger.ask_to_send(message("t2")), Permit::recently_sent);
  ledger.expire();
  EXPECT_EQ(ledger.ask_to_send(message("t2")), Permit::recently_sent);
  now = kNoon + hours(24);
  EXPECT_EQ(ledger.ask_to_send(message("t2")), Permit::granted);
  now += minutes(1);
  EXPECT_EQ(ledger.apply(arrival("t2", now)).first, ArrivalResult::proved);
  EXPECT_EQ(ledger.ask_to_send(message("t5")), Permit::recently_sent);
}

TEST_F(LedgerTest, AGrantedMessageIsKnownAfterARestart) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    accepted(ledger);
    ledger.flush();
    ASSERT_EQ(ledger.ask_to_send(message("t1")), Permit::granted);
  }
  Ledger ledger(options(folder / "ajar.db"));
  EXPECT_EQ(ledger.ask_to_send(message("t2")), Permit::pending);
  now += minutes(1);
  const auto [result, change] = ledger.apply(arrival("t1", now));
  EXPECT_EQ(result, ArrivalResult::proved);
  EXPECT_TRUE(change.raised);
  EXPECT_EQ(ledger.result(key())->level, Verdict::open);
}

TEST_F(LedgerTest, AnArrivalRaisesTheVerdictAndEntersTheEvidence) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  ledger.flush();
  now += minutes(3);
  const auto [result, change] = ledger.apply(arrival("t1", now));
  EXPECT_EQ(result, ArrivalResult::proved);
  EXPECT_TRUE(change.raised);
  const auto state = ledger.result(key());  // committed and visible without a flush
  EXPECT_EQ(state->level, Verdict::open);
  EXPECT_EQ(state->reason, Reason::message_delivered);
  EXPECT_EQ(state->last_level, Verdict::open);
  EXPECT_THAT(state->must_ask, ElementsAre("external/plain"));
  const auto exposure = ledger.find_case(*state->case_id);
  EXPECT_EQ(exposure->level, Verdict::open);
  EXPECT_THAT(exposure->exit_addresses, ElementsAre("203.0.113.9"));
  for (const auto& record : {ledger.latest(key()), ledger.latest_not_closed(key())}) {
    EXPECT_EQ(record->finding.verdict, Verdict::open);
    EXPECT_EQ(record->finding.variants[0].verdict, Verdict::open);
    EXPECT_EQ(record->finding.variants[0].reason, Reason::message_delivered);
    EXPECT_THAT(record->finding.exit_addresses, ElementsAre("203.0.113.9"));
  }
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::replayed);
  EXPECT_EQ(ledger.apply(arrival("tx", now)).first, ArrivalResult::unknown_token);
}

TEST_F(LedgerTest, AnArrivalMayOutrunItsProbesRecord) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::proved);
  EXPECT_TRUE(ledger.results().empty());
  const Change change = accepted(ledger);
  EXPECT_TRUE(change.opened);
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->level, Verdict::open);
  EXPECT_EQ(ledger.result(key())->reason, Reason::message_delivered);
  EXPECT_EQ(ledger.latest(key())->finding.verdict, Verdict::open);
  EXPECT_THAT(ledger.cases().at(0).exit_addresses, ElementsAre("203.0.113.9"));
}

TEST_F(LedgerTest, AnArrivalMayOutrunALaterProbesRecordToo) {
  Ledger ledger(options());
  closed(ledger);
  ledger.flush();
  now += hours(1);
  ledger.ask_to_send(message("t1", key(), "00000000000000bb"));
  EXPECT_TRUE(ledger.apply(arrival("t1", now)).second.opened);
  EXPECT_EQ(ledger.latest(key())->finding.verdict, Verdict::closed);  // that probe was refused: its record stays
  ledger.apply(probe(Verdict::accepted, Reason::token_pending, now, key(), "00000000000000bb"));
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->level, Verdict::open);
  EXPECT_EQ(ledger.result(key())->last_level, Verdict::open);
  EXPECT_EQ(ledger.latest(key())->finding.verdict, Verdict::open);
}

TEST_F(LedgerTest, AnArrivalWhoseFirstRecordNeverCameIsJudgedWithTheNext) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    ledger.ask_to_send(message("t1"));
    ledger.apply(arrival("t1", now));
  }
  Ledger ledger(options(folder / "ajar.db"));  // the agent was killed before the probe ended
  now += minutes(1);
  const Change change = ledger.apply(probe(Verdict::closed, Reason::refused, now, key(), "00000000000000bb"));
  EXPECT_TRUE(change.opened);
  EXPECT_TRUE(change.confirm);
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->level, Verdict::open);
  EXPECT_EQ(ledger.result(key())->last_level, Verdict::closed);
  now += minutes(5);
  EXPECT_TRUE(ledger.apply(probe(Verdict::closed, Reason::refused, now, key(), "00000000000000cc")).closed);
}

TEST_F(LedgerTest, ALateArrivalIsEvidenceOfThePastCase) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  now += minutes(5);
  closed(ledger);
  now += minutes(5);
  closed(ledger);
  now += hours(3);
  const auto [result, change] = ledger.apply(arrival("t1", now));
  EXPECT_EQ(result, ArrivalResult::late);
  EXPECT_FALSE(change.opened || change.raised || change.reopened);
  EXPECT_EQ(ledger.result(key())->level, Verdict::closed);
  ASSERT_EQ(ledger.cases().size(), 1U);
  EXPECT_EQ(ledger.cases()[0].status, CaseStatus::closed);
  EXPECT_THAT(ledger.cases()[0].late, ElementsAre(HasSubstr("203.0.113.9")));
}

TEST_F(LedgerTest, AnArrivalFindsTheEndpointUnderItsNewName) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  accepted(ledger, key(0, "renamed"));
  ledger.retire(key());
  now += minutes(1);
  EXPECT_TRUE(ledger.apply(arrival("t1", now)).second.raised);
  EXPECT_EQ(ledger.result(key(0, "renamed"))->level, Verdict::open);
}

TEST_F(LedgerTest, AnArrivalForARetiredResultIsOfThePast) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  now += minutes(1);
  ledger.retire(key());
  now += minutes(1);
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::late);
  EXPECT_EQ(ledger.cases().at(0).late.size(), 1U);
  EXPECT_EQ(ledger.cases().at(0).status, CaseStatus::retired);
}

TEST_F(LedgerTest, WhatProvesNothingChangesNoVerdict) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  Arrival bounce = arrival("t1", now);
  bounce.proof = false;
  EXPECT_EQ(ledger.apply(bounce).first, ArrivalResult::noted);
  EXPECT_EQ(ledger.apply(bounce).first, ArrivalResult::noted);
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->level, Verdict::accepted);
  EXPECT_EQ(ledger.latest(key())->finding.observations.size(), 1U);
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::proved);  // the proof itself still counts
}

TEST_F(LedgerTest, WithoutAMessageAReturnedTokenSaysSo) {
  Ledger ledger(options());
  ResultKey proxy = key();
  proxy.check = "http_connect";
  ledger.remember(message("t1", proxy));
  closed(ledger, proxy);
  Arrival tunnel = arrival("t1", now);
  tunnel.kind = CanaryKind::tcp;
  tunnel.message = false;
  EXPECT_TRUE(ledger.apply(tunnel).second.opened);
  EXPECT_EQ(ledger.result(proxy)->reason, Reason::token_returned);
  EXPECT_EQ(ledger.ask_to_send(message("t2", proxy)), Permit::granted);  // a remembered token is no message
}

// A server that reads our message and says or fetches the token that stands in it has not carried the message.
TEST_F(LedgerTest, ATokenOfAMessageThatComesWithoutTheMessageProvesNothing) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  for (const CanaryKind kind : {CanaryKind::tcp, CanaryKind::smtp}) {
    Arrival alone = arrival("t1", now);
    alone.kind = kind;
    alone.message = false;
    EXPECT_EQ(ledger.apply(alone).first, ArrivalResult::noted);
  }
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->level, Verdict::accepted);
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::proved);
}

TEST_F(LedgerTest, AMessageRefusedAfterDataHoldsNoOtherBackAndStillProves) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  ledger.not_sent("t1");
  EXPECT_EQ(ledger.ask_to_send(message("t2", key(), "00000000000000bb")), Permit::granted);
  closed(ledger);
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::proved);
  EXPECT_EQ(ledger.result(key())->level, Verdict::open);
  EXPECT_EQ(ledger.result(key())->reason, Reason::message_delivered);
}

TEST_F(LedgerTest, AnOpenCaseKeepsTheEvidenceOfItsYes) {
  Ledger ledger(options());
  accepted(ledger);
  now += minutes(5);
  ledger.apply(probe(Verdict::unreachable, Reason::timeout, now));
  ledger.flush();
  EXPECT_EQ(ledger.latest(key())->finding.verdict, Verdict::unreachable);
  EXPECT_EQ(ledger.latest_not_closed(key())->finding.verdict, Verdict::accepted);
}

TEST_F(LedgerTest, ADeadlineThatPassesIsNoProof) {
  Ledger ledger(options());
  Message second = message("t2");
  second.variant_class = "null";
  ledger.ask_to_send(message("t1"));
  now += minutes(1);
  ledger.ask_to_send(second);
  accepted(ledger);
  ledger.expire();
  now = kNoon + minutes(15);
  ledger.expire();
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->reason, Reason::token_pending);  // the second is still on its way
  now += minutes(1);
  ledger.expire();
  ledger.flush();
  const auto state = ledger.result(key());
  EXPECT_EQ(state->level, Verdict::accepted);
  EXPECT_EQ(state->reason, Reason::no_proof);
  EXPECT_EQ(state->last_reason, Reason::no_proof);
  EXPECT_EQ(ledger.find_case(*state->case_id)->reason, Reason::no_proof);
  EXPECT_EQ(ledger.latest(key())->finding.reason, Reason::no_proof);
  EXPECT_EQ(ledger.latest(key())->finding.variants[0].reason, Reason::no_proof);
  EXPECT_EQ(ledger.latest_not_closed(key())->finding.reason, Reason::no_proof);
  now += hours(5);
  EXPECT_TRUE(ledger.apply(arrival("t1", now)).second.raised);  // hours later too
}

TEST_F(LedgerTest, ADeadlineAfterTheProofChangesNothing) {
  Ledger ledger(options());
  ledger.ask_to_send(message("t1"));
  accepted(ledger);
  ledger.apply(arrival("t1", now));
  now += hours(1);
  ledger.expire();
  ledger.flush();
  EXPECT_EQ(ledger.result(key())->reason, Reason::message_delivered);
}

TEST_F(LedgerTest, OldTokensAndCasesAreDropped) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    ledger.ask_to_send(message("t1"));
    accepted(ledger);
    accepted(ledger, key(1));
    now += minutes(5);
    closed(ledger, key(1));
    now += minutes(5);
    closed(ledger, key(1));
    ledger.flush();
    now = kNoon + hours(120);
    ledger.expire();
    ledger.flush();
    EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::unknown_token);
    EXPECT_EQ(ledger.cases().size(), 2U);
    now = kNoon + hours(24 * 401);
    ledger.expire();
    ledger.flush();
    ASSERT_EQ(ledger.cases().size(), 1U);
    EXPECT_EQ(ledger.cases()[0].status, CaseStatus::open);  // never an open one
  }
  Ledger ledger(options(folder / "ajar.db"));
  EXPECT_EQ(ledger.cases().size(), 1U);
  EXPECT_EQ(ledger.apply(arrival("t1", now)).first, ArrivalResult::unknown_token);
}

// -- restart --

// Everything a reader can see, as text.
std::string picture(const Ledger& ledger) {
  std::string text;
  const auto ms = [](const std::optional<Time>& time) { return time ? time->time_since_epoch().count() : -1; };
  for (const auto& state : ledger.results()) {
    text += fmt::format(
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}\n", state.key.target,
        state.key.address.to_string(), state.key.port, state.host, state.owner, to_string(state.tls), to_string(state.level),
        to_string(state.reason), state.because, state.change_to ? to_string(*state.change_to) : "-", ms(state.change_since),
        to_string(state.last_level), to_string(state.last_reason), ms(state.last_probe), ms(state.last_conclusive),
        ms(state.closed_since), ms(state.last_full_matrix), state.case_id.value_or("-"), fmt::join(state.must_ask, ","),
        state.retries.size(), ms(state.retries_since), ms(state.due), state.refusals,
        state.retries.empty() ? "" : state.retries[0].variant + state.retries[0].token + state.retries[0].sender_token);
    for (const auto& record : {ledger.latest(state.key), ledger.latest_not_closed(state.key)}) {
      text += "  " + (record ? serialise(*record) : "none") + "\n";
    }
  }
  for (const auto& one : ledger.cases()) {
    text += fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {}\n", one.id, one.key.target, one.owner, to_string(one.status),
                        to_string(one.level), to_string(one.reason), ms(one.first_seen), ms(one.last_confirmed), ms(one.closed),
                        one.how, one.reopened, fmt::join(one.variants, ","), fmt::join(one.exit_addresses, ","),
                        fmt::join(one.late, ","));
    for (const Arrival& came : one.arrivals.list()) text += "  " + to_json(came).dump() + "\n";
  }
  for (int number = 0; number < 5; ++number) {
    for (const LevelChange& change : ledger.history(key(number))) {
      text += fmt::format("{} {} {} {}\n", number, ms(change.time), to_string(change.level), to_string(change.reason));
    }
  }
  for (const auto& one : ledger.case_counts()) {
    text += fmt::format("{} {} {} {} {} {}\n", one.check, one.owner, one.opened, one.reopened, one.fixed, one.retired);
  }
  return text + (ledger.paused() ? "paused" : "running") + "\n";
}

// A step of a fixed history: five endpoints, each with its own fate. Every step ends in a commit.
void history(Ledger& ledger, int step, Time& now) {
  static const std::vector<std::string> fates = {"accPaaccoc", "caaPncccoun", "oPaccaRua", "uuccaaPuccR", "naPccccaac"};
  now = kNoon + minutes(7) * step;
  const int number = step % 5;
  const auto round = static_cast<std::size_t>(step / 5);
  const std::string& fate = fates[static_cast<std::size_t>(number)];
  const auto token = [&](std::size_t of) { return fmt::format("t{}-{}", number, of); };
  const auto id = fmt::format("{:016x}", step);
  ledger.expire();
  switch (fate[round % fate.size()]) {
    case 'c':
      ledger.apply(probe(Verdict::closed, Reason::refused, now, key(number), id));
      break;
    case 'n':
      ledger.apply(probe(Verdict::unreachable, Reason::timeout, now, key(number), id));
      break;
    case 'o':
      ledger.apply(probe(Verdict::open, Reason::token_returned, now, key(number), id));
      break;
    case 'R':
      ledger.retire(key(number));
      break;
    case 'u': {
      Record record = probe(Verdict::unclear, Reason::greylisted, now, key(number), id);
      record.finding.retries = {{"external/plain", token(round), "sender"}};
      ledger.apply(record);
      break;
    }
    case 'a':
      ledger.ask_to_send(message(token(round), key(number), id));
      ledger.apply(probe(Verdict::accepted, Reason::token_pending, now, key(number), id));
      break;
    case 'P':  // the token of the latest `a` or of none
      for (std::size_t back = round; back-- > 0;) {
        if (fate[back % fate.size()] != 'a') continue;
        ledger.apply(arrival(token(back), now));
        break;
      }
      break;
    default:
      FAIL();
  }
  ledger.set_due(key(number), now + hours(1));
  ledger.set_paused(step % 11 == 0);
  ledger.set_cursor("canary", step);
  ledger.flush();
}

LedgerOptions history_options(const std::string& path, Time& now) {
  LedgerOptions options;
  options.path = path;
  options.heartbeat_interval = milliseconds(0);  // all that is shown is committed: what waits is for ledger_heartbeats_test.cc
  options.now = [&now] { return now; };
  options.message_interval = minutes(20);
  return options;
}

TEST(LedgerRestart, SeesWhatItSawBefore) {
  const TempDir folder;
  Time now = kNoon;
  for (const int steps : {3, 17, 60, 140}) {
    const std::string path = folder / fmt::format("{}.db", steps);
    std::string before;
    {
      Ledger ledger(history_options(path, now));
      for (int step = 0; step < steps; ++step) history(ledger, step, now);
      before = picture(ledger);
    }
    const Ledger ledger(history_options(path, now));
    EXPECT_EQ(picture(ledger), before);
    EXPECT_EQ(ledger.cursor("canary"), steps - 1);
    EXPECT_EQ(ledger.cursor("other"), 0);
    EXPECT_TRUE(ledger.notes().empty());
    EXPECT_GT(before.size(), 100U);
  }
}

constexpr int kSteps = 700;

// The child of the next test: goes on with the history from `step` and says each step that is committed.
[[noreturn]] void live_history(const std::string& path, int step, int out) {
  Time now = kNoon;
  Ledger ledger(history_options(path, now));
  for (; step < kSteps; ++step) {
    history(ledger, step, now);
    if (::write(out, &step, sizeof step) != sizeof step) ::_exit(1);
  }
  ::_exit(0);
}

TEST(LedgerRestart, KilledAtAnyMomentLosesNothingThatWasShown) {
  const TempDir folder;
  const std::string path = folder / "ajar.db";
  Time now = kNoon;
  std::vector<std::string> pictures;  // after each step, by a ledger that nobody kills
  {
    Ledger undisturbed(history_options(":memory:", now));
    for (int step = 0; step < kSteps; ++step) {
      history(undisturbed, step, now);
      pictures.push_back(picture(undisturbed));
    }
  }
  std::mt19937 random(20260102);
  int next = 0;
  for (int round = 0; round < 20 && next < kSteps; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) live_history(path, next, pipe_ends[1]);
    ::close(pipe_ends[1]);
    int said = next - 1, step = 0;
    const int until = next + static_cast<int>(random() % 30);
    while (said < until && ::read(pipe_ends[0], &step, sizeof step) == sizeof step) said = step;
    for (auto spin = random() % 1'000'000; spin > 0; --spin) asm volatile("");
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    while (::read(pipe_ends[0], &step, sizeof step) == sizeof step) said = step;
    ::close(pipe_ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || said == kSteps - 1);

    const Ledger ledger(history_options(path, now));
    EXPECT_TRUE(ledger.notes().empty());
    const std::string found = picture(ledger);
    // All that was said is there; the step after it may be, whole.
    const bool one_more =
        said + 1 < kSteps && found != (said < 0 ? std::string("running\n") : pictures[static_cast<std::size_t>(said)]);
    next = said + (one_more ? 2 : 1);
    ASSERT_EQ(found, next == 0 ? "running\n" : pictures[static_cast<std::size_t>(next - 1)])
        << "round " << round << " step " << next;
  }
  EXPECT_GT(next, 100);
}

// -- files --

TEST_F(LedgerTest, ASecondAgentIsRefusedByName) {
  const TempDir folder;
  {
    const Ledger ledger(options(folder / "ajar.db"));
    EXPECT_THAT(open_error(options(folder / "ajar.db")),
                testing::AllOf(HasSubstr("locked by another agent"), HasSubstr(fmt::format("pid {}", ::getpid()))));
  }
  EXPECT_EQ(open_error(options(folder / "ajar.db")), "opened");
}

TEST_F(LedgerTest, AKilledAgentLeavesNoLock) {
  const TempDir folder;
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const Ledger ledger(options(folder / "ajar.db"));
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THAT(open_error(options(folder / "ajar.db")), HasSubstr(fmt::format("pid {}", child)));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(open_error(options(folder / "ajar.db")), "opened");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(LedgerTest, AMissingFolderIsSaid) {
  const TempDir folder;
  EXPECT_THAT(open_error(options(folder / "nowhere/ajar.db")), HasSubstr("No such file or directory"));
}

TEST_F(LedgerTest, ANewerSchemaIsRefused) {
  const TempDir folder;
  {
    const Ledger ledger(options(folder / "ajar.db"));
  }
  sql(folder / "ajar.db", "PRAGMA user_version=99");
  const std::string before = content(folder / "ajar.db");
  EXPECT_THAT(open_error(options(folder / "ajar.db")), testing::AllOf(HasSubstr("newer ajar"), HasSubstr("99")));
  EXPECT_EQ(content(folder / "ajar.db"), before);  // left as it was
}

TEST_F(LedgerTest, SomebodyElsesDatabaseIsRefused) {
  const TempDir folder;
  sql(folder / "ajar.db", "CREATE TABLE songs(title TEXT)");
  EXPECT_THAT(open_error(options(folder / "ajar.db")), HasSubstr("another program"));
  EXPECT_THAT(files(folder.path()), testing::UnorderedElementsAre("ajar.db", "ajar.db.lock"));
}

TEST_F(LedgerTest, ListingsAreKept) {
  const TempDir folder;
  Listing listing;
  listing.zone = "bl.example";
  listing.subject = {DnsblKind::ipv4, "203.0.113.5"};
  listing.listed = true;
  listing.tier = ListingTier::page;
  listing.codes = {{"127.0.0.9", "open HTTP proxy", CodeEffect::listing, ListingCause::proxy, ListingTier::page},
                   {"127.0.0.1", "known as good", CodeEffect::praise, ListingCause::unknown, ListingTier::info}};
  listing.text = "see https://bl.example/";
  listing.since = kNoon - hours(5);
  listing.checked = kNoon;
  Listing clean = listing;
  clean.subject = {DnsblKind::ipv6, "2001:db8::5"};
  clean.listed = false;
  clean.codes.clear();
  Listing gone = clean;
  gone.subject = {DnsblKind::domain, "example.org"};
  Listing old = clean;
  old.zone = "old.example";
  old.checked = kNoon - hours(24 * 31);
  {
    Ledger ledger(options(folder / "ajar.db"));
    for (const Listing& each : {listing, clean, gone, old}) ledger.keep(each);
    ledger.flush();
    ledger.forget({gone.zone, gone.subject});
    ledger.flush();
  }
  {
    Ledger ledger(options(folder / "ajar.db"));
    EXPECT_THAT(ledger.take_listings(), testing::UnorderedElementsAre(listing, clean));
    EXPECT_THAT(ledger.take_listings(), testing::IsEmpty());
    ledger.flush();
  }
  sql(folder / "ajar.db", "UPDATE listings SET codes='[[1]]' WHERE kind='IPv4'");
  Ledger ledger(options(folder / "ajar.db"));
  EXPECT_THAT(ledger.take_listings(), testing::ElementsAre(clean));
  EXPECT_THAT(ledger.notes(), testing::Contains(HasSubstr("1 rows make no sense")));
}

TEST_F(LedgerTest, RefusedConnectionsAreCountedAcrossRestarts) {
  const TempDir folder;
  const auto refused = [&] {
    Ledger ledger(options(folder / "ajar.db"));
    now += hours(1);
    return ledger.apply(probe(Verdict::closed, Reason::nobody_listens, now)).closed;
  };
  {
    Ledger ledger(options(folder / "ajar.db"));
    accepted(ledger);
  }
  EXPECT_FALSE(refused());
  EXPECT_FALSE(refused());
  EXPECT_FALSE(refused());
  EXPECT_TRUE(refused());
}

TEST_F(LedgerTest, TheFirstSchemaIsStillRead) {
  const TempDir folder;
  sql(folder / "ajar.db", content(AJAR_SOURCE_DIR "/tests/golden/ledger_v1.sql"));
  Ledger ledger(options(folder / "ajar.db"));
  EXPECT_THAT(files(folder.path()), testing::Not(testing::Contains(HasSubstr("corrupt"))));
  ASSERT_EQ(ledger.results().size(), 2U);
  const auto open = ledger.result(key(0));
  ASSERT_TRUE(open);
  EXPECT_EQ(open->level, Verdict::open);
  EXPECT_EQ(open->reason, Reason::message_delivered);
  EXPECT_EQ(open->last_probe, kNoon);
  EXPECT_EQ(open->due, kNoon + hours(1));
  EXPECT_THAT(open->must_ask, ElementsAre("external/plain"));
  ASSERT_TRUE(open->case_id);
  const auto exposure = ledger.find_case(*open->case_id);
  ASSERT_TRUE(exposure);
  EXPECT_THAT(exposure->exit_addresses, ElementsAre("203.0.113.9"));
  ASSERT_TRUE(ledger.latest(key(0)));
  EXPECT_EQ(ledger.latest(key(0))->transcript.at(0), "S: 220 mx.example.org ESMTP");
  EXPECT_EQ(ledger.result(key(1))->retries.at(0).token, "t9");
  EXPECT_EQ(ledger.case_counts().at(0).opened, 1U);
  EXPECT_EQ(ledger.cursor("canary"), 42);
  EXPECT_TRUE(ledger.paused());
  EXPECT_EQ(ledger.apply(arrival("t1", kNoon)).first, ArrivalResult::replayed);
}

TEST_F(LedgerTest, AnOldStateTakesSuspicionsInAndLeavesOutWhatMakesNoSense) {
  const TempDir folder;
  sql(folder / "ajar.db", content(AJAR_SOURCE_DIR "/tests/golden/ledger_v1.sql"));
  Suspicion proxy;
  proxy.key = {*IpAddress::parse("203.0.113.5"), 3128, std::string(kShadowserver), "scan_http_proxy", ""};
  proxy.reported = proxy.imported = kNoon;
  proxy.saw = {{"via", "1.1 \\xff"}, {"server", "squid"}};
  Suspicion other = proxy;
  other.key.port = 8080;
  {
    Ledger ledger(options(folder / "ajar.db"));
    EXPECT_EQ(ledger.keep(proxy), SuspicionKept::added);
    EXPECT_EQ(ledger.keep(other), SuspicionKept::added);
    ledger.flush();
    EXPECT_FALSE(ledger.failing()) << ledger.failure();
  }
  {
    const Ledger ledger(options(folder / "ajar.db"));
    EXPECT_THAT(ledger.suspicions(), ElementsAre(proxy, other));
  }
  sql(folder / "ajar.db", "UPDATE suspicions SET saw='[[\"via\"]]' WHERE port=8080");
  const Ledger ledger(options(folder / "ajar.db"));
  EXPECT_THAT(ledger.suspicions(), ElementsAre(proxy));
  EXPECT_THAT(ledger.notes(), testing::Contains(HasSubstr("1 rows make no sense")));
}

TEST_F(LedgerTest, RowsThatMakeNoSenseAreLeftOutAndSaid) {
  const TempDir folder;
  {
    Ledger ledger(options(folder / "ajar.db"));
    accepted(ledger);
    closed(ledger, key(1));
    closed(ledger, key(2));
  }
  sql(folder / "ajar.db",
      "UPDATE results SET level='clean' WHERE target='mx0'; UPDATE results SET address='nowhere' WHERE target='mx1'");
  Ledger ledger(options(folder / "ajar.db"));
  ASSERT_EQ(ledger.notes().size(), 1U);
  EXPECT_THAT(ledger.notes()[0], HasSubstr("2 rows"));
  ASSERT_EQ(ledger.results().size(), 2U);
  // The open case has not lost its result: it is due at once and goes on.
  EXPECT_EQ(ledger.result(key(0))->level, Verdict::accepted);
  EXPECT_EQ(ledger.result(key(0))->due, Time{});
  closed(ledger);
  now += minutes(5);
  EXPECT_TRUE(closed(ledger).closed);
}

class Corrupt : public LedgerTest {
 protected:
  // A ledger of some size, cleanly closed.
  void fill(const std::string& path) {
    Ledger ledger(options(path));
    for (int i = 0; i < 300; ++i) accepted(ledger, key(i));
    ledger.flush();
  }
  void expect_moved_aside(const TempDir& folder, const std::string& damaged) {
    Ledger ledger(options(folder / "ajar.db"));
    ASSERT_EQ(ledger.notes().size(), 1U);
    EXPECT_THAT(ledger.notes()[0],
                testing::AllOf(HasSubstr("corrupt"), HasSubstr("moved aside to"), HasSubstr("starting anew")));
    EXPECT_EQ(content(folder / "ajar.db.corrupt-20260102T120000"), damaged);
    EXPECT_TRUE(ledger.results().empty());
    closed(ledger);
    ledger.flush();
    EXPECT_FALSE(ledger.failing());
    EXPECT_EQ(ledger.results().size(), 1U);
  }
};

TEST_F(Corrupt, GarbageIsMovedAside) {
  const TempDir folder;
  const std::string garbage(100'000, 'x');
  std::ofstream(folder / "ajar.db") << garbage;
  expect_moved_aside(folder, garbage);
  // Again in the same second: nothing is overwritten.
  std::ofstream(folder / "ajar.db") << "no database" << std::string(5000, 'y');
  const Ledger ledger(options(folder / "ajar.db"));
  EXPECT_TRUE(fs::exists(folder / "ajar.db.corrupt-20260102T120000-2"));
}

TEST_F(Corrupt, ATruncatedFileIsMovedAside) {
  const TempDir folder;
  fill(folder / "ajar.db");
  fs::resize_file(folder / "ajar.db", fs::file_size(folder / "ajar.db") / 2 / 4096 * 4096);
  expect_moved_aside(folder, content(folder / "ajar.db"));
}

TEST_F(Corrupt, AnOverwrittenPageIsMovedAside) {
  const TempDir folder;
  fill(folder / "ajar.db");
  {
    std::fstream file(folder / "ajar.db", std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(fs::file_size(folder / "ajar.db") / 2 / 4096 * 4096));
    file << std::string(4096, '\x7f');
  }
  expect_moved_aside(folder, content(folder / "ajar.db"));
}

TEST_F(Corrupt, AnEmptyFileIsANewDatabase) {
  const TempDir folder;
  std::ofstream(folder / "ajar.db").close();
  const Ledger ledger(options(folder / "ajar.db"));
  EXPECT_TRUE(ledger.notes().empty());
}

// -- a disk that refuses --

// No file of this process grows past `bytes` while it lives.
class FileLimit {
 public:
  explicit FileLimit(std::uintmax_t bytes) {
    old_signal_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_signal_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit old_{};
  sighandler_t old_signal_ = SIG_DFL;
};

// What must hold whatever refuses: `refuse` takes the room away, `allow` gives it back.
template <typename Refuse, typename Allow>
void live_through_a_full_disk(const LedgerOptions& options, Time& now, Refuse refuse, Allow allow) {
  std::string seen;
  {
    Ledger ledger(options);
    ledger.apply(probe(Verdict::closed, Reason::refused, now, key(0)));
    ledger.apply(probe(Verdict::accepted, Reason::no_proof, now, key(1)));
    ledger.apply(probe(Verdict::unclear, Reason::timeout, now, key(2)));
    ledger.flush();
    ASSERT_FALSE(ledger.failing());

    refuse();
    now += minutes(5);
    ledger.apply(probe(Verdict::open, Reason::token_returned, now, key(0)));
    ledger.flush();
    EXPECT_TRUE(ledger.failing());
    EXPECT_THAT(ledger.failure(), HasSubstr("cannot be written"));
    EXPECT_EQ(ledger.result(key(0))->level, Verdict::open);  // said all the same
    EXPECT_EQ(ledger.latest(key(0))->finding.verdict, Verdict::open);
    EXPECT_EQ(ledger.latest(key(1))->finding.verdict, Verdict::accepted);  // from the database
    EXPECT_EQ(ledger.ask_to_send(message("t1", key(1))), Permit::canary_down);
    const auto version = ledger.version();
    now += minutes(5);
    ledger.apply(probe(Verdict::closed, Reason::refused, now, key(1)));
    ledger.retire(key(2));
    ledger.set_paused(true);
    ledger.flush();
    EXPECT_TRUE(ledger.failing());
    EXPECT_GT(ledger.version(), version);
    EXPECT_EQ(ledger.results().size(), 2U);
    now += minutes(5);
    EXPECT_TRUE(ledger.apply(probe(Verdict::closed, Reason::refused, now, key(1))).closed);
    ledger.flush();
    EXPECT_TRUE(ledger.failing());

    allow();
    ledger.flush();  // nothing new is needed for it
    EXPECT_FALSE(ledger.failing());
    EXPECT_EQ(ledger.failure(), "");
    EXPECT_EQ(ledger.ask_to_send(message("t1", key(1))), Permit::granted);
    seen = picture(ledger);
  }
  const Ledger ledger(options);
  EXPECT_EQ(picture(ledger), seen);
  EXPECT_EQ(ledger.result(key(0))->level, Verdict::open);
  EXPECT_EQ(ledger.result(key(1))->level, Verdict::closed);
  EXPECT_FALSE(ledger.result(key(2)));
  EXPECT_TRUE(ledger.paused());
  EXPECT_EQ(ledger.cases().size(), 2U);
}

TEST_F(LedgerTest, AFileThatMayNotGrowIsLivedThrough) {
  const TempDir folder;
  std::optional<FileLimit> limit;
  live_through_a_full_disk(
      options(folder / "ajar.db"), now, [&] { limit.emplace(fs::file_size(folder / "ajar.db-wal")); }, [&] { limit.reset(); });
}

TEST_F(LedgerTest, AFullDiskIsLivedThrough) {
  const TempDir folder;
  // In a mount namespace of our own: gone with this process, however it ends.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", folder.path().c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "needs the right to mount a small file system";
  }
  const std::string ballast = folder / "ballast";
  const auto fill = [&] {
    const int fd = ::open(ballast.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string block(4096, 'b');
    while (::write(fd, block.data(), block.size()) > 0) {
    }
    ::close(fd);
  };
  live_through_a_full_disk(options(folder / "ajar.db"), now, fill, [&] { fs::remove(ballast); });
  // An agent that starts while the disk is full knows what it knew.
  fill();
  {
    Ledger ledger(options(folder / "ajar.db"));
    EXPECT_EQ(ledger.results().size(), 2U);
    ledger.apply(probe(Verdict::unclear, Reason::timeout, now, key(3)));
    ledger.flush();
    EXPECT_TRUE(ledger.failing());
    EXPECT_EQ(ledger.results().size(), 3U);
    fs::remove(ballast);
    ledger.flush();
    EXPECT_FALSE(ledger.failing());
  }
  EXPECT_EQ(Ledger(options(folder / "ajar.db")).results().size(), 3U);
  ::umount2(folder.path().c_str(), MNT_DETACH);
}

TEST_F(LedgerTest, ANewDatabaseThatCannotBeMadeIsAnError) {
  const TempDir folder;
  const FileLimit limit(0);
  EXPECT_THAT(open_error(options(folder / "ajar.db")), HasSubstr("cannot be used"));
}

// -- size and threads --

TEST_F(LedgerTest, AFlushWritesOnlyWhatChanged) {
  const TempDir folder;
  Ledger ledger(options(folder / "ajar.db"));
  for (int i = 0; i < 3000; ++i) closed(ledger, key(i));
  ledger.flush();
  const auto before = fs::file_size(folder / "ajar.db-wal");
  now += hours(1);
  closed(ledger, key(1500));
  ledger.flush();
  EXPECT_EQ(ledger.result(key(1500))->last_probe, now);
  EXPECT_LT(fs::file_size(folder / "ajar.db-wal"), before + 64 * 1024);
}

TEST_F(LedgerTest, ReadersOfOtherThreadsSeeWholeChanges) {
  Ledger ledger(options());
  std::atomic<bool> done{false};
  std::atomic<int> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        // Both results are flushed together; a case exists where a result names one.
        const auto results = ledger.results();
        if (results.size() == 1 || (results.size() == 2 && results[0].last_probe != results[1].last_probe)) ++torn;
        for (const auto& state : results) {
          if (state.case_id && !ledger.find_case(*state.case_id)) ++torn;
          ledger.latest(state.key);
        }
        ledger.version();
        ledger.failing();
      }
    });
  }
  for (int i = 0; i < 300; ++i, now += minutes(1)) {
    const auto verdict = static_cast<Verdict>(i / 3 % 5);
    ledger.apply(probe(verdict, Reason::refused, now, key(0)));
    ledger.apply(probe(verdict, Reason::refused, now, key(1)));
    ledger.flush();
  }
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace ajar
