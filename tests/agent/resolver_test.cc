#include "agent/resolver.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/loop.h"
#include "tests/support/dns_server.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

Task<void> keep(Dns& dns, std::string name, DnsType type, DnsAnswer& answer) { answer = co_await dns.look_up(name, type); }

std::vector<std::string> texts(const std::vector<IpAddress>& addresses) {
  std::vector<std::string> list;
  for (const IpAddress& address : addresses) list.push_back(address.to_string());
  return list;
}
std::vector<std::string> texts(const std::vector<MailExchanger>& exchangers) {
  std::vector<std::string> list;
  for (const MailExchanger& each : exchangers) list.push_back(fmt::format("{} {}", each.preference, each.host));
  return list;
}

// A file that lives as long as the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(testing::TempDir() + fmt::format("resolver_{}_{}", getpid(), next_++)) {
    write(text);
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  void write(const std::string& text) { std::ofstream(path_) << text; }
  const std::string& path() const { return path_; }

 private:
  static inline int next_ = 0;
  std::string path_;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverOptions options(std::vector<AddressPort> servers) {
    ResolverOptions some;
    some.servers = std::move(servers);
    some.hosts = hosts_.path();
    some.timeout = milliseconds(150);
    return some;
  }
  void SetUp() override { resolver_ = std::make_unique<Resolver>(loop_, options({server_.address()})); }

  // Runs the loop until the look-up has answered.
  DnsAnswer look_up(const std::string& name, DnsType type) {
    DnsAnswer answer;
    bool done = false, running = false;
    start(keep(*resolver_, name, type, answer), [&] {
      done = true;
      if (running) loop_.stop();  // a stop() before run() would end that at once
    });
    running = true;
    if (!done) loop_.run();
    EXPECT_TRUE(done);
    return answer;
  }

  Loop loop_;
  DnsServer server_{loop_};
  TemporaryFile hosts_{"127.0.0.1 localhost # the usual\n"};
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, Addresses) {
  server_.a("mx1.example.org", "203.0.113.5", 120);
  server_.a("mx1.example.org", "203.0.113.6", 60);
  server_.aaaa("mx1.example.org", "2001:db8::5", 90);
  const DnsAnswer a = look_up("MX1.Example.org.", DnsType::a);
  EXPECT_EQ(a.state, DnsState::ok) << a.text;
  EXPECT_THAT(texts(a.addresses), ElementsAre("203.0.113.5", "203.0.113.6"));
  EXPECT_EQ(a.ttl, seconds(60));
  EXPECT_EQ(a.canonical, "mx1.example.org");
  const DnsAnswer aaaa = look_up("mx1.example.org", DnsType::aaaa);
  EXPECT_THAT(texts(aaaa.addresses), ElementsAre("2001:db8::5"));
  EXPECT_THAT(server_.questions(), ElementsAre("udp mx1.example.org A", "udp mx1.example.org AAAA"));
}

TEST_F(ResolverTest, TheNameOfAnAddress) {
  server_.ptr("7.100.51.198.in-addr.arpa", "Probe.example.net", 90);
  const DnsAnswer name = look_up("7.100.51.198.in-addr.arpa", DnsType::ptr);
  EXPECT_EQ(name.state, DnsState::ok) << name.text;
  EXPECT_THAT(name.names, ElementsAre("probe.example.net"));
  EXPECT_EQ(name.ttl, seconds(90));
  EXPECT_EQ(look_up("8.100.51.198.in-addr.arpa", DnsType::ptr).state, DnsState::no_such_name);
  // Not from hosts(5), which has names by address only for those who ask for addresses.
  EXPECT_EQ(look_up("localhost", DnsType::ptr).state, DnsState::no_such_name);
}

TEST_F(ResolverTest, MailExchangersByPreference) {
  server_.mx("example.org", 20, "mx2.example.org");
  server_.mx("example.org", 10, "MX1.example.org", 45);
  server_.mx("example.org", 20, "a.example.org");
  const DnsAnswer mx = look_up("example.org", DnsType::mx);
  EXPECT_EQ(mx.state, DnsState::ok) << mx.text;
  EXPECT_THAT(texts(mx.exchangers), ElementsAre("10 mx1.example.org", "20 a.example.org", "20 mx2.example.org"));
  EXPECT_EQ(mx.ttl, seconds(45));
  EXPECT_FALSE(mx.null_mx);
}

TEST_F(ResolverTest, NullMx) {
  server_.mx("silent.example.org", 0, "");
  const DnsAnswer mx = look_up("silent.example.org", DnsType::mx);
  EXPECT_EQ(mx.state, DnsState::ok);
  EXPECT_TRUE(mx.null_mx);
  EXPECT_TRUE(mx.exchangers.empty());
}

