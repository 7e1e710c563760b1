// One visit to a port: what it costs, and what one check hears settles of another. Real sockets on loopback.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include "agent/in_hand.h"
#include "agent/runner.h"
#include "tests/support/icmp.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;

class TwoEndpoints : public CanaryStatus {
 public:
  CanaryHealth health(CanaryKind) const override { return {true, up, ""}; }
  std::vector<AddressPort> advertised(CanaryKind kind) const override {
    if (kind != CanaryKind::tcp) return {};
    return {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("198.51.100.7:80")};
  }
  bool up = true;
};

using Serve = Task<void> (*)(Link&);

Task<void> serve_one(Loop& loop, int fd, Serve serve) {
  Transcript transcript;
  LiveLink link(loop, fd, LiveLink::Side::server, nullptr, transcript, milliseconds(5000), loop.now() + milliseconds(10000));
  try {
    co_await serve(link);
  } catch (const LinkError&) {
  }
}

Task<void> say_nothing(Link& link) {
  for (;;) {
    const std::string heard = co_await link.hear_some();
    if (heard.empty()) co_return;
  }
}

Task<void> greet_as_ssh(Link& link) {
  co_await link.say("SSH-2.0-OpenSSH_9.2p1");
  co_await say_nothing(link);
}

// A web server that waits for more where it is told no line, as Apache and Squid do.
Task<void> refuse_http(Link& link) {
  std::string line = co_await link.hear();
  while (!line.empty()) line = co_await link.hear();
  const std::string refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  co_await link.say_bytes(refusal);
}

// A port of 127.0.0.1 that takes no more connections: what arrives is dropped, as a packet filter drops.
class DroppingPort {
 public:
  DroppingPort() : listens_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof place;
    auto* const at = reinterpret_cast<sockaddr*>(&place);
    EXPECT_EQ(bind(listens_.get(), at, length), 0);
    EXPECT_EQ(listen(listens_.get(), 0), 0);
    EXPECT_EQ(getsockname(listens_.get(), at, &length), 0);
    port_ = ntohs(place.sin_port);
    for (int i = 0; i < 4; ++i) {
      waiting_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      static_cast<void>(connect(waiting_.back().get(), at, length));
    }
  }
  std::uint16_t port() const { return port_; }

 private:
  FileDescriptor listens_;
  std::vector<FileDescriptor> waiting_;
  std::uint16_t port_ = 0;
};

class VisitTest : public testing::Test {
 protected:
  ~VisitTest() override { loop_.shut_down(); }

  void serve(Serve how) {
    listener_ = std::make_unique<Listener>(loop_, *AddressPort::parse("127.0.0.1:0"), [this, how](int fd, AddressPort) {
      ++connections_;
      start(serve_one(loop_, fd, how));
    });
    port_ = listener_->address().port;
  }

  std::vector<ProbePlan> plans(const std::vector<const char*>& checks) {
    auto config = std::make_shared<Config>();
    config->scope = {*Cidr::parse("127.0.0.0/8")};
    config->agent.reply_timeout = reply_timeout_;
    config->agent.connect_timeout = connect_timeout_;
    config->canary.host = "canary.example.net";
    std::vector<ProbePlan> all;
    for (const char* check : checks) {
      ProbePlan& plan = all.emplace_back();
      plan.config = config;
      plan.check = find_check(check);
      plan.key = {"t", *IpAddress::parse("127.0.0.1"), port_, Transport::tcp, check};
    }
    return all;
  }

  Task<void> drive(std::vector<ProbePlan> plans) {
    const std::function<void(const Record&)> done = [this](const Record& record) { records_[record.key.check] = record; };
    co_await run_visit(world_, std::move(plans), done);
    loop_.stop();
  }
  void visit_plans(std::vector<ProbePlan> all) {
    start(drive(std::move(all)));
    loop_.run();
  }
  void visit(const std::vector<const char*>& checks) { visit_plans(plans(checks)); }
  std::string said(const std::string& check) {
    if (!records_.contains(check)) return "no record";
    const Finding& finding = records_[check].finding;
    return std::string(to_string(finding.verdict)) + "/" + std::string(to_string(finding.reason));
  }

