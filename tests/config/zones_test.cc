// Every entry of the catalogue: what it is asked, and what its answers mean.
#include "config/zones.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::optional<bool> kUnknown;
constexpr ListingTier kInfo = ListingTier::info, kTicket = ListingTier::ticket, kPage = ListingTier::page;
constexpr ListingCause kNoCause = ListingCause::unknown, kRelay = ListingCause::relay, kProxy = ListingCause::proxy;

DnsblFinding ask(const ZoneInfo& zone, const char* code) {
  DnsblReply reply;
  reply.outcome = DnsblReply::Outcome::answered;
  reply.addresses.push_back(IpAddress::parse(code).value());
  return judge_dnsbl(reply, zone.rules);
}

struct Answer {
  const char* zone;
  const char* code;
  std::optional<bool> listed;
  ListingTier tier = kTicket;
  ListingCause cause = kNoCause;
  const char* meaning = "";
};

const Answer kAnswers[] = {
    {"zen.spamhaus.org", "127.0.0.2", true, kPage, kNoCause, "SBL"},
    {"zen.spamhaus.org", "127.0.0.3", true, kPage, kNoCause, "CSS"},
    {"zen.spamhaus.org", "127.0.0.4", true, kPage, kProxy, "open proxy"},
    {"zen.spamhaus.org", "127.0.0.9", true, kPage, kNoCause, "DROP"},
    {"zen.spamhaus.org", "127.0.0.10", true, kInfo, kNoCause, "PBL"},
    {"zen.spamhaus.org", "127.0.0.11", true, kInfo, kNoCause, "PBL"},
    {"zen.spamhaus.org", "127.0.0.30", true, kPage, kNoCause, "BCL"},
    {"zen.spamhaus.org", "127.255.255.254", kUnknown, kPage},
    {"zen.spamhaus.org", "127.0.0.1", kUnknown, kPage},
    {"zen.dq.spamhaus.net", "127.0.0.4", true, kPage, kProxy, "XBL"},
    {"zen.dq.spamhaus.net", "127.0.0.10", true, kInfo, kNoCause, "PBL"},
    {"sbl.spamhaus.org", "127.0.0.2", true, kPage, kNoCause, "SBL"},
    {"xbl.spamhaus.org", "127.0.0.4", true, kPage, kProxy, "XBL"},
    {"pbl.spamhaus.org", "127.0.0.10", true, kInfo, kNoCause, "PBL"},
    {"dbl.spamhaus.org", "127.0.1.2", true, kPage, kNoCause, "spam domain"},
    {"dbl.spamhaus.org", "127.0.1.104", true, kPage, kNoCause, "abused"},
    {"dbl.spamhaus.org", "127.0.1.255", kUnknown, kPage},
    {"dnsbl.dronebl.org", "127.0.0.1", false},
    {"dnsbl.dronebl.org", "127.0.0.3", true, kTicket, kNoCause, "IRC drone"},
    {"dnsbl.dronebl.org", "127.0.0.8", true, kPage, kProxy, "open SOCKS proxy"},
    {"dnsbl.dronebl.org", "127.0.0.9", true, kPage, kProxy, "open HTTP proxy"},
    {"dnsbl.dronebl.org", "127.0.0.10", true, kTicket, kProxy, "proxy chain"},
    {"dnsbl.dronebl.org", "127.0.0.11", true, kTicket, kProxy, "web page proxy"},
    {"dnsbl.dronebl.org", "127.0.0.14", true, kPage, kProxy, "open WinGate proxy"},
    {"dnsbl.dronebl.org", "127.0.0.255", true, kTicket, kNoCause, "not categorised"},
    {"dnsbl.dronebl.org", "127.0.0.77", true, kTicket, kNoCause, "unknown"},
    {"rbl.efnetrbl.org", "127.0.0.1", true, kPage, kProxy, "open proxy"},
    {"rbl.efnetrbl.org", "127.0.0.4", true, kTicket, kProxy, "Tor exit"},
    {"dnsbl.tornevall.org", "127.0.0.2", true, kPage, kProxy, "working proxy"},
    {"dnsbl.tornevall.org", "127.0.0.3", true, kPage, kNoCause, "reported"},
    {"dnsbl.tornevall.org", "127.0.0.8", true, kInfo, kNoCause, "no longer answers"},
    {"dnsbl.tornevall.org", "127.0.0.32", true, kTicket, kProxy, "another exit"},
    {"bl.fraudbl.org", "127.0.0.64", true, kTicket, kNoCause, "abuse of web forms"},
    {"relays.nether.net", "127.0.0.2", true, kTicket, kRelay, "open relay"},
    {"unsure.nether.net", "127.0.0.2", true, kInfo, kRelay, "perhaps"},
    {"bl.spamcop.net", "127.0.0.2", true, kTicket, kNoCause, "reported spam source"},
    {"b.barracudacentral.org", "127.0.0.2", true, kTicket, kNoCause, "poor reputation"},
    {"dnsbl-1.uceprotect.net", "127.0.0.2", true, kTicket, kNoCause, "spam trap"},
    {"dnsbl-2.uceprotect.net", "127.0.0.2", true, kInfo, kNoCause, "neighbours"},
    {"dnsbl-3.uceprotect.net", "127.0.0.2", true, kInfo, kNoCause, "neighbours"},
    {"psbl.surriel.com", "127.0.0.2", true, kTicket, kNoCause, "spam trap"},
    {"all.s5h.net", "127.0.0.2", true, kTicket, kNoCause, "spam or HTTP abuse"},
    {"bl.0spam.org", "127.0.0.5", true, kTicket, kNoCause, "spam trap"},
    {"rbl.0spam.org", "127.0.0.2", true, kTicket, kNoCause, "spam trap"},
    {"nbl.0spam.org", "127.0.0.2", true, kInfo, kNoCause, "neighbours"},
    {"combined.mail.abusix.zone", "127.0.0.4", true, kPage, kProxy, "exploited host"},
    {"combined.mail.abusix.zone", "127.0.0.11", true, kInfo, kNoCause, "generic reverse name"},
    {"combined.mail.abusix.zone", "127.0.0.200", true, kTicket, kNoCause, "spam source"},
    {"bl.score.senderscore.com", "127.0.0.4", true, kTicket, kNoCause, "poor reputation"},
    {"bl.score.senderscore.com", "127.0.4.90", false},
    {"bl.score.senderscore.com", "127.255.255.255", kUnknown},
    {"rep.mailspike.net", "127.0.0.10", true, kTicket, kNoCause, "worst reputation"},
    {"rep.mailspike.net", "127.0.0.14", false},
    {"rep.mailspike.net", "127.0.0.20", false},
    {"bl.blocklist.de", "127.0.0.9", true, kTicket, kNoCause, "attacker"},
    {"bl.spameatingmonkey.net", "127.0.0.2", true, kTicket, kNoCause, "spam source"},
    {"bl.ipv6.spameatingmonkey.net", "127.0.0.3", true, kTicket, kNoCause, "spam source"},
    {"truncate.gbudb.net", "127.0.0.2", true, kTicket, kNoCause, "spam source"},
    {"bip.virusfree.cz", "127.0.0.2", true, kTicket, kNoCause, "spam source"},
    {"hostkarma.junkemailfilter.com", "127.0.0.1", false},
    {"hostkarma.junkemailfilter.com", "127.0.0.2", true, kTicket, kNoCause, "spam source"},
    {"hostkarma.junkemailfilter.com", "127.0.0.3", false},
    {"hostkarma.junkemailfilter.com", "127.0.0.5", false},
    {"dnsbl.justspam.org", "127.0.0.2", true, kTicket, kNoCause, "spam trap"},
    {"multi.uribl.com", "127.0.0.1", kUnknown},
    {"multi.uribl.com", "127.0.0.2", true, kTicket, kNoCause, "spam domain"},
    {"multi.uribl.com", "127.0.0.4", true, kInfo, kNoCause, "bulk"},
    {"list.dnswl.org", "127.0.10.3", false, kInfo},
    {"list.dnswl.org", "127.0.0.255", kUnknown, kInfo},
};

