// What `ajar check` says about real proxies and web servers, asked as HTTP and as SOCKS on one port. They trust this host, so
// the probe comes from 127.66.0.1, a stranger.
#include "tests/e2e/proxies.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "config/remedies.h"
#include "tests/e2e/house.h"
#include "tests/e2e/process.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::to_string;
using testing::AnyOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kServer = "127.77.0.2";
constexpr const char* kOrigin = "127.77.0.3";
constexpr const char* kCanary = "127.9.9.9";
constexpr const char* kChecks[] = {"http_connect", "http_forward", "socks4", "socks5"};

struct Answer {
  int code = -1;
  std::map<std::string, json> results;  // by check
  std::string everything;
};

// A port that is none of `others`.
AddressPort somewhere(const char* address, const std::vector<AddressPort>& others = {}) {
  AddressPort place{*IpAddress::parse(address), free_port(address)};
  for (int tries = 0; tries < 10 && std::find(others.begin(), others.end(), place) != others.end(); ++tries)
    place.port = free_port(address);
  return place;
}

class RealProxy : public testing::Test {
 protected:
  explicit RealProxy(ProxyKind kind) : kind_(kind) {}
  void SetUp() override {
    const std::string missing = ProxyServer::missing(kind_);
    if (!missing.empty()) GTEST_SKIP() << missing;
  }

  // Asks a server in that mode, and ends it. `tls`: spoken to the server itself.
  Answer ask(const std::string& mode, const TemplateValues& more = {}, bool tls = false) {
    return ask(ProxyServer(kind_, mode, server_, first_.address, more), tls);
  }
  Answer ask(const ProxyServer& server, bool tls = false) {
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), configuration(tls));
    Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "proxy"}, folder.path());
    Answer answer;
    answer.code = check.wait(std::chrono::seconds(180)).value_or(-1);
    answer.everything = "exit " + to_string(answer.code) + "\n" + check.out() + check.err() + server.log();
    std::istringstream lines(check.out());
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_object()) answer.results[one.value("check", "?")] = one;
    }
    return answer;
  }

  // Values of a template whose origin is there.
  static TemplateValues origin(const AddressPort& place) {
    return {{"@ORIGIN_ADDRESS@", place.address.to_string()}, {"@ORIGIN_PORT@", to_string(place.port)}};
  }

  // Makes each mistake that the remedy for `check` knows, and mends it as the remedy says; `here`: what stands for the owner's
  // networks and servers. `opens`: the checks that must find it open before; after, none may.
  void expect_remedy(const std::string& check, const std::string& software, const std::vector<std::string>& opens,
                     const TemplateValues& here = {});

  const AddressPort server_ = somewhere(kServer);
  const AddressPort first_ = somewhere(kCanary);
  const AddressPort second_ = somewhere(kCanary, {first_});
  const AddressPort smtp_ = somewhere(kCanary, {first_, second_});
  const std::string port_ = to_string(first_.port);

 private:
  std::string configuration(bool tls) const {
    const std::string tcp = "[\"" + first_.to_string() + "\", \"" + second_.to_string() + "\"]\n";
    const std::string smtp = "[\"" + smtp_.to_string() + "\"]\n";
    std::string text = R"(scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = ["127.66.0.1"]
connect_timeout = "2s"
reply_timeout = "4s"
probe_timeout = "90s"
[canary]
listen_tcp = )" + tcp +
                       "advertise_tcp = " + tcp + "listen_smtp = " + smtp + "advertise_smtp = " + smtp + R"(host = "canary.test"
mail_domain = "canary.test"
[[target]]
name = "proxy"
address = ")" + server_.address.to_string() +
                       R"("
checks = ["http_connect", "http_forward", "socks4", "socks5"]
)";
    for (const char* check : kChecks)
      text += std::string("ports.") + check + " = [\"" + to_string(server_.port) + (tls ? "/tls" : "") + "\"]\n";
    return text;
  }

  ProxyKind kind_;
};

