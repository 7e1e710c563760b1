#include "checks/dnsbl_judge.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Outcome = DnsblReply::Outcome;

DnsblReply codes(const std::vector<const char*>& addresses) {
  DnsblReply reply{Outcome::answered, {}};
  for (const char* text : addresses) reply.addresses.push_back(IpAddress::parse(text).value());
  return reply;
}
DnsblReply outcome(Outcome outcome) { return {outcome, {}}; }
const DnsblReply kNone{Outcome::no_such_name, {}};

CodeRule rule(const char* pattern, const char* meaning, CodeEffect effect = CodeEffect::listing,
              ListingCause cause = ListingCause::unknown, std::optional<ListingTier> tier = std::nullopt) {
  return {CodePattern::parse(pattern).value(), meaning, effect, cause, tier};
}

const ZoneRules kPlain{{}, ListingTier::ticket};
const ZoneRules kTable{{rule("127.0.0.2", "spam source"),
                        rule("127.0.0.9", "open HTTP proxy", CodeEffect::listing, ListingCause::proxy, ListingTier::page),
                        rule("127.0.0.10-11", "policy range", CodeEffect::listing, ListingCause::unknown, ListingTier::info)},
                       ListingTier::ticket};
const ZoneRules kEfnet{{rule("127.0.0.1", "open proxy", CodeEffect::listing, ListingCause::proxy)}, ListingTier::page};
const ZoneRules kHostkarma{{rule("127.0.0.1", "known as good", CodeEffect::praise), rule("127.0.0.2", "spam source"),
                            rule("127.0.0.5", "neither", CodeEffect::neutral)},
                           ListingTier::ticket};
const ZoneRules kUribl{{rule("127.0.0.1", "this resolver is refused", CodeEffect::refusal), rule("127.0.0.&2", "black")},
                       ListingTier::ticket};
const ZoneRules kDbl{{rule("127.0.1.255", "asked about an address", CodeEffect::refusal), rule("127.0.1.2", "spam domain")},
                     ListingTier::ticket};
const ZoneRules kMask{{rule("127.0.0.&1", "reported", CodeEffect::listing, ListingCause::unknown, ListingTier::info),
                       rule("127.0.0.&2", "working proxy", CodeEffect::listing, ListingCause::proxy, ListingTier::page),
                       rule("127.0.0.&32", "exit", CodeEffect::listing, ListingCause::proxy)},
                      ListingTier::ticket};

struct Row {
  const char* what;
  DnsblReply reply;
  const ZoneRules* rules;
  std::optional<bool> listed;
  ZoneState state;
  std::vector<std::string> meanings = {};
};

