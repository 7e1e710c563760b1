// The place that we ask from: what is judged from facts, and the test itself against a real canary on loopback, with somebody
// in between or nobody there.
#include "agent/vantage.h"

#include <gmock/gmock.h>

#include "agent/canary_server.h"
#include "agent/vantage_check.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

AddressPort place(const char* text) { return *AddressPort::parse(text); }
IpAddress address(const char* text) { return *IpAddress::parse(text); }

CanaryPath path(CanaryKind kind, const char* where, std::string silence = {}, std::string altered = {}) {
  CanaryPath made;
  made.kind = kind;
  made.place = place(where);
  made.silence = std::move(silence);
  made.altered = std::move(altered);
  return made;
}

Vantage judged(const std::vector<CanaryPath>& paths) {
  Vantage vantage;
  judge_paths(paths, vantage);
  return vantage;
}

bool up(const Vantage& vantage, VantageKind kind) { return vantage.states.at(kind).up; }

const HttpQuestion kQuestion = vantage_question(place("198.51.100.7:80"), "abc", "0123");
const std::vector<std::string> kHello = {"250-canary.example.net proof 12ab", "250-STARTTLS", "250 SIZE 131072"};
constexpr const char* kGreeting = "220 canary.example.net ESMTP ajar canary";

TEST(Vantage, TheRequestHasWhatAProxyWouldTidyUp) {
  EXPECT_EQ(kQuestion.request, "GET /abc HTTP/1.1\r\nuSER-aGENT: ajar vantage 0123\r\nhOST: 198.51.100.7:80\r\n\r\n");
  EXPECT_THAT(altered_request(kQuestion, kQuestion.lines), IsEmpty());
}

TEST(Vantage, WhatWasAddedToARequestOrChanged) {
  const auto seen = [](std::vector<std::string> lines) { return altered_request(kQuestion, lines); };
  const std::vector<std::string>& own = kQuestion.lines;
  EXPECT_EQ(seen({own[0], own[1], own[2], "Via: 1.1 cache.example (squid)"}),
            "the request came with `Via: 1.1 cache.example (squid)`");
  EXPECT_THAT(seen({own[0], own[1], own[2], "X-Forwarded-For: 203.0.113.1"}), HasSubstr("X-Forwarded-For"));
  EXPECT_THAT(seen({"GET /<token> HTTP/1.0", own[1], own[2]}), HasSubstr("became `GET /<token> HTTP/1.0`"));
  EXPECT_THAT(seen({"GET http://198.51.100.7/<token> HTTP/1.1", own[1], own[2]}), HasSubstr("became"));
  EXPECT_THAT(seen({own[0], "User-Agent: ajar vantage 0123", own[2]}), HasSubstr("became `User-Agent:"));
  EXPECT_THAT(seen({own[0], own[2], own[1]}), HasSubstr("another order"));
  EXPECT_THAT(seen({own[0], own[1], "hOST: 198.51.100.7:80", "the authority of the request is not ours"}),
              HasSubstr("another host"));
  // A canary of another version may note less, and remark more.
  EXPECT_THAT(seen({own[0]}), IsEmpty());
  EXPECT_THAT(seen({}), IsEmpty());
  EXPECT_THAT(seen({own[0], own[1], own[2], "some remark of the canary"}), IsEmpty());
}

TEST(Vantage, AnAnswerThatIsNotOurCanarys) {
  const std::vector<std::string> own = {"HTTP/1.1 200 OK", "Content-Type: text/plain; charset=utf-8", "Connection: close"};
  EXPECT_THAT(altered_answer(own, true), IsEmpty());
  EXPECT_THAT(altered_answer(own, false), HasSubstr("not our canary's: `HTTP/1.1 200 OK`"));
  EXPECT_THAT(altered_answer({}, false), HasSubstr("nothing"));
  EXPECT_THAT(altered_answer({"HTTP/1.1 403 <\x01>"}, false), HasSubstr("`HTTP/1.1 403 <\\x01>`"));
  EXPECT_THAT(altered_answer({"HTTP/1.0 200 OK"}, true), HasSubstr("HTTP/1.0"));
  EXPECT_THAT(altered_answer({own[0], "X-Cache: MISS from cache"}, true), HasSubstr("X-Cache: MISS"));
}

