#include "agent/by_hand.h"

#include <array>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/catalogue.h"
#include "checks/smtp_matrix.h"

namespace ajar {
namespace {

using testing::HasSubstr;
using testing::Not;

ResultKey at(const std::string& check, std::uint16_t port, const std::string& address = "203.0.113.5") {
  return {"server", *IpAddress::parse(address), port, Transport::tcp, check};
}

// What a shell makes of the word.
std::string through_the_shell(const std::string& word) {
  FILE* out = ::popen(("printf %s " + word).c_str(), "r");
  std::string text;
  for (int c = std::fgetc(out); c != EOF; c = std::fgetc(out)) text += static_cast<char>(c);
  ::pclose(out);
  return text;
}

TEST(ByHand, AShellWordMeansJustItsText) {
  EXPECT_EQ(shell_word("test@example.com"), "test@example.com");
  for (const std::string text : {"'; echo gone; '", "\"a@b\"@example.org", "$(id)", "`id`", "a b", "\\", "!x", "*", "~root",
                                 "test!x@[203.0.113.5]", "ü@example.com", "-x", "#"}) {
    EXPECT_EQ(through_the_shell(shell_word(text)), text);
  }
  EXPECT_EQ(through_the_shell(shell_word("a\nb\x1b[31m")), "ab[31m");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(ByHand, EveryCheckHasItsPlainQuestion) {
  for (const std::string check : {"smtp_relay", "http_connect", "http_forward", "socks4", "socks5"}) {
    const std::string html = by_hand_section(at(check, 8080), TlsMode::none);
    EXPECT_THAT(html, HasSubstr("203.0.113.5")) << check;
    EXPECT_EQ(html, by_hand_section(at(check, 8080), TlsMode::none, "no_such/variant")) << check;
    EXPECT_EQ(html, by_hand_section(at(check, 8080), TlsMode::none, std::string(100'000, 'x'))) << check;
  }
  EXPECT_EQ(by_hand_section(at("no_such_check", 1), TlsMode::none), "");
  EXPECT_THAT(by_hand_section(at("smtp_relay", 465), TlsMode::implicit), HasSubstr("--tls-on-connect"));
}

TEST(ByHand, MailRepeatsTheFormThatGotAYes) {
  const auto html = [](const std::string& variant, const std::string& domain = "example.org",
                       const char* address = "203.0.113.5") {
    return by_hand_section(at("smtp_relay", 25, address), TlsMode::none, variant, domain);
  };
  EXPECT_THAT(html("forged_local/plain", "corp.example"), HasSubstr("--from postmaster@corp.example --to test@example.com"));
  EXPECT_THAT(
      html("forged_local/plain", "corp.example"),
      HasSubstr("<code>MAIL FROM:&lt;postmaster@corp.example&gt;</code> with <code>RCPT TO:&lt;test@example.com&gt;</code>."));
  EXPECT_THAT(html("forged_local/plain", ""), HasSubstr("Put the domain of the server in place of example.org."));
  EXPECT_THAT(html("null/plain"), HasSubstr("--from &#39;&lt;&gt;&#39; --to test@example.com"));
  EXPECT_THAT(html("external/percent@domain+tls"), HasSubstr(" --tls --ehlo"));
  EXPECT_THAT(html("external/percent@domain+tls"), HasSubstr("--to test%example.com@example.org"));
  EXPECT_THAT(html("external/route@address", "example.org", "2001:db8::5"), HasSubstr("@[IPv6:2001:db8::5]:test@example.com"));
  EXPECT_THAT(html("external/smtputf8"), HasSubstr("SMTPUTF8"));
  // What the configuration says is not run by whoever copies the command.
  EXPECT_THAT(html("forged_local/plain", "x'; reboot; '"), Not(HasSubstr("'; reboot")));
  EXPECT_THAT(html("forged_local/plain", "<script>"), Not(HasSubstr("<script>")));
  // The whole matrix can be said.
  for (const SenderForm& sender : kSenders) {
    for (const RecipientForm& recipient : kRecipients) {
      const std::string name = fmt::format("{}/{}", sender.name, recipient.name);
      EXPECT_THAT(html(name), HasSubstr("It said yes to <code>MAIL FROM:")) << name;
      EXPECT_THAT(html(name), Not(HasSubstr("{"))) << name;
    }
  }
}

TEST(ByHand, ProxiesAreAskedForTheSameKindOfDestination) {
  struct Row {
    const char* check;
    TlsMode tls;
    const char* variant;
    const char* command;
  };
  const Row rows[] = {
      {"http_connect", TlsMode::none, "ipv4:8025", "--proxytunnel --proxy http://203.0.113.5:3128 http://192.0.2.1:8025/"},
      {"http_connect", TlsMode::none, "name:25/smtp", "--proxy http://203.0.113.5:3128 http://example.com:25/"},
      {"http_connect", TlsMode::none, "ipv4:80+http1.0", "--proxytunnel --proxy1.0 203.0.113.5:3128 http://192.0.2.1:80/"},
      {"http_connect", TlsMode::implicit, "ipv6:443", "--proxy-insecure --proxy https://203.0.113.5:3128"},
      {"http_forward", TlsMode::none, "absolute/get@ipv4:8025", "--proxy http://203.0.113.5:3128 http://192.0.2.1:8025/"},
      {"http_forward", TlsMode::none, "absolute/head@name:80", "--head --proxy"},
      {"http_forward", TlsMode::none, "absolute/post@name:80", "-d token=test --proxy"},
      {"http_forward", TlsMode::none, "absolute/put@name:80", "-X PUT -d token=test --proxy"},
      {"http_forward", TlsMode::none, "absolute/get+http1.0@name:80", "--http1.0 --proxy"},
      {"http_forward", TlsMode::none, "host/get@name:8025", "Host: example.com:8025&#39; http://203.0.113.5:3128/"},
      {"http_forward", TlsMode::implicit, "host/get@name:8025", " -k -H "},
      {"http_forward", TlsMode::none, "userinfo/get@name:80", "http://203.0.113.5:3128@example.com:80/"},
      {"http_forward", TlsMode::none, "host_differs/get@name:80", "--request-target http://203.0.113.5:3128/"},
      {"http_forward", TlsMode::none, "line_differs/get@name:80", "--request-target http://example.com:80/"},
      {"http_forward", TlsMode::none, "x_forwarded_host/get@name:80", "X-Forwarded-Host: example.com:80"},
      {"http_forward", TlsMode::none, "host_userinfo/get@name:80", "Host: 203.0.113.5:3128@example.com:80"},
      {"socks4", TlsMode::none, "ipv4:8025", "--socks4 203.0.113.5:3128 http://192.0.2.1:8025/"},
      {"socks4", TlsMode::none, "name:8025", "--socks4a 203.0.113.5:3128 http://example.com:8025/"},
      {"socks5", TlsMode::none, "ipv6:8025", "--socks5 203.0.113.5:3128"},
      {"socks5", TlsMode::none, "name:8025", "--socks5-hostname 203.0.113.5:3128 http://example.com:8025/"},
  };
  for (const Row& row : rows) {
    const std::string html = by_hand_section(at(row.check, 3128), row.tls, row.variant);
    EXPECT_THAT(html, HasSubstr(row.command)) << row.check << " " << row.variant;
    EXPECT_THAT(html, HasSubstr("It said yes for a host that was named by its")) << row.variant;
  }
  EXPECT_THAT(by_hand_section(at("socks5", 1080), TlsMode::none, "ipv4:99999"), Not(HasSubstr("99999")));
  EXPECT_THAT(by_hand_section(at("socks5", 1080), TlsMode::none, "ipv4:80;id"), Not(HasSubstr(";id")));
}

}  // namespace
}  // namespace ajar
