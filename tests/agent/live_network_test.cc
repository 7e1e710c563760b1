#include "agent/live_network.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/self_signed.h"
#include "checks/tls_failure.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;

// A loop, a listener on a loopback port whose connections run `serve`, and one client task; ends when the client does.
struct House {
  Loop loop;
  Scope scope{{*Cidr::parse("127.0.0.0/8")}};
  ConnectGate gate{loop, 0};
  ProbeTls tls;
  NetworkOptions options{{}, milliseconds(2000), milliseconds(2000), milliseconds(10000)};
  std::string outcome;

  ~House() { loop.shut_down(); }  // what still waits unwinds
  LiveNetwork network() { return {loop, scope, gate, tls, options}; }
  void run(Task<void> client) {
    start(std::move(client), [this] { loop.stop(); });
    loop.run();
  }
};

using Serve = Task<void> (*)(Link&);

Task<void> serve_one(Loop& loop, int fd, SSL_CTX* tls, Serve serve) {
  Transcript transcript;
  LiveLink link(loop, fd, LiveLink::Side::server, tls, transcript, milliseconds(2000), loop.now() + milliseconds(10000));
  try {
    co_await serve(link);
  } catch (const LinkError&) {
  }
}

std::unique_ptr<Listener> listen(Loop& loop, Serve serve, SSL_CTX* tls = nullptr, const char* address = "127.0.0.1:0") {
  return std::make_unique<Listener>(loop, *AddressPort::parse(address),
                                    [&loop, serve, tls](int fd, AddressPort) { start(serve_one(loop, fd, tls, serve)); });
}

Task<void> echo_lines(Link& link) {
  for (int i = 0; i < 100; ++i) {
    const std::string line = co_await link.hear();
    co_await link.say("echo " + line);
  }
}

Task<void> ask_twice(LiveNetwork& network, AddressPort place, TlsMode tls, std::string& outcome) {
  try {
    const auto link = co_await network.dial(place.address, place.port, tls);
    co_await link->say("one");
    co_await link->say("two");
    const std::string first = co_await link->hear();
    const std::string second = co_await link->hear();
    outcome = first + "|" + second;
  } catch (const LinkError& error) {
    outcome = std::string(to_string(error.reason())) + ": " + error.what();
  }
}

TEST(LiveNetwork, TalksAndKeepsTheTranscript) {
  House house;
  const auto listener = listen(house.loop, echo_lines);
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "echo one|echo two");
  EXPECT_THAT(network.transcript().lines(), Contains("C: one"));
  EXPECT_THAT(network.transcript().lines(), Contains("S: echo two"));
  EXPECT_EQ(network.source_address(), "127.0.0.1");
  EXPECT_EQ(network.source(), IpAddress::parse("127.0.0.1"));
  EXPECT_EQ(house.network().source(), std::nullopt);
}

TEST(LiveNetwork, ImplicitTls) {
  House house;
  const auto certificate = self_signed_context("mx.example.org");
  const auto listener = listen(
      house.loop,
      [](Link& link) -> Task<void> {
        co_await link.start_tls();
        co_await echo_lines(link);
      },
      certificate.get());
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_EQ(house.outcome, "echo one|echo two");
  // Once, however often it connects.
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_EQ(house.outcome, "echo one|echo two");
  const std::vector<std::string> lines = network.transcript().lines();
  EXPECT_THAT(lines, Contains(testing::StartsWith("# TLSv1.3 ")).Times(2));
  EXPECT_THAT(lines, Contains(testing::EndsWith(", resumed")).Times(1));
  EXPECT_THAT(lines,
              Contains(testing::MatchesRegex("# TLS certificate: subject CN = mx.example.org; issuer CN = mx.example.org; "
                                             "from 20..-..-.. to 20..-..-..; it does not verify: self.signed certificate"))
                  .Times(1));
  EXPECT_THAT(lines, Contains("# TLS certificate names: none").Times(1));
}

TEST(LiveNetwork, TlsToAPlainServerIsTlsFailed) {
  House house;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> { co_await link.say("220 plain text here"); });
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_THAT(house.outcome, HasSubstr("tls_failed: "));
}

// Takes a hello and says what is in `answer`, in one record.
template <char kAlert>
Task<void> answer_hello_with_alert(Link& link) {
  const std::string hello = co_await link.hear_some(16384);
  std::string record("\x15\x03\x03\x00\x02\x02", 6);
  record += kAlert;
  if (!hello.empty()) co_await link.say_bytes(std::move(record));
}

