#include "checks/smtp_message.h"

#include <fmt/format.h>

#include "checks/network.h"
#include "checks/wire/ascii.h"

namespace ajar {

namespace {

// One line of ASCII, whatever the configuration holds.
std::string plain(const std::string& text) { return escape(text, 200); }

}  // namespace

std::string test_message(const RelayTest& test, std::string_view subject, const std::vector<std::string>& text) {
  std::string message;
  const auto line = [&](const std::string& one) { message += one + "\r\n"; };
  line(fmt::format("From: \"ajar {}\" <{}>", to_lower(subject), test.sender));
  line(fmt::format("To: <{}>", test.recipient));
  line(fmt::format("Subject: {} of {} by {}", subject, plain(test.server), plain(test.our_name)));
  if (!test.date.empty()) line("Date: " + plain(test.date));
  line(fmt::format("Message-ID: <{}@{}>", test.token, plain(test.our_name)));
  line("X-Ajar-Token: " + test.token);
  line("Auto-Submitted: auto-generated");
  line("MIME-Version: 1.0");
  line("Content-Type: text/plain; charset=us-ascii");
  line("");
  for (const std::string& one : text) line(one);
  if (!test.contact.empty()) line("Questions: " + plain(test.contact));
  line(fmt::format("Tester: {}   Token: {}", plain(test.our_name), test.token));
  return message;
}

std::string relay_test_message(const RelayTest& test) {
  return test_message(test, "Relay test",
                      {"This is a test message of ajar, a program that asks mail servers on behalf",
                       "of the people who run them whether they carry a stranger's mail.", "",
                       fmt::format("The server {} ({})", plain(test.server), plain(test.target)),
                       fmt::format("accepted it as \"{}\". It is addressed to the tester's own", plain(test.variant)),
                       "mailbox; if it arrives there, the server is an open relay.", "",
                       "If you read this anywhere else, you can ignore it. No answer is needed."});
}

}  // namespace ajar
