#include "config/section.h"

#include <algorithm>
#include <sstream>

namespace ajar {

Place place_of(const toml::node& node) { return {node.source().begin.line, node.source().begin.column}; }
Place place_of(const toml::key& key) { return {key.source().begin.line, key.source().begin.column}; }

std::string_view kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time of day";
    case toml::node_type::date_time:
      return "a date with a time";
    case toml::node_type::array:
      return node.is_array_of_tables() ? "a list of tables ([[…]])" : "a list";
    case toml::node_type::table:
      return "a table";
    default:
      return "nothing";
  }
}

std::string in_quotes(const toml::node& node) {
  if (node.is_table() || node.is_array()) return {};
  std::ostringstream out;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_value<decltype(value)>) out << value;
  });
  return fmt::format("\"{}\"", printable(out.str()));
}

std::string about(std::string_view value, std::string_view message) {
  return value.empty() ? std::string(message) : fmt::format("= {} {}", quote(value), message);
}

std::vector<ConfigError> Errors::take() {
  const auto earlier = [](const ConfigError& a, const ConfigError& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  };
  std::stable_sort(errors_.begin(), errors_.end(), earlier);
  return std::move(errors_);
}

Place Section::place(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node ? place_of(*node) : place_;
}

const toml::node* Section::find(std::string_view key, std::string_view header) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
    known_.emplace_back(key);
    shown_.emplace_back(header.empty() ? key : header);
  }
  return table_.get(key);
}

void Section::wrong(Place place, std::string_view key, std::string_view message) {
  errors_.add(place, fmt::format("`{}{}` {}", prefix_, printable(key), message));
}

const toml::table& no_table() {
  static const toml::table none;
  return none;
}

Section Section::sub_table(const std::string& key) {
  const std::string header = fmt::format("[{}]", key);
  const toml::node* node = find(key, header);
  if (!node) return {no_table(), header, place_, errors_};
  if (const auto* table = node->as_table()) return {*table, header, place_of(*node), errors_};
  const std::string_view remedy = node->is_array_of_tables() ? ", once" : " above its keys";
  wrong(place_of(*node), key, fmt::format("must be a table, but this is {}: write {}{}", kind_of(*node), header, remedy));
  return {no_table(), header, place_, errors_};
}

std::vector<Section> Section::sub_tables(const std::string& key) {
  const std::string above = title_.empty() ? "" : title_.substr(1, title_.size() - 2) + ".";
  const std::string header = fmt::format("[[{}{}]]", above, key);
  const toml::node* node = find(key, header);
  std::vector<Section> out;
  if (!node) return out;
  const auto* array = node->as_array();
  if (!array) {
    wrong(place_of(*node), key,
          fmt::format("must be a list of tables, but this is {}: write {} above each", kind_of(*node), header));
    return out;
  }
  for (const toml::node& element : *array) {
    if (const auto* table = element.as_table()) {
      out.emplace_back(*table, header, place_of(element), errors_);
    } else {
      wrong(place_of(element), key, fmt::format("holds {} among its tables: write {} above each", kind_of(element), header));
    }
  }
  return out;
}

void Section::refuse(std::string_view key, const std::string& message) {
  refused_.emplace_back(key);
  const toml::node* node = table_.get(key);
  if (!node) return;
  const auto* array = node->as_array();
  if (!array || array->empty()) {
    errors_.add(place_of(*node), message);
  } else {
    for (const toml::node& element : *array) errors_.add(place_of(element), message);
  }
}

const std::string* Section::text_of(const toml::node& node, std::string_view key, std::string_view example) {
  const auto* value = node.as_string();
  if (!value) {
    const std::string quoted = in_quotes(node);
    std::string remedy = "write one text in quotes";
    if (!quoted.empty()) remedy = fmt::format("write {}", quoted);
    if (!example.empty()) remedy = fmt::format("write {}", example);
    wrong(place_of(node), key, fmt::format("must be text in quotes, but this is {}: {}", kind_of(node), remedy));
    return nullptr;
  }
  const std::string& text = value->get();
  const bool control = std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
  if (control) {
    wrong(place_of(node), key, about(text, "has a control character: write it on one line, without tabs"));
    return nullptr;
  }
  return &text;
}

const toml::array* Section::list_of(const toml::node& node, std::string_view key) {
  const auto* elements = node.as_array();
  if (elements && !node.is_array_of_tables()) return elements;
  std::string remedy = "write [\"…\", \"…\"]";
  if (const auto* lone = node.as_string()) remedy = fmt::format("write {} = [\"{}\"]", key, printable(lone->get()));
  if (const auto* lone = node.as_integer()) remedy = fmt::format("write {} = [{}]", key, lone->get());
  wrong(place_of(node), key, fmt::format("must be a list, but this is {}: {}", kind_of(node), remedy));
  return nullptr;
}

