#include "agent/kept_arrivals.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/canary_side.h"

namespace ajar {
namespace {

using testing::HasSubstr;
using testing::Not;

Arrival arrival(int minute, std::vector<std::string> facts) {
  Arrival it;
  it.time = Time(std::chrono::minutes(minute));
  it.kind = CanaryKind::tcp;
  it.proof = true;
  it.peer = *AddressPort::parse("203.0.113.9:4711");
  it.listener = *AddressPort::parse("198.51.100.7:8025");
  it.facts = std::move(facts);
  return it;
}

TEST(KeptArrivals, TheFirstAndTheLatestAreKept) {
  KeptArrivals kept;
  for (int i = 0; i < 20; ++i) kept.add(arrival(i, {fmt::format("Via: {}", i)}));
  ASSERT_EQ(kept.list().size(), KeptArrivals::kMost);
  EXPECT_EQ(kept.list().front().facts[0], "Via: 0");
  EXPECT_EQ(kept.list()[1].facts[0], "Via: 13");
  EXPECT_EQ(kept.list().back().facts[0], "Via: 19");
}

TEST(KeptArrivals, WhatTellsTheSameIsKeptOnceAtItsLatest) {
  KeptArrivals kept;
  for (int i = 0; i < 20; ++i) kept.add(arrival(i, {"Via: same"}));
  ASSERT_EQ(kept.list().size(), 2U);
  EXPECT_EQ(kept.list()[0].time, Time{});
  EXPECT_EQ(kept.list()[1].time, Time(std::chrono::minutes(19)));
  kept.add(arrival(19, {"Via: same"}));
  EXPECT_EQ(kept.list().size(), 2U);
  kept.add(arrival(0, {"Via: same"}));  // the very first, told twice
  EXPECT_EQ(kept.list().size(), 2U);
}

TEST(KeptArrivals, ACopyKeepsWhatItHad) {
  KeptArrivals kept;
  kept.add(arrival(1, {"one"}));
  const KeptArrivals copy = kept;
  kept.add(arrival(2, {"two"}));
  EXPECT_EQ(copy.list().size(), 1U);
  EXPECT_EQ(kept.list().size(), 2U);
}

TEST(KeptArrivals, AreBoundedAndWithoutTheirToken) {
  Arrival large = arrival(1, {});
  large.token = "abcdefghijklmnopqrstuvwxyz234567";
  for (int i = 0; i < 40; ++i) large.facts.push_back("X" + large.token + std::string(280, 'x'));
  const Arrival shown = presentable(large);
  std::size_t size = 0;
  for (const std::string& fact : shown.facts) {
    size += fact.size();
    EXPECT_THAT(fact, Not(HasSubstr("abcdefghij")));
  }
  EXPECT_LE(size, KeptArrivals::kMaxFacts + 3);
  EXPECT_EQ(shown.facts.back(), "…");
  EXPECT_EQ(shown.token, "");
}

TEST(KeptArrivals, ATokenIsHiddenInAnyCaseOfLettersAndInsideWords) {
  EXPECT_EQ(without_token("for <XABCab1@x>, abca", "abca"), "for <X<token>b1@x>, <token>");
  EXPECT_EQ(without_token("nothing", "abca"), "nothing");
  EXPECT_EQ(without_token("nothing", ""), "nothing");
}

TEST(CanarySide, ShowsWhatArrivedHarmlessly) {
  Case exposure;
  EXPECT_EQ(canary_side(exposure), "");
  exposure.arrivals.add(
      arrival(1, {"GET /<token> HTTP/1.1", "Via: 1.1 <script>alert(1)</script>", "X-Forwarded-For: 1.2.3.4"}));
  const std::string html = canary_side(exposure);
  EXPECT_THAT(html, HasSubstr("203.0.113.9:4711"));
  EXPECT_THAT(html, HasSubstr("198.51.100.7:8025"));
  EXPECT_THAT(html, HasSubstr("GET /&lt;token&gt; HTTP/1.1\nVia: 1.1 &lt;script&gt;"));
  EXPECT_THAT(html, HasSubstr("X-Forwarded-For: 1.2.3.4"));
  EXPECT_THAT(html, Not(HasSubstr("<script>")));
  Record record;
  EXPECT_EQ(canary_side(record), "");
  record.arrivals = exposure.arrivals.list();
  EXPECT_THAT(canary_side(record), HasSubstr("203.0.113.9:4711"));
}

}  // namespace
}  // namespace ajar
