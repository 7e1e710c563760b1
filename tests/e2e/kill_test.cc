// kill -9 while verdicts change: no case is lost, none is invented, the database is intact, the agent goes on where it was.
#include <csignal>
#include <cstdlib>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::string integrity(const std::string& path) {
  sqlite3* database = nullptr;
  std::string said = "cannot be opened";
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK) {
    sqlite3_exec(
        database, "PRAGMA integrity_check",
        [](void* into, int, char** values, char**) {
          *static_cast<std::string*>(into) = values[0];
          return 0;
        },
        &said, nullptr);
  }
  sqlite3_close(database);
  return said;
}

int rounds() {
  const char* const soak = std::getenv("AJAR_SOAK");
  return soak != nullptr ? std::atoi(soak) : 5;
}

// Cases by id: what was shown must be there after the restart, at least as far on.
std::map<std::string, json> cases(const RunningAgent& agent) {
  std::map<std::string, json> shown;
  for (const json& exposure : agent.data("/api/v1/exposures")) shown[exposure.at("id")] = exposure;
  return shown;
}

void expect_that_no_case_is_lost_or_invented(unsigned threads) {
  const Lab lab;
  const std::vector<std::string> kinds = {"open",     "closed", "accept_and_discard", "open_forged_local", "refuse_after_data",
                                          "blocks_us"};
  std::vector<LabPlace> places;
  for (const char* name :
       {"open", "closed", "closed_454", "accept_and_discard", "open_forged_local", "catch_all", "refuse_after_data"}) {
    places.push_back(lab.place(name));
  }
  const LabPlace& never_open = lab.place("xclient_offered");
  places.push_back(never_open);
  const TemporaryFolder folder;
  Setting setting;
  setting.interval = "1s";
  setting.retry_interval = "200ms";
  setting.threads = threads;
  write_file(folder.file("ajar.toml"), setting.text(places));

  std::mt19937 random(20260102);
  std::map<std::string, json> known;
  for (int round = 0; round < rounds(); ++round) {
    RunningAgent agent(folder.path(), setting.web_port);
    ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
    EXPECT_THAT(agent.process().err(), testing::Not(HasSubstr("corrupt")));
    const std::map<std::string, json> resumed = cases(agent);
    for (const auto& [id, before] : known) {
      ASSERT_TRUE(resumed.contains(id)) << "round " << round << ": lost " << before;
      const json& after = resumed.at(id);
      EXPECT_EQ(after.at("first_seen"), before.at("first_seen"));
      if (before.at("state") == "open" && after.at("state") == "open") {
        EXPECT_GE(after.at("level"), before.at("level"));
      }
    }
    // Until verdicts have changed for a while, then without warning.
    const std::string version = agent.get("/api/v1/exposures").body;
    for (int i = 0; i < 3; ++i) {
      const std::size_t which = random() % (places.size() - 1);
      ASSERT_TRUE(lab.change(places[which], kinds[random() % kinds.size()]));
    }
    EXPECT_TRUE(wait_until(seconds(30), [&] { return agent.get("/api/v1/exposures").body != version; })) << version;
    const auto more = static_cast<long>(random() % 1500);
    const auto until = std::chrono::steady_clock::now() + milliseconds(more);
    wait_until(milliseconds(more + 50), [&] {
      known = cases(agent);
      return std::chrono::steady_clock::now() >= until;
    });
    agent.process().signal(SIGKILL);
    ASSERT_EQ(agent.process().wait(seconds(10)), 128 + SIGKILL);
    for (const auto& [id, exposure] : known) EXPECT_NE(exposure.at("target"), never_open.personality) << exposure;
    EXPECT_EQ(integrity(folder.file("ajar.db")), "ok");
  }
  EXPECT_FALSE(known.empty());
}

TEST(Kill, LosesAndInventsNoCase) { expect_that_no_case_is_lost_or_invented(1); }
TEST(Kill, LosesAndInventsNoCaseOnTwoThreads) { expect_that_no_case_is_lost_or_invented(2); }

void expect_to_resume_and_stay_paused(unsigned threads) {
  const Lab lab;
  std::vector<LabPlace> places;
  for (const char* name : {"open", "closed", "closed_454", "catch_all", "exim_like", "blocks_us"})
    places.push_back(lab.place(name));
  const TemporaryFolder folder;
  Setting setting;
  setting.threads = threads;
  write_file(folder.file("ajar.toml"), setting.text(places));
  std::map<std::string, int> before;
  std::string cases_before;
  {
    RunningAgent agent(folder.path(), setting.web_port);
    ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
    ASSERT_TRUE(wait_until(seconds(60), [&] {
      before = agent.levels();
      return before.size() == places.size() && before["open"] == 4;
    }));
    EXPECT_EQ(agent.post("/-/pause").status, 200);
    ASSERT_TRUE(wait_until(seconds(60),
                           [&] { return agent.get("/metrics").body.find("ajar_probes_in_flight 0") != std::string::npos; }));
    // What was on its way may still arrive or expire: that is stored too.
    std::string last;
    ASSERT_TRUE(wait_until(seconds(30), [&] {
      const std::string now = agent.get("/api/v1/exposures").body;
      return now.find("token_pending") == std::string::npos;
    }));
    before = agent.levels();
    cases_before = agent.get("/api/v1/exposures").body;
    agent.process().signal(SIGKILL);
    agent.process().wait(seconds(10));
  }
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  EXPECT_EQ(agent.levels(), before);
  EXPECT_EQ(agent.get("/api/v1/exposures").body, cases_before);
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("\najar_paused 1\n"));
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("\najar_probes_in_flight 0\n"));
  EXPECT_EQ(agent.post("/-/resume").status, 200);
  EXPECT_TRUE(wait_until(seconds(30), [&] {
    return agent.get("/metrics").body.find("ajar_probes_total{check=\"smtp_relay\",verdict=\"closed\"} 0\n") ==
           std::string::npos;
  }));
}

TEST(Kill, ResumesWithTheVerdictsItHadAndStaysPaused) { expect_to_resume_and_stay_paused(1); }
TEST(Kill, ResumesAndStaysPausedOnTwoThreads) { expect_to_resume_and_stay_paused(2); }

// With conversations under way to servers that never answer.
void expect_an_end_within_five_seconds(unsigned threads) {
  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  setting.threads = threads;
  std::vector<LabPlace> places;
  for (const char* name : {"hang", "slow_byte", "tarpit", "endless_banner", "open", "closed"})
    places.push_back(lab.place(name));
  write_file(folder.file("ajar.toml"), setting.text(places));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(30),
                         [&] { return agent.get("/metrics").body.find("ajar_probes_in_flight 0\n") == std::string::npos; }));
  agent.process().signal(SIGTERM);
  EXPECT_EQ(agent.process().wait(seconds(5)), 0) << agent.process().err();
  EXPECT_EQ(integrity(folder.file("ajar.db")), "ok");
}

TEST(Kill, SigtermEndsWithinFiveSeconds) { expect_an_end_within_five_seconds(1); }
TEST(Kill, SigtermEndsThreadsWithinFiveSeconds) { expect_an_end_within_five_seconds(4); }

}  // namespace
}  // namespace ajar
