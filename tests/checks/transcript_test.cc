// What is kept of a long probe: the conversations share the room, and what is missing is said where it was.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "checks/network.h"

namespace ajar {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::size_t bytes_of(const std::vector<std::string>& lines) {
  std::size_t bytes = 0;
  for (const std::string& line : lines) bytes += line.size() + 1;
  return bytes;
}

void converse(Transcript& transcript, int number, int lines) {
  transcript.begin_conversation();
  transcript.note(fmt::format("connecting, {}", number));
  for (int i = 0; i < lines; ++i) transcript.server(fmt::format("conversation {} line {}", number, i));
  transcript.note(fmt::format("end of {}", number));
}

TEST(Transcript, IsKeptWholeWhileThereIsRoom) {
  Transcript transcript;
  converse(transcript, 1, 2);
  converse(transcript, 2, 1);
  EXPECT_THAT(transcript.lines(), ElementsAre("# connecting, 1", "S: conversation 1 line 0", "S: conversation 1 line 1",
                                              "# end of 1", "# connecting, 2", "S: conversation 2 line 0", "# end of 2"));
}

TEST(Transcript, ALongConversationLosesItsMiddleAndTheLaterOnesAreKept) {
  Transcript transcript;
  converse(transcript, 1, 5000);
  converse(transcript, 2, 20);
  converse(transcript, 3, 20);
  const std::vector<std::string> lines = transcript.lines();
  EXPECT_LE(lines.size(), Transcript::kMaxLines);
  EXPECT_THAT(lines, Contains("# connecting, 1"));
  EXPECT_THAT(lines, Contains("S: conversation 1 line 4999"));
  EXPECT_THAT(lines, Contains("# end of 1"));
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(lines, Contains(fmt::format("S: conversation 2 line {}", i)));
    EXPECT_THAT(lines, Contains(fmt::format("S: conversation 3 line {}", i)));
  }
  EXPECT_THAT(lines, Contains(HasSubstr("lines of this conversation are not kept here")));
}

TEST(Transcript, SaysHowManyLinesAreMissing) {
  Transcript transcript;
  const int said = 3000;
  converse(transcript, 1, said);
  const std::vector<std::string> lines = transcript.lines();
  const auto remark = std::find_if(lines.begin(), lines.end(), [](const std::string& line) { return line.starts_with("# …"); });
  ASSERT_NE(remark, lines.end());
  const std::size_t missing = said + 2 - (lines.size() - 1);
  EXPECT_THAT(*remark, HasSubstr(fmt::format("# … {} lines", missing)));
  // What stands before it is the beginning, what stands after it the end.
  EXPECT_EQ(*(remark - 1), fmt::format("S: conversation 1 line {}", remark - lines.begin() - 2));
  EXPECT_EQ(*(remark + 1), fmt::format("S: conversation 1 line {}", said + 1 - (lines.end() - remark - 1)));
}

TEST(Transcript, OfTooManyConversationsTheFirstAndTheLatestAreKept) {
  Transcript transcript;
  for (int i = 1; i <= 2000; ++i) converse(transcript, i, 3);
  const std::vector<std::string> lines = transcript.lines();
  EXPECT_LE(lines.size(), Transcript::kMaxLines);
  EXPECT_THAT(lines, Contains("# connecting, 1"));
  EXPECT_THAT(lines, Contains("S: conversation 2000 line 0"));
  EXPECT_THAT(lines, Contains("# end of 2000"));
  EXPECT_THAT(lines, Not(Contains("# connecting, 200")));
  EXPECT_THAT(lines, Contains(HasSubstr("whole conversations are not kept here")));
}

TEST(Transcript, LongLinesAreBoundedToo) {
  Transcript transcript;
  for (int i = 0; i < 200; ++i) {
    transcript.begin_conversation();
    for (int line = 0; line < 10; ++line) transcript.server(std::string(5000, '\xff'));
    EXPECT_LE(bytes_of(transcript.lines()), Transcript::kMaxBytes + 8192);
  }
  transcript.server("the last word");
  EXPECT_THAT(transcript.lines(), Contains("S: the last word"));
}

}  // namespace
}  // namespace ajar
