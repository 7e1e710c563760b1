#include "agent/judge.h"

#include <map>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const Time kNoon{std::chrono::milliseconds(1767355200000)};

ResultKey key() { return {"mx1", *IpAddress::parse("203.0.113.5"), 25, Transport::tcp, "smtp_relay"}; }

Record probe(Verdict verdict, Reason reason, Time started) {
  Record record;
  record.probe_id = "00000000000000aa";
  record.key = key();
  record.owner = "mail-team";
  record.started = started;
  record.finding.verdict = verdict;
  record.finding.reason = reason;
  record.finding.because = fmt::format("{} at {}", to_string(reason), to_rfc3339(started));
  const bool yes = verdict >= Verdict::accepted;
  if (verdict != Verdict::unreachable) {
    record.finding.variants = {{"external/plain", yes ? verdict : Verdict::closed, reason, 250, "Ok"},
                               {"null/plain", Verdict::closed, Reason::refused, 554, "no"}};
  }
  return record;
}

// Plays a script, one step every five minutes, and writes down what came of each:
//   c closed  n unreachable  u unclear  a accepted  o open     a probe; each `a` and `o` sent a token at that instant
//   P3       the token that step 3 (from 0) sent comes back    ~ a day passes
// Result of a step: the judged level, then + opened, * reopened, ^ raised, - closed, ? a second probe is wanted, L late.
class Play {
 public:
  std::string run(const std::string& script) {
    std::istringstream steps(script);
    std::string written;
    for (std::string word; steps >> word; ++step_, now_ += minutes(5)) {
      if (word == "~") {
        now_ += hours(24);
        --step_;
        continue;
      }
      if (!written.empty()) written += ' ';
      written += word[0] == 'P' ? arrive(std::stoi(word.substr(1))) : ask(word[0]);
    }
    return written;
  }

  std::optional<ResultState> state;
  std::optional<Case> exposure;
  std::vector<Case> ended;
  std::map<int, Time> sent;
  Time now_ = kNoon;

 private:
  std::string ask(char letter) {
    const std::map<char, std::pair<Verdict, Reason>> letters = {{'c', {Verdict::closed, Reason::refused}},
                                                                {'n', {Verdict::unreachable, Reason::timeout}},
                                                                {'u', {Verdict::unclear, Reason::control_failed}},
                                                                {'a', {Verdict::accepted, Reason::token_pending}},
                                                                {'o', {Verdict::open, Reason::token_returned}}};
    const auto [verdict, reason] = letters.at(letter);
    if (verdict >= Verdict::accepted) sent[step_] = now_;
    return take(judge(state ? &*state : nullptr, exposure ? &*exposure : nullptr, probe(verdict, reason, now_), hours(24)));
  }

  std::string arrive(int step) {
    if (is_late(*state, sent.at(step))) return fmt::format("{}L", static_cast<int>(state->level));
    const Proof proof{"external/plain",         "00000000000000aa", sent.at(step), now_, *IpAddress::parse("203.0.113.9"),
                      Reason::message_delivered};
    return take(judge(*state, exposure ? &*exposure : nullptr, proof, hours(24)));
  }

  std::string take(const Judgement& judgement) {
    state = judgement.state;
    const Change& change = judgement.change;
    if (change.exposure) exposure = change.exposure;
    if (change.closed) ended.push_back(*change.exposure);
    check_invariants();
    return fmt::format("{}{}{}{}{}{}", static_cast<int>(state->level), change.opened ? "+" : "", change.reopened ? "*" : "",
                       change.raised ? "^" : "", change.closed ? "-" : "", change.confirm ? "?" : "");
  }

  void check_invariants() {
    EXPECT_EQ(state->case_id.has_value(), state->level >= Verdict::accepted);
    if (!state->case_id) return;
    ASSERT_TRUE(exposure);
    EXPECT_EQ(*state->case_id, exposure->id);
    EXPECT_EQ(exposure->status, CaseStatus::open);
    EXPECT_EQ(exposure->level, state->level);
    EXPECT_EQ(exposure->reason, state->reason);
    EXPECT_FALSE(exposure->closed);
    EXPECT_THAT(state->must_ask, testing::Contains("external/plain"));
  }

  int step_ = 0;
};

struct Row {
  const char* what;
  const char* script;
  const char* expected;
};