TEST_F(ResolverTest, NoSuchNameAndNoData) {
  server_.exists("empty.example.org");
  const DnsAnswer none = look_up("missing.example.org", DnsType::a);
  EXPECT_EQ(none.state, DnsState::no_such_name);
  EXPECT_THAT(none.text, HasSubstr("missing.example.org does not exist"));
  const DnsAnswer empty = look_up("empty.example.org", DnsType::a);
  EXPECT_EQ(empty.state, DnsState::no_data);
  EXPECT_THAT(empty.text, HasSubstr("empty.example.org has no A record"));
  EXPECT_EQ(look_up("empty.example.org", DnsType::mx).state, DnsState::no_data);
}

TEST_F(ResolverTest, NoSearchDomain) {
  look_up("missing", DnsType::a);
  EXPECT_THAT(server_.questions(), ElementsAre("udp missing A"));
}

TEST_F(ResolverTest, AliasesAreFollowedAndTheSmallestTtlCounts) {
  server_.cname("mail.example.org", "pool.example.net", 40);
  server_.cname("pool.example.net", "host.example.com", 500);
  server_.a("host.example.com", "203.0.113.7", 900);
  const DnsAnswer a = look_up("mail.example.org", DnsType::a);
  EXPECT_EQ(a.state, DnsState::ok) << a.text;
  EXPECT_THAT(texts(a.addresses), ElementsAre("203.0.113.7"));
  EXPECT_EQ(a.canonical, "host.example.com");
  EXPECT_EQ(a.ttl, seconds(40));
}

TEST_F(ResolverTest, AnAnswerThatEndsAtAnAliasIsAskedOn) {
  server_.cname("mail.example.org", "host.example.com", 40);
  server_.a("host.example.com", "203.0.113.7", 30);
  server_.stop_at_alias("mail.example.org");
  const DnsAnswer a = look_up("mail.example.org", DnsType::a);
  EXPECT_EQ(a.state, DnsState::ok) << a.text;
  EXPECT_THAT(texts(a.addresses), ElementsAre("203.0.113.7"));
  EXPECT_EQ(a.ttl, seconds(30));
  EXPECT_THAT(server_.questions(), ElementsAre("udp mail.example.org A", "udp host.example.com A"));
}

TEST_F(ResolverTest, AliasRingsEnd) {
  server_.cname("a.example.org", "b.example.org");
  server_.cname("b.example.org", "a.example.org");
  EXPECT_EQ(look_up("a.example.org", DnsType::a).state, DnsState::failed);
  server_.stop_at_alias("a.example.org");
  server_.stop_at_alias("b.example.org");
  const DnsAnswer ring = look_up("a.example.org", DnsType::a);
  EXPECT_EQ(ring.state, DnsState::failed);
  EXPECT_THAT(ring.text, HasSubstr("lead nowhere"));
  EXPECT_LE(server_.questions().size(), 9U);
}

TEST_F(ResolverTest, AliasToAMissingNameIsNoSuchName) {
  server_.cname("mail.example.org", "gone.example.com");
  EXPECT_EQ(look_up("mail.example.org", DnsType::a).state, DnsState::no_such_name);
}

TEST_F(ResolverTest, Wildcard) {
  server_.a("*.example.org", "203.0.113.9");
  EXPECT_THAT(texts(look_up("whatever.example.org", DnsType::a).addresses), ElementsAre("203.0.113.9"));
}

TEST_F(ResolverTest, TruncatedAnswersAreAskedForByTcp) {
  for (int i = 0; i < 100; ++i) server_.a("large.example.org", fmt::format("203.0.113.{}", i));
  const DnsAnswer a = look_up("large.example.org", DnsType::a);
  EXPECT_EQ(a.state, DnsState::ok) << a.text;
  EXPECT_EQ(a.addresses.size(), kMaxDnsRecords);  // and no more than that
  EXPECT_THAT(server_.questions(), ElementsAre("udp large.example.org A", "tcp large.example.org A"));
  server_.a("short.example.org", "203.0.113.1");
  server_.answer_truncated("short.example.org");
  EXPECT_THAT(texts(look_up("short.example.org", DnsType::a).addresses), ElementsAre("203.0.113.1"));
  EXPECT_EQ(server_.questions().back(), "tcp short.example.org A");
}

TEST_F(ResolverTest, ServersThatFailAreNotAnAnswer) {
  server_.answer_rcode("bad.example.org", 2);
  server_.answer_rcode("no.example.org", 5);
  const DnsAnswer servfail = look_up("bad.example.org", DnsType::a);
  EXPECT_EQ(servfail.state, DnsState::failed);
  EXPECT_THAT(servfail.text, HasSubstr("answered A of bad.example.org: each failed (SERVFAIL)"));
  EXPECT_THAT(servfail.text, HasSubstr(server_.address().to_string()));
  const DnsAnswer refused = look_up("no.example.org", DnsType::mx);
  EXPECT_EQ(refused.state, DnsState::failed);
  EXPECT_THAT(refused.text, HasSubstr("answered MX of no.example.org"));
}