TEST(DnsblJudge, EveryRowOfTheTable) {
  const Row rows[] = {
      {"silence", outcome(Outcome::timeout), &kTable, std::nullopt, ZoneState::timeout},
      {"SERVFAIL", outcome(Outcome::servfail), &kTable, std::nullopt, ZoneState::servfail},
      {"REFUSED", outcome(Outcome::refused), &kTable, std::nullopt, ZoneState::refused},
      {"NXDOMAIN", kNone, &kTable, false, ZoneState::healthy},
      {"NODATA", outcome(Outcome::no_data), &kTable, false, ZoneState::healthy},
      {"an answer without addresses", outcome(Outcome::answered), &kTable, std::nullopt, ZoneState::servfail},
      {"wrong zone name", codes({"127.255.255.252"}), &kTable, std::nullopt, ZoneState::blocked},
      {"public resolver", codes({"127.255.255.254"}), &kTable, std::nullopt, ZoneState::blocked},
      {"too many questions", codes({"127.255.255.255"}), &kTable, std::nullopt, ZoneState::blocked},
      {"another error", codes({"127.255.255.1"}), &kTable, std::nullopt, ZoneState::blocked},
      {"an error beside a listing", codes({"127.0.0.2", "127.255.255.254"}), &kTable, std::nullopt, ZoneState::blocked},
      {".1 without a table", codes({"127.0.0.1"}), &kPlain, std::nullopt, ZoneState::blocked},
      {".1 that the table does not have", codes({"127.0.0.1"}), &kTable, std::nullopt, ZoneState::blocked},
      {".1 beside a listing", codes({"127.0.0.2", "127.0.0.1"}), &kTable, std::nullopt, ZoneState::blocked},
      {"EFnet .1", codes({"127.0.0.1"}), &kEfnet, true, ZoneState::healthy, {"open proxy"}},
      {"Hostkarma .1", codes({"127.0.0.1"}), &kHostkarma, false, ZoneState::healthy, {"known as good"}},
      {"Hostkarma .5", codes({"127.0.0.5"}), &kHostkarma, false, ZoneState::healthy, {"neither"}},
      {"Hostkarma .2", codes({"127.0.0.2"}), &kHostkarma, true, ZoneState::healthy, {"spam source"}},
      {"praise beside a listing",
       codes({"127.0.0.1", "127.0.0.2"}),
       &kHostkarma,
       true,
       ZoneState::healthy,
       {"known as good", "spam source"}},
      {"URIBL .1", codes({"127.0.0.1"}), &kUribl, std::nullopt, ZoneState::blocked},
      {"URIBL .2", codes({"127.0.0.2"}), &kUribl, true, ZoneState::healthy, {"black"}},
      {"DBL about an address", codes({"127.0.1.255"}), &kDbl, std::nullopt, ZoneState::blocked},
      {"DBL", codes({"127.0.1.2"}), &kDbl, true, ZoneState::healthy, {"spam domain"}},
      {"outside 127/8", codes({"192.0.2.1"}), &kTable, std::nullopt, ZoneState::hijacked},
      {"outside 127/8, no table", codes({"203.0.113.9"}), &kPlain, std::nullopt, ZoneState::hijacked},
      {"outside beside a listing", codes({"127.0.0.2", "198.51.100.1"}), &kTable, std::nullopt, ZoneState::hijacked},
      {"an error beside a foreign address", codes({"192.0.2.1", "127.255.255.254"}), &kTable, std::nullopt, ZoneState::blocked},
      {"a code", codes({"127.0.0.9"}), &kTable, true, ZoneState::healthy, {"open HTTP proxy"}},
      {"a range", codes({"127.0.0.11"}), &kTable, true, ZoneState::healthy, {"policy range"}},
      {"several", codes({"127.0.0.2", "127.0.0.11"}), &kTable, true, ZoneState::healthy, {"spam source", "policy range"}},
      {"an unknown code", codes({"127.0.0.77"}), &kTable, true, ZoneState::healthy, {"unknown"}},
      {"127.255.254.x is no error", codes({"127.255.254.254"}), &kTable, true, ZoneState::healthy, {"unknown"}},
      {"any code, no table", codes({"127.3.2.1"}), &kPlain, true, ZoneState::healthy, {"unknown"}},
      {"bits", codes({"127.0.0.35"}), &kMask, true, ZoneState::healthy, {"reported", "working proxy", "exit"}},
      {"a bit beside an unknown one", codes({"127.0.0.66"}), &kMask, true, ZoneState::healthy, {"working proxy"}},
      {"unknown bits", codes({"127.0.0.64"}), &kMask, true, ZoneState::healthy, {"unknown"}},
  };
  for (const Row& row : rows) {
    const DnsblFinding finding = judge_dnsbl(row.reply, *row.rules);
    EXPECT_EQ(finding.listed, row.listed) << row.what;
    EXPECT_EQ(finding.state, row.state) << row.what;
    std::vector<std::string> meanings;
    for (const DnsblCode& code : finding.codes) meanings.push_back(code.meaning);
    EXPECT_EQ(meanings, row.meanings) << row.what;
    EXPECT_NE(finding.because, "") << row.what;
  }
}

