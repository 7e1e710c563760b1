// SMTP replies (RFC 5321 4.2), their enhanced status codes (RFC 3463) and the capabilities of an EHLO reply (RFC 5321 4.1.1.1).
// Pure: lines in, values out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ajar {

// RFC 3463 2: class "." subject "." detail, at the beginning of a reply's text.
struct EnhancedCode {
  int kind = 0;     // 2, 4 or 5
  int subject = 0;  // 0…999
  int detail = 0;   // 0…999
  friend bool operator==(const EnhancedCode&, const EnhancedCode&) = default;
};
// "5.7.1 Relay access denied" -> {5, 7, 1}; nullopt when the text does not begin with one. qmail's "(#5.7.1)" at the end counts
// too.
std::optional<EnhancedCode> parse_enhanced_code(std::string_view text);

struct SmtpReply {
  int code = 0;                    // 200…599
  std::vector<std::string> lines;  // the text after the code of each line, at least one (possibly empty)

  int kind() const { return code / 100; }
  std::string text() const;  // the lines joined by a space
  // Of the first line that has one and whose class is the code's own (a "550 2.1.5" says nothing).
  std::optional<EnhancedCode> enhanced() const;
};

// One reply from its lines. Lines come without their end.
class SmtpReplyReader {
 public:
  static constexpr std::size_t kMaxLines = 100;
  static constexpr std::size_t kMaxText = 512;  // bytes kept of a line's text (RFC 5321 4.5.3.1.5)
  enum class Step {
    more,  // "250-…": the reply goes on
    done,  // "250 …" or "250"
    bad,   // not a reply line, another code than the line before (RFC 5321 4.2.1), or too many lines
  };
  Step take(std::string_view line);
  const SmtpReply& reply() const { return reply_; }  // complete once take() said done
  SmtpReply take_reply() { return std::exchange(reply_, {}); }

 private:
  SmtpReply reply_;
};

// What an EHLO reply offers. Keywords are compared without case.
struct SmtpOffers {
  bool starttls = false;    // RFC 3207
  bool smtputf8 = false;    // RFC 6531
  bool dsn = false;         // RFC 3461
  bool pipelining = false;  // RFC 2920
  bool auth = false;        // RFC 4954, and the older "AUTH=LOGIN"
  bool plain = false;       // … by PLAIN (RFC 4616)
  bool login = false;       // … by LOGIN (draft-murchison-sasl-login)
  bool xclient = false;     // Postfix XCLIENT_README
  bool xforward = false;    // Postfix XFORWARD_README
};
struct SmtpCapabilities : SmtpOffers {
  std::string name;  // the server's own name, first word of the first line
};
SmtpCapabilities parse_ehlo(const SmtpReply& reply);

// The first word of a greeting or EHLO text when it is a host name of letters, digits, hyphens and dots (at most 255, with a
// letter); empty otherwise. The peer chose it: what is not empty is safe to say back in a command.
std::string spoken_name(const SmtpReply& reply);

}  // namespace ajar
