#include "agent/canary_server.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/live_network.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

AddressPort place(const char* text) { return *AddressPort::parse(text); }

// A canary on ephemeral loopback ports, and a client that may reach it.
class CanaryServerTest : public ::testing::Test {
 protected:
  CanaryServerTest() {
    options_.config.listen_tcp = {place("127.66.0.1:0")};
    options_.config.listen_smtp = {place("127.66.0.1:0")};
    options_.config.mail_domain = "canary.example.net";
    options_.agent_name = "probe.example.net";
    options_.arrived = [this](const Arrival& arrival) { arrived_.push_back(arrival); };
  }
  ~CanaryServerTest() override { end(); }
  // The first self-test ends every kind's health as measured.
  void run_until_measured(const std::vector<CanaryKind>& kinds) {
    start(wait_for(kinds), [this] { loop_.stop(); });
    loop_.run();
  }
  Task<void> wait_for(std::vector<CanaryKind> kinds) {
    const auto until = Steady::now() + 20s;
    for (const CanaryKind kind : kinds) {
      while (!server_->health(kind).measured && Steady::now() < until) {
        co_await loop_.sleep_for(5ms);
      }
    }
  }
  Task<void> wait_for_quiet() {
    const auto until = Steady::now() + 20s;
    while (server_->connections() > 0 && Steady::now() < until) {
      co_await loop_.sleep_for(5ms);
    }
  }
  // Says `said` to the canary and waits for its end: all that it answered.
  std::string talk(CanaryKind kind, std::string said, bool tls = false) {
    return talk_to(server_->listening(kind).front(), std::move(said), tls);
  }
  std::string talk_to(const AddressPort& to, std::string said, bool tls = false) {
    std::string heard;
    start(client(to, std::move(said), tls, heard), [this] { loop_.stop(); });
    loop_.run();
    return heard;
  }
  Task<void> reserve_into(std::string token, std::optional<AddressPort>& into) {
    std::optional<AddressPort> place = co_await server_->reserve(std::move(token), true, std::nullopt);
    into = place;
  }
  Task<void> client(AddressPort to, std::string said, bool tls, std::string& heard) {
    LiveNetwork network(loop_, scope_, gate_, tls_, network_options_);
    try {
      std::unique_ptr<Link> link = co_await network.dial(to.address, to.port, TlsMode::none);
      if (tls) {
        for (int i = 0; i < 2; ++i) {
          heard = co_await link->hear();
          if (i == 0) co_await link->say("STARTTLS");
        }
        co_await link->start_tls();
      }
      co_await link->say_bytes(std::move(said));
      for (;;) {
        const std::string more = co_await link->hear_some();
        if (more.empty()) break;
        heard += more;
      }
    } catch (const LinkError& error) {
      heard += std::string("[") + error.what() + "]";
    }
  }
  void end() {
    loop_.post([this] {
      loop_.shut_down();
      loop_.stop();
    });
    loop_.run();
    server_.reset();
  }
  std::string refusal() {
    try {
      const CanaryServer server(loop_, keys_, options_);
    } catch (const CanaryError& error) {
      return error.what();
    }
    return "";
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

TEST_F(CanaryServerTest, ProvesWhatComesThroughItsListeners) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::string token = keys_.mint(wall_now(), 1h);
  EXPECT_EQ(talk(CanaryKind::tcp, "TOKEN " + token + "\n"), "PROOF " + keys_.proof(token) + "\r\n");
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_TRUE(arrived_[0].proof);
  EXPECT_EQ(arrived_[0].peer.address.to_string(), "127.66.0.2");
  EXPECT_EQ(arrived_[0].listener, server_->listening(CanaryKind::tcp).front());

  const std::string authority = server_->listening(CanaryKind::tcp).front().to_string();
  EXPECT_THAT(talk(CanaryKind::tcp, "GET /" + token + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"),
              HasSubstr(keys_.proof(token)));

  const std::string mail =
      "EHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<" + token + "@canary.example.net>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n";
  EXPECT_THAT(talk(CanaryKind::smtp, mail), HasSubstr("250 2.0.0 Seen"));
  ASSERT_EQ(arrived_.size(), 3U);
  EXPECT_EQ(arrived_[2].kind, CanaryKind::smtp);
  EXPECT_TRUE(arrived_[2].proof);
  EXPECT_LT(arrived_[0].id, arrived_[1].id);
  EXPECT_LT(arrived_[1].id, arrived_[2].id);
  EXPECT_EQ(server_->arrivals().since(arrived_[0].id, 10).size(), 2U);
  start(wait_for_quiet(), [this] { loop_.stop(); });  // the self-test has its conversations too
  loop_.run();
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(CanaryServerTest, Starttls) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::string token = keys_.mint(wall_now(), 1h);
  const std::string mail = "EHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<" + token + "@canary.example.net>\r\nDATA\r\n.\r\nQUIT\r\n";
  EXPECT_THAT(talk(CanaryKind::smtp, mail, true), HasSubstr("250 2.0.0 Seen"));
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_THAT(arrived_[0].facts, ::testing::Contains("STARTTLS"));
}

TEST_F(CanaryServerTest, SelfTestGoesThroughTheAdvertisedAddresses) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_FALSE(server_->health(CanaryKind::tcp).measured);
  run_until_measured({CanaryKind::tcp, CanaryKind::smtp});
  EXPECT_TRUE(server_->health(CanaryKind::tcp).up) << server_->health(CanaryKind::tcp).trouble;
  EXPECT_TRUE(server_->health(CanaryKind::smtp).up) << server_->health(CanaryKind::smtp).trouble;
  EXPECT_FALSE(server_->health(CanaryKind::udp).measured);
  EXPECT_EQ(server_->advertised(CanaryKind::tcp), server_->listening(CanaryKind::tcp));
  EXPECT_TRUE(arrived_.empty());
  EXPECT_EQ(server_->arrivals().last_id(), 0);
}

TEST_F(CanaryServerTest, SelfTestFailsWhereSomebodyElseAnswers) {
  // Another canary, with another secret, listens where ours says it does.
  options_.config.listen_smtp = {};
  CanaryServer other(loop_, CanaryKeys(std::string(32, 'o')), options_);
  options_.config.advertise_tcp = {other.listening(CanaryKind::tcp).front()};
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  run_until_measured({CanaryKind::tcp});
  const CanaryHealth health = server_->health(CanaryKind::tcp);
  EXPECT_FALSE(health.up);
  EXPECT_THAT(health.trouble, HasSubstr("somebody else answers there"));
  EXPECT_THAT(health.trouble, StartsWith(other.listening(CanaryKind::tcp).front().to_string() + ": "));
  end();
}

TEST_F(CanaryServerTest, SelfTestFailsWhereNobodyListensOrNothingIsAdvertised) {
  options_.config.advertise_smtp = {place("127.66.0.9:1")};
  options_.config.listen_tcp = {place("0.0.0.0:0")};
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  run_until_measured({CanaryKind::tcp, CanaryKind::smtp});
  EXPECT_THAT(server_->health(CanaryKind::smtp).trouble, HasSubstr("127.66.0.9:1: "));
  EXPECT_THAT(server_->health(CanaryKind::tcp).trouble, HasSubstr("canary.advertise_tcp is empty"));
  EXPECT_FALSE(server_->health(CanaryKind::smtp).up || server_->health(CanaryKind::tcp).up);
}

TEST_F(CanaryServerTest, LendsAPortToOneQuestion) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::string token = keys_.mint(wall_now(), 1h);
  const std::optional<AddressPort> place = server_->try_reserve(token, true);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->address, server_->listening(CanaryKind::tcp).front().address);
  EXPECT_GE(place->port, options_.config.reserved_ports.first);
  EXPECT_LE(place->port, options_.config.reserved_ports.last);
  EXPECT_EQ(server_->try_reserve(token, true), place);
  EXPECT_EQ(talk_to(*place, "drwxr-xr-x pub " + token + "\r\nmore"), "");
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_EQ(arrived_[0].token, token);
  EXPECT_TRUE(arrived_[0].proof);
  EXPECT_EQ(arrived_[0].kind, CanaryKind::tcp);
  EXPECT_EQ(arrived_[0].peer.address.to_string(), "127.66.0.2");
  EXPECT_EQ(arrived_[0].listener, *place);
  EXPECT_THAT(arrived_[0].facts, ::testing::ElementsAre("connected to a port that was open for this question alone",
                                                        "it said: drwxr-xr-x pub <token>"));
  server_->release(token);
  EXPECT_THAT(talk_to(*place, ""), HasSubstr("refused"));
  EXPECT_EQ(arrived_.size(), 1U);
}

