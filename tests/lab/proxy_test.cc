#include "tests/lab/proxy.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/conversation.h"
#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

struct Visit {
  std::string heard;
  std::string asked;  // what came to the canary
  std::vector<std::string> connections;
  milliseconds paused{0};
  bool was_cut = false;
  std::optional<Reason> left;
};

Task<void> hold(Link& link, const Personality& personality, World& world, std::optional<Reason>& left) {
  Setting setting;
  setting.host = "own.lab.test";
  setting.address = "127.10.0.30";
  setting.peer = "127.66.0.1";
  try {
    if (personality.implicit_tls) co_await link.start_tls();
    co_await converse(link, personality, std::move(setting), world, 1);
  } catch (const LinkError& error) {
    left = error.reason();
  }
}

Visit visit(const std::string& name, std::deque<std::string> said, MemoryWorld world = {}) {
  Transcript transcript;
  MemoryLink link(transcript, std::move(said));
  Visit result;
  bool ended = false;
  start(hold(link, *find_personality(name), world, result.left), [&ended] { ended = true; });
  EXPECT_TRUE(ended) << name;
  result.heard = link.said();
  result.asked = world.asked;
  result.connections = world.connections;
  result.paused = world.paused;
  result.was_cut = world.was_cut;
  return result;
}

std::string status(const Visit& visit) { return visit.heard.substr(0, visit.heard.find('\r')); }

const std::string kConnect = "CONNECT 127.9.9.9:8025 HTTP/1.1\r\nHost: 127.9.9.9:8025\r\n\r\n";
const std::string kGet =
    "GET http://127.9.9.9:8025/t HTTP/1.1\r\nHost: 127.9.9.9:8025\r\nX: y\r\nProxy-Connection: close\r\n\r\n";
const std::string kRouted = "GET /t HTTP/1.1\r\nHost: 127.9.9.9:8025\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPROOF\n";

const std::string kSocks4("\x04\x01\x1f\x59\x7f\x09\x09\x09\0", 9);
const std::string kSocks4a("\x04\x01\x1f\x59\0\0\0\x01me\0x.canary.test\0", 25);
const std::string kHello("\x05\x01\0", 3);
const std::string kLiteral("\x05\x01\0\x01\x7f\x09\x09\x09\x1f\x59", 10);
const std::string kName(
    "\x05\x01\0\x03\x0b"
    "canary.test\x1f\x59",
    18);
const std::string kGranted4("\0\x5a\0\0\0\0\0\0", 8);
const std::string kRejected4("\0\x5b\0\0\0\0\0\0", 8);
const std::string kGranted5("\x05\0\x05\0\0\x01\0\0\0\0\0\0", 12);

TEST(Proxy, StatusOfEachForm) {
  struct Row {
    const char *name, *connect, *get, *routed;
  };
  const Row rows[] = {
      {"proxy_closed", "403 Forbidden", "403 Forbidden", "400 Bad Request"},
      {"proxy_open", "200 Connection established", "200 OK", "400 Bad Request"},
      {"proxy_get_only", "403 Forbidden", "200 OK", "400 Bad Request"},
      {"proxy_connect_443_only", "403 Forbidden", "403 Forbidden", "400 Bad Request"},
      {"own_page", "405 Method Not Allowed", "200 OK", "200 OK"},
      {"yes_to_all", "200 OK", "200 OK", "200 OK"},
      {"yes_to_connect", "200 Connection established", "400 Bad Request", "400 Bad Request"},
      {"fixed_origin", "405 Method Not Allowed", "404 Not Found", "404 Not Found"},
      {"fixed_origin_canary", "400 Bad Request", "200 OK", "200 OK"},
      {"host_routing", "400 Bad Request", "200 OK", "200 OK"},
      {"host_routing_no_port", "400 Bad Request", "200 OK", "200 OK"},
      {"proxy_auth", "407 Proxy Authentication Required", "407 Proxy Authentication Required",
       "407 Proxy Authentication Required"},
      {"loop", "200 Connection established", "400 Bad Request", "400 Bad Request"},
      {"proxy_unreachable_upstream", "503 Service Unavailable", "504 Gateway Timeout", "504 Gateway Timeout"},
      {"proxy_tls", "200 Connection established", "200 OK", "400 Bad Request"},
      {"proxy_slow", "403 Forbidden", "403 Forbidden", "400 Bad Request"},
      {"endless_header", "200 OK", "200 OK", "200 OK"},
      {"big_body", "403 Forbidden", "200 OK", "400 Bad Request"},
      {"mixed", "200 Connection established", "200 OK", "400 Bad Request"},
  };
  MemoryWorld world;
  world.answer = kOk;
  for (const Row& row : rows) {
    EXPECT_EQ(status(visit(row.name, {kConnect}, world)), std::string("HTTP/1.1 ") + row.connect) << row.name;
    EXPECT_EQ(status(visit(row.name, {kGet}, world)), std::string("HTTP/1.1 ") + row.get) << row.name;
    EXPECT_EQ(status(visit(row.name, {kRouted}, world)), std::string("HTTP/1.1 ") + row.routed) << row.name;
  }
}

