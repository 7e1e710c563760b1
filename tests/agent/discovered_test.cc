// What an entry of a list means.
#include "agent/discovered.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "agent/target_view.h"

namespace ajar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class DiscoveredTest : public testing::Test {
 protected:
  DiscoveredTest() {
    const auto parsed = parse_config(
        "scope = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n[[discovery]]\nfile = \"targets/*.json\"\nowner = \"mail-team\"\n"
        "labels = { site = \"zrh\", tier = \"1\" }\n",
        "ajar.toml");
    config_ = std::get<Config>(parsed);
    source_ = config_.discovery.at(0);
  }
  std::shared_ptr<const SourceTargets> read(const TargetGroups& groups, const SourceTargets* before = nullptr) const {
    return read_entries(groups, source_, config_.scope, before);
  }
  // The one target; what is wrong otherwise.
  TargetConfig one(const std::string& entry, std::map<std::string, std::string> labels = {}) const {
    const auto list = read({{{entry}, std::move(labels)}});
    if (list->targets.size() == 1 && list->refused.empty()) return *list->targets[0];
    ADD_FAILURE() << entry << ": " << (list->refused.empty() ? "not one" : list->refused[0].why);
    return {};
  }
  std::string why(const std::string& entry, std::map<std::string, std::string> labels = {}) const {
    const auto list = read({{{entry}, std::move(labels)}});
    EXPECT_EQ(list->refused_count, list->refused.size());
    if (!list->refused.empty()) return list->refused[0].why;
    return "taken";
  }
  // "smtp_relay 25 587; http_connect 3128": the checks with the ports that are asked.
  std::string asked(const TargetConfig& target) const {
    std::string out;
    for (const std::string& check : target.checks) {
      out += (out.empty() ? "" : "; ") + check;
      for (const Port& port : config_.ports(target, check)) out += " " + format_port(port);
    }
    return out;
  }

  Config config_;
  DiscoveryConfig source_;
};

TEST_F(DiscoveredTest, PlacesAndNames) {
  const struct {
    const char* entry;
    const char* name;
    const char* place;
  } cases[] = {
      {"mx1.example.org", "mx1.example.org", "mx1.example.org"},
      {"mx1.example.org.", "mx1.example.org", "mx1.example.org"},
      {"mx1.example.org:25", "mx1.example.org_25", "mx1.example.org"},
      {"203.0.113.5", "203.0.113.5", "203.0.113.5"},
      {"203.0.113.5:25", "203.0.113.5_25", "203.0.113.5"},
      {"2001:db8::5", "2001-db8--5", "2001:db8::5"},
      {"[2001:db8::5]", "2001-db8--5", "2001:db8::5"},
      {"[2001:db8::5]:25", "2001-db8--5_25", "2001:db8::5"},
      {"_relay.example.org", "_relay.example.org", "_relay.example.org"},
  };
  for (const auto& [entry, name, place] : cases) {
    const TargetConfig target = one(entry);
    EXPECT_EQ(target.name, name);
    EXPECT_EQ(place_text(target.place), place);
    EXPECT_EQ(target.owner, "mail-team");
    EXPECT_TRUE(target.dnsbl);
    EXPECT_FALSE(target.paused);
  }
}

TEST_F(DiscoveredTest, EntriesThatAreNone) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "is empty"},
      {"https://mx1.example.org/", "is a URL"},
      {"203.0.113.0/24", "is a network or a path"},
      {"mx1.example.org:0", "has no port from 1 to 65535"},
      {"mx1.example.org:65536", "has no port from 1 to 65535"},
      {"mx1.example.org:", "has no port from 1 to 65535"},
      {"mx1.example.org:25/tls", "is a network or a path"},
      {"mx1.example.org:smtp", "has no port"},
      {"[2001:db8::5", "has no ] behind the address"},
      {"[2001:db8::5]25", "has something else than :port"},
      {"[mx1]:25", "has no address in its brackets"},
      {"mx1 example", "is not a host name"},
      {"m\xc3\xbcx.example.org", "is not an ASCII name"},
      {"-mx.example.org", "is not a host name"},
      {"a:b:c", "has two colons"},
      {"198.51.100.5", "is not inside scope"},
      {"[2001:db9::1]:25", "is not inside scope"},
      {"::ffff:198.51.100.5", "is not inside scope"},
      {std::string(120, 'a') + ".example.org", "is not a host name"},
      {std::string("mx1\0.example.org", 16), "is not a host name"},
      {"<script>", "is not a host name"},
  };
  for (const auto& [entry, expected] : cases) EXPECT_THAT(why(entry), HasSubstr(expected)) << entry;
  const std::string label(60, 'a');
  EXPECT_THAT(why(label + "." + label + ".example"), HasSubstr("longer than 100 characters"));
  EXPECT_EQ(one(label + "." + label + ".example", {{"__ajar_name", "a"}}).name, "a");
}

