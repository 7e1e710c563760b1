// Databases as they are met, good and bad, served by rbldnsd on loopback: what the agent says of them, and that a listing never
// turns into its opposite while its database is broken.
#include <filesystem>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

const std::string kFiles = AJAR_SOURCE_DIR "/tests/e2e/rbldnsd/";

// zone: data sets of rbldnsd, "type:file"
const std::map<std::string, std::vector<std::string>> kZones = {
    {"v4", {"ip4set:listed.ip4set"}},
    {"bits", {"ip4set:listed.ip4set"}},
    {"v6", {"ip6trie:listed.ip6trie"}},
    {"both", {"ip4set:listed.ip4set", "ip6trie:listed.ip6trie"}},
    {"several", {"combined:several.combined"}},
    {"empty", {"ip4set:empty.ip4set"}},
    {"world", {"ip4trie:world.ip4trie"}},
    {"hijack", {"ip4trie:hijack.ip4trie"}},
    {"nosoa", {"ip4set:nosoa.ip4set"}},
    {"expired", {"ip4set:expired.ip4set"}},
    {"error252", {"ip4set:listed.ip4set", "acl:error252.acl"}},
    {"error254", {"ip4set:listed.ip4set", "acl:error254.acl"}},
    {"error255", {"ip4set:listed.ip4set", "acl:error255.acl"}},
    {"refuse", {"ip4set:listed.ip4set", "acl:refuse.acl"}},
    {"ignore", {"ip4set:listed.ip4set", "acl:ignore.acl"}},
    {"changing", {"ip4set:changing.ip4set"}},
};

class Dnsbl : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/sbin/rbldnsd")) GTEST_SKIP() << "rbldnsd is not installed";
    // It gives up root's rights and must still read its files.
    std::filesystem::create_directory(folder.file("zones"));
    for (const auto& file : std::filesystem::directory_iterator(kFiles)) {
      write_file(folder.file("zones/" + file.path().filename().string()), read_file(file.path()));
    }
    change("listed.ip4set");
    configure();
  }

  // Gives the zone "changing" other data. Its size differs with each, so that rbldnsd sees the change within the same second.
  void change(const std::string& file) const {
    const std::string path = folder.file("zones/changing.ip4set");
    const std::string text = read_file(kFiles + file);
    write_file(path + ".new", text);
    std::filesystem::rename(path + ".new", path);
  }

  void start_rbldnsd() {
    std::vector<std::string> argv = {"/usr/sbin/rbldnsd",  "-n", "-q", "-4", "-b", "127.0.0.1/" + std::to_string(port), "-w",
                                     folder.file("zones"), "-c", "1",  "-l", "-"};
    for (const auto& [zone, sets] : kZones) {
      for (const std::string& set : sets) argv.push_back(zone + ".dnsbl.test:" + set);
    }
    rbldnsd = std::make_unique<Process>(argv, folder.path());
  }

  // `silent`: with the database that answers nothing, which takes long to find out.
  void configure(bool silent = true) {
    setting.more = R"(
[dnsbl]
resolvers = ["127.0.0.1:)" +
                   std::to_string(port) +
                   R"("]
interval = "1s"
lookup_private = true
)";
    std::map<std::string, std::vector<std::string>> zones = kZones;
    if (!silent) zones.erase("ignore");
    for (const auto& [zone, sets] : zones) {
      const bool six = zone == "v6" || zone == "both";
      setting.more += "[[dnsbl.zone]]\nname = \"" + zone + ".dnsbl.test\"\nipv6 = " + (six ? "true" : "false") +
                      "\ntier = \"page\"\ncodes = { " +
                      (zone == "bits" ? R"("127.0.0.&2" = "working proxy", "127.0.0.&32" = "exit")"
                                      : R"("127.0.0.2" = "open relay", "127.0.0.9" = "open HTTP proxy")") +
                      " }\n";
    }
    std::string names;
    for (const auto& [zone, sets] : zones) names += (names.empty() ? "\"" : ", \"") + zone + ".dnsbl.test\"";
    setting.more.insert(setting.more.find("interval"), "zones = [" + names + "]\n");
    setting.scope = R"(["203.0.113.0/24", "2001:db8::/32"])";
    for (const char* address :
         {"203.0.113.10", "203.0.113.11", "203.0.113.13", "203.0.113.20", "2001:db8::10", "2001:db8::20"}) {
      setting.more +=
          std::string("[[target]]\nname = \"") + name_of(address) + "\"\naddress = \"" + address + "\"\nchecks = [\"dnsbl\"]\n";
    }
    write_file(folder.file("ajar.toml"), setting.text({}));
  }
  static std::string name_of(std::string address) {
    for (char& c : address) c = c == ':' ? '-' : c;
    return "t" + address;
  }

  // What the agent says of an address in a zone; null where nothing.
  json listing(const std::string& address, const std::string& zone) const {
    for (const json& row : agent->data("/api/v1/listings")) {
      if (row["address"] == address && row["zone"] == zone + ".dnsbl.test") return row;
    }
    return nullptr;
  }
  bool wait_listed(const std::string& address, const std::string& zone, const json& listed) const {
    return wait_until(seconds(60), [&] {
      const json row = listing(address, zone);
      return row.is_object() && row["listed"] == listed;
    });
  }
  bool wait_state(const std::string& address, const std::string& zone, const std::string& state) const {
    return wait_until(seconds(60), [&] {
      const json row = listing(address, zone);
      return row.is_object() && row["state"] == state;
    });
  }

  TemporaryFolder folder;
  Setting setting;
  std::uint16_t port = free_port("127.0.0.1");
  std::unique_ptr<Process> rbldnsd;
  std::unique_ptr<RunningAgent> agent;
};

