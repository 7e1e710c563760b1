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

// A canary elsewhere of which nobody knows any more where it is.
class CanaryThatGoesAway : public FixedCanary {
 public:
  explicit CanaryThatGoesAway(int after) : left_(after) {
    known_addresses = {IpAddress::v4({198, 51, 100, 7}), *IpAddress::parse("2001:db8::7")};
  }
  std::optional<KnownName> known_name(const std::string& token) const override {
    return left_-- > 0 ? FixedCanary::known_name(token) : std::nullopt;
  }

 private:
  mutable int left_;
};

TEST(OpenResolverCanary, MayGoAwayBetweenTwoQuestions) {
  for (const int after : {1, 2}) {
    CanaryThatGoesAway canary(after);
    ScriptedNetwork network(Script::parse("# framing: bytes\nS*: * => <0-1> 81 05 00 01 00 00 00 00 00 00 <12-42>\n"));
    Subject subject = example_subject();
    subject.port = 53;
    subject.transport = Transport::udp;
    const Finding finding = run_now(open_resolver(network, canary, subject));
    EXPECT_EQ(finding.verdict, Verdict::unclear) << after;
    EXPECT_EQ(finding.reason, Reason::canary_unreachable) << after;
    EXPECT_EQ(finding.spoken, after == 1 ? "" : "DNS");
    EXPECT_THAT(finding.because, testing::HasSubstr("no name leads to our canary any more"));
  }
}

}  // namespace
}  // namespace ajar