TEST_F(DiscoveredTest, LabelsAreKeptWithoutHiddenOnes) {
  const TargetConfig target = one("mx1", {{"site", "gva"},
                                          {"tier", ""},
                                          {"__meta_consul_dc", "x"},
                                          {"__address__", "y"},
                                          {"text", "two\nlines\t"},
                                          {"unicode", "Z\xc3\xbcrich"}});
  EXPECT_THAT(target.labels, ElementsAre(Pair("site", "gva"), Pair("text", "two lines "), Pair("unicode", "Z\xc3\xbcrich")));
  EXPECT_THAT(why("mx1", {{"a-b", "c"}}), HasSubstr("is not a name that Prometheus takes"));
  EXPECT_THAT(why("mx1", {{"", "c"}}), HasSubstr("is not a name that Prometheus takes"));
  for (const char* bytes : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80"}) {
    EXPECT_THAT(why("mx1", {{"a", bytes}}), HasSubstr("is not UTF-8")) << bytes;
  }
}

TEST_F(DiscoveredTest, OwnLabelsChoose) {
  const TargetConfig target = one("mx1", {{"__ajar_name", "mail"},
                                          {"__ajar_checks", "smtp_relay, http_connect,smtp_relay"},
                                          {"__ajar_ports_smtp_relay", "25, 465/tls"},
                                          {"__ajar_interval_http_connect", "15m"},
                                          {"__ajar_owner", "proxy team"},
                                          {"__ajar_mail_domains", "example.org,example.net"},
                                          {"__ajar_control_recipients", "sales@example.org"},
                                          {"__ajar_paused", "true"}});
  EXPECT_EQ(target.name, "mail");
  EXPECT_THAT(target.checks, ElementsAre("smtp_relay", "http_connect"));
  EXPECT_FALSE(target.dnsbl);
  EXPECT_THAT(target.ports, ElementsAre(Pair("smtp_relay", ElementsAre(Port{25}, Port{465, Transport::tcp, true}))));
  EXPECT_THAT(target.intervals, ElementsAre(Pair("http_connect", std::chrono::minutes(15))));
  EXPECT_EQ(target.owner, "proxy team");
  EXPECT_THAT(target.mail_domains, ElementsAre("example.org", "example.net"));
  EXPECT_THAT(target.control_recipients, ElementsAre("sales@example.org"));
  EXPECT_TRUE(target.paused);
  EXPECT_THAT(target.labels, ElementsAre(Pair("site", "zrh"), Pair("tier", "1")));
  EXPECT_TRUE(one("mx1", {{"__ajar_checks", "dnsbl"}}).dnsbl);
  EXPECT_THAT(one("mx1", {{"__ajar_checks", "dnsbl"}}).checks, IsEmpty());
}

TEST_F(DiscoveredTest, OwnLabelsThatAreWrong) {
  const struct {
    const char* label;
    const char* value;
    const char* why;
  } cases[] = {
      {"__ajar_checks", "smtp_rely", "`__ajar_checks` = `smtp_rely` is not known: did you mean `smtp_relay`?"},
      {"__ajar_check", "smtp_relay", "`__ajar_check` is not a label that ajar knows: write"},
      {"__ajar_name", "a b", "`__ajar_name` = `a b` has other characters"},
      {"__ajar_ports_smtp_relay", "25,x", "has `x`, which is not a port"},
      {"__ajar_ports_smtp_relay", "25,25", "has 25, which is there twice"},
      {"__ajar_ports_smtp_relay", "25,25/tls", "a port is either plain or TLS"},
      {"__ajar_ports_smtp_relay", "25/udp", "is not spoken by smtp_relay"},
      {"__ajar_ports_smtp_relay", ",", "has no port"},
      {"__ajar_ports_smtp", "25", "did you mean `smtp_relay`?"},
      {"__ajar_ports_smtp_smuggling", "25", "has no effect: add smtp_smuggling to __ajar_checks"},
      {"__ajar_interval_smtp_relay", "1", "is not a duration from 1s to"},
      {"__ajar_interval_smtp_relay", "100ms", "is not a duration from 1s to"},
      {"__ajar_paused", "yes", "is neither true nor false"},
      {"__ajar_mail_domains", "a b", "is not a host name"},
      {"__ajar_control_recipients", "a", "has no @"},
      {"__ajar_owner", "a\nb", "has a control character"},
  };
  for (const auto& [label, value, expected] : cases) EXPECT_THAT(why("mx1", {{label, value}}), HasSubstr(expected)) << value;
  // An empty label is none.
  for (const auto& one_case : cases)
    EXPECT_EQ(why("mx1", {{"__ajar_owner", ""}, {"__ajar_paused", ""}}), "taken") << one_case.label;
}

