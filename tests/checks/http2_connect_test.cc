// http2_connect against the transcripts of tests/transcripts/http2_connect.
#include "checks/http2_connect.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/software.h"
#include "tests/support/http2_script.h"
#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kFolder = "http2_connect";

Subject example_proxy() {
  Subject subject = example_subject();
  subject.target = "proxy1";
  subject.host = "proxy.example.org";
  subject.port = 8080;
  subject.mail_domains.clear();
  return subject;
}

// AJAR_SEED_DIR=FOLDER: what the server said becomes a seed of fuzz/http2_connect.cc (which says how it is written).
void write_seed(const std::string& file, const std::vector<std::string>& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  const Script script = Script::load(file);
  unsigned shape = script.first("subject.full_matrix") == "true" ? 1 : 0;
  if (!script.all("canary.saw").empty()) shape |= 2;
  std::string seed(1, static_cast<char>(shape));
  std::unique_ptr<Http2Script> frames = std::make_unique<Http2Script>();
  bool first = true;
  for (const std::string& line : transcript) {
    if (line.starts_with("# connect")) {
      if (!std::exchange(first, false)) seed += "\x02\n";
      frames = std::make_unique<Http2Script>();
    }
    if (!line.starts_with("S: ")) continue;
    std::optional<std::string> frame;
    try {
      frame = frames->bytes_of(std::string_view(line).substr(3));
    } catch (const std::exception&) {
      continue;  // one that is shown shortened
    }
    seed += frame ? "\x06" + *frame + "\n" : line.substr(3) + "\r\n";
  }
  std::ofstream(std::string(folder) + "/" + stem(file), std::ios::binary) << seed;
}

class Http2Transcript : public testing::TestWithParam<std::string> {};

TEST_P(Http2Transcript, GivesItsVerdict) {
  const std::vector<std::string> transcript = expect_transcript(GetParam(), http2_connect, example_proxy());
  write_seed(GetParam(), transcript);
}

INSTANTIATE_TEST_SUITE_P(Of, Http2Transcript, testing::ValuesIn(transcripts_of(kFolder)),
                         [](const auto& one) { return stem(one.param); });

TEST(Http2Transcripts, CoverVerdictsAndReasons) {
  const std::set<std::string> wanted = {"open/token_returned",
                                        "closed/refused",
                                        "closed/auth_required",
                                        "closed/other_protocol",
                                        "closed/hung_up",
                                        "unclear/canary_unreachable",
                                        "unclear/timeout",
                                        "unclear/hung_up",
                                        "unclear/protocol_error",
                                        "unclear/tls_failed",
                                        "unclear/greylisted",
                                        "throws/timeout",
                                        "throws/nobody_listens",
                                        "throws/tls_failed",
                                        "throws/auth_required",
                                        "accepted/no_proof",
                                        "accepted/accepts_everything",
                                        "accepted/tls_failed",
                                        "accepted/canary_unreachable"};
  const std::vector<std::string> covered = expectations_of(kFolder);
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

std::vector<std::string> said_in(const std::string& name) {
  for (const std::string& file : transcripts_of(kFolder)) {
    if (stem(file) == name) return expect_transcript(file, http2_connect, example_proxy());
  }
  return {};
}

// Evidence is read by people.
TEST(Http2Transcripts, ShowFramesAsLines) {
  const std::vector<std::string> lines = said_in("spelled_out");
  EXPECT_THAT(lines, Contains("# ALPN: h2"));
  EXPECT_THAT(lines, Contains(StartsWith("C: SETTINGS ENABLE_PUSH 0; MAX_CONCURRENT_STREAMS 1")));
  EXPECT_THAT(lines, Contains("C: HEADERS :method CONNECT; :authority 198.51.100.7:8025; user-agent ajar (probe.example.net; "
                              "mailto:sre@example.net)"));
  EXPECT_THAT(lines, Contains("S: HEADERS :status 200; server nghttpx"));
  EXPECT_THAT(lines, Contains("C: DATA TOKEN token1"));
  EXPECT_THAT(lines, Contains("C: PING ACK"));
  EXPECT_THAT(lines, Contains("S: DATA PROOF 4u3jq5w6n7c2hd5k; END_STREAM"));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("\\x00"))));
}

TEST(Http2Transcripts, TellTheSoftware) {
  const std::vector<std::string> lines = said_in("apache_405");
  const SoftwareGuess guess = guess_software(lines);
  ASSERT_NE(guess.software, nullptr);
  EXPECT_EQ(guess.software->id, "apache");
  EXPECT_EQ(guess.ground, "it answers with `server Apache`");
}

// The canary's mail side is another server's.
TEST(Http2Transcripts, TellNoSoftwareOfTheTunnel) { EXPECT_EQ(guess_software(said_in("open_over_tls")).software, nullptr); }

}  // namespace
}  // namespace ajar
