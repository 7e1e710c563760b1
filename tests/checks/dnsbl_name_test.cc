#include "checks/dnsbl_name.h"

#include <gmock/gmock.h>

#include "checks/wire/dns_answer.h"

namespace ajar {
namespace {

using testing::HasSubstr;

IpAddress address(const char* text) { return IpAddress::parse(text).value(); }

TEST(DnsblName, AddressesReversed) {
  EXPECT_EQ(dnsbl_name(address("203.0.113.5"), "bl.example"), "5.113.0.203.bl.example");
  EXPECT_EQ(dnsbl_name(address("127.0.0.2"), "bl.example"), "2.0.0.127.bl.example");
  EXPECT_EQ(dnsbl_name(address("2001:db8:1:2:3:4:567:89ab"), "ugly.example.com"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com");  // RFC 5782 2.4
  // Everywhere else a mapped address is its IPv4 address, so it is asked as that.
  EXPECT_EQ(dnsbl_name(address("::ffff:203.0.113.5"), "bl.example"), "5.113.0.203.bl.example");
}

TEST(DnsblName, Domains) {
  EXPECT_EQ(dnsbl_name("example.org", "dbl.example"), "example.org.dbl.example");
  EXPECT_EQ(dnsbl_name("", "dbl.example"), "");
  EXPECT_EQ(dnsbl_name("a b", "dbl.example"), "");
  std::string longest;
  while (longest.size() < 240) longest += "abcdefghi.";
  longest.pop_back();
  EXPECT_EQ(dnsbl_name(longest, "dbl.example").size(), 251U);
  EXPECT_EQ(dnsbl_name(longest, "toolong.dbl.example"), "");
}

TEST(DnsblName, TestPoints) {
  const DnsblTestNames v4 = dnsbl_test_names(DnsblKind::ipv4, "bl.example");
  EXPECT_EQ(v4.listed, "2.0.0.127.bl.example");
  EXPECT_EQ(v4.unlisted, "1.0.0.127.bl.example");
  EXPECT_EQ(v4.nobody, "213.2.0.192.bl.example");
  const DnsblTestNames v6 = dnsbl_test_names(DnsblKind::ipv6, "bl.example");
  const std::string zeros = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.";
  EXPECT_EQ(v6.listed, "2.0.0.0.0.0.f.7.f.f.f.f." + zeros + "bl.example");
  EXPECT_EQ(v6.unlisted, "1.0.0.0.0.0.f.7.f.f.f.f." + zeros + "bl.example");
  EXPECT_EQ(v6.nobody, dnsbl_name(address("2001:db8::d5"), "bl.example"));
  const DnsblTestNames domain = dnsbl_test_names(DnsblKind::domain, "dbl.example");
  EXPECT_EQ(domain.listed, "test.dbl.example");
  EXPECT_EQ(domain.unlisted, "invalid.dbl.example");
  EXPECT_EQ(domain.nobody, "ajar-test.invalid.dbl.example");
}

TEST(DnsblName, ZonesThatAreNone) {
  struct Row {
    std::string zone, problem;
  };
  const std::string label(64, 'a');
  for (const Row& row :
       {Row{"", "is empty"}, Row{"bl example.org", "has a space"}, Row{" bl.example.org", "has a space"},
        Row{"bl.example.org.", "write \"bl.example.org\""}, Row{".bl.example.org", "write \"bl.example.org\""},
        Row{"bl..example.org", "two dots"}, Row{"https://bl.example.org", "without scheme"},
        Row{"bl.example.org/", "without scheme"}, Row{"203.0.113.5", "is an address"}, Row{"2001:db8::1", "is an address"},
        Row{label + ".example", "a part of 64 characters"}, Row{"bl.ex\xC3\xA4mple", "ASCII form"},
        Row{"bl.*.example", "other characters"}, Row{"zen.example=127.0.0.[2..11]", "write \"zen.example\""}}) {
    EXPECT_THAT(zone_problem(row.zone), HasSubstr(row.problem)) << row.zone;
  }
}

TEST(DnsblName, EveryNameInALongestZoneIsADnsName) {
  std::string zone;
  while (zone.size() + 10 <= kLongestZone) zone += "abcdefghi.";
  zone += std::string(kLongestZone - zone.size(), 'z');
  ASSERT_EQ(zone.size(), kLongestZone);
  EXPECT_EQ(zone_problem(zone), "");
  EXPECT_THAT(zone_problem(zone + "z"), HasSubstr("at most 189"));
  EXPECT_EQ(dnsbl_name(address("2001:db8::5"), zone).size(), 253U);
  for (const DnsblKind kind : kDnsblKinds) {
    const DnsblTestNames names = dnsbl_test_names(kind, zone);
    for (const std::string& name : {names.listed, names.unlisted, names.nobody}) EXPECT_TRUE(is_dns_name(name)) << name;
  }
  for (const char* good : {"zen.spamhaus.org", "b.barracudacentral.org", "all.s5h.net", "a", "xn--mller-kva.example", "_x.y"}) {
    EXPECT_EQ(zone_problem(good), "") << good;
  }
}

}  // namespace
}  // namespace ajar
