// Sources laid over each other: what is handed over, kept and taken back.
#include "agent/discovery.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/support/dns_server.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string list_of(const std::vector<std::string>& targets, const std::string& labels = "") {
  std::string out;
  for (const std::string& target : targets) out += (out.empty() ? "\"" : ", \"") + target + "\"";
  return "[{\"targets\": [" + out + "], \"labels\": {" + labels + "}}]";
}

class DiscoveryTest : public testing::Test {
 protected:
  DiscoveryTest() {
    std::string pattern = testing::TempDir() + "ajar-discovery-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    ResolverOptions options;
    options.servers = {dns_.address()};
    options.timeout = 200ms;
    resolver_ = std::make_unique<Resolver>(loop_, options);
    DiscoveryEvents events;
    events.put = [this](const TargetConfig& target) {
      ++put_;
      targets_.insert_or_assign(target.name, target);
    };
    events.removed = [this](const std::string& name) {
      ++removed_;
      EXPECT_EQ(targets_.erase(name), 1U) << name;
    };
    events.changed = [this] { ++changed_; };
    events.complete = [this] { ++complete_; };
    discovery_ = std::make_unique<Discovery>(loop_, *resolver_, events);
  }
  ~DiscoveryTest() override {
    discovery_.reset();
    resolver_.reset();
    loop_.shut_down();
    loop_.post([this] { loop_.stop(); });
    loop_.run();
    std::filesystem::remove_all(folder_);
  }

  void apply(const std::string& sections) {
    const auto parsed = parse_config("scope = [\"203.0.113.0/24\"]\n" + sections, folder_ + "/ajar.toml");
    if (const auto* errors = std::get_if<std::vector<ConfigError>>(&parsed)) FAIL() << errors->front().to_string();
    discovery_->apply(std::make_shared<const Config>(std::get<Config>(parsed)));
  }
  // In one step, so that nobody has to wait for the writer.
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/.new") << text;
    std::filesystem::rename(folder_ + "/.new", folder_ + "/" + name);
  }
  void remove(const std::string& name) const { std::filesystem::remove(folder_ + "/" + name); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, target] : targets_) out.push_back(name);
    return out;
  }
  SourceView source(std::size_t index) { return discovery_->view()->sources.at(index); }

  // Runs the loop until the condition holds.
  template <class Condition>
  [[nodiscard]] bool until(Condition condition, std::chrono::milliseconds limit = 10s) {
    bool held = false;
    start(watch(condition, loop_.now() + limit, held));
    loop_.run();
    return held;
  }
  bool found(const std::vector<std::string>& wanted) {
    return until([&] { return names() == wanted; });
  }
  bool up(std::size_t index, bool wanted) {
    return until([&] { return source(index).up == wanted; });
  }

  template <class Condition>
  Task<void> watch(Condition condition, Steady::time_point end, bool& held) {
    while (!(held = condition()) && loop_.now() < end) {
      const bool goes_on = co_await loop_.sleep_for(20ms);
      if (!goes_on) break;
    }
    loop_.post([this] { loop_.stop(); });  // behind a run() that has not begun yet
  }

  Loop loop_;
  DnsServer dns_{loop_};
  std::string folder_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<Discovery> discovery_;
  std::map<std::string, TargetConfig> targets_;
  int put_ = 0, removed_ = 0, changed_ = 0, complete_ = 0;
};

constexpr const char* kFiles = "[[discovery]]\nfile = \"*.json\"\nchecks = [\"smtp_relay\"]\n";

TEST_F(DiscoveryTest, WithoutSourcesEverythingIsKnownAtOnce) {
  apply("");
  EXPECT_TRUE(until([&] { return complete_ == 1; }));
  EXPECT_THAT(discovery_->view()->sources, IsEmpty());
}

