// What `ajar check` says about real servers that speak TLS or HTTP/2 in front of others: http2_connect, and the proxies of
// HTTP/1.1 and SOCKS behind TLS. They trust this host, so the probe comes from 127.66.0.1, a stranger.
#include "tests/e2e/fronts.h"

#include <algorithm>
#include <functional>
#include <map>
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
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kCanary = "127.9.9.9";

struct Answer {
  int code = -1;
  std::map<std::string, json> results;  // by check
  std::string everything;

  std::string said(const std::string& check) const {
    const auto found = results.find(check);
    if (found == results.end()) return "no result";
    return found->second.value("verdict", "?") + "/" + found->second.value("reason", "?");
  }
  std::vector<std::string> texts(const std::string& check, const char* key) const {
    const auto found = results.find(check);
    return found == results.end() ? std::vector<std::string>() : found->second.at(key).get<std::vector<std::string>>();
  }
  std::string variant(const std::string& check, const std::string& name) const {
    const auto found = results.find(check);
    if (found == results.end()) return "no result";
    for (const json& one : found->second.at("variants")) {
      if (one.value("name", "") == name) return one.value("verdict", "?");
    }
    return "not asked";
  }
};

AddressPort somewhere(const char* address, const std::vector<AddressPort>& others = {}) {
  AddressPort place{*IpAddress::parse(address), free_port(address)};
  for (int tries = 0; tries < 10 && std::find(others.begin(), others.end(), place) != others.end(); ++tries)
    place.port = free_port(address);
  return place;
}

class Fronts : public testing::Test {
 protected:
  // A front of that kind with a tinyproxy behind it, asked over TLS or not.
  Answer ask(FrontKind kind, const std::string& mode, bool tls, const std::vector<std::string>& checks,
             const std::string& behind = "open") {
    const std::string missing = Front::missing(kind) + ProxyServer::missing(ProxyKind::tinyproxy);
    if (!missing.empty()) {
      skipped_ = missing;
      return {};
    }
    const ProxyServer proxy(ProxyKind::tinyproxy, behind, proxy_, canary_.address);
    const Front front(kind, mode, front_, proxy_);
    return check(tls, checks, [&] { return front.log() + proxy.log(); });
  }
  Answer check(bool tls, const std::vector<std::string>& checks, const std::function<std::string()>& log) {
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), configuration(tls, checks));
    Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json", "front"}, folder.path());
    Answer answer;
    answer.code = check.wait(std::chrono::seconds(180)).value_or(-1);
    answer.everything = "exit " + std::to_string(answer.code) + "\n" + check.out() + check.err() + log();
    std::istringstream lines(check.out());
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_object()) answer.results[one.value("check", "?")] = one;
    }
    return answer;
  }

  const AddressPort proxy_ = somewhere("127.77.0.2");
  const AddressPort front_ = somewhere("127.77.0.3");
  const AddressPort canary_ = somewhere(kCanary);
  const AddressPort second_ = somewhere(kCanary, {canary_});
  const AddressPort smtp_ = somewhere(kCanary, {canary_, second_});
  const std::string port_ = std::to_string(canary_.port);
  std::string skipped_;

 private:
  std::string configuration(bool tls, const std::vector<std::string>& checks) const {
    const std::string tcp = "[\"" + canary_.to_string() + "\", \"" + second_.to_string() + "\"]\n";
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
name = "front"
address = ")" + front_.address.to_string() +
                       "\"\nchecks = [";
    for (const std::string& check : checks) text += "\"" + check + "\", ";
    text += "]\n";
    for (const std::string& check : checks)
      text += "ports." + check + " = [\"" + std::to_string(front_.port) + (tls ? "/tls" : "") + "\"]\n";
    return text;
  }
};

#define SKIP_WHERE_MISSING() \
  if (!skipped_.empty()) GTEST_SKIP() << skipped_

const std::vector<std::string> kHttp2 = {"http2_connect"};
const std::vector<std::string> kAll = {"http_connect", "http_forward", "http2_connect", "socks5"};

