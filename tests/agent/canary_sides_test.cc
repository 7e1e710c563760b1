// The canary's UDP and TLS sides: what they prove, to whom, and what their self-test sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/canary_http.h"
#include "agent/canary_server.h"
#include "agent/live_network.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

AddressPort place(const char* text) { return *AddressPort::parse(text); }

class CanarySidesTest : public ::testing::Test {
 protected:
  CanarySidesTest() {
    options_.config.host = "canary.example.net";
    options_.config.listen_udp = {place("127.66.0.1:0")};
    options_.config.listen_tls = {place("127.66.0.1:0")};
    options_.arrived = [this](const Arrival& arrival) { arrived_.push_back(arrival); };
  }
  ~CanarySidesTest() override {
    loop_.post([this] {
      loop_.shut_down();
      loop_.stop();
    });
    loop_.run();
    server_.reset();
  }
  void begin() { server_ = std::make_unique<CanaryServer>(loop_, keys_, options_); }
  // What the canary answers to `said` inside TLS after a hello for `name`.
  std::string talk(const AddressPort& to, std::string name, std::string said) {
    std::string heard;
    start(talking(to, std::move(name), std::move(said), heard), [this] { loop_.stop(); });
    loop_.run();
    return heard;
  }
  Task<void> talking(AddressPort to, std::string name, std::string said, std::string& heard) {
    LiveNetwork network(loop_, scope_, gate_, tls_, network_options_);
    try {
      std::unique_ptr<Link> link = co_await network.dial(to.address, to.port, TlsMode::none);
      TlsHello hello;
      hello.server_name = std::move(name);
      co_await link->start_tls(hello);
      co_await link->say(std::move(said));
      heard = co_await link->hear();
    } catch (const LinkError& error) {
      heard = std::string("[") + error.what() + "]";
    }
  }
  CanaryHealth health(CanaryKind kind) {
    start(measured(kind), [this] { loop_.stop(); });
    loop_.run();
    return server_->health(kind);
  }
  Task<void> measured(CanaryKind kind) {
    const auto until = Steady::now() + 20s;
    while (!server_->health(kind).measured && Steady::now() < until) {
      co_await loop_.sleep_for(5ms);
    }
  }
  std::string answer(const std::string& datagram, Time now) {
    const CanaryIdentity identity{"probe", "", "canary.example.net", "canary.example.net", {}};
    CanarySession session{identity,     keys_, [now] { return now; }, place("203.0.113.9:4"), place("198.51.100.7:8025"), false,
                          std::nullopt, {}};
    session.arrived = [this](Arrival arrival) { arrived_.push_back(std::move(arrival)); };
    return answer_datagram(datagram, session);
  }

  Loop loop_;
  Scope scope_{{*Cidr::parse("127.0.0.0/8")}};
  ConnectGate gate_{loop_, 0};
  ProbeTls tls_;
  NetworkOptions network_options_{{*IpAddress::parse("127.66.0.2")}, 2000ms, 5000ms, 20000ms};
  CanaryKeys keys_{std::string(32, 'k')};
  CanaryServerOptions options_;
  std::unique_ptr<CanaryServer> server_;
  std::vector<Arrival> arrived_;
};

TEST_F(CanarySidesTest, AreUpWhereTheyAnswerThemselves) {
  begin();
  EXPECT_TRUE(health(CanaryKind::udp).up) << server_->health(CanaryKind::udp).trouble;
  EXPECT_TRUE(health(CanaryKind::tls).up) << server_->health(CanaryKind::tls).trouble;
  EXPECT_THAT(arrived_, testing::IsEmpty()) << "the self-test is nobody's arrival";
}

TEST_F(CanarySidesTest, TlsNeedsAName) {
  options_.config.host = "";
  begin();
  EXPECT_FALSE(health(CanaryKind::tls).up);
  EXPECT_THAT(server_->health(CanaryKind::tls).trouble, HasSubstr("canary.host is empty"));
}

TEST_F(CanarySidesTest, UdpIsDownWhereNobodyAnswers) {
  options_.config.advertise_udp = {place("127.66.0.9:9")};
  options_.self_test_timeout = 310ms;
  begin();
  EXPECT_FALSE(health(CanaryKind::udp).up);
}

TEST_F(CanarySidesTest, TlsProvesTheTokenThatTheHelloNames) {
  begin();
  const std::string token = keys_.mint(wall_now(), 1h);
  const AddressPort tls = server_->listening(CanaryKind::tls).front();
  EXPECT_EQ(talk(tls, token + ".canary.example.net", "TOKEN " + token), "PROOF " + keys_.proof(token));
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_TRUE(arrived_[0].proof);
  EXPECT_EQ(arrived_[0].kind, CanaryKind::tls);
  EXPECT_THAT(arrived_[0].facts, Contains("the TLS hello names <token>.canary.example.net"));
}

TEST_F(CanarySidesTest, TlsProvesNothingForAnotherName) {
  begin();
  const std::string token = keys_.mint(wall_now(), 1h);
  const std::string other = keys_.mint(wall_now(), 1h);
  const AddressPort tls = server_->listening(CanaryKind::tls).front();
  for (const std::string& name :
       {token + ".invalid", std::string("canary.example.net"), other + ".canary.example.net", std::string("203.0.113.5")}) {
    arrived_.clear();
    EXPECT_THAT(talk(tls, name, "TOKEN " + token), testing::Not(HasSubstr("PROOF"))) << name;
    ASSERT_EQ(arrived_.size(), 1U) << name;
    EXPECT_FALSE(arrived_[0].proof) << name;
    EXPECT_EQ(arrived_[0].facts.back(), "the name in the TLS hello is not ours") << name;
  }
}

TEST_F(CanarySidesTest, OnePortTellsTlsFromPlain) {
  options_.config.listen_tcp = {place("127.66.0.1:0")};
  begin();
  const AddressPort shared = server_->listening(CanaryKind::tcp).front();
  server_.reset();
  options_.config.listen_tcp = options_.config.listen_tls = {shared};
  begin();
  EXPECT_TRUE(health(CanaryKind::tcp).up) << server_->health(CanaryKind::tcp).trouble;
  EXPECT_TRUE(health(CanaryKind::tls).up) << server_->health(CanaryKind::tls).trouble;
  EXPECT_THAT(server_->listening(CanaryKind::tls), testing::ElementsAre(shared));
}

TEST_F(CanarySidesTest, DatagramsProveATokenAndNothingElse) {
  const Time now = wall_now();
  const std::string token = keys_.mint(now, 1h);
  EXPECT_EQ(answer("TOKEN " + token, now), "PROOF " + keys_.proof(token));
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_EQ(arrived_[0].kind, CanaryKind::udp);
  EXPECT_THAT(arrived_[0].facts, testing::ElementsAre("TOKEN <token>"));
  EXPECT_EQ(answer("TOKEN " + token + "\r\n", now), "PROOF " + keys_.proof(token));

  arrived_.clear();
  std::string forged = token;
  forged[3] = forged[3] == 'a' ? 'b' : 'a';
  for (const std::string& nothing : {std::string(), std::string("TOKEN "), token, "TOKEN " + forged, std::string(8000, 'x')}) {
    EXPECT_EQ(answer(nothing, now), "");
  }
  EXPECT_THAT(arrived_, testing::IsEmpty());

  EXPECT_EQ(answer("TOKEN " + token, now + 2h), "") << "expired";
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_FALSE(arrived_[0].proof);
}

}  // namespace
}  // namespace ajar