TEST(Judge, Sequences) {
  const Row table[] = {
      {"the first verdict counts at once: closed", "c", "0"},
      {"… unreachable", "n", "1"},
      {"… unclear", "u", "2"},
      {"… accepted opens a case", "a", "3+"},
      {"… open opens a case", "o", "4+"},
      {"the same again changes nothing", "c c c", "0 0 0"},
      {"a change waits for the second probe", "c u u", "0 0? 2"},
      {"… to unreachable", "c n n", "0 0? 1"},
      {"… from unreachable to closed", "n c c", "1 1? 0"},
      {"… that says otherwise", "c u c", "0 0? 0"},
      {"flapping restarts the pending change", "c u n u n n", "0 0? 0? 0? 0? 1"},
      {"a lone yes is not a case yet", "c a", "0 0?"},
      {"a confirmed yes is", "c a a", "0 0? 3+"},
      {"a yes in between is no case", "c a c c c", "0 0? 0? 0 0"},
      {"yes, unclear, yes: not in a row", "c a u a a", "0 0? 0? 0? 3+"},
      {"unclear then yes twice", "u a a", "2 2? 3+"},
      {"a proof counts at once", "c o", "0 4+"},
      {"a proof after a lone yes", "c a o", "0 0? 4+"},
      {"a proof from unreachable", "n o", "1 4+"},
      {"a case closes by two in a row", "a c c", "3+ 3? 0-"},
      {"an open one too", "o c c c", "4+ 4? 0- 0"},
      {"one closed does not close", "o c o", "4+ 4? 4"},
      {"unreachable breaks the run", "o c n c c", "4+ 4? 4 4? 0-"},
      {"unclear breaks the run", "a c u c c", "3+ 3? 3 3? 0-"},
      {"unreachable and unclear never close", "o n n n u u u n u", "4+ 4 4 4 4 4 4 4 4"},
      {"… nor change an accepted one", "a u u n n", "3+ 3 3 3 3"},
      {"accepted holds open", "o a a a", "4+ 4 4 4"},
      {"accepted breaks the run of closed", "o c a c c", "4+ 4? 4 4? 0-"},
      {"open raises accepted", "a o", "3+ 4^"},
      {"accepted again is still accepted", "a a a", "3+ 3 3"},
      {"an arrival raises at once", "a P0", "3+ 4^"},
      {"an arrival opens a case where the yes was not confirmed", "c a P1", "0 0? 4+"},
      {"… and where one closed probe came after", "c a c P1", "0 0? 0? 4+"},
      {"… which still counts as the first of two", "c a c P1 c", "0 0? 0? 4+ 0-"},
      {"a confirmed closed came after: late", "c a c c P1", "0 0? 0? 0 0L"},
      {"late for a closed case", "a c c P0", "3+ 3? 0- 0L"},
      {"late hours later, unreachable by then", "a c c n n P0", "3+ 3? 0- 0? 1 1L"},
      {"late while a new case is open", "a c c a a P0", "3+ 3? 0- 0? 3* 3L"},
      {"the new case's own token is not", "a c c a a P3", "3+ 3? 0- 0? 3* 4^"},
      {"one closed is no reason to be late", "a c P0", "3+ 3? 4^"},
      {"… and waits on for its second", "a c P0 c", "3+ 3? 4^ 0-"},
      {"a second arrival changes nothing", "a a P0 P1", "3+ 3 4^ 4"},
      {"an arrival days later", "a n n n ~ ~ P0", "3+ 3 3 3 4^"},
      {"a case that opens again soon continues", "a c c o", "3+ 3? 0- 4*"},
      {"… by an arrival too", "a c c a P3", "3+ 3? 0- 0? 4*"},
      {"after a day it is another", "a c c ~ o", "3+ 3? 0- 4+"},
      {"and again", "o c c o c c o", "4+ 4? 0- 4* 4? 0- 4*"},
  };
  for (const auto& row : table) {
    SCOPED_TRACE(row.what);
    EXPECT_EQ(Play().run(row.script), row.expected) << row.script;
  }
}

