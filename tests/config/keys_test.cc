// Every key of the file, with a value that is not its default, arrives where it belongs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "config/config.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

Config parse(std::string_view text, const std::string& file = "ajar.toml") {
  auto result = parse_config(text, file);
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
    for (const ConfigError& error : *errors) ADD_FAILURE() << error.to_string();
    return {};
  }
  return std::get<Config>(std::move(result));
}

AddressPort at(const char* text) { return AddressPort::parse(text).value(); }
IpAddress address(const char* text) { return IpAddress::parse(text).value(); }
Cidr network(const char* text) { return Cidr::parse(text).value(); }
const std::string kScope = "scope = [\"203.0.113.0/24\", \"2001:db8:5::/48\"]\n";

TEST(Keys, ScopeAloneIsAWholeConfiguration) {
  const Config config = parse(kScope);
  EXPECT_THAT(config.scope, ElementsAre(network("203.0.113.0/24"), network("2001:db8:5::/48")));
  EXPECT_EQ(config.file, "ajar.toml");
  AgentConfig agent;
  agent.name = config.agent.name;
  EXPECT_EQ(config.agent, agent);
  EXPECT_EQ(config.log, LogConfig());
  EXPECT_EQ(config.web, WebConfig());
  EXPECT_EQ(config.metrics, MetricsConfig());
  EXPECT_EQ(config.canary, CanaryConfig());
  EXPECT_THAT(config.targets, IsEmpty());
  EXPECT_THAT(config.exemptions, IsEmpty());
}

TEST(Keys, ScopeTakesALoneAddressAndTheWidestNetworks) {
  EXPECT_THAT(parse("scope = [\"203.0.113.5\", \"10.0.0.0/8\", \"2001:db8::/29\", \"169.254.0.0/16\", \"::1\"]").scope,
              ElementsAre(network("203.0.113.5/32"), network("10.0.0.0/8"), network("2001:db8::/29"), network("169.254.0.0/16"),
                          network("::1/128")));
}

TEST(Keys, AgentNameIsThisHostUnlessWritten) {
  char name[256] = {};
  ASSERT_EQ(gethostname(name, sizeof name - 1), 0);
  const std::string written = parse(kScope).agent.name;
  EXPECT_TRUE(written == name || written == "localhost") << written;
  EXPECT_EQ(parse(kScope + "[agent]\nname = \"\"\n").agent.name, written);
  EXPECT_EQ(parse(kScope + "[agent]\nname = \"[203.0.113.7]\"\n").agent.name, "[203.0.113.7]");
  EXPECT_EQ(parse(kScope + "[agent]\nname = \"[IPv6:2001:db8::7]\"\n").agent.name, "[IPv6:2001:db8::7]");
}

