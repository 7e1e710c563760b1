#include "checks/open_resolver.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

class OpenResolver : public testing::TestWithParam<std::string> {};

TEST_P(OpenResolver, SaysWhatTheTranscriptSays) {
  Subject subject = example_subject();
  subject.target = "ns1";
  subject.host = "ns1.example.org";
  subject.port = 53;
  expect_transcript(GetParam(), open_resolver, subject);
}

INSTANTIATE_TEST_SUITE_P(Transcripts, OpenResolver, testing::ValuesIn(transcripts_of("open_resolver")),
                         [](const auto& file) { return stem(file.param); });

TEST(OpenResolverTranscripts, CoverEveryOutcome) {
  const std::vector<std::string> covered = expectations_of("open_resolver");
  const std::set<std::string> wanted = {"open/token_returned",    "accepted/no_proof",     "accepted/accepts_everything",
                                        "closed/refused",         "closed/other_protocol", "unclear/canary_unreachable",
                                        "unclear/protocol_error", "unclear/no_proof",      "unclear/timeout",
                                        "throws/timeout",         "throws/nobody_listens", "throws/protocol_error",
                                        "throws/hung_up"};
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

}  // namespace
}  // namespace ajar
