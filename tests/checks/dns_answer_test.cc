#include "checks/wire/dns_answer.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string u16(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 255)}; }
std::string u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xFFFF); }
std::string name(const std::string& text) {
  std::string wire;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t dot = std::min(text.find('.', at), text.size());
    wire += static_cast<char>(dot - at) + text.substr(at, dot - at);
    at = dot + 1;
  }
  return wire + '\0';
}
std::string record(const std::string& owner, unsigned type, std::uint32_t ttl, const std::string& data, unsigned klass = 1) {
  return owner + u16(type) + u16(klass) + u32(ttl) + u16(static_cast<unsigned>(data.size())) + data;
}
// An answer to A or MX of "example.org", which stands at offset 12.
std::string message(unsigned type, unsigned answers, const std::string& records) {
  return u16(7) + u16(0x8180) + u16(1) + u16(answers) + u16(0) + u16(0) + name("example.org") + u16(type) + u16(1) + records;
}
const std::string kOwner = u16(0xC00C);  // a pointer to the question's name

constexpr unsigned kA = 1, kCname = 5, kSoa = 6, kPtr = 12, kMx = 15, kTxt = 16, kAaaa = 28, kSrv = 33, kOpt = 41;
const std::string kAddress("\xCB\0\x71\x05", 4);  // 203.0.113.5

TEST(DnsAnswer, ReadsAddressesBehindPointersAndAnyCase) {
  const auto records =
      parse_dns_answer(message(kA, 2, record(kOwner, kA, 60, kAddress) + record(name("EXAMPLE.org"), kA, 30, kAddress)),
                       "Example.Org.", DnsType::a);
  ASSERT_TRUE(records);
  EXPECT_THAT(records->addresses, ElementsAre(IpAddress::parse("203.0.113.5").value()));  // once
  EXPECT_EQ(records->ttl, 30U);
  EXPECT_EQ(records->canonical, "example.org");
}

TEST(DnsAnswer, FollowsAliasesInAnyOrderAndNotToOthers) {
  const std::string records =
      record(name("c.example"), kA, 500, kAddress) + record(name("b.example"), kCname, 50, name("c.example")) +
      record(kOwner, kCname, 70, name("B.example")) + record(name("x.example"), kA, 1, "\x0A\x01\x01\x01");
  const auto read = parse_dns_answer(message(kA, 4, records), "example.org", DnsType::a);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->addresses.size(), 1U);
  EXPECT_EQ(read->canonical, "c.example");
  EXPECT_EQ(read->ttl, 50U);
}

TEST(DnsAnswer, MxSortedNullAndNonsense) {
  const auto mx = [](unsigned preference, const std::string& host) {
    return record(kOwner, kMx, 60, u16(preference) + name(host));
  };
  const auto two = parse_dns_answer(message(kMx, 3, mx(20, "b.example") + mx(10, "a.example") + mx(20, "b.example")),
                                    "example.org", DnsType::mx);
  ASSERT_TRUE(two);
  EXPECT_THAT(two->exchangers, ElementsAre(MailExchanger{10, "a.example"}, MailExchanger{20, "b.example"}));
  const auto null = parse_dns_answer(message(kMx, 1, mx(0, "")), "example.org", DnsType::mx);
  ASSERT_TRUE(null);
  EXPECT_TRUE(null->null_mx);
  const auto mixed = parse_dns_answer(message(kMx, 2, mx(0, "") + mx(10, "a.example")), "example.org", DnsType::mx);
  ASSERT_TRUE(mixed);
  EXPECT_FALSE(mixed->null_mx);
  EXPECT_THAT(mixed->exchangers, ElementsAre(MailExchanger{10, "a.example"}));
  const auto odd = parse_dns_answer(message(kMx, 1, mx(0, "<script>.example")), "example.org", DnsType::mx);
  ASSERT_TRUE(odd);
  EXPECT_THAT(odd->exchangers, IsEmpty());
  EXPECT_TRUE(odd->dropped);
  EXPECT_FALSE(odd->null_mx);
}

TEST(DnsAnswer, NamesOfAnAddress) {
  const auto ptr = [](const std::string& host) { return record(kOwner, kPtr, 60, name(host)); };
  const std::string all = ptr("Probe.example.net") + ptr("two words.example") + ptr("") + ptr("b.example");
  const auto read = parse_dns_answer(message(kPtr, 4, all), "example.org", DnsType::ptr);
  ASSERT_TRUE(read);
  EXPECT_THAT(read->names, ElementsAre("probe.example.net", "b.example"));
  EXPECT_TRUE(read->dropped);
  EXPECT_EQ(read->ttl, 60U);
  EXPECT_FALSE(parse_dns_answer(message(kPtr, 1,
                                        record(kOwner, kPtr, 60,
                                               "\x05"
                                               "ab")),
                                "example.org", DnsType::ptr));
}

