// LiveDatagrams and DatagramListener on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/live_network.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

AddressPort place(const char* text) { return *AddressPort::parse(text); }

class LiveDatagramsTest : public ::testing::Test {
 protected:
  // Asks `to` once; its answer, or "[reason] what".
  std::string ask(const AddressPort& to) {
    std::string result;
    start(asking(to, result), [this] { loop_.stop(); });
    loop_.run();
    return result;
  }
  Task<void> asking(AddressPort to, std::string& result) {
    LiveNetwork network(loop_, scope_, gate_, tls_, options_);
    try {
      std::unique_ptr<Datagrams> datagrams = co_await network.dial_udp(to.address, to.port);
      std::string question = "question";
      std::string shown = "a question";
      const Datagrams::Fits fits = [](std::string_view bytes) { return bytes.starts_with("answer"); };
      co_await datagrams->ask(std::move(question), std::move(shown), fits, result);
      source_ = network.source_address();
    } catch (const LinkError& error) {
      result = "[" + std::string(to_string(error.reason())) + "] " + error.what();
    }
    lines_ = network.transcript().lines();
  }

  Loop loop_;
  Scope scope_{{*Cidr::parse("127.0.0.0/8"), *Cidr::parse("::1/128")}};
  ConnectGate gate_{loop_, 0};
  ProbeTls tls_;
  NetworkOptions options_{{*IpAddress::parse("127.66.0.2"), *IpAddress::parse("::1")}, 2000ms, 310ms, 20000ms};
  std::vector<std::string> lines_;
  std::string source_;
};

TEST_F(LiveDatagramsTest, BringTheAnswerBack) {
  std::string seen;
  const DatagramListener server(
      loop_, place("127.30.0.1:0"), [&](std::string_view bytes, const AddressPort& peer, const AddressPort& local) {
        seen = std::string(bytes) + " of " + peer.address.to_string() + " to " + local.address.to_string();
        return std::string("answer");
      });
  EXPECT_EQ(ask(server.address()), "answer");
  EXPECT_EQ(seen, "question of 127.66.0.2 to 127.30.0.1");
  EXPECT_EQ(source_, "127.66.0.2");
}

TEST_F(LiveDatagramsTest, AnswerFromTheAddressThatWasAsked) {
  const DatagramListener server(loop_, place("0.0.0.0:0"), [](std::string_view, const AddressPort&, const AddressPort& local) {
    return "answer of " + local.address.to_string();
  });
  EXPECT_EQ(ask({*IpAddress::parse("127.30.0.7"), server.address().port}), "answer of 127.30.0.7");
}

TEST_F(LiveDatagramsTest, Ipv6) {
  const DatagramListener server(loop_, place("[::1]:0"),
                                [](std::string_view, const AddressPort&, const AddressPort&) { return std::string("answer"); });
  EXPECT_EQ(ask(server.address()), "answer");
}

TEST_F(LiveDatagramsTest, AskAgainWhereOneWasLost) {
  int came = 0;
  const DatagramListener server(loop_, place("127.30.0.1:0"), [&](std::string_view, const AddressPort&, const AddressPort&) {
    return ++came < 3 ? std::string() : std::string("answer");
  });
  EXPECT_EQ(ask(server.address()), "answer");
  EXPECT_EQ(came, 3);
}

TEST_F(LiveDatagramsTest, NeverHearAnotherAddress) {
  DatagramListener other(loop_, place("127.30.0.2:0"),
                         [](std::string_view, const AddressPort&, const AddressPort&) { return std::string(); });
  const DatagramListener server(loop_, place("127.30.0.1:0"),
                                [&](std::string_view, const AddressPort& peer, const AddressPort&) {
                                  other.send("answer of somebody else", peer);
                                  return std::string();
                                });
  EXPECT_THAT(ask(server.address()), HasSubstr("[timeout]"));
  EXPECT_THAT(lines_, testing::Not(testing::Contains(HasSubstr("S: "))));
}

TEST_F(LiveDatagramsTest, TellWhereNobodyListens) {
  std::uint16_t port = 0;
  {
    const DatagramListener gone(loop_, place("127.30.0.1:0"),
                                [](std::string_view, const AddressPort&, const AddressPort&) { return std::string(); });
    port = gone.address().port;
  }
  EXPECT_THAT(ask({*IpAddress::parse("127.30.0.1"), port}), HasSubstr("[nobody_listens]"));
}

TEST_F(LiveDatagramsTest, StayInScope) {
  EXPECT_THAT(ask(place("192.0.2.1:53")), HasSubstr("[out_of_scope]"));
  EXPECT_THAT(lines_, testing::Contains(HasSubstr("outside the scope")));
}

}  // namespace
}  // namespace ajar
