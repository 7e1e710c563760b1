#include "agent/dnsbl_resolver.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "agent/loop.h"
#include "tests/support/dns_server.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Outcome = DnsblReply::Outcome;

Task<void> keep(DnsblDns& dns, std::string name, DnsType type, DnsblLookup& lookup) { lookup = co_await dns.ask(name, type); }

std::vector<std::string> codes(const DnsblLookup& lookup) {
  std::vector<std::string> list;
  for (const IpAddress& address : lookup.reply.addresses) list.push_back(address.to_string());
  return list;
}

std::string u16(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 255)}; }
std::string u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xFFFF); }

class DnsblResolverTest : public testing::Test {
 protected:
  void SetUp() override { make({server_.address()}); }
  void make(std::vector<AddressPort> servers, int tries = 2) {
    DnsblResolverOptions options;
    options.servers = std::move(servers);
    options.timeout = milliseconds(100);
    options.tries = tries;
    resolver_ = std::make_unique<DnsblResolver>(loop_, options);
  }
  DnsblLookup ask(const std::string& name, DnsType type = DnsType::a) {
    DnsblLookup lookup;
    bool done = false, running = false;
    start(keep(*resolver_, name, type, lookup), [&] {
      done = true;
      if (running) loop_.stop();
    });
    running = true;
    if (!done) loop_.run();
    EXPECT_TRUE(done);
    return lookup;
  }

  Loop loop_;
  DnsServer server_{loop_};
  std::unique_ptr<DnsblResolver> resolver_;
};

TEST_F(DnsblResolverTest, SeveralCodesWithTheirTtl) {
  server_.a("2.0.0.127.bl.example", "127.0.0.2", 120);
  server_.a("2.0.0.127.bl.example", "127.0.0.9", 60);
  const DnsblLookup lookup = ask("2.0.0.127.bl.example");
  EXPECT_EQ(lookup.reply.outcome, Outcome::answered);
  EXPECT_THAT(codes(lookup), ElementsAre("127.0.0.2", "127.0.0.9"));
  EXPECT_EQ(lookup.ttl, seconds(60));
}

TEST_F(DnsblResolverTest, ZeroTtlAndNoTtl) {
  server_.a("2.0.0.127.bl.example", "127.0.0.2", 0);
  EXPECT_EQ(ask("2.0.0.127.bl.example").ttl, seconds(0));
  EXPECT_EQ(ask("9.9.9.9.bl.example").ttl, std::nullopt);  // no SOA
}

TEST_F(DnsblResolverTest, NotListedAndNoData) {
  server_.exists("1.0.0.127.bl.example");
  EXPECT_EQ(ask("1.0.0.127.bl.example").reply.outcome, Outcome::no_data);
  EXPECT_EQ(ask("9.9.9.9.bl.example").reply.outcome, Outcome::no_such_name);
}

TEST_F(DnsblResolverTest, RefusedAndFailedAreToldApart) {
  server_.answer_rcode("a.bl.example", 5);
  server_.answer_rcode("b.bl.example", 2);
  server_.answer_rcode("c.bl.example", 4);
  server_.answer_nothing("d.bl.example");
  EXPECT_EQ(ask("a.bl.example").reply.outcome, Outcome::refused);
  EXPECT_EQ(ask("b.bl.example").reply.outcome, Outcome::servfail);
  EXPECT_EQ(ask("c.bl.example").reply.outcome, Outcome::servfail);
  EXPECT_EQ(ask("d.bl.example").reply.outcome, Outcome::timeout);
  EXPECT_THAT(server_.questions(), ElementsAre("udp a.bl.example A", "udp b.bl.example A", "udp c.bl.example A",
                                               "udp d.bl.example A", "udp d.bl.example A"));  // asked again
}

TEST_F(DnsblResolverTest, AliasesAreFollowed) {
  server_.cname("2.0.0.127.bl.example", "2.0.0.127.real.example", 30);
  server_.a("2.0.0.127.real.example", "127.0.0.2", 60);
  EXPECT_THAT(codes(ask("2.0.0.127.bl.example")), ElementsAre("127.0.0.2"));
  server_.stop_at_alias("2.0.0.127.bl.example");
  EXPECT_THAT(codes(ask("2.0.0.127.bl.example")), ElementsAre("127.0.0.2"));
  server_.cname("ring.bl.example", "ring.bl.example");
  EXPECT_EQ(ask("ring.bl.example").reply.outcome, Outcome::servfail);
}