TEST_F(ResolverTest, TheNextServerIsAskedWhenOneFails) {
  DnsServer other(loop_);
  server_.answer_rcode("mx1.example.org", 2);
  other.a("mx1.example.org", "203.0.113.5");
  resolver_ = std::make_unique<Resolver>(loop_, options({server_.address(), other.address()}));
  EXPECT_THAT(texts(look_up("mx1.example.org", DnsType::a).addresses), ElementsAre("203.0.113.5"));
  EXPECT_EQ(server_.questions().size(), 1U);
  EXPECT_EQ(resolver_->servers(), server_.address().to_string() + ", " + other.address().to_string());
}

TEST_F(ResolverTest, SilenceEndsInTime) {
  server_.answer_nothing("tar.example.org");
  const auto before = Steady::now();
  const DnsAnswer none = look_up("tar.example.org", DnsType::a);
  EXPECT_EQ(none.state, DnsState::failed);
  EXPECT_THAT(none.text, HasSubstr("in time"));
  EXPECT_EQ(server_.questions().size(), 2U);  // tried twice
  EXPECT_LT(Steady::now() - before, seconds(5));
}

TEST_F(ResolverTest, BrokenAnswersAreNotAnAnswer) {
  server_.answer_bytes("garbage.example.org", "\xFF\xFF\xFF garbage");
  EXPECT_EQ(look_up("garbage.example.org", DnsType::a).state, DnsState::failed);
}

TEST_F(ResolverTest, ServerThatIsNotThere) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);  // bound and closed again: nobody answers there
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof place;
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&place), length), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&place), &length);
  close(fd);
  const AddressPort nobody{IpAddress::v4({127, 0, 0, 1}), ntohs(place.sin_port)};
  resolver_ = std::make_unique<Resolver>(loop_, options({nobody}));
  const DnsAnswer none = look_up("mx1.example.org", DnsType::a);
  EXPECT_EQ(none.state, DnsState::failed);
  EXPECT_THAT(none.text, HasSubstr(nobody.to_string()));
}

TEST_F(ResolverTest, NoServerNamedIsSaid) {
  TemporaryFile resolv_conf("# nothing here\n");
  ResolverOptions some = options({});
  some.resolv_conf = resolv_conf.path();
  some.timeout = milliseconds(50);
  resolver_ = std::make_unique<Resolver>(loop_, some);
  EXPECT_THAT(resolver_->servers(), HasSubstr("names no server"));
  const DnsAnswer none = look_up("mx1.example.org", DnsType::a);
  EXPECT_EQ(none.state, DnsState::failed);
  EXPECT_THAT(none.text, HasSubstr(resolv_conf.path() + " names no server"));
  some.resolv_conf = "/nonexistent/resolv.conf";
  resolver_ = std::make_unique<Resolver>(loop_, some);
  EXPECT_EQ(look_up("mx1.example.org", DnsType::mx).state, DnsState::failed);
}

TEST_F(ResolverTest, ResolvConfIsReadAgainWhenItChanged) {
  TemporaryFile resolv_conf("nameserver 127.0.0.77\n");
  ResolverOptions some = options({});
  some.resolv_conf = resolv_conf.path();
  resolver_ = std::make_unique<Resolver>(loop_, some);
  EXPECT_EQ(resolver_->servers(), "127.0.0.77:53");
  resolv_conf.write("nameserver 127.0.0.78\nnameserver 127.0.0.79\n");
  EXPECT_EQ(look_up("mx1.example.org", DnsType::a).state, DnsState::failed);
  EXPECT_EQ(resolver_->servers(), "127.0.0.78:53, 127.0.0.79:53");
}

TEST_F(ResolverTest, HostsFileGoesBeforeTheDns) {
  hosts_.write(
      "203.0.113.77  Relay.example.org relay # comment\n2001:db8::77 relay.example.org\nnonsense line\n203.0.113.78 relay\n");
  server_.a("relay.example.org", "198.51.100.1");
  EXPECT_THAT(texts(look_up("relay.example.org", DnsType::a).addresses), ElementsAre("203.0.113.77"));
  EXPECT_THAT(texts(look_up("relay.example.org", DnsType::aaaa).addresses), ElementsAre("2001:db8::77"));
  EXPECT_THAT(texts(look_up("relay", DnsType::a).addresses), ElementsAre("203.0.113.77", "203.0.113.78"));
  EXPECT_EQ(look_up("relay", DnsType::aaaa).state, DnsState::no_data);
  EXPECT_TRUE(server_.questions().empty());
  hosts_.write("203.0.113.7 other.example.org\n");
  EXPECT_THAT(texts(look_up("relay.example.org", DnsType::a).addresses), ElementsAre("198.51.100.1"));
}

