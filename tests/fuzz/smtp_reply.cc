// The codec of replies: any lines; what comes out is bounded and says what went in.
#include "checks/wire/smtp_reply.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "checks/smtp_answer.h"
#include "checks/smtp_session.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void look_at(const ajar::SmtpReply& reply) {
  require(reply.code >= 200 && reply.code <= 599 && !reply.lines.empty());
  require(reply.lines.size() <= ajar::SmtpReplyReader::kMaxLines);
  for (const std::string& line : reply.lines) require(line.size() <= ajar::SmtpReplyReader::kMaxText);
  const auto enhanced = reply.enhanced();
  require(!enhanced || (enhanced->kind == reply.kind() && enhanced->subject <= 999 && enhanced->detail <= 999));
  const std::string name = ajar::parse_ehlo(reply).name;
  require(name.find_first_of("\r\n<>@ ") == std::string::npos && name.size() <= 255);

  ajar::Spoken spoken;
  spoken.our_name = "probe.example.net";
  spoken.server = ajar::IpAddress::v4({203, 0, 113, 5});
  spoken.names = {"canary.example.net", "example.org"};
  for (const auto stage : {ajar::SmtpStage::hello, ajar::SmtpStage::mail, ajar::SmtpStage::rcpt, ajar::SmtpStage::data}) {
    const ajar::SmtpAnswer answer = ajar::read_answer(reply, stage, spoken, false);
    require((answer == ajar::SmtpAnswer::yes) == (reply.code < 400));
    if (answer == ajar::SmtpAnswer::refused) require(reply.kind() == 5 || reply.code == 454);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  ajar::SmtpReplyReader reader;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    static_cast<void>(ajar::is_other_protocol(line));
    switch (reader.take(line)) {
      case ajar::SmtpReplyReader::Step::more:
        continue;
      case ajar::SmtpReplyReader::Step::done:
        look_at(reader.reply());
        break;
      case ajar::SmtpReplyReader::Step::bad:
        break;
    }
    reader = {};
  }
  return 0;
}
