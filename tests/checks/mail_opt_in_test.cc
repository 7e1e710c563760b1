// The checks of mail that are off by default, against the transcripts of tests/transcripts/CHECK.
#include <cstdlib>
#include <fstream>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/catalogue.h"
#include "checks/wire/base64.h"
#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kChecks[] = {"smtp_smuggling", "backscatter", "smtp_auth_any"};

std::string whole(const Transcript& transcript) {
  std::string text;
  for (const std::string& line : transcript.lines()) text += line + "\n";
  return text;
}

// AJAR_SEED_DIR=FOLDER: what the server said becomes a seed of fuzz/mail_opt_in.cc (which says how it is written).
void write_seed(const std::string& check, const std::string& file, const std::vector<std::string>& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  const Script script = Script::load(file);
  unsigned shape = 0;
  while (kChecks[shape] != check) ++shape;
  if (script.first("subject.full_matrix") == "true") shape |= 4;
  if (!script.first("subject.must_ask").empty()) shape |= 8;
  std::string seed(1, static_cast<char>(shape));
  bool first = true;
  for (const std::string& line : transcript) {
    if (line.starts_with("# connect") && !std::exchange(first, false)) seed += "\x02\n";
    if (line.starts_with("# no answer")) seed += "\x03\n";
    if (line.starts_with("S: ")) seed += line.substr(3) + "\r\n";
  }
  std::ofstream(std::string(folder) + "/" + check + "-" + stem(file), std::ios::binary) << seed;
}

class MailOptInTranscript : public testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(MailOptInTranscript, GivesItsVerdict) {
  const auto& [check, file] = GetParam();
  const std::vector<std::string> transcript = expect_transcript(file, find_check(check)->function, example_subject());
  write_seed(check, file, transcript);
}

std::vector<std::pair<std::string, std::string>> all_transcripts() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const std::string check : kChecks) {
    for (const std::string& file : transcripts_of(check)) all.emplace_back(check, file);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Of, MailOptInTranscript, testing::ValuesIn(all_transcripts()),
                         [](const auto& one) { return one.param.first + "_" + stem(one.param.second); });

// Every verdict and reason that these checks can give has a transcript; `open` is the canary's to say.
TEST(MailOptInTranscripts, CoverVerdictsAndReasons) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> wanted = {
      {"smtp_smuggling",
       {"closed/refused", "closed/auth_required", "closed/other_protocol", "unclear/control_failed", "unclear/source_blocked",
        "unclear/greylisted", "unclear/timeout", "unclear/hung_up", "unclear/tls_failed", "unclear/protocol_error",
        "unclear/refused", "unclear/no_proof", "unclear/canary_unreachable", "accepted/no_proof", "accepted/token_pending",
        "throws/nobody_listens"}},
      {"backscatter",
       {"closed/refused", "closed/auth_required", "closed/other_protocol", "unclear/control_failed", "unclear/source_blocked",
        "unclear/greylisted", "unclear/timeout", "unclear/hung_up", "unclear/tls_failed", "unclear/protocol_error",
        "unclear/refused", "accepted/token_pending", "accepted/no_proof", "accepted/canary_unreachable",
        "throws/nobody_listens", "throws/timeout"}},
      {"smtp_auth_any",
       {"closed/refused", "closed/other_protocol", "unclear/source_blocked", "unclear/greylisted", "unclear/timeout",
        "unclear/hung_up", "unclear/tls_failed", "unclear/protocol_error", "unclear/refused", "unclear/no_proof",
        "unclear/token_pending", "accepted/token_pending", "accepted/no_proof", "accepted/canary_unreachable",
        "throws/nobody_listens", "throws/timeout", "throws/tls_failed"}}};
  for (const auto& [check, pairs] : wanted) {
    const std::vector<std::string> covered = expectations_of(check);
    for (const std::string& pair : pairs) EXPECT_THAT(covered, Contains(pair)) << check;
    for (const std::string& pair : covered) EXPECT_THAT(pairs, Contains(pair)) << check;
  }
}

// RFC 4648 10.
TEST(Base64, IsThatOfTheStandard) {
  for (const auto& [bytes, text] : std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                                                    {"f", "Zg=="},
                                                                                    {"fo", "Zm8="},
                                                                                    {"foo", "Zm9v"},
                                                                                    {"foob", "Zm9vYg=="},
                                                                                    {"fooba", "Zm9vYmE="},
                                                                                    {"foobar", "Zm9vYmFy"},
                                                                                    {"\xfb\xff\xfe", "+//+"}}) {
    EXPECT_EQ(base64(bytes), text);
  }
  EXPECT_EQ(base64(std::string("\0a\0b", 4)), "AGEAYg==");
}

// The sender is our canary's, the message says what it is, and its token is where a bounce would show it.
TEST(BackscatterMessage, IsSmallAndHonest) {
  FixedCanary canary;
  const Subject subject = example_subject();
  ScriptedNetwork network(Script::parse("S*: connect => 220 mx\nS*: DATA => 354 go\nS*: * => 250 ok\n"));
  const Finding finding = run_now(find_check("backscatter")->function(network, canary, subject));
  EXPECT_EQ(finding.verdict, Verdict::accepted);
  ASSERT_EQ(network.messages().size(), 1U);
  const std::string& message = network.messages().front();
  EXPECT_LT(message.size(), 1500U);
  for (const char* part : {"From: \"ajar bounce test\" <probe-token1@canary.example.net>\r\n", "To: <xtoken1@example.org>\r\n",
                           "Auto-Submitted: auto-generated\r\n", "mailto:sre@example.net", "203.0.113.5:25"}) {
    EXPECT_THAT(message, HasSubstr(part));
  }
  EXPECT_THAT(whole(network.transcript()), Not(HasSubstr("NOTIFY=NEVER")));
}

// Neither the name nor the password stands in the evidence, however it is written.
TEST(SmtpAuthAnyEvidence, HoldsNoPair) {
  FixedCanary canary;
  const Subject subject = example_subject();
  for (const char* offer : {"PLAIN", "LOGIN"}) {
    ScriptedNetwork network(Script::parse(std::string("S*: connect => 220 mx\nS*: EHLO => 250-mx | 250 AUTH ") + offer +
                                          "\nS*: AUTH PLAIN => 535 no\nS*: AUTH LOGIN => 334 VXNlcm5hbWU6\n"
                                          "S*: QUIT => 221 bye\nS*: dG => 334 UGFzc3dvcmQ6\n"));
    const Finding finding = run_now(find_check("smtp_auth_any")->function(network, canary, subject));
    const std::string evidence = whole(network.transcript());
    EXPECT_THAT(evidence, HasSubstr("random"));
    EXPECT_THAT(evidence, Not(HasSubstr("C: dG")));
    EXPECT_THAT(evidence, Not(HasSubstr("token")));
  }
}

}  // namespace
}  // namespace ajar
