// The lab on real sockets, beside whatever runs on this machine: ports are moved by an offset.
#include "tests/lab/lab.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <system_error>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/runner.h"
#include "checks/network.h"
#include "checks/smtp_relay.h"
#include "tests/lab/control.h"
#include "tests/lab/memory_world.h"
#include "tests/support/fixed_canary.h"

namespace ajar::lab {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr seconds kPatience{20};

int connect_from(const std::string& source, const AddressPort& to) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in here{}, there{};
  here.sin_family = there.sin_family = AF_INET;
  inet_pton(AF_INET, source.c_str(), &here.sin_addr);
  inet_pton(AF_INET, to.address.to_string().c_str(), &there.sin_addr);
  there.sin_port = htons(to.port);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
  const int result = connect(fd, reinterpret_cast<sockaddr*>(&there), sizeof there);
  EXPECT_TRUE(result == 0 || errno == EINPROGRESS);
  return fd;
}

// A canary of sorts: takes everything and keeps it.
class FakeCanary {
 public:
  struct Arrived {
    AddressPort peer;
    Message message;
  };
  FakeCanary(Loop& loop, const AddressPort& address)
      : loop_(loop), listener_(loop, address, [this](int fd, AddressPort peer) { start(serve(fd, peer)); }) {}
  std::vector<Arrived> arrived;

 private:
  // The world of one connection: mail "carried on" has arrived.
  class Inbox : public MemoryWorld {
   public:
    Inbox(FakeCanary& canary, AddressPort peer) : canary_(canary), peer_(peer) {}
    Steady::time_point now() override { return canary_.loop_.now(); }
    void carry(Message message) override { canary_.arrived.push_back(Arrived{peer_, std::move(message)}); }

   private:
    FakeCanary& canary_;
    AddressPort peer_;
  };

  Task<void> serve(int fd, AddressPort peer) {
    Transcript transcript;
    Inbox inbox(*this, peer);
    const Steady::time_point until = loop_.now() + kPatience;
    LiveLink link(loop_, fd, LiveLink::Side::server, nullptr, transcript, kPatience, until);
    Setting setting;
    setting.host = "sink.test";
    setting.address = "127.9.9.9";
    setting.peer = peer.address.to_string();
    Personality canary = *find_personality("open");
    canary.manners.offers_tls = false;
    try {
      co_await converse(link, canary, std::move(setting), inbox, 0);
    } catch (const LinkError&) {
      // As any client, the postman may just leave.
    }
  }

  Loop& loop_;
  Listener listener_;
};

// The canary's HTTP and raw port, of sorts: a proof for every token.
class FakeOrigin {
 public:
  using Heads = std::vector<std::string>;
  FakeOrigin(Loop& loop, const AddressPort& address)
      : listener_(loop, address, [&loop, heads = heads_](int fd, AddressPort peer) { start(serve(loop, heads, fd, peer)); }) {}
  AddressPort address() const { return listener_.address(); }
  // "127.10.0.31 GET /t HTTP/1.1|Host: …|", or "127.10.0.31 (left)" of one that asked nothing.
  const Heads& heads() const { return *heads_; }

 private:
  static Task<void> serve(Loop& loop, std::shared_ptr<Heads> heads, int fd, AddressPort peer) {
    Transcript transcript;
    LiveLink link(loop, fd, LiveLink::Side::server, nullptr, transcript, kPatience, loop.now() + kPatience);
    std::string head = peer.address.to_string() + " ";
    std::string answer = "PROOF\r\n";
    try {
      std::string line = co_await link.hear();
      head += line;
      if (!line.starts_with("TOKEN")) answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPROOF\n";
      while (answer.starts_with("HTTP") && !line.empty()) {
        line = co_await link.hear();
        head += "|" + line;
      }
      heads->push_back(std::exchange(head, {}));
      co_await link.say_bytes(std::move(answer));
      while (true) {
        const std::string more = co_await link.hear_some();
        if (more.empty()) break;
      }
    } catch (const LinkError&) {
      if (!head.empty()) heads->push_back(head + "(left)");
    }
  }

