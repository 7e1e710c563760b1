// What `ajar check` says about real resolvers and real routers of TLS. An Unbound of the test knows the canary's names, and
// that nobody has one under .invalid; the servers under test ask it.
#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "checks/ip_address.h"
#include "tests/e2e/house.h"
#include "tests/e2e/process.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::to_string;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;

constexpr const char* kServer = "127.77.0.4";
constexpr const char* kUpstream = "127.77.0.53";
constexpr const char* kStranger = "127.66.0.1";

bool installed(const char* path) { return access(path, X_OK) == 0; }

class RealNames : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* path : {"/usr/sbin/unbound", "/usr/sbin/dnsmasq", "/usr/sbin/nginx", "/usr/sbin/haproxy"}) {
      if (!installed(path)) GTEST_SKIP() << path << " is not installed";
    }
    // It holds the zone of the canary; everything else does not exist.
    upstream_ = unbound("upstream", kUpstream, upstream_port_,
                        "  access-control: 127.0.0.0/8 allow\n  local-zone: \"canary.example.\" redirect\n  local-data: "
                        "\"canary.example. 60 A " +
                            std::string(kCanaryAddress) + "\"\n  local-zone: \".\" static\n");
  }

  std::unique_ptr<Process> unbound(const std::string& name, const std::string& address, std::uint16_t port,
                                   const std::string& more) {
    write_file(folder_.file(name), "server:\n  interface: " + address + "@" + to_string(port) +
                                       "\n  username: \"\"\n  chroot: \"\"\n  directory: \"" + folder_.path() +
                                       "\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  do-ip6: no\n"
                                       "  do-not-query-localhost: no\n  module-config: \"iterator\"\n" +
                                       more + "remote-control:\n  control-enable: no\n");
    return started({"/usr/sbin/unbound", "-d", "-c", folder_.file(name)}, address, port);
  }
  std::unique_ptr<Process> started(const std::vector<std::string>& argv, const std::string& address, std::uint16_t port) {
    auto process = std::make_unique<Process>(argv);
    const bool up = wait_until(seconds(20), [&] { return accepts(address, port) || !process->running(); });
    EXPECT_TRUE(up && process->running()) << argv.front() << ": " << process->out() << process->err();
    return process;
  }
  std::string forwarded() const {
    return "forward-zone:\n  name: \".\"\n  forward-addr: " + std::string(kUpstream) + "@" + to_string(upstream_port_) + "\n";
  }

  // The one result of that check, asked at these ports of kServer.
  std::map<std::string, json> ask(const std::string& check, const std::string& ports) {
    const std::string tls = "[\"" + std::string(kCanaryAddress) + ":" + to_string(canary_port_) + "\"]\n";
    const std::string udp = "[\"" + std::string(kCanaryAddress) + ":" + to_string(canary_udp_port_) + "\"]\n";
    write_file(folder_.file("ajar.toml"), R"(scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.example"
contact = "mailto:postmaster@canary.example"
source_addresses = ["127.66.0.1"]
connect_timeout = "2s"
reply_timeout = "4s"
probe_timeout = "60s"
[canary]
listen_tls = )" + tls + "advertise_tls = " + tls +
                                              "listen_udp = " + udp + "advertise_udp = " + udp + R"(host = "canary.example"
[[target]]
name = "server"
address = ")" + kServer + "\"\nchecks = [\"" + check +
                                              "\"]\nports." + check + " = " + ports + "\n");
    Process program_({program("ajar"), "check", "--config", folder_.file("ajar.toml"), "--json", "server"}, folder_.path());
    const int code = program_.wait(seconds(120)).value_or(-1);
    everything_ = "exit " + to_string(code) + "\n" + program_.out() + program_.err();
    std::map<std::string, json> results;
    std::istringstream lines(program_.out());
    for (std::string line; std::getline(lines, line);) {
      const json one = json::parse(line, nullptr, false);
      if (one.is_object()) results[one.value("transport", "?")] = one;
    }
    return results;
  }
  static std::string said(const std::map<std::string, json>& results, const std::string& transport) {
    const auto found = results.find(transport);
    if (found == results.end()) return "no result";
    return found->second.value("verdict", "?") + "/" + found->second.value("reason", "?");
  }
  std::string ask_router() { return said(ask("sni_proxy", "[" + to_string(port_) + "]"), "tcp"); }
  std::map<std::string, json> ask_resolver() {
    return ask("open_resolver", "[" + to_string(port_) + ", \"" + to_string(port_) + "/udp\"]");
  }
  // nginx with these servers in its stream section, and a resolver.
  std::unique_ptr<Process> nginx(const std::string& servers) {
    make_certificate(folder_.path(), "own.target.test");
    write_file(folder_.file("nginx.conf"),
               "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\npid " +
                   folder_.file("nginx.pid") + ";\nerror_log stderr;\nevents {}\nstream {\n  resolver " + kUpstream + ":" +
                   to_string(upstream_port_) + " ipv6=off valid=1s;\n  proxy_connect_timeout 2s;\n  ssl_certificate " +
                   folder_.file("certificate.pem") + ";\n  ssl_certificate_key " + folder_.file("key.pem") + ";\n" + servers +
                   "}\n");
    return started({"/usr/sbin/nginx", "-e", "stderr", "-c", folder_.file("nginx.conf")}, kServer, port_);
  }
  std::unique_ptr<Process> haproxy(const std::string& rules, const std::string& server) {
    write_file(folder_.file("haproxy.cfg"), "global\n  maxconn 100\nresolvers dns\n  nameserver ns " + std::string(kUpstream) +
                                                ":" + to_string(upstream_port_) +
                                                "\ndefaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5s\n"
                                                "  timeout server 5s\nfrontend names\n  bind " +
                                                kServer + ":" + to_string(port_) + "\n  tcp-request inspect-delay 3s\n" +
                                                rules + "  default_backend onward\nbackend onward\n  server any " + server +
                                                "\n");
    return started({"/usr/sbin/haproxy", "-db", "-f", folder_.file("haproxy.cfg")}, kServer, port_);
  }
  // A port of the server that our canary takes TLS at as well: a router goes on to the one that it was asked at.
  std::string ask_router_at_our_port() {
    canary_port_ = port_;
    return ask_router();
  }
  std::string canary_tls() const { return std::string(kCanaryAddress) + ":" + to_string(canary_port_); }

  const TemporaryFolder folder_;
  const std::uint16_t upstream_port_ = free_port(kUpstream);
  const std::uint16_t port_ = free_port(kServer);
  std::uint16_t canary_port_ = free_port(kCanaryAddress);
  const std::uint16_t canary_udp_port_ = free_port(kCanaryAddress);
  std::unique_ptr<Process> upstream_;
  std::string everything_;
};

