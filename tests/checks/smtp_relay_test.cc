// smtp_relay against the transcripts of tests/transcripts/smtp_relay: the server's side and what the check must make of it.
#include "checks/smtp_relay.h"

#include <cstdlib>
#include <fstream>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

std::string whole(const Transcript& transcript) {
  std::string text;
  for (const std::string& line : transcript.lines()) text += line + "\n";
  return text;
}

// AJAR_SEED_DIR=tests/fuzz/corpus/smtp_relay: what the server said becomes a seed of the fuzzer.
void write_seed(const std::string& name, bool full_matrix, const std::vector<std::string>& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  std::string seed(1, full_matrix ? '2' : '0');
  bool first = true;
  for (const std::string& line : transcript) {
    if (line.rfind("# connect", 0) == 0 && !std::exchange(first, false)) seed += "\x02\n";
    if (line.rfind("S: ", 0) == 0) seed += line.substr(3) + "\r\n";
  }
  std::ofstream(std::string(folder) + "/" + name, std::ios::binary) << seed;
}

class SmtpRelayTranscript : public testing::TestWithParam<std::string> {};

TEST_P(SmtpRelayTranscript, GivesItsVerdict) {
  const std::vector<std::string> transcript = expect_transcript(GetParam(), smtp_relay, example_subject());
  write_seed(stem(GetParam()), Script::load(GetParam()).first("subject.full_matrix") == "true", transcript);
}

INSTANTIATE_TEST_SUITE_P(Of, SmtpRelayTranscript, testing::ValuesIn(transcripts_of("smtp_relay")),
                         [](const auto& file) { return stem(file.param); });

// Every verdict and reason that this check can give has a transcript; `open` is the canary's to say.
TEST(SmtpRelayTranscripts, CoverVerdictsAndReasons) {
  const std::vector<std::string> covered = expectations_of("smtp_relay");
  for (const char* wanted :
       {"closed/refused", "closed/auth_required", "closed/other_protocol", "unclear/control_failed", "unclear/greylisted",
        "unclear/source_blocked", "unclear/timeout", "unclear/hung_up", "unclear/tls_failed", "unclear/protocol_error",
        "unclear/refused", "unclear/token_pending", "accepted/canary_unreachable", "accepted/no_proof",
        "accepted/accepts_everything", "accepted/token_pending"}) {
    EXPECT_THAT(covered, testing::Contains(wanted));
  }
}

// The message is what it says it is: small, complete, to ourselves, from ourselves, with the token in three places.
TEST(SmtpRelayMessage, IsSmallAndHonest) {
  FixedCanary canary;
  const Subject subject = example_subject();
  ScriptedNetwork network(
      Script::parse("S*: connect => 220 mx\nS*: EHLO => 250-mx | 250 DSN\nS*: DATA => 354 go\nS*: . => 250 ok\n"
                    "S*: RCPT TO:*.invalid* => 550 no\nS*: * => 250 ok\n"));
  const Finding finding = run_now(smtp_relay(network, canary, subject));
  EXPECT_EQ(finding.verdict, Verdict::accepted);
  ASSERT_EQ(network.messages().size(), 3U);
  const std::string& message = network.messages().front();
  EXPECT_LT(message.size(), 1500U);
  for (const char* part :
       {"From: \"ajar relay test\" <probe-token1@canary.example.net>\r\n", "To: <token2@canary.example.net>\r\n",
        "Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n", "Message-ID: <token2@probe.example.net>\r\n", "X-Ajar-Token: token2\r\n",
        "Auto-Submitted: auto-generated\r\n", "mailto:sre@example.net", "203.0.113.5:25"}) {
    EXPECT_THAT(message, testing::HasSubstr(part));
  }
  EXPECT_THAT(canary.minted,
              testing::ElementsAre("sender", "external/plain", "null/plain", "forged_local/plain", "impossible"));
  EXPECT_EQ(canary.asked.front().variant_class, "external/plain");
  EXPECT_THAT(whole(network.transcript()), testing::HasSubstr("C: RCPT TO:<token2@canary.example.net> NOTIFY=NEVER\n"));
}

// One connection never gets more refusals than Postfix or Exim put up with.
TEST(SmtpRelayPoliteness, BoundsRefusalsPerConnection) {
  FixedCanary canary;
  Subject subject = example_subject();
  subject.full_matrix = true;
  ScriptedNetwork network(
      Script::parse("S*: connect => 220 mx\nS*: RCPT TO:<postmaster => 250 ok\nS*: RCPT TO:<\"* => 501 syntax\n"
                    "S*: RCPT => 550 no\nS*: QUIT => 221 bye\nS*: * => 250 ok\n"));
  const Finding finding = run_now(smtp_relay(network, canary, subject));
  EXPECT_EQ(finding.verdict, Verdict::closed);
  int refusals = 0;
  int odd = 0;
  int quits = 0;
  for (const std::string& line : network.transcript().lines()) {
    if (line.rfind("# connect", 0) == 0) refusals = odd = 0;
    refusals += line.rfind("S: 5", 0) == 0;
    odd += line.rfind("S: 501", 0) == 0;
    quits += line == "C: QUIT";
    EXPECT_LE(refusals, 8);
    EXPECT_LE(odd, 2);
  }
  EXPECT_EQ(quits, network.dials());
  EXPECT_GE(network.dials(), 5);
}

}  // namespace
}  // namespace ajar
