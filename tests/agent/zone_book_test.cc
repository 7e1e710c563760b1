#include "agent/zone_book.h"

#include <algorithm>

#include <gmock/gmock.h>

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using Outcome = DnsblReply::Outcome;

const std::string kZone = "bl.example";
const std::string kAddress = "203.0.113.5";
const DnsblSubject kSubject{DnsblKind::ipv4, kAddress};
constexpr const char* kListedPoint = "2.0.0.127.bl.example";

// A database, and whoever answers for it.
class World {
 public:
  World() { list(kListedPoint, {"127.0.0.2"}); }
  void list(const std::string& name, const std::vector<std::string>& codes) { listed_[name] = codes; }
  void clear(const std::string& name) { listed_.erase(name); }
  // Every question ends so, until nullopt.
  std::optional<DnsblReply> all;
  std::set<std::string> silent;  // names
  std::chrono::seconds ttl{60};
  std::vector<std::string> asked;  // "A name", "TXT name"

  DnsblLookup answer(const ZoneQuestion& question) {
    asked.push_back((question.type == DnsType::a ? "A " : "TXT ") + question.name);
    DnsblLookup lookup;
    lookup.ttl = ttl;
    lookup.reply.outcome = Outcome::no_such_name;
    if (all) lookup.reply = *all;
    if (silent.contains(question.name)) lookup.reply = {Outcome::timeout, {}};
    if (all || silent.contains(question.name)) return lookup;
    const auto found = listed_.find(question.name);
    if (found == listed_.end()) return lookup;
    lookup.reply.outcome = Outcome::answered;
    for (const std::string& code : found->second) lookup.reply.addresses.push_back(IpAddress::parse(code).value());
    if (question.type == DnsType::txt) lookup.texts = {"see <https://bl.example/?" + question.name + ">"};
    return lookup;
  }

 private:
  std::map<std::string, std::vector<std::string>> listed_;
};

DnsblReply codes(const std::vector<std::string>& texts) {
  DnsblReply reply{Outcome::answered, {}};
  for (const std::string& text : texts) reply.addresses.push_back(IpAddress::parse(text).value());
  return reply;
}

class ZoneBookTest : public testing::Test {
 protected:
  void SetUp() override {
    zone_.info.name = kZone;
    zone_.interval = hours(1);
    apply();
  }
  void apply() {
    DnsblConfig config;
    config.zones = {zone_};
    book_.apply(config, subjects_, now_);
  }
  void pass(Duration span) {
    for (const Time until = now_ + span; now_ < until;) {
      now_ += seconds(15);
      settle_once();
    }
  }
  void settle_once() {
    for (int i = 0; i < 10'000; ++i) {
      const std::optional<ZoneQuestion> question = book_.next(now_);
      if (!question) return;
      book_.answered(*question, world_.answer(*question), now_);
    }
  }
  std::optional<bool> listed() const { return book_.listed(kZone, kSubject); }
  ZoneState state() const { return book_.zones().at(0).state; }
  std::string name() const { return dnsbl_name(IpAddress::parse(kAddress).value(), kZone); }

  ZoneConfig zone_;
  std::set<DnsblSubject> subjects_ = {kSubject};
  Time now_{hours(1000)};
  World world_;
  ZoneBook book_;
};

TEST_F(ZoneBookTest, TestsTheZoneBeforeAndAfterItAsks) {
  EXPECT_EQ(state(), ZoneState::untested);
  EXPECT_EQ(listed(), std::nullopt);
  pass(seconds(30));
  EXPECT_EQ(state(), ZoneState::healthy);
  EXPECT_EQ(listed(), false);
  const std::vector<std::string> test = {"A 2.0.0.127.bl.example", "A 1.0.0.127.bl.example", "A 213.2.0.192.bl.example"};
  std::vector<std::string> expected = test;
  expected.push_back("A 5.113.0.203.bl.example");
  expected.insert(expected.end(), test.begin(), test.end());  // to confirm what is new
  EXPECT_EQ(world_.asked, expected);
}

