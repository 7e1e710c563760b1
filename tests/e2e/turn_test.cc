// What `ajar check` says about a real TURN server, open and closed to strangers, and that nothing is left allocated there. A
// stranger is who asks from 127.66.0.1; IPv6 is asked in a network namespace of the test's own.
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "config/remedies.h"
#include "tests/e2e/house.h"
#include "tests/e2e/process.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::to_string;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kCoturn = "/usr/bin/turnserver";
constexpr const char* kServer = "127.77.0.6";
constexpr const char* kServerSix = "fd7f::77:0:6";
constexpr const char* kCanarySix = "fd7f::9:9:9";
constexpr const char* kStrangerSix = "fd7f::66:0:1";

std::size_t count(const std::string& text, const std::string& words) {
  std::size_t found = 0;
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++found;
  return found;
}

// Of a server with several addresses the next port is taken too (RFC 5780).
std::uint16_t free_port_beside(std::uint16_t taken) {
  std::uint16_t port = taken;
  for (int tries = 0; tries < 10 && std::abs(port - taken) <= 1; ++tries) port = free_port(kServer);
  return port;
}

struct Answer {
  int code = -1;
  json result = json::object();
  std::string everything;

  std::string said() const { return result.value("verdict", "?") + "/" + result.value("reason", "?"); }
  std::string variant(const std::string& name) const {
    for (const json& one : result.value("variants", json::array())) {
      if (one.value("name", "") == name) return one.value("verdict", "?");
    }
    return "not asked";
  }
  std::vector<std::string> texts(const char* key) const { return result.value(key, std::vector<std::string>()); }
};

class RealCoturn : public testing::Test {
 protected:
  void SetUp() override {
    if (access(kCoturn, X_OK) != 0) GTEST_SKIP() << "coturn is not installed";
  }

  // coturn in that mode, asked at one of its ports ("3478/udp"), and ended. Nothing may be left allocated then.
  Answer ask(const std::string& mode, const std::string& port, const TemplateValues& more = {}) {
    const TemporaryFolder state;
    make_certificate(state.path(), "turn.target.test");
    std::string listen;
    for (const std::string& address : servers_) listen += "listening-ip=" + address + "\nrelay-ip=" + address + "\n";
    write_file(state.file("conf"),
               fill_template("coturn/common.conf",
                             {{"@MODE@", fill_template("coturn/" + mode + ".conf", more)},
                              {"@LISTEN@", listen},
                              {"@PORT@", to_string(port_)},
                              {"@TLS@", "tls-listening-port=" + to_string(tls_port_) +
                                            "\ncert=" + state.file("certificate.pem") + "\npkey=" + state.file("key.pem")},
                              {"@STATE@", state.path()}}));
    Process server({kCoturn, "-c", state.file("conf")}, state.path());
    const auto log = [&] { return read_file(state.file("turn.log")); };
    const bool up = wait_until(seconds(30), [&] { return count(log(), "Total General servers") > 0 || !server.running(); });
    EXPECT_TRUE(up && server.running()) << server.out() << server.err() << log();
    Answer answer = check(port);
    // "session …: new, …" and, for a Refresh of 0 s, "session …: refreshed, …, lifetime=0".
    const auto given_back = [&] {
      const std::string all = log();
      return count(all, ": new, realm=") == count(all, ", lifetime=0\n") + count(all, ", lifetime=0, cipher=");
    };
    EXPECT_TRUE(wait_until(seconds(10), given_back)) << log();
    granted_ = count(log(), ": new, realm=");
    answer.everything += log();
    return answer;
  }

  const std::uint16_t port_ = free_port(kServer);
  const std::uint16_t tls_port_ = free_port_beside(port_);
  const std::uint16_t canary_port_ = free_port(kCanaryAddress);
  const std::string four_ = "ipv4:" + to_string(canary_port_), six_ = "ipv6:" + to_string(canary_port_);
  std::vector<std::string> servers_ = {kServer};
  std::vector<std::string> canary_ = {std::string(kCanaryAddress) + ":" + to_string(canary_port_)};
  std::string target_ = kServer;
  std::string source_ = "127.66.0.1";
  std::size_t granted_ = 0;  // allocations

 private:
  Answer check(const std::string& port) const {
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), R"(scope = ["127.0.0.0/8", "fd7f::/32"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = [")" + source_ + R"("]
connect_timeout = "2s"
reply_timeout = "4s"
probe_timeout = "60s"
[canary]
listen_udp = )" + json(canary_).dump() +
                                             "\nadvertise_udp = " + json(canary_).dump() + R"(
[[target]]
name = "turn"
address = ")" + target_ + R"("
checks = ["turn_relay"]
ports.turn_relay = [")" + port + "\"]\n");
    Process program_({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "turn"}, folder.path());
    Answer answer;
    answer.code = program_.wait(seconds(120)).value_or(-1);
    answer.everything = "exit " + to_string(answer.code) + "\n" + program_.out() + program_.err();
    std::istringstream lines(program_.out());
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_object()) answer.result = one;
    }
    return answer;
  }
};

