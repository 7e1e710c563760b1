// What `ajar check` says about the prompts of the lab, asked by hand; the lab and the agent together are in lab_test.cc.
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Telnet, EveryPromptGetsItsVerdict) {
  const Lab lab;
  const TemporaryFolder folder;
  std::vector<LabPlace> places;
  for (const LabPlace& place : lab.places()) {
    if (place.expect.front().check == "telnet_proxy") places.push_back(place);
  }
  ASSERT_GE(places.size(), 10U);
  write_file(folder.file("ajar.toml"), Setting{}.text(places));
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "--json"}, folder.path());
  ASSERT_EQ(check.wait(std::chrono::seconds(180)), 2) << check.err();
  std::map<std::string, json> results;
  std::istringstream lines(check.out());
  for (std::string line; std::getline(lines, line);) {
    const json one = json::parse(line);
    results[one.at("target").get<std::string>()] = one;
  }
  for (const LabPlace& place : places) {
    ASSERT_TRUE(results.contains(place.personality)) << place.personality;
    const json& result = results.at(place.personality);
    const Expected& expected = place.expect.front();
    EXPECT_EQ(result.at("verdict"), expected.verdict) << result.dump(1);
    EXPECT_EQ(result.at("reason"), expected.reason) << result.dump(1);
    if (expected.verdict != "open") continue;
    EXPECT_THAT(result.at("exit_addresses").get<std::vector<std::string>>(), ElementsAre(place.address));
    EXPECT_THAT(result.at("transcript").get<std::vector<std::string>>(), Contains(HasSubstr("TOKEN <token>")));
    EXPECT_THAT(result.at("transcript").get<std::vector<std::string>>(), Contains(HasSubstr("PROOF")));
  }
  // A login hears nothing but the refusal of what it negotiates.
  for (const json& line : results.at("telnet_login").at("transcript")) {
    const std::string text = line.get<std::string>();
    if (text.starts_with("C: ")) {
      EXPECT_THAT(text, testing::StartsWith("C: ff fc ")) << text;
    }
  }
}

}  // namespace
}  // namespace ajar
