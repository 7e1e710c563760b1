// Reading the TOML files that are a part of the program (zones.toml, remedies/*.toml, notices/*.toml). They are ours: what is
// wrong in one is a bug, which the first test finds, and is thrown as std::logic_error with file and line.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace ajar::own_toml {

[[noreturn]] inline void bug(const toml::node& node, std::string_view message) {
  const toml::source_region& source = node.source();
  throw std::logic_error(fmt::format("{}:{}: {}", source.path ? *source.path : "", source.begin.line, message));
}

inline toml::table parse(std::string_view file, std::string_view text) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw std::logic_error(fmt::format("{}:{}: {}", file, error.source().begin.line, error.description()));
  }
}

// Each of these takes its key out of the table, so that finish() finds what nobody asked for.
template <class T>
T take(toml::table& table, std::string_view key, T otherwise) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return otherwise;
  std::optional<T> value = node->value_exact<T>();
  if (!value) bug(*node, fmt::format("{} has the wrong type", key));
  table.erase(key);
  return *std::move(value);
}

inline std::string text(toml::table& table, std::string_view key) { return take<std::string>(table, key, {}); }

inline std::string needed(toml::table& table, std::string_view key) {
  std::string value = text(table, key);
  if (value.empty()) bug(table, fmt::format("{} is missing", key));
  return value;
}

// [[key]] in their order; empty where there is none.
inline std::vector<toml::table> tables(toml::table& table, std::string_view key) {
  std::vector<toml::table> all;
  toml::node* node = table.get(key);
  if (node == nullptr) return all;
  toml::array* array = node->as_array();
  if (array == nullptr) bug(*node, fmt::format("{} is no list of tables", key));
  for (toml::node& one : *array) {
    if (!one.is_table()) bug(one, fmt::format("{} is no list of tables", key));
    all.push_back(std::move(*one.as_table()));  // a copy would not know its line
  }
  table.erase(key);
  return all;
}

// Every key was asked for.
inline void finish(const toml::table& table) {
  for (const auto& [key, value] : table) bug(value, fmt::format("unknown key {}", key.str()));
}

}  // namespace ajar::own_toml
