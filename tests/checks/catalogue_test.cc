#include "checks/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/smtp_matrix.h"

namespace ajar {
namespace {

TEST(Words, GoBothWays) {
  for (int i = 0; i < kReasonCount; ++i) EXPECT_EQ(parse_reason(to_string(static_cast<Reason>(i))), static_cast<Reason>(i));
  for (int i = 0; i <= 4; ++i) EXPECT_EQ(parse_verdict(to_string(static_cast<Verdict>(i))), static_cast<Verdict>(i));
  EXPECT_EQ(to_string(Verdict::open), "open");
  EXPECT_EQ(to_string(Reason::message_delivered), "message_delivered");
  EXPECT_EQ(to_string(TlsMode::starttls), "starttls");
  EXPECT_EQ(to_string(Transport::udp), "udp");
  EXPECT_EQ(parse_verdict("Open"), std::nullopt);
  EXPECT_EQ(parse_reason(""), std::nullopt);
  EXPECT_EQ(parse_tls_mode("tls"), std::nullopt);
  EXPECT_EQ(parse_transport("TCP"), std::nullopt);
}

TEST(Catalogue, KnowsItsChecks) {
  const CheckInfo* check = find_check("smtp_relay");
  ASSERT_NE(check, nullptr);
  EXPECT_TRUE(check->on_by_default);
  EXPECT_NE(check->function, nullptr);
  EXPECT_THAT(check->default_ports, testing::ElementsAre(Port{25}, Port{587}, Port{2525}, Port{465, Transport::tcp, true}));
  EXPECT_EQ(find_check("smtp"), nullptr);
}

TEST(SmtpMatrix, HasEverySenderAndForm) {
  Subject subject;
  EXPECT_EQ(plan_smtp_relay(subject).size(), 6U);  // core, before and after STARTTLS
  subject.full_matrix = true;
  const std::vector<SmtpAsk> asks = plan_smtp_relay(subject);
  EXPECT_EQ(asks.size(), 2U * (6U + 2U * 17U));
  for (std::size_t i = 0; i < asks.size(); ++i) EXPECT_EQ(asks[i].core, i < 6) << asks[i].name;
  subject.tls = TlsMode::implicit;
  EXPECT_EQ(plan_smtp_relay(subject).size(), 40U);
}

TEST(SmtpMatrix, AsksAgainWhatSaidYesOrWasPutOff) {
  Subject subject;
  subject.must_ask = {"external/percent@domain+tls", "no_such/variant"};
  subject.retries = {{"forged_local/bang", "tokena", "tokenb"}};
  std::vector<std::string> names;
  for (const SmtpAsk& ask : plan_smtp_relay(subject)) {
    if (!ask.core)
      names.push_back(ask.name + (ask.must_ask ? " must" : "") + (ask.retried ? " " + ask.token + " " + ask.sender_token : ""));
  }
  EXPECT_THAT(names, testing::ElementsAre("external/percent@domain", "forged_local/bang tokena tokenb",
                                          "external/percent@domain+tls must"));
}

}  // namespace
}  // namespace ajar