  std::shared_ptr<Heads> heads_ = std::make_shared<Heads>();
  Listener listener_;
};

class LabTest : public testing::Test {
 protected:
  LabTest() { options_.canary = AddressPort{*IpAddress::parse("127.9.9.9"), free_port("127.9.9.9")}; }

  static std::uint16_t free_port(const std::string& address) {
    Loop loop;
    return Listener(loop, AddressPort{*IpAddress::parse(address), 0}, [](int fd, AddressPort) { close(fd); }).address().port;
  }
  // Tests run side by side: each looks for an offset where every port is free.
  void open() {
    for (unsigned i = 0; i < 20; ++i) {
      options_.port_offset = static_cast<std::uint16_t>(5000 + (static_cast<unsigned>(getpid()) * 37 + i * 1009) % 20000);
      try {
        lab_ = std::make_unique<Lab>(loop_, options_);
        lab_->open();
        return;
      } catch (const std::system_error&) {
        lab_.reset();
      }
    }
    FAIL() << "no free ports";
  }
  AddressPort place(const std::string& name) {
    AddressPort found;
    lab_->for_each([&](const Listing& listing) {
      if (listing.personality->name == name && found.port == 0) found = listing.place;
    });
    return found;
  }
  // Runs the loop until `done` or the deadline.
  void run_until(const std::function<bool()>& done) {
    if (!done()) {
      start(watch(done));
      loop_.run();
    }
    EXPECT_TRUE(done());
  }
  Task<void> watch(std::function<bool()> done) {
    const Steady::time_point until = loop_.now() + kPatience;
    while (!done() && loop_.now() < until) co_await loop_.sleep_for(milliseconds(5));
    loop_.stop();
  }
  // Says each command after the reply before it; what was heard, until the server hangs up or a reply to the last one.
  std::string talk(const AddressPort& to, std::vector<std::string> commands) {
    std::string heard;
    bool ended = false;
    start(converse_as_client(to, std::move(commands), heard), [&ended] { ended = true; });
    run_until([&ended] { return ended; });
    return heard;
  }
  Task<void> converse_as_client(AddressPort to, std::vector<std::string> commands, std::string& heard) {
    Transcript transcript;
    const Steady::time_point until = loop_.now() + kPatience;
    LiveLink link(loop_, connect_from("127.66.0.1", to), LiveLink::Side::client, tls_.context(), transcript, kPatience, until);
    try {
      co_await link.connected(until);
      if (implicit_tls_) co_await link.start_tls();
      for (std::size_t i = 0;; ++i) {
        bool last = false;
        while (!last) {
          const std::string line = co_await link.hear();
          heard += line + "\n";
          last = line.size() < 4 || line[3] != '-';
        }
        if (i == commands.size()) break;
        if (i > 0 && commands[i - 1] == "STARTTLS") {
          co_await link.start_tls();
        }
        co_await link.say(commands[i]);
      }
    } catch (const LinkError& error) {
      heard += std::string("(") + std::string(to_string(error.reason())) + ")";
    }
  }
  // Sends each piece after something has been heard for the one before it; all that was heard, until the server hangs up, or
  // until it holds `enough`.
  std::string exchange(const AddressPort& to, std::vector<std::string> pieces, std::string enough = "PROOF") {
    std::string heard;
    bool ended = false;
    start(exchange_as_client(to, std::move(pieces), std::move(enough), heard), [&ended] { ended = true; });
    run_until([&ended] { return ended; });
    return heard;
  }
  Task<void> exchange_as_client(AddressPort to, std::vector<std::string> pieces, std::string enough, std::string& heard) {
    Transcript transcript;
    const Steady::time_point until = loop_.now() + kPatience;
    LiveLink link(loop_, connect_from("127.66.0.1", to), LiveLink::Side::client, tls_.context(), transcript, kPatience, until);
    try {
      co_await link.connected(until);
      if (implicit_tls_) co_await link.start_tls();
      std::size_t next = 0;
      while (heard.find(enough) == std::string::npos) {
        if (next < pieces.size()) co_await link.say_bytes(pieces[next++]);
        const std::string bytes = co_await link.hear_some();
        if (bytes.empty()) break;
        heard += bytes;
      }
    } catch (const LinkError& error) {
      heard += std::string("(") + std::string(to_string(error.reason())) + ")";
    }
  }
  ~LabTest() override {
    // Every conversation unwinds before the lab goes.
    loop_.post([this] {
      loop_.shut_down();
      loop_.stop();
    });
    loop_.run();
  }