  Loop loop_;
  ConnectGate gate_{loop_, 0};
  ProbeTls tls_;
  CanaryKeys keys_{CanaryKeys::random()};
  TwoEndpoints status_;
  Answered answered_;
  Sightings sightings_{loop_, milliseconds(0)};
  ProbeWorld world_{loop_,
                    gate_,
                    tls_,
                    keys_,
                    &status_,
                    {[](const Message&) { return at_once(Permit::no_mail_domain); }, [](const Message&) {}, [](const std::string&) {}},
                    answered_,
                    sightings_,
                    wall_now};
  std::unique_ptr<Listener> listener_;
  std::uint16_t port_ = 1;  // where nobody listens
  milliseconds reply_timeout_{1500}, connect_timeout_{2000};
  int connections_ = 0;
  std::map<std::string, Record> records_;
};

// One UDP port and one TCP port of one address, asked one after the other.
class DatagramVisitTest : public VisitTest {
 protected:
  DatagramVisitTest() {
    reply_timeout_ = milliseconds(310);
    connect_timeout_ = milliseconds(300);
  }
  void serve_datagrams(DatagramListener::Received received) {
    datagrams_ = std::make_unique<DatagramListener>(loop_, *AddressPort::parse("127.0.0.1:0"), std::move(received));
    udp_port_ = datagrams_->address().port;
  }
  std::string visit_udp() {
    port_ = udp_port_;
    std::vector<ProbePlan> all = plans({"open_resolver"});
    all[0].key.transport = Transport::udp;
    visit_plans(std::move(all));
    return said("open_resolver");
  }
  std::string visit_tcp(std::uint16_t port) {
    port_ = port;
    visit({"socks5"});
    return said("socks5");
  }
  std::optional<Time> neighbour(std::uint16_t port) const {
    return answered_.connected_on_another_port(*IpAddress::parse("127.0.0.1"), port, Transport::tcp);
  }

  const DroppingPort dropping_;
  std::unique_ptr<DatagramListener> datagrams_;
  std::uint16_t udp_port_ = 1;  // where nobody listens
};

// That a datagram was sent is no answer, and no connection that somebody took.
TEST_F(DatagramVisitTest, ASilentUdpPortIsNoAnswerOfItsAddress) {
  serve_datagrams([](std::string_view, const AddressPort&, const AddressPort&) { return std::string(); });
  EXPECT_EQ(visit_udp(), "unreachable/timeout");
  EXPECT_EQ(visit_tcp(dropping_.port()), "unreachable/timeout");
  EXPECT_EQ(neighbour(dropping_.port()), std::nullopt);
}

TEST_F(DatagramVisitTest, ADatagramIsAnAnswerOfItsAddressAndNoConnection) {
  serve_datagrams([](std::string_view, const AddressPort&, const AddressPort&) { return std::string("no answer to it"); });
  visit_udp();
  EXPECT_EQ(visit_tcp(dropping_.port()), "unreachable/filtered");
  EXPECT_EQ(neighbour(dropping_.port()), std::nullopt);
}

TEST_F(DatagramVisitTest, ARefusedDatagramIsAnAnswerOfItsAddressAndNoConnection) {
  EXPECT_EQ(visit_udp(), "closed/nobody_listens");
  EXPECT_EQ(visit_tcp(dropping_.port()), "unreachable/filtered");
  EXPECT_EQ(neighbour(dropping_.port()), std::nullopt);
}

// What rejects our datagrams on the way is no word of the server.
TEST_F(DatagramVisitTest, ADatagramThatAPacketFilterRefusesIsNotClosed) {
  bool sent = true;
  serve_datagrams([&](std::string_view, const AddressPort& peer, const AddressPort& local) {
    sent = send_unreachable(*IpAddress::parse("127.30.0.9"), ICMP_PORT_UNREACH, peer, local);
    return std::string();
  });
  const std::string alone = visit_udp();
  if (!sent) GTEST_SKIP() << "only root may send ICMP";
  EXPECT_EQ(alone, "unreachable/no_route");
  EXPECT_EQ(visit_tcp(dropping_.port()), "unreachable/timeout");  // the filter's word is none of the host's
  EXPECT_EQ(visit_tcp(1), "closed/nobody_listens");
  EXPECT_EQ(visit_udp(), "unreachable/filtered");
}

