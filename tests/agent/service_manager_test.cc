#include "agent/service_manager.h"

#include <cstdlib>
#include <filesystem>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/notify_socket.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::MatchesRegex;

// A variable of the environment for as long as the object is there.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

class ServiceManagerTest : public testing::Test {
 protected:
  ServiceManagerTest() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  NotifySocket socket{(std::filesystem::temp_directory_path() / ("ajar-notify-" + std::to_string(getpid()))).string()};
};

void tell_all(ServiceManager& manager) {
  manager.status("targets: 1");
  manager.ready();
  manager.alive(Steady::time_point(1h));
  manager.reloading();
  manager.reloaded();
  manager.stopping();
}

TEST_F(ServiceManagerTest, ALife) {
  const Variable listener("NOTIFY_SOCKET", socket.address());
  ServiceManager manager;
  EXPECT_TRUE(manager.listens());
  tell_all(manager);
  EXPECT_THAT(socket.heard(), ElementsAre("STATUS=targets: 1", "READY=1", MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"),
                                          "READY=1", "STOPPING=1"));
}

TEST_F(ServiceManagerTest, AnAbstractSocket) {
  NotifySocket abstract("@ajar/notify/" + std::to_string(getpid()));
  const Variable listener("NOTIFY_SOCKET", abstract.address());
  ServiceManager().ready();
  EXPECT_THAT(abstract.heard(), ElementsAre("READY=1"));
}

TEST_F(ServiceManagerTest, WithoutASocketNobodyIsTold) {
  const Variable interval("WATCHDOG_USEC", "3000000");
  ServiceManager manager;
  EXPECT_FALSE(manager.listens());
  tell_all(manager);
  const Variable empty("NOTIFY_SOCKET", "");
  EXPECT_FALSE(ServiceManager().listens());
}

TEST_F(ServiceManagerTest, ASocketThatIsGoneHurtsNobody) {
  const Variable listener("NOTIFY_SOCKET", socket.address() + "-gone");
  ServiceManager manager;
  EXPECT_TRUE(manager.listens());
  tell_all(manager);
}

TEST_F(ServiceManagerTest, AliveThreeTimesInTheInterval) {
  const Variable listener("NOTIFY_SOCKET", socket.address());
  const Variable interval("WATCHDOG_USEC", "3000000");
  ServiceManager manager;
  const Steady::time_point begin(1h);
  for (auto past = 0ms; past < 3s; past += 100ms) manager.alive(begin + past);
  EXPECT_THAT(socket.heard(), ElementsAre("WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"));
  // After a time without: at once.
  manager.alive(begin + 10s);
  EXPECT_EQ(socket.count("WATCHDOG=1"), 4U);
}

TEST_F(ServiceManagerTest, AliveOnlyWhereOurProcessIsWatched) {
  const Variable listener("NOTIFY_SOCKET", socket.address());
  for (const auto& [name, value] : {std::pair("WATCHDOG_PID", "1"), std::pair("WATCHDOG_USEC", "soon")}) {
    const Variable interval("WATCHDOG_USEC", "3000000");
    const Variable other(name, value);
    ServiceManager().alive(Steady::now());
  }
  EXPECT_THAT(socket.heard(), IsEmpty());
  const Variable interval("WATCHDOG_USEC", "3000000");
  const Variable ours("WATCHDOG_PID", std::to_string(getpid()));
  ServiceManager().alive(Steady::now());
  EXPECT_THAT(socket.heard(), ElementsAre("WATCHDOG=1"));
}

// "READY=1" after a reload would say that the first targets are known.
TEST_F(ServiceManagerTest, AReloadBeforeItIsReadyIsNotTold) {
  const Variable listener("NOTIFY_SOCKET", socket.address());
  ServiceManager manager;
  manager.reloading();
  manager.reloaded();
  EXPECT_THAT(socket.heard(), IsEmpty());
  manager.ready();
  manager.ready();
  EXPECT_THAT(socket.heard(), ElementsAre("READY=1"));
}

TEST_F(ServiceManagerTest, TheSameLineIsToldOnce) {
  const Variable listener("NOTIFY_SOCKET", socket.address());
  ServiceManager manager;
  for (const char* line : {"results: 1", "results: 1", "results: 2"}) manager.status(line);
  EXPECT_THAT(socket.heard(), ElementsAre("STATUS=results: 1", "STATUS=results: 2"));
}

}  // namespace
}  // namespace ajar