TEST(Vantage, AGreetingThatSomebodyMasks) {
  EXPECT_THAT(altered_smtp(kGreeting, kHello, true), IsEmpty());
  EXPECT_THAT(altered_smtp("220 ****************************", {}, false), HasSubstr("220 ****"));
  EXPECT_THAT(altered_smtp("554 mail.isp.example no", {}, false), HasSubstr("554 mail.isp"));
  EXPECT_THAT(altered_smtp(kGreeting, kHello, false), HasSubstr("reply to EHLO is not our canary's"));
  EXPECT_THAT(altered_smtp(kGreeting, {kHello[0], "250-XXXXXXXA", kHello[2]}, true), HasSubstr("without STARTTLS"));
  EXPECT_THAT(altered_smtp(kGreeting, {}, false), HasSubstr("EHLO"));
  EXPECT_THAT(altered_smtp("421 4.7.0 too many connections", {}, false), IsEmpty());
}

TEST(Vantage, NothingIsClaimedOfWhatWasNotAsked) {
  EXPECT_THAT(judged({}).states, IsEmpty());
  const Vantage tcp = judged({path(CanaryKind::tcp, "198.51.100.7:80")});
  EXPECT_TRUE(up(tcp, VantageKind::egress_tcp));
  EXPECT_TRUE(up(tcp, VantageKind::transparent_proxy_absent));
  EXPECT_FALSE(tcp.states.contains(VantageKind::egress_25));
  // Silence says nothing of proxies.
  const Vantage silent = judged({path(CanaryKind::smtp, "198.51.100.7:25", "no answer within 5s")});
  EXPECT_FALSE(up(silent, VantageKind::egress_25));
  EXPECT_FALSE(silent.states.contains(VantageKind::transparent_proxy_absent));
  EXPECT_THAT(silent.states.at(VantageKind::egress_25).because,
              AllOf(HasSubstr("198.51.100.7:25"), HasSubstr("no answer within 5s")));
}

TEST(Vantage, APortIsBlockedWhereNoneOfItsAddressesAnswers) {
  const Vantage one =
      judged({path(CanaryKind::tcp, "198.51.100.7:80", "no answer"), path(CanaryKind::tcp, "198.51.100.8:80"),
              path(CanaryKind::tcp, "[2001:db8::7]:80", "no answer"), path(CanaryKind::smtp, "198.51.100.7:25", "refused")});
  EXPECT_FALSE(up(one, VantageKind::egress_tcp));
  EXPECT_THAT(one.blocked, ElementsAre(std::pair(false, 80), std::pair(true, 25)));
  // What was wrong is forgotten when it is well.
  Vantage later = one;
  judge_paths({path(CanaryKind::smtp, "198.51.100.7:25")}, later);
  EXPECT_THAT(later.blocked, IsEmpty());
  EXPECT_TRUE(up(later, VantageKind::egress_25));
  EXPECT_FALSE(later.states.contains(VantageKind::egress_tcp));
}

TEST(Vantage, AProxyOfOneProtocolIsNoneOfTheOther) {
  Vantage vantage = judged({path(CanaryKind::tcp, "198.51.100.7:8025"),
                            path(CanaryKind::tcp, "198.51.100.7:80", "", "the request came with `Via: 1.1 x`"),
                            path(CanaryKind::smtp, "198.51.100.7:25")});
  EXPECT_TRUE(up(vantage, VantageKind::egress_tcp));
  EXPECT_FALSE(up(vantage, VantageKind::transparent_proxy_absent));
  EXPECT_THAT(vantage.http_altered, HasSubstr("Via"));
  EXPECT_THAT(vantage.smtp_altered, IsEmpty());
  judge_paths({path(CanaryKind::smtp, "198.51.100.7:25", "", "the greeting is not our canary's")}, vantage);
  EXPECT_THAT(vantage.http_altered, IsEmpty());
  EXPECT_THAT(vantage.smtp_altered, HasSubstr("greeting"));
}

