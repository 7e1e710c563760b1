// The four checks of proxies against the transcripts of tests/transcripts/CHECK: the server's side, what our canary saw, and
// what the check must make of both.
#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/catalogue.h"
#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

constexpr const char* kChecks[] = {"http_connect", "http_forward", "socks4", "socks5"};

Subject example_proxy() {
  Subject subject = example_subject();
  subject.target = "proxy1";
  subject.host = "proxy.example.org";
  subject.port = 3128;
  subject.mail_domains.clear();
  return subject;
}

std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 2 <= hex.size(); i += 3) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// AJAR_SEED_DIR=FOLDER: what the server said becomes a seed of fuzz/proxies.cc (which says how it is written).
void write_seed(const std::string& check, const std::string& file, const std::vector<std::string>& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  const Script script = Script::load(file);
  unsigned shape = 0;
  while (kChecks[shape] != check) ++shape;
  if (script.first("subject.full_matrix") == "true") shape |= 4;
  if (!script.all("canary.saw").empty()) shape |= 8;
  std::string seed(1, static_cast<char>(shape));
  bool first = true;
  for (const std::string& line : transcript) {
    if (line.starts_with("# connect") && !std::exchange(first, false)) seed += "\x02\n";
    if (!line.starts_with("S: ")) continue;
    const std::string text = line.substr(3);
    const bool is_hex = script.framing == Script::Framing::bytes && text.size() % 3 == 2 &&
                        text.find_first_not_of("0123456789abcdef ") == std::string::npos;
    seed += is_hex ? "\x06" + bytes_of(text) + "\n" : text + "\r\n";
  }
  std::ofstream(std::string(folder) + "/" + check + "-" + stem(file), std::ios::binary) << seed;
}

class ProxyTranscript : public testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(ProxyTranscript, GivesItsVerdict) {
  const auto& [check, file] = GetParam();
  const std::vector<std::string> transcript = expect_transcript(file, find_check(check)->function, example_proxy());
  write_seed(check, file, transcript);
}

std::vector<std::pair<std::string, std::string>> all_transcripts() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const char* check : kChecks) {
    for (const std::string& file : transcripts_of(check)) all.emplace_back(check, file);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Of, ProxyTranscript, testing::ValuesIn(all_transcripts()),
                         [](const auto& one) { return one.param.first + "_" + stem(one.param.second); });

// Every verdict and reason that a tunnel can give has a transcript, and none gives another. The other checks share its
// machinery (proxy_probe.cc); theirs show the verdicts in their own bytes.
TEST(ProxyTranscripts, CoverVerdictsAndReasons) {
  const std::set<std::string> wanted = {"open/token_returned",
                                        "closed/refused",
                                        "closed/auth_required",
                                        "closed/other_protocol",
                                        "closed/hung_up",
                                        "unclear/canary_unreachable",
                                        "unclear/timeout",
                                        "unclear/hung_up",
                                        "unclear/protocol_error",
                                        "unclear/no_proof",
                                        "unclear/tls_failed",
                                        "throws/timeout",
                                        "throws/nobody_listens",
                                        "throws/tls_failed",
                                        "unclear/greylisted",
                                        "accepted/no_proof",
                                        "accepted/accepts_everything",
                                        "accepted/canary_unreachable",
                                        "accepted/tls_failed",
                                        "throws/auth_required"};
  const std::vector<std::string> covered = expectations_of("http_connect");
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
  for (const std::string check : kChecks) {
    const std::vector<std::string> shown = expectations_of(check);
    for (const char* verdict : {"open/token_returned", "closed/refused", "closed/auth_required", "closed/other_protocol",
                                "unclear/canary_unreachable"}) {
      EXPECT_THAT(shown, testing::Contains(verdict)) << check;
    }
  }
}

}  // namespace
}  // namespace ajar
