// [dnsbl] and [[dnsbl.zone]]: which databases are asked, and as what.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kScope = "scope = [\"203.0.113.0/24\"]\n";

Config expect_right(std::variant<Config, std::vector<ConfigError>> result) {
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
    for (const ConfigError& error : *errors) ADD_FAILURE() << error.to_string();
    return {};
  }
  return std::get<Config>(std::move(result));
}
Config parse(const std::string& text) { return expect_right(parse_config(kScope + text, "ajar.toml")); }

std::vector<std::string> names(const Config& config) {
  std::vector<std::string> list;
  for (const ZoneConfig& zone : config.dnsbl.zones) list.push_back(zone.info.name);
  return list;
}
std::vector<std::string> usual() {
  std::vector<std::string> list;
  for (const ZoneInfo& zone : zone_catalogue()) {
    if (zone.on) list.push_back(zone.name);
  }
  return list;
}

TEST(Dnsbl, WithoutAWordWhatAnybodyMayAsk) {
  const Config config = parse("");
  EXPECT_EQ(names(config), usual());
  EXPECT_EQ(config.dnsbl.interval, hours(1));
  EXPECT_FALSE(config.dnsbl.lookup_private);
  EXPECT_THAT(config.dnsbl.resolvers, IsEmpty());
  for (const ZoneConfig& zone : config.dnsbl.zones) {
    EXPECT_EQ(zone.info, *find_zone(zone.info.name));
    EXPECT_EQ(zone.interval, hours(1));
  }
  EXPECT_THAT(names(parse("[dnsbl]\nzones = []\n")), IsEmpty());
}

TEST(Dnsbl, TermsAndTablesAddToTheUsual) {
  std::vector<std::string> expected = usual();
  const Config config = parse(R"([dnsbl]
accept_terms = ["Zen.spamhaus.org"]
[[dnsbl.zone]]
name = "bl.example.org"
[[dnsbl.zone]]
name = "relays.nether.net"
)");
  for (const char* name : {"zen.spamhaus.org", "relays.nether.net", "bl.example.org"}) {
    EXPECT_THAT(names(config), testing::Contains(name));
    expected.emplace_back(name);
  }
  EXPECT_THAT(names(config), testing::UnorderedElementsAreArray(expected));
}

TEST(Dnsbl, EveryKey) {
  const Config config = parse(R"([dnsbl]
resolvers = ["127.0.0.1", "127.0.0.1:5533", "::1", "[::1]:5533"]
interval = "2h"
lookup_private = true
zones = ["bl.Example.org", "psbl.surriel.com", "d.example.org", "b.barracudacentral.org"]
accept_terms = ["b.barracudacentral.org"]
[[dnsbl.zone]]
name = "BL.example.org"
codes = { "127.0.0.2" = "open relay", "127.0.0.&4" = "a bit" }
ipv6 = true
test_points = "none"
tier = "page"
key_file = "bl.key"
interval = "3h"
[[dnsbl.zone]]
name = "d.example.org"
query = "domain"
)");
  const DnsblConfig& dnsbl = config.dnsbl;
  EXPECT_THAT(dnsbl.resolvers,
              ElementsAre(AddressPort::parse("127.0.0.1:53").value(), AddressPort::parse("127.0.0.1:5533").value(),
                          AddressPort::parse("[::1]:53").value(), AddressPort::parse("[::1]:5533").value()));
  EXPECT_EQ(dnsbl.interval, hours(2));
  EXPECT_TRUE(dnsbl.lookup_private);
  ASSERT_THAT(names(config), ElementsAre("bl.example.org", "psbl.surriel.com", "d.example.org", "b.barracudacentral.org"));
  const ZoneConfig& own = dnsbl.zones[0];
  EXPECT_TRUE(own.info.asks(DnsblKind::ipv4));
  EXPECT_TRUE(own.info.asks(DnsblKind::ipv6));
  EXPECT_FALSE(own.info.has_test_points(DnsblKind::ipv4));
  EXPECT_FALSE(own.info.has_test_points(DnsblKind::ipv6));
  EXPECT_EQ(own.info.rules.tier, ListingTier::page);
  EXPECT_EQ(own.info.rules.codes.size(), 2U);
  EXPECT_EQ(own.key_file, "bl.key");
  EXPECT_EQ(own.interval, hours(3));
  EXPECT_EQ(dnsbl.zones[1].info, *find_zone("psbl.surriel.com"));
  EXPECT_EQ(dnsbl.zones[1].interval, hours(2));
  EXPECT_TRUE(dnsbl.zones[2].info.asks(DnsblKind::domain));
  EXPECT_FALSE(dnsbl.zones[2].info.asks(DnsblKind::ipv4));
  EXPECT_TRUE(dnsbl.zones[2].info.has_test_points(DnsblKind::domain));
}