TEST(Judge, EverySequenceKeepsItsInvariants) {
  // All scripts of five steps: no case without a yes, none closed without two closed probes in a row.
  const std::string letters = "cnuao";
  for (int number = 0; number < 5 * 5 * 5 * 5 * 5; ++number) {
    std::string script;
    int rest = number;
    for (int i = 0; i < 5; ++i, rest /= 5) {
      script += letters[static_cast<std::size_t>(rest % 5)];
      script += ' ';
    }
    Play play;
    const std::string levels = play.run(script);
    if (script.find('a') == std::string::npos && script.find('o') == std::string::npos) {
      EXPECT_EQ(levels.find_first_of("34+*^-"), std::string::npos) << script << levels;
    }
    if (script.find('o') != std::string::npos) {
      EXPECT_NE(levels.find('4'), std::string::npos) << script << levels;
    }
    if (script.find("c c") == std::string::npos) {
      EXPECT_EQ(levels.find('-'), std::string::npos) << script << levels;
    }
    if (testing::Test::HasFailure()) break;
  }
}

TEST(Judge, TheReasonIsThatOfWhatSetTheLevel) {
  Play play;
  play.run("o");
  const std::string proven = play.state->because;
  play.run("a n u c");
  EXPECT_EQ(play.state->level, Verdict::open);
  EXPECT_EQ(play.state->reason, Reason::token_returned);
  EXPECT_EQ(play.state->because, proven);
  EXPECT_EQ(play.state->last_level, Verdict::closed);
  EXPECT_EQ(play.state->last_reason, Reason::refused);
}

TEST(Judge, AnUnconfirmedChangeKeepsTheReason) {
  Play play;
  play.run("c u");
  EXPECT_EQ(play.state->reason, Reason::refused);
  EXPECT_EQ(play.state->last_reason, Reason::control_failed);
  EXPECT_EQ(play.state->change_to, Verdict::unclear);
  EXPECT_EQ(play.state->change_since, kNoon + minutes(5));
}

// fail2ban refuses the connections of one address for a while: a case is not over for that.
class Refused : public testing::Test {
 protected:
  // One probe more, an hour after the one before.
  std::string ask(Reason reason, std::optional<Time> neighbour = {}) {
    Record record = probe(Verdict::closed, reason, now_);
    if (reason == Reason::nobody_listens) record.finding.variants.clear();
    now_ += hours(1);
    const Judgement judged = judge(&*play_.state, &*play_.exposure, record, hours(24), neighbour);
    play_.state = judged.state;
    if (judged.change.exposure) play_.exposure = judged.change.exposure;
    return judged.change.closed ? "ended" : judged.change.confirm ? "confirm" : "goes on";
  }
  void SetUp() override { play_.run("a"); }

  Play play_;
  Time now_ = kNoon + hours(1);
};

TEST_F(Refused, EndsACaseOnlyWithTheFourthInARow) {
  EXPECT_EQ(ask(Reason::nobody_listens), "confirm");
  EXPECT_EQ(ask(Reason::nobody_listens), "goes on");
  EXPECT_EQ(ask(Reason::nobody_listens), "goes on");
  EXPECT_EQ(play_.state->level, Verdict::accepted);
  EXPECT_EQ(ask(Reason::nobody_listens), "ended");
  EXPECT_EQ(play_.state->level, Verdict::closed);
  EXPECT_EQ(play_.exposure->closed, kNoon + hours(1));
  EXPECT_EQ(play_.state->refusals, 0U);
}

TEST_F(Refused, EndsItSoonerWhereAnotherPortTookAConnectionMeanwhile) {
  EXPECT_EQ(ask(Reason::nobody_listens, kNoon), "confirm");
  EXPECT_EQ(ask(Reason::nobody_listens, kNoon), "goes on");  // from before: it may be banned there as well since
  EXPECT_EQ(ask(Reason::nobody_listens, now_), "ended");
}

TEST_F(Refused, AYesInBetweenBeginsAnew) {
  for (int i = 0; i < 3; ++i) ask(Reason::nobody_listens);
  play_.now_ = now_;
  play_.run("a");
  EXPECT_EQ(play_.state->refusals, 0U);
  EXPECT_EQ(ask(Reason::nobody_listens), "confirm");
  EXPECT_EQ(ask(Reason::nobody_listens), "goes on");
}

TEST_F(Refused, WhatIsRefusedByTheServerItselfNeedsItsOwnConfirmation) {
  EXPECT_EQ(ask(Reason::nobody_listens), "confirm");
  EXPECT_EQ(ask(Reason::refused), "confirm");
  EXPECT_EQ(ask(Reason::refused), "ended");
}