TEST(Vantage, Listings) {
  Vantage vantage;
  judge_listings({}, vantage);
  EXPECT_THAT(vantage.states, IsEmpty());
  OwnListing listing{address("198.51.100.7"), "bl.example", true, ListingTier::info, "dynamic range"};
  judge_listings({listing}, vantage);
  EXPECT_TRUE(up(vantage, VantageKind::source_unlisted));
  listing.tier = ListingTier::ticket;
  judge_listings({{address("198.51.100.7"), "other.example", false, ListingTier::page, ""}, listing}, vantage);
  EXPECT_EQ(vantage.states.at(VantageKind::source_unlisted),
            (VantageState{false, "Our own address 198.51.100.7 is listed in bl.example (dynamic range)."}));
  judge_listings({}, vantage);  // its database is ill
  EXPECT_THAT(vantage.states, IsEmpty());
}

TEST(Vantage, ReverseNames) {
  Vantage vantage;
  const auto judge = [&](const char* own, std::vector<std::string> names, std::set<std::string> back) {
    judge_names({{address(own), std::move(names), std::move(back), "no such name"}}, "Probe.example.net", vantage);
  };
  judge("8.8.4.4", {"probe.example.net"}, {"probe.example.net"});
  EXPECT_TRUE(up(vantage, VantageKind::rdns));
  // The name that we say may be another one, where it leads to us too.
  judge("8.8.4.4", {"host7.isp.example"}, {"host7.isp.example", "probe.example.net"});
  EXPECT_TRUE(up(vantage, VantageKind::rdns));
  judge("8.8.4.4", {"host7.isp.example"}, {"host7.isp.example"});
  EXPECT_THAT(vantage.states.at(VantageKind::rdns).because, HasSubstr("`agent.name` (Probe.example.net) does not lead to it"));
  EXPECT_FALSE(up(vantage, VantageKind::rdns));
  judge("8.8.4.4", {"host7.isp.example"}, {});
  EXPECT_THAT(vantage.states.at(VantageKind::rdns).because, HasSubstr("does not lead back"));
  judge("8.8.4.4", {}, {});
  EXPECT_THAT(vantage.states.at(VantageKind::rdns).because, HasSubstr("no name in the DNS: no such name"));
  // A private address needs none.
  judge("10.0.0.7", {}, {});
  EXPECT_FALSE(vantage.states.contains(VantageKind::rdns));
  judge("10.0.0.7", {"other.corp.example"}, {});
  EXPECT_FALSE(up(vantage, VantageKind::rdns));
  // Behind NAT the name that we say leads to where others see us.
  judge("10.0.0.7", {"host7.corp.example"}, {"host7.corp.example"});
  EXPECT_TRUE(up(vantage, VantageKind::rdns));
}

TEST(Vantage, BehindNatOurAddressIsTheOneThatTheCanarySaw) {
  CanaryPath nat = path(CanaryKind::tcp, "198.51.100.7:80");
  nat.source = address("10.0.0.7");
  nat.exit = address("203.0.113.9");  // of documentation: not routed
  EXPECT_THAT(own_addresses({nat}, {address("10.0.0.7")}), ElementsAre(address("10.0.0.7")));
  nat.exit = address("8.8.4.4");
  EXPECT_THAT(own_addresses({nat}, {address("10.0.0.7")}), ElementsAre(address("8.8.4.4")));
  CanaryPath local = path(CanaryKind::tcp, "127.9.9.9:80");
  local.source = local.exit = address("127.66.0.1");
  EXPECT_THAT(own_addresses({local}, {}), IsEmpty());
  EXPECT_THAT(own_addresses({local}, {address("8.8.8.8")}), ElementsAre(address("8.8.8.8")));
}