// RFC 8446 6.2: whatever it says instead of a handshake, it was not asked anything yet.
TEST(LiveNetwork, AlertsInTheHandshakeAreTlsFailed) {
  struct Case {
    Serve serve;
    const char* words;
  };
  const Case cases[] = {
      {answer_hello_with_alert<40>, "alert handshake failure"},     {answer_hello_with_alert<70>, "alert protocol version"},
      {answer_hello_with_alert<112>, "unrecognized name"},          {answer_hello_with_alert<80>, "alert internal error"},
      {answer_hello_with_alert<71>, "alert insufficient security"}, {answer_hello_with_alert<49>, "alert access denied"},
      {answer_hello_with_alert<116>, "alert certificate required"},  // without a request for one
      {answer_hello_with_alert<120>, "no application protocol"},
  };
  for (const Case& one : cases) {
    House house;
    const auto listener = listen(house.loop, one.serve);
    LiveNetwork network = house.network();
    house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
    EXPECT_THAT(house.outcome, testing::StartsWith("tls_failed: the TLS handshake failed: "));
    EXPECT_THAT(house.outcome, HasSubstr(one.words));
    EXPECT_THAT(network.transcript().lines(), Contains(testing::StartsWith("# TLS failed: ")));
  }
}

Task<void> shake_hands(LiveNetwork& network, AddressPort place, TlsHello hello, std::string& outcome) {
  try {
    const auto link = co_await network.dial(place.address, place.port, TlsMode::none);
    co_await link->start_tls(std::move(hello));
    outcome = "shaken, " + (link->protocol().empty() ? "no choice" : link->protocol());
  } catch (const TlsFailure& failure) {
    outcome = failure.alert() == TlsFailure::kNoApplicationProtocol ? "no protocol" : "another failure";
  }
}

int refuse_protocols(SSL*, const unsigned char**, unsigned char*, const unsigned char*, unsigned, void*) {
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// RFC 7301 3.2: by an alert of its own, in 1.2 and in 1.3. Who offers nothing is served.
TEST(LiveNetwork, ProtocolsThatTheServerKnowsNoneOf) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    House house;
    const auto context = self_signed_context("www.example.org");
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_alpn_select_cb(context.get(), refuse_protocols, nullptr);
    const auto listener = listen(house.loop, [](Link& link) -> Task<void> { co_await link.start_tls(); }, context.get());
    LiveNetwork network = house.network();
    TlsHello offering;
    offering.protocols = {"http/1.1"};
    house.run(shake_hands(network, listener->address(), offering, house.outcome));
    EXPECT_EQ(house.outcome, "no protocol");
    house.run(shake_hands(network, listener->address(), TlsHello(), house.outcome));
    EXPECT_EQ(house.outcome, "shaken, no choice");
  }
  for (const Serve serve : {answer_hello_with_alert<112>, answer_hello_with_alert<40>}) {
    House house;
    const auto listener = listen(house.loop, serve);
    LiveNetwork network = house.network();
    house.run(shake_hands(network, listener->address(), TlsHello(), house.outcome));
    EXPECT_EQ(house.outcome, "another failure");
  }
}

// Speaks when it is spoken to, and once unasked.
Task<void> speak_and_leave(Link& link) {
  co_await link.say_bytes("####");
  for (const char* const words : {"more", "most"}) {
    co_await link.hear();
    co_await link.say_bytes(words);
  }
  co_await link.hear();
}

Task<void> speak_and_leave_over_tls(Link& link) {
  co_await link.start_tls();
  co_await speak_and_leave(link);
}

Task<void> wait_for_more(LiveNetwork& network, AddressPort place, TlsMode tls, std::string& outcome) {
  constexpr milliseconds kShort{30}, kLong{5000};
  const auto link = co_await network.dial(place.address, place.port, tls);
  const auto note = [&outcome](bool more) { outcome += more ? "+" : "-"; };
  bool more = co_await link->more_within(kLong);
  note(more);
  for (int i = 0; i < 2; ++i) {
    const std::string words = co_await link->hear_some();
    outcome += words;
    more = co_await link->more_within(kShort);
    note(more);
    co_await link->say("go on");
    more = co_await link->more_within(kLong);
    note(more);
  }
  const std::string last = co_await link->hear_some();
  outcome += last;
  co_await link->say("enough");
  more = co_await link->more_within(kLong);  // the end
  note(more);
  const std::string end = co_await link->hear_some();
  outcome += end;
}

