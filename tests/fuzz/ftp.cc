// The codec of FTP: replies line by line, and the arguments of PORT and EPRT.
#include "checks/wire/ftp.h"

#include <cstdint>
#include <string_view>

#include "tests/fuzz/raw_network.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ajar;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  if (const auto place = parse_ftp_port(rest)) require(parse_ftp_port(ftp_port_argument(*place)) == place);
  if (const auto place = parse_ftp_eprt(rest)) require(parse_ftp_eprt(ftp_eprt_argument(*place)) == place);
  FtpReplyReader reader;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const FtpReplyReader::Step step = reader.take(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (step == FtpReplyReader::Step::bad) return 0;
    if (step == FtpReplyReader::Step::more) continue;
    const FtpReply reply = reader.take_reply();
    require(reply.code >= 100 && reply.code <= 599);
    require(!reply.lines.empty() && reply.lines.size() <= FtpReplyReader::kMaxLines);
    for (const std::string& line : reply.lines) require(line.size() <= FtpReplyReader::kMaxText);
    const bool refuses = ftp_wants_tls(reply) || ftp_refuses_our_address(reply) || ftp_is_busy(reply) ||
                         ftp_refuses_address(reply) || answers_as_mail_server(reply);
    if (refuses) require(reply.kind() >= 4);
    require(!(ftp_is_busy(reply) && ftp_refuses_our_address(reply)));
    greets_as_mail_server(reply);
  }
  return 0;
}