// -- results --
Record record(Verdict verdict, Reason reason, std::uint16_t port = 25, const char* check = "smtp_relay") {
  Record made;
  made.key = {"mx1", address("203.0.113.5"), port, Transport::tcp, check};
  made.finding.verdict = verdict;
  made.finding.reason = reason;
  made.finding.because = "As met.";
  return made;
}

std::string after(const Vantage& vantage, std::string_view protocol, Record made) {
  doubt(vantage, protocol, made);
  return std::string(to_string(made.finding.verdict)) + "/" + std::string(to_string(made.finding.reason));
}

TEST(Vantage, WhatABlockedPortMakesDoubtful) {
  const Vantage blocked = judged({path(CanaryKind::smtp, "198.51.100.7:25", "no answer")});
  const auto said = [&](Verdict verdict, Reason reason, std::uint16_t port = 25) {
    return after(blocked, "SMTP", record(verdict, reason, port));
  };
  EXPECT_EQ(said(Verdict::closed, Reason::nobody_listens), "unclear/source_blocked");
  EXPECT_EQ(said(Verdict::closed, Reason::hung_up), "unclear/source_blocked");
  EXPECT_EQ(said(Verdict::unreachable, Reason::timeout), "unclear/source_blocked");
  EXPECT_EQ(said(Verdict::unreachable, Reason::filtered), "unclear/source_blocked");
  // The server itself spoke, or another port is asked.
  EXPECT_EQ(said(Verdict::closed, Reason::refused), "closed/refused");
  EXPECT_EQ(said(Verdict::closed, Reason::nobody_listens, 587), "closed/nobody_listens");
  EXPECT_EQ(said(Verdict::unclear, Reason::timeout), "unclear/timeout");
  // A yes stays a yes.
  EXPECT_EQ(said(Verdict::accepted, Reason::no_proof), "accepted/no_proof");
  EXPECT_EQ(said(Verdict::open, Reason::message_delivered), "open/message_delivered");
  Record other = record(Verdict::closed, Reason::nobody_listens);
  other.key.address = address("2001:db8::5");
  EXPECT_EQ(after(blocked, "SMTP", other), "closed/nobody_listens");
  other = record(Verdict::unreachable, Reason::timeout);
  other.key.transport = Transport::udp;
  EXPECT_EQ(after(blocked, "SMTP", other), "unreachable/timeout");
  Record shown = record(Verdict::closed, Reason::nobody_listens);
  doubt(blocked, "SMTP", shown);
  EXPECT_THAT(shown.finding.because, AllOf(HasSubstr("As met. Port 25"), HasSubstr("a filter on our side")));
}

TEST(Vantage, WhatAProxyInOurWayMakesDoubtful) {
  const Vantage http = judged({path(CanaryKind::tcp, "198.51.100.7:80", "", "the request came with `Via: 1.1 x`")});
  const Vantage smtp = judged({path(CanaryKind::smtp, "198.51.100.7:25", "", "the greeting is not our canary's")});
  const Record refused = record(Verdict::closed, Reason::refused, 8080, "http_connect");
  EXPECT_EQ(after(http, "HTTP", refused), "unclear/source_blocked");
  EXPECT_EQ(after(http, "HTTP/2", refused), "unclear/source_blocked");
  EXPECT_EQ(after(http, "SOCKS5", refused), "closed/refused");
  EXPECT_EQ(after(http, "SMTP", refused), "closed/refused");
  EXPECT_EQ(after(smtp, "HTTP", refused), "closed/refused");
  EXPECT_EQ(after(smtp, "SMTP", refused), "unclear/source_blocked");
  // It answered in HTTP where SOCKS was asked.
  Record other = record(Verdict::closed, Reason::other_protocol, 8080, "socks5");
  other.finding.spoken = "HTTP";
  EXPECT_EQ(after(http, "SOCKS5", other), "unclear/source_blocked");
  // Inside TLS nothing can be changed; who refuses the connection has read nothing; a yes stays a yes.
  Record tls = refused;
  tls.tls = TlsMode::implicit;
  EXPECT_EQ(after(http, "HTTP", tls), "closed/refused");
  EXPECT_EQ(after(http, "HTTP", record(Verdict::closed, Reason::nobody_listens)), "closed/nobody_listens");
  EXPECT_EQ(after(http, "HTTP", record(Verdict::accepted, Reason::no_proof)), "accepted/no_proof");
  EXPECT_EQ(after(http, "HTTP", record(Verdict::open, Reason::token_returned)), "open/token_returned");
  EXPECT_EQ(after(http, "HTTP", record(Verdict::unreachable, Reason::timeout)), "unreachable/timeout");
}