TEST_F(Fronts, NghttpxIsOpenWithPriorKnowledge) {
  const Answer answer = ask(FrontKind::nghttpx, "nghttpx", false, kHttp2);
  SKIP_WHERE_MISSING();
  ASSERT_EQ(answer.said("http2_connect"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.code, 2);
  for (const std::string& name : {"ipv4:" + port_, "name:" + port_, "ipv4:" + std::to_string(second_.port),
                                  "ipv4:" + std::to_string(smtp_.port) + "/smtp"})
    EXPECT_EQ(answer.variant("http2_connect", name), "open") << name << answer.everything;
  EXPECT_THAT(answer.texts("http2_connect", "exit_addresses"), ElementsAre("127.0.0.1")) << answer.everything;
  EXPECT_THAT(answer.texts("http2_connect", "transcript"), Contains(StartsWith("S: HEADERS :status 200"))) << answer.everything;
  EXPECT_THAT(answer.texts("http2_connect", "transcript"), Contains("C: DATA TOKEN <token>"));
}

TEST_F(Fronts, NghttpxIsOpenOverTls) {
  const Answer answer = ask(FrontKind::nghttpx, "nghttpx-tls", true, {"http2_connect", "http_connect"});
  SKIP_WHERE_MISSING();
  ASSERT_EQ(answer.said("http2_connect"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.said("http_connect"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.results.at("http2_connect").at("tls"), "implicit");
  EXPECT_THAT(answer.texts("http2_connect", "transcript"), Contains("# ALPN: h2"));
}

TEST_F(Fronts, NghttpxInFrontOfAClosedProxy) {
  const Answer answer = ask(FrontKind::nghttpx, "nghttpx", false, kHttp2, "closed-to-all");
  SKIP_WHERE_MISSING();
  // tinyproxy's close resets the connection before nghttpx has read the 403: 502.
  EXPECT_THAT(answer.said("http2_connect"), testing::Not(HasSubstr("open"))) << answer.everything;
  EXPECT_LE(answer.code, 1);
}

// Closed to strangers, and open to its own host: whoever asks the front is let through.
TEST_F(Fronts, NghttpxInFrontOfAProxyThatTrustsItsHost) {
  const Answer answer = ask(FrontKind::nghttpx, "nghttpx", false, kHttp2, "closed");
  SKIP_WHERE_MISSING();
  EXPECT_EQ(answer.said("http2_connect"), "open/token_returned") << answer.everything;
}

TEST_F(Fronts, NghttpxInFrontOfAProxyThatWantsAPassword) {
  const Answer answer = ask(FrontKind::nghttpx, "nghttpx", false, kHttp2, "auth");
  SKIP_WHERE_MISSING();
  EXPECT_EQ(answer.said("http2_connect"), "closed/auth_required") << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(Fronts, ApacheIsOpenAndItsRemedyCloses) {
  const Answer before = ask(FrontKind::apache, "apache-open-tls", true, kHttp2);
  SKIP_WHERE_MISSING();
  ASSERT_EQ(before.said("http2_connect"), "open/token_returned") << before.everything;
  const Answer after = ask(FrontKind::apache, "apache-closed-tls", true, kHttp2);
  EXPECT_EQ(after.said("http2_connect"), "closed/refused") << after.everything;
}

TEST_F(Fronts, WebServersAreClosed) {
  const Answer apache = ask(FrontKind::apache, "apache-web", false, kHttp2);
  const Answer nginx = ask(FrontKind::nginx, "nginx-h2-tls", true, kHttp2);
  const Answer old = ask(FrontKind::nginx, "nginx-web", false, kHttp2);
  SKIP_WHERE_MISSING();
  EXPECT_EQ(apache.said("http2_connect"), "closed/refused") << apache.everything;
  EXPECT_EQ(nginx.said("http2_connect"), "closed/refused") << nginx.everything;
  EXPECT_EQ(old.said("http2_connect"), "closed/other_protocol") << old.everything;
}

TEST_F(Fronts, HaproxyPassesHttp2On) {
  const Answer answer = ask(FrontKind::haproxy, "haproxy-h2-tls", true, {"http2_connect", "http_connect"});
  SKIP_WHERE_MISSING();
  EXPECT_EQ(answer.said("http2_connect"), "open/token_returned") << answer.everything;
  EXPECT_EQ(answer.said("http_connect"), "open/token_returned") << answer.everything;
}

TEST_F(Fronts, StunnelInFrontOfHttp2) {
  const std::string missing =
      Front::missing(FrontKind::stunnel) + Front::missing(FrontKind::nghttpx) + ProxyServer::missing(ProxyKind::tinyproxy);
  if (!missing.empty()) GTEST_SKIP() << missing;
  const AddressPort middle = somewhere("127.77.0.4");
  const ProxyServer proxy(ProxyKind::tinyproxy, "open", proxy_, canary_.address);
  const Front nghttpx(FrontKind::nghttpx, "nghttpx", middle, proxy_);
  const Front stunnel(FrontKind::stunnel, "stunnel", front_, middle);
  const Answer answer = check(true, kHttp2, [&] { return stunnel.log() + nghttpx.log(); });
  EXPECT_EQ(answer.said("http2_connect"), "open/token_returned") << answer.everything;
  EXPECT_THAT(answer.texts("http2_connect", "transcript"), Contains("# ALPN: no choice"));
}

TEST_F(Fronts, TlsInFrontOfAnOpenProxy) {
  for (const auto& [kind, mode] : {std::pair(FrontKind::stunnel, "stunnel"), std::pair(FrontKind::haproxy, "haproxy-tls")}) {
    const Answer answer = ask(kind, mode, true, kAll);
    SKIP_WHERE_MISSING();
    EXPECT_EQ(answer.said("http_connect"), "open/token_returned") << answer.everything;
    EXPECT_EQ(answer.said("http_forward"), "open/token_returned") << answer.everything;
    EXPECT_EQ(answer.said("http2_connect"), "closed/other_protocol") << answer.everything;
    EXPECT_EQ(answer.said("socks5"), "closed/other_protocol") << answer.everything;
    EXPECT_EQ(answer.results.at("http_connect").at("tls"), "implicit");
    EXPECT_EQ(answer.code, 2);
  }
}

TEST_F(Fronts, TlsInFrontOfAProxyThatWantsAPassword) {
  for (const auto& [kind, mode] : {std::pair(FrontKind::stunnel, "stunnel"), std::pair(FrontKind::haproxy, "haproxy-tls")}) {
    const Answer answer = ask(kind, mode, true, kAll, "auth");
    SKIP_WHERE_MISSING();
    EXPECT_EQ(answer.said("http_connect"), "closed/auth_required") << answer.everything;
    EXPECT_EQ(answer.said("http_forward"), "closed/auth_required") << answer.everything;
    EXPECT_EQ(answer.said("http2_connect"), "closed/other_protocol") << answer.everything;
    EXPECT_EQ(answer.code, 0);
  }
}

// An open proxy behind it, and nobody comes through without a certificate.
TEST_F(Fronts, CertificatesThatTlsWants) {
  const std::vector<std::pair<FrontKind, std::string>> all = {
      {FrontKind::stunnel, "stunnel-certificate"}, {FrontKind::stunnel, "stunnel-certificate-1.2"},
      {FrontKind::haproxy, "haproxy-certificate"}, {FrontKind::haproxy, "haproxy-certificate-1.2"},
      {FrontKind::apache, "apache-certificate"},
  };
  for (const auto& [kind, mode] : all) {
    const Answer answer = ask(kind, mode, true, kAll);
    SKIP_WHERE_MISSING();
    for (const std::string& check : kAll) {
      const bool by_alpn = mode == "haproxy-certificate" && check == "http2_connect";  // it chooses HTTP/1.1 first
      EXPECT_EQ(answer.said(check), by_alpn ? answer.said(check) : "closed/auth_required") << mode << answer.everything;
      EXPECT_THAT(answer.said(check), StartsWith("closed/")) << mode << answer.everything;
    }
    EXPECT_EQ(answer.code, 0);
  }
}

TEST_F(Fronts, CertificatesThatHttpWants) {
  const Answer answer = ask(FrontKind::nginx, "nginx-certificate", true, kAll);
  SKIP_WHERE_MISSING();
  EXPECT_EQ(answer.said("http_forward"), "closed/auth_required") << answer.everything;
  EXPECT_EQ(answer.said("http_connect"), "closed/refused") << answer.everything;  // CONNECT is 400 to everybody
  EXPECT_EQ(answer.said("http2_connect"), "closed/other_protocol") << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

}  // namespace
}  // namespace ajar