TEST_F(Refused, ARefusedConnectionDoesNotConfirmARefusal) {
  EXPECT_EQ(ask(Reason::refused), "confirm");
  EXPECT_EQ(ask(Reason::nobody_listens), "goes on");
  EXPECT_EQ(ask(Reason::refused), "confirm");
}

TEST(Judge, TheSameLevelShowsTheNewestReason) {
  Play play;
  play.run("c");
  const auto judged = judge(&*play.state, nullptr, probe(Verdict::closed, Reason::nobody_listens, play.now_), hours(24));
  EXPECT_EQ(judged.state.reason, Reason::nobody_listens);
}

TEST(Judge, ConclusiveIsClosedAcceptedOrOpen) {
  Play play;
  play.run("u n");
  EXPECT_EQ(play.state->last_conclusive, std::nullopt);
  play.run("c u n");
  EXPECT_EQ(play.state->last_conclusive, kNoon + minutes(10));
  play.run("a n");
  EXPECT_EQ(play.state->last_conclusive, kNoon + minutes(25));
  EXPECT_EQ(play.state->last_probe, kNoon + minutes(30));
}

TEST(Judge, TimesOfACase) {
  Play play;
  play.run("c a a o n c c");
  ASSERT_EQ(play.ended.size(), 1U);
  const Case& ended = play.ended.front();
  EXPECT_EQ(ended.first_seen, kNoon + minutes(5));  // the yes that was confirmed later
  EXPECT_EQ(ended.last_confirmed, kNoon + minutes(15));
  EXPECT_EQ(ended.closed, kNoon + minutes(25));  // the first of the two
  EXPECT_EQ(ended.how, "fixed");
  EXPECT_EQ(ended.status, CaseStatus::closed);
  EXPECT_EQ(ended.level, Verdict::open);
  EXPECT_EQ(ended.owner, "mail-team");
  EXPECT_EQ(play.state->closed_since, kNoon + minutes(25));
  EXPECT_THAT(ended.variants, testing::ElementsAre("external/plain"));
}

TEST(Judge, AReopenedCaseKeepsItsNameAndBeginning) {
  Play play;
  play.run("a c c");
  const Case first = *play.exposure;
  play.run("o");
  EXPECT_EQ(play.exposure->id, first.id);
  EXPECT_EQ(play.exposure->first_seen, first.first_seen);
  EXPECT_EQ(play.exposure->reopened, 1U);
  EXPECT_EQ(play.exposure->closed, std::nullopt);
  EXPECT_EQ(play.exposure->how, "");
  Play other;
  other.run("a c c ~ o");
  EXPECT_NE(other.exposure->id, other.ended.front().id);
}

TEST(Judge, AnArrivalIsKeptWithItsExitAddress) {
  Play play;
  play.run("a P0");
  EXPECT_EQ(play.state->reason, Reason::message_delivered);
  EXPECT_THAT(play.exposure->exit_addresses, testing::ElementsAre("203.0.113.9"));
  EXPECT_EQ(play.exposure->last_confirmed, kNoon + minutes(5));
  EXPECT_EQ(play.exposure->reason, Reason::message_delivered);
}

TEST(Judge, WhatSaidYesIsAskedUntilAConfirmedClosed) {
  Play play;
  play.run("c");
  EXPECT_TRUE(play.state->must_ask.empty());
  play.run("a");  // not a case yet, but the confirming probe must ask the same
  EXPECT_THAT(play.state->must_ask, testing::ElementsAre("external/plain"));
  play.run("u n c");
  EXPECT_THAT(play.state->must_ask, testing::ElementsAre("external/plain"));
  play.run("c");
  EXPECT_TRUE(play.state->must_ask.empty());
  play.run("o c");
  EXPECT_THAT(play.state->must_ask, testing::ElementsAre("external/plain"));
  play.run("c");
  EXPECT_TRUE(play.state->must_ask.empty());
}

TEST(Judge, FullMatrixIsRememberedWhereItWasAsked) {
  Record record = probe(Verdict::unreachable, Reason::timeout, kNoon);
  record.full_matrix = true;
  EXPECT_EQ(judge(nullptr, nullptr, record, hours(24)).state.last_full_matrix, std::nullopt);
  record = probe(Verdict::closed, Reason::refused, kNoon);
  EXPECT_EQ(judge(nullptr, nullptr, record, hours(24)).state.last_full_matrix, std::nullopt);
  record.full_matrix = true;
  EXPECT_EQ(judge(nullptr, nullptr, record, hours(24)).state.last_full_matrix, kNoon);
}