// A proxy waits for our greeting, which never comes.
TEST_F(CanaryServerTest, SaysNothingAtALentPort) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::string token = keys_.mint(wall_now(), 1h);
  EXPECT_EQ(talk_to(*server_->try_reserve(token, true), ""), "");
  ASSERT_EQ(arrived_.size(), 1U);
  EXPECT_THAT(arrived_[0].facts, ::testing::SizeIs(1));
}

TEST_F(CanaryServerTest, LendsNoMorePortsThanItHas) {
  // A port that is free, and no other.
  const std::uint16_t port = Listener(loop_, place("127.66.0.1:0"), [](int fd, AddressPort) { close(fd); }).address().port;
  options_.config.reserved_ports = {port, port};
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::string one = keys_.mint(wall_now(), 1h), other = keys_.mint(wall_now(), 1h);
  EXPECT_TRUE(server_->try_reserve(one, true));
  EXPECT_FALSE(server_->try_reserve(other, true));
  // It waits until one is given back.
  std::optional<AddressPort> got;
  start(reserve_into(other, got), [this] { loop_.stop(); });
  EXPECT_FALSE(got);
  server_->release(one);
  loop_.run();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->port, port);
}

// What an FTP server sends to the address that it is asked from proves nothing.
TEST_F(CanaryServerTest, LendsAtAnotherAddressThanTheAskersWhereItHasOne) {
  const std::optional<IpAddress> asker = IpAddress::parse("127.66.0.1"), stranger = IpAddress::parse("127.66.0.2");
  const auto lent_to = [&](const std::optional<IpAddress>& who) {
    const std::string token = keys_.mint(wall_now(), 1h);
    const std::optional<AddressPort> lent = server_->try_reserve(token, true, who);
    const std::string answer = lent ? talk_to(*lent, "x\r\n") : "nothing lent";
    server_->release(token);
    return (lent ? lent->address.to_string() : "") + answer;
  };
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_EQ(lent_to(asker), "127.66.0.1");  // it has no other
  server_.reset();
  options_.config.listen_tcp = {place("127.66.0.1:0"), place("127.66.0.8:0")};
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_EQ(lent_to(asker), "127.66.0.8");
  EXPECT_EQ(lent_to(stranger), "127.66.0.1");
  EXPECT_EQ(lent_to(std::nullopt), "127.66.0.1");
  server_.reset();
  options_.config.listen_tcp = {place("0.0.0.0:0")};
  options_.config.advertise_tcp = {place("127.66.0.1:8025"), place("127.66.0.9:8025")};
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_EQ(lent_to(asker), "127.66.0.9");
  EXPECT_EQ(arrived_.size(), 5U);
  server_.reset();
  // An address that we do not listen at ourselves leads somewhere behind a router of whose rules we know nothing.
  options_.config.listen_tcp = {place("127.66.0.1:0")};
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_EQ(lent_to(asker), "127.66.0.1");
}

