#include "checks/smtp_message.h"

#include <fmt/format.h>

#include "checks/network.h"

namespace ajar {

std::string relay_test_message(const RelayTest& test) {
  const auto plain = [](const std::string& text) {
    return escape(text, 200);
  };  // one line of ASCII, whatever the configuration holds
  std::string message;
  const auto line = [&](const std::string& text) { message += text + "\r\n"; };
  line(fmt::format("From: \"ajar relay test\" <{}>", test.sender));
  line(fmt::format("To: <{}>", test.recipient));
  line(fmt::format("Subject: Relay test of {} by {}", plain(test.server), plain(test.our_name)));
  if (!test.date.empty()) line("Date: " + plain(test.date));
  line(fmt::format("Message-ID: <{}@{}>", test.token, plain(test.our_name)));
  line("X-Ajar-Token: " + test.token);
  line("Auto-Submitted: auto-generated");
  line("MIME-Version: 1.0");
  line("Content-Type: text/plain; charset=us-ascii");
  line("");
  line("This is a test message of ajar, a program that asks mail servers on behalf");
  line("of the people who run them whether they carry a stranger's mail.");
  line("");
  line(fmt::format("The server {} ({})", plain(test.server), plain(test.target)));
  line(fmt::format("accepted it as \"{}\". It is addressed to the tester's own", plain(test.variant)));
  line("mailbox; if it arrives there, the server is an open relay.");
  line("");
  line("If you read this anywhere else, you can ignore it. No answer is needed.");
  if (!test.contact.empty()) line("Questions: " + plain(test.contact));
  line(fmt::format("Tester: {}   Token: {}", plain(test.our_name), test.token));
  return message;
}

}  // namespace ajar