struct RealSquid : RealProxy {
  RealSquid() : RealProxy(ProxyKind::squid) {}
};
struct RealTinyproxy : RealProxy {
  RealTinyproxy() : RealProxy(ProxyKind::tinyproxy) {}
};
struct RealDante : RealProxy {
  RealDante() : RealProxy(ProxyKind::dante) {}
};
struct RealNginx : RealProxy {
  RealNginx() : RealProxy(ProxyKind::nginx) {}
};

// The verdict and the reason of a check; words that say so when there is no result.
std::string said(const Answer& answer, const std::string& check) {
  const auto found = answer.results.find(check);
  if (found == answer.results.end()) return "no result";
  return found->second.value("verdict", "?") + "/" + found->second.value("reason", "?");
}

// The verdict of one variant.
std::string variant(const Answer& answer, const std::string& check, const std::string& name) {
  const auto found = answer.results.find(check);
  if (found == answer.results.end()) return "no result";
  for (const json& one : found->second.at("variants")) {
    if (one.value("name", "") == name) return one.value("verdict", "?");
  }
  return "not asked";
}

std::vector<std::string> texts(const Answer& answer, const std::string& check, const char* key) {
  const auto found = answer.results.find(check);
  if (found == answer.results.end()) return {"no result"};
  return found->second.at(key).get<std::vector<std::string>>();
}

// The four checks in the order of kChecks.
std::vector<std::string> verdicts(const Answer& answer) {
  std::vector<std::string> all;
  for (const char* check : kChecks) all.push_back(said(answer, check));
  return all;
}

void RealProxy::expect_remedy(const std::string& check, const std::string& software, const std::vector<std::string>& opens,
                              const TemplateValues& here) {
  const Remedy* remedy = find_remedy(check, software);
  ASSERT_NE(remedy, nullptr);
  ASSERT_EQ(remedy->software, software);
  for (const RemedyCause& cause : remedy->causes) {
    ProxyServer server(kind_, "remedy", server_, first_.address, {{"@DIRECTIVE@", with_values(cause.before, here)}});
    const Answer before = ask(server);
    for (const std::string& one : opens)
      EXPECT_EQ(said(before, one), "open/token_returned") << cause.before << before.everything;
    server.reload({{"@DIRECTIVE@", with_values(cause.after, here)}});
    // It takes a moment until the last worker of before is gone.
    Answer after;
    const auto is_closed = [&] {
      after = ask(server);
      return std::none_of(opens.begin(), opens.end(),
                          [&](const std::string& one) { return said(after, one).starts_with("open"); });
    };
    EXPECT_TRUE(wait_until(std::chrono::seconds(30), is_closed)) << cause.after << after.everything;
    for (const char* one : kChecks) EXPECT_THAT(said(after, one), HasSubstr("closed/")) << cause.after << after.everything;
    EXPECT_EQ(after.code, 0);
  }
}

TEST_F(RealSquid, ItsRemedyCloses) { expect_remedy("http_connect", "squid", {"http_connect", "http_forward"}); }
TEST_F(RealTinyproxy, ItsRemedyCloses) { expect_remedy("http_connect", "tinyproxy", {"http_connect", "http_forward"}); }
TEST_F(RealDante, ItsRemedyCloses) { expect_remedy("socks5", "dante", {"socks4", "socks5"}); }

TEST_F(RealNginx, ItsRemedyCloses) {
  const AddressPort site = somewhere(kOrigin);
  const ProxyServer web(ProxyKind::nginx, "ownpage", site, first_.address);
  expect_remedy("http_forward", "nginx", {"http_forward"}, {{"192.0.2.10:8080", site.to_string()}});
}

