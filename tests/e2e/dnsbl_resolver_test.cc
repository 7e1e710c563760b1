// A real resolver (unbound) between the agent and the databases (rbldnsd): what it caches, rewrites and gives up on its own
// must leave every state as it is, and must never make "not listed" of a silence.
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

const std::string kRbldnsd = "/usr/sbin/rbldnsd", kUnbound = "/usr/sbin/unbound";
const std::string kFiles = AJAR_SOURCE_DIR "/tests/e2e/rbldnsd/";

// zone: data sets of rbldnsd, "type:file"; without any, nobody listens where the resolver asks
const std::map<std::string, std::vector<std::string>> kZones = {
    {"v4", {"ip4set:listed.ip4set"}},
    {"v6", {"ip6trie:listed.ip6trie"}},
    {"nosoa", {"ip4set:nosoa.ip4set"}},
    {"empty", {"ip4set:empty.ip4set"}},
    {"error254", {"ip4set:listed.ip4set", "acl:error254.acl"}},
    {"refuse", {"ip4set:listed.ip4set", "acl:refuse.acl"}},
    {"ignore", {"ip4set:listed.ip4set", "acl:ignore.acl"}},
    {"dead", {}},
};

class DnsblResolver : public testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& needed : {kRbldnsd, kUnbound}) {
      if (!std::filesystem::exists(needed)) GTEST_SKIP() << needed << " is not installed";
    }
    // rbldnsd gives up root's rights and must still read its files.
    std::filesystem::create_directory(folder.file("zones"));
    for (const auto& file : std::filesystem::directory_iterator(kFiles)) {
      write_file(folder.file("zones/" + file.path().filename().string()), read_file(file.path()));
    }
    std::vector<std::string> argv = {
        kRbldnsd, "-n", "-q", "-4", "-b", "127.0.0.1/" + std::to_string(zones_port), "-w", folder.file("zones"), "-l", "-"};
    for (const auto& [zone, sets] : kZones) {
      for (const std::string& set : sets) argv.push_back(zone + ".dnsbl.test:" + set);
    }
    rbldnsd = std::make_unique<Process>(argv, folder.path());
    configure();
  }

  void start_resolver() {
    const std::string port = std::to_string(resolver_port);
    std::string text =
        "server:\n interface: 127.0.0.1\n port: " + port + "\n directory: \"" + folder.path() +
        "\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n do-daemonize: no\n"
        " do-ip6: no\n num-threads: 1\n module-config: \"iterator\"\n do-not-query-localhost: no\n"
        " local-zone: \"test.\" nodefault\n access-control: 127.0.0.0/8 allow\n"
        "remote-control:\n control-enable: no\n";
    for (const auto& [zone, sets] : kZones) {
      text += "stub-zone:\n name: \"" + zone + ".dnsbl.test.\"\n stub-addr: 127.0.0.1@" +
              std::to_string(sets.empty() ? nobodys_port : zones_port) + "\n";
    }
    write_file(folder.file("unbound.conf"), text);
    // A copy: where AppArmor confines the installed one, it may read /etc/unbound alone.
    const std::string copy = folder.file("resolver");
    std::filesystem::copy_file(kUnbound, copy, std::filesystem::copy_options::overwrite_existing);
    resolver = std::make_unique<Process>(std::vector<std::string>{copy, "-d", "-p", "-c", folder.file("unbound.conf")});
  }

  void configure() {
    std::string names, zones;
    for (const auto& [zone, sets] : kZones) {
      names += (names.empty() ? "\"" : ", \"") + zone + ".dnsbl.test\"";
      zones += "[[dnsbl.zone]]\nname = \"" + zone + ".dnsbl.test\"\nipv6 = " + (zone == "v6" ? "true" : "false") +
               "\ncodes = { \"127.0.0.2\" = \"open relay\", \"127.0.0.9\" = \"open HTTP proxy\" }\n";
    }
    setting.more = "[dnsbl]\nresolvers = [\"127.0.0.1:" + std::to_string(resolver_port) + "\"]\nzones = [" + names +
                   "]\ninterval = \"1s\"\nlookup_private = true\n" + zones;
    setting.scope = R"(["203.0.113.0/24", "2001:db8::/32"])";
    for (const std::string address : {"203.0.113.10", "203.0.113.20", "2001:db8::10", "2001:db8::20"}) {
      std::string name = address;
      for (char& c : name) c = c == ':' ? '-' : c;
      setting.more += "[[target]]\nname = \"t" + name + "\"\naddress = \"" + address + "\"\nchecks = [\"dnsbl\"]\n";
    }
    write_file(folder.file("ajar.toml"), setting.text({}));
  }

  // What the agent says of an address in a zone; null where nothing.
  json listing(const std::string& address, const std::string& zone) const {
    for (const json& row : agent->data("/api/v1/listings")) {
      if (row["address"] == address && row["zone"] == zone + ".dnsbl.test") return row;
    }
    return nullptr;
  }
  bool wait_for(const std::string& address, const std::string& zone, const std::set<std::string>& states,
                const json& listed) const {
    return wait_until(seconds(90), [&] {
      const json row = listing(address, zone);
      return row.is_object() && states.contains(row["state"]) && row["listed"] == listed;
    });
  }

  TemporaryFolder folder;
  Setting setting;
  std::uint16_t zones_port = free_port("127.0.0.1"), resolver_port = free_port("127.0.0.1"),
                nobodys_port = free_port("127.0.0.1");
  std::unique_ptr<Process> rbldnsd, resolver;
  std::unique_ptr<RunningAgent> agent;
};