TEST(DnsblJudge, TierIsTheWorstOfTheListingCodes) {
  const auto tier = [](const ZoneRules& rules, const std::vector<const char*>& addresses) {
    return judge_dnsbl(codes(addresses), rules).tier;
  };
  EXPECT_EQ(tier(kTable, {"127.0.0.10"}), ListingTier::info);
  EXPECT_EQ(tier(kTable, {"127.0.0.10", "127.0.0.9"}), ListingTier::page);
  EXPECT_EQ(tier(kTable, {"127.0.0.2"}), ListingTier::ticket);
  EXPECT_EQ(tier(kTable, {"127.0.0.77"}), ListingTier::ticket);
  EXPECT_EQ(judge_dnsbl(kNone, kTable).tier, ListingTier::ticket);
  EXPECT_EQ(tier(kEfnet, {"127.0.0.1"}), ListingTier::page);
  // Praise has no say.
  const ZoneRules praise{{rule("127.0.0.1", "good", CodeEffect::praise, ListingCause::unknown, ListingTier::page),
                          rule("127.0.0.2", "bad", CodeEffect::listing, ListingCause::unknown, ListingTier::info)},
                         ListingTier::ticket};
  EXPECT_EQ(tier(praise, {"127.0.0.1", "127.0.0.2"}), ListingTier::info);
}

TEST(DnsblJudge, SaysWhatAndWhoIsToBlame) {
  EXPECT_THAT(judge_dnsbl(codes({"127.255.255.252"}), kPlain).because, HasSubstr("misspelt"));
  EXPECT_THAT(judge_dnsbl(codes({"127.255.255.254"}), kPlain).because, HasSubstr("public or shared"));
  EXPECT_THAT(judge_dnsbl(codes({"127.255.255.255"}), kPlain).because, HasSubstr("too many"));
  EXPECT_THAT(judge_dnsbl(codes({"127.0.0.1"}), kUribl).because, HasSubstr("this resolver is refused"));
  EXPECT_THAT(judge_dnsbl(codes({"192.0.2.1"}), kPlain).because, HasSubstr("192.0.2.1"));
  const DnsblFinding finding = judge_dnsbl(codes({"127.0.0.9"}), kTable);
  EXPECT_EQ(finding.because, "listed: 127.0.0.9 (open HTTP proxy)");
  EXPECT_THAT(finding.codes, ElementsAre(DnsblCode{"127.0.0.9", "open HTTP proxy", CodeEffect::listing, ListingCause::proxy,
                                                   ListingTier::page}));
  EXPECT_EQ(judge_dnsbl(codes({"127.0.0.1"}), kHostkarma).because, "not listed; known as 127.0.0.1 (known as good)");
}

TEST(DnsblJudge, CodesAreBounded) {
  DnsblReply many{Outcome::answered, {}};
  for (std::uint8_t i = 2; i < 60; ++i) many.addresses.push_back(IpAddress::v4({127, 0, 0, i}));
  EXPECT_EQ(judge_dnsbl(many, kMask).codes.size(), kMaxDnsblCodes);
}

TEST(DnsblJudge, AListingBehindManyOtherCodesCounts) {
  ZoneRules rules;
  rules.tier = ListingTier::info;
  const std::pair<const char*, CodeEffect> ranges[] = {{"127.0.0.2-40", CodeEffect::praise},
                                                       {"127.0.0.41-59", CodeEffect::listing}};
  for (const auto& [codes, effect] : ranges) {
    CodeRule rule;
    rule.pattern = *CodePattern::parse(codes);
    rule.meaning = codes;
    rule.effect = effect;
    rules.codes.push_back(rule);
  }
  CodeRule worst;
  worst.pattern = *CodePattern::parse("127.0.0.60");
  worst.meaning = "open relay";
  worst.tier = ListingTier::page;
  rules.codes.push_back(worst);
  DnsblReply many{Outcome::answered, {}};
  for (std::uint8_t i = 2; i < 41; ++i) many.addresses.push_back(IpAddress::v4({127, 0, 0, i}));
  EXPECT_EQ(judge_dnsbl(many, rules).listed, false);
  for (std::uint8_t i = 41; i < 61; ++i) many.addresses.push_back(IpAddress::v4({127, 0, 0, i}));
  const DnsblFinding finding = judge_dnsbl(many, rules);
  EXPECT_EQ(finding.listed, true);
  EXPECT_EQ(finding.tier, ListingTier::page);
  ASSERT_EQ(finding.codes.size(), kMaxDnsblCodes);
  EXPECT_EQ(finding.codes.front().meaning, "open relay");
}

struct ZoneRow {
  const char* what;
  DnsblReply listed, unlisted, nobody;
  const ZoneRules* rules;
  ZoneState with_points, without_points;
};

