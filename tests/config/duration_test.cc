#include <gtest/gtest.h>

#include "config/config.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Duration, Parses) {
  const std::pair<const char*, Duration> cases[] = {
      {"100ms", milliseconds(100)},
      {"500ms", milliseconds(500)},
      {"30s", seconds(30)},
      {"5m", minutes(5)},
      {"1h", hours(1)},
      {"7d", hours(168)},
      {"1h30m", minutes(90)},
      {"1d2h3m4s5ms", hours(26) + minutes(3) + seconds(4) + milliseconds(5)},
      {"1m1ms", minutes(1) + milliseconds(1)},
      {"90m", minutes(90)},
      {"1s0ms", seconds(1)},
      {"007s", seconds(7)},
      {"9223372036854775807ms", milliseconds(9223372036854775807LL)},
      {"106751991167d", milliseconds(106751991167LL * 86'400'000)},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(parse_duration(text), expected) << text;
}

TEST(Duration, Refuses) {
  for (const char* text : {"",
                           " ",
                           "0",
                           "5",
                           "5 m",
                           " 5m",
                           "5m ",
                           "m",
                           "h5",
                           "-5m",
                           "+5m",
                           "1.5h",
                           "5M",
                           "5min",
                           "5sec",
                           "1w",
                           "1y",
                           "1h1h",
                           "30m1h",
                           "1s1m",
                           "1ms1s",
                           "0s",
                           "0ms",
                           "99ms",
                           "0h0m",
                           "1h30",
                           "1hm",
                           "9223372036854775808ms",
                           "99999999999999999999s",
                           "106751991168d",
                           "106751991167d24h",
                           "5µs",
                           "5m\n",
                           "0x5m",
                           "1e3s"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_duration(std::string_view("5m\0", 3)), std::nullopt);
}

TEST(Duration, Formats) {
  const std::pair<Duration, const char*> cases[] = {
      {milliseconds(100), "100ms"},    {seconds(1), "1s"},      {seconds(60), "1m"},
      {minutes(90), "1h30m"},          {hours(24), "1d"},       {hours(168), "7d"},
      {milliseconds(1500), "1s500ms"}, {milliseconds(0), "0s"}, {minutes(-5), "-5m"},
  };
  for (const auto& [duration, expected] : cases) EXPECT_EQ(format_duration(duration), expected);
  EXPECT_EQ(format_duration(Duration::min()).front(), '-');
}

TEST(Duration, WhatIsFormattedParsesBack) {
  std::int64_t count = 100;
  for (int i = 0; i < 500; ++i) {
    const Duration duration(count);
    EXPECT_EQ(parse_duration(format_duration(duration)), duration) << count;
    count = (count * 1103515245 + 12345) & 0x3fffffffffff;
    if (count < 100) count += 100;
  }
}

}  // namespace
}  // namespace ajar