TEST(Zones, WhatAnAnswerMeans) {
  std::set<std::string> seen;
  for (const Answer& row : kAnswers) {
    seen.insert(row.zone);
    const ZoneInfo* zone = find_zone(row.zone);
    ASSERT_NE(zone, nullptr) << row.zone;
    const DnsblFinding finding = ask(*zone, row.code);
    EXPECT_EQ(finding.listed, row.listed) << row.zone << " " << row.code;
    EXPECT_EQ(finding.tier, row.tier) << row.zone << " " << row.code;
    if (!row.listed.value_or(false)) continue;
    ASSERT_FALSE(finding.codes.empty()) << row.zone;
    EXPECT_EQ(finding.codes[0].cause, row.cause) << row.zone << " " << row.code;
    EXPECT_THAT(finding.codes[0].meaning, HasSubstr(row.meaning)) << row.zone << " " << row.code;
  }
  for (const ZoneInfo& zone : zone_catalogue()) EXPECT_TRUE(seen.contains(zone.name)) << zone.name << " has no row";
}

// Which zones are asked where the configuration names none: neither registration, nor terms, nor key.
TEST(Zones, OnByDefault) {
  std::set<std::string> on;
  for (const ZoneInfo& zone : zone_catalogue()) {
    if (!zone.on) continue;
    on.insert(zone.name);
    EXPECT_EQ(zone.terms, "") << zone.name;
    EXPECT_EQ(zone.key, "") << zone.name;
    EXPECT_NE(zone.rules.tier, ListingTier::info) << zone.name << " is not this host's doing, and on";
  }
  EXPECT_THAT(on, testing::ElementsAre("all.s5h.net", "bip.virusfree.cz", "bl.0spam.org", "bl.blocklist.de",
                                       "bl.ipv6.spameatingmonkey.net", "bl.spamcop.net", "bl.spameatingmonkey.net",
                                       "dnsbl-1.uceprotect.net", "dnsbl.dronebl.org", "dnsbl.tornevall.org",
                                       "hostkarma.junkemailfilter.com", "psbl.surriel.com", "rbl.efnetrbl.org",
                                       "rep.mailspike.net", "truncate.gbudb.net"));
  for (const char* name : {"zen.spamhaus.org", "b.barracudacentral.org", "bl.score.senderscore.com", "list.dnswl.org"})
    EXPECT_NE(find_zone(name)->terms, "") << name;
  for (const char* name : {"zen.dq.spamhaus.net", "combined.mail.abusix.zone"}) EXPECT_NE(find_zone(name)->key, "") << name;
}