TEST(DnsblJudge, HealthOfAZone) {
  const DnsblReply two = codes({"127.0.0.2"});
  const DnsblReply error = codes({"127.255.255.254"});
  const DnsblReply foreign = codes({"192.0.2.1"});
  const DnsblReply timeout = outcome(Outcome::timeout);
  const ZoneRow rows[] = {
      {"as it must", two, kNone, kNone, &kTable, ZoneState::healthy, ZoneState::healthy},
      {"any code will do for the test point", codes({"127.0.0.77"}), kNone, kNone, &kTable, ZoneState::healthy,
       ZoneState::healthy},
      {"several codes", codes({"127.0.0.2", "127.0.0.10"}), kNone, kNone, &kTable, ZoneState::healthy, ZoneState::healthy},
      {"NODATA is not listed", two, outcome(Outcome::no_data), outcome(Outcome::no_data), &kTable, ZoneState::healthy,
       ZoneState::healthy},
      {"emptied", kNone, kNone, kNone, &kTable, ZoneState::empty, ZoneState::healthy},
      {"emptied, NODATA", outcome(Outcome::no_data), kNone, kNone, &kTable, ZoneState::empty, ZoneState::healthy},
      {"lists all", two, two, two, &kTable, ZoneState::lists_the_world, ZoneState::lists_the_world},
      {"lists .1", two, two, kNone, &kTable, ZoneState::lists_the_world, ZoneState::healthy},
      {"lists all but .1", two, kNone, two, &kTable, ZoneState::lists_the_world, ZoneState::lists_the_world},
      {"lists only what it must not", kNone, two, kNone, &kTable, ZoneState::lists_the_world, ZoneState::healthy},
      {"praises all", codes({"127.0.0.1"}), codes({"127.0.0.1"}), codes({"127.0.0.1"}), &kHostkarma, ZoneState::lists_the_world,
       ZoneState::lists_the_world},
      {"refused by error code", error, error, error, &kTable, ZoneState::blocked, ZoneState::blocked},
      {"an error for one of three", two, kNone, error, &kTable, ZoneState::blocked, ZoneState::blocked},
      {".1 for all", codes({"127.0.0.1"}), codes({"127.0.0.1"}), codes({"127.0.0.1"}), &kUribl, ZoneState::blocked,
       ZoneState::blocked},
      {"parked", foreign, foreign, foreign, &kTable, ZoneState::hijacked, ZoneState::hijacked},
      {"NXDOMAIN rewritten", two, foreign, foreign, &kTable, ZoneState::hijacked, ZoneState::hijacked},
      {"silence", timeout, timeout, timeout, &kTable, ZoneState::timeout, ZoneState::timeout},
      {"silence for one of three", two, timeout, kNone, &kTable, ZoneState::timeout, ZoneState::healthy},
      {"SERVFAIL", outcome(Outcome::servfail), outcome(Outcome::servfail), outcome(Outcome::servfail), &kTable,
       ZoneState::servfail, ZoneState::servfail},
      {"REFUSED", outcome(Outcome::refused), outcome(Outcome::refused), outcome(Outcome::refused), &kTable, ZoneState::refused,
       ZoneState::refused},
      {"an error explains the silence beside it", timeout, error, timeout, &kTable, ZoneState::blocked, ZoneState::timeout},
  };
  for (const ZoneRow& row : rows) {
    const ZoneTest test{row.listed, row.unlisted, row.nobody};
    const ZoneHealth with = judge_zone(test, *row.rules, true);
    EXPECT_EQ(with.state, row.with_points) << row.what << ": " << with.because;
    EXPECT_NE(with.because, "") << row.what;
    const ZoneHealth without = judge_zone(test, *row.rules, false);
    EXPECT_EQ(without.state, row.without_points) << row.what << ": " << without.because;
  }
}