TEST(DnsAnswer, PlacesOfAService) {
  const auto srv = [](unsigned port, const std::string& host) {
    return record(kOwner, kSrv, 60, u16(10) + u16(5) + u16(port) + name(host));
  };
  const auto read = [](unsigned count, const std::string& records) {
    return parse_dns_answer(message(kSrv, count, records), "example.org", DnsType::srv);
  };
  const auto some = read(3, srv(587, "B.example") + srv(25, "a.example") + srv(587, "b.example"));
  ASSERT_TRUE(some);
  EXPECT_THAT(some->services, ElementsAre(ServicePlace{"a.example", 25}, ServicePlace{"b.example", 587}));
  EXPECT_FALSE(some->no_service || some->dropped);
  EXPECT_EQ(some->ttl, 60U);
  const auto none = read(1, srv(0, ""));  // RFC 2782: decidedly not available
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->no_service);
  EXPECT_THAT(none->services, IsEmpty());
  const auto odd = read(3, srv(0, "a.example") + srv(25, "two words.example") + srv(25, "b.example"));
  ASSERT_TRUE(odd);
  EXPECT_THAT(odd->services, ElementsAre(ServicePlace{"b.example", 25}));
  EXPECT_TRUE(odd->dropped);
  std::string many;
  for (unsigned i = 0; i < kMaxDnsServices + 1; ++i) many += srv(1 + i, "a.example");
  const auto bounded = read(kMaxDnsServices + 1, many);
  ASSERT_TRUE(bounded);
  EXPECT_EQ(bounded->services.size(), kMaxDnsServices);
  EXPECT_TRUE(bounded->dropped);
  EXPECT_FALSE(read(1, record(kOwner, kSrv, 60, u16(10) + u16(5))));
  EXPECT_FALSE(read(1, record(kOwner, kSrv, 60, u16(10) + u16(5) + u16(25))));
}

TEST(DnsAnswer, DotsInsideALabelAreNotSeparators) {
  const std::string tricky = std::string("\x0B", 1) + "example.org" + '\0';  // one label
  const auto records = parse_dns_answer(message(kA, 1, record(tricky, kA, 60, kAddress)), "example.org", DnsType::a);
  ASSERT_TRUE(records);
  EXPECT_THAT(records->addresses, IsEmpty());
}

TEST(DnsAnswer, MappedIsV4AndOtherClassesDoNotCount) {
  const std::string mapped = std::string(10, '\0') + "\xFF\xFF" + kAddress;
  const std::string query = u16(7) + u16(0x8180) + u16(1) + u16(2) + u16(0) + u16(0) + name("example.org") + u16(kAaaa) +
                            u16(1) + record(kOwner, kAaaa, 60, mapped) + record(kOwner, kAaaa, 60, std::string(16, 'x'), 3);
  const auto records = parse_dns_answer(query, "example.org", DnsType::aaaa);
  ASSERT_TRUE(records);
  EXPECT_THAT(records->addresses, ElementsAre(IpAddress::parse("203.0.113.5").value()));
}

TEST(DnsAnswer, NegativeTtlIsZero) {
  const auto records = parse_dns_answer(message(kA, 1, record(kOwner, kA, 0x80000001U, kAddress)), "example.org", DnsType::a);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->ttl, 0U);
}

TEST(DnsAnswer, RefusesWhatBreaksItsOwnFraming) {
  const std::string good = message(kA, 1, record(kOwner, kA, 60, kAddress));
  ASSERT_TRUE(parse_dns_answer(good, "example.org", DnsType::a));
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse_dns_answer(good.substr(0, length), "example.org", DnsType::a)) << length;
  }
  EXPECT_FALSE(parse_dns_answer(good, "example.net", DnsType::a));  // another question
  EXPECT_FALSE(parse_dns_answer(good, "example.org", DnsType::aaaa));
  std::string query = good;
  query[2] = 0x01;  // a query, not an answer
  EXPECT_FALSE(parse_dns_answer(query, "example.org", DnsType::a));
  const auto bad = [](const std::string& owner, const std::string& data, unsigned type = kA) {
    return parse_dns_answer(message(type, 1, record(owner, type, 60, data)), "example.org",
                            DnsType{static_cast<std::uint16_t>(type)});
  };
  EXPECT_FALSE(bad(u16(0xC01D), kAddress));                // a pointer to itself
  EXPECT_FALSE(bad(u16(0xC0FF), kAddress));                // forward
  EXPECT_FALSE(bad(std::string("\x80x\0", 3), kAddress));  // a label type that does not exist
  EXPECT_FALSE(bad(kOwner, "abc"));                        // three bytes of address
  EXPECT_FALSE(bad(kOwner, "abcde"));
  EXPECT_FALSE(bad(kOwner, u16(10), kMx));
  EXPECT_FALSE(bad(kOwner, u16(10) + "\x3Fxyz", kMx));
  const std::string ring = record(kOwner, kCname, 60, name("b.example")) + record(name("b.example"), kCname, 60, kOwner);
  EXPECT_FALSE(parse_dns_answer(message(kA, 2, ring), "example.org", DnsType::a));
}

