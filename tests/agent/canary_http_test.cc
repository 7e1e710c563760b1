#include "agent/canary_http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_link.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CanaryTcp : public ::testing::Test {
 protected:
  CanarySession session() {
    return {.identity = identity_,
            .keys = keys_,
            .now = [this] { return now_; },
            .peer = {*IpAddress::parse("203.0.113.9"), 40000},
            .listener = {*IpAddress::parse("10.0.0.7"), 18025},
            .starttls = false,
            .server_name = {},
            .arrived = [this](Arrival arrival) { arrivals_.push_back(std::move(arrival)); }};
  }
  std::string talk(std::deque<std::string> pieces, MemoryLink::End end = MemoryLink::End::hangs_up) {
    arrivals_.clear();
    Transcript transcript;
    MemoryLink link(transcript, std::move(pieces), end);
    const CanarySession mine = session();
    bool ended = false;
    start(serve_tcp(link, mine), [&ended] { ended = true; });
    EXPECT_TRUE(ended);
    return link.said();
  }
  std::string talk(const std::string& text) { return talk(std::deque<std::string>{text}); }
  std::string proof() const { return "PROOF " + keys_.proof(token_); }
  // Neither a proof nor an arrival that is one.
  void expect_no_proof(const std::string& said) {
    EXPECT_THAT(said, Not(HasSubstr(keys_.proof(token_))));
    for (const Arrival& arrival : arrivals_) EXPECT_FALSE(arrival.proof);
  }

  Time now_{1'800'000'000s};
  CanaryKeys keys_{std::string(32, 'k')};
  CanaryIdentity identity_{.name = "probe.example.net",
                           .contact = "mailto:sre@example.net",
                           .host = "canary.example.net",
                           .mail_domain = "canary.example.net",
                           .authorities = {{*IpAddress::parse("198.51.100.7"), 8025}, {*IpAddress::parse("2001:db8::7"), 80}}};
  std::string token_ = keys_.mint(now_, 1h);
  const std::string host_ = "Host: 198.51.100.7:8025\r\n";
  std::vector<Arrival> arrivals_;
};

TEST_F(CanaryTcp, RawTokenGetsItsProof) {
  EXPECT_EQ(talk("TOKEN " + token_ + "\n"), proof() + "\r\n");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_TRUE(arrivals_[0].proof);
  EXPECT_EQ(arrivals_[0].kind, CanaryKind::tcp);
  EXPECT_EQ(arrivals_[0].token, token_);
  EXPECT_EQ(arrivals_[0].peer.to_string(), "203.0.113.9:40000");
  EXPECT_EQ(arrivals_[0].facts, std::vector<std::string>{"TOKEN <token>"});
  EXPECT_EQ(talk("\r\n\r\nTOKEN " + token_ + "\r\n"), proof() + "\r\n");
}

TEST_F(CanaryTcp, RawNonsenseIsToldWhoIsHere) {
  EXPECT_THAT(talk("TOKEN " + CanaryKeys(std::string(32, 'o')).mint(now_, 1h) + "\n"), HasSubstr("Contact: sre@example.net"));
  EXPECT_TRUE(arrivals_.empty());
  EXPECT_THAT(talk("\x16\x03\x01 hello\n"), StartsWith("This is the canary of ajar, run by probe.example.net."));
  EXPECT_THAT(talk(std::string(10000, 'x') + "\n"), StartsWith("This is the canary"));
  EXPECT_EQ(talk(""), "");
  EXPECT_EQ(talk("no end"), "");
}

TEST_F(CanaryTcp, ExpiredTokenIsSeenWithoutProof) {
  now_ += 2h;
  EXPECT_EQ(talk("TOKEN " + token_ + "\n"), "EXPIRED\r\n");
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_FALSE(arrivals_[0].proof);
  expect_no_proof(talk("GET /" + token_ + " HTTP/1.1\r\n" + host_ + "\r\n"));
  ASSERT_EQ(arrivals_.size(), 1U);
}

TEST_F(CanaryTcp, GetThroughAProxyIsAProof) {
  const std::string said =
      talk("GET /" + token_ +
           " HTTP/1.1\r\nHost: 198.51.100.7:8025\r\nVia: 1.1 squid.test (squid/5.7)\r\nX-Forwarded-For: 203.0.113.1\r\n"
           "Cookie: secret\r\nMax-Forwards: 9\r\n\r\n");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said, HasSubstr("\r\nCache-Control: no-store\r\n"));
  EXPECT_THAT(said, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(said, ::testing::EndsWith("\r\n\r\n" + proof() + "\n"));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_TRUE(arrivals_[0].proof);
  EXPECT_THAT(arrivals_[0].facts,
              ::testing::ElementsAre("GET /<token> HTTP/1.1", "Host: 198.51.100.7:8025", "Via: 1.1 squid.test (squid/5.7)",
                                     "X-Forwarded-For: 203.0.113.1", "Max-Forwards: 9"));
}

TEST_F(CanaryTcp, BytewiseIsTheSame) {
  const std::string text = "POST / HTTP/1.1\r\n" + host_ + "Content-Length: 38\r\n\r\ntoken=" + token_;
  std::deque<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  EXPECT_EQ(talk(std::move(bytes)), talk(text));
  EXPECT_THAT(talk(text), HasSubstr(proof()));
}

