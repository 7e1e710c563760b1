// A list of targets in the format of Prometheus (file_sd and http_sd): groups of targets that share labels.
//
//   [ {"targets": ["mx1.example.org:25", "203.0.113.5"], "labels": {"site": "zrh", "__ajar_checks": "smtp_relay"}} ]
//
// JSON or the same in YAML, from a stranger's hand as far as this file is concerned: bounded in size, depth and number. A list
// that is not right in every byte is no list at all, as Prometheus has it: half of one would retire the other half's servers.
#pragma once

#include <cstddef>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ajar {

struct TargetGroup {
  std::vector<std::string> targets;
  std::map<std::string, std::string> labels;
  friend bool operator==(const TargetGroup&, const TargetGroup&) = default;
};
using TargetGroups = std::vector<TargetGroup>;

inline constexpr std::size_t kMaxTargetList = 32 * 1024 * 1024;  // bytes of JSON
inline constexpr std::size_t kMaxYamlList = 4 * 1024 * 1024;     // bytes of YAML, whose parser is slow
inline constexpr std::size_t kMaxListedTargets = 200'000;        // of one source
inline constexpr std::size_t kMaxGroupLabels = 64;
inline constexpr std::size_t kMaxTargetText = 512;  // bytes of one target as written
inline constexpr std::size_t kMaxLabelText = 4096;  // bytes of a label's name or value

// What is wrong with a list; what() is one sentence, printable as it is.
class BadTargetList : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Takes the parts of a list in their order, and keeps its bounds: BadTargetList.
class TargetGroupBuilder {
 public:
  void begin_group();
  void target(std::string text);                           // after begin_group()
  void label(const std::string& name, std::string value);  // after begin_group()
  TargetGroups take() { return std::move(groups_); }

 private:
  TargetGroups groups_;
  std::size_t targets_ = 0;
};

// The groups, or what is wrong with the text: one sentence, printable as it is. JSON: agent/target_list.h.
std::variant<TargetGroups, std::string> parse_yaml_targets(std::string_view text);

}  // namespace ajar