TEST(DnsAnswer, LongNamesAndManyRecordsAreBounded) {
  std::string label = std::string(1, 63) + std::string(63, 'a');
  const std::string long_name = label + label + label + std::string(1, 62) + std::string(62, 'a') + '\0';  // 256 bytes
  EXPECT_FALSE(parse_dns_answer(message(kA, 1, record(long_name, kA, 60, kAddress)), "example.org", DnsType::a));
  std::string many;
  for (int i = 0; i < 100; ++i) many += record(kOwner, kA, 60, std::string("\x0A\0\0", 3) + static_cast<char>(i));
  const auto records = parse_dns_answer(message(kA, 100, many), "example.org", DnsType::a);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->addresses.size(), kMaxDnsRecords);
  EXPECT_TRUE(records->dropped);
}

std::string soa(std::uint32_t minimum) {
  return name("ns.example.org") + name("hostmaster.example.org") + u32(1) + u32(600) + u32(300) + u32(86400) + u32(minimum);
}
// An answer to A of "4.3.2.1.bl.example.org" with an authority and an additional section.
std::string negative(unsigned flags, unsigned authorities, const std::string& authority, const std::string& additional = {}) {
  return u16(7) + u16(flags) + u16(1) + u16(0) + u16(authorities) + u16(additional.empty() ? 0 : 1) +
         name("4.3.2.1.bl.example.org") + u16(kA) + u16(1) + authority + additional;
}
std::optional<DnsRecords> read_negative(const std::string& bytes) {
  return parse_dns_answer(bytes, "4.3.2.1.bl.example.org", DnsType::a);
}

TEST(DnsAnswer, NoSuchNameHoldsForTheSmallerOfTtlAndMinimum) {
  struct Row {
    std::uint32_t ttl, minimum, holds;
  };
  for (const Row& row : {Row{300, 60, 60}, Row{30, 60, 30}, Row{0x80000000U, 60, 0}, Row{300, 0xFFFFFFFFU, 0}}) {
    const auto records = read_negative(negative(0x8183, 1, record(name("bl.example.org"), kSoa, row.ttl, soa(row.minimum))));
    ASSERT_TRUE(records);
    EXPECT_EQ(records->rcode, kDnsNoSuchName);
    EXPECT_EQ(records->negative_ttl, row.holds) << row.ttl << " " << row.minimum;
  }
}

TEST(DnsAnswer, NegativeTtlOfAnotherZoneOrOfNone) {
  EXPECT_EQ(read_negative(negative(0x8183, 0, "")).value().negative_ttl, std::nullopt);
  for (const char* zone : {"", "org", "example.org", "Bl.EXAMPLE.org"}) {
    const std::string owner = zone[0] == 0 ? std::string(1, 0) : name(zone);
    EXPECT_EQ(read_negative(negative(0x8183, 1, record(owner, kSoa, 300, soa(60)))).value().negative_ttl, 60U) << zone;
  }
  for (const char* zone : {"example.net", "l.example.org", "x.bl.example.org"}) {
    EXPECT_EQ(read_negative(negative(0x8183, 1, record(name(zone), kSoa, 300, soa(60)))).value().negative_ttl, std::nullopt);
  }
  // The first SOA counts, other records of the section do not matter, and a class that is not IN is skipped.
  const std::string several = record(name("bl.example.org"), kCname, 9, name("x.example")) +
                              record(name("bl.example.org"), kSoa, 9, soa(9), 3) +
                              record(name("bl.example.org"), kSoa, 300, soa(60)) + record(name("org"), kSoa, 5, soa(5));
  EXPECT_EQ(read_negative(negative(0x8180, 4, several)).value().negative_ttl, 60U);
}

