// One table of the TOML file while it is read. Asking for a key makes it known; what nobody asked for is an error in the end.
// So the list of known keys cannot differ from what is read.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "config/config.h"
#include "config/values.h"

namespace ajar {

struct Place {
  unsigned line = 0, column = 0;
};
Place place_of(const toml::node& node);
Place place_of(const toml::key& key);
// "text", "a whole number", "a list": for "must be …, but this is …".
std::string_view kind_of(const toml::node& node);

// Collects the errors of one file.
class Errors {
 public:
  explicit Errors(std::string file) : file_(std::move(file)) {}
  void add(Place place, std::string message) { errors_.push_back({file_, place.line, place.column, std::move(message)}); }
  bool empty() const { return errors_.empty(); }
  // In order of appearance.
  std::vector<ConfigError> take();

 private:
  std::string file_;
  std::vector<ConfigError> errors_;
};

// Where else in the file a key may belong: "below [agent]", and the keys there.
using Homes = std::vector<std::pair<std::string, std::vector<std::string>>>;

class Section {
 public:
  // `title` as it is written: "[agent]", "[[target]]"; empty for the top of the file. `place`: of its header.
  // `prefix` stands before every key in errors: "intervals.".
  Section(const toml::table& table, std::string title, Place place, Errors& errors, std::string prefix = {})
      : table_(table), title_(std::move(title)), prefix_(std::move(prefix)), place_(place), errors_(errors) {}

  Place place() const { return place_; }
  // Where a key's value is written, else the header.
  Place place(std::string_view key) const;
  bool has(std::string_view key) const { return table_.contains(key); }
  // The value, or nullptr when the key is not written. `header`: how the key is shown, when it is a table: "[agent]".
  const toml::node* find(std::string_view key, std::string_view header = {});
  // The error "`key` message" at a place.
  void wrong(Place place, std::string_view key, std::string_view message);
  // [key]: an empty one when it is not written. [[key]]: each one.
  Section sub_table(const std::string& key);
  std::vector<Section> sub_tables(const std::string& key);
  // A key, table or list of tables that is not taken: one error for each.
  void refuse(std::string_view key, const std::string& message);
  const toml::table& table() const { return table_; }
  Errors& errors() { return errors_; }

  // Each leaves `into` as it is when the key is not written or wrong, and reports what is wrong. True: written and right.
  template <class T>
  bool text(std::string_view key, T& into, T (*read)(std::string_view));
  bool one_of(std::string_view key, std::string& into, const std::vector<std::string>& words);
  bool number(std::string_view key, unsigned& into, unsigned least, unsigned most);
  bool duration(std::string_view key, Duration& into, Duration least, Duration most);
  bool flag(std::string_view key, bool& into);
  // A list of text. What is wrong or there twice is reported and left out.
  template <class T>
  bool list(std::string_view key, std::vector<T>& into, T (*read)(std::string_view));
  // The key must be there: otherwise the error says what to write.
  void require(std::string_view key, std::string_view remedy);

  // Reports every key that nobody asked for.
  void finish(const Homes& others = {});
  const std::vector<std::string>& known() const { return known_; }

 private:
  // The text of a node; nullopt and an error when it is something else or has control characters.
  const std::string* text_of(const toml::node& node, std::string_view key, std::string_view example);
  const toml::array* list_of(const toml::node& node, std::string_view key);
  void unknown(const toml::key& key, const Homes& others);

  const toml::table& table_;
  std::string title_;
  std::string prefix_;
  Place place_;
  Errors& errors_;
  std::vector<std::string> known_;    // asked for
  std::vector<std::string> shown_;    // the same as shown to the operator
  std::vector<std::string> refused_;  // reported already
};

// How a node would be written in quotes, for the remedy "write it in quotes"; empty for lists and tables.
std::string in_quotes(const toml::node& node);
// "= `value` message": the rest of an error after its key.
std::string about(std::string_view value, std::string_view message);

template <class T>
bool Section::text(std::string_view key, T& into, T (*read)(std::string_view)) {
  const toml::node* node = find(key);
  if (!node) return false;
  const std::string* written = text_of(*node, key, {});
  if (!written) return false;
  try {
    into = read(*written);
    return true;
  } catch (const Wrong& e) {
    wrong(place_of(*node), key, about(*written, e.what()));
    return false;
  }
}

template <class T>
bool Section::list(std::string_view key, std::vector<T>& into, T (*read)(std::string_view)) {
  const toml::node* node = find(key);
  if (!node) return false;
  const toml::array* elements = list_of(*node, key);
  if (!elements) return false;
  std::vector<T> out;
  std::set<T> seen;
  bool right = true;
  for (const toml::node& element : *elements) {
    const std::string* written = text_of(element, key, {});
    if (!written) {
      right = false;
      continue;
    }
    try {
      T value = read(*written);
      if (!seen.insert(value).second) throw Wrong("is there twice: remove one");
      out.push_back(std::move(value));
    } catch (const Wrong& e) {
      wrong(place_of(element), key, about(*written, e.what()));
      right = false;
    }
  }
  into = std::move(out);
  return right;
}

}  // namespace ajar