TEST_F(RealNames, UnboundOpenToTheWorld) {
  const auto server = unbound("open", kServer, port_, "  access-control: 0.0.0.0/0 allow\n" + forwarded());
  const auto results = ask_resolver();
  EXPECT_EQ(said(results, "udp"), "open/token_returned") << everything_;
  EXPECT_EQ(said(results, "tcp"), "open/token_returned") << everything_;
  EXPECT_THAT(results.at("udp").at("observations").dump(), HasSubstr("amplification factor"));
}

TEST_F(RealNames, UnboundClosedToStrangers) {
  const auto server = unbound(
      "closed", kServer, port_,
      "  access-control: 127.0.0.1/32 allow\n  access-control: " + std::string(kStranger) + "/32 refuse\n" + forwarded());
  const auto results = ask_resolver();
  EXPECT_EQ(said(results, "udp"), "closed/refused") << everything_;
  EXPECT_EQ(said(results, "tcp"), "closed/refused") << everything_;
}

// It says SERVFAIL, or nothing in time.
TEST_F(RealNames, UnboundWithADeadUplinkIsNeverClosed) {
  const auto server =
      unbound("dead", kServer, port_,
              "  access-control: 0.0.0.0/0 allow\nforward-zone:\n  name: \".\"\n  forward-addr: 127.77.0.99@9\n");
  EXPECT_THAT(said(ask_resolver(), "udp"), testing::AnyOf(HasSubstr("unclear/"), "unreachable/timeout")) << everything_;
}

// It passes on what another resolver says, which has it from the zone.
TEST_F(RealNames, DnsmasqOpenToTheWorld) {
  constexpr const char* kMiddle = "127.77.0.54";
  const std::uint16_t middle_port = free_port(kMiddle);
  const auto middle = unbound("middle", kMiddle, middle_port, "  access-control: 127.0.0.0/8 allow\n" + forwarded());
  const auto server = started({"/usr/sbin/dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                               "--bind-interfaces", "--listen-address=" + std::string(kServer), "--port=" + to_string(port_),
                               "--user=root", "--pid-file=", "--server=" + std::string(kMiddle) + "#" + to_string(middle_port)},
                              kServer, port_);
  const auto results = ask_resolver();
  EXPECT_EQ(said(results, "udp"), "open/token_returned") << everything_;
  EXPECT_EQ(said(results, "tcp"), "open/token_returned") << everything_;
}

// Its remedy: it listens on the inner address alone.
TEST_F(RealNames, DnsmasqOnAnInnerAddressIsClosed) {
  const auto server =
      started({"/usr/sbin/dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
               "--listen-address=127.0.0.1", "--except-interface=nothing", "--port=" + to_string(port_), "--user=root",
               "--pid-file=", "--server=" + std::string(kUpstream) + "#" + to_string(upstream_port_)},
              "127.0.0.1", port_);
  const auto results = ask_resolver();
  EXPECT_EQ(said(results, "udp"), "closed/nobody_listens") << everything_;
  EXPECT_EQ(said(results, "tcp"), "closed/nobody_listens") << everything_;
}

