// TLS and passwords: a real Prometheus, curl, and our own programs beside an agent that wants both.
#include <csignal>
#include <cstdio>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"
#include "tests/support/certificates.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

// "secret"
constexpr const char* kHash = "$2y$10$Qm5lJw0Zr8uXcT3kVfY1hOkgwTBu5.CycYwTP8R6b627rj5SIm.Me";

class AccessE2e : public testing::Test {
 protected:
  void write_whole(const std::string& name, const std::string& text) const {
    write_file(folder.file(name + ".new"), text);
    ASSERT_EQ(std::rename(folder.file(name + ".new").c_str(), folder.file(name).c_str()), 0);
  }
  void put_certificate(const TestAuthority& issuer) const {
    const PemPair pair = issuer.issue("ajar", "IP:127.0.0.1");
    write_whole("server.key", pair.key);
    write_whole("server.pem", pair.certificate);
  }
  void configure(const std::vector<LabPlace>& places, const std::string& web_yml) {
    const std::string text = with_values(setting.text(places), {{"[canary]\n", "config_file = \"web.yml\"\n[canary]\n"}});
    write_file(folder.file("ajar.toml"), text);
    write_whole("web.yml", web_yml);
  }
  // What curl gets: the body and then the status.
  std::string curl(const std::vector<std::string>& options, const std::string& path) const {
    std::vector<std::string> argv = {"curl", "-s", "-w", "%{http_code}", "--max-time", "10", "--noproxy", "*"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.push_back("https://127.0.0.1:" + std::to_string(setting.web_port) + path);
    Process process(argv, folder.path());
    process.wait(seconds(15));
    return process.out();
  }
  bool is_ready() const { return curl({"--cacert", "ca.pem", "-u", "alice:secret"}, "/-/ready").ends_with("200"); }

  TemporaryFolder folder;
  Setting setting;
  TestAuthority authority{"authority of this test"};
};

TEST_F(AccessE2e, PrometheusScrapesOverTlsWithAPasswordAndACertificateIsReplaced) {
  const Lab lab;
  write_file(folder.file("ca.pem"), authority.certificate());
  put_certificate(authority);
  const PemPair client = authority.issue("prometheus", "DNS:prometheus.test");
  write_file(folder.file("client.pem"), client.certificate);
  write_file(folder.file("client.key"), client.key);
  setting.interval = "1h";
  configure({lab.place("open"), lab.place("closed")},
            std::string("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
                        "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"
                        "basic_auth_users:\n  alice: ") +
                kHash + "\nauth_excluded_paths: [/-/healthy]\n");
  Process checked({program("ajar"), "run", "--config", folder.file("ajar.toml"), "--config.check"}, folder.path());
  ASSERT_EQ(checked.wait(seconds(30)), 0) << checked.err();
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(wait_until(seconds(60), [&] { return !agent.process().running() || is_ready(); })) << agent.process().err();
  ASSERT_TRUE(is_ready()) << agent.process().err();
  EXPECT_THAT(curl({"--cacert", "ca.pem"}, "/metrics"), testing::EndsWith("401"));
  EXPECT_THAT(curl({"--cacert", "ca.pem", "-u", "alice:wrong"}, "/metrics"), testing::EndsWith("401"));
  EXPECT_THAT(curl({"--cacert", "ca.pem"}, "/-/healthy"), testing::EndsWith("200"));
  EXPECT_EQ(curl({"--cacert", "ca.pem", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"}, "/-/healthy"), "000");
  EXPECT_EQ(curl({"-u", "alice:secret"}, "/-/healthy"), "000") << "an authority that curl does not know";

  const std::uint16_t port = free_port("127.0.0.1");
  write_file(folder.file("prometheus.yml"),
             "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: ajar\n  scheme: https\n"
             "  basic_auth: {username: alice, password: secret}\n"
             "  tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}\n"
             "  static_configs:\n  - targets: ['127.0.0.1:" +
                 std::to_string(setting.web_port) + "']\n");
  Process prometheus({"prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                      "--web.listen-address=127.0.0.1:" + std::to_string(port)},
                     folder.path());
  // The number of scrapes that succeeded since the last failure, at most those of 10 s.
  const auto health = [&] {
    const json answer = json::parse(http_get("127.0.0.1", port, "/api/v1/targets").body, nullptr, false);
    if (!answer.is_object() || answer.at("data").at("activeTargets").empty()) return std::string("no target");
    const json& target = answer.at("data").at("activeTargets").at(0);
    return target.value("health", "") + " " + target.value("lastError", "");
  };
  EXPECT_TRUE(wait_until(seconds(60), [&] { return health() == "up "; })) << health() << prometheus.err();

  // Another authority signs the next certificate; Prometheus reads its ca_file anew as well.
  const TestAuthority newer("next authority of this test");
  write_whole("ca.pem", authority.certificate() + newer.certificate());
  put_certificate(newer);
  write_file(folder.file("newer.pem"), newer.certificate());
  EXPECT_TRUE(wait_until(seconds(20), [&] { return curl({"--cacert", "newer.pem"}, "/-/healthy").ends_with("200"); }))
      << agent.process().err();
  EXPECT_TRUE(wait_until(seconds(20), [&] { return health() == "up "; })) << health();
  EXPECT_THAT(agent.process().err(), HasSubstr("were loaded again"));
  // A broken one changes nothing, by itself or with a reload.
  write_whole("server.pem", "broken\n");
  EXPECT_THAT(curl({"--cacert", "newer.pem", "-u", "alice:secret", "-X", "POST"}, "/-/reload"),
              testing::AllOf(HasSubstr("has no certificate in it"), testing::EndsWith("400")));
  EXPECT_THAT(curl({"--cacert", "newer.pem", "-u", "alice:secret"}, "/metrics"),
              testing::AllOf(HasSubstr("ajar_config_last_reload_successful 0\n"), testing::EndsWith("200")));
  put_certificate(newer);
  EXPECT_THAT(curl({"--cacert", "newer.pem", "-u", "alice:secret", "-X", "POST"}, "/-/reload"), testing::EndsWith("200"));
  EXPECT_TRUE(wait_until(seconds(20), [&] { return health() == "up "; })) << health();
}

TEST_F(AccessE2e, OurProgramsBesideAnAgentThatWantsACertificateAndAPassword) {
  const Lab lab;
  write_file(folder.file("ca.pem"), authority.certificate());
  put_certificate(authority);
  const PemPair client = authority.issue("sre", "email:sre@example.net");
  write_file(folder.file("client.pem"), client.certificate);
  write_file(folder.file("client.key"), client.key);
  setting.interval = "1h";
  configure({lab.place("open"), lab.place("closed")},
            std::string("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
                        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
                        "basic_auth_users:\n  alice: ") +
                kHash + "\n");
  RunningAgent agent(folder.path(), setting.web_port);
  const std::vector<std::string> me = {"--cacert", "ca.pem",     "-u",    "alice:secret",
                                       "--cert",   "client.pem", "--key", "client.key"};
  ASSERT_TRUE(wait_until(seconds(60), [&] { return !agent.process().running() || curl(me, "/-/ready").ends_with("200"); }));
  EXPECT_FALSE(is_ready()) << "without a certificate";
  EXPECT_TRUE(wait_until(seconds(60), [&] {
    return curl(me, "/api/v1/exposures").find("\"check\":\"smtp_relay\"") != std::string::npos;
  })) << agent.process().err();
  // One message within message_interval, and the agent has just sent one.
  std::string said;
  EXPECT_TRUE(wait_until(seconds(120), [&] {
    Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "--quick", "--wait", "20s"},
                  folder.path());
    EXPECT_EQ(check.wait(seconds(60)), 2) << check.err();
    said = check.out() + check.err();
    return said.find(R"("reason":"message_delivered")") != std::string::npos;
  })) << said;
}

TEST_F(AccessE2e, AWrongWebYmlStartsNothing) {
  configure({}, "tls_server_config:\n  cert_file: server.pem\n  key_fil: server.key\nbasic_auth_users:\n  alice: secret\n");
  for (const char* only_check : {"--config.check", ""}) {
    std::vector<std::string> argv = {program("ajar"), "run", "--config", folder.file("ajar.toml")};
    if (*only_check != '\0') argv.emplace_back(only_check);
    Process process(argv, folder.path());
    EXPECT_EQ(process.wait(seconds(30)), 3);
    EXPECT_THAT(process.err(), testing::AllOf(HasSubstr("web.yml:3:3: unknown key `key_fil`"),
                                              HasSubstr("web.yml:5:10: `basic_auth_users` `alice`")));
    EXPECT_THAT(process.err(), testing::Not(HasSubstr("secret_file")));
  }
  EXPECT_EQ(read_file(folder.file("ajar.db")), "") << "nothing was started";
}

}  // namespace
}  // namespace ajar
