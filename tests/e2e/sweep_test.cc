// Networks of the lab as targets: results appear only where somebody listens, an open one is found and proven, what opens later
// is found by the next sweep, and what is gone goes back to it.
#include <csignal>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

class Sweeps : public testing::Test {
 protected:
  // Two of the lab's networks, at the port of its mail servers: without those that take their time.
  Sweeps() {
    setting.interval = "1s";
    setting.more = R"(
[[target]]
name = "rack"
network = "127.10.0.0/29"
checks = ["smtp_relay"]
ports.smtp_relay = [2525]

[[target]]
name = "shelf"
network = "127.10.0.24/29"
checks = ["smtp_relay"]
ports.smtp_relay = [2525]
)";
    std::string text = setting.text({});
    const std::string agent = "[agent]\n";
    text.insert(text.find(agent) + agent.size(), "sweep_interval = \"2s\"\n");
    write_file(folder.file("ajar.toml"), text);
    for (const LabPlace& place : lab.places()) {
      if (place.port != 2525 || !place.address.starts_with("127.10.0.") || place.personality == "absent") continue;
      const int host = std::stoi(place.address.substr(9));
      if (host < 8 || (host >= 24 && host < 32)) listening.insert(place.address);
    }
  }
  static double metric(const RunningAgent& agent, const std::string& series) {
    std::istringstream lines(agent.get("/metrics").body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
    }
    return -1;
  }
  static double swept(const RunningAgent& agent, const std::string& state) {
    return metric(agent, "ajar_sweep_endpoints{state=\"" + state + "\"}");
  }
  static double level(const RunningAgent& agent, const char* target, const LabPlace& place) {
    return metric(agent, fmt::format(R"(ajar_exposure_level{{target="{}",address="{}",port="2525",transport="tcp",)"
                                     R"(check="smtp_relay"}})",
                                     target, place.address));
  }
  static std::set<std::string> asked(const RunningAgent& agent) {
    std::set<std::string> addresses;
    for (const json& result : agent.data("/api/v1/results")) addresses.insert(result.at("address").get<std::string>());
    return addresses;
  }
  static std::size_t cases(const RunningAgent& agent, const std::string& state) {
    return agent.data("/api/v1/exposures?state=" + state).size();
  }

  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  std::set<std::string> listening;
};

TEST_F(Sweeps, ResultsOnlyWhereSomebodyListensAndALaterOneIsFound) {
  auto agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  ASSERT_EQ(listening.size(), 11U);
  ASSERT_TRUE(wait_until(seconds(90), [&] { return asked(*agent) == listening; })) << testing::PrintToString(asked(*agent));
  // The open one is proven.
  ASSERT_TRUE(wait_until(seconds(60), [&] { return level(*agent, "rack", lab.place("open")) == 4; }));
  // What refuses is counted, and covered.
  EXPECT_EQ(metric(*agent, "ajar_endpoints"), 16);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return swept(*agent, "refused") == 5; }));
  EXPECT_EQ(swept(*agent, "not_asked"), 0);
  EXPECT_EQ(swept(*agent, "listening"), 11);
  EXPECT_GE(metric(*agent, "ajar_results{check=\"smtp_relay\",verdict=\"closed\"}"), 5);
  EXPECT_GT(metric(*agent, "ajar_sweep_last_completed_timestamp_seconds{target=\"rack\"}"), 0);
  EXPECT_EQ(agent->data("/api/v1/targets").front().at("swept").at("listening"), 7);
  EXPECT_THAT(agent->get("/targets/rack").body, HasSubstr("The sweep of the network"));

  // One that opens later.
  const LabPlace& absent = lab.place("absent");
  ASSERT_TRUE(lab.change(absent, "open"));
  ASSERT_TRUE(wait_until(seconds(60), [&] { return level(*agent, "shelf", absent) == 4; })) << agent->process().err();

  // A restart loses nothing of it, and its case is the same.
  agent->process().signal(SIGTERM);
  EXPECT_EQ(agent->process().wait(seconds(10)), 0) << agent->process().err();
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  EXPECT_EQ(level(*agent, "shelf", absent), 4);
  EXPECT_EQ(cases(*agent, "retired"), 0U);
  EXPECT_EQ(swept(*agent, "not_asked"), 0);

  // It is shut: the case ends as fixed. Then the place goes back to the sweep, and no case is called retired.
  ASSERT_TRUE(lab.change(absent, "absent"));
  EXPECT_TRUE(wait_until(seconds(60), [&] { return level(*agent, "shelf", absent) == -1; }));
  EXPECT_TRUE(wait_until(seconds(60), [&] { return !asked(*agent).contains(absent.address); })) << agent->process().err();
  EXPECT_EQ(cases(*agent, "retired"), 0U);
  EXPECT_GE(cases(*agent, "closed"), 1U);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return swept(*agent, "refused") == 5; }));
}

}  // namespace
}  // namespace ajar