TEST_F(ZoneBookTest, AListingHasItsMeaningReasonAndTimes) {
  zone_.info.rules.codes.push_back({CodePattern::parse("127.0.0.9").value(), "open HTTP proxy", CodeEffect::listing,
                                    ListingCause::proxy, ListingTier::page});
  apply();
  world_.list(name(), {"127.0.0.9"});
  pass(seconds(30));
  EXPECT_EQ(listed(), true);
  const Listing* listing = book_.find(kZone, kSubject);
  ASSERT_NE(listing, nullptr);
  EXPECT_EQ(listing->codes.at(0).meaning, "open HTTP proxy");
  EXPECT_EQ(listing->tier, ListingTier::page);
  EXPECT_THAT(listing->text, HasSubstr("https://bl.example/"));
  const Time since = listing->since;
  pass(hours(3));
  listing = book_.find(kZone, kSubject);
  EXPECT_EQ(listing->since, since);
  EXPECT_GT(listing->checked, since + hours(2));
  EXPECT_EQ(std::count(world_.asked.begin(), world_.asked.end(), "TXT 5.113.0.203.bl.example"), 1);
  // Another listing has another reason.
  world_.list(name(), {"127.0.0.2"});
  pass(hours(2));
  EXPECT_EQ(std::count(world_.asked.begin(), world_.asked.end(), "TXT 5.113.0.203.bl.example"), 2);
  EXPECT_EQ(book_.find(kZone, kSubject)->since, since);
}

TEST_F(ZoneBookTest, IsAskedOncePerIntervalOrWhileTheAnswerHolds) {
  const std::string question = "A 5.113.0.203.bl.example";
  pass(hours(10));
  EXPECT_EQ(std::count(world_.asked.begin(), world_.asked.end(), question), 10);
  world_.ttl = hours(4);
  pass(hours(1));
  world_.asked.clear();
  pass(hours(12));
  EXPECT_EQ(std::count(world_.asked.begin(), world_.asked.end(), question), 3);
  world_.ttl = hours(1000);
  pass(hours(6));
  world_.asked.clear();
  pass(hours(12));
  EXPECT_EQ(std::count(world_.asked.begin(), world_.asked.end(), question), 2);  // never longer than six hours
}

// Every way to break, for a listed address and for one that is not: what was known is hidden, never turned into its opposite,
// and is back when the zone is.
TEST_F(ZoneBookTest, NeverFlapsWhileTheZoneIsBroken) {
  struct Row {
    ZoneState state;
    std::optional<DnsblReply> all;
  };
  const Row rows[] = {{ZoneState::empty, DnsblReply{Outcome::no_such_name, {}}},
                      {ZoneState::lists_the_world, codes({"127.0.0.2"})},
                      {ZoneState::hijacked, codes({"192.0.2.1"})},
                      {ZoneState::blocked, codes({"127.255.255.254"})},
                      {ZoneState::timeout, DnsblReply{Outcome::timeout, {}}},
                      {ZoneState::servfail, DnsblReply{Outcome::servfail, {}}},
                      {ZoneState::refused, DnsblReply{Outcome::refused, {}}}};
  for (const bool is_listed : {true, false}) {
    if (is_listed) world_.list(name(), {"127.0.0.2"});
    if (!is_listed) world_.clear(name());
    pass(hours(2));
    for (const Row& row : rows) {
      ASSERT_EQ(listed(), is_listed);
      const Time since = book_.find(kZone, kSubject)->since;
      world_.all = row.all;
      bool hidden = false;
      for (int i = 0; i < 4 * 60 * 3; ++i) {  // three hours
        pass(seconds(15));
        const std::optional<bool> shown = listed();
        ASSERT_NE(shown, !is_listed) << to_string(row.state) << " after " << i * 15 << " s";
        hidden = hidden || !shown;
        if (hidden) {
          ASSERT_EQ(shown, std::nullopt);
        }
      }
      EXPECT_TRUE(hidden) << to_string(row.state);
      EXPECT_EQ(state(), row.state);
      world_.all.reset();
      pass(minutes(45));  // the longest pause, and what is due
      EXPECT_EQ(state(), ZoneState::healthy);
      EXPECT_EQ(listed(), is_listed) << to_string(row.state);
      EXPECT_EQ(book_.find(kZone, kSubject)->since, since);
    }
  }
}

TEST_F(ZoneBookTest, AChangeWhileItWasBrokenIsSeenAfterwards) {
  world_.list(name(), {"127.0.0.2"});
  pass(hours(2));
  world_.all = DnsblReply{Outcome::servfail, {}};
  pass(hours(2));
  world_.clear(name());
  world_.all.reset();
  pass(hours(2));
  EXPECT_EQ(listed(), false);
}

TEST_F(ZoneBookTest, ABrokenZoneIsAskedNothingButItsTestAfterPausesThatGrow) {
  world_.all = DnsblReply{Outcome::servfail, {}};
  pass(hours(24));
  EXPECT_EQ(std::count(world_.asked.begin(), world_.asked.end(), "A 5.113.0.203.bl.example"), 0);
  const auto tests = std::count(world_.asked.begin(), world_.asked.end(), "A 2.0.0.127.bl.example");
  EXPECT_GE(tests, 48);
  EXPECT_LE(tests, 56);  // 1, 2, 4, 8, 16, then every 30 minutes
  EXPECT_THAT(book_.zones().at(0).kinds.at(DnsblKind::ipv4).because, HasSubstr("SERVFAIL"));
}