TEST(Zones, EntriesAreWhole) {
  const std::set<std::string> kOneIsAListing = {"rbl.efnetrbl.org", "dnsbl.tornevall.org", "bl.fraudbl.org"};
  std::set<std::string> names;
  for (const ZoneInfo& zone : zone_catalogue()) {
    EXPECT_EQ(zone_problem(zone.name), "");
    EXPECT_TRUE(names.insert(zone.name).second) << zone.name << " is there twice";
    EXPECT_EQ(find_dead_zone(zone.name), nullptr) << zone.name << " is dead";
    EXPECT_THAT(zone.rules.codes, Not(IsEmpty())) << zone.name;
    EXPECT_THAT(zone.delisting, testing::StartsWith("http")) << zone.name;
    EXPECT_TRUE(zone.asks(DnsblKind::ipv4) || zone.asks(DnsblKind::ipv6) || zone.asks(DnsblKind::domain)) << zone.name;
    EXPECT_GT(zone.per_day, 0U) << zone.name;
    EXPECT_GT(zone.per_second, 0U) << zone.name;
    EXPECT_TRUE(zone.terms.empty() || zone.key.empty()) << zone.name << ": a key is its own acceptance";
    // A meaning is a label: short, and nothing that must be escaped.
    for (const CodeRule& rule : zone.rules.codes) {
      EXPECT_LE(rule.meaning.size(), 50U) << rule.meaning;
      EXPECT_EQ(rule.meaning.find_first_of("\"\\\n<>&"), std::string::npos) << rule.meaning;
    }
    // No table calls an error a listing, and only three call 127.0.0.1 one: EFnet's, and those that count bits.
    EXPECT_EQ(ask(zone, "127.255.255.254").state, ZoneState::blocked) << zone.name;
    EXPECT_EQ(ask(zone, "192.0.2.1").state, ZoneState::hijacked) << zone.name;
    EXPECT_EQ(ask(zone, "127.0.0.1").listed.value_or(false), kOneIsAListing.contains(zone.name)) << zone.name;
  }
  EXPECT_GT(names.size(), 30U);
}

