// YAML text to a tree in which every node knows its place. Only what configuration files need: one document, no anchors and
// aliases, no tags, keys that are text and unique.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/section.h"

namespace ajar {

struct YamlNode {
  enum class Kind { nothing, text, list, map };
  Kind kind = Kind::nothing;
  Place place;
  std::string text;                                         // also of numbers and booleans: as written
  bool quoted = false;                                      // text that stood in quotes
  std::vector<YamlNode> items;                              // of a list
  std::vector<std::pair<YamlNode, YamlNode>> entries = {};  // of a map: key (text) and value, in their order
};

// The document (nothing for an empty one), or nullopt with what is wrong in `errors`; so is one of more values than `most`.
inline constexpr std::size_t kMostYamlNodes = 20'000;
std::optional<YamlNode> parse_yaml(std::string_view text, Errors& errors, std::size_t most = kMostYamlNodes);

// "text", "a list", …: for "must be …, but this is …".
std::string_view kind_of(const YamlNode& node);

}  // namespace ajar