TEST_F(ResolverTest, LiteralsAndNonsenseAreNotAsked) {
  EXPECT_THAT(texts(look_up("203.0.113.5", DnsType::a).addresses), ElementsAre("203.0.113.5"));
  EXPECT_EQ(look_up("203.0.113.5", DnsType::aaaa).state, DnsState::no_data);
  EXPECT_THAT(texts(look_up("2001:db8::1", DnsType::aaaa).addresses), ElementsAre("2001:db8::1"));
  for (const std::string& name : {std::string(""), std::string("a..b"), std::string("m\xC3\xBCller.example"),
                                  std::string("a b"), std::string(300, 'a'), std::string("x\0y", 3)}) {
    EXPECT_EQ(look_up(name, DnsType::a).state, DnsState::no_such_name) << name;
  }
  EXPECT_TRUE(server_.questions().empty());
}

TEST_F(ResolverTest, ManyAtATime) {
  constexpr int kMany = 300;
  std::vector<DnsAnswer> answers(kMany);
  int left = kMany;
  for (int i = 0; i < kMany; ++i) {
    server_.a(fmt::format("h{}.example.org", i), fmt::format("203.0.{}.{}", i / 256, i % 256));
  }
  for (int i = 0; i < kMany; ++i) {
    start(keep(*resolver_, fmt::format("h{}.example.org", i), DnsType::a, answers[static_cast<std::size_t>(i)]), [&] {
      if (--left == 0) loop_.stop();
    });
  }
  loop_.run();
  for (int i = 0; i < kMany; ++i) {
    EXPECT_THAT(texts(answers[static_cast<std::size_t>(i)].addresses),
                ElementsAre(fmt::format("203.0.{}.{}", i / 256, i % 256)));
  }
}

TEST_F(ResolverTest, ShutDownEndsLookUps) {
  server_.answer_nothing("tar.example.org");
  DnsAnswer first, second;
  int done = 0;
  start(keep(*resolver_, "tar.example.org", DnsType::a, first), [&] { ++done; });
  start(keep(*resolver_, "tar.example.org", DnsType::mx, second), [&] { ++done; });
  EXPECT_EQ(done, 0);
  loop_.shut_down();
  EXPECT_EQ(done, 2);
  EXPECT_EQ(first.state, DnsState::failed);
  EXPECT_EQ(first.text, "shutting down");
  DnsAnswer later;
  start(keep(*resolver_, "mx1.example.org", DnsType::a, later), [&] { ++done; });
  EXPECT_EQ(done, 3);
  EXPECT_EQ(later.state, DnsState::failed);
}

TEST_F(ResolverTest, DestroyingItEndsLookUps) {
  server_.answer_nothing("tar.example.org");
  DnsAnswer answer;
  bool done = false;
  start(keep(*resolver_, "tar.example.org", DnsType::a, answer), [&] { done = true; });
  resolver_.reset();
  EXPECT_TRUE(done);
  EXPECT_EQ(answer.state, DnsState::failed);
  EXPECT_THAT(answer.text, HasSubstr("stopped"));
}

TEST_F(ResolverTest, MayBeDestroyedByWhoeverAwaitedIt) {
  server_.a("mx1.example.org", "203.0.113.5");
  server_.answer_nothing("tar.example.org");
  DnsAnswer answer, other;
  bool other_done = false;
  start(keep(*resolver_, "tar.example.org", DnsType::a, other), [&] { other_done = true; });
  start(keep(*resolver_, "mx1.example.org", DnsType::a, answer), [&] {
    resolver_.reset();
    loop_.stop();
  });
  loop_.run();
  EXPECT_EQ(answer.state, DnsState::ok);
  EXPECT_TRUE(other_done);
  EXPECT_EQ(other.state, DnsState::failed);
}

TEST_F(ResolverTest, AForgottenLookUpHarmsNobody) {
  server_.a("mx1.example.org", "203.0.113.5");
  DnsAnswer forgotten;
  {
    Task<void> task = keep(*resolver_, "mx1.example.org", DnsType::a, forgotten);
    task.await_suspend(std::noop_coroutine()).resume();  // runs until it waits for the server
  }
  EXPECT_EQ(look_up("mx1.example.org", DnsType::a).state, DnsState::ok);
  EXPECT_EQ(server_.questions().size(), 2U);
  EXPECT_EQ(forgotten.state, DnsState::failed);
  EXPECT_EQ(forgotten.text, "");
}

}  // namespace
}  // namespace ajar
