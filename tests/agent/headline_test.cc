#include "agent/headline.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

FirstLook all_closed() {
  FirstLook look;
  look.targets = 3;
  look.results = look.tested = 10;
  return look;
}

TEST(Headline, FineOnlyWhenAllWasTestedLatelyAndIsClosed) {
  const Headline said = headline(all_closed());
  EXPECT_EQ(said.answer, Exposed::fine);
  EXPECT_EQ(said.words, "All closed");
  EXPECT_EQ(said.sentence, "All 10 results were tested within their last two intervals, and nothing lets a stranger through.");
  EXPECT_THAT(said.notes, IsEmpty());
}

TEST(Headline, NothingIsFineWhereAnotherMayAnswer) {
  FirstLook look = all_closed();
  look.blind = true;
  const Headline said = headline(look);
  EXPECT_EQ(said.answer, Exposed::cannot_tell);
  EXPECT_THAT(said.sentence, HasSubstr("does not see what a stranger sees"));
  look.open = 1;
  EXPECT_EQ(headline(look).answer, Exposed::proven);
}

TEST(Headline, AProofComesBeforeAll) {
  FirstLook look = all_closed();
  look.open = 2;
  look.accepted = 1;
  look.exempt = 1;
  look.not_seen = 1;
  look.paused = true;
  look.unclear = 4;
  const Headline said = headline(look);
  EXPECT_EQ(said.answer, Exposed::proven);
  EXPECT_EQ(said.sentence, "2 doors are proven open, and 1 more said yes without proof.");
  EXPECT_THAT(said.notes, ElementsAre(HasSubstr("One of them cannot be seen"), "1 more is open and exempt.",
                                      "Probing is paused: nothing is tested."));
}

TEST(Headline, AcceptedIsNotProven) {
  FirstLook look = all_closed();
  look.accepted = 1;
  look.unreachable = 2;
  const Headline said = headline(look);
  EXPECT_EQ(said.answer, Exposed::accepted);
  EXPECT_EQ(said.sentence, "1 door said yes to a stranger, and no proof has come back.");
  EXPECT_THAT(said.notes, ElementsAre("Of all 10 results: 2 unreachable."));
}

TEST(Headline, WhatIsOldSaysNothingOfNow) {
  const auto sentence = [](auto change) {
    FirstLook look = all_closed();
    look.unclear = 1;
    change(look);
    const Headline said = headline(look);
    EXPECT_EQ(said.answer, Exposed::not_tested);
    return said.sentence;
  };
  EXPECT_THAT(sentence([](FirstLook& look) { look.paused = true; }), HasSubstr("paused"));
  EXPECT_THAT(sentence([](FirstLook& look) { look.ready = false; }), HasSubstr("starting"));
  EXPECT_THAT(sentence([](FirstLook& look) { look.targets = 0; }), HasSubstr("No target"));
  EXPECT_THAT(sentence([](FirstLook& look) { look.tested = 0; }), HasSubstr("No result"));
  EXPECT_THAT(sentence([](FirstLook& look) { look.tested = 4; }), HasSubstr("Only 4 of 10"));
  EXPECT_THAT(sentence([](FirstLook& look) { look.results = look.tested = 0; }), HasSubstr("No result"));
}

TEST(Headline, WhatProvesNothingIsNotFine) {
  FirstLook look = all_closed();
  look.unclear = 1;
  look.unreachable = 2;
  look.tested = 9;
  const Headline said = headline(look);
  EXPECT_EQ(said.answer, Exposed::cannot_tell);
  EXPECT_EQ(
      said.sentence,
      "Nothing is known to be open, and of 10 results some say too little: 1 unclear, 2 unreachable, 1 not tested lately.");
}

TEST(Headline, WhatIsExemptIsSaidAndAlarmsNobody) {
  FirstLook look = all_closed();
  look.exempt = 2;
  const Headline said = headline(look);
  EXPECT_EQ(said.answer, Exposed::fine);
  EXPECT_EQ(said.words, "Closed but for the exempt");
  EXPECT_THAT(said.notes, ElementsAre("2 more are open and exempt."));
}

}  // namespace
}  // namespace ajar
