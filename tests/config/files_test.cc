// The files that come with ajar, and files that cannot be read.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

namespace ajar {
namespace {

const std::string kAjar = AJAR_SOURCE_DIR "/config/ajar.toml";
const std::string kLab = AJAR_SOURCE_DIR "/config/lab.toml";

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::vector<std::string> errors_of(const std::variant<Config, std::vector<ConfigError>>& result) {
  std::vector<std::string> out;
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
    for (const ConfigError& error : *errors) out.push_back(error.to_string());
  }
  return out;
}

Config load(const std::string& path) {
  auto result = load_config(path);
  for (const std::string& error : errors_of(result)) ADD_FAILURE() << error;
  return std::holds_alternative<Config>(result) ? std::get<Config>(result) : Config();
}

// The keys that the loader knows in one section, as its own error for an unknown one lists them.
std::set<std::string> known_keys(const std::string& text) {
  std::set<std::string> keys;
  for (const std::string& error : errors_of(parse_config(text, "x"))) {
    const std::size_t start = error.find("unknown key `qqqqqqqqqqqq`");
    if (start == std::string::npos) continue;
    const std::string list = error.substr(error.find("or write"));
    for (std::size_t open = list.find('`'); open != std::string::npos;) {
      const std::size_t close = list.find('`', open + 1);
      keys.insert(list.substr(open + 1, close - open - 1));
      open = list.find('`', close + 1);
    }
  }
  return keys;
}

TEST(AjarToml, EveryValueIsTheDefault) {
  const Config config = load(kAjar);
  AgentConfig agent;
  agent.name = config.agent.name;
  EXPECT_EQ(config.agent, agent);
  EXPECT_EQ(config.log, LogConfig());
  EXPECT_EQ(config.web, WebConfig());
  EXPECT_EQ(config.metrics, MetricsConfig());
  EXPECT_EQ(config.canary, CanaryConfig());
  EXPECT_EQ(config.dnsbl, std::get<Config>(parse_config("scope = [\"203.0.113.0/24\"]\n", kAjar)).dnsbl);
  EXPECT_THAT(config.warnings, testing::IsEmpty());
  // What the target writes is what it would have had without it.
  ASSERT_EQ(config.targets.size(), 1U);
  const TargetConfig& written = config.targets[0];
  const auto bare_result =
      parse_config("scope = [\"203.0.113.0/24\"]\n[[target]]\nname = \"mx1\"\nhost = \"mx1.example.org\"\n", kAjar);
  ASSERT_TRUE(std::holds_alternative<Config>(bare_result));
  const Config& bare_config = std::get<Config>(bare_result);
  TargetConfig bare = bare_config.targets.at(0);
  for (const std::string& check : bare.checks) {
    EXPECT_EQ(config.ports(written, check), bare_config.ports(bare, check)) << check;
    EXPECT_EQ(config.interval(written, check), bare_config.interval(bare, check)) << check;
  }
  bare.ports = written.ports;
  bare.intervals = written.intervals;
  EXPECT_EQ(written, bare);
}

// The sections as they stand in the file: "[agent]" to its lines; "" for the top.
std::map<std::string, std::vector<std::string>> sections_of(const std::string& text) {
  std::map<std::string, std::vector<std::string>> sections;
  std::string section;
  for (std::string line : lines_of(text)) {
    if (line.starts_with("#[")) line.erase(0, 1);
    if (line.starts_with('[')) section = line.substr(0, line.find_last_of(']') + 1);
    sections[section].push_back(line);
  }
  return sections;
}

// Whether a line says `key = …` or `key.check = …`, be it as an example in a comment.
bool sets(std::string_view line, const std::string& key) {
  if (line.starts_with('#')) line.remove_prefix(1);
  if (!line.starts_with(key)) return false;
  line.remove_prefix(key.size());
  return line.starts_with(" = ") || (line.starts_with('.') && line.find(" = ") != std::string_view::npos);
}

TEST(AjarToml, HasEveryKeyThatTheLoaderKnows) {
  const auto sections = sections_of(read(kAjar));
  std::set<std::string> headers;
  for (const auto& [header, lines] : sections) headers.insert(header);
  std::size_t keys = 0;
  for (const char* header : {"", "[agent]", "[log]", "[web]", "[metrics]", "[canary]", "[dnsbl]", "[[target]]", "[[discovery]]",
                             "[[exemption]]", "[[dnsbl.zone]]"}) {
    const auto known = known_keys(std::string(header) + "\nqqqqqqqqqqqq = 1\n");
    EXPECT_FALSE(known.empty()) << header;
    for (const std::string& key : known) {
      ++keys;
      if (key.starts_with('[')) {
        EXPECT_TRUE(headers.contains(key)) << key;
        continue;
      }
      const auto& lines = sections.at(header);
      EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [&](const auto& line) { return sets(line, key); }))
          << key << " is missing below " << header;
    }
  }
  EXPECT_GE(keys, 60U);  // the lists were really read
}