TEST(DnsAnswer, ResponseCodesAndTruncation) {
  EXPECT_EQ(read_negative(negative(0x8182, 0, "")).value().rcode, kDnsServerFailure);
  EXPECT_EQ(read_negative(negative(0x8185, 0, "")).value().rcode, kDnsRefused);
  EXPECT_FALSE(read_negative(negative(0x8180, 0, "")).value().truncated);
  EXPECT_TRUE(read_negative(negative(0x8380, 0, "")).value().truncated);
  // RFC 6891 6.1.3: BADVERS is 16, whose low bits alone would say that all is well.
  const auto opt = [](std::uint32_t ttl) { return record(std::string(1, 0), kOpt, ttl, "", 1232); };
  EXPECT_EQ(read_negative(negative(0x8180, 0, "", opt(0x01000000U))).value().rcode, 16U);
  EXPECT_EQ(read_negative(negative(0x8185, 0, "", opt(0xFF000000U))).value().rcode, 0xFF5U);
  EXPECT_EQ(read_negative(negative(0x8180, 0, "", opt(0x00008000U))).value().rcode, kDnsNoError);
}

TEST(DnsAnswer, BrokenAuthorityIsNoAnswer) {
  const std::string good = negative(0x8183, 1, record(name("bl.example.org"), kSoa, 300, soa(60)));
  ASSERT_TRUE(read_negative(good));
  for (std::size_t length = 12; length < good.size(); ++length) EXPECT_FALSE(read_negative(good.substr(0, length))) << length;
  EXPECT_FALSE(read_negative(negative(0x8183, 1, record(name("bl.example.org"), kSoa, 300, soa(60).substr(0, 50)))));
  EXPECT_FALSE(read_negative(negative(0x8183, 1, record(name("bl.example.org"), kSoa, 300, u16(0xC0FF) + soa(60)))));
}

TEST(DnsAnswer, TextsOfSeveralStringsAndRecords) {
  const auto string = [](const std::string& text) { return static_cast<char>(text.size()) + text; };
  const auto read = [&](const std::vector<std::string>& data) {
    std::string records;
    for (const std::string& one : data) records += record(kOwner, kTxt, 60, one);
    return parse_dns_answer(message(kTxt, static_cast<unsigned>(data.size()), records), "example.org", DnsType::txt);
  };
  const auto two = read({string("Open SMTP relay, see ") + string("https://bl.example/"), string("again") + string("")});
  ASSERT_TRUE(two);
  EXPECT_THAT(two->texts, ElementsAre("Open SMTP relay, see https://bl.example/", "again"));
  EXPECT_EQ(two->ttl, 60U);
  EXPECT_FALSE(two->dropped);
  std::string huge;
  for (int i = 0; i < 5; ++i) huge += string(std::string(255, 'x'));
  const auto cut = read({huge});
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->texts.at(0).size(), kMaxDnsText);
  EXPECT_TRUE(cut->dropped);
  const auto many = read(std::vector<std::string>(kMaxDnsRecords + 1, string("x")));
  ASSERT_TRUE(many);
  EXPECT_EQ(many->texts.size(), kMaxDnsRecords);
  EXPECT_TRUE(many->dropped);
  EXPECT_FALSE(read({""}));         // not even one string
  EXPECT_FALSE(read({"\x05xyz"}));  // a string that ends past its record
  EXPECT_FALSE(read({"\x01x\x09"}));
}

TEST(DnsAnswer, AliasThatLeadsToNoSuchName) {
  const std::string bytes = u16(7) + u16(0x8183) + u16(1) + u16(1) + u16(1) + u16(0) + name("example.org") + u16(kA) + u16(1) +
                            record(kOwner, kCname, 70, name("x.example")) + record(name("example"), kSoa, 300, soa(60));
  const auto records = parse_dns_answer(bytes, "example.org", DnsType::a);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->canonical, "x.example");
  EXPECT_EQ(records->rcode, kDnsNoSuchName);  // RFC 6604: of the last name
  EXPECT_EQ(records->negative_ttl, 60U);
}

TEST(DnsAnswer, HostNames) {
  for (const char* good : {"a", "mx1.example.org", "_smtp._tcp.example", "xn--mller-kva.example"})
    EXPECT_TRUE(is_dns_name(good)) << good;
  for (const char* bad : {"", ".", "a..b", "a.", ".a", "a b", "a\\046b", "m\xC3\xBC", "<b>"})
    EXPECT_FALSE(is_dns_name(bad)) << bad;
  EXPECT_TRUE(is_dns_name(std::string(63, 'a')));
  EXPECT_FALSE(is_dns_name(std::string(64, 'a')));
}

}  // namespace
}  // namespace ajar
