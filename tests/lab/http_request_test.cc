#include "tests/lab/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar::lab {
namespace {

HttpRequest parsed(const std::vector<std::string>& lines) {
  const std::optional<HttpRequest> request = parse_http_request(lines);
  EXPECT_TRUE(request) << lines.front();
  return request.value_or(HttpRequest{});
}

TEST(HttpRequest, KnowsTheForms) {
  const HttpRequest connect = parsed({"CONNECT 127.9.9.9:8025 HTTP/1.1", "Host: else.test"});
  EXPECT_EQ(connect.form, Form::authority);
  EXPECT_EQ(connect.authority, "127.9.9.9:8025");
  const HttpRequest absolute = parsed({"GET HTTP://user@canary.test:8025?q#f HTTP/1.0", "Host: else.test"});
  EXPECT_EQ(absolute.form, Form::absolute);
  EXPECT_EQ(absolute.authority, "user@canary.test:8025");
  EXPECT_EQ(absolute.path, "/?q");
  const HttpRequest bare = parsed({"GET http://canary.test HTTP/1.1"});
  EXPECT_EQ(bare.path, "/");
  const HttpRequest origin = parsed({"POST /a/b?c HTTP/1.1", "host:\tcanary.test:8025 ", "Content-Length: 12"});
  EXPECT_EQ(origin.form, Form::origin);
  EXPECT_EQ(origin.authority, "canary.test:8025");
  EXPECT_EQ(origin.path, "/a/b?c");
  EXPECT_EQ(origin.body, 12U);
  EXPECT_EQ(parsed({"OPTIONS * HTTP/1.1"}).form, Form::other);
  EXPECT_EQ(parsed({"GET ftp://canary.test/ HTTP/1.1"}).form, Form::other);
  EXPECT_TRUE(parsed({"PUT / HTTP/1.1", "Transfer-Encoding: chunked"}).chunked);
}

TEST(HttpRequest, RefusesWhatIsNone) {
  for (const char* line : {"", "GET", "GET /", "GET / HTTP/2.0", "GET / HTTP/1.1 ", " / HTTP/1.1", "GET  HTTP/1.1",
                           "G@T / HTTP/1.1", "GET a b HTTP/1.1", "EHLO probe.test"}) {
    EXPECT_FALSE(parse_http_request({line})) << line;
  }
  for (const char* field :
       {"no colon", ": no name", "a name: x", "Content-Length: x", "Content-Length: -1", "Content-Length:"}) {
    EXPECT_FALSE(parse_http_request({"GET / HTTP/1.1", field})) << field;
  }
  EXPECT_FALSE(parse_http_request({}));
}

TEST(Authority, IsHostAndPort) {
  const auto text = [](std::string_view authority, std::uint16_t port) {
    const std::optional<Destination> to = parse_authority(authority, port);
    return to ? to->host + " " + std::to_string(to->port) : std::string("none");
  };
  EXPECT_EQ(text("127.9.9.9:8025", 0), "127.9.9.9 8025");
  EXPECT_EQ(text("canary.test", 80), "canary.test 80");
  EXPECT_EQ(text("canary.test", 0), "none");
  EXPECT_EQ(text("own.test@canary.test:25", 0), "canary.test 25");
  EXPECT_EQ(text("[2001:db8::7]:80", 0), "2001:db8::7 80");
  EXPECT_EQ(text("[2001:db8::7]", 80), "2001:db8::7 80");
  for (const char* none : {"", ":80", "a:", "a:0", "a:x", "a:65536", "a:1:2", "[::1", "[::1]x", "[]:1"})
    EXPECT_EQ(text(none, 80), "none") << none;
}

}  // namespace
}  // namespace ajar::lab