TEST_F(DnsblResolverTest, TruncatedIsAskedByTcp) {
  server_.a("2.0.0.127.bl.example", "127.0.0.2");
  server_.answer_truncated("2.0.0.127.bl.example");
  EXPECT_THAT(codes(ask("2.0.0.127.bl.example")), ElementsAre("127.0.0.2"));
  EXPECT_THAT(server_.questions(), ElementsAre("udp 2.0.0.127.bl.example A", "tcp 2.0.0.127.bl.example A"));
}

TEST_F(DnsblResolverTest, GarbageIsNoAnswer) {
  server_.answer_bytes("2.0.0.127.bl.example", "\xC0\xFF\x01\x02");
  const DnsblLookup lookup = ask("2.0.0.127.bl.example");
  EXPECT_EQ(lookup.reply.outcome, Outcome::servfail);
  EXPECT_THAT(lookup.reply.addresses, IsEmpty());
}

TEST_F(DnsblResolverTest, TextOfAListing) {
  const std::string text = "Open relay, see https://bl.example/";
  const std::string data = static_cast<char>(text.size()) + text;
  server_.answer_bytes("5.113.0.203.bl.example",
                       u16(0xC00C) + u16(16) + u16(1) + u32(60) + u16(static_cast<unsigned>(data.size())) + data);
  EXPECT_THAT(ask("5.113.0.203.bl.example", DnsType::txt).texts, ElementsAre(text));
}

TEST_F(DnsblResolverTest, TheNextServerIsAskedAndThenFirst) {
  DnsServer other(loop_);
  server_.answer_rcode("a.bl.example", 5);
  server_.answer_rcode("b.bl.example", 5);
  other.a("a.bl.example", "127.0.0.2");
  other.a("b.bl.example", "127.0.0.2");
  make({server_.address(), other.address()});
  EXPECT_THAT(codes(ask("a.bl.example")), ElementsAre("127.0.0.2"));
  EXPECT_THAT(codes(ask("b.bl.example")), ElementsAre("127.0.0.2"));
  EXPECT_THAT(server_.questions(), SizeIs(1));
  EXPECT_EQ(resolver_->servers(), server_.address().to_string() + ", " + other.address().to_string());
}

TEST_F(DnsblResolverTest, WhatOneSaidOutweighsTheSilenceOfAnother) {
  const AddressPort nobody{IpAddress::parse("127.66.0.99").value(), 9};
  server_.answer_rcode("a.bl.example", 5);
  make({nobody, server_.address()});
  EXPECT_EQ(ask("a.bl.example").reply.outcome, Outcome::refused);
  make({nobody});
  EXPECT_EQ(ask("a.bl.example").reply.outcome, Outcome::timeout);
}

TEST_F(DnsblResolverTest, NamesThatAreNoneAreNotSent) {
  EXPECT_EQ(ask("a b.bl.example").reply.outcome, Outcome::servfail);
  EXPECT_THAT(server_.questions(), IsEmpty());
}

TEST_F(DnsblResolverTest, ManyAtOnceAndTheEnd) {
  constexpr int kMany = 300;  // more than fit into the server's socket at once
  make({server_.address()}, 6);
  std::vector<DnsblLookup> lookups(kMany);
  int done = 0;
  bool running = false;
  for (int i = 0; i < kMany; ++i) {
    server_.a(fmt::format("n{}.bl.example", i), "127.0.0.2");
    start(keep(*resolver_, fmt::format("n{}.bl.example", i), DnsType::a, lookups[static_cast<std::size_t>(i)]), [&] {
      if (++done == kMany && running) loop_.stop();
    });
  }
  running = true;
  loop_.run();
  EXPECT_EQ(done, kMany);
  for (const DnsblLookup& lookup : lookups) EXPECT_EQ(lookup.reply.outcome, Outcome::answered);
  // Destroyed while one is under way.
  server_.answer_nothing("late.bl.example");
  DnsblLookup late;
  bool ended = false;
  start(keep(*resolver_, "late.bl.example", DnsType::a, late), [&] { ended = true; });
  resolver_.reset();
  EXPECT_TRUE(ended);
  EXPECT_EQ(late.reply.outcome, Outcome::timeout);
}

}  // namespace
}  // namespace ajar