TEST(DnsblJudge, NothingNewIsBelievedWithoutATestAfterIt) {
  const DnsblFinding listed = judge_dnsbl(codes({"127.0.0.2"}), kTable);
  const DnsblFinding clean = judge_dnsbl(kNone, kTable);
  const DnsblFinding silent = judge_dnsbl(outcome(Outcome::timeout), kTable);
  const std::optional<bool> unknown;
  // The usual: the same again, from a zone that was healthy when it was last tested.
  EXPECT_EQ(next_step(true, listed, ZoneState::healthy, false), ListingStep::publish);
  EXPECT_EQ(next_step(false, clean, ZoneState::healthy, false), ListingStep::publish);
  // Something new.
  for (const std::optional<bool>& known : {unknown, std::optional<bool>(true)}) {
    EXPECT_EQ(next_step(known, clean, ZoneState::healthy, false), ListingStep::confirm);
    EXPECT_EQ(next_step(known, clean, ZoneState::healthy, true), ListingStep::publish);
  }
  for (const std::optional<bool>& known : {unknown, std::optional<bool>(false)}) {
    EXPECT_EQ(next_step(known, listed, ZoneState::healthy, false), ListingStep::confirm);
    EXPECT_EQ(next_step(known, listed, ZoneState::healthy, true), ListingStep::publish);
  }
  // From a zone that is broken, whatever it says and whatever was known.
  for (int i = 0; i < kZoneStateCount; ++i) {
    const auto state = static_cast<ZoneState>(i);
    for (const std::optional<bool>& known : {unknown, std::optional<bool>(true), std::optional<bool>(false)}) {
      if (state != ZoneState::healthy) {
        EXPECT_EQ(next_step(known, clean, state, true), ListingStep::keep) << to_string(state);
        EXPECT_EQ(next_step(known, listed, state, true), ListingStep::keep) << to_string(state);
        EXPECT_EQ(next_step(known, listed, state, false), ListingStep::confirm) << to_string(state);
      }
      EXPECT_EQ(next_step(known, silent, state, true), ListingStep::keep);
      EXPECT_EQ(next_step(known, silent, state, false), ListingStep::keep);
    }
  }
}

TEST(DnsblJudge, Patterns) {
  const auto matches = [](const char* pattern, const char* code) {
    return CodePattern::parse(pattern).value().matches(IpAddress::parse(code).value());
  };
  EXPECT_TRUE(matches("127.0.0.2", "127.0.0.2"));
  EXPECT_FALSE(matches("127.0.0.2", "127.0.0.3"));
  EXPECT_FALSE(matches("127.0.0.2", "127.0.1.2"));
  EXPECT_FALSE(matches("127.0.*.*", "2001:db8::1"));
  EXPECT_TRUE(matches("127.0.*.0-3", "127.0.10.3"));
  EXPECT_FALSE(matches("127.0.*.0-3", "127.0.10.4"));
  EXPECT_TRUE(matches("127.0.0.&96", "127.0.0.32"));
  EXPECT_TRUE(matches("127.0.0.&96", "127.0.0.64"));
  EXPECT_FALSE(matches("127.0.0.&96", "127.0.0.16"));
  for (const char* bad : {"", "127.0.0", "127.0.0.", "127.0.0.2.3", "127.0.0.256", "127.0.0.x", "127.0.0.3-2", "127.0.0.&0",
                          "127.0.&1.2", "127.0.0.&", "10.0.0.2", "*.0.0.2", "127.0.0.-1", "127.0.0. 2", "126-127.0.0.2"}) {
    EXPECT_FALSE(CodePattern::parse(bad)) << bad;
  }
}

TEST(DnsblJudge, Words) {
  for (int i = 0; i < kZoneStateCount; ++i) {
    const auto state = static_cast<ZoneState>(i);
    EXPECT_EQ(parse_zone_state(to_string(state)), state);
  }
  EXPECT_EQ(to_string(ZoneState::lists_the_world), "lists_the_world");
  EXPECT_EQ(parse_zone_state("broken"), std::nullopt);
  EXPECT_EQ(parse_listing_tier("page"), ListingTier::page);
  EXPECT_EQ(to_string(ListingTier::info), "info");
  EXPECT_EQ(parse_listing_tier("critical"), std::nullopt);
  EXPECT_EQ(parse_code_effect("praise"), CodeEffect::praise);
  EXPECT_EQ(parse_code_effect(""), std::nullopt);
  EXPECT_EQ(parse_listing_cause("relay"), ListingCause::relay);
  EXPECT_EQ(to_string(ListingCause::proxy), "proxy");
}

}  // namespace
}  // namespace ajar
