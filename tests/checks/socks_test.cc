#include "checks/wire/socks.h"

#include <gmock/gmock.h>

#include "checks/network.h"

namespace ajar {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

const IpAddress kV4 = *IpAddress::parse("198.51.100.7");
const IpAddress kV6 = *IpAddress::parse("2001:db8::7");

TEST(Socks, Requests) {
  EXPECT_EQ(hex(socks4_connect(kV4, 8025)), "04 01 1f 59 c6 33 64 07 00");
  EXPECT_EQ(hex(socks4a_connect("a.b", 80)), "04 01 00 50 00 00 00 01 00 61 2e 62 00");
  EXPECT_EQ(hex(socks5_greeting()), "05 01 00");
  EXPECT_EQ(hex(socks5_connect(kV4, 8025)), "05 01 00 01 c6 33 64 07 1f 59");
  EXPECT_EQ(hex(socks5_connect(kV6, 80)), "05 01 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07 00 50");
  EXPECT_EQ(hex(socks5_connect("a.b", 443)), "05 01 00 03 03 61 2e 62 01 bb");
  const std::string longest = socks5_connect(std::string(300, 'x'), 80);
  EXPECT_EQ(longest.size(), 4U + 1 + 255 + 2);
  EXPECT_EQ(static_cast<unsigned char>(longest[4]), 255);
}

TEST(Socks, FourReplies) {
  EXPECT_EQ(parse_socks4_reply(bytes({0, 0x5a, 0, 0, 0, 0, 0, 0})), Socks4Code::granted);
  EXPECT_EQ(parse_socks4_reply(bytes({0, 0x5b})), Socks4Code::rejected);
  EXPECT_EQ(parse_socks4_reply(bytes({4, 0x5a})), Socks4Code::granted);  // some answer with the version of the request
  EXPECT_EQ(parse_socks4_reply(bytes({0, 0x5d, 1})), Socks4Code::wrong_identd);
  for (const std::string& none :
       {std::string(), bytes({0}), bytes({4, 1}), bytes({0, 0x59}), bytes({0, 0x5e}), bytes({5, 0})}) {
    EXPECT_EQ(parse_socks4_reply(none), std::nullopt) << hex(none);
  }
}

TEST(Socks, FiveMethods) {
  EXPECT_EQ(parse_socks5_method(bytes({5, 0})), 0);
  EXPECT_EQ(parse_socks5_method(bytes({5, 0xff})), 0xff);
  EXPECT_EQ(parse_socks5_method(bytes({5, 2})), 2);
  EXPECT_EQ(parse_socks5_method(bytes({5})), std::nullopt);
  EXPECT_EQ(parse_socks5_method(bytes({4, 0})), std::nullopt);
  EXPECT_EQ(parse_socks5_method(""), std::nullopt);
}

TEST(Socks, FiveRepliesByAddressType) {
  const auto v4 = parse_socks5_reply(bytes({5, 0, 0, 1, 10, 0, 0, 1, 4, 56}));
  ASSERT_TRUE(v4 && v4->complete);
  EXPECT_EQ(v4->bound, "10.0.0.1");
  EXPECT_EQ(v4->size, 10U);
  const auto zero = parse_socks5_reply(bytes({5, 0, 0, 1, 0, 0, 0, 0, 0, 0}) + "PROOF");  // microsocks
  ASSERT_TRUE(zero && zero->complete);
  EXPECT_EQ(zero->size, 10U);
  EXPECT_EQ(zero->bound, "0.0.0.0");
  const auto name = parse_socks5_reply(bytes({5, 2, 0, 3, 3, 'a', '.', 'b', 0, 80}));
  ASSERT_TRUE(name && name->complete);
  EXPECT_EQ(name->code, 2);
  EXPECT_EQ(name->bound, "a.b");
  EXPECT_EQ(name->size, 10U);
  std::string long_one = bytes({5, 0, 0, 4}) + std::string(16, '\0');
  const auto half = parse_socks5_reply(long_one);
  ASSERT_TRUE(half);
  EXPECT_FALSE(half->complete);
  EXPECT_EQ(half->size, 22U);
  const auto v6 = parse_socks5_reply(long_one + bytes({0, 80}));
  ASSERT_TRUE(v6 && v6->complete);
  EXPECT_EQ(v6->bound, "::");
}

TEST(Socks, FiveRepliesThatAreCutOrNone) {
  const std::string whole = bytes({5, 0, 0, 1, 10, 0, 0, 1, 4, 56});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto reply = parse_socks5_reply(whole.substr(0, size));
    ASSERT_TRUE(reply) << size;
    EXPECT_FALSE(reply->complete) << size;
    EXPECT_EQ(reply->size, size < 5 ? 0U : 10U) << size;
  }
  EXPECT_EQ(parse_socks5_reply(bytes({4, 0, 0, 1})), std::nullopt);
  // A reserved byte that is not zero and an address type that is none: as long as one with IPv4.
  const auto odd = parse_socks5_reply(bytes({5, 0, 1, 9, 1, 2, 3, 4, 0, 80}));
  ASSERT_TRUE(odd && odd->complete);
  EXPECT_EQ(odd->code, 0);
  EXPECT_EQ(odd->bound, "");
  const auto empty_name = parse_socks5_reply(bytes({5, 0, 0, 3, 0, 0, 80}));
  ASSERT_TRUE(empty_name && empty_name->complete);
  EXPECT_EQ(empty_name->bound, "");
}

