#include "agent/time.h"

#include <gtest/gtest.h>

namespace ajar {
namespace {

struct Written {
  std::int64_t milliseconds;
  const char* rfc3339;
  const char* rfc5322;
};

TEST(Time, IsWrittenAsInTheStandards) {
  const Written table[] = {
      {0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 +0000"},
      {1767323045678, "2026-01-02T03:04:05.678Z", "Fri, 02 Jan 2026 03:04:05 +0000"},
      {1709251199999, "2024-02-29T23:59:59.999Z", "Thu, 29 Feb 2024 23:59:59 +0000"},
      {1798761599001, "2026-12-31T23:59:59.001Z", "Thu, 31 Dec 2026 23:59:59 +0000"},
      {4102444800000, "2100-01-01T00:00:00.000Z", "Fri, 01 Jan 2100 00:00:00 +0000"},
      {-1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 +0000"},  // a clock before the epoch still reads as a time
  };
  for (const auto& row : table) {
    const Time time{std::chrono::milliseconds(row.milliseconds)};
    EXPECT_EQ(to_rfc3339(time), row.rfc3339);
    EXPECT_EQ(to_rfc5322(time), row.rfc5322);
  }
}

TEST(Time, IsExportedInSecondsWithItsMilliseconds) {
  EXPECT_DOUBLE_EQ(to_seconds(Time{std::chrono::milliseconds(1767323045678)}), 1767323045.678);
}

}  // namespace
}  // namespace ajar
