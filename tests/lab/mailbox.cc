#include "tests/lab/mailbox.h"

#include <algorithm>

namespace ajar::lab {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Where `wanted` stands outside quotes, first or last; npos when nowhere.
std::size_t find_unquoted(std::string_view text, char wanted, bool last) {
  bool quoted = false;
  std::size_t found = std::string_view::npos;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == wanted && !quoted) {
      found = i;
      if (!last) break;
    }
  }
  return found;
}

}  // namespace

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

std::string printable(std::string_view text) {
  std::string result(text.substr(0, 256));
  for (char& c : result) {
    if (control(c) || static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return result;
}

bool has_unquoted(std::string_view text, char wanted) { return find_unquoted(text, wanted, false) != std::string_view::npos; }

std::optional<Path> parse_path(std::string_view argument, std::string_view keyword) {
  if (argument.size() <= keyword.size() || to_lower(argument.substr(0, keyword.size())) != to_lower(keyword))
    return std::nullopt;
  argument.remove_prefix(keyword.size());
  if (argument.front() != ':') return std::nullopt;
  argument.remove_prefix(1);
  // Postfix and Exim both take a space after the colon, which RFC 5321 forbids.
  while (!argument.empty() && argument.front() == ' ') argument.remove_prefix(1);
  if (argument.empty() || argument.front() != '<' || std::ranges::any_of(argument, control)) return std::nullopt;
  argument.remove_prefix(1);
  const std::size_t end = find_unquoted(argument, '>', false);
  if (end > kMaxPath) return std::nullopt;  // also where there is none: npos
  Path path;
  path.text = argument.substr(0, end);
  argument.remove_prefix(end + 1);
  while (!argument.empty()) {
    const std::size_t space = std::min(argument.find(' '), argument.size());
    if (space > 0) path.parameters.emplace_back(argument.substr(0, space));
    argument.remove_prefix(std::min(space + 1, argument.size()));
    if (path.parameters.size() > 16) return std::nullopt;
  }
  return path;
}

Mailbox split_mailbox(std::string_view text) {
  const std::size_t at = find_unquoted(text, '@', true);
  if (at == std::string_view::npos) return Mailbox{std::string(text), {}};
  return Mailbox{std::string(text.substr(0, at)), to_lower(text.substr(at + 1))};
}

std::string_view strip_source_route(std::string_view text) {
  if (text.empty() || text.front() != '@') return text;
  const std::size_t colon = text.find(':');
  // An IPv6 literal holds colons too: the route ends at the colon after the bracket.
  const std::size_t bracket = text.find(']');
  if (bracket != std::string_view::npos && colon < bracket && text.find('[') < colon) {
    const std::size_t after = text.find(':', bracket);
    return after == std::string_view::npos ? text : text.substr(after + 1);
  }
  return colon == std::string_view::npos ? text : text.substr(colon + 1);
}

std::string unquote(std::string_view local) {
  if (local.size() < 2 || local.front() != '"' || local.back() != '"') return std::string(local);
  std::string result;
  for (std::size_t i = 1; i + 1 < local.size(); ++i) {
    if (local[i] == '\\' && i + 2 < local.size()) ++i;
    result += local[i];
  }
  return result;
}

}  // namespace ajar::lab