TEST(Vantage, WhyAServerTurnsUsAway) {
  Vantage vantage;
  judge_listings({{address("198.51.100.7"), "bl.example", true, ListingTier::page, ""}}, vantage);
  Record turned_away = record(Verdict::unclear, Reason::source_blocked);
  doubt(vantage, "SMTP", turned_away);
  EXPECT_EQ(turned_away.finding.because, "As met. Our own address 198.51.100.7 is listed in bl.example.");
  Record closed = record(Verdict::closed, Reason::refused);
  doubt(vantage, "SMTP", closed);
  EXPECT_EQ(closed.finding.verdict, Verdict::closed);
  EXPECT_EQ(closed.finding.because, "As met.");
}

TEST(Vantage, Interval) {
  AgentConfig agent;
  const auto with = [&](Duration interval) {
    agent.interval = interval;
    return vantage_interval(agent);
  };
  EXPECT_EQ(with(3s), 1min);
  EXPECT_EQ(with(5min), 5min);
  EXPECT_EQ(with(24h), 1h);
}

// -- what is asked --
class SidesOfACanary : public CanaryStatus {
 public:
  CanaryHealth health(CanaryKind kind) const override { return healths.at(kind); }
  std::vector<AddressPort> advertised(CanaryKind kind) const override {
    return {place(kind == CanaryKind::smtp ? "198.51.100.7:25" : "198.51.100.7:80")};
  }
  std::map<CanaryKind, CanaryHealth> healths{{CanaryKind::tcp, {true, true, ""}}, {CanaryKind::smtp, {true, true, ""}}};
};

// While it boots, ports where nobody listens would all look blocked.
TEST(Vantage, ACanaryElsewhereThatIsDownIsNotAsked) {
  Config config;
  SidesOfACanary canary;
  config.canary.remote = "https://canary.example.net";
  EXPECT_EQ(vantage_round(config, canary).places.size(), 2U);
  canary.healths[CanaryKind::smtp] = {true, false, "no answer"};
  EXPECT_THAT(vantage_round(config, canary).places, ElementsAre(std::pair(CanaryKind::tcp, place("198.51.100.7:80"))));
  EXPECT_THAT(sides_down(config, canary), ElementsAre(CanaryKind::smtp));
  canary.healths[CanaryKind::tcp] = {true, false, "no answer"};
  EXPECT_THAT(vantage_round(config, canary).places, IsEmpty());
  EXPECT_EQ(sides_down(config, canary).size(), 2U);
  canary.healths[CanaryKind::smtp] = canary.healths[CanaryKind::tcp] = {false, false, ""};  // nobody knows yet
  EXPECT_EQ(vantage_round(config, canary).places.size(), 2U);
}

// It is looked at from here: what fails may be the way.
TEST(Vantage, ACanaryOfOurOwnIsAskedThoughItsTestFails) {
  SidesOfACanary canary;
  canary.healths[CanaryKind::smtp] = {true, false, "no answer"};
  EXPECT_EQ(vantage_round(Config(), canary).places.size(), 2U);
  EXPECT_THAT(sides_down(Config(), canary), IsEmpty());
}

