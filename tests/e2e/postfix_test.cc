// What `ajar check` says about a real Postfix in the modes that detection is about. Postfix trusts 127.0.0.1, so the probe
// comes from 127.66.0.1, a stranger.
#include "tests/e2e/postfix.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "config/remedies.h"
#include "tests/e2e/process.h"

namespace ajar {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kServer = "127.77.0.1";
constexpr const char* kCanary = "127.9.9.9";

struct Answer {
  int code = -1;
  json result;  // the one line of JSON; null when there was none
  std::string everything;
};

class RealPostfix : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = Postfix::missing();
    if (!missing.empty()) GTEST_SKIP() << missing;
  }

  // Asks a Postfix in that mode, and ends it.
  Answer ask(const std::string& mode, const std::string& wait = "20s") { return ask(Postfix(mode, server_, canary_), wait); }
  Answer ask(const Postfix& postfix, const std::string& wait) {
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), R"(scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = ["127.66.0.1"]
reply_timeout = "8s"
probe_timeout = "90s"
[canary]
listen_smtp = [")" + canary_.to_string() + R"("]
advertise_smtp = [")" + canary_.to_string() + R"("]
mail_domain = "canary.test"
delivery_timeout = "5m"
[[target]]
name = "mx"
address = ")" + server_.address.to_string() + R"("
mail_domains = ["target.test"]
checks = ["smtp_relay"]
ports.smtp_relay = [)" + std::to_string(server_.port) +
                                             "]\n");
    Process check(
        {std::string(AJAR_BINARY_DIR) + "/ajar", "check", "--config", folder.file("ajar.toml"), "--json", "--wait", wait, "mx"},
        folder.path());
    Answer answer;
    answer.code = check.wait(std::chrono::seconds(180)).value_or(-1);
    answer.everything = "exit " + std::to_string(answer.code) + "\n" + check.out() + check.err() + postfix.log();
    answer.result = json::parse(check.out(), nullptr, false);  // one line, or it is discarded
    return answer;
  }

  const AddressPort server_{*IpAddress::parse(kServer), free_port(kServer)};
  const AddressPort canary_{*IpAddress::parse(kCanary), free_port(kCanary)};
};

// The verdict and the reason of a result; words that say so when there is none.
std::string said(const Answer& answer) {
  if (!answer.result.is_object()) return "no result";
  return answer.result.value("verdict", "?") + "/" + answer.result.value("reason", "?");
}

std::string variant(const Answer& answer, const std::string& name) {
  for (const json& one : answer.result.at("variants")) {
    if (one.value("name", "") == name) return one.value("verdict", "?");
  }
  return "not asked";
}

TEST_F(RealPostfix, OpenToTheWorldDeliversTheProof) {
  const Answer answer = ask("open");
  ASSERT_EQ(said(answer), "open/message_delivered") << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(answer.result.at("level"), 4);
  EXPECT_EQ(variant(answer, "external/plain"), "open") << answer.everything;
  // It delivers from another address than the one we asked.
  EXPECT_THAT(answer.result.at("exit_addresses").get<std::vector<std::string>>(), ElementsAre("127.0.0.1"));
  EXPECT_EQ(answer.result.at("source_address"), "127.66.0.1");
  EXPECT_EQ(answer.result.at("address"), kServer);
  EXPECT_THAT(answer.result.at("transcript").get<std::vector<std::string>>(), Contains(HasSubstr("<token>")));
}

TEST_F(RealPostfix, ClosedAsDebianShipsItSays454) {
  const Answer answer = ask("closed");
  ASSERT_EQ(said(answer), "closed/refused") << answer.everything;
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(variant(answer, "external/plain"), "closed");
  EXPECT_EQ(variant(answer, "forged_local/plain"), "closed");
  EXPECT_THAT(answer.result.at("exit_addresses"), IsEmpty());
}

TEST_F(RealPostfix, ClosedWith554) {
  const Answer answer = ask("closed-reject");
  ASSERT_EQ(said(answer), "closed/refused") << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealPostfix, OpenToAForgedLocalSender) {
  const Answer answer = ask("open-sender");
  ASSERT_EQ(said(answer), "open/message_delivered") << answer.everything;
  EXPECT_EQ(answer.code, 2);
  EXPECT_EQ(variant(answer, "forged_local/plain"), "open");
  EXPECT_EQ(variant(answer, "external/plain"), "closed");
}

TEST_F(RealPostfix, OpenByTheOrderOfItsRules) {
  const Answer answer = ask("open-order");
  ASSERT_EQ(said(answer), "open/message_delivered") << answer.everything;
  EXPECT_EQ(answer.code, 2);
}

// "250 Ok: queued" and then nothing: only the proof tells these two from an open relay.
TEST_F(RealPostfix, DiscardingIsAcceptedNeverOpen) {
  const Answer answer = ask("discard", "5s");
  ASSERT_THAT(said(answer), AnyOf("accepted/token_pending", "accepted/no_proof")) << answer.everything;
  EXPECT_EQ(answer.code, 2);
}

TEST_F(RealPostfix, CatchAllIsAcceptedNeverOpen) {
  const Answer answer = ask("catchall", "5s");
  ASSERT_THAT(said(answer), AnyOf("accepted/token_pending", "accepted/no_proof")) << answer.everything;
  EXPECT_EQ(answer.code, 2);
}

