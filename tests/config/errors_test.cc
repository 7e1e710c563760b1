// Every kind of broken configuration, with the place and the exact words of its errors: what an operator reads.
//
// errors/*.txt hold the cases. "%% title" begins one, its configuration follows, then "=> line:column: message" for each error.
// Line 1 of the configuration is kScope and line 2 the first one written, unless the title says "whole file".
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config.h"

namespace ajar {
namespace {

const std::string kFolder = AJAR_SOURCE_DIR "/tests/config/";
const std::string kScope = "scope = [\"203.0.113.0/24\", \"2001:db8:5::/48\"]\n";

struct Case {
  std::string place;  // of the case itself: "canary.txt:12"
  std::string text;
  std::vector<std::string> errors;
};

std::vector<Case> read_cases(const std::filesystem::path& file) {
  std::vector<Case> cases;
  std::ifstream in(file);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.starts_with("%% ")) {
      const bool whole = line.ends_with(", whole file");
      cases.push_back({file.filename().string() + ":" + std::to_string(number), whole ? "" : kScope, {}});
    } else if (cases.empty()) {
      ADD_FAILURE() << file << ": begins with no %%";
    } else if (line.starts_with("=> ")) {
      cases.back().errors.push_back("ajar.toml:" + line.substr(3));
    } else if (cases.back().errors.empty()) {
      cases.back().text += line + "\n";
    }
  }
  return cases;
}

std::vector<std::string> errors_of(const std::string& text, const std::string& file = "ajar.toml") {
  const auto result = parse_config(text, file);
  std::vector<std::string> out;
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
    for (const ConfigError& error : *errors) out.push_back(error.to_string());
  }
  return out;
}

class ConfigErrors : public testing::TestWithParam<const char*> {};

TEST_P(ConfigErrors, HaveTheirPlaceAndSayWhatToWrite) {
  const std::vector<Case> cases = read_cases(kFolder + "errors/" + GetParam() + ".txt");
  EXPECT_GE(cases.size(), 8U);
  for (const Case& one : cases) {
    EXPECT_FALSE(one.errors.empty()) << one.place;
    EXPECT_EQ(errors_of(one.text), one.errors) << one.place << "\n" << one.text;
  }
}

INSTANTIATE_TEST_SUITE_P(, ConfigErrors,
                         testing::Values("top", "agent", "durations", "log_web_metrics", "canary", "dnsbl", "target",
                                         "discovery", "exemption", "syntax"),
                         [](const auto& one) { return std::string(one.param); });

std::string read(const std::string& name) {
  std::ifstream in(kFolder + name, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

// One file with everything wrong: all errors at once, in order of appearance.
TEST(ConfigErrorsTogether, AllAtOnceInOrder) {
  std::string shown;
  for (const std::string& error : errors_of(read("broken.toml"), "broken.toml")) shown += error + "\n";
  EXPECT_EQ(shown, read("broken.txt"));
  EXPECT_GT(shown.size(), 1000U);
}

TEST(ConfigErrorsTogether, BytesThatAreNotText) {
  EXPECT_EQ(
      errors_of("scope = [\"\xff\"]\n"),
      std::vector<std::string>{"ajar.toml:1:10: not valid TOML (Encountered invalid utf-8 sequence): save the file as UTF-8"});
  EXPECT_THAT(errors_of(std::string("a = 1\0b = 2", 11)),
              testing::ElementsAre(testing::StartsWith("ajar.toml:1:6: not valid TOML")));
}

TEST(ConfigErrorsTogether, WindowsLineEndsAndAByteOrderMarkAreFine) {
  EXPECT_THAT(errors_of("\xef\xbb\xbfscope = [\"203.0.113.0/24\"]\r\n[agent]\r\ninterval = \"1h\"\r\n"), testing::IsEmpty());
  EXPECT_EQ(errors_of("scope = [\"203.0.113.0/24\"]\r\n[agent]\r\ninterval = 1h\r\n"),
            std::vector<std::string>{
                "ajar.toml:3:12: not valid TOML: text, durations and addresses stand in quotes: write interval = \"1h\""});
}

TEST(ConfigErrorsTogether, AnErrorWithoutAPlaceNamesItsFileOnly) {
  EXPECT_EQ((ConfigError{"ajar.toml", 0, 0, "what"}).to_string(), "ajar.toml: what");
  EXPECT_EQ((ConfigError{"ajar.toml", 3, 14, "what"}).to_string(), "ajar.toml:3:14: what");
}

}  // namespace
}  // namespace ajar