// -- the test itself --
class TableDns : public Dns {
 public:
  std::map<std::string, DnsAnswer> answers;  // "7.100.51.198.in-addr.arpa PTR"
  std::vector<std::string> asked;
  Task<DnsAnswer> look_up(std::string name, DnsType type) override {
    const std::string question = name + " " + std::string(to_string(type));
    asked.push_back(question);
    DnsAnswer none;
    none.state = DnsState::no_such_name;
    none.text = "no such name";
    const auto found = answers.find(question);
    co_return found == answers.end() ? none : found->second;
  }
};

// What a stranger in between does with a conversation.
struct Meddler {
  std::string added;     // to the head of a request
  std::string greeting;  // instead of passing anything on
};

class VantageCheckTest : public testing::Test {
 protected:
  ~VantageCheckTest() override {
    loop_.shut_down();
    loop_.post([this] { loop_.stop(); });
    loop_.run();
  }

  void open_canary(const std::vector<AddressPort>& also_advertised = {}) {
    CanaryServerOptions options;
    options.config.listen_tcp = {place("127.9.9.9:0")};
    options.config.listen_smtp = {place("127.9.9.9:0")};
    options.config.mail_domain = "canary.example.net";
    options.config.advertise_tcp = also_advertised;
    options.arrived = [this](const Arrival& arrival) { others_ += check_.note(arrival) ? 0 : 1; };
    server_ = std::make_unique<CanaryServer>(loop_, keys_, std::move(options));
  }
  AddressPort canary(CanaryKind kind) const { return server_->listening(kind).front(); }

  Task<void> meddle(int fd) {
    Transcript transcript;
    LiveLink from(loop_, fd, LiveLink::Side::server, nullptr, transcript, 5s, loop_.now() + 10s);
    try {
      if (!meddler_.greeting.empty()) {
        std::string greeting = meddler_.greeting;
        co_await from.say(std::move(greeting));
        const std::string heard = co_await from.hear_some();
        co_return;
      }
      std::string head;
      for (std::string line = co_await from.hear(); !line.empty(); line = co_await from.hear()) head += line + "\r\n";
      LiveNetwork network(loop_, scope_, gate_, tls_, NetworkOptions{});
      const AddressPort to = canary(CanaryKind::tcp);
      const std::unique_ptr<Link> on = co_await network.dial(to.address, to.port, TlsMode::none);
      co_await on->say_bytes(head + meddler_.added + "\r\n");
      for (;;) {
        std::string bytes = co_await on->hear_some();
        if (bytes.empty()) break;
        co_await from.say_bytes(std::move(bytes));
      }
    } catch (const LinkError&) {
      co_return;
    }
  }
  // Somebody in between, at an address of his own.
  AddressPort put_between(Meddler how) {
    meddler_ = std::move(how);
    between_ = std::make_unique<Listener>(loop_, place("127.9.9.10:0"), [this](int fd, AddressPort) { start(meddle(fd)); });
    return between_->address();
  }

  VantageStates measure(std::vector<std::pair<CanaryKind, AddressPort>> places) {
    VantageRound round;
    round.places = std::move(places);
    round.source_addresses = {address("127.66.0.1")};
    round.name = "probe.example.net";
    round.connect_timeout = round.reply_timeout = 2s;
    round.pause = 10ms;
    start(drive(std::move(round)), [this] { loop_.stop(); });
    loop_.run();
    return check_.now().states;
  }
  Task<void> drive(VantageRound round) {
    co_await check_.measure(std::move(round));
    co_await loop_.sleep_for(1ms);  // a loop that runs has to be stopped
  }