// Whom each asks, and that those that are closed ask nobody.
TEST(Proxy, OnlyOpenOnesConnect) {
  for (const Personality& personality : personalities()) {
    if (personality.kind == Kind::absent || personality.kind == Kind::reset) continue;
    bool connects = false;
    std::string name(personality.name);
    for (const std::string& bytes : {kConnect, kGet, kRouted, kSocks4, kSocks4a, kHello + kLiteral, kHello + kName}) {
      connects = connects || !visit(name, {bytes}).connections.empty();
    }
    bool open = name == "fixed_origin_canary" || name == "proxy_connect_443_only" || name == "proxy_needs_crlf";
    // The others are asked in words of their own.
    for (const std::string_view check : {"http_connect", "http_forward", "socks4", "socks5"}) {
      const Expectation* const one = personality.expect.of(check);
      open = open || (one != nullptr && one->verdict == "open");
    }
    if (name == "proxy_connect_443_only" || name == "proxy_needs_crlf") {
      EXPECT_FALSE(connects) << name << " wants another port, or one more line end";
    } else {
      EXPECT_EQ(connects, open) << name;
    }
  }
}

TEST(Proxy, TunnelsToTheCanary) {
  const Visit result = visit("proxy_open", {kConnect, "TOKEN t\r\n"});
  EXPECT_EQ(result.heard, "HTTP/1.1 200 Connection established\r\n\r\nPROOF\r\n");
  EXPECT_EQ(result.asked, "TOKEN t\r\n");
  EXPECT_THAT(result.connections, ElementsAre("127.10.0.30 -> 127.9.9.9:8025"));
  EXPECT_EQ(visit("proxy_open", {kConnect + "TOKEN t\r\n"}).asked, "TOKEN t\r\n") << "said in advance";
  EXPECT_THAT(visit("proxy_other_exit", {kConnect}).connections, ElementsAre("127.77.0.7 -> 127.9.9.9:8025"));
  EXPECT_THAT(visit("proxy_open", {"CONNECT 192.0.2.1:80 HTTP/1.1\r\n\r\n"}).heard, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(visit("proxy_open", {"CONNECT canary.test HTTP/1.1\r\n\r\n"}).heard, StartsWith("HTTP/1.1 400 "));
}

TEST(Proxy, Ports443Only) {
  for (const char* port : {"443", "8443"}) {
    const std::string connect = std::string("CONNECT canary.test:") + port + " HTTP/1.1\r\n\r\n";
    EXPECT_THAT(visit("proxy_connect_443_only", {connect, "TOKEN t\r\n"}).heard, EndsWith("PROOF\r\n"));
  }
}

TEST(Proxy, FetchesAndSaysSo) {
  MemoryWorld world;
  world.answer = kOk;
  const Visit result = visit("proxy_open", {kGet}, world);
  EXPECT_EQ(result.heard, "HTTP/1.1 200 OK\r\nVia: 1.1 own.lab.test (squid/5.7)\r\nContent-Length: 6\r\n\r\nPROOF\n");
  EXPECT_EQ(result.asked,
            "GET /t HTTP/1.1\r\nHost: 127.9.9.9:8025\r\nX: y\r\nVia: 1.1 own.lab.test (squid/5.7)\r\n"
            "X-Forwarded-For: 127.66.0.1\r\nConnection: close\r\n\r\n");
  const Visit posted =
      visit("proxy_get_only", {"POST http://canary.test/ HTTP/1.0\r\nContent-Length: 7\r\n\r\n", "token=t", "\r\n"}, world);
  EXPECT_THAT(posted.asked, AllOf(StartsWith("POST / HTTP/1.1\r\nHost: canary.test\r\n"), EndsWith("\r\n\r\ntoken=t")));
  EXPECT_THAT(posted.connections, ElementsAre("127.10.0.30 -> canary.test:80"));
}

TEST(Proxy, FailsAsItsKindDoes) {
  const std::string elsewhere = "GET http://192.0.2.1/ HTTP/1.1\r\n\r\n";
  EXPECT_THAT(visit("proxy_open", {elsewhere}).heard, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(visit("host_routing", {elsewhere}).heard, StartsWith("HTTP/1.1 502 "));
  EXPECT_THAT(visit("host_routing", {"GET / HTTP/1.1\r\n\r\n"}).heard, StartsWith("HTTP/1.1 400 ")) << "no Host";
  MemoryWorld silent;
  silent.answer = "";
  EXPECT_THAT(visit("proxy_open", {kGet}, silent).heard, StartsWith("HTTP/1.1 502 ")) << "the origin hung up";
  EXPECT_THAT(visit("proxy_open", {"POST http://canary.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"}).heard,
              StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(visit("proxy_open", {"POST http://canary.test/ HTTP/1.1\r\nContent-Length: 65537\r\n\r\n"}).heard,
              StartsWith("HTTP/1.1 413 "));
}

TEST(Proxy, RoutesByHost) {
  const std::string other = "GET /t HTTP/1.1\r\nHost: x.canary.test:81\r\n\r\n";
  EXPECT_THAT(visit("host_routing", {other}).connections, ElementsAre("127.10.0.30 -> x.canary.test:81"));
  EXPECT_THAT(visit("host_routing_no_port", {other}).connections, ElementsAre("127.10.0.30 -> x.canary.test:8025"));
  const std::string absolute = "GET http://127.9.9.9:82/t HTTP/1.1\r\nHost: x.canary.test:81\r\n\r\n";
  EXPECT_THAT(visit("host_routing", {absolute}).connections, ElementsAre("127.10.0.30 -> 127.9.9.9:82"));
  const Visit fixed = visit("fixed_origin_canary", {other});
  EXPECT_THAT(fixed.connections, ElementsAre("127.10.0.30 -> 127.9.9.9:8025"));
  EXPECT_THAT(fixed.asked, StartsWith("GET /t HTTP/1.1\r\nHost: 127.9.9.9:8025\r\n"));
}

TEST(Proxy, TunnelsThatLeadNowhere) {
  EXPECT_EQ(visit("yes_to_connect", {kConnect, "TOKEN t\r\n"}).heard, "HTTP/1.1 200 Connection established\r\n\r\n");
  EXPECT_THAT(visit("loop", {kConnect, "TOKEN t\r\n"}).heard,
              StartsWith("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(visit("yes_to_all", {kConnect}).heard, HasSubstr("It works"));
}

TEST(Proxy, MikroTikWaitsForOneMoreLineEnd) {
  const std::string connect = "CONNECT 127.9.9.9:8025 HTTP/1.0\r\n\r\n";
  EXPECT_THAT(visit("proxy_needs_crlf", {connect}).heard, IsEmpty());
  EXPECT_EQ(visit("proxy_needs_crlf", {connect, "\r\n", "TOKEN t\r\n"}).heard,
            "HTTP/1.0 200 Connection established\r\n\r\nPROOF\r\n");
  EXPECT_THAT(visit("proxy_needs_crlf", {kGet}).heard, StartsWith("HTTP/1.0 400 "));
}

TEST(Proxy, SlowWaitsFirst) {
  const Visit result = visit("proxy_slow", {kConnect});
  EXPECT_GE(result.paused, milliseconds(300));
  EXPECT_LT(result.paused, milliseconds(400));
}

TEST(Proxy, Misfits) {
  const Visit reset = visit("proxy_reset", {kConnect});
  EXPECT_TRUE(reset.was_cut);
  EXPECT_THAT(reset.heard, IsEmpty());
  EXPECT_EQ(visit("echo", {"abc", "def"}).heard, "abcdef");
  EXPECT_THAT(visit("proxy_silent", {kConnect}).heard, IsEmpty());
  const Visit header = visit("endless_header", {kGet});
  EXPECT_THAT(header.heard, AllOf(HasSubstr("\r\nX-Line-2499: "), Not(HasSubstr("\r\n\r\n"))));
  const Visit body = visit("big_body", {kGet});
  EXPECT_THAT(body.heard, HasSubstr("Content-Length: 1000000000\r\n"));
  EXPECT_GT(body.heard.size(), 50U * 62500U);
  const Visit noise = visit("proxy_garbage", {kGet});
  EXPECT_THAT(noise.heard, Not(StartsWith("HTTP")));
  EXPECT_GE(noise.heard.size(), 64U);
}

TEST(Proxy, BadRequestsAndBounds) {
  EXPECT_THAT(visit("proxy_open", {"EHLO probe.test\r\n\r\n"}).heard, StartsWith("HTTP/1.1 400 "));
  std::string flood = "GET http://canary.test/ HTTP/1.1\r\n";
  while (flood.size() < 2 * kMaxHead) flood += "X: " + std::string(1000, 'x') + "\r\n";
  EXPECT_THAT(visit("proxy_open", {flood}).heard, StartsWith("HTTP/1.1 400 "));
  std::string many = "GET http://canary.test/ HTTP/1.1\r\n";
  for (std::size_t i = 0; i < kMaxHeadLines; ++i) many += "X: y\r\n";
  EXPECT_THAT(visit("proxy_open", {many}).heard, StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(visit("proxy_open", {std::string(2 * Link::kMaxLine, 'x')}).left, Reason::protocol_error);
  EXPECT_THAT(visit("proxy_open", {"\r\n" + kConnect}).heard, StartsWith("HTTP/1.1 200 "));
}

TEST(Socks, ConnectsByAddressAndName) {
  for (const char* name : {"socks_open", "socks_tls", "mixed"}) {
    const Visit four = visit(name, {kSocks4, "TOKEN t\r\n"});
    EXPECT_EQ(four.heard, kGranted4 + "PROOF\r\n") << name;
    EXPECT_THAT(four.connections, ElementsAre("127.10.0.30 -> 127.9.9.9:8025"));
    const Visit four_a = visit(name, {kSocks4a, "TOKEN t\r\n"});
    EXPECT_EQ(four_a.heard, kGranted4 + "PROOF\r\n") << name;
    EXPECT_THAT(four_a.connections, ElementsAre("127.10.0.30 -> x.canary.test:8025"));
    const Visit five = visit(name, {kHello, kLiteral, "TOKEN t\r\n"});
    EXPECT_EQ(five.heard, kGranted5 + "PROOF\r\n") << name;
    const Visit by_name = visit(name, {kHello, kName, "TOKEN t\r\n"});
    EXPECT_EQ(by_name.heard, kGranted5 + "PROOF\r\n") << name;
    EXPECT_THAT(by_name.connections, ElementsAre("127.10.0.30 -> canary.test:8025"));
  }
}

TEST(Socks, RefusesInItsOwnCodes) {
  EXPECT_EQ(visit("socks_closed", {kSocks4}).heard, kRejected4);
  EXPECT_EQ(visit("socks_closed", {kHello, kLiteral}).heard, std::string("\x05\0\x05\x02\0\x01\0\0\0\0\0\0", 12));
  EXPECT_EQ(visit("socks_auth", {kSocks4}).heard, std::string("\0\x5d\0\0\0\0\0\0", 8));
  EXPECT_EQ(visit("socks_auth", {kHello}).heard, std::string("\x05\xff", 2));
  EXPECT_THAT(visit("socks5_only", {kSocks4}).heard, IsEmpty());
  EXPECT_EQ(visit("socks5_only", {kHello, kLiteral, "TOKEN t\r\n"}).heard, kGranted5 + "PROOF\r\n");
  EXPECT_EQ(visit("socks_open", {std::string("\x05\x01\x02", 3)}).heard, std::string("\x05\xff", 2)) << "only with a password";
}

TEST(Socks, CannotReachOthers) {
  EXPECT_EQ(visit("socks_open", {std::string("\x04\x01\0\x50\xc0\0\x02\x01\0", 9)}).heard, kRejected4);
  EXPECT_EQ(visit("socks_open", {kHello, std::string("\x05\x01\0\x01\xc0\0\x02\x01\0\x50", 10)}).heard,
            std::string("\x05\0\x05\x04\0\x01\0\0\0\0\0\0", 12));
  EXPECT_EQ(visit("socks_open", {kHello, std::string("\x05\x02\0\x01\x7f\x09\x09\x09\x1f\x59", 10)}).heard,
            std::string("\x05\0\x05\x07\0\x01\0\0\0\0\0\0", 12))
      << "BIND";
  EXPECT_EQ(visit("socks_open", {kHello, std::string("\x05\x01\0\x02", 4)}).heard,
            std::string("\x05\0\x05\x08\0\x01\0\0\0\0\0\0", 12));
}

TEST(Socks, OtherBytes) {
  EXPECT_THAT(visit("socks_open", {kConnect}).heard, IsEmpty());
  EXPECT_THAT(visit("proxy_closed", {kHello}).heard, IsEmpty()) << "to Squid it is a line that does not end yet";
  EXPECT_EQ(visit("proxy_closed", {kHello}).left, Reason::hung_up);
  EXPECT_EQ(visit("socks_open", {"\x04\x01\x1f\x59\x7f\x09\x09\x09" + std::string(300, 'u')}).left, Reason::protocol_error);
  for (const std::string& whole : {kSocks4a, kHello + kName}) {
    for (std::size_t length = 1; length < whole.size(); ++length) {
      EXPECT_THAT(visit("socks_open", {whole.substr(0, length)}).connections, IsEmpty());
    }
  }
}

}  // namespace
}  // namespace ajar::lab