Record greylisted(Time started, const std::string& token) {
  Record record = probe(Verdict::unclear, Reason::greylisted, started);
  record.finding.retries = {{"external/plain", token, "sender"}};
  return record;
}

TEST(Judge, RetriesKeepTheirTokenUntilDecidedOrFourHours) {
  auto judged = judge(nullptr, nullptr, greylisted(kNoon, "t1"), hours(24));
  EXPECT_EQ(judged.state.retries_since, kNoon);
  judged = judge(&judged.state, nullptr, greylisted(kNoon + minutes(5), "t1"), hours(24));
  EXPECT_EQ(judged.state.retries_since, kNoon);
  EXPECT_EQ(judged.state.retries.at(0).token, "t1");
  // Nothing answered: nothing was decided.
  judged = judge(&judged.state, nullptr, probe(Verdict::unreachable, Reason::timeout, kNoon + minutes(10)), hours(24));
  EXPECT_EQ(judged.state.retries.at(0).token, "t1");
  EXPECT_EQ(judged.state.retries_since, kNoon);
  auto decided = judge(&judged.state, nullptr, probe(Verdict::closed, Reason::refused, kNoon + minutes(15)), hours(24));
  EXPECT_TRUE(decided.state.retries.empty());
  EXPECT_EQ(decided.state.retries_since, std::nullopt);
  // Four hours: the token is given up, the reason stays, and the next begins afresh.
  judged = judge(&judged.state, nullptr, greylisted(kNoon + hours(4), "t1"), hours(24));
  EXPECT_TRUE(judged.state.retries.empty());
  EXPECT_EQ(judged.state.reason, Reason::greylisted);
  judged = judge(&judged.state, nullptr, greylisted(kNoon + hours(5), "t2"), hours(24));
  EXPECT_EQ(judged.state.retries.at(0).token, "t2");
  EXPECT_EQ(judged.state.retries_since, kNoon + hours(5));
}

// A server that greylists every fresh token: each probe is put off first and decided by its retry. The confirming probe is put
// off too; that must not break the run of `closed`, or such a server would stay unclear for ever.
TEST(Judge, GreylistingBeforeTheConfirmingAnswerIsNoAnswer) {
  auto judged = judge(nullptr, nullptr, greylisted(kNoon, "t1"), hours(24));
  EXPECT_EQ(judged.state.level, Verdict::unclear);
  judged = judge(&judged.state, nullptr, probe(Verdict::closed, Reason::refused, kNoon + minutes(5)), hours(24));
  EXPECT_EQ(judged.state.level, Verdict::unclear);
  EXPECT_TRUE(judged.change.confirm);
  judged = judge(&judged.state, nullptr, greylisted(kNoon + minutes(10), "t2"), hours(24));
  EXPECT_EQ(judged.state.level, Verdict::unclear);
  EXPECT_EQ(judged.state.last_level, Verdict::unclear);
  EXPECT_EQ(judged.state.change_to, Verdict::closed);
  EXPECT_EQ(judged.state.retries.at(0).token, "t2");
  judged = judge(&judged.state, nullptr, probe(Verdict::closed, Reason::refused, kNoon + minutes(15)), hours(24));
  EXPECT_EQ(judged.state.level, Verdict::closed);
  EXPECT_EQ(judged.state.closed_since, kNoon + minutes(5));
}

TEST(Judge, AMatrixThatWasCutShortIsStillToBeAsked) {
  Record record = probe(Verdict::closed, Reason::refused, kNoon);
  record.full_matrix = true;
  record.finding.whole = false;
  EXPECT_EQ(judge(nullptr, nullptr, record, hours(24)).state.last_full_matrix, std::nullopt);
}

// A core-only `closed` says nothing of the form that was open.
TEST(Judge, AClosedThatLeftOutWhatSaidYesDoesNotEndTheCase) {
  Record open = probe(Verdict::accepted, Reason::token_pending, kNoon);
  open.finding.variants = {{"external/percent@domain", Verdict::accepted, Reason::token_pending, 250, "ok"}};
  auto judged = judge(nullptr, nullptr, open, hours(24));
  ASSERT_TRUE(judged.change.opened);
  const Case exposure = *judged.change.exposure;
  Record closed = probe(Verdict::closed, Reason::refused, kNoon + minutes(5));
  closed.finding.variants = {{"external/plain", Verdict::closed, Reason::refused, 554, "no"}};
  for (int i = 0; i < 3; ++i) {
    judged = judge(&judged.state, &exposure, closed, hours(24));
    EXPECT_FALSE(judged.change.closed);
    EXPECT_EQ(judged.state.level, Verdict::accepted);
  }
  closed.finding.variants.push_back({"external/percent@domain", Verdict::closed, Reason::refused, 554, "no"});
  judged = judge(&judged.state, &exposure, closed, hours(24));
  EXPECT_FALSE(judged.change.closed);
  judged = judge(&judged.state, &exposure, closed, hours(24));
  EXPECT_TRUE(judged.change.closed);
}