  Loop loop_;
  ProbeTls tls_;
  LabOptions options_;
  std::unique_ptr<Lab> lab_;
  bool implicit_tls_ = false;
};

std::vector<std::string> deliver_script() {
  return {"EHLO probe.test", "MAIL FROM:<x@other.test>", "RCPT TO:<token@canary.test>", "DATA", "."};
}

TEST_F(LabTest, OpenDeliversToTheCanaryFromItsOwnAddress) {
  open();
  FakeCanary canary(loop_, options_.canary);
  EXPECT_THAT(talk(place("open"), deliver_script()), HasSubstr("250 2.0.0 Ok: queued as "));
  run_until([&] { return !canary.arrived.empty(); });
  ASSERT_THAT(canary.arrived, SizeIs(1));
  EXPECT_EQ(canary.arrived[0].peer.address.to_string(), place("open").address.to_string());
  EXPECT_EQ(canary.arrived[0].message.recipient, "token@canary.test");
  EXPECT_EQ(canary.arrived[0].message.sender, "x@other.test");
  EXPECT_THAT(canary.arrived[0].message.text, HasSubstr("by open.lab.test (Postfix) with ESMTP id "));
  run_until([&] { return lab_->postman().queued() == 0; });
  EXPECT_EQ(lab_->postman().delivered(), 1U);
}

TEST_F(LabTest, TriesAgainUntilTheCanaryIsThere) {
  open();
  talk(place("open"), deliver_script());
  const Steady::time_point later = loop_.now() + milliseconds(300);
  run_until([&] { return loop_.now() > later; });
  EXPECT_EQ(lab_->postman().queued(), 1U);
  FakeCanary canary(loop_, options_.canary);
  run_until([&] { return canary.arrived.size() == 1; });
}

TEST_F(LabTest, MailForAnotherDomainNeverLeaves) {
  std::vector<std::string> log;
  options_.log = [&log](const std::string& line) { log.push_back(line); };
  open();
  FakeCanary canary(loop_, options_.canary);
  std::vector<std::string> script = deliver_script();
  script[2] = "RCPT TO:<x@example.net>";
  EXPECT_THAT(talk(place("open"), script), HasSubstr("250 2.0.0 Ok: queued as ")) << "it says yes all the same";
  EXPECT_EQ(lab_->postman().queued(), 0U);
  EXPECT_EQ(lab_->postman().dropped(), 1U);
  EXPECT_THAT(log, testing::ElementsAre(HasSubstr("dropped: not for the canary's domain")));
  EXPECT_THAT(canary.arrived, testing::IsEmpty());
}

TEST_F(LabTest, TheCanaryMustBeLoopback) {
  for (const char* address : {"192.0.2.1", "10.0.0.1", "128.0.0.1", "::1"}) {
    options_.canary.address = *IpAddress::parse(address);
    EXPECT_THROW(Lab(loop_, options_), std::invalid_argument) << address;
  }
}

