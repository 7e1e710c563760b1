// The one message that smtp_relay sends for a variant that was accepted: small, honest, to ourselves.
#pragma once

#include <string>

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

}  // namespace ajar