TEST(Zones, WhatTheyAreAsked) {
  const auto kinds = [](const char* name) {
    std::string text;
    for (const DnsblKind kind : kDnsblKinds) {
      if (find_zone(name)->asks(kind)) text += find_zone(name)->has_test_points(kind) ? "+" : "-";
      if (find_zone(name)->asks(kind)) text += to_string(kind);
    }
    return text;
  };
  EXPECT_EQ(kinds("zen.spamhaus.org"), "+IPv4+IPv6");
  EXPECT_EQ(kinds("dbl.spamhaus.org"), "+domain");
  EXPECT_EQ(kinds("bl.spamcop.net"), "+IPv4-IPv6");
  EXPECT_EQ(kinds("bl.ipv6.spameatingmonkey.net"), "-IPv6");
  EXPECT_EQ(kinds("dnsbl.dronebl.org"), "-IPv4");
  EXPECT_EQ(kinds("psbl.surriel.com"), "+IPv4");
}

TEST(Zones, DelistingLink) {
  EXPECT_EQ(find_zone("bl.spamcop.net")->delisting_link("203.0.113.5"), "https://www.spamcop.net/bl.shtml?203.0.113.5");
  EXPECT_EQ(find_zone("bl.spamcop.net")->delisting_link("2001:db8::5"), "https://www.spamcop.net/bl.shtml?2001%3Adb8%3A%3A5");
  EXPECT_EQ(find_zone("psbl.surriel.com")->delisting_link("203.0.113.5"), "https://psbl.surriel.com/");
  EXPECT_EQ(ZoneInfo().delisting_link("203.0.113.5"), "");
}

TEST(Zones, FoundInAnyCase) {
  EXPECT_EQ(find_zone("ZEN.Spamhaus.org"), find_zone("zen.spamhaus.org"));
  EXPECT_EQ(find_zone("bl.example"), nullptr);
}

TEST(Zones, TheDead) {
  struct Row {
    const char* zone;
    const char* sentence;
  };
  const Row rows[] = {
      {"dnsbl.sorbs.net", "ended on 2024-06-05: its zones are empty, so it calls every address clean"},
      {"smtp.dnsbl.sorbs.net", "smtp.dnsbl.sorbs.net (SORBS: open relays, HTTP and SOCKS proxies, spam) ended on 2024-06-05"},
      {"ix.dnsbl.manitu.net", "(NiX Spam) ended on 2025-01-16: it is empty"},
      {"dnsbl.njabl.org", "2013-03-01"},
      {"relays.ordb.org", "ended in 2006-12: since 2008-03 it listed every address"},
      {"list.dsbl.org", "in 2008-05: its name servers do not answer"},
      {"multihop.dsbl.org", "2008-05"},
      {"dnsbl.ahbl.org", "lists every address of the Internet"},
      {"CBL.abuseat.org", "is no longer in service: it is part of xbl.spamhaus.org"},
      {"opm.blitzed.org", "2006-05"},
      {"opm.tornevall.org", "its successor is dnsbl.tornevall.org"},
      {"relays.osirusoft.com", "2003-08"},
      {"inputs.orbs.org", "2001-06"},
      {"relays.mail-abuse.org", "2001-07"},
      {"dul.ru", "2015-05"},
      {"spam.abuse.ch", "SERVFAIL"},
      {"dnsbl.inps.de", "2020-05"},
      {"ubl.unsubscore.com", "2024"},
      {"0spam.fusionzero.com", "bl.0spam.org"},
      {"rbl.efnet.org", "rbl.efnetrbl.org"},
  };
  std::set<std::string> seen;
  for (const Row& row : rows) {
    const DeadZone* dead = find_dead_zone(row.zone);
    ASSERT_NE(dead, nullptr) << row.zone;
    seen.insert(dead->name);
    EXPECT_THAT(dead->sentence(row.zone), HasSubstr(row.sentence));
  }
  for (const DeadZone& dead : dead_zones()) EXPECT_TRUE(seen.contains(dead.name)) << dead.name << " has no row";
  for (const char* alive : {"bl.example", "xdsbl.org", "sorbs.net", "dnsbl.tornevall.org", "rbl.efnetrbl.org"})
    EXPECT_EQ(find_dead_zone(alive), nullptr) << alive;
}

}  // namespace
}  // namespace ajar
