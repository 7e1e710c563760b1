// What goes wrong on an operator's machine: each is said, with what to do, and what can go on goes on.
#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

class Trouble : public testing::Test {
 protected:
  // A configuration without any server to ask, unless `places` says so.
  void configure(const std::vector<LabPlace>& places = {}) { write_file(folder.file("ajar.toml"), setting.text(places)); }
  // Starts an agent that must not start: its exit code and what it said.
  std::pair<int, std::string> refused(std::vector<std::string> words = {}) {
    std::vector<std::string> argv = {program("ajar"), "run", "--config", folder.file("ajar.toml")};
    argv.insert(argv.end(), words.begin(), words.end());
    Process agent(argv, folder.path());
    const auto code = agent.wait(seconds(30));
    return {code.value_or(-1), agent.out() + agent.err()};
  }
  TemporaryFolder folder;
  Setting setting;
};

TEST_F(Trouble, ABrokenConfigurationStartsNothing) {
  write_file(folder.file("ajar.toml"), "scop = [\"127.0.0.0/8\"]\n[agent]\ninterval = \"fast\"\n");
  const auto [code, said] = refused();
  EXPECT_EQ(code, 3);
  EXPECT_THAT(said, AllOf(HasSubstr("ajar.toml:1:1: "), HasSubstr("did you mean"), HasSubstr("ajar.toml:3:12: ")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("ajar.db")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("canary.secret")));
  EXPECT_EQ(refused({"--config.check"}).first, 3);
  configure();
  const auto [valid, words] = refused({"--config.check"});
  EXPECT_EQ(valid, 0) << words;
  EXPECT_FALSE(std::filesystem::exists(folder.file("ajar.db")));
}

TEST_F(Trouble, NoConfigurationAtAll) {
  const auto [code, said] = refused();
  EXPECT_EQ(code, 3);
  EXPECT_THAT(said, HasSubstr("ajar.toml"));
}

TEST_F(Trouble, ASecretThatOthersCanRead) {
  configure();
  write_file(folder.file("canary.secret"), std::string(64, 'a') + "\n");
  chmod(folder.file("canary.secret").c_str(), 0644);
  const auto [code, said] = refused();
  EXPECT_EQ(code, 3);
  EXPECT_THAT(said, AllOf(HasSubstr("canary.secret"), HasSubstr("chmod")));
}

TEST_F(Trouble, PortsThatAreTaken) {
  configure();
  RunningAgent first(folder.path(), setting.web_port);
  ASSERT_TRUE(first.wait_ready()) << first.process().err();
  // The same state: locked, and by whom.
  const auto locked = refused();
  EXPECT_EQ(locked.first, 3);
  EXPECT_THAT(locked.second, AllOf(HasSubstr("locked by another agent"), HasSubstr(std::to_string(first.process().pid()))));
  // Another state, the same canary port.
  const std::string text = read_file(folder.file("ajar.toml"));
  setting.state = "other.db";
  configure();
  const auto canary = refused();
  EXPECT_EQ(canary.first, 3);
  EXPECT_THAT(canary.second, HasSubstr("127.9.9.9:"));
  // The same web port.
  std::string elsewhere = setting.text({});
  for (const auto& [port, other] : {std::pair(":2525", ":2625"), std::pair(":8025", ":8125"), std::pair(":8443", ":8543")}) {
    for (std::size_t at = elsewhere.find(port); at != std::string::npos; at = elsewhere.find(port))
      elsewhere.replace(at, 5, other);
  }
  write_file(folder.file("ajar.toml"), elsewhere);
  const auto web = refused();
  EXPECT_EQ(web.first, 3);
  EXPECT_THAT(web.second, AllOf(HasSubstr("web.listen"), HasSubstr(std::to_string(setting.web_port))));
}

TEST_F(Trouble, ACorruptDatabaseIsMovedAside) {
  configure();
  write_file(folder.file("ajar.db"), std::string(100'000, 'x'));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  EXPECT_THAT(agent.process().err(), HasSubstr("corrupt"));
  bool aside = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    aside = aside || entry.path().filename().string().starts_with("ajar.db.corrupt-");
  }
  EXPECT_TRUE(aside);
}

// It keeps probing and serving, says so, and writes again when there is room.
TEST_F(Trouble, AFullDisk) {
  const std::string disk = folder.file("disk");
  std::filesystem::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "cannot mount a small disk here";
  struct Unmount {
    std::string path;
    ~Unmount() { umount2(path.c_str(), MNT_DETACH); }
  } unmount{disk};
  const Lab lab;
  setting.state = "disk/ajar.db";
  setting.interval = "1s";
  configure({lab.place("closed"), lab.place("open"), lab.place("catch_all")});
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(60), [&] { return agent.levels().size() == 3; }));
  Process fill({"sh", "-c", "head -c 4000000 /dev/zero > disk/full"}, folder.path());
  fill.wait(seconds(10));
  EXPECT_TRUE(wait_until(seconds(60), [&] { return agent.process().err().find("cannot be written") != std::string::npos; }));
  // Changes are still seen and shown.
  ASSERT_TRUE(lab.change(lab.place("closed"), "accept_and_discard"));
  EXPECT_TRUE(wait_until(seconds(60), [&] { return agent.levels()["closed"] >= 3; })) << agent.process().err();
  EXPECT_EQ(agent.get("/-/healthy").status, 200);
  std::filesystem::remove(disk + "/full");
  EXPECT_TRUE(wait_until(seconds(60), [&] { return agent.process().err().find("can be written again") != std::string::npos; }));
  const std::map<std::string, int> before = agent.levels();
  agent.process().signal(SIGTERM);
  EXPECT_EQ(agent.process().wait(seconds(5)), 0);
  RunningAgent again(folder.path(), setting.web_port);
  ASSERT_TRUE(again.wait_ready()) << again.process().err();
  EXPECT_GE(again.levels()["closed"], 3);
}

