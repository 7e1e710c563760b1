// Every personality of the lab: what the agent and `ajar check` say of it, that each ends in time, and that none is ever taken
// for closed or open by mistake.
#include <csignal>
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

const std::map<std::string, int> kLevels = {{"closed", 0}, {"unreachable", 1}, {"unclear", 2}, {"accepted", 3}, {"open", 4}};

// The most memory that the process had, in MiB.
long peak_memory(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6)) / 1024;
  }
  return -1;
}

// 32 letters of lower-case base32 that stand alone.
bool holds_a_token(const std::string& text) {
  std::size_t run = 0;
  for (const char c : text + " ") {
    if ((c >= 'a' && c <= 'z') || (c >= '2' && c <= '7')) {
      ++run;
    } else if (std::exchange(run, 0) == 32) {
      return true;
    }
  }
  return false;
}

// `ajar check` asks once and waits for no deadline: what is greylisted stays undecided, what was taken stays pending.
std::string said_at_once(const LabPlace& place, const Expected& one) {
  if (place.personality.starts_with("greylist")) return "unclear/greylisted";
  const bool sends = one.check == "smtp_relay" || one.check == "backscatter";
  if (sends && one.verdict == "accepted" && one.reason == "no_proof") return "accepted/token_pending";
  return one.verdict + "/" + one.reason;
}

std::string exit_address(const LabPlace& place) {
  return place.personality.ends_with("_other_exit") ? "127.77.0.7" : place.address;
}

void expect_the_verdict_of_every_personality(unsigned threads) {
  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  setting.threads = threads;
  write_file(folder.file("ajar.toml"), setting.text(lab.places()));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();

  using Asked = std::pair<std::string, std::string>;  // target and check
  std::map<Asked, std::set<int>> seen;
  std::string missing;
  const auto all_right = [&] {
    const std::map<Asked, int> levels = agent.levels_by_check();
    for (const auto& [asked, level] : levels) seen[asked].insert(level);
    missing.clear();
    for (const LabPlace& place : lab.places()) {
      for (const Expected& one : place.expect) {
        const auto found = levels.find({place.personality, one.check});
        const std::string name = place.personality + " " + one.check;
        if (one.reason == "nobody_listens") {  // has no series; the result itself says closed
          if (found != levels.end()) missing += name + " has a series\n";
        } else if (found == levels.end() || found->second != kLevels.at(one.verdict)) {
          missing += name + ": " + (found == levels.end() ? "nothing" : std::to_string(found->second)) + ", expected " +
                     one.verdict + "\n";
        }
      }
    }
    return missing.empty();
  };
  EXPECT_TRUE(wait_until(seconds(180), all_right)) << missing;
  for (const LabPlace& place : lab.places()) {
    for (const Expected& one : place.expect) {
      const std::set<int>& levels = seen[{place.personality, one.check}];
      if (one.verdict != "closed") {
        EXPECT_FALSE(levels.contains(0)) << place.personality << " " << one.check << " was called closed";
      }
      if (one.verdict != "open") {
        EXPECT_FALSE(levels.contains(4)) << place.personality << " " << one.check << " was called open";
      }
    }
  }
  for (const json& result : agent.data("/api/v1/results")) {
    EXPECT_LE(result.at("duration_seconds").get<double>(), 42.0) << result.at("target");  // probe_timeout, and a tick
    std::size_t bytes = 0;
    for (const json& line : result.at("transcript")) bytes += line.get<std::string>().size();
    EXPECT_LE(bytes, 80'000U) << result.at("target");
  }
  EXPECT_LT(peak_memory(agent.process().pid()), 800);  // AddressSanitizer's own share included

  agent.process().signal(SIGTERM);
  EXPECT_EQ(agent.process().wait(seconds(5)), 0) << agent.process().err();
}

TEST(Lab, TheAgentComesToTheExpectedVerdictOfEveryPersonality) { expect_the_verdict_of_every_personality(1); }
TEST(Lab, TheAgentComesToTheSameVerdictsOnTwoThreads) { expect_the_verdict_of_every_personality(2); }

TEST(Lab, CheckSaysTheSameWithItsReason) {
  const Lab lab;
  const TemporaryFolder folder;
  write_file(folder.file("ajar.toml"), Setting{}.text(lab.places()));
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "--wait", "15s"}, folder.path());
  ASSERT_EQ(check.wait(seconds(180)), 2) << check.err();
  std::map<std::pair<std::string, std::string>, json> results;
  std::istringstream lines(check.out());
  for (std::string line; std::getline(lines, line);) {
    json result = json::parse(line);
    const std::pair<std::string, std::string> asked(result.at("target"), result.at("check"));
    results[asked] = std::move(result);
  }
  for (const LabPlace& place : lab.places()) {
    for (const Expected& one : place.expect) {
      ASSERT_TRUE(results.contains({place.personality, one.check})) << place.personality << " " << one.check;
      const json& result = results.at({place.personality, one.check});
      EXPECT_EQ(result.at("verdict").get<std::string>() + "/" + result.at("reason").get<std::string>(),
                said_at_once(place, one))
          << place.personality << " " << one.check << "\n"
          << result.dump(1);
      // A resolver needs not come to the canary for its answer.
      if (one.verdict == "open" && one.check != "open_resolver" && !place.personality.starts_with("greylist")) {
        EXPECT_EQ(result.at("exit_addresses"), json::array({exit_address(place)}));
      }
      EXPECT_FALSE(holds_a_token(result.dump())) << result.dump(1);
    }
  }
}

