#include "agent/accept.h"

#include <algorithm>

namespace ajar {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes what stands before the next `separator` from `text`.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return trim(part);
}

// "0", "0.5", "1.000" as thousandths (RFC 9110 12.4.2); anything else is 0.
int parse_quality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  if (text.size() > 1 && text[1] != '.') return 0;
  int value = (text[0] - '0') * 1000;
  int unit = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (c < '0' || c > '9') return 0;
    value += (c - '0') * unit;
    unit /= 10;
  }
  return std::min(value, 1000);
}

}  // namespace

std::vector<AcceptItem> parse_accept(std::string_view header) {
  std::vector<AcceptItem> items;
  while (!header.empty()) {
    std::string_view rest = take(header, ',');
    AcceptItem item;
    item.name = take(rest, ';');
    while (!rest.empty()) {
      std::string_view value = take(rest, ';');
      const std::string_view key = take(value, '=');
      if (key == "q") item.quality = parse_quality(trim(value));
      if (key == "version") item.version = trim(value);
    }
    if (!item.name.empty()) items.push_back(item);
  }
  return items;
}

bool accepts_gzip(std::string_view header) {
  for (const AcceptItem& item : parse_accept(header)) {
    if (item.name == "gzip" || item.name == "x-gzip") return item.quality > 0;
  }
  return false;
}

}  // namespace ajar