bool Section::one_of(std::string_view key, std::string& into, const std::vector<std::string>& words) {
  const toml::node* node = find(key);
  if (!node) return false;
  const std::string* written = text_of(*node, key, fmt::format("\"{}\"", into));
  if (!written) return false;
  try {
    into = read_one_of(*written, words);
    return true;
  } catch (const Wrong& e) {
    wrong(place_of(*node), key, about(*written, e.what()));
    return false;
  }
}

bool Section::number(std::string_view key, unsigned& into, unsigned least, unsigned most) {
  const toml::node* node = find(key);
  if (!node) return false;
  const auto* value = node->as_integer();
  if (!value) {
    const auto* text = node->as_string();
    const auto quoted = text ? parse_port(text->get()) : std::nullopt;  // a small whole number, as ports are
    const std::string meant = quoted ? format_port(Port{quoted->number}) : std::to_string(into);
    wrong(place_of(*node), key,
          fmt::format("must be a whole number, but this is {}: write {} = {}", kind_of(*node), key, meant));
    return false;
  }
  if (value->get() < least || value->get() > most) {
    wrong(place_of(*node), key, fmt::format("= {} is out of range: write a number from {} to {}", value->get(), least, most));
    return false;
  }
  into = static_cast<unsigned>(value->get());
  return true;
}

bool Section::duration(std::string_view key, Duration& into, Duration least, Duration most) {
  const toml::node* node = find(key);
  if (!node) return false;
  if (const auto* bare = node->as_integer()) {
    wrong(place_of(*node), key, fmt::format("= {0} has no unit: write \"{0}s\", \"{0}m\" or \"{0}h\"", bare->get()));
    return false;
  }
  const std::string* written = text_of(*node, key, fmt::format("\"{}\"", format_duration(into)));
  if (!written) return false;
  const auto parsed = parse_duration(*written);
  std::string problem;
  if (!parsed) {
    problem = fmt::format("is not a duration of at least 100ms: write numbers with d, h, m, s or ms, like \"{}\"",
                          format_duration(into));
  } else if (*parsed < least) {
    problem = fmt::format("is too short: write at least \"{}\"", format_duration(least));
  } else if (*parsed > most) {
    problem = fmt::format("is too long: write at most \"{}\"", format_duration(most));
  }
  if (!problem.empty()) {
    wrong(place_of(*node), key, about(*written, problem));
    return false;
  }
  into = *parsed;
  return true;
}

bool Section::flag(std::string_view key, bool& into) {
  const toml::node* node = find(key);
  if (!node) return false;
  const auto* value = node->as_boolean();
  if (!value) {
    wrong(place_of(*node), key,
          fmt::format("must be true or false, but this is {}: write {} = true, without quotes", kind_of(*node), key));
    return false;
  }
  into = value->get();
  return true;
}

void Section::require(std::string_view key, std::string_view remedy) {
  if (has(key)) return;
  errors_.add(place_, fmt::format("{} has no `{}`: write {}", title_, key, remedy));
}

void Section::finish(const Homes& others) {
  for (const auto& [key, value] : table_) {
    const auto named = [&](const std::vector<std::string>& keys) {
      return std::find(keys.begin(), keys.end(), key.str()) != keys.end();
    };
    if (!named(known_) && !named(refused_)) unknown(key, others);
  }
}

void Section::unknown(const toml::key& key, const Homes& others) {
  const std::string where = title_.empty() ? "" : fmt::format(" in {}", title_);
  const std::string what = fmt::format("unknown key {}{}", quote(key.str()), where);
  for (const auto& [home, keys] : others) {
    if (std::find(keys.begin(), keys.end(), key.str()) == keys.end()) continue;
    errors_.add(place_of(key), fmt::format("{}: move it {}", what, home));
    return;
  }
  if (const auto near = did_you_mean(key.str(), known_)) {
    const auto index = std::find(known_.begin(), known_.end(), *near) - known_.begin();
    errors_.add(place_of(key), fmt::format("{}: did you mean `{}`?", what, shown_[static_cast<std::size_t>(index)]));
    return;
  }
  errors_.add(place_of(key), fmt::format("{}: remove it, or write {}", what, join_or(shown_)));
}

}  // namespace ajar