TEST(Dnsbl, ATableChangesOnlyWhatItSaysOfTheCatalogue) {
  const Config config = parse(R"([dnsbl]
zones = ["rbl.efnetrbl.org"]
[[dnsbl.zone]]
name = "rbl.efnetrbl.org"
codes = { "127.0.0.4" = "our own Tor exit", "127.0.0.6" = "new" }
tier = "info"
)");
  const ZoneInfo& zone = config.dnsbl.zones.at(0).info;
  const auto ask = [&](const char* code) {
    DnsblReply reply{DnsblReply::Outcome::answered, {IpAddress::parse(code).value()}};
    return judge_dnsbl(reply, zone.rules);
  };
  EXPECT_EQ(ask("127.0.0.4").codes.at(0).meaning, "our own Tor exit");
  EXPECT_EQ(ask("127.0.0.6").codes.at(0).meaning, "new");
  EXPECT_EQ(ask("127.0.0.1").codes.at(0).meaning, "open proxy");
  EXPECT_EQ(ask("127.0.0.1").tier, ListingTier::info);
  EXPECT_EQ(zone.delisting, find_zone("rbl.efnetrbl.org")->delisting);
}

TEST(Dnsbl, ADeadZoneIsAWarningAndIsNotAsked) {
  const Config config = parse(R"([dnsbl]
zones = ["ix.dnsbl.manitu.net", "bl.example.org", "http.dnsbl.sorbs.net"]
)");
  EXPECT_THAT(names(config), ElementsAre("bl.example.org"));
  ASSERT_EQ(config.warnings.size(), 2U);
  EXPECT_EQ(
      config.warnings[0].to_string(),
      "ajar.toml:3:10: ix.dnsbl.manitu.net (NiX Spam) ended on 2025-01-16: it is empty, so it calls every address clean. It is "
      "not asked: remove it");
  EXPECT_THAT(config.warnings[1].to_string(), HasSubstr("http.dnsbl.sorbs.net (SORBS"));
}

TEST(Dnsbl, AmongTheChecksOfATarget) {
  const auto target = [](const std::string& checks) {
    return parse("[[target]]\nname = \"a\"\nhost = \"a.example\"\n" + checks).targets.at(0);
  };
  EXPECT_TRUE(target("").dnsbl);
  EXPECT_FALSE(target("checks = []\n").dnsbl);
  EXPECT_FALSE(target("checks = [\"smtp_relay\"]\n").dnsbl);
  const TargetConfig both = target("checks = [\"dnsbl\", \"smtp_relay\"]\n");
  EXPECT_TRUE(both.dnsbl);
  EXPECT_THAT(both.checks, ElementsAre("smtp_relay"));
}

// Keys are read from their files, below the folder of the configuration.
class DnsblKeys : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; }
  std::variant<Config, std::vector<ConfigError>> load(const std::string& key_file) {
    write("ajar.toml", kScope + "[[dnsbl.zone]]\nname = \"combined.mail.abusix.zone\"\nkey_file = \"" + key_file + "\"\n");
    return load_config(folder_ + "/ajar.toml");
  }
  std::string error(const std::string& key_file) {
    const auto result = load(key_file);
    const auto* errors = std::get_if<std::vector<ConfigError>>(&result);
    if (!errors || errors->size() != 1) return "not one error";
    EXPECT_THAT(errors->front().to_string(), HasSubstr("ajar.toml:4:12: `key_file`"));
    return errors->front().to_string();
  }
  std::string folder_ = testing::TempDir() + "dnsbl_keys_" + std::to_string(getpid());
};

TEST_F(DnsblKeys, StandBeforeTheZoneInQuestionsAlone) {
  write("abusix.key", "s3cretKEY\n");
  const Config config = expect_right(load("abusix.key"));
  const auto zone = std::find_if(config.dnsbl.zones.begin(), config.dnsbl.zones.end(),
                                 [](const ZoneConfig& each) { return !each.key_file.empty(); });
  ASSERT_NE(zone, config.dnsbl.zones.end());
  EXPECT_EQ(zone->info.name, "combined.mail.abusix.zone");
  EXPECT_EQ(zone->secret_zone(), "s3cretKEY.combined.mail.abusix.zone");
}

TEST_F(DnsblKeys, ThatCannotBeUsed) {
  EXPECT_THAT(error("missing.key"), HasSubstr("cannot be read: No such file or directory"));
  EXPECT_THAT(error("."), HasSubstr("is not a file"));
  write("empty.key", "\n");
  EXPECT_THAT(error("empty.key"), HasSubstr("is empty"));
  write("nothing.key", "");
  EXPECT_THAT(error("nothing.key"), HasSubstr("is empty"));
  write("odd.key", "s3cret key.with dots\n");
  EXPECT_THAT(error("odd.key"), testing::AllOf(HasSubstr("holds no key"), testing::Not(HasSubstr("s3cret"))));
  write("long.key", std::string(64, 'k'));
  EXPECT_THAT(error("long.key"), HasSubstr("at most 63"));
  write("huge.key", std::string(100'000, 'k'));
  EXPECT_THAT(error("huge.key"), HasSubstr("at most 63"));
  if (geteuid() != 0) {
    write("unreadable.key", "key\n");
    chmod((folder_ + "/unreadable.key").c_str(), 0);
    EXPECT_THAT(error("unreadable.key"), HasSubstr("Permission denied"));
  }
}

}  // namespace
}  // namespace ajar
