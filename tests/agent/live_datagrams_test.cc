// LiveDatagrams and DatagramListener on loopback.
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "agent/live_network.h"
#include "tests/support/icmp.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
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

TEST_F(LiveDatagramsTest, TellWhereNobodyListensOverIpv6) {
  std::uint16_t port = 0;
  {
    const DatagramListener gone(loop_, place("[::1]:0"),
                                [](std::string_view, const AddressPort&, const AddressPort&) { return std::string(); });
    port = gone.address().port;
  }
  EXPECT_THAT(ask({*IpAddress::parse("::1"), port}), HasSubstr("[nobody_listens]"));
}

// Our own router that rejects what leaves by UDP would make everything closed.
TEST_F(LiveDatagramsTest, APortUnreachableOfSomebodyElseIsAFilters) {
  bool sent = true;
  const DatagramListener server(loop_, place("127.30.0.1:0"),
                                [&](std::string_view, const AddressPort& peer, const AddressPort& local) {
                                  sent = send_unreachable(*IpAddress::parse("127.30.0.9"), ICMP_PORT_UNREACH, peer, local);
                                  return std::string();
                                });
  const std::string said = ask(server.address());
  if (!sent) GTEST_SKIP() << "only root may send ICMP";
  EXPECT_THAT(said, AllOf(HasSubstr("[no_route]"), HasSubstr("ICMP unreachable from 127.30.0.9")));
}

TEST_F(LiveDatagramsTest, AProhibitionOfTheHostItselfIsAFilters) {
  bool sent = true;
  const DatagramListener server(loop_, place("127.30.0.1:0"),
                                [&](std::string_view, const AddressPort& peer, const AddressPort& local) {
                                  sent = send_unreachable(local.address, ICMP_PKT_FILTERED, peer, local);
                                  return std::string();
                                });
  const std::string said = ask(server.address());
  if (!sent) GTEST_SKIP() << "only root may send ICMP";
  EXPECT_THAT(said, HasSubstr("[no_route]"));
}

// The host's own word counts before that of others.
TEST_F(LiveDatagramsTest, HearTheHostItselfAmongOthers) {
  bool sent = true;
  const DatagramListener server(loop_, place("127.30.0.1:0"),
                                [&](std::string_view, const AddressPort& peer, const AddressPort& local) {
                                  for (const char* sender : {"127.30.0.9", "127.30.0.1"}) {
                                    sent = sent && send_unreachable(*IpAddress::parse(sender), ICMP_PORT_UNREACH, peer, local);
                                  }
                                  return std::string();
                                });
  const std::string said = ask(server.address());
  if (!sent) GTEST_SKIP() << "only root may send ICMP";
  EXPECT_THAT(said, HasSubstr("[nobody_listens]"));
}

TEST_F(LiveDatagramsTest, PassOverErrorsThatRefuseNothing) {
  bool sent = true;
  int came = 0;
  const DatagramListener server(
      loop_, place("127.30.0.1:0"), [&](std::string_view, const AddressPort& peer, const AddressPort& local) {
        for (const int code : {ICMP_NET_UNREACH, ICMP_HOST_UNREACH, ICMP_HOST_UNR_TOS}) {
          sent = sent && send_unreachable(*IpAddress::parse("127.30.0.9"), static_cast<std::uint8_t>(code), peer, local);
        }
        return ++came < 3 ? std::string() : std::string("answer");
      });
  const std::string said = ask(server.address());
  if (!sent) GTEST_SKIP() << "only root may send ICMP";
  EXPECT_EQ(said, "answer");
  EXPECT_EQ(came, 3);
}

