// What `ajar check` says about a real SOCKS server that relays datagrams, or does not. It trusts this host, so the probe comes
// from 127.66.0.1, a stranger.
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"
#include "tests/e2e/process.h"
#include "tests/e2e/proxies.h"

namespace ajar {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

class RealRelay : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = ProxyServer::missing(ProxyKind::dante);
    if (!missing.empty()) GTEST_SKIP() << missing;
  }

  // Asks Dante in that mode, and ends it. Gives the exit code; what was found is in `result`.
  int ask(const std::string& mode) {
    const ProxyServer server(ProxyKind::dante, mode, server_, canary_.address);
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), configuration());
    Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "relay"}, folder.path());
    const int code = check.wait(std::chrono::seconds(120)).value_or(-1);
    everything = check.out() + check.err() + server.log();
    std::istringstream lines(check.out());
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_object() && one.value("check", "") == "socks5_udp") result = one;
    }
    return code;
  }
  std::string said() const { return result.value("verdict", "?") + "/" + result.value("reason", "?"); }
  std::string variant(const std::string& name) const {
    for (const json& one : result.at("variants")) {
      if (one.value("name", "") == name) return one.value("verdict", "?");
    }
    return "not asked";
  }

  json result = json::object();
  std::string everything;
  const AddressPort server_{*IpAddress::parse("127.77.0.2"), free_port("127.77.0.2")};
  const AddressPort canary_{*IpAddress::parse("127.9.9.9"), free_port("127.9.9.9")};
  const std::string port_ = std::to_string(canary_.port);

 private:
  std::string configuration() const {
    const std::string place = "[\"" + canary_.to_string() + "\"]\n";
    return R"(scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = ["127.66.0.1"]
connect_timeout = "2s"
reply_timeout = "4s"
probe_timeout = "60s"
[canary]
listen_tcp = )" +
           place + "advertise_tcp = " + place + "listen_udp = " + place + "advertise_udp = " + place + R"(host = "canary.test"
[[target]]
name = "relay"
address = ")" +
           server_.address.to_string() + "\"\nchecks = [\"socks5_udp\"]\nports.socks5_udp = [" + std::to_string(server_.port) +
           "]\n";
  }
};

TEST_F(RealRelay, OpenRelaysByAddressAndByName) {
  EXPECT_EQ(ask("udp-open"), 2) << everything;
  ASSERT_EQ(said(), "open/token_returned") << everything;
  EXPECT_EQ(variant("ipv4:" + port_), "open") << everything;
  EXPECT_EQ(variant("name:" + port_), "open") << everything;
  EXPECT_EQ(result.at("source_address"), "127.66.0.1");
  EXPECT_EQ(result.at("transport"), "tcp");
  EXPECT_EQ(result.at("exit_addresses").size(), 1U) << everything;
  const std::vector<std::string> transcript = result.at("transcript");
  EXPECT_THAT(transcript, Contains(HasSubstr("TOKEN <token>"))) << everything;
}

// What passes everything relays datagrams too.
TEST_F(RealRelay, OpenForEverythingIsOpen) {
  EXPECT_EQ(ask("open"), 2) << everything;
  EXPECT_EQ(said(), "open/token_returned") << everything;
}

TEST_F(RealRelay, ClosedForDatagramsAlone) {
  EXPECT_EQ(ask("udp-closed"), 0) << everything;
  EXPECT_EQ(said(), "closed/refused") << everything;
  EXPECT_EQ(variant("ipv4:" + port_), "closed") << everything;
}

TEST_F(RealRelay, ClosedByRule) {
  EXPECT_EQ(ask("closed-rule"), 0) << everything;
  EXPECT_EQ(said(), "closed/refused") << everything;
}

TEST_F(RealRelay, ClosedByAddress) {
  EXPECT_EQ(ask("closed"), 0) << everything;
  EXPECT_EQ(said(), "closed/hung_up") << everything;
}

TEST_F(RealRelay, WantsAPassword) {
  EXPECT_EQ(ask("auth"), 0) << everything;
  EXPECT_EQ(said(), "closed/auth_required") << everything;
}

}  // namespace
}  // namespace ajar