TEST_F(DiscoveredTest, APortIsThatPortAndNoOther) {
  EXPECT_EQ(asked(one("mx1:25", {{"__ajar_checks", "smtp_relay"}})), "smtp_relay 25");
  EXPECT_EQ(asked(one("mx1:465", {{"__ajar_checks", "smtp_relay"}})), "smtp_relay 465/tls");
  EXPECT_EQ(asked(one("mx1:2526", {{"__ajar_checks", "smtp_relay"}})), "smtp_relay 2526");
  EXPECT_EQ(asked(one("mx1:25", {{"__ajar_checks", "smtp_relay,http_connect"}})), "smtp_relay 25");
  EXPECT_EQ(asked(one("mx1:3128", {{"__ajar_checks", "smtp_relay,http_connect,http_forward"}})),
            "http_connect 3128; http_forward 3128");
  EXPECT_EQ(asked(one("mx1:9999", {{"__ajar_checks", "smtp_relay,http_connect"}})), "smtp_relay 9999; http_connect 9999");
  EXPECT_EQ(asked(one("mx1:25", {{"__ajar_checks", "smtp_relay,http_connect"}, {"__ajar_ports_http_connect", "3128"}})),
            "smtp_relay 25; http_connect 3128");
  EXPECT_EQ(asked(one("mx1:25", {{"__ajar_checks", "smtp_relay"}, {"__ajar_ports_smtp_relay", "26"}})), "smtp_relay 26");
  EXPECT_EQ(asked(one("mx1:3478", {{"__ajar_checks", "turn_relay"}})), "turn_relay 3478/udp 3478");
  EXPECT_EQ(asked(one("mx1:25")), "smtp_relay 25");
  EXPECT_TRUE(one("mx1:25").dnsbl);
  EXPECT_EQ(one("mx1:9100").checks, source_.checks);  // nobody knows what is there: everything is asked
  source_.ignore_ports = true;
  EXPECT_EQ(one("mx1:9100"), one("mx1"));
  EXPECT_EQ(one("[2001:db8::5]:9100").name, "2001-db8--5");
}

TEST_F(DiscoveredTest, IntervalsGoWithTheirChecks) {
  const TargetConfig target = one("mx1:25", {{"__ajar_interval_http_connect", "15m"}, {"__ajar_interval_smtp_relay", "5m"}});
  EXPECT_THAT(target.intervals, ElementsAre(Pair("smtp_relay", std::chrono::minutes(5))));
}

TEST_F(DiscoveredTest, TheSameTwice) {
  const auto names = [&](const TargetGroups& groups) {
    std::vector<std::string> out;
    const auto list = read(groups);
    for (const auto& target : list->targets) out.push_back(target->name);
    return out;
  };
  EXPECT_THAT(names({{{"mx1", "mx1"}, {}}, {{"mx1"}, {}}}), ElementsAre("mx1"));
  EXPECT_THAT(names({{{"mx1"}, {}}, {{"mx1"}, {{"site", "gva"}}}, {{"mx1"}, {{"site", "bsl"}}}, {{"mx1"}, {}}}),
              ElementsAre("mx1", "mx1-2", "mx1-3"));
  EXPECT_THAT(names({{{"mx1:25", "mx1:587"}, {}}}), ElementsAre("mx1_25", "mx1_587"));
  const auto list = read({{{"a"}, {{"__ajar_name", "x"}}},
                          {{"a"}, {{"__ajar_name", "x"}}},
                          {{"b"}, {{"__ajar_name", "x"}}},
                          {{"c", "d"}, {{"__ajar_name", "y"}}}});
  EXPECT_EQ(list->targets.size(), 1U);
  ASSERT_EQ(list->refused.size(), 3U);
  EXPECT_EQ(list->refused[0].entry, "b");
  EXPECT_THAT(list->refused[0].why, HasSubstr("has the name `x`, which another entry has"));
  EXPECT_THAT(list->refused[1].why, HasSubstr("stands for several targets"));
}

TEST_F(DiscoveredTest, TheOthersGoOnAndTheRefusedAreBounded) {
  TargetGroup group{{"good1", "198.51.100.1", "good2"}, {}};
  for (int i = 0; i < 300; ++i) group.targets.push_back(fmt::format("bad host {}\n", i));
  const auto list = read({group});
  EXPECT_EQ(list->targets.size(), 2U);
  EXPECT_EQ(list->refused_count, 301U);
  EXPECT_EQ(list->refused.size(), kMaxShownRefusals);
  EXPECT_EQ(list->refused[1].entry, "bad host 0\\x0a");
}

TEST_F(DiscoveredTest, WhatDidNotChangeIsTheSameObject) {
  const auto before = read({{{"a", "b", "c"}, {}}});
  const auto after = read({{{"a", "c", "d"}, {}}, {{"b"}, {{"site", "gva"}}}}, before.get());
  ASSERT_EQ(after->targets.size(), 4U);
  EXPECT_EQ(after->targets[0], before->targets[0]);
  EXPECT_NE(after->targets[1], before->targets[1]);
  EXPECT_EQ(after->targets[2], before->targets[2]);
  EXPECT_EQ(after->targets[3]->name, "d");
}

}  // namespace
}  // namespace ajar
