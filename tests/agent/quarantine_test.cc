#include "agent/quarantine.h"

#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/support/ledger_steps.h"

namespace ajar {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class QuarantineTest : public testing::Test {
 protected:
  Quarantine open(const std::string& build = "1.0") {
    return Quarantine(path, build, hours(24), [this] { return now; });
  }
  Crash crash(int number = 0) { return {fmt::format("{:016x}", ++runs), SIGSEGV, probe_place(key(number))}; }
  static bool held(const Quarantine& book, int number = 0) { return book.held(probe_place(key(number))) != nullptr; }
  static bool suspect(const Quarantine& book, int number = 0) { return book.is_suspect(probe_place(key(number))); }

  TempDir folder;
  std::string path = folder / "ajar.db.quarantine";
  Time now = kNoon;
  unsigned runs = 0;
};

TEST_F(QuarantineTest, TheSecondCrashConvicts) {
  {
    Quarantine book = open();
    EXPECT_FALSE(book.has_suspects());
    EXPECT_FALSE(book.take(crash()));
    EXPECT_TRUE(suspect(book));
    EXPECT_FALSE(held(book));
  }
  Quarantine book = open();
  EXPECT_TRUE(suspect(book)) << "a restart remembers";
  EXPECT_FALSE(book.take(crash(1))) << "another one's first";
  EXPECT_TRUE(book.take(crash()));
  EXPECT_TRUE(held(book));
  EXPECT_FALSE(suspect(book));
  EXPECT_FALSE(held(book, 1));
  EXPECT_TRUE(held(open()));
  EXPECT_EQ(book.held(probe_place(key()))->signal, SIGSEGV);
}

TEST_F(QuarantineTest, OneCrashIsCountedOnce) {
  const Crash once = crash();
  EXPECT_FALSE(open().take(once));
  Quarantine book = open();  // killed before the journal was begun anew
  EXPECT_FALSE(book.take(once));
  EXPECT_TRUE(suspect(book));
}

TEST_F(QuarantineTest, WhatWasInNoProbesHandBlamesNobody) {
  Quarantine book = open();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(book.take({fmt::format("{:016x}", i), SIGABRT, std::nullopt}));
  EXPECT_THAT(book.entries(), IsEmpty());
}

TEST_F(QuarantineTest, ASuspectThatSurvivesIsCleared) {
  Quarantine book = open();
  book.take(crash());
  book.survived(probe_place(key(3)));
  EXPECT_TRUE(suspect(book));
  book.survived(probe_place(key()));
  EXPECT_FALSE(book.has_suspects());
  EXPECT_FALSE(book.take(crash())) << "it begins anew";
  EXPECT_TRUE(book.take(crash()));
  book.survived(probe_place(key()));  // it was not even asked
  EXPECT_TRUE(held(book));
}

TEST_F(QuarantineTest, ItEndsAfterItsTimeOnProbation) {
  Quarantine book = open();
  book.take(crash());
  book.take(crash());
  now += hours(23);
  EXPECT_THAT(book.expire(), IsEmpty());
  EXPECT_TRUE(held(book));
  now += hours(1);
  EXPECT_THAT(book.expire(), ElementsAre(probe_place(key())));
  EXPECT_THAT(book.expire(), IsEmpty());
  EXPECT_FALSE(held(book));
  EXPECT_TRUE(suspect(book)) << "to be asked alone";
  EXPECT_TRUE(book.take(crash())) << "one more crash is enough";
  EXPECT_EQ(book.until(*book.held(probe_place(key()))), now + hours(24));
  book.set_period(hours(1));
  EXPECT_EQ(book.until(*book.held(probe_place(key()))), now + hours(1));
}

TEST_F(QuarantineTest, ItEndsWithAnotherBuild) {
  open().take(crash());
  open().take(crash());
  EXPECT_TRUE(held(open()));
  Quarantine book = open("1.1");
  EXPECT_FALSE(held(book));
  EXPECT_TRUE(suspect(book));
  EXPECT_TRUE(book.take(crash()));
  EXPECT_TRUE(held(open("1.1")));
}

TEST_F(QuarantineTest, APersonEndsIt) {
  Quarantine book = open();
  EXPECT_FALSE(book.release(probe_place(key())));
  book.take(crash());
  EXPECT_FALSE(book.release(probe_place(key()))) << "it is not quarantined yet";
  book.take(crash());
  EXPECT_TRUE(book.release(probe_place(key())));
  EXPECT_TRUE(suspect(book));
  EXPECT_FALSE(book.any_held());
  EXPECT_TRUE(suspect(open()));
}

TEST_F(QuarantineTest, SuspectsThatNobodyAsksAreForgotten) {
  Quarantine book = open();
  book.take(crash());
  now += Quarantine::kForget;
  book.expire();
  EXPECT_TRUE(suspect(book));
  now += std::chrono::milliseconds(1);
  book.expire();
  EXPECT_THAT(book.entries(), IsEmpty());
  EXPECT_FALSE(open().has_suspects());
}

TEST_F(QuarantineTest, ItsBookIsBounded) {
  Quarantine book("", "1.0", hours(24), [this] { return now; });  // a thousand writes to a disk would take their time
  book.take(crash(0));
  book.take(crash(0));
  for (int i = 1; i < static_cast<int>(Quarantine::kMost) + 10; ++i) {
    now += std::chrono::seconds(1);
    book.take(crash(i));
  }
  EXPECT_THAT(book.entries(), SizeIs(Quarantine::kMost));
  EXPECT_TRUE(held(book, 0)) << "the oldest suspects go first";
  EXPECT_FALSE(suspect(book, 1));
  EXPECT_TRUE(suspect(book, static_cast<int>(Quarantine::kMost) + 9));
}

TEST_F(QuarantineTest, AnUnreadableBookIsMovedAside) {
  const auto entry = [](const std::string& change) {
    nlohmann::json value = {{"address", "203.0.113.5"},
                            {"port", 25},
                            {"transport", "tcp"},
                            {"check", "smtp_relay"},
                            {"crashes", 2},
                            {"signal", 11},
                            {"last", 1},
                            {"since", 1},
                            {"build", "1.0"}};
    if (!change.empty()) value.merge_patch(nlohmann::json::parse(change));
    return nlohmann::json{{"format", 1}, {"last_run", "0"}, {"entries", {value}}}.dump();
  };
  std::ofstream(path) << entry("");
  EXPECT_TRUE(Quarantine(path, "1.0", hours(24), [] { return kNoon; }).notes().empty());
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string("{\"format\":2,\"last_run\":\"\",\"entries\":[]}"),
        entry(R"({"address":"mx1"})"), entry(R"({"port":"x"})"), entry(R"({"transport":"ip"})"), entry(R"({"last":null})"),
        std::string(5 * 1024 * 1024, ' '), std::string("\xFF\xFE")}) {
    std::ofstream(path, std::ios::trunc) << text;
    Quarantine book = open();
    EXPECT_THAT(book.entries(), IsEmpty()) << text.substr(0, 100);
    EXPECT_THAT(book.notes(), ElementsAre(testing::AllOf(HasSubstr(path), HasSubstr("moved aside")))) << text.substr(0, 100);
    EXPECT_TRUE(std::filesystem::exists(path + ".corrupt"));
    book.take(crash());
    EXPECT_TRUE(suspect(open())) << "and a new one is begun";
  }
  // A question that this version does not know.
  std::ofstream(path, std::ios::trunc) << entry(R"({"check":"of_the_future"})");
  Quarantine book = open();
  EXPECT_THAT(book.entries(), IsEmpty());
  EXPECT_THAT(book.notes(), IsEmpty());
}

TEST_F(QuarantineTest, WhereItCannotBeWrittenItGoesOn) {
  Quarantine book(folder / "no/such/folder", "1.0", hours(24), [this] { return now; });
  EXPECT_FALSE(book.take(crash()));
  EXPECT_THAT(book.failure(), HasSubstr("No such file"));
  EXPECT_TRUE(book.take(crash()));
  EXPECT_TRUE(held(book));
  // Its place is taken by a folder.
  std::filesystem::create_directories(path + "/x");
  Quarantine other = open();
  EXPECT_THAT(other.notes(), SizeIs(1));
  Quarantine none("", "1.0", hours(24), [this] { return now; });
  none.take(crash());
  EXPECT_TRUE(none.failure().empty());
}

TEST(SignalName, Names) {
  EXPECT_EQ(signal_name(SIGSEGV), "SIGSEGV");
  EXPECT_EQ(signal_name(SIGABRT), "SIGABRT");
  EXPECT_EQ(signal_name(999), "signal 999");
}

}  // namespace
}  // namespace ajar