const std::vector<const char*> kAll = {"http_connect", "http_forward", "socks4", "socks5"};

TEST_F(VisitTest, ARefusedConnectionAnswersAll) {
  visit(kAll);
  int connected = 0;
  for (const char* check : kAll) {
    EXPECT_EQ(said(check), "closed/nobody_listens") << check;
    for (const std::string& line : records_[check].transcript) connected += line.starts_with("# connecting to");
  }
  EXPECT_EQ(connected, 1);
  EXPECT_THAT(records_["socks5"].transcript, Contains("# not asked: http_connect met the same in this visit"));
}

TEST_F(VisitTest, ARefusedConnectionSaysNothingWhereThePortIsBlockedForUs) {
  Vantage vantage;
  vantage.blocked = {{true, port_}};
  world_.vantage = &vantage;
  visit(kAll);
  for (const char* check : kAll) EXPECT_EQ(said(check), "unclear/source_blocked") << check;
}

// Nor does the proxy's answer settle the silence towards others.
TEST_F(VisitTest, ARefusalMayBeThatOfAProxyInOurWay) {
  serve(refuse_http);
  visit(kAll);
  ASSERT_EQ(said("http_connect"), "closed/refused");
  ASSERT_EQ(said("socks5"), "closed/other_protocol");
  Vantage vantage;
  vantage.http_altered = "the request came with `Via: 1.1 cache`";
  world_.vantage = &vantage;
  visit(kAll);
  EXPECT_EQ(said("http_connect"), "unclear/source_blocked");
  EXPECT_THAT(records_["http_connect"].finding.because, HasSubstr("Via: 1.1 cache"));
  EXPECT_EQ(records_["socks5"].finding.verdict, Verdict::unclear);
}

TEST_F(VisitTest, ARefusedConnectionWhileOurCanaryIsDownDoesNotAnswerADoubt) {
  status_.up = false;
  std::vector<ProbePlan> all = plans(kAll);
  all[0].must_ask = {"ipv4:8025"};
  all[3].must_ask = {"ipv4:8025"};
  visit_plans(std::move(all));
  EXPECT_EQ(said("http_connect"), "unclear/canary_unreachable");
  EXPECT_EQ(said("http_forward"), "closed/nobody_listens");
  EXPECT_EQ(said("socks4"), "closed/nobody_listens");
  EXPECT_EQ(said("socks5"), "unclear/canary_unreachable");
}

TEST_F(VisitTest, AGreetingInAnotherProtocolSettlesTheRest) {
  serve(greet_as_ssh);
  visit(kAll);
  for (const char* check : kAll) EXPECT_EQ(said(check), "closed/other_protocol") << check;
  EXPECT_EQ(connections_, 1);
  EXPECT_THAT(records_["socks5"].finding.because, HasSubstr("SSH"));
}

TEST_F(VisitTest, ASilentPortCostsOneDeadline) {
  serve(say_nothing);
  const auto begin = Steady::now();
  visit(kAll);
  for (const char* check : kAll) EXPECT_EQ(said(check), "unreachable/timeout") << check;
  EXPECT_EQ(connections_, 4);
  EXPECT_LT(Steady::now() - begin, milliseconds(2 * 1500));  // each by itself: four or five times as long
}

// What crashed us is not asked; the rest of the visit is.
TEST_F(VisitTest, WhatCrashedUsIsLeftOut) {
  serve(refuse_http);
  std::vector<ResultKey> survived;
  world_.survived = [&](const ResultKey& key) { survived.push_back(key); };
  std::vector<ProbePlan> all = plans({"http_connect", "socks5"});
  all[0].skipped = "Its answer crashed ajar twice.";
  all[0].full_matrix = true;
  visit_plans(std::move(all));
  EXPECT_EQ(said("http_connect"), "unclear/internal_error");
  EXPECT_EQ(records_["http_connect"].finding.because, "Its answer crashed ajar twice.");
  EXPECT_THAT(records_["http_connect"].transcript, testing::ElementsAre("# not asked: its answer crashed the agent"));
  EXPECT_FALSE(records_["http_connect"].full_matrix) << "all its forms are still to be asked";
  EXPECT_EQ(connections_, 1);
  EXPECT_NE(said("socks5"), "no record");
  ASSERT_EQ(survived.size(), 1U);
  EXPECT_EQ(survived[0].check, "socks5");
}