TEST_F(LabTest, StarttlsOpensTheDoor) {
  open();
  const std::vector<std::string> plain = {"EHLO probe.test", "MAIL FROM:<x@other.test>", "RCPT TO:<token@canary.test>"};
  EXPECT_THAT(talk(place("starttls_open"), plain), HasSubstr("554 5.7.1 <token@canary.test>"));
  const AddressPort submissions = place("submissions_auth");
  const std::vector<std::string> behind = {"EHLO probe.test", "STARTTLS", "EHLO probe.test", "MAIL FROM:<x@other.test>",
                                           "RCPT TO:<token@canary.test>"};
  EXPECT_THAT(talk(place("starttls_open"), behind), EndsWith("250 2.1.5 Ok\n"));
  implicit_tls_ = true;
  EXPECT_THAT(talk(submissions, {"EHLO probe.test", "MAIL FROM:<x@other.test>"}),
              HasSubstr("530 5.7.0 Authentication required"));
}

TEST_F(LabTest, ResetAndAbsent) {
  open();
  EXPECT_EQ(talk(place("reset"), {}), "(hung_up)");
  EXPECT_EQ(talk(place("closes_after_banner"), {"EHLO probe.test"}), "220 closes-after-banner.lab.test ESMTP\n(hung_up)");
  EXPECT_EQ(talk(place("absent"), {}), "(nobody_listens)");
}

TEST_F(LabTest, ControlChangesAPlaceAtOnce) {
  open();
  const AddressPort closed = place("closed");
  const std::vector<std::string> ask = {"MAIL FROM:<x@other.test>", "RCPT TO:<token@canary.test>"};
  EXPECT_THAT(talk(closed, ask), HasSubstr("554 5.7.1"));
  const std::string change = "/personality?address=127.10.0.1&port=" + std::to_string(closed.port) + "&name=";
  EXPECT_EQ(answer_control(*lab_, "POST", change + "open", false).code, 200);
  EXPECT_THAT(talk(closed, ask), HasSubstr("250 2.1.5"));
  EXPECT_EQ(answer_control(*lab_, "POST", change + "absent", false).code, 200);
  EXPECT_EQ(talk(closed, ask), "(nobody_listens)");
  EXPECT_EQ(answer_control(*lab_, "POST", change + "closed", false).code, 200);
  EXPECT_THAT(talk(closed, ask), HasSubstr("554 5.7.1"));

  EXPECT_EQ(answer_control(*lab_, "POST", change + "opne", false).code, 400);
  EXPECT_EQ(answer_control(*lab_, "POST", "/personality?address=127.99.0.1&port=1&name=open", false).code, 404);
  EXPECT_EQ(answer_control(*lab_, "POST", "/personality?address=&port=99999&name=open", false).code, 400);
  EXPECT_EQ(answer_control(*lab_, "POST", change + "open", true).code, 403);
  EXPECT_EQ(answer_control(*lab_, "GET", change + "open", false).code, 405);
  EXPECT_EQ(answer_control(*lab_, "GET", "/else", false).code, 404);
  const std::string list = answer_control(*lab_, "GET", "/", false).body;
  EXPECT_THAT(list, StartsWith(R"({"address":"127.10.0.1","port":)"));
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(list, '\n')), personalities().size());
}

TEST_F(LabTest, HostsAreSpreadBySeed) {
  std::map<std::string, int> count;
  constexpr unsigned kHosts = 10000;
  for (unsigned i = 0; i < kHosts; ++i) ++count[std::string(host_personality(7, host_address(i)).name)];
  EXPECT_NEAR(count["open"], kHosts / 100, 40);
  EXPECT_NEAR(count["closed"], kHosts * 94 / 100, 150);
  EXPECT_NEAR(count["tarpit"], kHosts * 2 / 100, 60);
  EXPECT_NEAR(count["garbage"], kHosts / 100, 40);
  EXPECT_NEAR(count["reset"], kHosts / 100, 40);
  EXPECT_NEAR(count["greylist_closed"], kHosts / 100, 40);
  EXPECT_THAT(count, SizeIs(6));
  EXPECT_EQ(host_address(0).to_string(), "127.20.0.1");
  EXPECT_EQ(host_address(kMaxHosts - 1).to_string(), "127.23.255.254");
}

