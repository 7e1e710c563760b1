#include "config/target_groups.h"

#include <fmt/format.h>

#include "config/values.h"
#include "config/yaml.h"

namespace ajar {

void TargetGroupBuilder::begin_group() {
  if (groups_.size() >= kMaxListedTargets) throw BadTargetList(fmt::format("more than {} groups", kMaxListedTargets));
  groups_.emplace_back();
}

void TargetGroupBuilder::target(std::string text) {
  if (++targets_ > kMaxListedTargets) throw BadTargetList(fmt::format("more than {} targets", kMaxListedTargets));
  if (text.size() > kMaxTargetText) throw BadTargetList(fmt::format("a target of more than {} bytes", kMaxTargetText));
  groups_.back().targets.push_back(std::move(text));
}

void TargetGroupBuilder::label(const std::string& name, std::string value) {
  if (name.size() > kMaxLabelText || value.size() > kMaxLabelText) {
    throw BadTargetList(fmt::format("a label of more than {} bytes", kMaxLabelText));
  }
  auto& labels = groups_.back().labels;
  if (!labels.try_emplace(name, std::move(value)).second) {
    throw BadTargetList(fmt::format("label {} is there twice", quote(name)));
  }
  if (labels.size() > kMaxGroupLabels) {
    throw BadTargetList(fmt::format("more than {} labels in a group", kMaxGroupLabels));
  }
}

namespace {

[[noreturn]] void refuse_node(const YamlNode& node, std::string_view what, std::string_view must) {
  throw BadTargetList(fmt::format("line {}: {} must be {}, but this is {}", node.place.line, what, must, kind_of(node)));
}

void read_yaml_group(const YamlNode& node, TargetGroupBuilder& builder) {
  if (node.kind != YamlNode::Kind::map) refuse_node(node, "a group", "a map with targets and labels");
  builder.begin_group();
  for (const auto& [key, value] : node.entries) {
    const bool nothing = value.kind == YamlNode::Kind::nothing;
    if (key.text == "targets") {
      if (value.kind != YamlNode::Kind::list && !nothing) refuse_node(value, "`targets`", "a list");
      for (const YamlNode& target : value.items) {
        if (target.kind != YamlNode::Kind::text) refuse_node(target, "a target", "text");
        builder.target(target.text);
      }
    } else if (key.text == "labels") {
      if (value.kind != YamlNode::Kind::map && !nothing) refuse_node(value, "`labels`", "a map");
      for (const auto& [name, text] : value.entries) {
        // Numbers and booleans are text here, as Prometheus takes them; so is an empty value.
        if (text.kind == YamlNode::Kind::list || text.kind == YamlNode::Kind::map) refuse_node(text, "a label", "text");
        builder.label(name.text, text.text);
      }
    } else {
      throw BadTargetList(
          fmt::format("line {}: a group has {}: it may have `targets` and `labels` alone", key.place.line, quote(key.text)));
    }
  }
}

}  // namespace

std::variant<TargetGroups, std::string> parse_yaml_targets(std::string_view text) {
  if (text.size() > kMaxYamlList) return fmt::format("larger than {} MiB: write it as JSON", kMaxYamlList >> 20);
  try {
    Errors errors("");
    const std::optional<YamlNode> root = parse_yaml(text, errors, 3 * kMaxListedTargets);
    if (!errors.empty()) {
      const ConfigError error = errors.take().front();
      return fmt::format("line {}: {}", error.line, error.message);
    }
    // A file that is being written begins as an empty one.
    if (!root || root->kind == YamlNode::Kind::nothing) return "empty: write [] for no targets";
    if (root->kind != YamlNode::Kind::list) refuse_node(*root, "the file", "a list of groups");
    TargetGroupBuilder builder;
    for (const YamlNode& node : root->items) read_yaml_group(node, builder);
    return builder.take();
  } catch (const BadTargetList& bad) {
    return bad.what();
  }
}

}  // namespace ajar