TEST_F(CanaryServerTest, LendsNothingWithoutARangeAnAddressOrAToken) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_FALSE(server_->try_reserve(keys_.mint(wall_now(), 1h), false));  // no IPv6
  EXPECT_FALSE(server_->try_reserve("abc", true));
  EXPECT_FALSE(server_->try_reserve(keys_.mint(wall_now() - 2h, 1h), true));
  end();
  options_.config.reserved_ports = {};
  Loop other;
  const CanaryServer none(other, keys_, options_);
  EXPECT_FALSE(none.try_reserve(keys_.mint(wall_now(), 1h), true));
  other.shut_down();
}

TEST_F(CanaryServerTest, TakesALentPortBackInTime) {
  options_.lent = 0ms;
  options_.self_test_interval = 10ms;
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::optional<AddressPort> lent = server_->try_reserve(keys_.mint(wall_now(), 1h), true);
  run_until_measured({CanaryKind::tcp, CanaryKind::smtp});
  EXPECT_THAT(talk_to(*lent, ""), HasSubstr("refused"));
}

TEST_F(CanaryServerTest, ConnectionsToALentPortAreBounded) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  const std::optional<AddressPort> lent = server_->try_reserve(keys_.mint(wall_now(), 1h), true);
  for (int i = 0; i < 8; ++i) talk_to(*lent, "x\r\n");
  EXPECT_EQ(arrived_.size(), 5U);
}

TEST_F(CanaryServerTest, ConnectionsOfAPeerAreBounded) {
  options_.connections_of_peer = 0;
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_THAT(talk(CanaryKind::smtp, ""), StartsWith("421 4.7.0 too many connections"));
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(CanaryServerTest, SlowClientsAreHungUpOn) {
  options_.idle_timeout = 100ms;
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  EXPECT_THAT(talk(CanaryKind::smtp, "NOOP\r\n"), HasSubstr("421 4.4.2"));
  EXPECT_EQ(talk(CanaryKind::tcp, "GET / HTTP/1.1\r\n"), "");
}

TEST_F(CanaryServerTest, SaysWhyItCannotListen) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  options_.config.listen_smtp = {server_->listening(CanaryKind::tcp).front()};
  EXPECT_THAT(refusal(), StartsWith("canary.listen_smtp " + options_.config.listen_smtp[0].to_string() + ": cannot listen: "));
  EXPECT_THAT(refusal(), HasSubstr("another program listens there"));
  options_.config.listen_smtp = {place("192.0.2.1:2525")};
  EXPECT_THAT(refusal(), HasSubstr("does not have that address"));
}