TEST_F(Dnsbl, EveryStateOfADatabase) {
  start_rbldnsd();
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  struct Row {
    const char* zone;
    const char* address;
    json listed;
    const char* state;
    std::vector<std::string> meanings;
  };
  const Row rows[] = {
      {"v4", "203.0.113.10", true, "healthy", {"open relay"}},
      {"v4", "203.0.113.11", true, "healthy", {"open HTTP proxy"}},
      {"v4", "203.0.113.13", true, "healthy", {"unknown"}},
      {"v4", "203.0.113.20", false, "healthy", {}},
      {"bits", "203.0.113.13", true, "healthy", {"working proxy", "exit"}},
      {"v6", "2001:db8::10", true, "healthy", {"open HTTP proxy"}},
      {"v6", "2001:db8::20", false, "healthy", {}},
      {"both", "203.0.113.10", true, "healthy", {"open relay"}},
      {"both", "2001:db8::10", true, "healthy", {"open HTTP proxy"}},
      {"several", "203.0.113.10", true, "healthy", {"unknown", "open HTTP proxy"}},
      {"nosoa", "203.0.113.20", false, "healthy", {}},
      {"empty", "203.0.113.10", nullptr, "empty", {}},
      {"world", "203.0.113.20", nullptr, "lists_the_world", {}},
      {"hijack", "203.0.113.20", nullptr, "hijacked", {}},
      {"expired", "203.0.113.10", nullptr, "servfail", {}},
      {"error252", "203.0.113.10", nullptr, "blocked", {}},
      {"error254", "203.0.113.10", nullptr, "blocked", {}},
      {"error255", "203.0.113.10", nullptr, "blocked", {}},
      {"refuse", "203.0.113.10", nullptr, "refused", {}},
      {"ignore", "203.0.113.10", nullptr, "timeout", {}},
  };
  for (const Row& row : rows) {
    EXPECT_TRUE(wait_state(row.address, row.zone, row.state)) << row.zone << ": " << listing(row.address, row.zone);
    EXPECT_TRUE(wait_listed(row.address, row.zone, row.listed)) << row.zone << ": " << listing(row.address, row.zone);
    const json found = listing(row.address, row.zone);
    const std::set<std::string> meanings(row.meanings.begin(), row.meanings.end());
    EXPECT_EQ(found["meanings"].get<std::set<std::string>>(), meanings) << row.zone;
  }
  EXPECT_TRUE(wait_until(seconds(20), [&] {
    return listing("203.0.113.10", "v4")["text"] == "Open SMTP relay, see https://dnsbl.test/?ip=203.0.113.10";
  })) << listing("203.0.113.10", "v4");
  const std::string metrics = agent->get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("ajar_dnsbl_listed{target=\"t203.0.113.10\",address=\"203.0.113.10\",zone=\"v4.dnsbl.test\","
                                 "tier=\"page\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("ajar_dnsbl_zone_state{zone=\"error254.dnsbl.test\",state=\"blocked\"} 1\n"));
  for (const char* zone : {"empty", "world", "hijack", "expired", "error252", "error254", "error255", "refuse", "ignore"}) {
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
      const bool of_zone = line.find(std::string("zone=\"") + zone + ".dnsbl.test\"") != std::string::npos;
      EXPECT_FALSE(of_zone && line.starts_with("ajar_dnsbl_list")) << line;
    }
  }
  EXPECT_THAT(agent->get("/zones").body, HasSubstr("lists_the_world"));
  EXPECT_THAT(agent->get("/targets/t203.0.113.10").body, HasSubstr("Open SMTP relay, see"));
}