// Unbound that holds a zone answers for it alone.
TEST_F(RealNames, AnAuthoritativeServerIsClosed) {
  const auto server = unbound("own", kServer, port_,
                              "  access-control: " + std::string(kStranger) +
                                  "/32 refuse_non_local\n  local-zone: \"target.test.\" static\n" + forwarded());
  EXPECT_EQ(said(ask_resolver(), "udp"), "closed/refused") << everything_;
}

TEST_F(RealNames, NginxRoutesByTheNameInTheHello) {
  const auto server =
      nginx("  server {\n    listen " + std::string(kServer) + ":" + to_string(port_) +
            ";\n    ssl_preread on;\n    proxy_pass $ssl_preread_server_name:" + to_string(canary_port_) + ";\n  }\n");
  EXPECT_EQ(ask_router(), "open/token_returned") << everything_ << server->err();
  EXPECT_THAT(everything_, HasSubstr("\"exit_addresses\":[\"127."));
}

TEST_F(RealNames, NginxWithAMapOfItsOwnNamesIsClosed) {
  const std::uint16_t own = free_port("127.77.0.5");
  const auto server =
      nginx("  map $ssl_preread_server_name $to {\n    www.target.test 127.77.0.5:" + to_string(own) +
            ";\n    default 127.77.0.5:" + to_string(own) + ";\n  }\n  server {\n    listen " + std::string(kServer) + ":" +
            to_string(port_) + ";\n    ssl_preread on;\n    proxy_pass $to;\n  }\n  server {\n    listen 127.77.0.5:" +
            to_string(own) + " ssl;\n    return \"a site of our own\\n\";\n  }\n");
  EXPECT_EQ(ask_router(), "closed/refused") << everything_ << server->err();
}

TEST_F(RealNames, NginxThatKnowsNoOtherNameHangsUp) {
  const auto server = nginx(
      "  map $ssl_preread_server_name $to {\n    www.target.test 127.77.0.5:9;\n    default \"\";\n  }\n  server {\n    "
      "listen " +
      std::string(kServer) + ":" + to_string(port_) + ";\n    ssl_preread on;\n    proxy_pass $to;\n  }\n");
  EXPECT_EQ(ask_router_at_our_port(), "closed/hung_up") << everything_ << server->err();
}

// Open, and our canary is not where it goes on to.
TEST_F(RealNames, NginxThatMissesOurCanaryIsNotClosed) {
  const auto server = nginx("  server {\n    listen " + std::string(kServer) + ":" + to_string(port_) +
                            ";\n    ssl_preread on;\n    proxy_pass $ssl_preread_server_name:" + to_string(port_) + ";\n  }\n");
  EXPECT_EQ(ask_router(), "unclear/canary_unreachable") << everything_ << server->err();
  EXPECT_THAT(everything_, HasSubstr("takes no TLS at port " + to_string(port_)));
  EXPECT_EQ(ask_router_at_our_port(), "open/token_returned") << everything_ << server->err();
}

// One fixed place, which is our canary: no proxy, whatever name is asked for.
TEST_F(RealNames, NginxInFrontOfTheCanaryIsNeverOpen) {
  const auto server = nginx("  server {\n    listen " + std::string(kServer) + ":" + to_string(port_) + ";\n    proxy_pass " +
                            canary_tls() + ";\n  }\n");
  EXPECT_EQ(ask_router(), "closed/refused") << everything_ << server->err();
  EXPECT_THAT(everything_, HasSubstr("one fixed place"));
}

TEST_F(RealNames, HaproxyRoutesByTheNameInTheHello) {
  const auto server = haproxy(
      "  tcp-request content do-resolve(txn.to,dns,ipv4) req.ssl_sni if { req.ssl_hello_type 1 }\n"
      "  tcp-request content set-dst var(txn.to) if { var(txn.to) -m found }\n"
      "  tcp-request content reject if { req.ssl_hello_type 1 } !{ var(txn.to) -m found }\n"
      "  tcp-request content accept if { req.ssl_hello_type 1 }\n",
      "0.0.0.0:" + to_string(canary_port_));
  EXPECT_EQ(ask_router(), "open/token_returned") << everything_ << server->err();
}

TEST_F(RealNames, HaproxyWithAFixedServerIsClosed) {
  const auto server = haproxy("  tcp-request content accept if { req.ssl_hello_type 1 }\n", canary_tls());
  EXPECT_EQ(ask_router(), "closed/refused") << everything_ << server->err();
}

}  // namespace
}  // namespace ajar
