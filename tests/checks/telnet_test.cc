#include "checks/wire/telnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/network.h"

namespace ajar {
namespace {

TEST(Telnet, PartsTextFromNegotiation) {
  struct Row {
    std::string bytes, text, answers;
  };
  for (const Row& row :
       {Row{"WinGate>", "WinGate>", ""}, Row{"\xff\xfb\x01", "", "ff fe 01"}, Row{"\xff\xfd\x18", "", "ff fc 18"},
        Row{"\xff\xfc\x01\xff\xfe\x01", "", ""}, Row{"\xff\xfb\x01\xff\xfb\x01\xff\xfd\x01", "", "ff fe 01 ff fc 01"},
        Row{"a\xff\xff"
            "b",
            "a\xff"
            "b",
            ""},
        Row{"a\xff\xf9"
            "b",
            "ab", ""},
        Row{"a\xff\xfa\x18\x01\xff\xff\xff\xf0"
            "b",
            "ab", ""},
        Row{std::string("a\r\0b", 4), "a\rb", ""},
        Row{"\x1b[0;1mlogin:\x1b[K \x1b"
            "7",
            "login: ", ""},
        Row{"\xff\xfb\xff", "", "ff fe ff"}}) {
    TelnetReader whole;
    EXPECT_EQ(hex(whole.take(row.bytes)), row.answers);
    EXPECT_EQ(whole.text(), row.text);
    EXPECT_FALSE(whole.too_long());
    TelnetReader bits;
    std::string answers;
    for (const char c : row.bytes) answers += bits.take(std::string(1, c));
    EXPECT_EQ(hex(answers), row.answers);
    EXPECT_EQ(bits.text(), row.text);
  }
}

TEST(Telnet, IsBounded) {
  TelnetReader text;
  text.take(std::string(TelnetReader::kMaxText, 'x'));
  EXPECT_FALSE(text.too_long());
  text.take("x");
  EXPECT_TRUE(text.too_long());
  EXPECT_EQ(text.text().size(), TelnetReader::kMaxText);
  TelnetReader option;
  option.take("\xff\xfa" + std::string(TelnetReader::kMaxOptionText, 'x'));
  EXPECT_FALSE(option.too_long());
  option.take("x");
  EXPECT_TRUE(option.too_long());
  TelnetReader all;
  std::string answers;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 256; ++i) answers += all.take(std::string("\xff\xfb") + static_cast<char>(i));
  }
  EXPECT_EQ(answers.size(), 256U * 3);
}

TEST(Telnet, Prompts) {
  struct Row {
    const char* text;
    TelnetPrompt prompt;
  };
  for (const Row& row : {Row{"", TelnetPrompt::none},
                         Row{"\r\n", TelnetPrompt::none},
                         Row{"Welcome\r\n", TelnetPrompt::none},
                         Row{"<html>\r\n", TelnetPrompt::none},
                         Row{"WinGate>", TelnetPrompt::command},
                         Row{"Welcome\r\nHost name: ", TelnetPrompt::command},
                         Row{"CCProxy Telnet Service Ready.\r\nCCProxy Telnet>", TelnetPrompt::command},
                         Row{"tn-gw-> ", TelnetPrompt::command},
                         Row{"# ", TelnetPrompt::command},
                         Row{"Where to?", TelnetPrompt::command},
                         Row{"accounting-sw>", TelnetPrompt::command},
                         Row{"Enter destination: ", TelnetPrompt::command},
                         Row{"mx1 login: ", TelnetPrompt::login},
                         Row{"hostname login: ", TelnetPrompt::login},
                         Row{"LOGIN:", TelnetPrompt::login},
                         Row{"User Access Verification\r\n\r\nUsername: ", TelnetPrompt::login},
                         Row{"Password:", TelnetPrompt::login},
                         Row{"login>", TelnetPrompt::login},
                         Row{"Press any key to login\r\n", TelnetPrompt::login},
                         Row{"Password for the host:\r\n", TelnetPrompt::login},
                         Row{"Press RETURN to get started.\r\n", TelnetPrompt::other},
                         Row{"--More--", TelnetPrompt::other},
                         Row{"Kennwort: ", TelnetPrompt::other},
                         Row{"Your choice: ", TelnetPrompt::other},
                         Row{"half a wor", TelnetPrompt::other}}) {
    EXPECT_EQ(read_telnet_prompt(row.text), row.prompt) << row.text;
  }
  EXPECT_EQ(telnet_prompt_line("a\r\nWinGate> "), "WinGate>");
  EXPECT_EQ(telnet_prompt_line("a\r\n"), "");
  EXPECT_EQ(telnet_last_words("a\r\n b \r\n\r\n"), "b");
  EXPECT_EQ(telnet_verb("Usage: Open <host> [port]"), "open");
  EXPECT_EQ(telnet_verb("telnet host"), "telnet");
  EXPECT_EQ(telnet_verb("WinGate>"), "connect");
}

TEST(Telnet, Answers) {
  struct Row {
    const char* text;
    TelnetAnswer answer;
  };
  for (const Row& row :
       {Row{"", TelnetAnswer::undecided}, Row{"Connecting to host 198.51.100.7...", TelnetAnswer::undecided},
        Row{"Connecting to host 198.51.100.7...Connected\r\n", TelnetAnswer::connected},
        Row{"Trying 198.51.100.7, 8025 ... Open", TelnetAnswer::connected},
        Row{"Escape character is '^]'.", TelnetAnswer::connected},
        Row{"Connected. Unauthorized use is prohibited", TelnetAnswer::connected}, Row{"Not connected", TelnetAnswer::failed},
        Row{"Disconnected: access denied", TelnetAnswer::refused},
        Row{"Too many connected users - try again later", TelnetAnswer::busy}, Row{"Unknown command", TelnetAnswer::refused},
        Row{"% Invalid input detected", TelnetAnswer::refused}, Row{"sh: connect: not found", TelnetAnswer::refused},
        Row{"Host not found: x", TelnetAnswer::unresolved}, Row{"cannot resolve x", TelnetAnswer::unresolved},
        Row{"telnet: Unable to connect to remote host: Connection refused", TelnetAnswer::failed},
        Row{"No route to host", TelnetAnswer::failed}, Row{"Username: ", TelnetAnswer::login},
        Row{"Das kenne ich nicht", TelnetAnswer::undecided}}) {
    EXPECT_EQ(read_telnet_answer(row.text), row.answer) << row.text;
  }
}

}  // namespace
}  // namespace ajar