  Loop loop_;
  CanaryKeys keys_{CanaryKeys::random()};
  ProbeTls tls_;
  TableDns dns_;
  const Scope scope_{{*Cidr::parse("127.0.0.0/8")}};
  ConnectGate gate_{loop_, 0};
  int changes_ = 0;
  VantageCheck check_{loop_, keys_, tls_, dns_, 0ms, [this] { ++changes_; }};
  std::unique_ptr<CanaryServer> server_;
  std::unique_ptr<Listener> between_;
  Meddler meddler_;
  int others_ = 0;  // arrivals that are not of this test
};

TEST_F(VantageCheckTest, AFreeWay) {
  open_canary();
  EXPECT_FALSE(check_.measured());
  const VantageStates states =
      measure({{CanaryKind::tcp, canary(CanaryKind::tcp)}, {CanaryKind::smtp, canary(CanaryKind::smtp)}});
  EXPECT_TRUE(check_.measured());
  EXPECT_GE(changes_, 1);
  for (const VantageKind kind : {VantageKind::egress_25, VantageKind::egress_tcp, VantageKind::transparent_proxy_absent}) {
    ASSERT_TRUE(states.contains(kind)) << to_string(kind);
    EXPECT_TRUE(states.at(kind).up) << states.at(kind).because;
  }
  EXPECT_THAT(states.at(VantageKind::egress_25).because, HasSubstr(canary(CanaryKind::smtp).to_string()));
  EXPECT_EQ(others_, 0);
  EXPECT_THAT(dns_.asked, IsEmpty());  // nobody's business on loopback
  EXPECT_FALSE(states.contains(VantageKind::rdns));
}

TEST_F(VantageCheckTest, SomebodyWhoAddsToARequest) {
  const AddressPort between = put_between({"Via: 1.1 cache.example\r\n", ""});
  open_canary({between});
  const VantageStates states = measure({{CanaryKind::tcp, between}});
  EXPECT_TRUE(states.at(VantageKind::egress_tcp).up);
  EXPECT_FALSE(states.at(VantageKind::transparent_proxy_absent).up);
  EXPECT_THAT(states.at(VantageKind::transparent_proxy_absent).because, HasSubstr("`Via: 1.1 cache.example`"));
  EXPECT_FALSE(check_.now().http_altered.empty());
}

// NAT and plain forwarding change no word: they are no proxies.
TEST_F(VantageCheckTest, SomebodyWhoOnlyPassesOn) {
  const AddressPort between = put_between({"", ""});
  open_canary({between});
  const VantageStates states = measure({{CanaryKind::tcp, between}});
  EXPECT_TRUE(states.at(VantageKind::transparent_proxy_absent).up) << states.at(VantageKind::transparent_proxy_absent).because;
}

TEST_F(VantageCheckTest, SomebodyWhoAnswersForOurCanary) {
  open_canary();
  const AddressPort between = put_between({"", "220 ****************"});
  const VantageStates states = measure({{CanaryKind::smtp, between}, {CanaryKind::tcp, between}});
  EXPECT_TRUE(states.at(VantageKind::egress_25).up);
  EXPECT_FALSE(states.at(VantageKind::transparent_proxy_absent).up);
  EXPECT_THAT(check_.now().smtp_altered, HasSubstr("220 ****"));
  EXPECT_THAT(check_.now().http_altered, HasSubstr("not our canary's"));
}

TEST_F(VantageCheckTest, NobodyThere) {
  open_canary();
  const std::uint16_t port = put_between({}).port;
  between_.reset();
  const AddressPort nobody{address("127.9.9.10"), port};
  const VantageStates states = measure({{CanaryKind::smtp, nobody}, {CanaryKind::tcp, canary(CanaryKind::tcp)}});
  EXPECT_FALSE(states.at(VantageKind::egress_25).up);
  EXPECT_TRUE(states.at(VantageKind::egress_tcp).up);
  EXPECT_TRUE(states.at(VantageKind::transparent_proxy_absent).up);
  EXPECT_THAT(check_.now().blocked, ElementsAre(std::pair(true, port)));
}

