#include <gtest/gtest.h>

#include "config/config.h"

namespace ajar {
namespace {

TEST(Port, Parses) {
  const std::pair<const char*, Port> cases[] = {
      {"25", {25, Transport::tcp, false}},         {"465/tls", {465, Transport::tcp, true}},
      {"3478/udp", {3478, Transport::udp, false}}, {"3478/tcp", {3478, Transport::tcp, false}},
      {"1", {1, Transport::tcp, false}},           {"65535", {65535, Transport::tcp, false}},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(parse_port(text), expected) << text;
}

TEST(Port, Refuses) {
  for (const char* text : {"", "0", "025", "-1", "+25", "65536", "25 ", " 25", "25/", "25/TLS", "25/sctp", "25/tls/udp", "/tls",
                           "x", "25x", "2 5"}) {
    EXPECT_EQ(parse_port(text), std::nullopt) << text;
  }
}

TEST(Port, WhatIsFormattedParsesBack) {
  for (const char* text : {"25", "465/tls", "3478/udp"}) EXPECT_EQ(format_port(*parse_port(text)), text);
  EXPECT_EQ(format_port(*parse_port("3478/tcp")), "3478");
}

}  // namespace
}  // namespace ajar