TEST_F(DnsblResolver, EveryStateThroughIt) {
  start_resolver();
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  struct Row {
    const char* zone;
    const char* address;
    json listed;
    std::set<std::string> states;
  };
  // A resolver answers SERVFAIL for a database that refuses or is silent, if it has not itself been too slow.
  const std::set<std::string> failed = {"servfail", "timeout"};
  const Row rows[] = {
      {"v4", "203.0.113.10", true, {"healthy"}},          {"v4", "203.0.113.20", false, {"healthy"}},
      {"v6", "2001:db8::10", true, {"healthy"}},          {"v6", "2001:db8::20", false, {"healthy"}},
      {"nosoa", "203.0.113.20", false, {"healthy"}},      {"empty", "203.0.113.10", nullptr, {"empty"}},
      {"error254", "203.0.113.10", nullptr, {"blocked"}}, {"refuse", "203.0.113.10", nullptr, failed},
      {"ignore", "203.0.113.10", nullptr, failed},        {"dead", "203.0.113.20", nullptr, failed},
  };
  for (const Row& row : rows) {
    EXPECT_TRUE(wait_for(row.address, row.zone, row.states, row.listed))
        << row.zone << ": " << listing(row.address, row.zone) << resolver->err();
  }
  EXPECT_TRUE(wait_until(seconds(20), [&] {
    return listing("203.0.113.10", "v4")["text"] == "Open SMTP relay, see https://dnsbl.test/?ip=203.0.113.10";
  })) << listing("203.0.113.10", "v4");
  EXPECT_EQ(listing("2001:db8::10", "v6")["meanings"], json({"open HTTP proxy"}));
  // Tested every second since: what failed has never been taken for an answer.
  for (const char* zone : {"error254", "refuse", "ignore", "dead"}) {
    EXPECT_EQ(listing("203.0.113.20", zone)["listed"], nullptr) << zone;
  }
}

TEST_F(DnsblResolver, ItComesLate) {
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  ASSERT_TRUE(wait_for("203.0.113.10", "v4", {"timeout"}, nullptr)) << listing("203.0.113.10", "v4");
  start_resolver();
  EXPECT_TRUE(wait_for("203.0.113.10", "v4", {"healthy"}, true)) << listing("203.0.113.10", "v4");
  EXPECT_TRUE(wait_for("203.0.113.20", "v4", {"healthy"}, false)) << listing("203.0.113.20", "v4");
}

}  // namespace
}  // namespace ajar
