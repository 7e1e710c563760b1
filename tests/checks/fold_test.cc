#include "checks/fold.h"

#include <string>

#include <gtest/gtest.h>

namespace ajar {
namespace {

Asked core(Verdict verdict, Reason reason) {
  Asked asked;
  asked.variant.name = "external/plain";
  asked.variant.verdict = verdict;
  asked.variant.reason = reason;
  asked.core = true;
  return asked;
}
Asked other(Verdict verdict, Reason reason) {
  Asked asked = core(verdict, reason);
  asked.core = false;
  return asked;
}
Asked must(Verdict verdict, Reason reason) {
  Asked asked = other(verdict, reason);
  asked.must_ask = true;
  return asked;
}

const Control kGranted{Control::Result::succeeded, Reason::control_failed};
const Control kRefused{Control::Result::failed, Reason::control_failed};
const Control kBlocked{Control::Result::failed, Reason::source_blocked};

std::string folded(const std::vector<Asked>& asked, const Control& control = kGranted, bool everything = false) {
  const Folded judgement = fold(asked, control, everything);
  return std::string(to_string(judgement.verdict)) + "/" + std::string(to_string(judgement.reason));
}

const Asked kNo = core(Verdict::closed, Reason::refused);

TEST(Fold, ClosedNeedsEveryCoreRefusalAndTheControl) {
  EXPECT_EQ(folded({kNo, kNo}), "closed/refused");
  EXPECT_EQ(folded({kNo, kNo}, kRefused), "unclear/control_failed");
  EXPECT_EQ(folded({kNo, kNo}, kBlocked), "unclear/source_blocked");
  EXPECT_EQ(folded({kNo, kNo}, {}), "unclear/control_failed");
  EXPECT_EQ(folded({kNo, core(Verdict::unclear, Reason::greylisted)}), "unclear/greylisted");
  EXPECT_EQ(folded({kNo, core(Verdict::unclear, Reason::refused), core(Verdict::unclear, Reason::source_blocked)}),
            "unclear/source_blocked");
  EXPECT_EQ(folded({}), "unclear/internal_error");
  EXPECT_EQ(folded({other(Verdict::closed, Reason::refused)}), "unclear/internal_error");
}

TEST(Fold, WhatIsNotCoreNeverLowersClosed) {
  EXPECT_EQ(folded({kNo, other(Verdict::unclear, Reason::greylisted), other(Verdict::unclear, Reason::source_blocked)}),
            "closed/refused");
}

TEST(Fold, WhatSaidYesBeforeMustBeRefused) {
  EXPECT_EQ(folded({kNo, must(Verdict::closed, Reason::refused)}), "closed/refused");
  EXPECT_EQ(folded({kNo, must(Verdict::unclear, Reason::timeout)}), "unclear/timeout");
}

TEST(Fold, ReasonsThatNeedNoControl) {
  const Asked login = core(Verdict::closed, Reason::auth_required);
  EXPECT_EQ(folded({login, login}, kRefused), "closed/auth_required");
  EXPECT_EQ(folded({login, kNo}, kRefused), "unclear/control_failed");
  EXPECT_EQ(folded({login, kNo}, kGranted), "closed/refused");
  EXPECT_EQ(folded({core(Verdict::closed, Reason::other_protocol)}, {}), "closed/other_protocol");
}

TEST(Fold, AYesThatCounts) {
  EXPECT_EQ(folded({kNo, other(Verdict::accepted, Reason::no_proof)}), "accepted/no_proof");
  EXPECT_EQ(folded({core(Verdict::accepted, Reason::no_proof), other(Verdict::accepted, Reason::token_pending)}),
            "accepted/token_pending");
  EXPECT_EQ(folded({core(Verdict::accepted, Reason::token_pending)}, kGranted, true), "accepted/accepts_everything");
  Asked local = other(Verdict::accepted, Reason::token_pending);
  local.counts = false;
  EXPECT_EQ(folded({kNo, local}), "closed/refused");
}

TEST(Fold, AProofOutranksAll) {
  EXPECT_EQ(folded({core(Verdict::accepted, Reason::no_proof), other(Verdict::open, Reason::token_returned)}, kRefused, true),
            "open/token_returned");
}

TEST(Fold, UnreachableOnlyWhenNothingAnswered) {
  const Asked silent = core(Verdict::unreachable, Reason::timeout);
  EXPECT_EQ(folded({silent, silent}, {}), "unreachable/timeout");
  EXPECT_EQ(folded({silent, kNo}), "unclear/timeout");
}

TEST(Because, NamesTheVariant) {
  Asked asked = kNo;
  asked.variant.code = 554;
  asked.variant.reply = "5.7.1 Relay access denied";
  EXPECT_EQ(because({Verdict::closed, Reason::refused}, {asked}),
            "It refused a stranger and granted the control request (external/plain: 554 5.7.1 Relay access denied).");
  EXPECT_EQ(because({Verdict::unclear, Reason::control_failed}, {asked}),
            "It refused the control request as well, so its refusals prove nothing.");
}

}  // namespace
}  // namespace ajar
