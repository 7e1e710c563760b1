// The messages that the checks of mail send: small, honest, and to ourselves, but for the one of smtp_smuggling.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ajar {

struct RelayTest {
  std::string token;
  std::string sender;     // our own address, whatever the envelope says
  std::string recipient;  // token@ the canary's domain
  std::string our_name;   // EHLO name
  std::string contact;    // "mailto:…"
  std::string server;     // "203.0.113.5:25"
  std::string target;     // its name in the configuration
  std::string variant;
  std::string date;  // RFC 5322 3.3
};

// An RFC 5322 message with CRLF line ends, lines below 998 bytes, ASCII. Auto-Submitted keeps autoresponders quiet (RFC 3834
// 5).
std::string relay_test_message(const RelayTest& test);

// The same about another question. `subject`: what it is a test of; `text`: lines of ASCII, at most 78 characters each. Who
// asks whom, and how to reach us, is said below them.
std::string test_message(const RelayTest& test, std::string_view subject, const std::vector<std::string>& text);

}  // namespace ajar