TEST_F(RealSquid, OpenCarriesEverything) {
  const Answer answer = ask("open");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("open/token_returned", "open/token_returned", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + port_), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_connect", "name:" + port_), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + to_string(second_.port)), "open") << answer.everything;
  // What spammers want.
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + to_string(smtp_.port) + "/smtp"), "open") << answer.everything;
  for (const char* method : {"get", "post", "put", "head"})
    EXPECT_EQ(variant(answer, "http_forward", std::string("absolute/") + method + "@ipv4:" + port_), "open")
        << answer.everything;
  EXPECT_EQ(variant(answer, "http_forward", "host/get@ipv4:" + port_), "closed") << answer.everything;
  EXPECT_THAT(texts(answer, "http_forward", "observations"), Contains(HasSubstr("squid.test"))) << answer.everything;
  for (const char* check : {"http_connect", "http_forward"}) {
    EXPECT_THAT(texts(answer, check, "exit_addresses"), ElementsAre("127.0.0.1")) << answer.everything;
    EXPECT_THAT(texts(answer, check, "transcript"), Contains(HasSubstr("<token>")));
    EXPECT_EQ(answer.results.at(check).at("source_address"), "127.66.0.1");
  }
}

TEST_F(RealSquid, LeavesFromAnotherAddress) {
  const Answer answer = ask("open-exit");
  ASSERT_EQ(said(answer, "http_connect"), "open/token_returned") << answer.everything;
  ASSERT_EQ(said(answer, "http_forward"), "open/token_returned") << answer.everything;
  EXPECT_THAT(texts(answer, "http_connect", "exit_addresses"), ElementsAre("127.77.0.7")) << answer.everything;
  EXPECT_THAT(texts(answer, "http_forward", "exit_addresses"), ElementsAre("127.77.0.7")) << answer.everything;
}

TEST_F(RealSquid, OpenBehindTls) {
  const Answer answer = ask("open-tls", {}, true);
  ASSERT_THAT(verdicts(answer),
              ElementsAre("open/token_returned", "open/token_returned", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(answer.results.at("http_connect").at("tls"), "implicit");
}

TEST_F(RealSquid, ClosedToStrangers) {
  const Answer answer = ask("closed");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/refused", "closed/refused", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
  EXPECT_THAT(texts(answer, "http_forward", "exit_addresses"), IsEmpty());
}

// "deny CONNECT !SSL_ports" is not "closed": what the canary can show depends on its ports.
TEST_F(RealSquid, TunnelsToItsSslPortsAlone) {
  const Answer answer = ask("open-noconnect", {{"@SSL_PORT@", port_}});
  ASSERT_EQ(said(answer, "http_connect"), "open/token_returned") << answer.everything;
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + port_), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + to_string(second_.port)), "closed") << answer.everything;
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + to_string(smtp_.port) + "/smtp"), "closed") << answer.everything;
  EXPECT_EQ(said(answer, "http_forward"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.code, 2);
}

