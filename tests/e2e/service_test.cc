// `ajar run` as a service: what the service manager hears of it, and when it must hear nothing.
#include <algorithm>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "tests/e2e/house.h"
#include "tests/support/notify_socket.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr milliseconds kWatchdog{1500};

class Service : public testing::Test {
 protected:
  Service() {
    setting.interval = "1h";
    setting.more =
        "[[target]]\nname = \"nobody\"\naddress = \"127.10.99.99\"\nchecks = [\"smtp_relay\"]\nports.smtp_relay = [2525]\n";
    configure();
  }
  void configure() { write_file(folder.file("ajar.toml"), setting.text({})); }
  void start() {
    agent = std::make_unique<RunningAgent>(
        folder.path(), setting.web_port,
        std::vector<std::string>{"env", "NOTIFY_SOCKET=" + manager.address(),
                                 "WATCHDOG_USEC=" + std::to_string(std::chrono::microseconds(kWatchdog).count())});
  }
  bool hears(const std::string& message, std::size_t times = 1, milliseconds limit = seconds(60)) {
    return wait_until(limit, [&] { return manager.count(message) >= times; });
  }
  // What was told so far, without what comes at its own pace.
  std::vector<std::string> steps() {
    std::vector<std::string> all = manager.heard();
    std::erase_if(all, [](const std::string& m) { return m == "WATCHDOG=1" || m.starts_with("STATUS="); });
    return all;
  }
  bool silent_for(milliseconds span) {
    return !wait_until(span, [&] { return !manager.heard().empty(); });
  }

  TemporaryFolder folder;
  Setting setting;
  NotifySocket manager{folder.file("notify")};
  std::unique_ptr<RunningAgent> agent;
};

TEST_F(Service, ReadyAliveReloadedStopped) {
  start();
  ASSERT_TRUE(hears("READY=1")) << agent->process().err();
  EXPECT_EQ(agent->get("/-/ready").status, 200);
  EXPECT_TRUE(hears("WATCHDOG=1", 4));
  EXPECT_TRUE(wait_until(seconds(60), [&] {
    const auto& heard = manager.heard();
    return std::find(heard.begin(), heard.end(), "STATUS=targets: 1, results: 1, open cases: 0") != heard.end();
  })) << testing::PrintToString(manager.heard());

  manager.forget();
  agent->process().signal(SIGHUP);
  ASSERT_TRUE(hears("READY=1")) << agent->process().err();
  EXPECT_THAT(steps(), ElementsAre(AllOf(StartsWith("RELOADING=1\n"), HasSubstr("\nMONOTONIC_USEC=")), "READY=1"));

  // A file that is not taken over ends the reload too.
  manager.forget();
  write_file(folder.file("ajar.toml"), "scop = []\n");
  agent->process().signal(SIGHUP);
  ASSERT_TRUE(hears("READY=1")) << agent->process().err();
  EXPECT_THAT(steps(), ElementsAre(StartsWith("RELOADING=1\n"), "READY=1"));
  EXPECT_THAT(agent->process().err(), HasSubstr("was not taken over"));

  manager.forget();
  EXPECT_EQ(agent->post("/-/pause").status, 200);
  EXPECT_TRUE(hears("STATUS=targets: 1, results: 1, open cases: 0; probing is paused"));

  manager.forget();
  agent->process().signal(SIGTERM);
  EXPECT_EQ(agent->process().wait(seconds(10)), 0) << agent->process().err();
  EXPECT_THAT(steps(), ElementsAre("STOPPING=1"));
}

TEST_F(Service, AStoppedProcessIsSilent) {
  start();
  ASSERT_TRUE(hears("READY=1")) << agent->process().err();
  ASSERT_TRUE(hears("WATCHDOG=1", 2));
  agent->process().signal(SIGSTOP);
  int status = 0;
  ASSERT_EQ(waitpid(agent->process().pid(), &status, WUNTRACED), agent->process().pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  manager.forget();
  EXPECT_TRUE(silent_for(2 * kWatchdog)) << testing::PrintToString(manager.heard());
  agent->process().signal(SIGCONT);
  EXPECT_TRUE(hears("WATCHDOG=1", 2));
}

// The loop's thread alone is held: the web threads go on, and must not feed the watchdog.
TEST_F(Service, AHungLoopIsSilentThoughWebThreadsLive) {
  start();
  ASSERT_TRUE(hears("READY=1")) << agent->process().err();
  ASSERT_TRUE(hears("WATCHDOG=1", 2));
  const pid_t loop_thread = agent->process().pid();
  if (ptrace(PTRACE_SEIZE, loop_thread, nullptr, nullptr) != 0) GTEST_SKIP() << "threads cannot be held here (ptrace)";
  ASSERT_EQ(ptrace(PTRACE_INTERRUPT, loop_thread, nullptr, nullptr), 0);
  int status = 0;
  ASSERT_EQ(waitpid(loop_thread, &status, __WALL), loop_thread);
  ASSERT_TRUE(WIFSTOPPED(status));
  manager.forget();
  std::size_t answers = 0;
  EXPECT_FALSE(wait_until(2 * kWatchdog, [&] {
    answers += agent->get("/-/healthy").status == 200 ? 1 : 0;
    return !manager.heard().empty();
  })) << testing::PrintToString(manager.heard());
  EXPECT_GT(answers, 10U);
  ASSERT_EQ(ptrace(PTRACE_DETACH, loop_thread, nullptr, nullptr), 0);
  EXPECT_TRUE(hears("WATCHDOG=1", 2));
  agent->process().signal(SIGTERM);
  EXPECT_EQ(agent->process().wait(seconds(10)), 0) << agent->process().err();
}

TEST_F(Service, WithoutAListenerItRunsAsEver) {
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  EXPECT_THAT(manager.heard(), testing::IsEmpty());
  EXPECT_THAT(agent->process().err(), Not(HasSubstr("service manager")));
}

}  // namespace
}  // namespace ajar