TEST_F(LabTest, OneSocketServesEveryHost) {
  options_.hosts = 3000;
  open();
  std::map<std::string, AddressPort> hosts;
  lab_->for_each([&](const Listing& listing) {
    if (listing.place.address >= host_address(0)) hosts.try_emplace(std::string(listing.personality->name), listing.place);
  });
  const std::vector<std::string> ask = {"MAIL FROM:<x@other.test>", "RCPT TO:<token@canary.test>"};
  EXPECT_THAT(talk(hosts.at("closed"), ask), HasSubstr("554 5.7.1"));
  EXPECT_THAT(talk(hosts.at("open"), ask), HasSubstr("250 2.1.5"));
  EXPECT_THAT(talk(hosts.at("greylist_closed"), ask), HasSubstr("450 4.2.0"));
  EXPECT_EQ(talk(hosts.at("reset"), {}), "(hung_up)");
  const AddressPort beyond{host_address(3000), hosts.at("closed").port};
  EXPECT_EQ(talk(beyond, {}), "(hung_up)") << "nobody lives there";
  EXPECT_EQ(lab_->change(hosts.at("closed"), "blocks_us"), Lab::Change::done);
  EXPECT_THAT(talk(hosts.at("closed"), ask), HasSubstr("blocked using"));
}

TEST_F(LabTest, ConnectionsAtAPlaceAreBounded) {
  open();
  std::vector<int> held;
  for (unsigned i = 0; i < kMaxConnectionsPerPlace; ++i) held.push_back(connect_from("127.66.0.1", place("hang")));
  EXPECT_EQ(talk(place("hang"), {}), "421 4.7.0 Error: too many connections\n");
  for (const int fd : held) close(fd);
  // Once they have left, the next one is served: it is left waiting, which ends only with the test's own patience.
  EXPECT_THAT(talk(place("closed"), {}), StartsWith("220 "));
}