TEST_F(RealSquid, ForwardsWhereItDoesNotTunnel) {
  const Answer answer = ask("open-noconnect", {{"@SSL_PORT@", "443"}});
  ASSERT_EQ(said(answer, "http_connect"), "closed/refused") << answer.everything;
  EXPECT_EQ(said(answer, "http_forward"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.code, 2);
}

TEST_F(RealSquid, AcceleratorOfItsOwnSiteIsClosed) {
  const std::string no_origin = ProxyServer::missing(ProxyKind::nginx);
  if (!no_origin.empty()) GTEST_SKIP() << no_origin;
  const AddressPort site = somewhere(kOrigin);
  const ProxyServer web(ProxyKind::nginx, "ownpage", site, first_.address);
  const Answer answer = ask("accel", origin(site));
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/refused", "closed/refused", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

// The token does arrive at the canary, for a site that is not the canary's: no proof. Squid 5.7 answers the very first request
// for a cache_peer by 502, which the canary, made for this check, cannot have been asked before.
TEST_F(RealSquid, AcceleratorOfTheCanaryIsNeverOpen) {
  const Answer answer = ask("accel", origin(first_));
  ASSERT_THAT(verdicts(answer), ElementsAre("closed/refused", AnyOf("closed/refused", "unclear/canary_unreachable"),
                                            "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_LE(answer.code, 1);
}

TEST_F(RealTinyproxy, OpenCarriesEverything) {
  const Answer answer = ask("open");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("open/token_returned", "open/token_returned", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(variant(answer, "http_connect", "name:" + port_), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_connect", "ipv4:" + to_string(smtp_.port) + "/smtp"), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_forward", "absolute/get@ipv4:" + port_), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_forward", "host/get@ipv4:" + port_), "open") << answer.everything;
  EXPECT_THAT(texts(answer, "http_forward", "observations"), Contains(HasSubstr("tinyproxy"))) << answer.everything;
  EXPECT_THAT(texts(answer, "http_forward", "exit_addresses"), ElementsAre("127.0.0.1")) << answer.everything;
}

TEST_F(RealTinyproxy, ClosedToStrangers) {
  const Answer answer = ask("closed");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/refused", "closed/refused", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealTinyproxy, WantsAPassword) {
  const Answer answer = ask("auth");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/auth_required", "closed/auth_required", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealDante, OpenCarriesEverything) {
  const Answer answer = ask("open");
  ASSERT_THAT(verdicts(answer), ElementsAre("closed/hung_up", "closed/hung_up", "open/token_returned", "open/token_returned"))
      << answer.everything;
  EXPECT_EQ(answer.code, 2);
  for (const char* check : {"socks4", "socks5"}) {
    EXPECT_EQ(variant(answer, check, "ipv4:" + port_), "open") << answer.everything;
    // It has no SOCKS4a.
    EXPECT_EQ(variant(answer, check, "name:" + port_), std::string(check) == "socks4" ? "closed" : "open") << answer.everything;
    EXPECT_EQ(variant(answer, check, "ipv4:" + to_string(smtp_.port) + "/smtp"), "open") << answer.everything;
    EXPECT_THAT(texts(answer, check, "exit_addresses"), ElementsAre("127.0.0.1")) << answer.everything;
  }
}

TEST_F(RealDante, ClosedByAddressHangsUp) {
  const Answer answer = ask("closed");
  ASSERT_THAT(verdicts(answer), ElementsAre("closed/hung_up", "closed/hung_up", "closed/hung_up", "closed/hung_up"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealDante, ClosedByRuleRefuses) {
  const Answer answer = ask("closed-rule");
  ASSERT_THAT(verdicts(answer), ElementsAre("closed/hung_up", "closed/hung_up", "closed/refused", "closed/refused"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealDante, WantsAPassword) {
  const Answer answer = ask("auth");
  ASSERT_THAT(verdicts(answer), ElementsAre("closed/hung_up", "closed/hung_up", AnyOf("closed/refused", "closed/auth_required"),
                                            "closed/auth_required"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealNginx, OpenByItsHostHeader) {
  const Answer answer = ask("open");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/refused", "open/token_returned", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(variant(answer, "http_forward", "absolute/get@ipv4:" + port_), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "http_forward", "host/get@ipv4:" + port_), "open") << answer.everything;
}

// One of the canary's ports must be the one that it leads to.
TEST_F(RealNginx, OpenToOnePort) {
  const Answer answer = ask("open-fixed-port", {{"@FIXED_PORT@", to_string(second_.port)}});
  ASSERT_EQ(said(answer, "http_connect"), "closed/refused") << answer.everything;
  EXPECT_EQ(said(answer, "http_forward"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.code, 2);
}

// 502 says that it tried: not closed.
TEST_F(RealNginx, OpenToAPortThatTheCanaryHasNot) {
  const AddressPort nobody = somewhere(kCanary, {first_, second_, smtp_});
  const Answer answer = ask("open-fixed-port", {{"@FIXED_PORT@", to_string(nobody.port)}});
  ASSERT_EQ(said(answer, "http_connect"), "closed/refused") << answer.everything;
  EXPECT_THAT(said(answer, "http_forward"), HasSubstr("unclear/")) << answer.everything;
  EXPECT_EQ(answer.code, 1);
}

TEST_F(RealNginx, OwnPageForEverythingIsClosed) {
  const Answer answer = ask("ownpage");
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/refused", "closed/refused", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealNginx, ClosedSite) {
  const Answer answer = ask("closed", origin(first_));
  ASSERT_THAT(verdicts(answer),
              ElementsAre("closed/refused", "closed/refused", "closed/other_protocol", "closed/other_protocol"))
      << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

}  // namespace
}  // namespace ajar