TEST_F(DiscoveryTest, FilesComeChangeBreakAndGo) {
  put("a.json", list_of({"mx1", "mx2"}));
  apply(kFiles);
  EXPECT_FALSE(source(0).up);
  ASSERT_TRUE(found({"mx1", "mx2"}));
  EXPECT_TRUE(until([&] { return complete_ == 1; }));
  EXPECT_EQ(source(0).name, "*.json");
  EXPECT_EQ(source(0).targets, 2U);
  EXPECT_TRUE(source(0).last_success);
  EXPECT_EQ(discovery_->view()->found_by.at("mx1"), "*.json");

  put("b.json", list_of({"mx3:25"}));
  ASSERT_TRUE(found({"mx1", "mx2", "mx3_25"}));
  put("a.json", list_of({"mx2", "mx4"}));
  ASSERT_TRUE(found({"mx2", "mx3_25", "mx4"}));
  EXPECT_EQ(put_, 4);  // mx2 was there
  EXPECT_EQ(removed_, 1);

  put("a.json", "[{");
  ASSERT_TRUE(up(0, false));
  EXPECT_THAT(source(0).trouble, HasSubstr("a.json: not valid JSON"));
  EXPECT_EQ(source(0).targets, 3U);
  EXPECT_THAT(names(), ElementsAre("mx2", "mx3_25", "mx4"));

  put("a.json", list_of({"mx2"}, "\"__ajar_owner\": \"other\""));
  ASSERT_TRUE(until([&] { return names().size() == 2 && targets_.at("mx2").owner == "other"; }));
  EXPECT_EQ(source(0).up, true);
  EXPECT_EQ(source(0).trouble, "");
  remove("a.json");
  ASSERT_TRUE(found({"mx3_25"}));
  EXPECT_EQ(complete_, 1);
}

TEST_F(DiscoveryTest, WhatIsRefusedIsCountedAndTheRestGoesOn) {
  put("a.json", list_of({"mx1", "198.51.100.1", "bad host", "mx2"}));
  apply(kFiles + std::string("[[target]]\nname = \"mx2\"\nhost = \"mx2.example.org\"\n"));
  ASSERT_TRUE(found({"mx1"}));
  ASSERT_TRUE(until([&] { return source(0).refused == 3; }));
  EXPECT_EQ(source(0).targets, 1U);
  std::vector<std::string> entries;
  for (const RefusedEntry& refused : source(0).refusals) entries.push_back(refused.entry + " " + refused.why);
  EXPECT_THAT(entries, ElementsAre("198.51.100.1 is not inside scope", HasSubstr("bad host is not a host name"),
                                   "mx2 a [[target]] has that name"));
}

TEST_F(DiscoveryTest, ANameBelongsToTheFirstSource) {
  std::filesystem::create_directory(folder_ + "/one");
  std::filesystem::create_directory(folder_ + "/two");
  const std::string sections =
      "[[discovery]]\nfile = \"one/*.json\"\nowner = \"one\"\n[[discovery]]\nfile = \"two/*.json\"\nowner = \"two\"\n";
  put("two/a.json", list_of({"mx1", "mx2"}));
  apply(sections);
  ASSERT_TRUE(found({"mx1", "mx2"}));
  EXPECT_EQ(targets_.at("mx1").owner, "two");
  put("one/a.json", list_of({"mx1"}));
  ASSERT_TRUE(until([&] { return targets_.at("mx1").owner == "one"; }));
  EXPECT_EQ(removed_, 0);
  EXPECT_EQ(source(0).targets, 1U);
  EXPECT_EQ(source(1).targets, 1U);
  EXPECT_EQ(source(1).refused, 1U);
  remove("one/a.json");
  ASSERT_TRUE(until([&] { return targets_.at("mx1").owner == "two"; }));
  EXPECT_EQ(removed_, 0);
  EXPECT_EQ(source(1).refused, 0U);
  EXPECT_EQ(source(1).targets, 2U);
}

TEST_F(DiscoveryTest, NothingIsCompleteBeforeEverySourceWasReadOnce) {
  put("a.json", "[{");
  apply(kFiles + std::string("[[discovery]]\nfile = \"none/*.yml\"\n"));
  ASSERT_TRUE(up(0, false));
  ASSERT_TRUE(up(1, true));
  EXPECT_FALSE(until([&] { return complete_ > 0; }, 1500ms));
  put("a.json", "[]");
  EXPECT_TRUE(until([&] { return complete_ == 1; }));
}

