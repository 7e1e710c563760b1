// A network of the lab as one target: results appear only where somebody listens, an open one is found and proven, and what
// opens later is found by the next sweep.
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
  // The lab's mail servers: 127.10.0.0/27 at one port.
  Sweeps() {
    setting.interval = "1s";
    setting.more = fmt::format(R"(
[[target]]
name = "rack"
network = "127.10.0.0/27"
checks = ["smtp_relay"]
ports.smtp_relay = [{}]
)",
                               lab.place("open").port);
    std::string text = setting.text({});
    const std::string agent = "[agent]\n";
    text.insert(text.find(agent) + agent.size(), "sweep_interval = \"2s\"\n");
    write_file(folder.file("ajar.toml"), text);
    for (const LabPlace& place : lab.places()) {
      if (place.port != lab.place("open").port || !place.address.starts_with("127.10.0.") || place.udp) continue;
      if (std::stoi(place.address.substr(9)) < 32) there.insert({place.address, place.personality});
    }
  }
  static double metric(const RunningAgent& agent, const std::string& series) {
    std::istringstream lines(agent.get("/metrics").body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
    }
    return -1;
  }
  static std::set<std::string> asked(const RunningAgent& agent) {
    std::set<std::string> addresses;
    for (const json& result : agent.data("/api/v1/results")) addresses.insert(result.at("address").get<std::string>());
    return addresses;
  }
  static json rack(const RunningAgent& agent) {
    const json targets = agent.data("/api/v1/targets");
    return targets.empty() ? json() : targets.front();
  }

  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  std::map<std::string, std::string> there;  // personality by address
};

TEST_F(Sweeps, ResultsOnlyWhereSomebodyListensAndALaterOneIsFound) {
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  std::set<std::string> listening;
  for (const auto& [address, personality] : there) {
    if (personality != "absent") listening.insert(address);
  }
  ASSERT_GT(listening.size(), 10U);
  ASSERT_LT(listening.size(), 32U);
  EXPECT_TRUE(wait_until(seconds(40), [&] { return asked(agent) == listening; })) << testing::PrintToString(asked(agent));
  // The open one is proven.
  const std::string open =
      fmt::format(R"(ajar_exposure_level{{target="rack",address="{}",port="{}",transport="tcp",check="smtp_relay"}})",
                  lab.place("open").address, lab.place("open").port);
  EXPECT_TRUE(wait_until(seconds(40), [&] { return metric(agent, open) == 4; }));
  // What refuses is counted, and covered.
  EXPECT_EQ(metric(agent, "ajar_endpoints"), 32);
  const auto refused = static_cast<double>(32 - listening.size());
  EXPECT_TRUE(wait_until(seconds(20), [&] { return metric(agent, "ajar_sweep_endpoints{state=\"refused\"}") == refused; }));
  EXPECT_EQ(metric(agent, "ajar_sweep_endpoints{state=\"not_asked\"}"), 0);
  EXPECT_EQ(metric(agent, "ajar_sweep_endpoints{state=\"listening\"}"), static_cast<double>(listening.size()));
  EXPECT_GE(metric(agent, "ajar_results{check=\"smtp_relay\",verdict=\"closed\"}"), refused);
  EXPECT_GT(metric(agent, "ajar_sweep_last_completed_timestamp_seconds{target=\"rack\"}"), 0);
  EXPECT_EQ(rack(agent).at("swept").at("refused"), 32 - listening.size());
  EXPECT_THAT(agent.get("/targets/rack").body, HasSubstr("The sweep of the network"));

  // One that opens later.
  const LabPlace& absent = lab.place("absent");
  ASSERT_TRUE(lab.change(absent, "open"));
  const std::string late =
      fmt::format(R"(ajar_exposure_level{{target="rack",address="{}",port="{}",transport="tcp",check="smtp_relay"}})",
                  absent.address, absent.port);
  EXPECT_TRUE(wait_until(seconds(40), [&] { return metric(agent, late) == 4; })) << agent.process().err();

  // After a restart nothing of it is lost, and its case is the same.
  const json before = agent.data("/api/v1/exposures?state=open");
  agent.process().signal(SIGTERM);
  EXPECT_EQ(agent.process().wait(seconds(10)), 0) << agent.process().err();
  RunningAgent again(folder.path(), setting.web_port);
  ASSERT_TRUE(again.wait_ready()) << again.process().err();
  EXPECT_EQ(metric(again, late), 4);
  EXPECT_EQ(again.data("/api/v1/exposures?state=open").size(), before.size());
  EXPECT_EQ(again.data("/api/v1/exposures?state=retired").size(), 0U);
  EXPECT_EQ(metric(again, "ajar_sweep_endpoints{state=\"not_asked\"}"), 0);

  // It is shut: the case is closed as fixed. Then it goes back to the sweep, and no case is called retired.
  ASSERT_TRUE(lab.change(absent, "absent"));
  EXPECT_TRUE(wait_until(seconds(40), [&] { return metric(again, late) == -1; }));
  EXPECT_TRUE(wait_until(seconds(40), [&] { return !asked(again).contains(absent.address); })) << again.process().err();
  EXPECT_EQ(again.data("/api/v1/exposures?state=retired").size(), 0U);
  EXPECT_TRUE(wait_until(seconds(20), [&] { return metric(again, "ajar_sweep_endpoints{state=\"refused\"}") == refused; }));
}

}  // namespace
}  // namespace ajar
