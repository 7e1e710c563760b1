// The addresses of MAIL and RCPT as simulated servers read them. Pure: text only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ajar::lab {

// The argument of MAIL FROM: or RCPT TO: (RFC 5321 4.1.2): what stands between < and >, and the parameters after it.
struct Path {
  std::string text;                     // "" for <>
  std::vector<std::string> parameters;  // "SIZE=100", "SMTPUTF8"
};
// `keyword` is "FROM" or "TO". nullopt without the brackets, with control characters, or when longer than kMaxPath.
inline constexpr std::size_t kMaxPath = 512;
std::optional<Path> parse_path(std::string_view argument, std::string_view keyword);

// Local part and domain, split at the last @ outside quotes; the domain lower-cased and empty when there is none.
struct Mailbox {
  std::string local;
  std::string domain;
  std::string text() const { return domain.empty() ? local : local + "@" + domain; }
};
Mailbox split_mailbox(std::string_view text);

// "@relay,@other:u@d" becomes "u@d" (RFC 5321 appendix C: a server may strip the source route).
std::string_view strip_source_route(std::string_view text);
// "\"u@d\"" becomes "u@d"; anything else stays.
std::string unquote(std::string_view local);

bool has_unquoted(std::string_view text, char wanted);
std::string to_lower(std::string_view text);
// For echoing in a reply: control and non-ASCII bytes become ?, as Postfix does; at most 256 bytes.
std::string printable(std::string_view text);

}  // namespace ajar::lab