TEST(Lab, ExitCodes) {
  const Lab lab;
  const TemporaryFolder folder;
  write_file(folder.file("ajar.toml"), Setting{}.text(lab.places()));
  const auto code = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {program("ajar"), "check", "--config", folder.file("ajar.toml"), "--quick", "--wait", "10s"});
    Process check(words, folder.path());
    const auto ended = check.wait(seconds(120));
    return std::pair(ended.value_or(-1), check.out() + check.err());
  };
  EXPECT_EQ(code({"closed"}).first, 0);
  EXPECT_EQ(code({"closed", "absent", "hang"}).first, 0);  // unreachable beside something closed
  EXPECT_EQ(code({"hang"}).first, 1);                      // nothing reachable at all
  EXPECT_EQ(code({"closed", "blocks_us"}).first, 1);
  EXPECT_EQ(code({"closed", "open"}).first, 2);
  EXPECT_EQ(code({"accept_and_discard"}).first, 2);
  const auto outside = code({"192.0.2.1"});
  EXPECT_EQ(outside.first, 3);
  EXPECT_THAT(outside.second, HasSubstr("192.0.2.1 is outside the scope"));
  const auto unknown = code({"--check", "smtp_rely", "closed"});
  EXPECT_EQ(unknown.first, 3);
  EXPECT_THAT(unknown.second, HasSubstr("did you mean smtp_relay"));
  // An address that is not declared, inside scope; its port is the default one, where nobody listens.
  EXPECT_EQ(code({"127.10.0.200"}).first, 0);
  // Two targets after an option that may be repeated, and one that leads nowhere: not all was asked, so it is no 0.
  EXPECT_EQ(code({"--check", "smtp_relay", "closed", "absent"}).first, 0);
  const auto nowhere = code({"closed", "mx.invalid"});
  EXPECT_EQ(nowhere.first, 1);
  EXPECT_THAT(nowhere.second, HasSubstr("mx.invalid"));
  // Without any configuration.
  Process bare({program("ajar"), "check", "--json", "--scope", "127.0.0.0/8", "127.10.0.200"}, folder.path());
  EXPECT_EQ(bare.wait(seconds(60)), 0) << bare.err();
  EXPECT_THAT(bare.out(), HasSubstr(R"("reason":"nobody_listens")"));
}

// Interrupted is not "all closed".
TEST(Lab, AnInterruptedCheckIsNoZero) {
  const Lab lab;
  const TemporaryFolder folder;
  write_file(folder.file("ajar.toml"), Setting{}.text(lab.places()));
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--quick", "closed", "slow_byte", "hang"},
                folder.path());
  EXPECT_FALSE(check.wait(std::chrono::milliseconds(1500)));
  check.signal(SIGINT);
  EXPECT_EQ(check.wait(seconds(5)), 1);
  EXPECT_THAT(check.err(), HasSubstr("not everything was asked"));
}

}  // namespace
}  // namespace ajar
