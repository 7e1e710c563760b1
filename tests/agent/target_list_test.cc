// Lists of targets in JSON and YAML, as they should be and as they come.
#include "agent/target_list.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::HasSubstr;

// "a b {site=zrh}; c {}" or "wrong: …"
std::string shown(const std::variant<TargetGroups, std::string>& parsed) {
  if (const auto* wrong = std::get_if<std::string>(&parsed)) return "wrong: " + *wrong;
  std::string out;
  for (const TargetGroup& group : std::get<TargetGroups>(parsed)) {
    if (!out.empty()) out += "; ";
    for (const std::string& target : group.targets) out += target + " ";
    out += "{";
    for (const auto& [name, value] : group.labels) out += fmt::format("{}={},", name, value);
    out += "}";
  }
  return out;
}
std::string json(std::string_view text) { return shown(parse_json_targets(text)); }
std::string yaml(std::string_view text) { return shown(parse_yaml_targets(text)); }

TEST(JsonTargets, Table) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", ""},
      {R"([{"targets": ["a", "b:25"], "labels": {"site": "zrh", "x": ""}}, {"labels": {}, "targets": ["[::1]:80"]}])",
       "a b:25 {site=zrh,x=,}; [::1]:80 {}"},
      {R"([{"targets": []}, {}, {"targets": null, "labels": null}])", "{}; {}; {}"},
      {" \n[ { \"targets\" : [ \"a\" ] } ]\n", "a {}"},
      {R"([{"targets": ["\u00fc\n"]}])", "\u00fc\n {}"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(json(text), expected) << text;
}

TEST(JsonTargets, WhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "empty: write []"},
      {"{}", "not a list but an object"},
      {"\"a\"", "not a list but text"},
      {"null", "not a list but null"},
      {"[1]", "a group is a number"},
      {"[[]]", "a group is a list"},
      {"[null]", "a group is null"},
      {R"([{"targets": "a"}])", "`targets` of a group is text"},
      {R"([{"targets": {}}])", "`targets` of a group is an object"},
      {R"([{"targets": [1]}])", "a target is a number: write it in quotes"},
      {R"([{"targets": [["a"]]}])", "a target is a list"},
      {R"([{"targets": [null]}])", "a target is null"},
      {R"([{"labels": []}])", "`labels` of a group is a list"},
      {R"([{"labels": {"port": 25}}])", "label `port` is a number"},
      {R"([{"labels": {"a": {"b": "c"}}}])", "label `a` is an object"},
      {R"([{"labels": {"a": null}}])", "label `a` is null"},
      {R"([{"labels": {"a": "1", "a": "2"}}])", "label `a` is there twice"},
      {R"([{"target": ["a"]}])", "a group has `target`: it may have `targets` and `labels` alone"},
      {R"([{"targets": ["a"], "targets": ["b"]}])", "a group has `targets` twice"},
      {R"([{"targets": ["a"]}] [])", "not valid JSON at byte"},
      {R"([{"targets": ["a"]},)", "not valid JSON at byte"},
      {R"([{"targets": ["a)", "not valid JSON at byte"},
      {"[{\"targets\": [\"\xff\"]}]", "not valid JSON at byte"},
      {"[{\"targets\": [\"a\nb\"]}]", "not valid JSON at byte"},
      {"\x1b[31m", "not valid JSON at byte"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string said = json(text);
    EXPECT_THAT(said, HasSubstr(std::string("wrong: ") + expected)) << text;
    for (const char c : said) EXPECT_FALSE(c >= 0 && c < ' ') << said;
  }
}

TEST(JsonTargets, Bounds) {
  EXPECT_THAT(json(std::string(100'000, '[')), HasSubstr("a group is a list"));
  EXPECT_THAT(json("[{\"targets\": [\"" + std::string(kMaxTargetText + 1, 'a') + "\"]}]"), HasSubstr("more than 512 bytes"));
  EXPECT_THAT(json("[{\"labels\": {\"a\": \"" + std::string(kMaxLabelText + 1, 'a') + "\"}}]"),
              HasSubstr("more than 4096 bytes"));
  std::string many = "[{\"labels\": {";
  for (int i = 0; i < 65; ++i) many += fmt::format("{}\"l{}\": \"x\"", i > 0 ? "," : "", i);
  EXPECT_THAT(json(many + "}}]"), HasSubstr("more than 64 labels"));
  std::string targets = "[{\"targets\": [\"a\"";
  for (std::size_t i = 1; i < kMaxListedTargets; ++i) targets += ",\"a\"";
  EXPECT_EQ(std::get<TargetGroups>(parse_json_targets(targets + "]}]")).at(0).targets.size(), kMaxListedTargets);
  EXPECT_THAT(json(targets + ",\"a\"]}]"), HasSubstr("more than 200000 targets"));
  EXPECT_THAT(json(std::string(kMaxTargetList + 1, ' ')), HasSubstr("larger than 32 MiB"));
}

TEST(YamlTargets, Table) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]\n", ""},
      {"- targets: [a, 'b:25']\n  labels:\n    site: zrh\n    port: 25\n    up: true\n    none:\n- targets:\n  - '[::1]:80'\n",
       "a b:25 {none=,port=25,site=zrh,up=true,}; [::1]:80 {}"},
      {"- targets:\n- labels:\n", "{}; {}"},
      {R"([{"targets": ["a"], "labels": {"site": "zrh"}}])", "a {site=zrh,}"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(yaml(text), expected) << text;
}

TEST(YamlTargets, WhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "empty: write []"},
      {"# nothing yet\n", "empty: write []"},
      {"~\n", "empty: write []"},
      {"targets: [a]\n", "line 1: the file must be a list of groups, but this is a map"},
      {"- a\n", "line 1: a group must be a map with targets and labels, but this is text"},
      {"- targets: a\n", "line 1: `targets` must be a list, but this is text"},
      {"- targets:\n  - a\n  - [b]\n", "line 3: a target must be text, but this is a list"},
      {"- targets: [~]\n", "line 1: a target must be text, but this is nothing"},
      {"- labels: [a]\n", "line 1: `labels` must be a map"},
      {"- labels: {a: [b]}\n", "line 1: a label must be text"},
      {"- labels: {a: b, a: c}\n", "line 1: `a` is there twice"},
      {"- target: [a]\n", "line 1: a group has `target`"},
      {"- targets: [&x a, *x]\n", "anchors"},
      {"- targets: [!!str a]\n", "tags"},
      {"[]\n---\n[]\n", "a second document"},
      {"- targets: [a\n", "not valid YAML"},
  };
  for (const auto& [text, expected] : cases) EXPECT_THAT(yaml(text), HasSubstr(expected)) << text;
  EXPECT_THAT(yaml(std::string("- targets: [a]\0", 15)), HasSubstr("NUL"));
  EXPECT_THAT(yaml(std::string(1000, '[')), HasSubstr("not valid YAML"));
  EXPECT_THAT(yaml("- labels: {a: " + std::string(20, '[') + std::string(20, ']') + "}\n"), HasSubstr("nested too deeply"));
  EXPECT_THAT(yaml(std::string(kMaxYamlList + 1, ' ')), HasSubstr("larger than 4 MiB: write it as JSON"));
  std::string wide = "- labels:\n";
  for (int i = 0; i < 2000; ++i) wide += fmt::format("    l{}: x\n", i);
  EXPECT_THAT(yaml(wide), HasSubstr("more than 64 labels"));
}

}  // namespace
}  // namespace ajar
