#include "checks/datagrams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/scripted_network.h"

namespace ajar {
namespace {

using ::testing::ElementsAre;

// A question that the script answers, or not: what came of it, and the transcript.
struct Asked {
  std::string answer;
  std::string trouble;
  std::vector<std::string> lines;
};

Task<std::string> ask_once(Network& network, Datagrams::Fits fits) {
  const IpAddress address = IpAddress::v4({203, 0, 113, 5});
  std::unique_ptr<Datagrams> datagrams = co_await network.dial_udp(address, 3478);
  std::string question = "\x01\x02\x03";
  std::string shown;
  std::string answer;
  co_await datagrams->ask(std::move(question), std::move(shown), fits, answer);
  co_return answer;
}

Asked ask(const char* script) {
  ScriptedNetwork network(Script::parse(script));
  const Datagrams::Fits fits = [](std::string_view bytes) { return bytes.starts_with('\x09'); };
  Asked asked;
  try {
    asked.answer = hex(run_now(ask_once(network, fits)));
  } catch (const LinkError& error) {
    asked.trouble = std::string(to_string(error.reason()));
  }
  asked.lines = network.transcript().lines();
  EXPECT_THAT(network.complaints(), ElementsAre());
  return asked;
}

TEST(Datagrams, Answers) {
  const Asked asked = ask("# framing: bytes\nC: 01 02 03\nS: 09 0a\n");
  EXPECT_EQ(asked.answer, "09 0a");
  EXPECT_THAT(asked.lines, ElementsAre("# connect 203.0.113.5:3478", "C: 01 02 03", "S: 09 0a"));
}

TEST(Datagrams, AsksAgainWhereOneWasLost) {
  const Asked asked = ask("# framing: bytes\nC: 01 02 03\nC: 01 02 03\nS: 09\n");
  EXPECT_EQ(asked.answer, "09");
}

TEST(Datagrams, PassesOverWhatDoesNotFit) {
  const Asked asked = ask("# framing: bytes\nC: 01 02 03\nS: 08\nS: 08\nS: 09\n");
  EXPECT_EQ(asked.answer, "09");
  EXPECT_THAT(asked.lines, testing::Contains("# no answer to what was asked: passed over").Times(2));
}

TEST(Datagrams, GivesUp) {
  EXPECT_EQ(ask("# framing: bytes\nS*: 01 02 03 =>\n").trouble, "timeout");
  EXPECT_EQ(ask("# framing: bytes\n# hangup\n").trouble, "nobody_listens");
}

TEST(Datagrams, AreBounded) {
  EXPECT_EQ(ask("# framing: bytes\nS*: 01 02 03 => 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08 | 08\n")
                .trouble,
            "protocol_error");
}

TEST(Datagrams, RepliesMayEchoWhatIsAnswered) { EXPECT_EQ(ask("# framing: bytes\nS*: 01 * => 09 <1-2>\n").answer, "09 02 03"); }

}  // namespace
}  // namespace ajar