TEST(LiveNetwork, WaitsAMomentForMore) {
  const auto context = self_signed_context("mx.example.org");
  for (const TlsMode tls : {TlsMode::none, TlsMode::implicit}) {
    House house;
    const bool clear = tls == TlsMode::none;
    const auto listener = listen(house.loop, clear ? speak_and_leave : speak_and_leave_over_tls, context.get());
    LiveNetwork network = house.network();
    house.run(wait_for_more(network, listener->address(), tls, house.outcome));
    EXPECT_EQ(house.outcome, "+####-+more-+most+");
  }
}

// Answers nothing of its own accord, and hangs up at the end.
Task<void> shake_hands_and_echo(Link& link) {
  co_await link.start_tls();
  co_await echo_lines(link);
}

std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_that_asks(int version, int mode) {
  auto context = self_signed_context("mx.example.org");
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  SSL_CTX_set_verify(context.get(), mode, nullptr);
  return context;
}

// unread() meets what the server said of itself, and who reads on is told.
Task<void> look_before_asking(Loop& loop, LiveNetwork& network, AddressPort place, std::string& outcome) {
  try {
    const auto link = co_await network.dial(place.address, place.port, TlsMode::implicit);
    const bool whole = co_await loop.sleep_for(milliseconds(50));
    outcome = whole && link->unread() ? "something came" : "nothing came";
    co_await link->say("one");
    const std::string line = co_await link->hear();
    outcome = line;
  } catch (const LinkError& error) {
    outcome = std::string(to_string(error.reason())) + ": " + error.what();
  }
}

// In TLS 1.2 it is the handshake that fails, in 1.3 the first read after it; the write before may meet the closed connection.
TEST(LiveNetwork, AServerThatRequiresACertificate) {
  for (const int version : {TLS1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto context = context_that_asks(version, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
    for (int i = 0; i < 10; ++i) {
      House house;
      const auto listener = listen(house.loop, shake_hands_and_echo, context.get());
      LiveNetwork network = house.network();
      house.run(i % 2 == 0 ? ask_twice(network, listener->address(), TlsMode::implicit, house.outcome)
                           : look_before_asking(house.loop, network, listener->address(), house.outcome));
      EXPECT_THAT(house.outcome, testing::StartsWith("auth_required: ")) << version;
      EXPECT_THAT(house.outcome, HasSubstr("the server wants a certificate of ours: "));
    }
  }
}

Task<void> ask_for_wishes(LiveNetwork& network, AddressPort place, std::string& outcome) {
  try {
    const auto link = co_await network.dial(place.address, place.port, TlsMode::implicit);
    co_await link->say("one");
    const std::string line = co_await link->hear();
    outcome = line + (link->certificate_wanted() ? ", and asked for a certificate" : "");
  } catch (const LinkError& error) {
    outcome = error.what();
  }
}

// One that would like a certificate serves those who have none.
TEST(LiveNetwork, AServerThatAsksForACertificate) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const int mode : {SSL_VERIFY_PEER, SSL_VERIFY_NONE}) {
      House house;
      const auto context = context_that_asks(version, mode);
      const auto listener = listen(house.loop, shake_hands_and_echo, context.get());
      LiveNetwork network = house.network();
      house.run(ask_for_wishes(network, listener->address(), house.outcome));
      EXPECT_EQ(house.outcome, mode == SSL_VERIFY_PEER ? "echo one, and asked for a certificate" : "echo one");
    }
  }
}

// Every second connection is cut where TLS would be.
int connections = 0;
Task<void> cut_every_second(Link& link) {
  if (++connections % 2 == 0) {
    co_await link.hear_some();
    co_return;
  }
  co_await link.start_tls();
  co_await echo_lines(link);
}

