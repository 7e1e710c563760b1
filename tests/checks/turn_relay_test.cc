// turn_relay against the transcripts of tests/transcripts/turn_relay: the server's side, what our canary saw, and what the
// check must make of both.
#include "checks/turn_relay.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

constexpr const char* kCheck = "turn_relay";

Subject example_turn_server() {
  Subject subject = example_subject();
  subject.target = "turn1";
  subject.host = "turn.example.org";
  subject.port = 3478;
  subject.transport = Transport::udp;
  subject.mail_domains.clear();
  return subject;
}

std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 2 <= hex.size(); i += 3) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// AJAR_SEED_DIR=FOLDER: what the server said becomes a seed of fuzz/turn_relay.cc (which says how it is written).
void write_seed(const std::string& file, const std::vector<std::string>& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  const Script script = Script::load(file);
  unsigned shape = script.first("subject.transport") == "tcp" ? 1 : 0;
  if (script.first("subject.full_matrix") == "true") shape |= 2;
  if (!script.all("canary.saw").empty()) shape |= 4;
  std::string seed(1, static_cast<char>(shape));
  for (const std::string& line : transcript) {
    if (!line.starts_with("S: ") || line.find_first_not_of("0123456789abcdef ", 3) != std::string::npos) continue;
    std::string bytes = bytes_of(line.substr(3));
    seed += {static_cast<char>(bytes.size() >> 8), static_cast<char>(bytes.size() & 0xff)};
    if (bytes.size() >= 20) bytes.replace(8, 12, 12, 'A');
    seed += bytes;
  }
  std::ofstream(std::string(folder) + "/" + stem(file), std::ios::binary) << seed;
}

class TurnTranscript : public testing::TestWithParam<std::string> {};

TEST_P(TurnTranscript, GivesItsVerdict) {
  const std::vector<std::string> transcript = expect_transcript(GetParam(), turn_relay, example_turn_server());
  write_seed(GetParam(), transcript);
}

INSTANTIATE_TEST_SUITE_P(Of, TurnTranscript, testing::ValuesIn(transcripts_of(kCheck)),
                         [](const auto& one) { return stem(one.param); });

// Every verdict and reason that it can give has a transcript, and none gives another.
TEST(TurnTranscripts, CoverVerdictsAndReasons) {
  const std::set<std::string> wanted = {
      "open/token_returned",  "accepted/no_proof",     "accepted/canary_unreachable", "closed/refused",
      "closed/auth_required", "closed/other_protocol", "unclear/greylisted",          "unclear/control_failed",
      "unclear/timeout",      "unclear/hung_up",       "unclear/protocol_error",      "unclear/tls_failed",
      "throws/timeout",       "throws/nobody_listens", "throws/tls_failed",           "throws/auth_required"};
  const std::vector<std::string> covered = expectations_of(kCheck);
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

// What was granted is given back, whatever came of it: a Refresh for 0 s follows every grant in the same conversation.
TEST(TurnTranscripts, EveryGrantIsGivenBack) {
  for (const std::string& file : transcripts_of(kCheck)) {
    const Script script = Script::load(file);
    Subject subject = example_turn_server();
    FixedCanary canary;
    apply_headers(script, subject, canary);
    ScriptedNetwork network(script);
    try {
      run_now(turn_relay(network, canary, subject));
    } catch (const LinkError&) {
      continue;  // nothing was heard at all
    }
    int held = 0;
    for (const std::string& line : network.transcript().lines()) {
      if (line.starts_with("# connect ")) held = 0;
      if (line.starts_with("# Allocate success response")) held = 1;
      if (line.starts_with("# the peer closed the connection")) held = 0;
      if (line.starts_with("# Refresh request, for 0 s")) held = 0;
      EXPECT_FALSE(held != 0 && line.starts_with("# ipv")) << stem(file) << ": " << line;
    }
    EXPECT_EQ(held, 0) << stem(file);
  }
}

}  // namespace
}  // namespace ajar
