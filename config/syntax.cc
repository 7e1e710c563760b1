#include "config/syntax.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace ajar {

namespace {

constexpr int kMostRepairs = 100;

// Where in `text` line number `line` (from 1) begins and ends, without its line end.
std::pair<std::size_t, std::size_t> line_bounds(std::string_view text, unsigned line) {
  std::size_t begin = 0;
  for (unsigned n = 1; n < line; ++n) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return {text.size(), text.size()};
    begin = end + 1;
  }
  std::size_t end = std::min(text.find('\n', begin), text.size());
  if (end > begin && text[end - 1] == '\r') --end;
  return {begin, end};
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// `key = some value` on one line where the value is plain words that lack their quotes.
struct Unquoted {
  std::string_view key;
  std::string_view value;
};
std::optional<Unquoted> unquoted_value(std::string_view line) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const Unquoted out{trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1, line.find('#', equals) - equals - 1))};
  if (out.key.empty() || out.value.empty()) return std::nullopt;
  if (out.key.find_first_of("\"'[]{},#") != std::string_view::npos) return std::nullopt;
  if (out.value.find_first_of("\"'[]{},=\\") != std::string_view::npos) return std::nullopt;
  return out;
}

// What was meant by a word that other languages know.
std::string_view as_boolean(std::string_view word) {
  for (const std::string_view yes : {"yes", "Yes", "on", "On", "True", "TRUE"}) {
    if (word == yes) return "true";
  }
  for (const std::string_view no : {"no", "No", "off", "Off", "False", "FALSE"}) {
    if (word == no) return "false";
  }
  return {};
}

// What to write, by a part of toml++'s description.
std::string_view remedy(std::string_view description) {
  constexpr std::string_view kQuotes = "text, durations and addresses stand in quotes, like \"1h\"";
  constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kRemedies = {{
      {"cannot redefine", "it is there twice: keep one, with all its keys below it"},
      {"utf-8", "save the file as UTF-8"},
      {"escape sequence", "write \\\\ for a backslash, or put the text in single quotes"},
      {"parsing string", "close the text with a quote on the same line"},
      {"parsing array", "put commas between the elements and a ] at the end"},
      {"parsing inline table", "write { key = value, key = value } on one line"},
      {"parsing table header", "write [name] or [[name]] on a line of its own"},
      {"parsing value", kQuotes},
      {"parsing boolean", kQuotes},
      {"integer", kQuotes},
      {"floating-point", kQuotes},
      {"parsing date", "write a date of the calendar, like 2027-01-31"},
      {"expected '='", "write key = value"},
      {"expected value", "write a value after the =, or remove the line"},
      {"comment or whitespace", "write one key = value on a line; text stands in quotes"},
  }};
  for (const auto& [part, what] : kRemedies) {
    if (description.find(part) != std::string_view::npos) return what;
  }
  return "write key = value, with text in quotes; the notation is described at https://toml.io";
}

// Whether toml++ stumbled over a word that stands where a value should.
bool about_bare_word(std::string_view description) {
  constexpr std::array<std::string_view, 6> kValues = {"parsing value",  "boolean", "integer",
                                                       "floating-point", "time",    "whitespace"};
  return description.find("redefine") == std::string_view::npos && std::any_of(kValues.begin(), kValues.end(), [&](auto part) {
           return description.find(part) != std::string_view::npos;
         });
}

// Reports `error`. True when `text` was repaired and can be tried again.
bool report(const toml::parse_error& error, std::string& text, Errors& errors) {
  const Place place{error.source().begin.line, error.source().begin.column};
  constexpr std::string_view kOpening = "Error while parsing ";
  std::string_view description = error.description();
  const auto [begin, end] = line_bounds(text, place.line);
  const auto bare = unquoted_value(std::string_view(text).substr(begin, end - begin));
  if (!bare || !about_bare_word(description)) {
    const std::string_view what = remedy(description);
    if (description.starts_with(kOpening)) description.remove_prefix(kOpening.size());
    errors.add(place, fmt::format("not valid TOML ({}): {}", printable(description), what));
    return false;
  }
  const std::string_view boolean = as_boolean(bare->value);
  const std::string meant = boolean.empty() ? fmt::format("\"{}\"", bare->value) : std::string(boolean);
  const std::size_t at = static_cast<std::size_t>(bare->value.data() - text.data());
  const Place value_place{place.line, static_cast<unsigned>(at - begin) + 1};
  const std::string_view why = boolean.empty() ? "text, durations and addresses stand in quotes" : "there is true and false";
  errors.add(value_place, fmt::format("not valid TOML: {}: write {} = {}", why, printable(bare->key), printable(meant)));
  text.replace(at, bare->value.size(), meant);
  return true;
}

}  // namespace

std::optional<toml::table> parse_document(std::string_view text, Errors& errors) {
  std::string repaired(text);
  for (int repairs = 0; repairs <= kMostRepairs; ++repairs) {
    try {
      return toml::parse(std::string_view(repaired));
    } catch (const toml::parse_error& error) {
      if (!report(error, repaired, errors)) return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace ajar
