// Targets that are found while the agent runs: a file is dropped in, changed, replaced, broken and removed.
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Found : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder.file("targets"));
    setting.more += "\n[[discovery]]\nfile = \"targets/*.json\"\nowner = \"found\"\nchecks = [\"smtp_relay\"]\n";
    write_file(folder.file("ajar.toml"), setting.text({lab.place("closed")}));
  }
  static json group(const std::vector<std::string>& targets, const json& labels = json::object()) {
    return {{"targets", targets}, {"labels", labels}};
  }
  std::string at(const std::string& personality) const {
    const LabPlace& place = lab.place(personality);
    return fmt::format("{}:{}", place.address, place.port);
  }
  void put(const std::string& name, const std::string& text) const {
    write_file(folder.file("." + name), text);
    std::filesystem::rename(folder.file("." + name), folder.file("targets/" + name));
  }
  static std::string metric(const RunningAgent& agent, const std::string& series) {
    std::istringstream lines(agent.get("/metrics").body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(series + " ")) return line.substr(series.size() + 1);
    }
    return "none";
  }
  static std::string up(const RunningAgent& agent) { return metric(agent, "ajar_discovery_up{source=\"targets/*.json\"}"); }
  static std::string states(const RunningAgent& agent, const std::string& target) {
    std::string out;
    for (const char* state : {"open", "closed", "retired"}) {
      for (const json& one : agent.data(std::string("/api/v1/exposures?state=") + state)) {
        if (one.at("target") == target) out += std::string(out.empty() ? "" : " ") + state;
      }
    }
    return out;
  }

  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
};

TEST_F(Found, FilesComeChangeBreakAndGo) {
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  EXPECT_TRUE(wait_until(seconds(10), [&] { return up(agent) == "1"; }));
  EXPECT_EQ(agent.get("/targets/relay").status, 404);

  // Dropped in: one that is open, one outside scope, and one that is no host.
  put("a.json",
      json{group({at("open")}, {{"__ajar_name", "relay"}, {"site", "zrh"}, {"__meta_x", "y"}}), group({"192.0.2.1", "no host"})}
          .dump());
  EXPECT_TRUE(wait_until(seconds(30), [&] { return agent.levels()["relay"] == 4; })) << agent.process().err();
  EXPECT_EQ(states(agent, "relay"), "open");
  // What is known of targets is shown at an interval of its own.
  EXPECT_TRUE(wait_until(seconds(10), [&] { return agent.get("/targets/relay").status == 200; }));
  const std::string metrics = agent.get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("ajar_target_info{target=\"relay\",host=\"" + lab.place("open").address +
                                 "\",owner=\"found\",label_site=\"zrh\"} 1\n"));
  EXPECT_THAT(metrics, AllOf(HasSubstr("ajar_discovery_targets{source=\"targets/*.json\"} 1\n"),
                             HasSubstr("ajar_discovery_refused{source=\"targets/*.json\"} 2\n"), Not(HasSubstr("192.0.2.1"))));
  EXPECT_THAT(agent.get("/targets/relay").body, HasSubstr("Found by"));
  EXPECT_THAT(agent.get("/config").body, AllOf(HasSubstr("Where targets are read from"), HasSubstr("is not inside scope")));
  EXPECT_THAT(agent.process().err() + agent.process().out(), HasSubstr("192.0.2.1 is not taken: is not inside scope"));
  const std::string id = agent.data("/api/v1/exposures?state=open").at(0).at("id");

  // Another file beside it, and another owner: the case goes on.
  put("b.json", json{group({at("closed_454")}, {{"__ajar_name", "other"}})}.dump());
  put("a.json", json{group({at("open")}, {{"__ajar_name", "relay"}, {"__ajar_owner", "mail-team"}})}.dump());
  EXPECT_TRUE(wait_until(seconds(15), [&] {
    return agent.get("/metrics").body.find("owner=\"mail-team\"") != std::string::npos && agent.levels().contains("other");
  })) << agent.get("/metrics").body;
  EXPECT_EQ(states(agent, "relay"), "open");
  EXPECT_EQ(agent.data("/api/v1/exposures?state=open").at(0).at("id"), id);

  // Broken: what it said last is kept.
  put("a.json", "[{\"targets\": [");
  EXPECT_TRUE(wait_until(seconds(15), [&] { return up(agent) == "0"; }));
  EXPECT_EQ(states(agent, "relay"), "open");
  EXPECT_EQ(agent.get("/targets/relay").status, 200);
  EXPECT_TRUE(
      wait_until(seconds(5), [&] { return agent.get("/targets").body.find("sources are failing") != std::string::npos; }));

  // A restart meanwhile: nothing is known of the file, and nothing is retired.
  agent.process().signal(SIGTERM);
  EXPECT_TRUE(agent.process().wait(seconds(20)).has_value());
  RunningAgent again(folder.path(), setting.web_port);
  ASSERT_TRUE(again.wait_ready()) << again.process().err();
  EXPECT_TRUE(wait_until(seconds(15), [&] { return up(again) == "0"; }));
  EXPECT_EQ(states(again, "relay"), "open");

  // Mended.
  put("a.json", json{group({at("open")}, {{"__ajar_name", "relay"}})}.dump());
  EXPECT_TRUE(wait_until(seconds(15), [&] { return up(again) == "1" && again.get("/targets/relay").status == 200; }));
  EXPECT_EQ(states(again, "relay"), "open");
  EXPECT_EQ(again.data("/api/v1/exposures?state=open").at(0).at("id"), id);

  // Removed: retired, as on a reload. The declared one and the other file go on.
  std::filesystem::remove(folder.file("targets/a.json"));
  EXPECT_TRUE(wait_until(seconds(15), [&] { return states(again, "relay") == "retired"; })) << states(again, "relay");
  EXPECT_TRUE(wait_until(seconds(5), [&] { return again.get("/targets/relay").status == 404; }));
  EXPECT_EQ(again.get("/targets/other").status, 200);
  EXPECT_EQ(again.get("/targets/closed").status, 200);
  EXPECT_EQ(up(again), "1");
}

