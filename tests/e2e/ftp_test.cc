// Real FTP servers on loopback, open and closed to strangers: `ajar check` says which, and why. vsftpd from its package;
// Pure-FTPd unpacked, since only one FTP server can be installed.
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>

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
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kServer = "127.77.0.2";
constexpr const char* kVsftpd = "/usr/sbin/vsftpd";

struct Answer {
  int code = -1;
  std::map<std::string, json> results;  // by check
  std::string everything;
  json result() const { return results.contains("ftp_bounce") ? results.at("ftp_bounce") : json::object(); }
  std::string said(const std::string& check = "ftp_bounce") const {
    const auto found = results.find(check);
    if (found == results.end()) return "no result";
    return found->second.value("verdict", "?") + "/" + found->second.value("reason", "?");
  }
  std::string variant(const std::string& name) const {
    for (const json& one : result().value("variants", json::array())) {
      if (one.value("name", "") == name) return one.value("verdict", "?");
    }
    return "not asked";
  }
};

// A server in the foreground.
class FtpServer {
 public:
  FtpServer(const std::vector<std::string>& command, std::uint16_t port) : process_(command) {
    const auto up = [&] { return accepts(kServer, port) || !process_.running(); };
    if (!wait_until(std::chrono::seconds(20), up) || !process_.running()) {
      throw std::runtime_error("the FTP server did not start: " + process_.out() + process_.err());
    }
  }
  std::string log() const { return process_.out() + process_.err(); }

 private:
  Process process_;
};

class RealFtp : public testing::Test {
 protected:
  // Asks what is at the server's port, as a stranger.
  Answer ask(const std::string& log = {}) {
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), configuration());
    Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "ftp"}, folder.path());
    Answer answer;
    answer.code = check.wait(std::chrono::seconds(120)).value_or(-1);
    answer.everything = "exit " + to_string(answer.code) + "\n" + check.out() + check.err() + log;
    std::istringstream lines(check.out());
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_object()) answer.results[one.value("check", "?")] = one;
    }
    return answer;
  }

  const std::uint16_t port_ = free_port(kServer);
  std::vector<std::string> checks_ = {"ftp_bounce"};
  std::string source_ = "127.66.0.1";                   // where we ask from
  std::vector<std::string> canary_ = {kCanaryAddress};  // its addresses

 private:
  std::string configuration() const {
    json places = json::array();
    for (const std::string& address : canary_) places.push_back(address + ":" + to_string(free_port(address)));
    const std::string tcp = places.dump() + "\n";
    std::string text = R"(scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = [")" +
                       source_ +
                       R"("]
connect_timeout = "2s"
reply_timeout = "8s"
probe_timeout = "60s"
[canary]
listen_tcp = )" + tcp +
                       "advertise_tcp = " + tcp +
                       R"(host = "canary.test"
[[target]]
name = "ftp"
address = ")" + kServer +
                       "\"\nchecks = " + json(checks_).dump() + "\n";
    for (const std::string& check : checks_) text += "ports." + check + " = [" + to_string(port_) + "]\n";
    return text;
  }
};

class RealVsftpd : public RealFtp {
 protected:
  void SetUp() override {
    if (access(kVsftpd, X_OK) != 0) GTEST_SKIP() << "vsftpd is not installed";
    if (geteuid() != 0) GTEST_SKIP() << "vsftpd reads a configuration of root alone";
    std::filesystem::create_directory(folder_.file("pub"));
    std::filesystem::create_directory(folder_.file("empty"));
    write_file(folder_.file("pub/README"), "nothing secret\n");
  }
  Answer ask_vsftpd(const std::string& mode, const TemplateValues& more = {}) {
    const std::string text = fill_template("vsftpd/common.conf", {{"@MODE@", fill_template("vsftpd/" + mode + ".conf", more)},
                                                                  {"@STATE@", folder_.path()},
                                                                  {"@ADDRESS@", kServer},
                                                                  {"@PORT@", to_string(port_)}});
    write_file(folder_.file("conf"), text);
    if (mode.ends_with("-tls")) make_certificate(folder_.path(), "ftp.target.test");
    const FtpServer server({kVsftpd, folder_.file("conf")}, port_);
    return ask(server.log());
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(RealVsftpd, ClosedAsInstalled) {
  const Answer answer = ask_vsftpd("closed");
  ASSERT_EQ(answer.said(), "closed/refused") << answer.everything;
  EXPECT_EQ(answer.code, 0);
  for (const char* form : {"port", "eprt", "user@host"}) EXPECT_EQ(answer.variant(form), "closed") << form << answer.everything;
  EXPECT_THAT(answer.result().at("because").get<std::string>(), HasSubstr("500 Illegal PORT command."));
  EXPECT_THAT(answer.result().at("exit_addresses"), IsEmpty());
}

TEST_F(RealVsftpd, OpenSendsToAThirdHost) {
  const Answer answer = ask_vsftpd("open");
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(answer.variant("port"), "open") << answer.everything;
  EXPECT_EQ(answer.variant("eprt"), "open") << answer.everything;
  EXPECT_EQ(answer.variant("user@host"), "closed") << answer.everything;
  EXPECT_THAT(answer.result().at("exit_addresses"), ElementsAre(kServer));
  EXPECT_THAT(answer.result().at("observations"), Contains(HasSubstr("it said: -rw")));
  EXPECT_THAT(answer.result().at("transcript"), Contains(HasSubstr("C: PORT 127,9,9,9,195,")));
}

// Agent and canary at one address: as installed it sends data to its client, as it should, and that is our canary.
TEST_F(RealVsftpd, SendsDataToItsClientAlone) {
  source_ = kCanaryAddress;
  const Answer answer = ask_vsftpd("closed");
  ASSERT_EQ(answer.said(), "unclear/canary_unreachable") << answer.everything;
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.result().at("because").get<std::string>(), HasSubstr("Our canary has the address that we ask from"));
  EXPECT_THAT(answer.result().at("exit_addresses"), IsEmpty());
  EXPECT_THAT(answer.result().at("transcript"), Contains(HasSubstr("S: 226 Directory send OK.")));  // it came
  EXPECT_EQ(ask_vsftpd("passive").said(), "closed/refused");
}

// A canary with a second address is asked for there.
TEST_F(RealVsftpd, SendsNoDataToTheCanarysOtherAddress) {
  source_ = kCanaryAddress;
  canary_ = {kCanaryAddress, "127.9.9.10"};
  const Answer closed = ask_vsftpd("closed");
  EXPECT_EQ(closed.said(), "closed/refused") << closed.everything;
  EXPECT_THAT(closed.result().at("transcript"), Contains(HasSubstr("C: PORT 127,9,9,10,195,")));
  const Answer open = ask_vsftpd("open");
  EXPECT_EQ(open.said(), "open/token_returned") << open.everything;
}

TEST_F(RealVsftpd, WantsALogin) {
  const Answer answer = ask_vsftpd("login");
  ASSERT_EQ(answer.said(), "closed/auth_required") << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealVsftpd, PassiveAlone) {
  const Answer answer = ask_vsftpd("passive");
  ASSERT_EQ(answer.said(), "closed/refused") << answer.everything;
}

// A yes that nothing withdrew, and no data to send.
TEST_F(RealVsftpd, AYesThatCannotBeProven) {
  const Answer answer = ask_vsftpd("unlisted");
  ASSERT_EQ(answer.said(), "accepted/no_proof") << answer.everything;
}

TEST_F(RealVsftpd, OpenOverTlsAlone) {
  const Answer answer = ask_vsftpd("open-tls");
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.result().at("tls"), "starttls");
}