// Open underneath: 450 proves nothing.
TEST_F(RealPostfix, GreylistIsUnclearNeverClosed) {
  const Answer answer = ask("greylist", "2s");
  ASSERT_EQ(said(answer), "unclear/greylisted") << answer.everything;
  EXPECT_EQ(answer.code, 1);
}

TEST_F(RealPostfix, RefusingAfterDataIsClosed) {
  const Answer answer = ask("postdata-reject", "5s");
  ASSERT_EQ(said(answer), "closed/refused") << answer.everything;
  EXPECT_EQ(answer.code, 0);
}

TEST_F(RealPostfix, SubmissionIsClosed) {
  const Answer answer = ask("submission", "2s");
  ASSERT_THAT(said(answer), AnyOf("closed/refused", "closed/auth_required")) << answer.everything;
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.result.at("tls"), "starttls") << answer.everything;
}

TEST_F(RealPostfix, SubmissionThatWantsTlsFirstIsAskedBehindIt) {
  const Answer answer = ask("submission-encrypt", "2s");
  ASSERT_THAT(said(answer), AnyOf("closed/refused", "closed/auth_required")) << answer.everything;
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.result.at("tls"), "starttls") << answer.everything;
}

// What the page tells the owner to write shuts the door: each mistake of main.cf is made, and then mended as it says.
TEST_F(RealPostfix, ItsRemedyCloses) {
  const Remedy* remedy = find_remedy("smtp_relay", "postfix");
  ASSERT_NE(remedy, nullptr);
  // Here the stranger is an address of 127.0.0.0/8.
  const TemplateValues here = {{"127.0.0.0/8", "127.0.0.1/32"}, {"example.org", "target.test"}};
  int tried = 0;
  for (const RemedyCause& cause : remedy->causes) {
    if (cause.file != "/etc/postfix/main.cf") continue;
    ++tried;
    Postfix postfix("remedy", server_, canary_, with_values(cause.before, here));
    const Answer before = ask(postfix, "20s");
    EXPECT_EQ(said(before), "open/message_delivered") << cause.before << "\n" << before.everything;
    postfix.reload(with_values(cause.after, here));
    // A process of before may take one connection more.
    Answer after;
    const auto is_closed = [&] {
      after = ask(postfix, "2s");
      return said(after) == "closed/refused";
    };
    EXPECT_TRUE(wait_until(std::chrono::seconds(60), is_closed)) << cause.after << "\n" << after.everything;
    EXPECT_EQ(said(after), "closed/refused") << cause.after << "\n" << after.everything;
  }
  EXPECT_EQ(tried, 2);
}

// What a result says, but for tokens and times.
std::vector<std::string> findings(const Answer& answer) {
  std::vector<std::string> lines = {said(answer)};
  if (!answer.result.is_object()) return lines;
  lines.push_back(answer.result.value("tls", "?"));
  for (const json& fact : answer.result.at("observations")) {
    const std::string text = fact.get<std::string>();
    // When a message arrived, and whether another of its kind came after that, is for the clock.
    if (text.find(" sent at ") == std::string::npos && text.find("message_interval") == std::string::npos)
      lines.push_back(text);
  }
  for (const json& one : answer.result.at("variants")) {
    lines.push_back(one.value("name", "?") + " " + one.value("verdict", "?") + " " + one.at("code").dump());
  }
  return lines;
}

// How often a command followed another without an answer between them.
int said_together(const Answer& answer) {
  int together = 0;
  std::string before;
  for (const json& line : answer.result.at("transcript")) {
    const std::string text = line.get<std::string>();
    // Of a long conversation the middle is left out, and a note says so.
    if (text.starts_with("# ")) {
      before.clear();
      continue;
    }
    together += before.starts_with("C: ") && text.starts_with("C: ");
    before = text;
  }
  return together;
}

// RFC 2920: in batches or one by one, the full matrix comes to the same.
TEST_F(RealPostfix, IsTheSameWithAndWithoutPipelining) {
  for (const char* mode : {"closed", "closed-reject", "open-sender", "greylist", "postdata-reject", "submission"}) {
    SCOPED_TRACE(mode);
    const Answer pipelined = ask(Postfix(mode, server_, canary_), "20s");
    const Answer serial = ask(Postfix(mode, server_, canary_, "smtpd_discard_ehlo_keywords = pipelining"), "20s");
    ASSERT_TRUE(pipelined.result.is_object() && serial.result.is_object()) << pipelined.everything << serial.everything;
    EXPECT_EQ(findings(pipelined), findings(serial)) << pipelined.everything << serial.everything;
    EXPECT_GT(said_together(pipelined), 5) << pipelined.everything;
    EXPECT_EQ(said_together(serial), 0) << serial.everything;
  }
}

// smtpd dies at once: the listener takes connections, and nobody greets.
TEST_F(RealPostfix, BrokenIsNeverClosed) {
  const Answer answer = ask("broken-permit", "2s");
  ASSERT_TRUE(answer.result.is_object()) << answer.everything;
  EXPECT_THAT(answer.result.value("verdict", "?"), AnyOf("unclear", "unreachable")) << answer.everything;
  EXPECT_EQ(answer.code, 1);
}

}  // namespace
}  // namespace ajar