// The database is emptied, lists the world, and works again, while the agent runs.
TEST_F(Dnsbl, AListingNeverFlapsWhileItsDatabaseIsBroken) {
  start_rbldnsd();
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  ASSERT_TRUE(wait_listed("203.0.113.10", "changing", true)) << listing("203.0.113.10", "changing");
  ASSERT_TRUE(wait_listed("203.0.113.20", "changing", false)) << listing("203.0.113.20", "changing");
  change("empty.ip4set");
  bool flapped = false;
  const bool emptied = wait_until(seconds(60), [&] {
    const json row = listing("203.0.113.10", "changing");
    flapped = flapped || row["listed"] == false;
    return row["state"] == "empty";
  });
  EXPECT_TRUE(emptied) << listing("203.0.113.10", "changing");
  change("listed.ip4set");
  const bool healthy = wait_until(seconds(60), [&] {
    const json row = listing("203.0.113.10", "changing");
    flapped = flapped || row["listed"] == false;
    return row["state"] == "healthy" && row["listed"] == true;
  });
  EXPECT_TRUE(healthy) << listing("203.0.113.10", "changing");
  EXPECT_FALSE(flapped);
}

// `ajar check` says it too, beside an agent or without one, and its exit code does not follow; --zones tests the databases
// alone.
TEST_F(Dnsbl, CheckAsksNow) {
  configure(false);
  start_rbldnsd();
  const auto run = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {program("ajar"), "check", "--config", folder.file("ajar.toml")};
    argv.insert(argv.end(), words.begin(), words.end());
    Process check(argv, folder.path());
    const auto code = check.wait(seconds(90));
    return std::pair(code.value_or(-1), check.out() + check.err());
  };
  const auto [code, text] = run({"t203.0.113.10", "t203.0.113.20"});
  EXPECT_EQ(code, 0) << text;
  EXPECT_THAT(text, HasSubstr("t203.0.113.10  203.0.113.10  listed in v4.dnsbl.test: open relay (127.0.0.2)\n"
                              "    Open SMTP relay, see https://dnsbl.test/?ip=203.0.113.10\n"));
  EXPECT_THAT(text, HasSubstr("empty.dnsbl.test: nothing known of 2 addresses: empty\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("203.0.113.20  listed")));
  const auto [json_code, lines] = run({"--json", "t203.0.113.10"});
  EXPECT_EQ(json_code, 0) << lines;
  std::map<std::string, json> by_zone;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    const json object = json::parse(line, nullptr, false);
    if (object.is_object()) by_zone[object["zone"]] = object;
  }
  EXPECT_EQ(by_zone.size(), kZones.size() - 1);  // all but the silent one
  EXPECT_EQ(by_zone["v4.dnsbl.test"]["listed"], true);
  EXPECT_EQ(by_zone["world.dnsbl.test"]["listed"], nullptr);
  configure();
  const auto [zones_code, zones] = run({"--zones", "--json"});
  EXPECT_EQ(zones_code, 1) << zones;
  const std::pair<std::string, std::string> states[] = {
      {"v4", R"("IPv4","state":"healthy")"},      {"v6", R"("IPv6","state":"healthy")"},
      {"both", R"("IPv4","state":"healthy")"},    {"both", R"("IPv6","state":"healthy")"},
      {"empty", R"("IPv4","state":"empty")"},     {"world", R"("IPv4","state":"lists_the_world")"},
      {"hijack", R"("IPv4","state":"hijacked")"}, {"expired", R"("IPv4","state":"servfail")"},
      {"refuse", R"("IPv4","state":"refused")"},  {"error254", R"("IPv4","state":"blocked")"},
      {"ignore", R"("IPv4","state":"timeout")"}};
  for (const auto& [zone, state] : states) {
    EXPECT_THAT(zones, HasSubstr(R"({"kind":"zone","zone":")" + zone + R"(.dnsbl.test","asked_about":)" + state));
  }
}

// The resolver is down when the agent starts, and comes.
TEST_F(Dnsbl, AResolverThatComesLate) {
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  ASSERT_TRUE(wait_state("203.0.113.10", "v4", "timeout")) << listing("203.0.113.10", "v4");
  EXPECT_EQ(listing("203.0.113.10", "v4")["listed"], nullptr);
  start_rbldnsd();
  EXPECT_TRUE(wait_listed("203.0.113.10", "v4", true)) << listing("203.0.113.10", "v4");
}

}  // namespace
}  // namespace ajar