// Of a family that we have no address of nothing is asked, so it is not missed.
TEST_F(VantageCheckTest, TheFamilyThatProbesCannotAsk) {
  open_canary();
  const VantageStates states = measure({{CanaryKind::tcp, place("[::1]:9")}, {CanaryKind::tcp, canary(CanaryKind::tcp)}});
  EXPECT_TRUE(states.at(VantageKind::egress_tcp).up) << states.at(VantageKind::egress_tcp).because;
  const VantageStates alone = measure({{CanaryKind::tcp, place("[::1]:9")}});
  EXPECT_FALSE(alone.at(VantageKind::egress_tcp).up);
}

TEST_F(VantageCheckTest, TheNameOfOurAddress) {
  VantageRound round;
  round.source_addresses = {address("8.8.4.4")};
  round.name = "probe.example.net";
  const auto named = [&] {
    VantageRound again = round;
    start(drive(std::move(again)), [this] { loop_.stop(); });
    loop_.run();
    return check_.now().states;
  };
  EXPECT_FALSE(named().at(VantageKind::rdns).up);
  DnsAnswer name;
  name.state = DnsState::ok;
  name.names = {"host7.isp.example"};
  dns_.answers["4.4.8.8.in-addr.arpa PTR"] = name;
  EXPECT_FALSE(named().at(VantageKind::rdns).up);
  DnsAnswer back;
  back.state = DnsState::ok;
  back.addresses = {address("8.8.4.4")};
  dns_.answers["host7.isp.example A"] = back;
  EXPECT_THAT(named().at(VantageKind::rdns).because, HasSubstr("agent.name"));
  dns_.answers["probe.example.net A"] = back;
  EXPECT_TRUE(named().at(VantageKind::rdns).up);
  // Nobody can say.
  dns_.answers["4.4.8.8.in-addr.arpa PTR"] = DnsAnswer{};
  EXPECT_FALSE(named().contains(VantageKind::rdns));
}

TEST_F(VantageCheckTest, OurAddressInADatabase) {
  VantageRound round;
  round.source_addresses = {address("8.8.4.4"), address("10.0.0.7")};
  start(drive(std::move(round)), [this] { loop_.stop(); });
  loop_.run();
  EXPECT_THAT(check_.subjects(false), ElementsAre(DnsblSubject{DnsblKind::ipv4, "8.8.4.4"}));
  EXPECT_EQ(check_.subjects(true).size(), 2U);
  DnsblConfig config;
  config.zones.resize(1);
  config.zones[0].info.name = "bl.example";
  config.zones[0].interval = 1h;
  ZoneBook book;
  const Time now = wall_now();
  book.apply(config, check_.subjects(false), now);
  EXPECT_THAT(own_listings(book, config, check_.addresses()), IsEmpty());
  // The test of the zone, then the address, then the test that confirms it.
  for (Time at = now; at < now + 10min; at += 15s) {
    while (const std::optional<ZoneQuestion> question = book.next(at)) {
      DnsblLookup lookup;
      lookup.ttl = 60s;
      lookup.reply.outcome = DnsblReply::Outcome::no_such_name;
      const bool listed = question->what == ZoneQuestion::What::test_listed || question->what == ZoneQuestion::What::listing;
      if (listed) lookup.reply = {DnsblReply::Outcome::answered, {address("127.0.0.2")}};
      book.answered(*question, lookup, at);
    }
  }
  check_.take(own_listings(book, config, check_.addresses()));
  ASSERT_TRUE(check_.now().states.contains(VantageKind::source_unlisted));
  EXPECT_FALSE(check_.now().states.at(VantageKind::source_unlisted).up);
  EXPECT_THAT(check_.now().states.at(VantageKind::source_unlisted).because,
              AllOf(HasSubstr("8.8.4.4"), HasSubstr("bl.example."), Not(HasSubstr("10.0.0.7"))));
}

}  // namespace
}  // namespace ajar