TEST_F(CanaryTcp, EveryFormOfRequestProves) {
  for (const std::string& request :
       {"GET http://198.51.100.7:8025/" + token_ + " HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
        "GET http://td@198.51.100.7:8025/" + token_ + " HTTP/1.0\r\n\r\n",
        "GET /" + token_ + "/?x=1 HTTP/1.0\r\nhost: [2001:db8::7]\r\n\r\n",
        "PUT /" + token_ + " HTTP/1.1\r\n" + host_ + "Content-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.0\r\n" + host_ + "Content-Length: 40\r\n\r\na&token=" + token_ + "\r\n\r\n",
        "POST / HTTP/1.1\r\n" + host_ + "Transfer-Encoding: chunked\r\n\r\n6\r\ntoken=\r\n20;x=y\r\n" + token_ +
            "\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\n" + host_ + "Expect: 100-continue\r\nContent-Length: 38\r\n\r\ntoken=" + token_}) {
    EXPECT_THAT(talk(request), HasSubstr("\r\n\r\n" + proof() + "\n")) << request;
    ASSERT_EQ(arrivals_.size(), 1U) << request;
    EXPECT_TRUE(arrivals_[0].proof);
  }
}

TEST_F(CanaryTcp, HeadIsAnArrivalWithoutABody) {
  const std::string said = talk("HEAD /" + token_ + " HTTP/1.1\r\n" + host_ + "\r\n");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said, ::testing::EndsWith("\r\n\r\n"));
  ASSERT_EQ(arrivals_.size(), 1U);
  EXPECT_TRUE(arrivals_[0].proof);
}

TEST_F(CanaryTcp, OnlyItsOwnAuthorityProves) {
  const CanarySession mine = session();
  for (const char* own : {"198.51.100.7:8025", "198.51.100.7", "198.51.100.7:80", "10.0.0.7:18025", "[2001:db8::7]:80",
                          "[2001:db8::7]", "canary.example.net", "CANARY.example.net.:8025", "a.canary.example.net",
                          "td:25@198.51.100.7:8025", "[::ffff:198.51.100.7]:8025"}) {
    EXPECT_TRUE(own_authority(own, mine)) << own;
  }
  for (const char* foreign :
       {"", ":", ":80", "198.51.100.8:8025", "198.51.100.7:81", "198.51.100.7:", "198.51.100.7:8025x", "[2001:db8::8]",
        "[2001:db8::7", "2001:db8::7]", "[]", "[", "example.net", "xcanary.example.net", "canary.example.net:25",
        "canary.example.net.evil.org", "198.51.100.7:8025@evil.org", "198.51.100.7:99999999999"}) {
    EXPECT_FALSE(own_authority(foreign, mine)) << foreign;
  }
  for (const std::string& request :
       {"GET /" + token_ + " HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
        "GET http://www.example.org/" + token_ + " HTTP/1.1\r\n" + host_ + "\r\n",
        "GET /" + token_ + " HTTP/1.1\r\n" + host_ + "Host: www.example.org\r\n\r\n", "GET /" + token_ + " HTTP/1.0\r\n\r\n"}) {
    const std::string said = talk(request);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 4")) << request;
    expect_no_proof(said);
    ASSERT_EQ(arrivals_.size(), 1U) << request;
    EXPECT_THAT(arrivals_[0].facts, Contains("the authority of the request is not ours"));
  }
  EXPECT_THAT(talk("GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n"), StartsWith("HTTP/1.1 421 "));
}

TEST_F(CanaryTcp, OtherRequests) {
  EXPECT_THAT(talk("GET / HTTP/1.1\r\n" + host_ + "\r\n"), HasSubstr("Contact: sre@example.net"));
  EXPECT_THAT(talk("GET /x HTTP/1.1\r\n" + host_ + "\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(talk("GET /x" + token_ + " HTTP/1.1\r\n" + host_ + "\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(talk("CONNECT 198.51.100.7:25 HTTP/1.1\r\n" + host_ + "\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(talk("GET ftp://x/" + token_ + " HTTP/1.1\r\n" + host_ + "\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_TRUE(arrivals_.empty());
}

TEST_F(CanaryTcp, RequestIsBounded) {
  std::string bomb = "GET /" + token_ + " HTTP/1.1\r\n" + host_;
  for (int i = 0; i < 200; ++i) bomb += "X: y\r\n";
  expect_no_proof(talk(bomb + "\r\n"));
  EXPECT_THAT(talk(bomb + "\r\n"), StartsWith("HTTP/1.1 431 "));
  std::string large = "GET /" + token_ + " HTTP/1.1\r\n" + host_;
  for (int i = 0; i < 20; ++i) large += "X: " + std::string(1000, 'y') + "\r\n";
  EXPECT_THAT(talk(large + "\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(talk("GET / HTTP/1.1\r\nX: " + std::string(5000, 'y') + "\r\n\r\n"), StartsWith("HTTP/1.1 431 "));
  const std::string post = "POST /" + token_ + " HTTP/1.1\r\n" + host_;
  EXPECT_THAT(talk(post + "Content-Length: 65537\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(talk(post + "Content-Length: 99999999999999999999\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(talk(post + "Content-Length: -1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(talk(post + "Transfer-Encoding: chunked\r\n\r\n10001\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(talk(post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_TRUE(arrivals_.empty());
  EXPECT_EQ(talk(post + "Content-Length: 10\r\n\r\nshort"), "");
  EXPECT_EQ(talk({post}, MemoryLink::End::falls_silent), "");
  EXPECT_TRUE(arrivals_.empty());
}

}  // namespace
}  // namespace ajar
