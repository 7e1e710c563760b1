// Prompts of the lab, in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/conversation.h"
#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class TelnetLab : public testing::Test {
 protected:
  // All that is said to these lines, until the peer leaves.
  std::string talk(const std::string& name, std::deque<std::string> lines) {
    world_.connections.clear();
    Transcript transcript;
    MemoryLink link(transcript, std::move(lines));
    start(hold(link, name));
    return link.said();
  }
  Task<void> hold(Link& link, std::string name) {
    Setting setting;
    setting.address = "127.10.8.1";
    try {
      co_await converse(link, *find_personality(name), std::move(setting), world_, 0);
    } catch (const LinkError&) {
      // The peer leaves.
    }
  }

  MemoryWorld world_;
};

TEST_F(TelnetLab, ConnectsInItsOwnForm) {
  const std::string colon = "127.9.9.9:8025\r\n", space = "127.9.9.9 8025\r\n", verb = "connect 127.9.9.9 8025\r\n";
  const std::string refusals = "\xff\xfe\x01\xff\xfe\x03\xff\xfc\x03";
  EXPECT_EQ(talk("telnet_wingate", {refusals + colon}),
            "\xff\xfb\x01\xff\xfb\x03\xff\xfd\x03WinGate>Connecting to host...Connected\r\nPROOF\r\n");
  EXPECT_THAT(world_.connections, ElementsAre("127.10.8.1 -> 127.9.9.9:8025"));
  EXPECT_THAT(talk("telnet_wingate", {space, verb}), EndsWith("WinGate>Host not found\r\nWinGate>Host not found\r\nWinGate>"));
  EXPECT_THAT(world_.connections, IsEmpty());
  EXPECT_EQ(talk("telnet_host_prompt", {colon, space}),
            "A telnet gateway\r\nHost name: Host not found\r\nHost name: PROOF\r\n");
  EXPECT_EQ(talk("telnet_gateway", {space, verb}), "tn-gw-> Unknown command\r\ntn-gw-> Trying...\r\nConnected\r\nPROOF\r\n");
  EXPECT_EQ(talk("telnet_no_prompt", {"canary.test:8025\r\n"}), "Connected\r\nPROOF\r\n");
}

TEST_F(TelnetLab, ReachesNobodyElse) {
  EXPECT_THAT(talk("telnet_wingate", {"192.0.2.1:80\r\n"}), EndsWith("Connecting to host...Cannot connect\r\nWinGate>"));
  EXPECT_THAT(talk("telnet_wingate", {"a b:80\r\n", ":80\r\n", "a:99999\r\n", "\r\n"}),
              EndsWith("WinGate>Host not found\r\nWinGate>"));
}

TEST_F(TelnetLab, OthersDoNot) {
  const std::string ask = "127.9.9.9:8025\r\n";
  EXPECT_THAT(talk("telnet_wingate_closed", {ask}), EndsWith("Access denied\r\nWinGate>"));
  EXPECT_EQ(talk("telnet_yes_to_all", {ask, "TOKEN t\r\n"}), "proxy> Connected\r\n");
  EXPECT_THAT(talk("telnet_switch", {ask}), HasSubstr("Unknown command"));
  EXPECT_THAT(talk("telnet_menu", {ask}), EndsWith("Invalid choice\r\nCommand: "));
  EXPECT_THAT(talk("telnet_login", {ask}), EndsWith("Login incorrect\r\nmx1 login: "));
  EXPECT_THAT(talk("telnet_console", {}), StartsWith("Press RETURN"));
  EXPECT_THAT(talk("telnet_busy", {ask}), StartsWith("Too many connected users"));
  EXPECT_THAT(world_.connections, IsEmpty());
}

}  // namespace
}  // namespace ajar::lab
