#include "checks/sni_proxy.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

class SniProxy : public testing::TestWithParam<std::string> {};

TEST_P(SniProxy, SaysWhatTheTranscriptSays) {
  Subject subject = example_subject();
  subject.target = "www1";
  subject.host = "www1.example.org";
  subject.port = 443;
  expect_transcript(GetParam(), sni_proxy, subject);
}

INSTANTIATE_TEST_SUITE_P(Transcripts, SniProxy, testing::ValuesIn(transcripts_of("sni_proxy")),
                         [](const auto& file) { return stem(file.param); });

TEST(SniProxyTranscripts, CoverEveryOutcome) {
  const std::vector<std::string> covered = expectations_of("sni_proxy");
  const std::set<std::string> wanted = {"open/token_returned",    "accepted/no_proof",     "closed/refused",
                                        "closed/hung_up",         "closed/other_protocol", "unclear/canary_unreachable",
                                        "unclear/protocol_error", "throws/auth_required",  "throws/tls_failed",
                                        "throws/timeout",         "throws/nobody_listens"};
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

}  // namespace
}  // namespace ajar
