#include "checks/wire/ftp.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <span>

#include <fmt/format.h>

#include "checks/wire/ascii.h"
#include "checks/wire/smtp_reply.h"

namespace ajar {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

// The code at the front of a line that a space, a hyphen or nothing follows; 0: there is none.
int code_of(std::string_view line) {
  if (line.size() < 3 || line[0] < '1' || line[0] > '5' || !digit(line[1]) || !digit(line[2])) return 0;
  if (line.size() > 3 && line[3] != ' ' && line[3] != '-') return 0;
  return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

bool says(const std::string& words, std::initializer_list<std::string_view> any) {
  return std::any_of(any.begin(), any.end(), [&](std::string_view word) { return words.find(word) != std::string::npos; });
}

// The same, but not inside another word: "hassle" does not speak of SSL.
bool says_word(const std::string& words, std::string_view word) {
  const auto letter = [&](std::size_t at) { return at < words.size() && words[at] >= 'a' && words[at] <= 'z'; };
  for (std::size_t at = words.find(word); at != std::string::npos; at = words.find(word, at + 1)) {
    if (!(at > 0 && letter(at - 1)) && !letter(at + word.size())) return true;
  }
  return false;
}

// Takes a decimal number of at most `most` off the front of `text`.
std::optional<unsigned> take_number(std::string_view& text, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > most) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take_char(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (text.ends_with(' ')) text.remove_suffix(1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

// What stands before the next delimiter, which is taken too; nullopt: there is none.
std::optional<std::string_view> take_field(std::string_view& text, char delimiter) {
  const std::size_t end = text.find(delimiter);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(end + 1);
  return field;
}

}  // namespace

std::string FtpReply::text() const {
  std::string joined;
  for (const std::string& line : lines) {
    if (!joined.empty() && !line.empty()) joined += ' ';
    joined += line;
  }
  return joined;
}

FtpReplyReader::Step FtpReplyReader::take(std::string_view line) {
  const int code = code_of(line);
  if (reply_.lines.empty()) {
    if (code == 0) return Step::bad;
    reply_.code = code;
  } else if (reply_.lines.size() == kMaxLines) {
    return Step::bad;
  }
  const bool with_code = code == reply_.code;
  const std::size_t begin = with_code ? std::min<std::size_t>(4, line.size()) : 0;
  reply_.lines.emplace_back(line.substr(begin, kMaxText));
  const bool more = !with_code || (line.size() > 3 && line[3] == '-');
  return more ? Step::more : Step::done;
}

FtpReply FtpReplyReader::take_reply() {
  FtpReply reply = std::move(reply_);
  reply_ = {};
  return reply;
}

std::string ftp_port_argument(const AddressPort& place) {
  const std::span<const std::uint8_t> b = place.address.bytes();
  return fmt::format("{},{},{},{},{},{}", b[0], b[1], b[2], b[3], place.port >> 8, place.port & 0xff);
}

std::string ftp_eprt_argument(const AddressPort& place) {
  return fmt::format("|{}|{}|{}|", place.address.is_v4() ? 1 : 2, place.address.to_string(), place.port);
}

std::optional<AddressPort> parse_ftp_port(std::string_view argument) {
  argument = trimmed(argument);
  std::array<std::uint8_t, 6> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && !take_char(argument, ',')) return std::nullopt;
    const std::optional<unsigned> number = take_number(argument, 255);
    if (!number) return std::nullopt;
    numbers.at(i) = static_cast<std::uint8_t>(*number);
  }
  if (!argument.empty()) return std::nullopt;
  return AddressPort{IpAddress::v4({numbers[0], numbers[1], numbers[2], numbers[3]}),
                     static_cast<std::uint16_t>(numbers[4] << 8 | numbers[5])};
}

std::optional<AddressPort> parse_ftp_eprt(std::string_view argument) {
  argument = trimmed(argument);
  if (argument.empty()) return std::nullopt;
  const char delimiter = argument.front();
  argument.remove_prefix(1);
  const auto protocol = take_field(argument, delimiter);
  const auto host = take_field(argument, delimiter);
  auto digits = take_field(argument, delimiter);
  if (!protocol || !host || !digits || !argument.empty()) return std::nullopt;
  const std::optional<IpAddress> address = IpAddress::parse(*host);
  const std::optional<unsigned> port = take_number(*digits, 65535);
  if (!address || !port || !digits->empty() || *protocol != (address->is_v4() ? "1" : "2")) return std::nullopt;
  return AddressPort{*address, static_cast<std::uint16_t>(*port)};
}

bool ftp_wants_tls(const FtpReply& reply) {
  if (reply.kind() < 4) return false;
  if (reply.code == 534 || reply.code == 522) return true;  // RFC 2228 4.1, and what servers made of it
  const std::string words = to_lower(reply.text());
  if (says(words, {"may not use encryption"})) return false;  // vsftpd 3.0.3, to anonymous users over TLS
  return says(words, {"encrypt", "cleartext", "auth first"}) || says_word(words, "tls") || says_word(words, "ssl");
}

bool ftp_refuses_our_address(const FtpReply& reply) {
  if (reply.kind() < 4) return false;
  const std::string words = to_lower(reply.text());
  if (ftp_is_busy(reply)) return false;
  return says(words, {"your address", "your ip", "your host", "your domain", "your network", "your internet address",
                      "unknown ip", "ip address is", "blacklist", "blocklist", "banned", "reverse dns", "reverse lookup",
                      "not allowed to connect", "not authorized to connect"});
}

bool ftp_is_busy(const FtpReply& reply) {
  if (reply.kind() < 4) return false;
  return says(to_lower(reply.text()), {"too many", "maximum number", "try again later", "busy", "user limit"});
}

bool ftp_refuses_address(const FtpReply& reply) {
  if (reply.kind() < 4) return false;
  return says(to_lower(reply.text()), {"illegal", "bounce", "won't open", "will not open", "foreign", "security", "bad ip",
                                       "not allowed", "mismatch", "does not match", "only client", "rejected data connection",
                                       "use port or pasv first", "use port or pasv", "port command"});
}

bool greets_as_mail_server(const FtpReply& greeting) {
  SmtpReply same;
  same.lines = greeting.lines;
  std::string words = to_lower(greeting.text());
  words.erase(0, spoken_name(same).size());  // a server's name may be any
  return says(words, {"smtp"}) && !says(words, {"ftp"});
}

bool answers_as_mail_server(const FtpReply& refusal) {
  if (refusal.kind() < 4 || refusal.lines.empty()) return false;
  return parse_enhanced_code(refusal.lines.front()).has_value();
}

}  // namespace ajar
