// The programs together: `ajar check` beside a running agent, a canary of its own process, a real Prometheus.
#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

// The agent has the ledger and the canary; `ajar check` uses both and stores what it found.
TEST(Together, CheckBesideARunningAgent) {
  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  setting.interval = "1h";
  setting.message_interval = "1s";
  write_file(folder.file("ajar.toml"), setting.text({lab.place("open"), lab.place("closed")}));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(
      wait_until(seconds(60), [&] { return agent.levels() == std::map<std::string, int>{{"closed", 0}, {"open", 4}}; }));
  const auto started = [&](const std::string& target) {
    return agent.data("/api/v1/results?target=" + target).at(0).at("started");
  };
  const json before = started("open");
  // message_interval, of which a second must pass
  ASSERT_TRUE(wait_until(seconds(10), [&, begin = std::chrono::steady_clock::now()] {
    return std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(1500);
  }));
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "--wait", "20s"}, folder.path());
  ASSERT_EQ(check.wait(seconds(120)), 2) << check.err();
  EXPECT_THAT(check.out(), HasSubstr(R"("reason":"message_delivered")"));
  EXPECT_THAT(check.out(), HasSubstr(R"("reason":"refused")"));
  EXPECT_TRUE(wait_until(seconds(10), [&] { return started("open") != before; }));
  EXPECT_EQ(agent.levels(), (std::map<std::string, int>{{"closed", 0}, {"open", 4}}));
  EXPECT_EQ(agent.data("/api/v1/exposures").size(), 1U);
  // A quick check does not ask the form that is open, and still does not end a case.
  ASSERT_TRUE(lab.change(lab.place("open"), "percent_hack_open"));
  for (int i = 0; i < 3; ++i) {
    Process quick({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--quick", "--wait", "1s", "open"},
                  folder.path());
    EXPECT_EQ(quick.wait(seconds(60)), 2) << quick.out() << quick.err();
  }
  EXPECT_EQ(agent.levels()["open"], 4);
  // A stranger cannot store anything.
  EXPECT_EQ(agent.post("/api/v1/results").status, 401);
  EXPECT_EQ(agent.post("/api/v1/messages").status, 401);
  EXPECT_EQ(http_request("GET", "127.0.0.1", setting.web_port, "/api/v1/arrivals?since=0", {"Ajar-Auth: 1:00"}).status, 401);
}

TEST(Together, ACanaryOnAnotherHost) {
  const Lab lab;
  const TemporaryFolder there, here;
  Setting far;
  write_file(there.file("ajar.toml"), far.text({}));
  Process canary({program("ajar"), "canary", "--config", there.file("ajar.toml")}, there.path());
  ASSERT_TRUE(wait_until(seconds(30), [&] { return accepts("127.0.0.1", far.web_port) && accepts(kCanaryAddress, 2525); }))
      << canary.err();
  write_file(here.file("canary.secret"), read_file(there.file("canary.secret")));
  std::filesystem::permissions(here.file("canary.secret"),
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  Setting near;
  std::string text = near.text({lab.place("open"), lab.place("closed")});
  const std::size_t listen = text.find("listen_smtp");
  text.replace(listen, text.find("mail_domain") - listen,
               "remote = \"http://127.0.0.1:" + std::to_string(far.web_port) + "\"\n");
  write_file(here.file("ajar.toml"), text);
  RunningAgent agent(here.path(), near.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  EXPECT_TRUE(wait_until(seconds(60), [&] { return agent.levels() == std::map<std::string, int>{{"closed", 0}, {"open", 4}}; }))
      << agent.process().err();
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("ajar_canary_up{kind=\"smtp\"} 1\n"));
  canary.signal(SIGTERM);
  EXPECT_EQ(canary.wait(seconds(5)), 0) << canary.err();
  EXPECT_TRUE(wait_until(
      seconds(60), [&] { return agent.get("/metrics").body.find("ajar_canary_up{kind=\"smtp\"} 0\n") != std::string::npos; }));
}

TEST(Together, PrometheusScrapesItAndPromtoolFindsNothing) {
  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  write_file(folder.file("ajar.toml"), setting.text({lab.place("open"), lab.place("closed"), lab.place("blocks_us")}));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(60), [&] { return agent.levels().size() == 3; }));

  write_file(folder.file("page"), agent.get("/metrics").body);
  Process lint({"sh", "-c", "promtool check metrics < page"}, folder.path());
  EXPECT_EQ(lint.wait(seconds(30)), 0) << lint.out() << lint.err();

  const std::uint16_t port = free_port("127.0.0.1");
  write_file(folder.file("prometheus.yml"),
             "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: ajar\n  static_configs:\n  - targets: "
             "['127.0.0.1:" +
                 std::to_string(setting.web_port) + "']\n");
  Process prometheus({"prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                      "--enable-feature=exemplar-storage", "--web.listen-address=127.0.0.1:" + std::to_string(port)},
                     folder.path());
  const auto query = [&](const std::string& path) {
    return json::parse(http_get("127.0.0.1", port, path).body, nullptr, false);
  };
  json answer;
  EXPECT_TRUE(wait_until(seconds(60),
                         [&] {
                           answer = query("/api/v1/query?query=ajar_exposure_level%3D%3D4");
                           return answer.is_object() && answer.value("status", "") == "success" &&
                                  answer.at("data").at("result").size() == 1;
                         }))
      << answer << prometheus.err();
  EXPECT_EQ(answer.at("data").at("result").at(0).at("metric").value("target", ""), "open");
  answer = query("/api/v1/targets");
  EXPECT_EQ(answer.at("data").at("activeTargets").at(0).value("health", ""), "up") << answer;
  EXPECT_EQ(answer.at("data").at("activeTargets").at(0).value("lastError", "?"), "");
  EXPECT_TRUE(wait_until(seconds(30), [&] {
    answer = query("/api/v1/query_exemplars?query=ajar_probe_duration_seconds_bucket&start=0&end=99999999999");
    return answer.dump().find("probe_id") != std::string::npos;
  })) << answer;
}

}  // namespace
}  // namespace ajar