// Its own code and nothing else runs with a question in hand: also where it resumes, and where its record is taken in.
TEST_F(VisitTest, TheQuestionIsInHandUntilItsRecordIsTakenIn) {
  serve(greet_as_ssh);
  std::map<std::string, std::string> in_hand;
  const auto look = [] {
    const auto place = InHand::now() == nullptr ? std::nullopt : place_of(*InHand::now());
    return place ? place->check : std::string();
  };
  bool begun = false;
  world_.under_way = [&](int change) { begun = begun || (change > 0 && look() == "http_connect"); };
  const std::function<void(const Record&)> done = [&](const Record& record) { in_hand[record.key.check] = look(); };
  std::string beside = "nothing yet";
  loop_.post([&] { beside = look(); });
  std::vector<ProbePlan> all = plans({"http_connect"});
  const auto run = [](ProbeWorld& world, std::vector<ProbePlan> asked, std::function<void(const Record&)> then,
                      Loop& loop) -> Task<void> {
    co_await run_visit(world, std::move(asked), std::move(then));
    loop.stop();
  };
  start(run(world_, std::move(all), done, loop_));
  loop_.run();
  EXPECT_TRUE(begun);
  EXPECT_EQ(in_hand["http_connect"], "http_connect");
  EXPECT_EQ(beside, "");
  EXPECT_EQ(InHand::now(), nullptr);
}

TEST_F(VisitTest, OneProbeIsUnderWayAtATime) {
  serve(refuse_http);
  int now = 0, most = 0, begun = 0;
  world_.under_way = [&](int change) {
    now += change;
    begun += change > 0;
    most = std::max(most, now);
  };
  visit({"http_connect", "http_forward"});
  EXPECT_EQ(now, 0);
  EXPECT_EQ(most, 1);
  EXPECT_EQ(begun, 2);
  begun = 0;
  port_ = 1;
  visit(kAll);
  EXPECT_EQ(begun, 1);  // the rest of them was not asked
}

TEST_F(VisitTest, WhatIsAnsweredSettlesTheSilenceOfOthersButNotOfItsOwnKind) {
  serve(refuse_http);
  visit(kAll);
  EXPECT_EQ(said("http_connect"), "closed/refused");
  EXPECT_EQ(said("http_forward"), "closed/refused");
  EXPECT_EQ(said("socks4"), "closed/other_protocol");
  EXPECT_EQ(said("socks5"), "closed/other_protocol");
  EXPECT_THAT(records_["socks5"].finding.because, HasSubstr("speaks HTTP"));
}

// It was open, and is silent towards us now: a limit that we ran into looks like this.
TEST_F(VisitTest, TheSilenceOfWhatSaidYesBeforeIsNotSettledByOthers) {
  serve(refuse_http);
  std::vector<ProbePlan> all = plans({"http_connect", "socks4", "socks5"});
  all[2].must_ask = {"ipv4:8025"};
  visit_plans(std::move(all));
  EXPECT_EQ(said("http_connect"), "closed/refused");
  EXPECT_EQ(said("socks4"), "closed/other_protocol");
  EXPECT_EQ(said("socks5"), "unclear/timeout");
  EXPECT_THAT(records_["socks5"].finding.because, HasSubstr("said yes to this before"));
}

TEST_F(VisitTest, SilenceWhileOurCanaryIsDownIsNotSettledByOthers) {
  status_.up = false;
  serve(refuse_http);
  visit({"http_connect", "socks5"});
  EXPECT_EQ(said("socks5"), "unclear/timeout");
}