TEST_F(CanaryServerTest, EndsWithConversationsUnderWay) {
  server_ = std::make_unique<CanaryServer>(loop_, keys_, options_);
  std::string heard;
  bool ended = false;
  start(client(server_->listening(CanaryKind::smtp).front(), "NOOP\r\n", false, heard), [&ended] { ended = true; });
  run_until_measured({CanaryKind::tcp, CanaryKind::smtp});
  EXPECT_FALSE(ended);
  EXPECT_GE(server_->connections(), 1U);
  end();
  EXPECT_TRUE(ended);
}

class ArrivalLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/arrivalsXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = folder_ + "/canary.secret.arrivals";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Arrival arrival(const std::string& token, bool proof = true) const {
    Arrival arrival;
    arrival.token = token;
    arrival.proof = proof;
    arrival.peer = place("203.0.113.9:4");
    arrival.listener = place("198.51.100.7:25");
    arrival.facts = {"EHLO \xff"};
    return arrival;
  }
  bool add(ArrivalLog& log, const std::string& token, bool proof = true) {
    Arrival one = arrival(token, proof);
    return log.add(one);
  }
  Time now_{1'800'000'000s};
  WallClock clock_ = [this] { return now_; };
  std::string folder_, file_;
};

TEST_F(ArrivalLogTest, SurvivesARestart) {
  std::int64_t last = 0;
  {
    ArrivalLog log(file_, clock_, 120h);
    ASSERT_TRUE(add(log, "one"));
    ASSERT_TRUE(add(log, "two", false));
    last = log.last_id();
  }
  std::ofstream(file_, std::ios::app) << "{\"kind\":\"arri";  // the crash came in the middle of a line
  ArrivalLog log(file_, clock_, 120h);
  const std::vector<Arrival> all = log.since(0, 10);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].token, "one");
  EXPECT_TRUE(all[0].proof);
  EXPECT_FALSE(all[1].proof);
  EXPECT_EQ(all[1].id, last);
  EXPECT_EQ(all[1].time, now_);
  EXPECT_EQ(all[0].peer.to_string(), "203.0.113.9:4");
  ASSERT_TRUE(add(log, "three"));
  EXPECT_GT(log.last_id(), last);
  EXPECT_EQ(log.since(last, 10).size(), 1U);
  EXPECT_EQ(log.since(0, 2).size(), 2U);
  ArrivalLog again(file_, clock_, 120h);
  EXPECT_EQ(again.since(0, 10).size(), 3U);
}

TEST_F(ArrivalLogTest, IdsRiseWhenTheFileIsLost) {
  std::int64_t last = 0;
  {
    ArrivalLog log(file_, clock_, 120h);
    add(log, "one");
    last = log.last_id();
  }
  std::filesystem::remove(file_);
  now_ += 1s;
  ArrivalLog log(file_, clock_, 120h);
  add(log, "two");
  EXPECT_GT(log.last_id(), last);
}

TEST_F(ArrivalLogTest, IsBounded) {
  ArrivalLog log("", clock_, 120h);
  for (std::size_t i = 0; i < ArrivalLog::kMostOfToken; ++i) EXPECT_TRUE(add(log, "flood", false));
  EXPECT_FALSE(add(log, "flood", false));
  EXPECT_TRUE(add(log, "flood", true));  // its proof is never crowded out
  for (std::size_t i = 0; i < ArrivalLog::kMost; ++i) add(log, "t" + std::to_string(i));
  EXPECT_EQ(log.since(0, 1'000'000).size(), ArrivalLog::kMost);
  EXPECT_TRUE(add(log, "flood", false));  // the old ones are gone
  now_ += 121h;
  add(log, "late");
  EXPECT_EQ(log.since(0, 10).size(), 1U);
}

TEST_F(ArrivalLogTest, SaysWhenItsFolderIsMissing) {
  try {
    const ArrivalLog log(folder_ + "/missing/file", clock_, 120h);
    FAIL();
  } catch (const ArrivalLogError& error) {
    EXPECT_THAT(error.what(), HasSubstr("arrivals cannot be kept: No such file"));
  }
}

}  // namespace
}  // namespace ajar