TEST_F(ZoneBookTest, ALostAnswerIsAskedForAgainAndDoesNotHideTheRest) {
  subjects_.insert({DnsblKind::ipv4, "203.0.113.6"});
  apply();
  world_.list(name(), {"127.0.0.2"});
  pass(minutes(5));
  ASSERT_EQ(listed(), true);
  world_.silent = {name()};
  pass(minutes(62));
  EXPECT_EQ(listed(), true);  // once or twice proves nothing
  world_.silent.clear();
  pass(minutes(10));
  EXPECT_EQ(listed(), true);
  world_.silent = {name()};
  pass(hours(6));
  EXPECT_EQ(listed(), std::nullopt);  // nobody answers about it any more
  EXPECT_EQ(state(), ZoneState::healthy);
  EXPECT_EQ(book_.listed(kZone, {DnsblKind::ipv4, "203.0.113.6"}), false);
  world_.silent.clear();
  pass(hours(2));
  EXPECT_EQ(listed(), true);
}

TEST_F(ZoneBookTest, RateAndBudgetHold) {
  zone_.info.per_second = 5;
  zone_.info.per_day = 500;
  for (int i = 0; i < 250; ++i) {
    for (int j = 0; j < 4; ++j) subjects_.insert({DnsblKind::ipv4, "203." + std::to_string(j) + ".113." + std::to_string(i)});
  }
  apply();
  std::size_t most = 0;
  for (int second = 0; second < 300; ++second) {
    const std::size_t before = world_.asked.size();
    settle_once();
    if (second > 0) most = std::max(most, world_.asked.size() - before);
    now_ += seconds(1);
  }
  EXPECT_EQ(most, 5U);
  EXPECT_EQ(world_.asked.size(), 500U);
  EXPECT_EQ(book_.zones().at(0).left_today, 0U);
  EXPECT_EQ(book_.zones().at(0).asked_today, 500U);
  pass(hours(25));
  EXPECT_GT(world_.asked.size(), 900U);
  EXPECT_LE(world_.asked.size(), 1000U);
}

TEST_F(ZoneBookTest, EachKindHasItsOwnHealth) {
  zone_.info.ipv6 = true;
  const DnsblSubject six{DnsblKind::ipv6, "2001:db8::5"};
  subjects_.insert(six);
  apply();
  pass(minutes(1));
  EXPECT_EQ(listed(), false);
  EXPECT_EQ(book_.listed(kZone, six), std::nullopt);  // its IPv6 test point is not there
  EXPECT_EQ(state(), ZoneState::empty);
  world_.list(dnsbl_test_names(DnsblKind::ipv6, kZone).listed, {"127.0.0.2"});
  pass(hours(1));
  EXPECT_EQ(book_.listed(kZone, six), false);
  EXPECT_EQ(state(), ZoneState::healthy);
}

TEST_F(ZoneBookTest, WithoutSubjectsNothingIsAsked) {
  subjects_.clear();
  apply();
  pass(hours(2));
  EXPECT_THAT(world_.asked, IsEmpty());
  EXPECT_EQ(state(), ZoneState::untested);
}

TEST_F(ZoneBookTest, AKeyIsInQuestionsAndNowhereElse) {
  zone_.key = "s3cret";
  apply();
  world_.list("2.0.0.127.s3cret.bl.example", {"127.0.0.2"});
  world_.list("5.113.0.203.s3cret.bl.example", {"127.0.0.2"});
  pass(minutes(1));
  EXPECT_EQ(listed(), true);
  for (const std::string& question : world_.asked) EXPECT_THAT(question, HasSubstr(".s3cret.bl.example"));
  EXPECT_EQ(book_.zones().at(0).name, kZone);
  EXPECT_EQ(book_.listings().at(0).zone, kZone);
}

TEST_F(ZoneBookTest, AReloadKeepsWhatIsKnown) {
  world_.list(name(), {"127.0.0.2"});
  pass(minutes(1));
  subjects_.insert({DnsblKind::ipv4, "203.0.113.6"});
  apply();
  EXPECT_EQ(listed(), true);
  const std::size_t asked = world_.asked.size();
  pass(minutes(1));
  EXPECT_EQ(std::count(world_.asked.begin() + static_cast<std::ptrdiff_t>(asked), world_.asked.end(), "A " + name()), 0);
  // What goes is forgotten.
  subjects_.erase(kSubject);
  apply();
  EXPECT_EQ(book_.find(kZone, kSubject), nullptr);
  zone_.info.name = "other.example";
  apply();
  EXPECT_THAT(book_.listings(), IsEmpty());
  EXPECT_EQ(book_.zones().size(), 1U);
}