// The login may be in clear, and the data may not.
TEST_F(RealVsftpd, OpenForDataOverTlsAlone) {
  const Answer answer = ask_vsftpd("open-data-tls");
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.result().at("tls"), "starttls");
  EXPECT_THAT(answer.result().at("transcript"), Contains("S: 522 Data connections must be encrypted."));
}

// Mail servers greet alike: who is asked for mail and for tunnels first is still asked for files.
TEST_F(RealVsftpd, IsNoMailServer) {
  checks_ = {"smtp_relay", "http_connect", "ftp_bounce", "socks5"};
  const Answer answer = ask_vsftpd("open");
  EXPECT_EQ(answer.said(), "open/token_returned") << answer.everything;
  for (const char* other : {"smtp_relay", "http_connect", "socks5"})
    EXPECT_EQ(answer.said(other), "closed/other_protocol") << other;
  checks_ = {"http_connect", "ftp_bounce"};
  EXPECT_EQ(ask_vsftpd("open").said(), "open/token_returned");
}

TEST_F(RealVsftpd, ItsRemedyCloses) {
  const Remedy* const remedy = find_remedy("ftp_bounce", "vsftpd");
  ASSERT_NE(remedy, nullptr);
  for (const RemedyCause& cause : remedy->causes) {
    const Answer before = ask_vsftpd("remedy", {{"@DIRECTIVE@", cause.before}});
    EXPECT_EQ(before.said(), "open/token_returned") << cause.before << before.everything;
    const Answer after = ask_vsftpd("remedy", {{"@DIRECTIVE@", cause.after}});
    EXPECT_EQ(after.said(), "closed/refused") << cause.after << after.everything;
  }
}

class RealPureFtpd : public RealFtp {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "Pure-FTPd needs root to take anonymous users in";
    const std::string folder = AJAR_BINARY_DIR "/servers/pure-ftpd";
    Process unpack({AJAR_SOURCE_DIR "/tests/support/unpack_package.sh", "pure-ftpd", folder});
    if (unpack.wait(std::chrono::seconds(300)) != 0) GTEST_SKIP() << "Pure-FTPd cannot be fetched: " << unpack.err();
    program_ = folder + "/usr/sbin/pure-ftpd";
  }
  Answer ask_pure_ftpd(const std::vector<std::string>& more) {
    std::vector<std::string> command = {program_, "-e", "-H", "-S", std::string(kServer) + "," + to_string(port_)};
    command.insert(command.end(), more.begin(), more.end());
    const FtpServer server(command, port_);
    return ask(server.log());
  }

 private:
  std::string program_;
};

TEST_F(RealPureFtpd, ClosedAsInstalled) {
  const Answer answer = ask_pure_ftpd({});
  ASSERT_EQ(answer.said(), "closed/refused") << answer.everything;
  EXPECT_THAT(answer.result().at("because").get<std::string>(), HasSubstr("I won't open a connection to"));
  // It lets in who calls himself anonymous@anything, and goes nowhere for it.
  EXPECT_EQ(answer.variant("user@host"), "closed") << answer.everything;
}

TEST_F(RealPureFtpd, OpenWithFxpForAnonymous) {
  const Answer answer = ask_pure_ftpd({"-W"});
  ASSERT_EQ(answer.said(), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.variant("port"), "open") << answer.everything;
  EXPECT_EQ(answer.variant("eprt"), "open") << answer.everything;
}

}  // namespace
}  // namespace ajar