TEST_F(Trouble, NoResolver) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root for a mount of its own";
  setting.more = "[[target]]\nname = \"named\"\nhost = \"mx1.example.org\"\n";
  configure();
  write_file(folder.file("resolv.conf"), "");
  RunningAgent agent(
      folder.path(), setting.web_port,
      {"unshare", "-m", "sh", "-c", "mount --bind " + folder.file("resolv.conf") + " /etc/resolv.conf && exec \"$@\"", "sh"});
  if (!wait_until(seconds(40), [&] { return agent.get("/-/ready").status == 200 || !agent.process().running(); }) ||
      agent.process().err().find("unshare") != std::string::npos) {
    GTEST_SKIP() << agent.process().err();
  }
  EXPECT_TRUE(wait_until(seconds(40), [&] { return agent.process().err().find("mx1.example.org") != std::string::npos; }));
  EXPECT_EQ(agent.get("/-/healthy").status, 200);
  EXPECT_THAT(agent.get("/targets/named").body, HasSubstr("mx1.example.org"));
}

// A name that points outside is refused, counted and logged, and never asked.
TEST_F(Trouble, ANameThatPointsOutsideTheScope) {
  setting.scope = R"(["127.10.0.0/16"])";
  setting.more = "[[target]]\nname = \"strayed\"\nhost = \"localhost\"\nchecks = [\"smtp_relay\"]\n";
  configure();
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  EXPECT_THAT(agent.process().err(), HasSubstr("outside the scope"));
  const std::string metrics = agent.get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("ajar_probe_failures_total{check=\"smtp_relay\",reason=\"out_of_scope\"} "));
  EXPECT_THAT(metrics, testing::Not(HasSubstr("reason=\"out_of_scope\"} 0\n")));
  EXPECT_TRUE(agent.data("/api/v1/results").empty());
}

TEST_F(Trouble, ReloadIsAllOrNothing) {
  const Lab lab;
  configure({lab.place("closed")});
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(30), [&] { return agent.levels().contains("closed"); }));
  const std::string good = read_file(folder.file("ajar.toml"));
  write_file(folder.file("ajar.toml"), good + "[[target]]\nname = \"new\"\naddress = \"127.10.0.2\"\ntypo = 1\n");
  const HttpAnswer bad = agent.post("/-/reload");
  EXPECT_EQ(bad.status, 400);
  EXPECT_THAT(bad.body, AllOf(HasSubstr("ajar.toml:"), HasSubstr("typo")));
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("\najar_config_last_reload_successful 0\n"));
  EXPECT_EQ(agent.get("/targets/new").status, 404);
  EXPECT_EQ(agent.get("/targets/closed").status, 200);
  // What takes a restart is refused, and says so.
  std::string moved = good;
  moved.replace(moved.find("canary.test\"\ndelivery"), 11, "canary.zest");
  write_file(folder.file("ajar.toml"), moved);
  EXPECT_THAT(agent.post("/-/reload").body, AllOf(HasSubstr("canary.mail_domain"), HasSubstr("restart")));
  // And by signal, a good one: the new target is asked, the old one's result stays.
  write_file(folder.file("ajar.toml"), setting.text({lab.place("closed"), lab.place("closed_454")}));
  agent.process().signal(SIGHUP);
  EXPECT_TRUE(
      wait_until(seconds(30), [&] { return agent.levels() == std::map<std::string, int>{{"closed", 0}, {"closed_454", 0}}; }));
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("\najar_config_last_reload_successful 1\n"));
  // A target that leaves takes its results along.
  configure({lab.place("closed_454")});
  EXPECT_EQ(agent.post("/-/reload").status, 200);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return agent.levels() == std::map<std::string, int>{{"closed_454", 0}}; }));
}

TEST_F(Trouble, AnExposureOfATargetThatLeavesIsRetired) {
  const Lab lab;
  configure({lab.place("open"), lab.place("closed")});
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(60), [&] { return agent.levels()["open"] == 4; }));
  configure({lab.place("closed")});
  EXPECT_EQ(agent.post("/-/reload").status, 200);
  ASSERT_TRUE(wait_until(seconds(30), [&] { return !agent.data("/api/v1/exposures?state=retired").empty(); }));
  const json exposure = agent.data("/api/v1/exposures?state=retired").at(0);
  EXPECT_EQ(exposure.at("target"), "open");
  EXPECT_EQ(exposure.at("how"), "retired");
  EXPECT_THAT(agent.get("/metrics").body,
              HasSubstr("ajar_exposures_closed_total{check=\"smtp_relay\",owner=\"mail-team\",how=\"retired\"} 1\n"));
}

}  // namespace
}  // namespace ajar
