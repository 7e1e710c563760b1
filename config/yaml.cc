#include "config/yaml.h"

#include <algorithm>
#include <map>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace ajar {

namespace {

constexpr std::size_t kDeepest = 16;

Place place_of(const YAML::Mark& mark) {
  return {static_cast<unsigned>(std::max(mark.line, 0)) + 1, static_cast<unsigned>(std::max(mark.column, 0)) + 1};
}

// Takes the parser's events; what is refused is thrown as the parser's own exception.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(Errors& errors, std::size_t most) : errors_(errors), most_(most) {}

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(mark, {}, anchor, {}, YamlNode::Kind::nothing); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override { refuse_anchor(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    const bool null = tag != "!" && (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL");
    leaf(mark, tag, anchor, value, null ? YamlNode::Kind::nothing : YamlNode::Kind::text);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    begin(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    begin(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { end(); }

  YamlNode take() { return std::move(root_); }

 private:
  static void refuse_anchor(const YAML::Mark& mark) {
    throw YAML::ParserException(mark, "anchors (&) and aliases (*) are not taken: write the value itself, or put it in quotes");
  }

  static YamlNode node_at(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (anchor != 0) refuse_anchor(mark);
    // "?": plain, "!": in quotes.
    if (!tag.empty() && tag != "?" && tag != "!") throw YAML::ParserException(mark, "tags (!) are not taken: remove it");
    YamlNode node;
    node.kind = kind;
    node.place = place_of(mark);
    return node;
  }

  void leaf(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value,
            YamlNode::Kind kind) {
    YamlNode node = node_at(mark, tag, anchor, kind);
    node.text = value;
    node.quoted = tag == "!";
    add(std::move(node), mark);
  }

  void begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (open_.size() >= kDeepest) throw YAML::ParserException(mark, "nested too deeply: nothing here is so deep");
    if (awaits_key()) throw YAML::ParserException(mark, "a key must be text: write key: value");
    open_.push_back({node_at(mark, tag, anchor, kind), mark});
  }

  void end() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    add(std::move(closed.node), closed.mark);
  }

  bool awaits_key() const { return !open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().key; }

  void add(YamlNode node, const YAML::Mark& mark) {
    if (++nodes_ > most_) throw YAML::ParserException(mark, "the file has too many values");
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      if (node.kind != YamlNode::Kind::text) throw YAML::ParserException(mark, "a key must be text: write key: value");
      parent.key = std::move(node);
    } else {
      add_entry(parent, std::move(node));
    }
  }

  struct Open {
    YamlNode node;
    YAML::Mark mark;
    std::optional<YamlNode> key = std::nullopt;
    std::map<std::string, unsigned> keys = {};  // and their lines
  };

  void add_entry(Open& parent, YamlNode value) {
    const std::string& name = parent.key->text;
    const auto [same, fresh] = parent.keys.emplace(name, parent.key->place.line);
    if (fresh) {
      parent.node.entries.emplace_back(*std::move(parent.key), std::move(value));
    } else {
      errors_.add(parent.key->place, fmt::format("{} is there twice, first in line {}: keep one", quote(name), same->second));
    }
    parent.key.reset();
  }

  Errors& errors_;
  std::size_t most_;
  std::vector<Open> open_;
  YamlNode root_;
  std::size_t nodes_ = 0;
};

}  // namespace

std::optional<YamlNode> parse_yaml(std::string_view text, Errors& errors, std::size_t most) {
  // The parser ends at a NUL in silence.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
    errors.add({static_cast<unsigned>(line) + 1, 1}, "not valid YAML: a NUL character: save the file as text (UTF-8)");
    return std::nullopt;
  }
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    TreeBuilder tree(errors, most);
    parser.HandleNextDocument(tree);
    TreeBuilder more(errors, most);
    if (parser.HandleNextDocument(more)) {
      errors.add(more.take().place, "a second document: remove it, and the --- before it");
      return std::nullopt;
    }
    return tree.take();
  } catch (const YAML::Exception& error) {
    errors.add(place_of(error.mark),
               fmt::format("not valid YAML: {}; it is written key: value, indented with spaces", printable(error.msg)));
    return std::nullopt;
  }
}

std::string_view kind_of(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::nothing:
      return "nothing";
    case YamlNode::Kind::text:
      return "text";
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a map (key: value)";
  }
  return "nothing";
}

}  // namespace ajar