// A failure with a session may be for the session: it counts as a hang-up, which is asked again, without one.
TEST(LiveNetwork, ASessionThatIsNotResumedIsForgotten) {
  House house;
  const auto certificate = self_signed_context("mx.example.org");
  connections = 0;
  const auto listener = listen(house.loop, cut_every_second, certificate.get());
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_EQ(house.outcome, "echo one|echo two");
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_THAT(house.outcome, HasSubstr("hung_up: the TLS session was not resumed"));
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_EQ(house.outcome, "echo one|echo two");
  house.run(ask_twice(network, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_THAT(house.outcome, HasSubstr("hung_up: "));
  connections = 1;
  LiveNetwork fresh = house.network();
  house.run(ask_twice(fresh, listener->address(), TlsMode::implicit, house.outcome));
  EXPECT_THAT(house.outcome, HasSubstr("tls_failed: "));
  EXPECT_THAT(network.transcript().lines(), testing::Not(Contains(testing::EndsWith(", resumed"))));
}

TEST(LiveNetwork, BindsTheSourceAddress) {
  House house;
  house.options.source_addresses = {*IpAddress::parse("127.66.0.1")};
  const auto listener = listen(house.loop, echo_lines);
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(network.source_address(), "127.66.0.1");
}

TEST(LiveNetwork, ConnectsNowhereOutsideTheScope) {
  House house;
  house.scope = Scope({*Cidr::parse("127.0.0.0/24")});
  const auto listener = listen(house.loop, echo_lines, nullptr, "127.0.1.1:0");
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "out_of_scope: 127.0.1.1 is outside the scope");
}

TEST(LiveNetwork, NobodyListens) {
  House house;
  AddressPort place;
  {
    Loop other;
    place = Listener(other, *AddressPort::parse("127.0.0.1:0"), [](int, AddressPort) {}).address();
  }
  LiveNetwork network = house.network();
  house.run(ask_twice(network, place, TlsMode::none, house.outcome));
  EXPECT_THAT(house.outcome, HasSubstr("nobody_listens: "));
}

// A datagram to a closed port meets what a packet filter answers to a connection.
TEST(LiveNetwork, AnIcmpErrorIsToldFromAReset) {
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    const FileDescriptor fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof on);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(1);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int connected = connect(fd.get(), reinterpret_cast<const sockaddr*>(&place), sizeof place);
    if (type == SOCK_STREAM) {
      ASSERT_EQ(connected, -1);
      EXPECT_FALSE(take_icmp_error(fd.get()));
    } else {
      ASSERT_EQ(send(fd.get(), "x", 1, 0), 1);
      const std::optional<IcmpError> error = take_icmp_error(fd.get());
      ASSERT_TRUE(error);
      EXPECT_EQ(error->sender, IpAddress::parse("127.0.0.1"));
      EXPECT_TRUE(error->port_unreachable());
      EXPECT_FALSE(take_icmp_error(fd.get()));
    }
  }
}

TEST(LiveNetwork, SilenceIsATimeout) {
  House house;
  house.options.reply_timeout = milliseconds(100);
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    for (;;) {
      const std::string line = co_await link.hear();
    }
  });
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "timeout: no answer within 100ms");
}

// A peer that sends a byte now and then does not extend the deadline of its answer.
TEST(LiveNetwork, ASlowAnswerIsBoundAsAWhole) {
  House house;
  house.options.reply_timeout = milliseconds(300);
  static Loop* loop = nullptr;
  loop = &house.loop;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      co_await link.say_bytes("2");
      const bool go_on = co_await loop->sleep_for(milliseconds(50));
      if (!go_on) break;
    }
  });
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "timeout: an answer was begun and not ended: no answer within 300ms");
}

TEST(LiveNetwork, TheProbeDeadlineBindsEverything) {
  House house;
  house.options.probe_timeout = milliseconds(200);
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    for (;;) {
      const std::string line = co_await link.hear();
    }
  });
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "timeout: the time for the whole probe is over");
}

TEST(LiveNetwork, HangUpAndReset) {
  House house;
  {
    const auto listener = listen(house.loop, [](Link&) -> Task<void> { co_return; });
    LiveNetwork network = house.network();
    house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
    EXPECT_THAT(house.outcome, HasSubstr("hung_up: "));
  }
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    static_cast<LiveLink&>(link).reset();
    co_return;
  });
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "hung_up: the peer reset the connection");
}

// The last bytes and the end of the stream come with one event: neither is lost.
TEST(LiveNetwork, AnEndThatComesWithTheLastBytesIsHeard) {
  House house;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    const std::string line = co_await link.hear();
    co_await link.say("421 " + line);
  });
  struct Client {
    static Task<void> run(LiveNetwork& network, AddressPort place, std::string& outcome) {
      try {
        const auto link = co_await network.dial(place.address, place.port, TlsMode::none);
        co_await link->say("hello");
        const std::string line = co_await link->hear();
        outcome = line + "|";
        const std::string none = co_await link->hear();
        outcome += none;
      } catch (const LinkError& error) {
        outcome += error.what();
      }
    }
  };
  LiveNetwork network = house.network();
  house.run(Client::run(network, listener->address(), house.outcome));
  EXPECT_EQ(house.outcome, "421 hello|the peer closed the connection");
}

