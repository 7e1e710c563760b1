// socks5_udp against the transcripts of tests/transcripts/socks5_udp. What goes over TCP is shared with socks5; datagrams are a
// connection of their own there.
#include "checks/socks5_udp.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

Subject example_relay() {
  Subject subject = example_subject();
  subject.target = "socks1";
  subject.host = "socks.example.org";
  subject.port = 1080;
  subject.mail_domains.clear();
  return subject;
}

class Socks5UdpTranscript : public testing::TestWithParam<std::string> {};

TEST_P(Socks5UdpTranscript, GivesItsVerdict) { expect_transcript(GetParam(), socks5_udp, example_relay()); }

INSTANTIATE_TEST_SUITE_P(Of, Socks5UdpTranscript, testing::ValuesIn(transcripts_of("socks5_udp")),
                         [](const auto& one) { return stem(one.param); });

TEST(Socks5UdpTranscripts, CoverVerdictsAndReasons) {
  const std::vector<std::string> covered = expectations_of("socks5_udp");
  const std::set<std::string> wanted = {"open/token_returned",   "closed/refused",    "closed/auth_required",
                                        "closed/other_protocol", "closed/hung_up",    "unclear/canary_unreachable",
                                        "unclear/timeout",       "unclear/hung_up",   "unclear/protocol_error",
                                        "unclear/tls_failed",    "throws/timeout",    "throws/nobody_listens",
                                        "throws/tls_failed",     "accepted/no_proof", "accepted/canary_unreachable"};
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

// Whatever address a server names as its relay: no other than its own is ever sent to.
TEST(Socks5Udp, OnlyItsOwnAddressIsAsked) {
  for (const char* const file : {"relay_at_a_private_address", "relay_at_a_foreign_address", "relay_by_name"}) {
    const std::string path = std::string(AJAR_SOURCE_DIR "/tests/transcripts/socks5_udp/") + file + ".txt";
    const std::vector<std::string> transcript = expect_transcript(path, socks5_udp, example_relay());
    for (const std::string& line : transcript) {
      if (!line.starts_with("# connect ")) continue;
      EXPECT_THAT(line, testing::AnyOf("# connect 203.0.113.5:1080", "# connect 203.0.113.5:40000"));
    }
    EXPECT_THAT(transcript, testing::Contains("# connect 203.0.113.5:40000"));
  }
}

}  // namespace
}  // namespace ajar
