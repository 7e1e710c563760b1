#include "checks/wire/greeting.h"

#include <string>

#include <gmock/gmock.h>

namespace ajar {
namespace {

TEST(Greeting, TellsProtocolsByTheirFirstBytes) {
  using namespace std::string_literals;
  struct Row {
    std::string bytes;
    const char* name;
  };
  for (const Row& row : {Row{"HTTP/1.1 400 Bad Request", "HTTP"},
                         Row{"HTTP/", "HTTP"},
                         Row{"HTTP", ""},
                         Row{"<!DOCTYPE html>", "HTTP"},
                         Row{"<HTML>", "HTTP"},
                         Row{"SSH-2.0-OpenSSH_9.2p1", "SSH"},
                         Row{"220 mx.example.org", "SMTP"},
                         Row{"220-ftp", "SMTP"},
                         Row{"554\r\n", "SMTP"},
                         Row{"2200", ""},
                         Row{"620 x", ""},
                         Row{"+OK ready", "POP3"},
                         Row{"* OK IMAP4", "IMAP"},
                         Row{"RFB 003.008", "VNC"},
                         Row{"-ERR unknown", "Redis"},
                         Row{"\x05\xff"s, "SOCKS5"},
                         Row{"\x05\x00"s, "SOCKS5"},
                         Row{"\x05\x02\x00\x01"s, "SOCKS5"},
                         Row{"\x05\x01\x07"s, ""},
                         Row{"\x00\x5b\x00\x00\x00\x00\x00\x00"s, "SOCKS4"},
                         Row{"\x00\x5b\x00"s, ""},
                         Row{"\xff\xfb\x01"s, "telnet"},
                         Row{"\x15\x03\x01\x00\x02\x02\x46"s, "TLS"},
                         Row{"\x4a\x00\x00\x00\x0a\x35"s, "MySQL"},
                         Row{""s, ""},
                         Row{"x"s, ""},
                         Row{"hello"s, ""},
                         Row{"CONNECT 1.2.3.4:80"s, ""}}) {
    EXPECT_EQ(recognise(row.bytes), row.name) << testing::PrintToString(row.bytes);
  }
}

TEST(Greeting, AnEchoIsWhatWeSaid) {
  EXPECT_TRUE(is_echo("CONNECT 198.51.100.7:8025 HTTP/1.1\r\nHost: x", "CONNECT 198.51.100.7:8025 HTTP/1.1"));
  EXPECT_TRUE(is_echo("CON", "CONNECT 198.51.100.7:8025 HTTP/1.1"));
  EXPECT_FALSE(is_echo("CO", "CONNECT"));
  EXPECT_FALSE(is_echo("CONNECTED", "CONNECT 1"));
  EXPECT_FALSE(is_echo("HTTP/1.1 200", "CONNECT 1"));
  EXPECT_FALSE(is_echo("", ""));
}

}  // namespace
}  // namespace ajar