// The key of a line like "#contact = …"; empty for prose.
std::string example_key(const std::string& line) {
  const std::size_t equals = line.find(" = ");
  if (!line.starts_with('#') || equals == std::string::npos) return {};
  const std::string key = line.substr(1, equals - 1);
  return key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos ? key : std::string();
}

// Every `#key = value` is an example that an operator may uncomment: alone, in the place of the key's line above it, it is
// right.
TEST(AjarToml, EveryExampleInACommentIsRight) {
  const std::vector<std::string> lines = lines_of(read(kAjar));
  const std::set<std::string> places = {"address", "network", "mx_of"};
  const std::size_t discovery =
      static_cast<std::size_t>(std::find(lines.begin(), lines.end(), "#[[discovery]]") - lines.begin());
  const std::size_t exemption =
      static_cast<std::size_t>(std::find(lines.begin(), lines.end(), "#[[exemption]]") - lines.begin());
  ASSERT_LT(discovery, exemption);
  ASSERT_LT(exemption, lines.size());
  int examples = 0;
  for (std::size_t i = 0; i < discovery; ++i) {
    const std::string key = example_key(lines[i]);
    if (key.empty()) continue;
    std::vector<std::string> changed = lines;
    std::size_t above = i;  // the line with the default
    const auto sets_default = [](const std::string& line, const std::string& name) { return line.starts_with(name + " = "); };
    const std::string replaced = places.contains(key) ? "host" : key;
    while (above > 0 && !sets_default(lines[above], replaced)) --above;
    ASSERT_TRUE(sets_default(lines[above], replaced)) << lines[i];
    changed[above] = lines[i].substr(1);
    // Two halves.
    if (key.starts_with("resolver_")) {
      const std::string other = key == "resolver_name" ? "resolver_answers" : "resolver_name";
      const auto example =
          std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return example_key(line) == other; });
      ASSERT_NE(example, lines.end());
      for (std::string& line : changed) {
        if (sets_default(line, other)) line = example->substr(1);
      }
    }
    // An address or a domain that is advertised needs its listener.
    if (key.starts_with("advertise_") || key == "mail_domain") {
      const std::string listen = key == "mail_domain" ? "listen_smtp" : "listen_" + key.substr(10);
      for (std::string& line : changed) {
        if (sets_default(line, listen)) line = listen + " = [\"0.0.0.0:1025\"]";
      }
    }
    EXPECT_THAT(errors_of(parse_config(join(changed), "ajar.toml")), testing::IsEmpty()) << lines[i];
    EXPECT_NE(join(changed), join(lines));
    ++examples;
  }
  EXPECT_GE(examples, 20);

  std::vector<std::string> with_exemption = lines;
  for (std::size_t i = exemption; i < lines.size(); ++i)
    with_exemption[i] = lines[i].starts_with('#') && !lines[i].starts_with("# ") ? lines[i].substr(1) : lines[i];
  const auto result = parse_config(join(with_exemption), "ajar.toml");
  EXPECT_THAT(errors_of(result), testing::IsEmpty());
  EXPECT_EQ(std::get<Config>(result).exemptions.size(), 1U);
  EXPECT_THAT(std::get<Config>(result).dnsbl.zones,
              testing::Contains(testing::Field(&ZoneConfig::interval, std::chrono::hours(2))));
}