TEST(LiveNetwork, IPv6) {
  House house;
  house.scope = Scope({*Cidr::parse("::1/128")});
  std::unique_ptr<Listener> listener;
  try {
    listener = listen(house.loop, echo_lines, nullptr, "[::1]:0");
  } catch (const std::system_error& error) {
    GTEST_SKIP() << "no IPv6 here: " << error.what();
  }
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "echo one|echo two");
  EXPECT_EQ(network.source_address(), "::1");
}

// A source address of the other family cannot be used, and no other is used in its stead.
TEST(LiveNetwork, NoSourceAddressOfThatFamily) {
  House house;
  house.options.source_addresses = {*IpAddress::parse("::1")};
  const auto listener = listen(house.loop, echo_lines);
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "no_route: no source address of the family of 127.0.0.1");
}

TEST(LiveNetwork, AnEndlessLineIsAProtocolError) {
  House house;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    for (int i = 0; i < 1000; ++i) {
      std::string bytes(1000, 'x');
      co_await link.say_bytes(std::move(bytes));
    }
  });
  LiveNetwork network = house.network();
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "protocol_error: a line of more than 4096 bytes");
}

TEST(LiveNetwork, EndlessLinesAreAProtocolError) {
  House house;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    for (int i = 0; i < 100'000; ++i) {
      std::string line(1000, 'x');
      co_await link.say(std::move(line));
    }
  });
  struct Client {
    static Task<void> run(LiveNetwork& network, AddressPort place, std::string& outcome) {
      try {
        const auto link = co_await network.dial(place.address, place.port, TlsMode::none);
        for (;;) {
          const std::string line = co_await link->hear();
        }
      } catch (const LinkError& error) {
        outcome = error.what();
      }
    }
  };
  LiveNetwork network = house.network();
  house.run(Client::run(network, listener->address(), house.outcome));
  EXPECT_EQ(house.outcome, "more than 262144 bytes");
  EXPECT_LE(network.transcript().lines().size(), Transcript::kMaxLines + 1);
}

TEST(LiveNetwork, ShutDownEndsEveryWait) {
  House house;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    for (;;) {
      const std::string line = co_await link.hear();
    }
  });
  LiveNetwork network = house.network();
  struct Client {
    static Task<void> run(Loop& loop) {
      const bool whole = co_await loop.sleep_for(milliseconds(60));
      if (whole) loop.post([&loop] { loop.shut_down(); });
    }
  };
  start(Client::run(house.loop));
  house.run(ask_twice(network, listener->address(), TlsMode::none, house.outcome));
  EXPECT_EQ(house.outcome, "timeout: interrupted: the agent is stopping");
}

