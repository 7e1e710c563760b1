#include "tests/lab/http_request.h"

#include <algorithm>
#include <charconv>

#include "tests/lab/mailbox.h"

namespace ajar::lab {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// RFC 9110 5.6.2.
bool is_token(std::string_view text) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

template <typename Number>
std::optional<Number> number(std::string_view digits) {
  Number value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool parse_request_line(std::string_view line, HttpRequest& request) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return false;
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  request.version = line.substr(last + 1);
  if (!is_token(request.method) || request.target.empty() || request.target.find(' ') != std::string::npos) return false;
  return request.version == "HTTP/1.1" || request.version == "HTTP/1.0";
}

void split_target(HttpRequest& request) {
  constexpr std::string_view kScheme = "http://";
  std::string_view target = request.target;
  if (request.method == "CONNECT") {
    request.form = Form::authority;
    request.authority = target;
  } else if (to_lower(target.substr(0, kScheme.size())) == kScheme) {
    request.form = Form::absolute;
    target.remove_prefix(kScheme.size());
    const std::size_t end = std::min(target.find_first_of("/?#"), target.size());
    request.authority = target.substr(0, end);
    request.path = target.substr(end, target.find('#') - end);
    if (!request.path.starts_with('/')) request.path.insert(0, 1, '/');
  } else if (target.starts_with('/')) {
    request.form = Form::origin;
    request.path = target;
  }
}

bool take_field(std::string_view line, HttpRequest& request) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
  const std::string name = to_lower(line.substr(0, colon));
  const std::string_view value = trim(line.substr(colon + 1));
  request.fields.emplace_back(line.substr(0, colon), value);
  if (name == "host" && request.form == Form::origin) request.authority = value;
  if (name == "transfer-encoding") request.chunked = true;
  if (name != "content-length") return true;
  const std::optional<std::uint64_t> length = number<std::uint64_t>(value);
  request.body = length.value_or(0);
  return length.has_value();
}

}  // namespace

std::optional<HttpRequest> parse_http_request(const std::vector<std::string>& lines) {
  HttpRequest request;
  if (lines.empty() || !parse_request_line(lines.front(), request)) return std::nullopt;
  split_target(request);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (!take_field(lines[i], request)) return std::nullopt;
  }
  return request;
}

std::optional<Destination> parse_authority(std::string_view authority, std::uint16_t default_port) {
  const std::size_t at = authority.rfind('@');
  if (at != std::string_view::npos) authority.remove_prefix(at + 1);
  Destination result;
  std::string_view rest;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    result.host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
  } else {
    const std::size_t end = std::min(authority.find(':'), authority.size());
    result.host = authority.substr(0, end);
    rest = authority.substr(end);
  }
  result.port = default_port;
  if (!rest.empty()) {
    const std::optional<std::uint16_t> port = rest.front() == ':' ? number<std::uint16_t>(rest.substr(1)) : std::nullopt;
    if (!port) return std::nullopt;
    result.port = *port;
  }
  if (result.host.empty() || result.port == 0) return std::nullopt;
  return result;
}

}  // namespace ajar::lab