TEST_F(VisitTest, SilenceAloneIsNoOtherProtocol) {
  serve(refuse_http);
  visit({"socks5"});
  EXPECT_EQ(said("socks5"), "unreachable/timeout");
}

Finding heard(Verdict verdict, Reason reason, const char* spoken) {
  Finding finding;
  finding.verdict = verdict;
  finding.reason = reason;
  finding.spoken = spoken;
  return finding;
}

std::string settled(const PortTalk& talk, const char* check) {
  Finding silence;
  silence.verdict = Verdict::unreachable;
  silence.reason = Reason::timeout;
  talk.settle(*find_check(check), silence);
  return std::string(to_string(silence.verdict)) + "/" + std::string(to_string(silence.reason));
}

// A CONNECT that is not answered, beside a fetch that is: the proxy may be waiting for our canary.
TEST(PortTalk, SilenceInAProtocolThatIsSpokenIsNotClosed) {
  PortTalk talk;
  EXPECT_EQ(settled(talk, "http_connect"), "unreachable/timeout");
  talk.note(*find_check("http_forward"), heard(Verdict::closed, Reason::refused, "HTTP"));
  EXPECT_EQ(settled(talk, "http_connect"), "unclear/timeout");
  EXPECT_EQ(settled(talk, "socks4"), "closed/other_protocol");
}

TEST(PortTalk, AnAnswerThatSettledNothingSettlesNoSilence) {
  PortTalk talk;
  talk.note(*find_check("http_connect"), heard(Verdict::unclear, Reason::hung_up, "HTTP"));
  EXPECT_EQ(settled(talk, "socks5"), "unclear/timeout");
  talk.note(*find_check("http_forward"), heard(Verdict::closed, Reason::refused, "HTTP"));
  EXPECT_EQ(settled(talk, "socks5"), "closed/other_protocol");
  PortTalk yes;
  yes.note(*find_check("http_connect"), heard(Verdict::accepted, Reason::no_proof, "HTTP"));
  EXPECT_EQ(settled(yes, "socks5"), "closed/other_protocol");
}

TEST(PortTalk, ARefusalOfWhatSaidYesBeforeSettlesNoSilence) {
  PortTalk refused;
  refused.note(*find_check("http_connect"), heard(Verdict::closed, Reason::refused, "HTTP"), true);
  EXPECT_EQ(settled(refused, "socks5"), "unclear/timeout");
  PortTalk yes;
  yes.note(*find_check("http_connect"), heard(Verdict::open, Reason::token_returned, "HTTP"), true);
  EXPECT_EQ(settled(yes, "socks5"), "closed/other_protocol");
}

TEST(PortTalk, AGreetingThatBrokeOffLeavesTheRestToBeAsked) {
  PortTalk broken;
  broken.note(*find_check("smtp_relay"), heard(Verdict::unclear, Reason::timeout, "SMTP"));
  EXPECT_EQ(broken.greeted_instead(*find_check("socks5")), "");
  PortTalk busy;
  busy.note(*find_check("smtp_relay"), heard(Verdict::unclear, Reason::greylisted, "SMTP"));  // 421
  EXPECT_EQ(busy.greeted_instead(*find_check("socks5")), "SMTP");
}

TEST(PortTalk, SocksFourIsAnotherProtocolOnlyWhereSocksFiveCouldTell) {
  PortTalk could_not;
  could_not.note(*find_check("socks5"), heard(Verdict::unclear, Reason::timeout, "SOCKS5"));
  EXPECT_EQ(settled(could_not, "socks4"), "unclear/timeout");
  PortTalk could;
  could.note(*find_check("socks5"), heard(Verdict::open, Reason::token_returned, "SOCKS5"));
  EXPECT_EQ(settled(could, "socks4"), "closed/other_protocol");
}