// A message larger than any socket buffer arrives whole, in order, with the peer reading late.
TEST(LiveNetwork, ALargeWriteWaitsForThePeer) {
  House house;
  static Loop* loop = nullptr;
  loop = &house.loop;
  static std::size_t received = 0;
  received = 0;
  const auto listener = listen(house.loop, [](Link& link) -> Task<void> {
    const bool later = co_await loop->sleep_for(milliseconds(50));
    while (later) {
      const std::string bytes = co_await link.hear_some(16384);
      if (bytes.empty()) break;
      received += bytes.size();
    }
  });
  struct Client {
    static Task<void> run(LiveNetwork& network, AddressPort place, std::string& outcome) {
      const auto link = co_await network.dial(place.address, place.port, TlsMode::none);
      std::string bytes(200'000, 'x');
      co_await link->say_bytes(std::move(bytes), "200,000 bytes");
      outcome = "sent";
    }
  };
  LiveNetwork network = house.network();
  house.run(Client::run(network, listener->address(), house.outcome));
  EXPECT_EQ(house.outcome, "sent");
}

TEST(ConnectGate, SpreadsConnects) {
  House house;
  ConnectGate gate(house.loop, 50);
  struct Client {
    static Task<void> run(ConnectGate& gate) {
      for (int i = 0; i < 11; ++i) {
        co_await gate.turn();
      }
    }
  };
  const auto begin = Steady::now();
  house.run(Client::run(gate));
  EXPECT_GE(Steady::now() - begin, milliseconds(200));  // 10 intervals of 20 ms
}

TEST(ConnectGate, AnAddressAndItsNetworkHaveTurnsOfTheirOwn) {
  House house;
  ConnectGate gate(house.loop, 0, {10, 20, 0, 0});
  struct Client {
    static Task<void> run(ConnectGate& gate) {
      for (std::uint8_t i = 0; i < 12; ++i) {  // two to each of six
        const IpAddress address = IpAddress::v4({127, 0, 7, static_cast<std::uint8_t>(i / 2)});
        co_await gate.turn_of_address(address);
        co_await gate.turn_of_network(address);
        co_await gate.turn();
      }
    }
  };
  const auto begin = Steady::now();
  house.run(Client::run(gate));
  EXPECT_GE(Steady::now() - begin, milliseconds(350));  // 12 at 20 a second, of which 5 may come together
  EXPECT_GE(gate.waits().network, 1U);
  EXPECT_EQ(gate.waits().address, 0U);  // 10 a second: two may come together
  EXPECT_EQ(gate.waits().global, 0U);
}

Task<void> dial_often(LiveNetwork& network, AddressPort place, int times, std::string& outcome) {
  try {
    const auto first = co_await network.dial(place.address, place.port, TlsMode::none);
    for (int i = 1; i < times; ++i) {
      const auto again = co_await network.dial(place.address, place.port, TlsMode::none);
    }
    const std::string line = co_await first->hear();
    outcome = line;
  } catch (const LinkError& error) {
    outcome = std::string(to_string(error.reason())) + ": " + error.what();
  }
}

Task<void> say_nothing(Link& link) {
  for (;;) {
    const std::string line = co_await link.hear();
  }
}

TEST(LiveNetwork, WhatItWaitsForItsTurnIsNoTimeOfThePeers) {
  House house;
  house.options.probe_timeout = milliseconds(500);
  ConnectGate gate(house.loop, 0, {5, 0, 0, 0});
  const auto listener = listen(house.loop, say_nothing);
  LiveNetwork network(house.loop, house.scope, gate, house.tls, house.options);
  const auto begin = Steady::now();
  house.run(dial_often(network, listener->address(), 3, house.outcome));
  EXPECT_EQ(house.outcome, "timeout: the time for the whole probe is over");
  EXPECT_GE(network.waited(), milliseconds(300));                          // two turns of 200 ms, and what may come together
  EXPECT_GE(Steady::now() - begin, milliseconds(500) + network.waited());  // for the link that stood before, too
}

TEST(LiveNetwork, AWaitWithoutEndIsNoTimeoutOfThePeers) {
  House house;
  house.options.probe_timeout = milliseconds(300);
  ConnectGate gate(house.loop, 0, {2, 0, 0, 0});
  const auto listener = listen(house.loop, say_nothing);
  LiveNetwork network(house.loop, house.scope, gate, house.tls, house.options);
  house.run(dial_often(network, listener->address(), 3, house.outcome));
  EXPECT_THAT(house.outcome, HasSubstr("internal_error: our own pace"));
}

Task<void> echo_lines_in_tls(Link& link) {
  co_await link.start_tls();
  co_await echo_lines(link);
}

TEST(LiveNetwork, CountsConnectionsAndBytesOfTheDay) {
  House house;
  const auto certificate = self_signed_context("mx.example.org");
  for (const bool tls : {false, true}) {
    const auto listener = listen(house.loop, tls ? echo_lines_in_tls : echo_lines, tls ? certificate.get() : nullptr);
    const IpAddress address = listener->address().address;
    const auto used_up = [&](const PaceLimits& limits) {
      ConnectGate gate(house.loop, 0, limits);
      {
        LiveNetwork network(house.loop, house.scope, gate, house.tls, house.options);
        house.run(ask_twice(network, listener->address(), tls ? TlsMode::implicit : TlsMode::none, house.outcome));
        EXPECT_EQ(house.outcome, "echo one|echo two");
      }
      const std::optional<Held> held = gate.pace().held(address, wall_now());
      return held && held->scope == PaceScope::day;
    };
    EXPECT_TRUE(used_up({0, 0, 1, 0}));
    EXPECT_FALSE(used_up({0, 0, 2, 0}));
    EXPECT_TRUE(used_up({0, 0, 0, 30}));      // "one", "two" and their echoes are 30 bytes
    EXPECT_EQ(used_up({0, 0, 0, 600}), tls);  // a certificate and more
    EXPECT_FALSE(used_up({0, 0, 0, 100'000}));
  }
}

TEST(Listener, SaysWhichAddressIsTaken) {
  Loop loop;
  const Listener first(loop, *AddressPort::parse("127.0.0.1:0"), [](int, AddressPort) {});
  try {
    const Listener second(loop, first.address(), [](int, AddressPort) {});
    FAIL() << "bound twice";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot listen on " + first.address().to_string()));
  }
}

}  // namespace
}  // namespace ajar
