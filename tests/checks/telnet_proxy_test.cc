// telnet_proxy against the transcripts of tests/transcripts/telnet_proxy.
#include "checks/telnet_proxy.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

Subject example_gateway() {
  Subject subject = example_subject();
  subject.target = "gateway1";
  subject.host = "gateway.example.org";
  subject.port = 23;
  subject.mail_domains.clear();
  return subject;
}

class TelnetProxyTranscript : public testing::TestWithParam<std::string> {};

TEST_P(TelnetProxyTranscript, GivesItsVerdict) { expect_transcript(GetParam(), telnet_proxy, example_gateway()); }

INSTANTIATE_TEST_SUITE_P(Of, TelnetProxyTranscript, testing::ValuesIn(transcripts_of("telnet_proxy")),
                         [](const auto& one) { return stem(one.param); });

TEST(TelnetProxyTranscripts, CoverVerdictsAndReasons) {
  const std::vector<std::string> covered = expectations_of("telnet_proxy");
  const std::set<std::string> wanted = {"open/token_returned",
                                        "closed/refused",
                                        "closed/auth_required",
                                        "closed/other_protocol",
                                        "closed/hung_up",
                                        "unclear/canary_unreachable",
                                        "unclear/greylisted",
                                        "unclear/timeout",
                                        "unclear/hung_up",
                                        "unclear/protocol_error",
                                        "unclear/tls_failed",
                                        "throws/timeout",
                                        "throws/nobody_listens",
                                        "throws/tls_failed",
                                        "accepted/no_proof",
                                        "accepted/accepts_everything",
                                        "accepted/canary_unreachable"};
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

// A prompt that wants a name, a password or a key hears nothing but the refusal of options.
TEST(TelnetProxy, NothingIsSaidToALogin) {
  for (const char* const file : {"wants_login", "wants_username", "wants_password", "wants_key_to_login", "wants_login_arrow",
                                 "login_behind_the_prompt", "key_wanted", "unknown_question", "menu"}) {
    const std::string path = std::string(AJAR_SOURCE_DIR "/tests/transcripts/telnet_proxy/") + file + ".txt";
    for (const std::string& line : expect_transcript(path, telnet_proxy, example_gateway())) {
      if (line.starts_with("C: ")) {
        EXPECT_THAT(line, testing::StartsWith("C: ff f")) << file;
      }
    }
  }
}

}  // namespace
}  // namespace ajar