TEST(PortTalk, OnlyAServerThatGreetsIsNotAskedTheRest) {
  const CheckInfo& socks5 = *find_check("socks5");
  PortTalk http;
  http.note(*find_check("http_connect"), heard(Verdict::closed, Reason::refused, "HTTP"));
  EXPECT_EQ(http.greeted_instead(socks5), "");
  PortTalk echo;
  echo.note(*find_check("http_connect"), heard(Verdict::closed, Reason::other_protocol, "echo"));
  EXPECT_EQ(echo.greeted_instead(socks5), "");
  PortTalk mail;
  mail.note(*find_check("smtp_relay"), heard(Verdict::closed, Reason::refused, "SMTP"));
  EXPECT_EQ(mail.greeted_instead(socks5), "SMTP");
  EXPECT_EQ(mail.greeted_instead(*find_check("smtp_relay")), "");
}

// What routes TLS by its name may be connecting still, whatever the site behind its own name said.
TEST(PortTalk, SilenceInTheSameTlsIsNotAnotherProtocol) {
  const CheckInfo& sni = *find_check("sni_proxy");
  Finding page = heard(Verdict::closed, Reason::refused, "HTTP");
  PortTalk clear, inside;
  clear.note(*find_check("http_connect"), page);
  page.tls = TlsMode::implicit;
  inside.note(*find_check("http_connect"), page);
  Finding silence;
  clear.settle(sni, silence);
  EXPECT_EQ(silence.verdict, Verdict::closed);
  inside.settle(sni, silence);
  EXPECT_EQ(silence.verdict, Verdict::unclear);
  EXPECT_EQ(silence.reason, Reason::timeout);
}

// Those whose servers wait for a question; what greets, greets everybody.
TEST(PortTalk, KnowsWhoSpeaksWhenSpokenTo) {
  for (const char* patient : {"STUN", "DNS", "HTTP/2", "TLS"}) {
    PortTalk talk;
    talk.note(*find_check("http_connect"), heard(Verdict::closed, Reason::other_protocol, patient));
    EXPECT_EQ(talk.greeted_instead(*find_check("socks5")), "") << patient;
  }
  PortTalk ftp;
  ftp.note(*find_check("ftp_bounce"), heard(Verdict::closed, Reason::refused, "FTP"));
  EXPECT_EQ(ftp.greeted_instead(*find_check("socks5")), "FTP");
}

// Both begin with 220. Who only heard that says "SMTP", and asks on; who was answered in a protocol knows.
TEST(PortTalk, AMailServerAndAnFtpServerGreetAlike) {
  const CheckInfo &ftp = *find_check("ftp_bounce"), &mail = *find_check("smtp_smuggling"), &socks = *find_check("socks5");
  PortTalk digits;
  digits.note(*find_check("http_connect"), heard(Verdict::closed, Reason::other_protocol, "SMTP"));
  EXPECT_EQ(digits.greeted_instead(ftp), "");
  EXPECT_EQ(digits.greeted_instead(mail), "");
  EXPECT_EQ(digits.greeted_instead(socks), "SMTP");
  EXPECT_EQ(settled(digits, "ftp_bounce"), "unclear/timeout");
  PortTalk refuses_ehlo;
  refuses_ehlo.note(*find_check("smtp_relay"), heard(Verdict::unclear, Reason::control_failed, "SMTP"));
  EXPECT_EQ(refuses_ehlo.greeted_instead(ftp), "");
  PortTalk takes_mail;
  takes_mail.note(*find_check("smtp_relay"), heard(Verdict::closed, Reason::refused, "SMTP"));
  EXPECT_EQ(takes_mail.greeted_instead(ftp), "SMTP");
  PortTalk vsftpd;
  vsftpd.note(*find_check("smtp_relay"), heard(Verdict::closed, Reason::other_protocol, "FTP"));
  EXPECT_EQ(vsftpd.greeted_instead(ftp), "");
  EXPECT_EQ(vsftpd.greeted_instead(mail), "FTP");
  PortTalk files;
  files.note(ftp, heard(Verdict::closed, Reason::auth_required, "FTP"));
  EXPECT_EQ(files.greeted_instead(mail), "FTP");
  PortTalk no_files;
  no_files.note(ftp, heard(Verdict::closed, Reason::other_protocol, "SMTP"));
  EXPECT_EQ(no_files.greeted_instead(mail), "");
}

}  // namespace
}  // namespace ajar