TEST_F(Found, AjarCheckFindsThemToo) {
  put("a.json", json{group({at("open")}, {{"__ajar_name", "relay"}}), group({"bad host"})}.dump());
  const auto check = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json"};
    argv.insert(argv.end(), words.begin(), words.end());
    Process process(argv, folder.path());
    const int code = process.wait(seconds(90)).value_or(-1);
    return std::pair(code, process.out() + process.err());
  };
  const auto [named, said] = check({"relay"});
  EXPECT_EQ(named, 2) << said;
  EXPECT_THAT(said, AllOf(HasSubstr("\"target\":\"relay\""), HasSubstr("bad host is not taken"),
                          Not(HasSubstr("\"target\":\"closed\""))));
  const auto [declared, words] = check({"closed"});
  EXPECT_EQ(declared, 0) << words;
  EXPECT_THAT(words, Not(HasSubstr("bad host")));  // no source is read for it
}

TEST_F(Found, TheConfigurationIsChecked) {
  const auto check = [&] {
    Process process({program("ajar"), "run", "--config", folder.file("ajar.toml"), "--config.check"}, folder.path());
    const int code = process.wait(seconds(30)).value_or(-1);
    return std::pair(code, process.out() + process.err());
  };
  EXPECT_EQ(check().first, 0);
  EXPECT_THAT(check().second, HasSubstr("1 targets, 1 sources of more"));
  write_file(folder.file("ajar.toml"), setting.text({}) + "[[discovery]]\nurl = \"cmdb\"\n");
  EXPECT_EQ(check().first, 3);
  EXPECT_THAT(check().second, HasSubstr("`url` = `cmdb` is not a URL"));
}

}  // namespace
}  // namespace ajar
