#include "agent/probe_canary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/network.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;

class SettableStatus : public CanaryStatus {
 public:
  CanaryHealth health(CanaryKind kind) const override { return {true, kind == CanaryKind::smtp && smtp_up, ""}; }
  std::vector<AddressPort> advertised(CanaryKind) const override { return {*AddressPort::parse("198.51.100.7:25")}; }
  Task<std::optional<AddressPort>> reserve(std::string token, bool, std::optional<IpAddress>) const override {
    lent.push_back(std::move(token));
    co_return AddressPort::parse("198.51.100.7:50000");
  }
  void release(const std::string& token) const override { std::erase(lent, token); }
  bool smtp_up = true;
  mutable std::vector<std::string> lent;  // the tokens
};

Task<void> ask(ProbeCanary& canary, std::string token, std::string variant, std::string variant_class,
               std::optional<Permit>& into) {
  into = co_await canary.ask_to_send(token, variant, variant_class);
}

// By a book that answers at once.
std::optional<Permit> ask_to_send(ProbeCanary& canary, const std::string& token, const std::string& variant,
                                  const std::string& variant_class) {
  std::optional<Permit> permit;
  start(ask(canary, token, variant, variant_class, permit));
  return permit;
}

class ProbeCanaryTest : public ::testing::Test {
 protected:
  ProbeCanaryTest() {
    config_.mail_domain = "canary.example.net";
    config_.host = "host.example.net";
  }
  ProbeCanary canary(const std::string& check = "smtp_relay") {
    return {keys_,
            config_,
            "probe.example.net",
            status_,
            book_,
            sightings_,
            {"mx1", *IpAddress::parse("203.0.113.5"), 25, Transport::tcp, check},
            "0123456789abcdef",
            clock_};
  }
  Time now_{1'800'000'000s};
  WallClock clock_ = [this] { return now_; };
  CanaryKeys keys_{std::string(32, 'k')};
  CanaryConfig config_;
  Loop loop_;
  Sightings sightings_{loop_, 0ms};
  SettableStatus status_;
  Ledger ledger_{{.path = ":memory:", .now = clock_}};
  MessageBook book_{[this](const Message& message) { return at_once(ledger_.ask_to_send(message)); },
                    [this](const Message& message) { ledger_.remember(message); },
                    [this](const std::string& token) { ledger_.not_sent(token); }};
};

TEST_F(ProbeCanaryTest, NamesAndTokens) {
  ProbeCanary mine = canary();
  EXPECT_EQ(mine.mail_domain(), "canary.example.net");
  EXPECT_EQ(mine.host(), "host.example.net");
  EXPECT_TRUE(mine.up(CanaryKind::smtp));
  EXPECT_FALSE(mine.up(CanaryKind::tcp));
  const std::string token = mine.mint("external/plain");
  EXPECT_EQ(keys_.check(token, now_ + 119h), TokenState::valid);
  EXPECT_EQ(mine.tokens(), std::vector<std::string>{token});
  EXPECT_TRUE(mine.proves(token, "HTTP/1.1 200 OK\r\n\r\nPROOF " + keys_.proof(token) + "\n"));
  EXPECT_FALSE(mine.proves(token, "TOKEN " + token));
  EXPECT_FALSE(mine.proves(token, "PROOF " + keys_.proof(mine.mint("other"))));
  EXPECT_FALSE(mine.proves("", "PROOF " + keys_.proof("")));
  config_.mail_domain = "";
  EXPECT_EQ(canary().mail_domain(), "host.example.net");
  config_.host = "";
  EXPECT_EQ(canary().mail_domain(), "probe.example.net");
}

TEST_F(ProbeCanaryTest, AsksBeforeAMessageIsSent) {
  ProbeCanary mine = canary();
  const std::string token = mine.mint("external/plain");
  status_.smtp_up = false;
  EXPECT_EQ(ask_to_send(mine, token, "external/plain", "external"), Permit::canary_down);
  status_.smtp_up = true;
  EXPECT_EQ(ask_to_send(mine, token, "external/plain", "external"), Permit::granted);
  EXPECT_EQ(ask_to_send(mine, mine.mint("external/percent"), "external/percent", "external"), Permit::pending);
  config_.mail_domain = "";
  ProbeCanary without_domain = canary();
  EXPECT_EQ(ask_to_send(without_domain, token, "external/plain", "external"), Permit::no_mail_domain);
}

// A refusal after DATA: nothing is on its way, and the next probe may ask again at once.
TEST_F(ProbeCanaryTest, AMessageThatWasNotTakenIsNotCounted) {
  ProbeCanary mine = canary();
  const std::string token = mine.mint("external/plain");
  EXPECT_EQ(ask_to_send(mine, token, "external/plain", "external/plain"), Permit::granted);
  mine.not_sent(token);
  EXPECT_EQ(ask_to_send(mine, mine.mint("external/plain"), "external/plain", "external/plain"), Permit::granted);
  EXPECT_EQ(ask_to_send(mine, mine.mint("external/plain"), "external/plain", "external/plain"), Permit::pending);
}

// The token of a proxy is known while its probe runs; only one that may still come is written down.
TEST_F(ProbeCanaryTest, WhatAProxyBringsIsSeenAndWhatIsLateIsRemembered) {
  const auto arrival = [](const std::string& token) {
    Arrival it;
    it.token = token;
    it.proof = true;
    it.peer = *AddressPort::parse("203.0.113.9:4711");
    it.facts = {"GET /<token> HTTP/1.1", "Via: 1.1 proxy"};
    return it;
  };
  std::string seen, late;
  {
    ProbeCanary mine = canary("http_forward");
    seen = mine.mint("absolute/get@ipv4:8025");
    late = mine.mint("host/get@ipv4:8025");
    EXPECT_TRUE(sightings_.note(arrival(seen)));
    EXPECT_EQ(ledger_.apply(arrival(seen)).first, ArrivalResult::unknown_token);
    mine.expect_late(late, "host/get@ipv4:8025");
    // What the record takes along.
    ASSERT_EQ(mine.arrivals().size(), 1U);
    EXPECT_EQ(mine.arrivals()[0].token, "");
    EXPECT_EQ(mine.arrivals()[0].peer, *AddressPort::parse("203.0.113.9:4711"));
    EXPECT_EQ(mine.arrivals()[0].facts.at(1), "Via: 1.1 proxy");
  }
  EXPECT_FALSE(sightings_.note(arrival(seen)));
  EXPECT_EQ(ledger_.apply(arrival(late)).first, ArrivalResult::proved);
}

Task<void> reserve_twice(ProbeCanary& canary, std::string one, std::string other, std::optional<AddressPort>& place) {
  place = co_await canary.reserve(one, true, std::nullopt);
  place = co_await canary.reserve(other, true, std::nullopt);
}

TEST_F(ProbeCanaryTest, HoldsOnePortAndGivesItBack) {
  {
    ProbeCanary mine = canary("ftp_bounce");
    const std::string one = mine.mint("port"), other = mine.mint("eprt");
    std::optional<AddressPort> place;
    start(reserve_twice(mine, one, other, place));
    EXPECT_EQ(place, AddressPort::parse("198.51.100.7:50000"));
    EXPECT_EQ(status_.lent, std::vector<std::string>{other});
  }
  EXPECT_TRUE(status_.lent.empty());
}

// The connection to our port and the answer that speaks of it may come in either order.
TEST_F(ProbeCanaryTest, WaitsAMomentForAConnectionToItsPort) {
  ProbeCanary mine = canary("ftp_bounce");
  const std::string token = mine.mint("port");
  struct Wait {
    static Task<void> run(Loop& loop, ProbeCanary& canary, std::string token, std::optional<Sighting>& into) {
      const std::optional<AddressPort> place = co_await canary.reserve(token, true, std::nullopt);
      EXPECT_TRUE(place.has_value());
      std::optional<Sighting> seen = co_await canary.sighting(token, SightingWait::lag);
      into = seen;
      loop.stop();
    }
  };
  std::optional<Sighting> seen;
  start(Wait::run(loop_, mine, token, seen));
  EXPECT_FALSE(seen);
  Arrival arrival;
  arrival.token = token;
  arrival.proof = true;
  loop_.post([&] { sightings_.note(arrival); });
  loop_.run();
  EXPECT_TRUE(seen && seen->proof);
}

TEST_F(ProbeCanaryTest, NoTokenIsShown) {
  ProbeCanary mine = canary();
  const std::string token = mine.mint("a");
  const std::string earlier = canary().mint("a");  // of another probe: a retry
  std::string upper = token;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(mine.redact("C: RCPT TO:<" + token + "@x> and <probe-" + earlier + "@x>"),
            "C: RCPT TO:<<token>@x> and <probe-<token>@x>");
  EXPECT_EQ(mine.redact("S: 550 " + upper + "x" + token), "S: 550 <token>x<token>");
  EXPECT_EQ(mine.redact("S: 00 13 " + hex("TOKEN " + token) + " 00"), "S: 00 13 54 4f 4b 45 4e 20 <token> 00");
  EXPECT_EQ(mine.redact("S: 00 13 " + hex("TOKEN " + earlier)), "S: 00 13 " + hex("TOKEN " + earlier)) << "not of this probe";
  EXPECT_EQ(mine.redact("S: 00 13 " + hex("TOKE") + " 00"), "S: 00 13 54 4f 4b 45 00");
  EXPECT_EQ(mine.redact("S: 250 abcdefghijklmnopqrstuvwxyz234567"), "S: 250 abcdefghijklmnopqrstuvwxyz234567");
}

}  // namespace
}  // namespace ajar
