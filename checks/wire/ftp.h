// FTP: replies (RFC 959 4.2), what their texts add to the codes, and the arguments of PORT (RFC 959 4.1.2) and EPRT (RFC 2428
// 2). Pure: lines in, values out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

struct FtpReply {
  int code = 0;                    // 100…599
  std::vector<std::string> lines;  // the text of each line, without the code where it has one; at least one (possibly empty)

  int kind() const { return code / 100; }
  std::string text() const;  // the lines joined by a space
};

// One reply from its lines. Lines come without their end. Between "220-…" and "220 …" any line may stand (RFC 959 4.2).
class FtpReplyReader {
 public:
  static constexpr std::size_t kMaxLines = 500;
  static constexpr std::size_t kMaxText = 512;  // bytes kept of a line's text
  enum class Step {
    more,
    done,
    bad,  // it begins no reply, or it never ends
  };
  Step take(std::string_view line);
  FtpReply take_reply();  // complete once take() said done

 private:
  FtpReply reply_;
};

// "198,51,100,7,195,80". `place` is IPv4.
std::string ftp_port_argument(const AddressPort& place);
// "|1|198.51.100.7|50000|", "|2|2001:db8::7|50000|"
std::string ftp_eprt_argument(const AddressPort& place);
// What they name; nullopt: the argument is none. As servers read them: EPRT takes any delimiter (RFC 2428 2).
std::optional<AddressPort> parse_ftp_port(std::string_view argument);
std::optional<AddressPort> parse_ftp_eprt(std::string_view argument);

// What a refusal is about, by its words; the codes alone do not tell. All are for replies of 4yz or 5yz.
//   the control connection must be encrypted first (RFC 4217): "530 Anonymous sessions must use encryption."
bool ftp_wants_tls(const FtpReply& reply);
//   where we come from: "530 Access denied from your address"
bool ftp_refuses_our_address(const FtpReply& reply);
//   how many are there already: "530 Sorry, the maximum number of clients (10) for this user are already connected."
bool ftp_is_busy(const FtpReply& reply);
//   the address that a data connection would go to: "500 I won't open a connection to 198.51.100.7 (only to 203.0.113.1)"
bool ftp_refuses_address(const FtpReply& reply);

// Whether a greeting, or a refusal of USER after it, is that of a mail server: those begin with 220 too (RFC 5321 4.2).
bool greets_as_mail_server(const FtpReply& greeting);
bool answers_as_mail_server(const FtpReply& refusal);

}  // namespace ajar
