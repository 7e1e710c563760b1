// smtp_relay against the transcripts of tests/transcripts/smtp_relay: the server's side and what the check must make of it.
#include "checks/smtp_relay.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace ajar {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), std::istream_iterator<std::string>()};
}

// "# subject.KEY: VALUE" and "# canary.permit: WORD".
void apply(const Script& script, Subject& subject, FixedCanary& canary) {
  for (const auto& [key, value] : script.headers) {
    if (key == "subject.port") subject.port = static_cast<std::uint16_t>(std::stoi(value));
    if (key == "subject.host") subject.host = value == "none" ? "" : value;
    if (key == "subject.address") subject.address = IpAddress::parse(value).value();
    if (key == "subject.tls") subject.tls = parse_tls_mode(value).value();
    if (key == "subject.mail_domains") subject.mail_domains = value == "none" ? std::vector<std::string>{} : words(value);
    if (key == "subject.control_recipients") subject.control_recipients = words(value);
    if (key == "subject.full_matrix") subject.full_matrix = value == "true";
    if (key == "subject.must_ask") subject.must_ask = words(value);
    if (key == "subject.our_name") subject.our_name = value;
    if (key == "subject.retry") {
      const std::vector<std::string> parts = words(value);
      subject.retries.push_back({parts.at(0), parts.at(1), parts.at(2)});
    }
    if (key == "canary.domain") canary.domain = value;
    if (key == "canary.permit") {
      const std::vector<std::string> names = {"granted", "pending", "recently_sent", "canary_down", "no_mail_domain"};
      const auto found = std::find(names.begin(), names.end(), value);
      if (found == names.end()) throw std::runtime_error("no such permit: " + value);
      canary.permit = static_cast<Permit>(found - names.begin());
    }
  }
}

Subject example_subject() {
  Subject subject;
  subject.target = "mx1";
  subject.host = "mx.example.org";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 25;
  subject.mail_domains = {"example.org"};
  subject.our_name = "probe.example.net";
  subject.contact = "mailto:sre@example.net";
  subject.date = "Fri, 02 Jan 2026 03:04:05 +0000";
  return subject;
}

std::string shown(Verdict verdict, Reason reason) {
  return std::string(to_string(verdict)) + "/" + std::string(to_string(reason));
}

std::string whole(const Transcript& transcript) {
  std::string text;
  for (const std::string& line : transcript.lines()) text += line + "\n";
  return text;
}

void expect_variants(const Script& script, const Finding& finding) {
  for (const auto& [key, value] : script.headers) {
    if (key.substr(0, 8) != "variant ") continue;
    const std::string name = key.substr(8);
    const auto found =
        std::find_if(finding.variants.begin(), finding.variants.end(), [&](const Variant& v) { return v.name == name; });
    if (value == "absent") {
      EXPECT_EQ(found, finding.variants.end()) << name;
    } else if (found == finding.variants.end()) {
      ADD_FAILURE() << "no variant " << name;
    } else {
      EXPECT_EQ(shown(found->verdict, found->reason), value) << name;
    }
  }
}

void expect_finding(const Script& script, const Finding& finding, const FixedCanary& canary) {
  EXPECT_EQ(to_string(finding.verdict), script.first("verdict")) << finding.because;
  EXPECT_EQ(to_string(finding.reason), script.first("reason")) << finding.because;
  EXPECT_THAT(finding.because, testing::EndsWith("."));
  EXPECT_THAT(finding.observations, testing::UnorderedElementsAreArray(script.all("observation")));
  EXPECT_EQ(to_string(finding.tls), script.first("tls", finding.tls == TlsMode::implicit ? "implicit" : "none"));
  expect_variants(script, finding);
  std::vector<std::string> retries;
  for (const Retry& retry : finding.retries) retries.push_back(retry.variant + " " + retry.token + " " + retry.sender_token);
  if (!script.all("retry").empty()) {
    const std::vector<std::string> wanted = script.first("retry") == "none" ? std::vector<std::string>{} : script.all("retry");
    EXPECT_THAT(retries, testing::ElementsAreArray(wanted));
  }
  for (const std::string& text : script.all("because")) EXPECT_THAT(finding.because, testing::HasSubstr(text));
  if (const std::string sent = script.first("sent"); !sent.empty()) {
    EXPECT_EQ(std::to_string(canary.asked.size()), sent);
  }
  if (const std::string unsent = script.first("unsent"); !unsent.empty()) {
    EXPECT_EQ(std::to_string(canary.unsent.size()), unsent);
  }
  if (const std::string count = script.first("variants"); !count.empty()) {
    EXPECT_EQ(std::to_string(finding.variants.size()), count);
  }
}

// AJAR_SEED_DIR=tests/fuzz/corpus/smtp_relay: what the server said becomes a seed of the fuzzer.
void write_seed(const std::string& name, const Subject& subject, const Transcript& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  std::string seed(1, subject.full_matrix ? '2' : '0');
  bool first = true;
  for (const std::string& line : transcript.lines()) {
    if (line.rfind("# connect", 0) == 0 && !std::exchange(first, false)) seed += "\x02\n";
    if (line.rfind("S: ", 0) == 0) seed += line.substr(3) + "\r\n";
  }
  std::ofstream(std::string(folder) + "/" + name, std::ios::binary) << seed;
}

class SmtpRelayTranscript : public testing::TestWithParam<std::string> {};

TEST_P(SmtpRelayTranscript, GivesItsVerdict) {
  const Script script = Script::load(GetParam());
  Subject subject = example_subject();
  FixedCanary canary;
  apply(script, subject, canary);
  ScriptedNetwork network(script);
  const std::string throws = script.first("throws");
  try {
    const Finding finding = run_now(smtp_relay(network, canary, subject));
    EXPECT_EQ(throws, "");
    expect_finding(script, finding, canary);
  } catch (const LinkError& error) {
    EXPECT_EQ(to_string(error.reason()), throws) << error.what();
  }
  for (const std::string& complaint : network.complaints()) ADD_FAILURE() << complaint;
  if (const std::string dials = script.first("connections"); !dials.empty()) {
    EXPECT_EQ(std::to_string(network.dials()), dials);
  }
  write_seed(std::filesystem::path(GetParam()).stem().string(), subject, network.transcript());
  if (HasFailure()) ADD_FAILURE() << whole(network.transcript());
}

std::vector<std::string> transcripts() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(AJAR_SOURCE_DIR "/tests/transcripts/smtp_relay")) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(Of, SmtpRelayTranscript, testing::ValuesIn(transcripts()),
                         [](const auto& file) { return std::filesystem::path(file.param).stem().string(); });

// Every verdict and reason that this check can give has a transcript; `open` is the canary's to say.
TEST(SmtpRelayTranscripts, CoverVerdictsAndReasons) {
  std::vector<std::string> covered;
  for (const std::string& file : transcripts()) {
    const Script script = Script::load(file);
    covered.push_back(script.first("verdict") + "/" + script.first("reason"));
  }
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