// A server that puts everything off for ever: after the tokens are given up the next one counts, and it is unclear.
TEST(Judge, AGreylistWithoutEndBecomesUnclear) {
  auto judged = judge(nullptr, nullptr, probe(Verdict::closed, Reason::refused, kNoon), hours(24));
  judged = judge(&judged.state, nullptr, greylisted(kNoon + hours(1), "t1"), hours(24));
  EXPECT_TRUE(judged.change.retry);
  EXPECT_EQ(judged.state.level, Verdict::closed);
  judged = judge(&judged.state, nullptr, greylisted(kNoon + hours(5), "t1"), hours(24));
  EXPECT_FALSE(judged.change.retry);
  EXPECT_EQ(judged.state.level, Verdict::closed);
  judged = judge(&judged.state, nullptr, greylisted(kNoon + hours(6), "t2"), hours(24));
  EXPECT_EQ(judged.state.level, Verdict::unclear);
  EXPECT_EQ(judged.state.reason, Reason::greylisted);
}

// All was put off: the full matrix is still to be asked.
TEST(Judge, AGreylistedFullMatrixWasNotAsked) {
  Record record = greylisted(kNoon, "t1");
  record.full_matrix = true;
  EXPECT_EQ(judge(nullptr, nullptr, record, hours(24)).state.last_full_matrix, std::nullopt);
}

TEST(Judge, AProofEntersTheEvidenceOfItsOwnProbe) {
  const Proof proof{"external/plain",         "00000000000000aa", kNoon, kNoon + minutes(1), *IpAddress::parse("203.0.113.9"),
                    Reason::message_delivered};
  // Even where the server refused after DATA and delivered all the same.
  Record own = probe(Verdict::closed, Reason::refused, kNoon);
  add_proof(own, proof);
  EXPECT_EQ(own.finding.verdict, Verdict::open);
  EXPECT_EQ(own.finding.reason, Reason::message_delivered);
  EXPECT_EQ(own.finding.variants[0].verdict, Verdict::open);
  EXPECT_EQ(own.finding.variants[1].verdict, Verdict::closed);
  EXPECT_THAT(own.finding.exit_addresses, testing::ElementsAre("203.0.113.9"));
}

TEST(Judge, AProofOfAnEarlierProbeIsOnlyNotedWhereTheServerRefusedSince) {
  const Proof proof{"external/plain",         "00000000000000bb", kNoon, kNoon + minutes(1), *IpAddress::parse("203.0.113.9"),
                    Reason::message_delivered};
  Record refused = probe(Verdict::closed, Reason::refused, kNoon);
  add_proof(refused, proof);
  EXPECT_EQ(refused.finding.verdict, Verdict::closed);
  EXPECT_EQ(refused.finding.variants[0].verdict, Verdict::closed);
  EXPECT_TRUE(refused.finding.exit_addresses.empty());
  EXPECT_EQ(refused.finding.observations.size(), 1U);
  Record accepted = probe(Verdict::accepted, Reason::token_pending, kNoon);
  add_proof(accepted, proof);
  EXPECT_EQ(accepted.finding.verdict, Verdict::open);
  EXPECT_EQ(accepted.finding.variants[0].verdict, Verdict::open);
}

TEST(Judge, CaseIdsAreStable) {
  EXPECT_EQ(case_id(key(), kNoon), case_id(key(), kNoon));
  EXPECT_NE(case_id(key(), kNoon), case_id(key(), kNoon + minutes(1)));
  ResultKey other = key();
  other.port = 587;
  EXPECT_NE(case_id(key(), kNoon), case_id(other, kNoon));
  EXPECT_EQ(case_id(key(), kNoon).size(), 16U);
}

}  // namespace
}  // namespace ajar