TEST_F(LabTest, ProxiesReallyConnect) {
  FakeOrigin origin(loop_, AddressPort{options_.canary.address, 0});
  const std::string place_there = origin.address().to_string(), port = std::to_string(origin.address().port);
  options_.canary_http_port = origin.address().port;
  open();
  const std::string connect = "CONNECT " + place_there + " HTTP/1.1\r\n\r\n";
  const std::string by_name = "CONNECT t.canary.test:" + port + " HTTP/1.1\r\n\r\n";
  const std::string get = "GET http://" + place_there + "/t HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string token = "TOKEN t\r\n";
  const std::string granted = "HTTP/1.1 200 Connection established\r\n\r\nPROOF\r\n";
  EXPECT_EQ(exchange(place("proxy_open"), {connect, token}), granted);
  EXPECT_EQ(origin.heads().back(), "127.10.0.31 TOKEN t") << "by its own address";
  EXPECT_EQ(exchange(place("mixed"), {by_name, token}), granted);
  EXPECT_EQ(exchange(place("proxy_other_exit"), {connect, token}), granted);
  EXPECT_EQ(origin.heads().back(), "127.77.0.7 TOKEN t");
  EXPECT_THAT(exchange(place("proxy_get_only"), {get}), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\nPROOF\n")));
  EXPECT_THAT(origin.heads().back(), HasSubstr("GET /t HTTP/1.1|Host: " + place_there + "|"));
  EXPECT_THAT(exchange(place("host_routing_no_port"), {"GET / HTTP/1.1\r\nHost: canary.test:1\r\n\r\n"}), EndsWith("PROOF\n"));
  EXPECT_THAT(exchange(place("fixed_origin_canary"), {"GET / HTTP/1.1\r\nHost: else.test\r\n\r\n"}), EndsWith("PROOF\n"));
  const auto high = static_cast<char>(origin.address().port >> 8), low = static_cast<char>(origin.address().port & 0xff);
  EXPECT_EQ(exchange(place("socks_open"), {std::string("\x04\x01") + high + low + std::string("\x7f\x09\x09\x09\0", 5), token}),
            std::string("\0\x5a\0\0\0\0\0\0", 8) + "PROOF\r\n");
  EXPECT_THAT(exchange(place("socks5_only"), {std::string("\x05\x01\0", 3),
                                              std::string("\x05\x01\0\x03\x0b", 5) + "canary.test" + high + low, token}),
              EndsWith("PROOF\r\n"));
  implicit_tls_ = true;
  EXPECT_EQ(exchange(place("proxy_tls"), {connect, token}), granted);
  EXPECT_THAT(exchange(place("proxy_tls"), {get}), EndsWith("PROOF\n"));
}

TEST_F(LabTest, ProxiesReachNobodyElse) {
  FakeOrigin other(loop_, AddressPort{*IpAddress::parse("127.9.9.8"), 0});
  open();
  const std::string port = std::to_string(other.address().port);
  const std::vector<std::string> others = {"127.9.9.8:" + port, "192.0.2.1:80",
                                           "[::1]:80",          "localhost:" + port,
                                           "xcanary.test:80",   "127.9.9.9:" + std::to_string(free_port("127.9.9.9"))};
  for (const std::string& place_there : others) {
    EXPECT_THAT(exchange(place("proxy_open"), {"CONNECT " + place_there + " HTTP/1.1\r\n\r\n"}), StartsWith("HTTP/1.1 503 "))
        << place_there;
  }
  EXPECT_THAT(other.heads(), testing::IsEmpty());
}

// A tunnel ends when either side does, and what was said before is carried.
TEST_F(LabTest, TunnelsEnd) {
  const AddressPort there = options_.canary;
  open();
  FakeCanary canary(loop_, there);
  const std::string connect = "CONNECT " + there.to_string() + " HTTP/1.1\r\n\r\n";
  EXPECT_THAT(exchange(place("proxy_open"), {connect, "EHLO probe.test\r\nQUIT\r\n"}, "(no end)"),
              EndsWith("221 2.0.0 Bye\r\n"));
  FakeOrigin origin(loop_, AddressPort{options_.canary.address, 0});
  const std::string to_origin = "CONNECT " + origin.address().to_string() + " HTTP/1.1\r\n\r\n";
  EXPECT_EQ(exchange(place("proxy_open"), {to_origin}, "established"), "HTTP/1.1 200 Connection established\r\n\r\n");
  run_until([&] { return !origin.heads().empty(); });
  EXPECT_THAT(origin.heads(), testing::ElementsAre("127.10.0.31 (left)"));
}

TEST_F(LabTest, MisfitProxies) {
  open();
  const std::string get = "GET http://canary.test/ HTTP/1.1\r\n\r\n";
  EXPECT_EQ(exchange(place("proxy_reset"), {get}), "(hung_up)");
  EXPECT_EQ(exchange(place("echo"), {get}, get), get);
  EXPECT_THAT(exchange(place("endless_header"), {get}), EndsWith("(protocol_error)")) << "more than a check ever takes";
  EXPECT_THAT(exchange(place("big_body"), {get}), EndsWith("(protocol_error)"));
  EXPECT_THAT(exchange(place("proxy_slow"), {get}, "</html>"), StartsWith("HTTP/1.1 403 "));
  EXPECT_EQ(exchange(place("socks5_only"), {std::string("\x04\x01\0\x50\x7f\x09\x09\x09\0", 9)}), "");
}

// Nobody listens any longer to what has no end: their places are free again.
TEST_F(LabTest, EndlessOnesStopWhenThePeerLeaves) {
  options_.pace.banner_interval = milliseconds(1);
  open();
  const std::string get = "GET http://canary.test/ HTTP/1.1\r\n\r\n";
  for (const char* name : {"endless_banner", "endless_header", "big_body"}) {
    for (unsigned i = 0; i < kMaxConnectionsPerPlace + 5; ++i) {
      ASSERT_THAT(exchange(place(name), {get}, " "), testing::AnyOf(StartsWith("220-"), StartsWith("HTTP/1.1 200 OK")))
          << name << " " << i;
    }
  }
}

// The check itself, with the full matrix, against every place of the lab: what the table promises is what it says.
struct Asked {
  const Personality* personality = nullptr;
  AddressPort place;
  Finding finding;
  bool ended = false;
};

class EveryPersonality : public LabTest {
 protected:
  Task<void> ask(Asked& asked) {
    NetworkOptions network;
    network.source_addresses = {*IpAddress::parse("127.66.0.1")};
    network.reply_timeout = milliseconds(1500);
    network.probe_timeout = seconds(60);
    Subject subject;
    subject.target = asked.personality->name;
    subject.address = asked.place.address;
    subject.port = asked.place.port;
    subject.tls = asked.personality->implicit_tls ? TlsMode::implicit : TlsMode::none;
    subject.our_name = "probe.test";
    subject.contact = "mailto:postmaster@probe.test";
    subject.date = "Fri, 02 Jan 2026 03:04:05 +0000";
    subject.full_matrix = true;
    // Put off at most twice: each time the greylist wants one more visit.
    for (int visit = 0; visit < 3; ++visit) {
      LiveNetwork live(loop_, scope_, gate_, tls_, network);
      try {
        asked.finding = co_await smtp_relay(live, canary_, subject);
      } catch (const LinkError& error) {
        asked.finding = finding_of(error, live.transcript().heard(), false);
      }
      if (asked.finding.retries.empty()) break;
      subject.retries = asked.finding.retries;
      co_await loop_.sleep_for(milliseconds(50));
    }
    asked.ended = true;
  }

  Scope scope_{{*Cidr::parse("127.0.0.0/8")}};
  ConnectGate gate_{loop_, 0};
  FixedCanary canary_;
};

TEST_F(EveryPersonality, GetsTheVerdictOfTheTable) {
  options_.pace.greylist_delay = milliseconds(10);
  options_.pace.error_delay = milliseconds(10);
  options_.pace.tarpit_delay = milliseconds(5);
  options_.pace.byte_interval = milliseconds(100);
  options_.pace.banner_interval = milliseconds(2);
  open();
  canary_.domain = options_.canary_domain;
  FakeCanary sink(loop_, options_.canary);
  std::deque<Asked> all;
  lab_->for_each([&all](const Listing& listing) {
    if (listing.personality->carries_mail()) all.push_back(Asked{listing.personality, listing.place, {}, false});
  });
  for (Asked& asked : all) start(ask(asked));
  run_until([&] { return std::ranges::all_of(all, &Asked::ended) && lab_->postman().queued() == 0; });
  for (const Asked& asked : all) {
    const Finding& finding = asked.finding;
    const std::string said = std::string(to_string(finding.verdict)) + "/" + std::string(to_string(finding.reason));
    const Expectation& wanted = *asked.personality->expect.of("smtp_relay");
    const std::string expected = std::string(wanted.verdict) + "/" + std::string(wanted.reason);
    const auto arrived = std::ranges::count(sink.arrived, asked.place.address, [](const auto& a) { return a.peer.address; });
    if (wanted.verdict == "open") {
      EXPECT_EQ(finding.verdict, Verdict::accepted) << asked.personality->name << " " << said << ": " << finding.because;
      EXPECT_GE(arrived, 1) << asked.personality->name;
    } else if (wanted.verdict == "accepted") {
      EXPECT_EQ(finding.verdict, Verdict::accepted) << asked.personality->name << " " << said << ": " << finding.because;
      EXPECT_EQ(arrived, 0) << asked.personality->name;
    } else {
      EXPECT_EQ(said, expected) << asked.personality->name << ": " << finding.because;
      EXPECT_EQ(arrived, 0) << asked.personality->name;
    }
  }
}

// The last column: what each check must say. A mail server's table has one check, so its name stands above.
std::string verdicts(const Personality& personality) {
  std::string cell;
  for (const Expectation& one : personality.expect) {
    if (!cell.empty()) cell += "; ";
    if (!personality.carries_mail()) cell += "`" + std::string(one.check) + "` ";
    cell += "`" + std::string(one.verdict) + "` / `" + std::string(one.reason) + "`";
  }
  return " | " + cell + " |";
}

TEST(LabTable, IsTheSameInTheReadme) {
  std::ifstream file(std::string(AJAR_SOURCE_DIR) + "/tests/lab/README.md");
  std::stringstream text;
  text << file.rdbuf();
  unsigned number = 1, network = 0;
  std::set<std::string_view> names;
  for (const Personality& personality : personalities()) {
    for (const Block& block : blocks()) {
      if (block.all.empty() || block.all.front().name != personality.name) continue;
      network = block.network;
      number = 1;
    }
    const std::string row = "| 127.10." + std::to_string(network) + "." + std::to_string(number++) + ":" +
                            std::to_string(personality.port) +
                            (personality.implicit_tls       ? "/tls"
                             : personality.only_datagrams() ? "/udp"
                                                            : "") +
                            " | `" + std::string(personality.name) + "` | " + std::string(personality.imitates) + " | ";
    EXPECT_THAT(text.str(), HasSubstr(row));
    const std::size_t at = text.str().find(row);
    if (at != std::string::npos) {
      EXPECT_THAT(text.str().substr(at, text.str().find('\n', at) - at), EndsWith(verdicts(personality)));
    }
    EXPECT_NE(personality.expect.begin(), personality.expect.end()) << personality.name;
    for (const Expectation& one : personality.expect) {
      EXPECT_TRUE(parse_verdict(one.verdict).has_value()) << personality.name;
      EXPECT_TRUE(parse_reason(one.reason).has_value()) << personality.name;
    }
    EXPECT_TRUE(names.insert(personality.name).second);
  }
}

// The program itself.
struct Ended {
  int code = -1;
  std::string output;
};
Ended run(const std::string& arguments) {
  Ended result;
  FILE* pipe = popen((std::string(AJAR_BINARY_DIR) + "/ajar-lab " + arguments + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) result.output.append(buffer.data(), count);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

TEST(LabProgram, Lists) {
  const Ended result = run("--list --hosts 10");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(result.output, '\n')), personalities().size() + 10);
  EXPECT_THAT(result.output,
              StartsWith(R"({"address":"127.10.0.1","port":2525,"transport":"tcp","tls":"none","personality":"closed",)"
                         R"("expect":{"smtp_relay":"closed"},"reasons":{"smtp_relay":"refused"}})"
                         "\n"));
  EXPECT_THAT(result.output, HasSubstr(R"("port":3129,"transport":"tcp","tls":"implicit","personality":"proxy_tls",)"
                                       R"("expect":{"http_connect":"open","http_forward":"open"},)"
                                       R"("reasons":{"http_connect":"token_returned","http_forward":"token_returned"}})"
                                       "\n"));
}

TEST(LabProgram, RefusesEverythingOutsideLoopback) {
  for (const char* arguments :
       {"--control 0.0.0.0:9000", "--canary 192.0.2.1:25", "--control [::]:9000", "--control 9000", "--list --canary x"}) {
    const Ended result = run(arguments);
    EXPECT_EQ(result.code, 3) << arguments;
    EXPECT_THAT(result.output, HasSubstr("127.0.0.0/8")) << arguments;
  }
  EXPECT_EQ(run("--hosts 300000").code, 3);
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_THAT(run("--version").output, StartsWith("ajar-lab 0."));
}

}  // namespace
}  // namespace ajar::lab
