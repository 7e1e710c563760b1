// The head of an HTTP/1 request as a proxy reads it (RFC 9112 3). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ajar::lab {

// RFC 9112 3.2.
enum class Form : std::uint8_t { authority, absolute, origin, other };

struct HttpRequest {
  std::string method, target, version;
  std::vector<std::pair<std::string, std::string>> fields;  // as they came
  Form form = Form::other;
  std::string authority;   // of the target; in the origin form that of Host; may be empty
  std::string path;        // with its query; "/" where the absolute form has none; empty for CONNECT
  std::uint64_t body = 0;  // Content-Length
  bool chunked = false;    // any Transfer-Encoding
};

// Lines without their line ends, without the empty one at the end. nullopt: 400.
std::optional<HttpRequest> parse_http_request(const std::vector<std::string>& lines);

struct Destination {
  std::string host;  // a name or an address without brackets
  std::uint16_t port = 0;
};
// "name", "name:8025", "203.0.113.5:80", "[2001:db8::7]:80", each also behind "user@". `default_port` 0: one must be there.
std::optional<Destination> parse_authority(std::string_view authority, std::uint16_t default_port);

}  // namespace ajar::lab