TEST_F(DiscoveryTest, AReloadKeepsWhatGoesOn) {
  put("a.json", list_of({"mx1", "mx2"}));
  apply(kFiles);
  ASSERT_TRUE(found({"mx1", "mx2"}));
  const int put_before = put_;
  apply(kFiles);  // the same
  EXPECT_FALSE(until([&] { return put_ > put_before || removed_ > 0; }, 1500ms));
  EXPECT_EQ(source(0).targets, 2U);
  // Declared meanwhile: no longer found.
  apply(kFiles + std::string("[[target]]\nname = \"mx2\"\nhost = \"mx2.example.org\"\n"));
  ASSERT_TRUE(found({"mx1"}));
  EXPECT_EQ(source(0).refused, 1U);
  // Other words for the same source, which fails: what it said last holds.
  put("a.json", "[{");
  ASSERT_TRUE(up(0, false));
  apply("[[discovery]]\nfile = \"*.json\"\nchecks = [\"smtp_relay\"]\nowner = \"new\"\n");
  ASSERT_TRUE(up(0, false));
  EXPECT_FALSE(until([&] { return names() != std::vector<std::string>{"mx1"}; }, 1500ms));
  EXPECT_EQ(source(0).targets, 1U);
  // Another source in its place: what the old one said goes when the new one is read, not before.
  apply("[[discovery]]\nfile = \"next.yml\"\n[[discovery]]\nname = \"broken\"\nfile = \"a.json\"\n");
  ASSERT_TRUE(up(0, true));
  ASSERT_TRUE(up(1, false));
  EXPECT_THAT(names(), testing::Contains("mx1"));
  put("a.json", list_of({"mx9"}));
  ASSERT_TRUE(found({"mx9"}));
  apply("");
  ASSERT_TRUE(found({}));
}

TEST_F(DiscoveryTest, ServicesOfTheDns) {
  dns_.srv("_smtp._tcp.example.org", 25, "mx1.example.org", 1);
  dns_.srv("_smtp._tcp.example.org", 587, "mx2.example.org", 1);
  apply("[[discovery]]\ndns_srv = \"_smtp._tcp.example.org\"\nowner = \"dns\"\n");
  ASSERT_TRUE(found({"mx1.example.org_25", "mx2.example.org_587"}));
  EXPECT_THAT(targets_.at("mx1.example.org_25").checks, ElementsAre("smtp_relay"));
  EXPECT_EQ(targets_.at("mx1.example.org_25").owner, "dns");
  EXPECT_TRUE(until([&] { return complete_ == 1; }));
  EXPECT_EQ(source(0).place, "dns_srv _smtp._tcp.example.org");
  EXPECT_EQ(dns_.questions().size(), 1U);  // a TTL of a second is taken for more
}

TEST_F(DiscoveryTest, NoServiceAndNoAnswer) {
  dns_.srv("_none._tcp.example.org", 0, "");
  dns_.answer_rcode("_fails._tcp.example.org", 2);
  apply(
      "[[discovery]]\ndns_srv = \"_none._tcp.example.org\"\n[[discovery]]\ndns_srv = \"_fails._tcp.example.org\"\n"
      "[[discovery]]\ndns_srv = \"_gone._tcp.example.org\"\n");
  ASSERT_TRUE(up(0, true));
  ASSERT_TRUE(up(1, false));
  ASSERT_TRUE(up(2, false));
  EXPECT_THAT(source(2).trouble, HasSubstr("does not exist"));
  EXPECT_EQ(complete_, 0);
  EXPECT_THAT(names(), IsEmpty());
}

// One list of thousands, and most of it another one the next time: in slices, so that others have their turn.
TEST_F(DiscoveryTest, ManyChangesLeaveRoomForOthers) {
  std::vector<std::string> first, second;
  for (int i = 0; i < 5000; ++i) first.push_back(fmt::format("mx{:04}", i));
  for (int i = 0; i < 5000; ++i) second.push_back(fmt::format("mx{:04}", i < 3000 ? i : i + 2000));
  put("a.json", list_of(first));
  apply(kFiles);
  ASSERT_TRUE(until([&] { return targets_.size() == 5000; }, 30s));
  put("a.json", list_of(second));
  ASSERT_TRUE(until([&] { return put_ == 7000 && removed_ == 2000; }, 30s));
  EXPECT_EQ(targets_.size(), 5000U);
}

TEST_F(DiscoveryTest, ReadOnce) {
  put("a.json", list_of({"mx1", "198.51.100.1", "mx2"}));
  put("b.json", "[{");
  const auto parsed = parse_config(
      "scope = [\"203.0.113.0/24\"]\n[[target]]\nname = \"mx2\"\nhost = \"mx2.example.org\"\n" + std::string(kFiles),
      folder_ + "/ajar.toml");
  std::vector<std::string> troubles;
  const Config config = with_discovered(std::get<Config>(parsed), troubles);
  ASSERT_EQ(config.targets.size(), 2U);
  EXPECT_EQ(config.targets[0].name, "mx2");
  EXPECT_EQ(config.targets[1].name, "mx1");
  EXPECT_THAT(troubles, ElementsAre(AllOf(HasSubstr("discovery *.json: "), HasSubstr("b.json: not valid JSON")),
                                    HasSubstr("198.51.100.1 is not taken: is not inside scope"),
                                    HasSubstr("mx2 is not taken: a [[target]] has that name")));
}

}  // namespace
}  // namespace ajar