TEST_F(ZoneBookTest, ARestartShowsWhatWasKnownOnceTheZoneIsHealthy) {
  world_.list(name(), {"127.0.0.2"});
  pass(minutes(1));
  const std::vector<Listing> kept = book_.listings();
  const Time since = kept.at(0).since;
  ZoneBook next;
  DnsblConfig config;
  config.zones = {zone_};
  next.apply(config, subjects_, now_);
  next.seed(kept);
  EXPECT_EQ(next.listed(kZone, kSubject), std::nullopt);
  book_ = std::move(next);
  world_.asked.clear();
  pass(minutes(1));
  EXPECT_EQ(listed(), true);
  EXPECT_EQ(book_.find(kZone, kSubject)->since, since);
  EXPECT_EQ(world_.asked.size(), 3U);  // the test alone: it was asked a minute ago
}

TEST_F(ZoneBookTest, SaysWhatHasChanged) {
  const ListingKey key(kZone, kSubject);
  pass(minutes(1));
  EXPECT_THAT(book_.take_changes(), testing::ElementsAre(key));
  EXPECT_THAT(book_.take_changes(), IsEmpty());
  subjects_.clear();
  apply();
  EXPECT_THAT(book_.take_changes(), testing::ElementsAre(key));
  EXPECT_EQ(book_.find(kZone, kSubject), nullptr);
}

// A target whose name does not resolve yet comes later; what was known of it is not lost meanwhile.
TEST_F(ZoneBookTest, ARestartKnowsWhatComesLater) {
  world_.list(name(), {"127.0.0.2"});
  pass(minutes(1));
  const std::vector<Listing> kept = book_.listings();
  book_ = ZoneBook();
  const std::set<DnsblSubject> subjects = std::exchange(subjects_, {});
  apply();
  book_.seed(kept);
  EXPECT_THAT(book_.take_changes(), IsEmpty());
  subjects_ = subjects;
  apply();
  ASSERT_NE(book_.find(kZone, kSubject), nullptr);
  EXPECT_EQ(book_.find(kZone, kSubject)->since, kept.at(0).since);
}

TEST_F(ZoneBookTest, ASingleRoundEnds) {
  world_.list(name(), {"127.0.0.2"});
  EXPECT_FALSE(book_.settled());
  pass(minutes(1));
  EXPECT_TRUE(book_.settled());
  world_.all = DnsblReply{Outcome::timeout, {}};
  ZoneBook other;
  DnsblConfig config;
  config.zones = {zone_};
  other.apply(config, subjects_, now_);
  book_ = std::move(other);
  EXPECT_FALSE(book_.settled());
  pass(minutes(1));
  EXPECT_TRUE(book_.settled());
}

TEST_F(ZoneBookTest, CountsAnswersByWhatTheyWere) {
  world_.list(name(), {"127.0.0.2"});
  pass(seconds(30));
  const auto answers = book_.zones().at(0).answers;
  EXPECT_EQ(answers.at("listed"), 3U);      // the listed point twice, and ours
  EXPECT_EQ(answers.at("not_listed"), 4U);  // the other two points twice
}

TEST(GloballyRoutable, Addresses) {
  for (const char* text :
       {"8.8.8.8", "1.1.1.1", "193.0.6.139", "2001:4860:4860::8888", "2a00:1450::1", "100.128.0.1", "172.32.0.1"})
    EXPECT_TRUE(is_globally_routable(IpAddress::parse(text).value())) << text;
  for (const char* text :
       {"10.1.2.3",   "127.0.0.1",    "192.168.1.1", "172.16.0.1", "172.31.255.255", "100.64.0.1", "169.254.1.1",
        "192.0.2.5",  "198.51.100.5", "203.0.113.5", "198.18.0.1", "224.0.0.1",      "240.0.0.1",  "255.255.255.255",
        "0.0.0.0",    "::1",          "::",          "fe80::1",    "fc00::1",        "ff02::1",    "2001:db8::1",
        "64:ff9b::1", "3fff::1"})
    EXPECT_FALSE(is_globally_routable(IpAddress::parse(text).value())) << text;
}

TEST_F(ZoneBookTest, AnAddressCanBeAskedAboutBeforeItsTime) {
  pass(seconds(30));
  EXPECT_EQ(listed(), false);
  world_.list(name(), {"127.0.0.2"});
  pass(minutes(5));
  EXPECT_EQ(listed(), false);
  book_.ask_now(kSubject, now_);
  book_.ask_now({DnsblKind::ipv4, "203.0.113.6"}, now_);  // nobody asks about it
  pass(minutes(1));
  EXPECT_EQ(listed(), true);
}

}  // namespace
}  // namespace ajar
