// SOCKS5 servers of the lab that relay datagrams, in memory.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/wire/socks.h"
#include "tests/lab/conversation.h"
#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kGreeting{"\x05\x01\x00", 3};

class DatagramSocks : public testing::Test {
 protected:
  Setting setting() {
    Setting setting;
    setting.address = "127.10.2.1";
    setting.port = 1080;
    setting.peer = "127.66.0.1";
    setting.peer_port = 40001;
    setting.memory = &memory_;
    return setting;
  }
  // What the server says over TCP to a greeting and UDP ASSOCIATE, until the peer leaves.
  std::string associate(const std::string& name) {
    Transcript transcript;
    MemoryLink link(transcript, {std::string(kGreeting), socks5_associate(true)});
    start(hold(link, name));
    return hex(link.said());
  }
  Task<void> hold(Link& link, std::string name) {
    try {
      co_await converse(link, *find_personality(name), setting(), world_, 0);
    } catch (const LinkError&) {
      // The peer leaves.
    }
  }
  // What comes back for a datagram to the canary, as payloads or "(…)" for what is none.
  std::vector<std::string> send(const std::string& name, const std::string& bytes) {
    std::vector<std::string> heard;
    const Reply reply = [&heard](const std::string& answer) {
      const auto datagram = parse_socks5_datagram(answer);
      heard.push_back(!datagram ? "(noise)" : datagram->fragment != 0 ? "(fragment)" : std::string(datagram->payload));
    };
    start(find_personality(name)->receive(bytes, setting(), world_, reply));
    return heard;
  }

  MemoryWorld world_;
  std::map<std::string, std::string> memory_;
};

const std::string kQuestion = socks5_datagram(IpAddress::v4({127, 9, 9, 9}), 8025, "TOKEN t");

TEST_F(DatagramSocks, Replies) {
  EXPECT_EQ(associate("udp_open"), "05 00 05 00 00 01 7f 0a 02 01 04 38");
  EXPECT_EQ(associate("udp_behind_nat"), "05 00 05 00 00 01 0a 01 02 03 04 38");
  EXPECT_EQ(associate("udp_port_0"), "05 00 05 00 00 01 7f 0a 02 01 00 00");
  EXPECT_EQ(associate("udp_closed"), "05 00 05 02 00 01 00 00 00 00 00 00");
  EXPECT_EQ(associate("udp_no_command"), "05 00 05 07 00 01 00 00 00 00 00 00");
  EXPECT_EQ(associate("udp_fails"), "05 00 05 01 00 01 00 00 00 00 00 00");
  EXPECT_EQ(associate("udp_auth"), "05 ff");
}

// The end of the connection leaves nothing behind, and without one nothing is carried.
TEST_F(DatagramSocks, AnAssociationLivesAsLongAsItsConnection) {
  EXPECT_THAT(send("udp_open", kQuestion), IsEmpty());
  associate("udp_open");
  EXPECT_THAT(memory_, IsEmpty());
  EXPECT_THAT(send("udp_open", kQuestion), IsEmpty());
  EXPECT_THAT(world_.connections, IsEmpty());
  memory_["127.66.0.11 40001"] = "associated";  // another's
  EXPECT_THAT(send("udp_open", kQuestion), IsEmpty());
  memory_["127.66.0.1 40001"] = "associated";
  EXPECT_THAT(send("udp_open", kQuestion), ElementsAre("PROOF"));
  EXPECT_THAT(world_.connections, ElementsAre("127.10.2.1 -> 127.9.9.9:8025/udp"));
}

TEST_F(DatagramSocks, Datagrams) {
  memory_["127.66.0.1 40001"] = "associated";
  EXPECT_THAT(send("udp_behind_nat", kQuestion), ElementsAre("PROOF"));
  EXPECT_THAT(send("udp_untidy", kQuestion), ElementsAre("(noise)", "(fragment)", "PROOF", "PROOF"));
  EXPECT_THAT(send("udp_echo", kQuestion), ElementsAre("TOKEN t"));
  EXPECT_THAT(send("udp_silent", kQuestion), IsEmpty());
  EXPECT_THAT(send("udp_one_way", kQuestion), IsEmpty());
  EXPECT_EQ(world_.asked, "TOKEN tTOKEN tTOKEN t");
  std::string fragment = kQuestion;
  fragment[2] = 1;
  for (const std::string& none : {std::string(), std::string("TOKEN t"), fragment}) {
    EXPECT_THAT(send("udp_open", none), IsEmpty());
  }
  EXPECT_THAT(send("udp_open", socks5_datagram("else.test", 8025, "x")), IsEmpty()) << "nobody but the canary";
}

}  // namespace
}  // namespace ajar::lab