TEST(Socks, CodesHaveWords) {
  EXPECT_EQ(socks5_code_text(2), "not allowed by the ruleset");
  EXPECT_EQ(socks5_code_text(8), "address type not supported");
  EXPECT_EQ(socks5_code_text(9), "code 9");
}

TEST(Socks, FiveAssociates) {
  EXPECT_EQ(hex(socks5_associate(true)), "05 03 00 01 00 00 00 00 00 00");
  EXPECT_EQ(hex(socks5_associate(false)), "05 03 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
  const auto granted = parse_socks5_reply(bytes({5, 0, 0, 1, 203, 0, 113, 5, 0x9c, 0x40}));
  ASSERT_TRUE(granted && granted->complete);
  EXPECT_EQ(granted->bound, "203.0.113.5");
  EXPECT_EQ(granted->port, 40000);
  const auto named = parse_socks5_reply(bytes({5, 0, 0, 3, 3, 'a', '.', 'b', 0, 80}));
  ASSERT_TRUE(named && named->complete);
  EXPECT_EQ(named->port, 80);
  const auto none = parse_socks5_reply(bytes({5, 0, 0, 0, 0, 0, 0, 0, 1, 2}));
  ASSERT_TRUE(none && none->complete);
  EXPECT_EQ(none->bound, "");
  EXPECT_EQ(none->port, 258);
}

TEST(Socks, DatagramsOfFive) {
  EXPECT_EQ(hex(socks5_datagram(kV4, 8025, "ab")), "00 00 00 01 c6 33 64 07 1f 59 61 62");
  EXPECT_EQ(hex(socks5_datagram(kV6, 80, "a")), "00 00 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07 00 50 61");
  EXPECT_EQ(hex(socks5_datagram("a.b", 53, "")), "00 00 00 03 03 61 2e 62 00 35");
  EXPECT_EQ(socks5_datagram(std::string(300, 'x'), 80, "ab").size(), 4U + 1 + 255 + 2 + 2);
  struct Row {
    std::string bytes, source, payload;
    std::uint16_t port;
    std::uint8_t fragment;
  };
  for (const Row& row :
       {Row{socks5_datagram(kV4, 8025, "ab"), "198.51.100.7", "ab", 8025, 0},
        Row{socks5_datagram(kV6, 80, ""), "2001:db8::7", "", 80, 0}, Row{socks5_datagram("a.b", 53, "x"), "a.b", "x", 53, 0},
        Row{socks5_datagram("", 53, "x"), "", "x", 53, 0},
        Row{bytes({0, 0, 0x81, 1, 1, 2, 3, 4, 0, 5, 'z'}), "1.2.3.4", "z", 5, 0x81}}) {
    const auto datagram = parse_socks5_datagram(row.bytes);
    ASSERT_TRUE(datagram) << hex(row.bytes);
    EXPECT_EQ(datagram->source, row.source);
    EXPECT_EQ(datagram->payload, row.payload);
    EXPECT_EQ(datagram->port, row.port);
    EXPECT_EQ(datagram->fragment, row.fragment);
  }
  for (const std::string& none :
       {std::string(), bytes({0, 0, 0, 1}), bytes({0, 0, 0, 1, 1, 2, 3, 4, 0}), bytes({1, 0, 0, 1, 1, 2, 3, 4, 0, 5}),
        bytes({0, 1, 0, 1, 1, 2, 3, 4, 0, 5}), bytes({0, 0, 0, 2, 1, 2, 3, 4, 0, 5}), bytes({0, 0, 0, 3, 9, 'a', 0, 5}),
        bytes({0, 0, 0, 4, 1, 2, 3, 4, 0, 5})}) {
    EXPECT_FALSE(parse_socks5_datagram(none)) << hex(none);
  }
}

}  // namespace
}  // namespace ajar