TEST(Keys, Agent) {
  const AgentConfig agent = parse(kScope + R"([agent]
name = "probe.example.net"
contact = "mailto:sre@example.net"
vantage = "outside"
source_addresses = ["198.51.100.7", "2001:db8::7"]
interval = "2h"
full_matrix_interval = "48h"
retry_interval = "6m"
sweep_interval = "36h"
connect_timeout = "500ms"
reply_timeout = "61s"
probe_timeout = "11m"
reopen_within = "2d"
case_retention = "30d"
quarantine = "3d"
concurrency = 1001
connections_per_second = 501
connections_per_second_per_address = 21
connections_per_second_per_network = 0
daily_connections_per_address = 999
daily_bytes_per_address = 4000000000
per_address = 2
threads = 4
state = "/var/lib/ajar/ajar.db"
)")
                                .agent;
  EXPECT_EQ(agent.name, "probe.example.net");
  EXPECT_EQ(agent.contact, "mailto:sre@example.net");
  EXPECT_EQ(agent.vantage, "outside");
  EXPECT_THAT(agent.source_addresses, ElementsAre(address("198.51.100.7"), address("2001:db8::7")));
  EXPECT_EQ(agent.interval, hours(2));
  EXPECT_EQ(agent.full_matrix_interval, hours(48));
  EXPECT_EQ(agent.retry_interval, minutes(6));
  EXPECT_EQ(agent.sweep_interval, hours(36));
  EXPECT_EQ(agent.connect_timeout, milliseconds(500));
  EXPECT_EQ(agent.reply_timeout, seconds(61));
  EXPECT_EQ(agent.probe_timeout, minutes(11));
  EXPECT_EQ(agent.reopen_within, hours(48));
  EXPECT_EQ(agent.case_retention, hours(24 * 30));
  EXPECT_EQ(agent.quarantine, hours(24 * 3));
  EXPECT_EQ(agent.concurrency, 1001U);
  EXPECT_EQ(agent.connections_per_second, 501U);
  EXPECT_EQ(agent.connections_per_second_per_address, 21U);
  EXPECT_EQ(agent.connections_per_second_per_network, 0U);
  EXPECT_EQ(agent.daily_connections_per_address, 999U);
  EXPECT_EQ(agent.daily_bytes_per_address, 4'000'000'000U);
  EXPECT_EQ(agent.per_address, 2U);
  EXPECT_EQ(agent.threads, 4U);
  EXPECT_EQ(agent.state, "/var/lib/ajar/ajar.db");
}

TEST(Keys, LogWebMetrics) {
  const Config config = parse(kScope + R"([log]
level = "debug"
format = "json"
[web]
listen = [":9925", "[::1]:9926", "localhost:9927", "192.0.2.1:9928"]
external_url = "https://ajar.example.net:8443/path/"
config_file = "web.yml"
[metrics]
detail = "targets"
)");
  EXPECT_EQ(config.log.level, "debug");
  EXPECT_EQ(config.log.format, "json");
  EXPECT_THAT(config.web.listen, ElementsAre(":9925", "[::1]:9926", "localhost:9927", "192.0.2.1:9928"));
  EXPECT_EQ(config.web.external_url, "https://ajar.example.net:8443/path/");
  EXPECT_EQ(config.web.config_file, "web.yml");
  EXPECT_EQ(config.metrics.detail, "targets");
}

TEST(Keys, Canary) {
  const CanaryConfig canary = parse(kScope + R"([canary]
listen_tcp = ["0.0.0.0:8025", "0.0.0.0:443"]
listen_udp = ["0.0.0.0:8025"]
listen_tls = ["0.0.0.0:443"]
listen_smtp = ["0.0.0.0:25", "[::]:25"]
advertise_tcp = ["198.51.100.7:8025", "[2001:db8::7]:8025"]
advertise_udp = ["198.51.100.7:8026"]
advertise_tls = ["198.51.100.7:443"]
advertise_smtp = ["198.51.100.7:25"]
reserved_ports = "40000-40009"
resolver_name = "resolver.example.net"
resolver_answers = ["198.51.100.9", "2001:db8::9"]
host = "canary.example.net"
mail_domain = "mail.canary.example.net."
secret_file = "s/canary.secret"
remote = "https://canary.example.net:8443"
delivery_timeout = "16m"
token_retention = "6d"
message_interval = "25h"
)")
                                  .canary;
  EXPECT_THAT(canary.listen_tcp, ElementsAre(at("0.0.0.0:8025"), at("0.0.0.0:443")));
  EXPECT_THAT(canary.listen_udp, ElementsAre(at("0.0.0.0:8025")));
  EXPECT_THAT(canary.listen_tls, ElementsAre(at("0.0.0.0:443")));
  EXPECT_THAT(canary.listen_smtp, ElementsAre(at("0.0.0.0:25"), at("[::]:25")));
  EXPECT_THAT(canary.advertise_tcp, ElementsAre(at("198.51.100.7:8025"), at("[2001:db8::7]:8025")));
  EXPECT_THAT(canary.advertise_udp, ElementsAre(at("198.51.100.7:8026")));
  EXPECT_THAT(canary.advertise_tls, ElementsAre(at("198.51.100.7:443")));
  EXPECT_THAT(canary.advertise_smtp, ElementsAre(at("198.51.100.7:25")));
  EXPECT_EQ(canary.reserved_ports, (PortRange{40000, 40009}));
  EXPECT_EQ(canary.resolver_name, "resolver.example.net");
  EXPECT_THAT(canary.resolver_answers, ElementsAre(*IpAddress::parse("198.51.100.9"), *IpAddress::parse("2001:db8::9")));
  EXPECT_EQ(canary.host, "canary.example.net");
  EXPECT_EQ(canary.mail_domain, "mail.canary.example.net");  // without the final dot
  EXPECT_EQ(canary.secret_file, "s/canary.secret");
  EXPECT_EQ(canary.remote, "https://canary.example.net:8443");
  EXPECT_EQ(canary.delivery_timeout, minutes(16));
  EXPECT_EQ(canary.token_retention, hours(24 * 6));
  EXPECT_EQ(canary.message_interval, hours(25));
}

TEST(Keys, ReservedPorts) {
  const auto ports = [](const std::string& text) {
    return parse(kScope + "[canary]\nreserved_ports = \"" + text + "\"\n").canary.reserved_ports;
  };
  EXPECT_EQ(parse(kScope).canary.reserved_ports, (PortRange{50000, 50015}));
  EXPECT_EQ(ports("1024-2023"), (PortRange{1024, 2023}));
  EXPECT_EQ(ports("65535"), (PortRange{65535, 65535}));
  EXPECT_TRUE(ports("").empty());
}

TEST(Keys, RemoteCanaryOnLoopbackMayBePlain) {
  EXPECT_EQ(parse(kScope + "[canary]\nremote = \"http://127.0.0.1:8080\"\n").canary.remote, "http://127.0.0.1:8080");
  EXPECT_EQ(parse(kScope + "[canary]\nremote = \"http://[::1]:8080/x\"\n").canary.remote, "http://[::1]:8080/x");
}

TEST(Keys, Target) {
  const Config config = parse(kScope + R"([agent]
interval = "3h"
[[target]]
name = "mx1"
host = "mx1.example.org."
mail_domains = ["example.org", "example.com"]
control_recipients = ["sre@example.org", "x@[203.0.113.5]"]
checks = ["smtp_relay"]
ports.smtp_relay = [25, "587", "465/tls", "2525/tcp"]
intervals.smtp_relay = "15m"
owner = "Mail team, Zürich"
labels = { site = "zrh", _x9 = "" }
paused = true
)");
  ASSERT_EQ(config.targets.size(), 1U);
  const TargetConfig& target = config.targets[0];
  EXPECT_EQ(target.name, "mx1");
  EXPECT_EQ(target.place.host, "mx1.example.org");
  EXPECT_THAT(target.mail_domains, ElementsAre("example.org", "example.com"));
  EXPECT_THAT(target.control_recipients, ElementsAre("sre@example.org", "x@[203.0.113.5]"));
  EXPECT_THAT(target.checks, ElementsAre("smtp_relay"));
  const std::vector<Port> ports = {{25}, {587}, {465, Transport::tcp, true}, {2525}};
  EXPECT_THAT(target.ports, ElementsAre(Pair("smtp_relay", ports)));
  EXPECT_THAT(target.intervals, ElementsAre(Pair("smtp_relay", minutes(15))));
  EXPECT_EQ(target.owner, "Mail team, Zürich");
  EXPECT_THAT(target.labels, ElementsAre(Pair("_x9", ""), Pair("site", "zrh")));
  EXPECT_TRUE(target.paused);
  EXPECT_EQ(config.interval(target, "smtp_relay"), minutes(15));
  EXPECT_EQ(config.ports(target, "smtp_relay"), ports);
  EXPECT_EQ(config.find_target("mx1"), &target);
  EXPECT_EQ(config.find_target("mx2"), nullptr);
}

TEST(Keys, TargetInItsOwnTables) {
  const Config config = parse(kScope + R"([[target]]
name = "mx1"
host = "mx1.example.org"
[target.ports]
smtp_relay = [26]
[target.intervals]
smtp_relay = "20m"
[target.labels]
site = "zrh"
)");
  ASSERT_EQ(config.targets.size(), 1U);
  EXPECT_EQ(config.ports(config.targets[0], "smtp_relay"), std::vector<Port>{{26}});
  EXPECT_EQ(config.interval(config.targets[0], "smtp_relay"), minutes(20));
  EXPECT_EQ(config.targets[0].labels.at("site"), "zrh");
}

TEST(Keys, TargetPlaces) {
  const Config config = parse(kScope + R"(
[[target]]
name = "a"
address = "203.0.113.5"
[[target]]
name = "b"
address = "2001:db8:5::1"
[[target]]
name = "c"
network = "203.0.113.64/26"
[[target]]
name = "d"
mx_of = "example.org"
[[target]]
name = "e"
network = "2001:db8:5::/112"
)");
  ASSERT_EQ(config.targets.size(), 5U);
  EXPECT_EQ(config.targets[0].place.address, address("203.0.113.5"));
  EXPECT_EQ(config.targets[1].place.address, address("2001:db8:5::1"));
  EXPECT_EQ(config.targets[2].place.network, network("203.0.113.64/26"));
  EXPECT_EQ(config.targets[3].place.mx_of, "example.org");
  EXPECT_EQ(config.targets[4].place.network, network("2001:db8:5::/112"));
  for (const TargetConfig& target : config.targets) {
    EXPECT_EQ(!target.place.host.empty() + target.place.address.has_value() + target.place.network.has_value() +
                  !target.place.mx_of.empty(),
              1);
  }
}

TEST(Keys, ANetworkMayLieInSeveralPiecesOfTheScope) {
  const Config config = parse(
      "scope = [\"203.0.113.0/25\", \"203.0.113.128/26\", \"203.0.113.192/26\"]\n"
      "[[target]]\nname = \"all\"\nnetwork = \"203.0.113.0/24\"\n");
  EXPECT_EQ(config.targets.size(), 1U);
}

TEST(Keys, ChecksLeftOutAreThoseOnByDefault) {
  const Config config = parse(kScope + "[[target]]\nname = \"a\"\nhost = \"a.example\"\n");
  std::vector<std::string> expected;
  for (const CheckInfo& check : catalogue()) {
    if (check.on_by_default) expected.emplace_back(check.name);
  }
  ASSERT_EQ(config.targets.size(), 1U);
  const TargetConfig& target = config.targets[0];
  EXPECT_EQ(target.checks, expected);
  EXPECT_THAT(target.checks, testing::Contains("smtp_relay"));
  EXPECT_THAT(target.ports, IsEmpty());
  EXPECT_THAT(target.intervals, IsEmpty());
  EXPECT_EQ(config.interval(target, "smtp_relay"), hours(1));
  const std::vector<Port> ports = {{25}, {587}, {2525}, {465, Transport::tcp, true}};
  EXPECT_EQ(config.ports(target, "smtp_relay"), ports);
  EXPECT_THAT(config.ports(target, "no_such_check"), IsEmpty());
  EXPECT_FALSE(target.paused);
}

TEST(Keys, ChecksMayBeNone) {
  EXPECT_THAT(parse(kScope + "[[target]]\nname = \"a\"\nhost = \"a.example\"\nchecks = []\n").targets.at(0).checks, IsEmpty());
}

TEST(Keys, Exemption) {
  const Config config = parse(kScope + R"([[target]]
name = "lab-proxy"
host = "lab.example.org"
[[exemption]]
target = "lab-proxy"
check = "smtp_relay"
until = 2027-01-31
who = "sre@example.net"
why = "a lab"
)");
  ASSERT_EQ(config.exemptions.size(), 1U);
  const ExemptionConfig& exemption = config.exemptions[0];
  EXPECT_EQ(exemption.target, "lab-proxy");
  EXPECT_EQ(exemption.check, "smtp_relay");
  EXPECT_EQ(exemption.until, std::chrono::sys_days(std::chrono::year(2027) / 1 / 31));
  EXPECT_EQ(exemption.who, "sre@example.net");
  EXPECT_EQ(exemption.why, "a lab");
}

TEST(Keys, ContactTakesTwoKindsOfUri) {
  for (const std::string contact : {"mailto:sre@example.net", "mailto:sre@example.net?subject=ajar",
                                    "https://example.net/probes", "https://[2001:db8::7]:8443/"}) {
    EXPECT_EQ(parse(kScope + "[agent]\ncontact = \"" + contact + "\"\n").agent.contact, contact);
  }
}

TEST(Keys, PathsAreRelativeToTheFile) {
  EXPECT_EQ(parse(kScope, "/etc/ajar/ajar.toml").path("ajar.db"), "/etc/ajar/ajar.db");
  EXPECT_EQ(parse(kScope, "/etc/ajar/ajar.toml").path("/var/lib/ajar/ajar.db"), "/var/lib/ajar/ajar.db");
  EXPECT_EQ(parse(kScope, "config/lab.toml").path("../state/ajar.db"), "config/../state/ajar.db");
  EXPECT_EQ(parse(kScope, "ajar.toml").path("ajar.db"), "ajar.db");
  EXPECT_EQ(Config().path("ajar.db"), "ajar.db");
  EXPECT_EQ(parse(kScope, "/etc/ajar/ajar.toml").path(""), "");
}

}  // namespace
}  // namespace ajar