TEST(IcmpError, WhatRefuses) {
  const IpAddress v4 = *IpAddress::parse("192.0.2.1"), v6 = *IpAddress::parse("2001:db8::1");
  const auto refuses = [](const IpAddress& sender, int type, int code) {
    return IcmpError{sender, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code)}.is_refusal();
  };
  for (const int code : {ICMP_PORT_UNREACH, ICMP_PROT_UNREACH, ICMP_PKT_FILTERED, ICMP_NET_ANO, ICMP_HOST_ANO}) {
    EXPECT_TRUE(refuses(v4, ICMP_DEST_UNREACH, code)) << code;
  }
  for (const int code : {ICMP_NET_UNREACH, ICMP_HOST_UNREACH, ICMP_FRAG_NEEDED, ICMP_SR_FAILED}) {
    EXPECT_FALSE(refuses(v4, ICMP_DEST_UNREACH, code)) << code;
  }
  EXPECT_FALSE(refuses(v4, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL));
  EXPECT_FALSE(refuses(v4, ICMP_PARAMETERPROB, ICMP_PORT_UNREACH));
  for (const int code : {ICMP6_DST_UNREACH_NOPORT, ICMP6_DST_UNREACH_ADMIN, 5, 6}) {  // RFC 4443 3.1
    EXPECT_TRUE(refuses(v6, ICMP6_DST_UNREACH, code)) << code;
  }
  for (const int code : {ICMP6_DST_UNREACH_NOROUTE, ICMP6_DST_UNREACH_BEYONDSCOPE, ICMP6_DST_UNREACH_ADDR}) {
    EXPECT_FALSE(refuses(v6, ICMP6_DST_UNREACH, code)) << code;
  }
  EXPECT_FALSE(refuses(v6, ICMP6_TIME_EXCEEDED, 0));
  EXPECT_TRUE((IcmpError{v6, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT}.port_unreachable()));
  EXPECT_FALSE((IcmpError{v6, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN}.port_unreachable()));
  EXPECT_TRUE((IcmpError{v4, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH}.port_unreachable()));
  EXPECT_FALSE((IcmpError{v4, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH}.port_unreachable()));
}

Task<void> say_to(LiveNetwork& network, AddressPort to, std::function<void()> between) {
  std::unique_ptr<Datagrams> datagrams = co_await network.dial_udp(to.address, to.port);
  datagrams->say("first");
  between();
  datagrams->say("second");
}

Task<void> give_up(Loop& loop) {
  co_await loop.sleep_for(5s);
  loop.stop();
}

// On loopback the error of the first is here before the second is sent.
TEST_F(LiveDatagramsTest, AnErrorOfTheOneBeforeKeepsNoDatagramBack) {
  AddressPort to;
  {
    const DatagramListener gone(loop_, place("127.30.0.1:0"),
                                [](std::string_view, const AddressPort&, const AddressPort&) { return std::string(); });
    to = gone.address();
  }
  std::string came;
  std::unique_ptr<DatagramListener> server;
  const auto return_to_life = [&] {
    server = std::make_unique<DatagramListener>(loop_, to, [&](std::string_view bytes, const AddressPort&, const AddressPort&) {
      came = bytes;
      loop_.stop();
      return std::string();
    });
  };
  LiveNetwork network(loop_, scope_, gate_, tls_, options_);
  start(say_to(network, to, return_to_life));
  start(give_up(loop_));
  loop_.run();
  EXPECT_EQ(came, "second");
  loop_.shut_down();
}

// A datagram that came by one interface may have to be answered by another.
TEST(AnswerFromThere, IsBoundToNoInterface) {
  alignas(cmsghdr) std::array<char, 128> control{};
  msghdr message{};
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo));
  cmsghdr* const part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = IPPROTO_IP;
  part->cmsg_type = IP_PKTINFO;
  part->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
  in_pktinfo info{};
  info.ipi_ifindex = 7;
  info.ipi_spec_dst.s_addr = htonl(0xc6336407);
  std::memcpy(CMSG_DATA(part), &info, sizeof info);
  answer_from_there(message);
  std::memcpy(&info, CMSG_DATA(part), sizeof info);
  EXPECT_EQ(info.ipi_ifindex, 0);
  EXPECT_EQ(info.ipi_spec_dst.s_addr, htonl(0xc6336407));
}

TEST(AnswerFromThere, StaysOnItsLinkWhereTheAddressIsOfOne) {
  for (const auto& [address, index] : {std::pair("2001:db8::7", 0U), std::pair("fe80::7", 7U)}) {
    alignas(cmsghdr) std::array<char, 128> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo));
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = IPPROTO_IPV6;
    part->cmsg_type = IPV6_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof(in6_pktinfo));
    in6_pktinfo info{};
    info.ipi6_ifindex = 7;
    const IpAddress parsed = *IpAddress::parse(address);
    const auto bytes = parsed.bytes();
    std::memcpy(&info.ipi6_addr, bytes.data(), bytes.size());
    std::memcpy(CMSG_DATA(part), &info, sizeof info);
    answer_from_there(message);
    std::memcpy(&info, CMSG_DATA(part), sizeof info);
    EXPECT_EQ(info.ipi6_ifindex, index) << address;
    EXPECT_EQ(std::memcmp(&info.ipi6_addr, bytes.data(), bytes.size()), 0) << address;
  }
}

TEST_F(LiveDatagramsTest, StayInScope) {
  EXPECT_THAT(ask(place("192.0.2.1:53")), HasSubstr("[out_of_scope]"));
  EXPECT_THAT(lines_, testing::Contains(HasSubstr("outside the scope")));
}

}  // namespace
}  // namespace ajar