TEST_F(RealCoturn, OpenOverUdp) {
  const Answer answer = ask("open", to_string(port_) + "/udp");
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(answer.variant(four_), "open") << answer.everything;
  EXPECT_EQ(answer.variant(four_ + "+channel"), "open") << answer.everything;
  EXPECT_EQ(answer.result.at("transport"), "udp");
  EXPECT_EQ(answer.result.at("source_address"), "127.66.0.1");
  EXPECT_THAT(answer.texts("exit_addresses"), ElementsAre(kServer));
  EXPECT_THAT(answer.texts("observations"), Contains(HasSubstr("Coturn-4.6.1")));
  EXPECT_THAT(answer.texts("transcript"), Contains(HasSubstr("TOKEN <token>")));
  EXPECT_EQ(granted_, 2U) << answer.everything;
}

TEST_F(RealCoturn, OpenOverTcp) {
  const Answer answer = ask("open", to_string(port_));
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.variant(four_ + "+channel"), "open") << answer.everything;
  EXPECT_EQ(answer.result.at("transport"), "tcp");
  EXPECT_EQ(granted_, 2U) << answer.everything;
}

TEST_F(RealCoturn, OpenOverTls) {
  const Answer answer = ask("open", to_string(tls_port_) + "/tls");
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.variant(four_ + "+channel"), "open") << answer.everything;
  EXPECT_EQ(answer.result.at("tls"), "implicit");
  EXPECT_EQ(granted_, 2U) << answer.everything;
}

TEST_F(RealCoturn, WantsALogin) {
  for (const std::string& port : {to_string(port_) + "/udp", to_string(port_), to_string(tls_port_) + "/tls"}) {
    const Answer answer = ask("closed", port);
    EXPECT_EQ(answer.said(), "closed/auth_required") << answer.everything;
    EXPECT_EQ(answer.code, 0);
    EXPECT_THAT(answer.texts("exit_addresses"), IsEmpty());
    EXPECT_EQ(granted_, 0U) << answer.everything;
  }
}

// Whoever asks gets an allocation, and reaches nobody.
TEST_F(RealCoturn, DeniedPeersAreAcceptedNeverOpen) {
  const Answer answer = ask("denied", to_string(port_) + "/udp");
  ASSERT_EQ(answer.said(), "accepted/no_proof") << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.result.at("because").get<std::string>(), HasSubstr("our canary as a peer refused"));
  EXPECT_EQ(granted_, 2U) << answer.everything;
}

TEST_F(RealCoturn, ItsRemedyCloses) {
  const Remedy* const remedy = find_remedy("turn_relay", "coturn");
  ASSERT_NE(remedy, nullptr);
  ASSERT_EQ(remedy->causes.size(), 2U);
  const std::string port = to_string(port_) + "/udp";
  const RemedyCause& login = remedy->causes.front();
  const Answer before = ask("remedy", port, {{"@DIRECTIVE@", login.before}});
  EXPECT_EQ(before.said(), "open/token_returned") << before.everything;
  const Answer after = ask("remedy", port, {{"@DIRECTIVE@", login.after}});
  EXPECT_EQ(after.said(), "closed/auth_required") << after.everything;
  // The other one keeps inner networks out of reach, and leaves the door to the rest.
  const RemedyCause& peers = remedy->causes.back();
  const Answer inside = ask("remedy-peers", port, {{"@DIRECTIVE@", peers.before}});
  EXPECT_EQ(inside.said(), "open/token_returned") << inside.everything;
  const Answer outside = ask("remedy-peers", port, {{"@DIRECTIVE@", peers.after}});
  EXPECT_EQ(outside.said(), "accepted/no_proof") << outside.everything;
  EXPECT_THAT(outside.result.at("because").get<std::string>(), HasSubstr("our canary as a peer refused"));
}

// It has both families, and so has our canary: an allocation of each, asked for over IPv6.
TEST_F(RealCoturn, OpenOverIpv6) {
  if (!in_own_network()) return expect_in_own_network("RealCoturn.OpenOverIpv6", {kServerSix, kCanarySix, kStrangerSix});
  servers_ = {kServer, kServerSix};
  target_ = kServerSix;
  source_ = kStrangerSix;
  canary_.push_back("[" + std::string(kCanarySix) + "]:" + to_string(canary_port_));
  for (const std::string& port : {to_string(port_) + "/udp", to_string(port_)}) {
    const Answer answer = ask("open", port);
    ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
    for (const std::string& name : {four_, six_, four_ + "+channel", six_ + "+channel"})
      EXPECT_EQ(answer.variant(name), "open") << name << answer.everything;
    EXPECT_EQ(answer.result.at("source_address"), kStrangerSix);
    EXPECT_THAT(answer.texts("exit_addresses"), ElementsAre(kServer, kServerSix));
    EXPECT_EQ(granted_, 4U) << answer.everything;
  }
}

TEST_F(RealCoturn, WantsALoginOverIpv6) {
  if (!in_own_network()) return expect_in_own_network("RealCoturn.WantsALoginOverIpv6", {kServerSix, kCanarySix, kStrangerSix});
  servers_ = {kServerSix};
  target_ = kServerSix;
  source_ = kStrangerSix;
  canary_ = {"[" + std::string(kCanarySix) + "]:" + to_string(canary_port_)};
  const Answer answer = ask("closed", to_string(port_) + "/udp");
  EXPECT_EQ(answer.said(), "closed/auth_required") << answer.everything;
  EXPECT_EQ(answer.variant(six_), "closed") << answer.everything;
  EXPECT_EQ(granted_, 0U) << answer.everything;
}

}  // namespace
}  // namespace ajar
