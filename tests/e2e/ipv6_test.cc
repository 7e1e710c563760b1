// Over IPv6: every personality of the lab at addresses of fd7f::/16, and a server that is open there alone. The addresses are
// added to the loopback device of a network namespace of the test's own, in which it runs itself again.
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"
#include "tests/e2e/proxies.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr const char* kSix = "::1";

// Those of the lab, and ours.
std::vector<std::string> addresses() {
  Process list({program("ajar-lab"), "--list", "--ipv6"});
  list.wait(seconds(30));
  std::vector<std::string> all = {"fd7f::66:0:1", "fd7f::9:9:9"};
  std::istringstream lines(list.out());
  for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line).at("address").get<std::string>());
  return all;
}

// One test of this program, where one name leads to an address of each family.
void expect_inside(const std::string& test) {
  expect_in_own_network(test, addresses(), "127.20.0.1 dual.ajar.test\n" + std::string(kSix) + " dual.ajar.test\n");
}

Setting six_setting() {
  Setting setting;
  setting.scope = R"(["127.0.0.0/8", "fd7f::/32", "::1/128"])";
  setting.source_addresses = R"(["127.66.0.1", "fd7f::66:0:1"])";
  return setting;
}

// `ajar check` asks once and waits for no deadline.
std::string said_at_once(const LabPlace& place, const Expected& one) {
  if (place.personality.starts_with("greylist")) return "unclear/greylisted";
  const bool sends = one.check == "smtp_relay" || one.check == "backscatter";
  if (sends && one.verdict == "accepted" && one.reason == "no_proof") return "accepted/token_pending";
  return one.verdict + "/" + one.reason;
}

TEST(Ipv6, EveryPersonalityOfTheLab) {
  if (!in_own_network()) return expect_inside("Ipv6.EveryPersonalityOfTheLab");
  const Lab lab({"--ipv6"});
  const TemporaryFolder folder;
  write_file(folder.file("ajar.toml"), six_setting().text(lab.places()));
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "--wait", "15s"}, folder.path());
  ASSERT_EQ(check.wait(seconds(240)), 2) << check.err();
  std::map<std::pair<std::string, std::string>, json> results;
  std::istringstream lines(check.out());
  for (std::string line; std::getline(lines, line);) {
    json result = json::parse(line);
    const std::pair<std::string, std::string> asked(result.at("target"), result.at("check"));
    results[asked] = std::move(result);
  }
  std::size_t asked = 0;
  for (const LabPlace& place : lab.places()) {
    EXPECT_THAT(place.address, testing::StartsWith("fd7f::"));
    for (const Expected& one : place.expect) {
      const auto found = results.find({place.personality, one.check});
      ASSERT_NE(found, results.end()) << place.personality << " " << one.check;
      const json& result = found->second;
      EXPECT_EQ(result.at("address"), place.address);
      EXPECT_EQ(result.at("verdict").get<std::string>() + "/" + result.at("reason").get<std::string>(),
                said_at_once(place, one))
          << place.personality << " " << one.check << "\n"
          << result.dump(1);
      ++asked;
    }
  }
  EXPECT_GT(asked, 90U);
}

// One name, two addresses: closed on one, open on the other.
TEST(Ipv6, AServerThatIsOpenThereAlone) {
  if (!in_own_network()) return expect_inside("Ipv6.AServerThatIsOpenThereAlone");
  if (const std::string missing = ProxyServer::missing(ProxyKind::tinyproxy); !missing.empty()) GTEST_SKIP() << missing;
  const AddressPort six{*IpAddress::parse(kSix), 3128}, four{*IpAddress::parse("127.20.0.1"), 3128};
  const IpAddress canary = *IpAddress::parse(kCanaryAddress);
  const ProxyServer closed(ProxyKind::tinyproxy, "closed", four, canary);
  const ProxyServer open(ProxyKind::tinyproxy, "open", six, canary);
  const TemporaryFolder folder;
  Setting setting = six_setting();
  setting.more =
      "[[target]]\nname = \"dual\"\nhost = \"dual.ajar.test\"\nchecks = [\"http_connect\"]\nports.http_connect = [3128]\n";
  write_file(folder.file("ajar.toml"), setting.text({}));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  std::map<std::string, std::string> said;
  EXPECT_TRUE(wait_until(seconds(60),
                         [&] {
                           for (const json& result : agent.data("/api/v1/results")) {
                             said[result.at("address")] =
                                 result.at("verdict").get<std::string>() + "/" + result.at("reason").get<std::string>();
                           }
                           return said.size() == 2;
                         }))
      << agent.process().err() << open.log();
  EXPECT_EQ(said["127.20.0.1"], "closed/refused");
  EXPECT_EQ(said[kSix], "open/token_returned") << open.log();
  const json cases = agent.data("/api/v1/exposures?state=open");
  ASSERT_EQ(cases.size(), 1U);
  EXPECT_EQ(cases.at(0).at("address"), kSix);
  EXPECT_THAT(agent.get("/targets/dual").body, HasSubstr("[" + std::string(kSix) + "]:3128"));
}

}  // namespace
}  // namespace ajar