// Of [[discovery]]: each place, with everything that goes with it.
TEST(AjarToml, EveryKeyOfDiscoveryIsRight) {
  const std::vector<std::string> lines = lines_of(read(kAjar));
  const std::set<std::string> places = {"file", "url", "dns_srv"}, of_urls = {"ca_file", "cert_file", "key_file", "timeout"};
  const std::set<std::string> logins = {"basic_auth", "bearer_token_file"};
  const auto first = std::find(lines.begin(), lines.end(), "#[[discovery]]");
  const auto end = std::find(first, lines.end(), "#[[exemption]]");
  ASSERT_NE(end, lines.end());
  for (const std::string& place : places) {
    for (const std::string& login : logins) {
      std::vector<std::string> changed = lines;
      std::size_t keys = 0;
      for (auto line = first; line != end; ++line) {
        const std::string key = example_key(*line);
        if (*line != "#[[discovery]]" && key.empty()) continue;
        if (places.contains(key) && key != place) continue;
        if ((of_urls.contains(key) || logins.contains(key)) && place != "url") continue;
        if (key == "refresh" && place == "dns_srv") continue;
        if (logins.contains(key) && key != login) continue;
        changed[static_cast<std::size_t>(line - lines.begin())] = line->substr(1);
        ++keys;
      }
      EXPECT_THAT(errors_of(parse_config(join(changed), "ajar.toml")), testing::IsEmpty()) << place << " " << login;
      EXPECT_GE(keys, place == "url" ? 12U : 6U);
    }
  }
}

TEST(LabToml, IsWhatTheLabNeeds) {
  const Config config = load(kLab);
  EXPECT_EQ(config.scope, std::vector<Cidr>{*Cidr::parse("127.0.0.0/8")});
  EXPECT_EQ(config.agent.source_addresses, std::vector<IpAddress>{*IpAddress::parse("127.66.0.1")});
  EXPECT_EQ(config.canary.listen_smtp, config.canary.advertise_smtp);
  EXPECT_EQ(config.canary.listen_tcp, config.canary.advertise_tcp);
  EXPECT_EQ(config.canary.mail_domain, "canary.test");
  EXPECT_EQ(std::filesystem::path(config.path(config.agent.state)).lexically_normal(),
            std::filesystem::path(AJAR_SOURCE_DIR "/state/lab/ajar.db").lexically_normal());
  EXPECT_EQ(std::filesystem::path(config.path(config.canary.secret_file)).lexically_normal(),
            std::filesystem::path(AJAR_SOURCE_DIR "/state/lab/canary.secret").lexically_normal());
  std::set<std::string> owners;
  std::set<IpAddress> addresses;
  int networks = 0;
  for (const TargetConfig& target : config.targets) {
    owners.insert(target.owner);
    if (target.place.network) ++networks;
    if (target.place.address) {
      EXPECT_TRUE(addresses.insert(*target.place.address).second) << target.name;
    }
    EXPECT_THAT(target.checks, testing::Not(testing::IsEmpty())) << target.name;
  }
  EXPECT_EQ(networks, 1);
  EXPECT_EQ(owners.size(), 3U);
}

TEST(LoadConfig, RemembersItsFile) { EXPECT_EQ(load(kLab).file, kLab); }

TEST(LoadConfig, AFileThatIsMissing) {
  EXPECT_THAT(
      errors_of(load_config("/nonexistent/ajar.toml")),
      testing::ElementsAre(
          "/nonexistent/ajar.toml: cannot be read: No such file or directory; name the configuration file with --config"));
}

TEST(LoadConfig, AFolder) {
  EXPECT_THAT(errors_of(load_config("/tmp")),
              testing::ElementsAre("/tmp: cannot be read: Is a directory; name the configuration file with --config"));
}

TEST(LoadConfig, AFileThatMayNotBeRead) {
  const std::string path = testing::TempDir() + "ajar-unreadable-" + std::to_string(getpid()) + ".toml";
  std::ofstream(path) << "scope = []\n";
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const uid_t before = geteuid();
  if (before == 0) {
    ASSERT_EQ(seteuid(65534), 0);  // root reads everything
  }
  const auto errors = errors_of(load_config(path));
  ASSERT_EQ(seteuid(before), 0);
  std::filesystem::remove(path);
  EXPECT_THAT(errors,
              testing::ElementsAre(path + ": cannot be read: Permission denied; name the configuration file with --config"));
}

TEST(LoadConfig, WhatNeverEnds) {
  EXPECT_THAT(
      errors_of(load_config("/dev/zero")),
      testing::ElementsAre("/dev/zero: cannot be read: it is larger than 64 MiB; name a configuration file with --config"));
}

TEST(LoadConfig, AnEmptyFileLacksItsScope) {
  EXPECT_THAT(errors_of(load_config("/dev/null")),
              testing::ElementsAre(testing::StartsWith("/dev/null:1:1: `scope` is missing: write")));
}

}  // namespace
}  // namespace ajar
