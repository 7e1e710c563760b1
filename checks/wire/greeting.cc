#include "checks/wire/greeting.h"

#include <algorithm>
#include <array>
#include <utility>

#include "checks/wire/ascii.h"
#include "checks/wire/http2.h"

namespace ajar {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kTexts = {{
    {"HTTP/", "HTTP"},
    {"<!doctype", "HTTP"},  // HTTP/0.9, as nginx answers bytes that are no request
    {"<html", "HTTP"},
    {"icy ", "ICY"},  // Shoutcast
    {"rtsp/", "RTSP"},
    {"ssh-", "SSH"},
    {"+ok", "POP3"},
    {"* ok", "IMAP"},
    {"* bye", "IMAP"},
    {"* preauth", "IMAP"},
    {"rfb ", "VNC"},
    {"-err ", "Redis"},
    {"-noauth", "Redis"},
    {"@rsyncd:", "rsync"},
    {"amqp", "AMQP"},
}};

bool begins(std::string_view bytes, std::string_view word) {
  return bytes.size() >= word.size() &&
         std::equal(word.begin(), word.end(), bytes.begin(), [](char a, char b) { return to_lower(a) == to_lower(b); });
}

bool digit(char c) { return c >= '0' && c <= '9'; }

unsigned at(std::string_view bytes, std::size_t i) { return static_cast<unsigned char>(bytes[i]); }

}  // namespace

std::string_view recognise(std::string_view bytes) {
  for (const auto& [word, name] : kTexts) {
    if (begins(bytes, word)) return name;
  }
  if (bytes.size() < 2) return {};
  // RFC 1928 3 and 6: version, then a method that was offered or "none acceptable"; or a whole reply.
  if (at(bytes, 0) == 5 && (at(bytes, 1) == 0xff || at(bytes, 1) <= 8)) {
    if (bytes.size() == 2 || (bytes.size() >= 4 && at(bytes, 2) == 0)) return "SOCKS5";
  }
  if (bytes.size() >= 8 && at(bytes, 0) == 0 && at(bytes, 1) >= 0x5a && at(bytes, 1) <= 0x5d) return "SOCKS4";
  if (at(bytes, 0) == 0xff && at(bytes, 1) >= 0xfb) return "telnet";  // RFC 854: IAC WILL, WONT, DO, DONT
  if (bytes.size() < 4) return {};
  if (at(bytes, 0) >= 0x14 && at(bytes, 0) <= 0x17 && at(bytes, 1) == 3 && at(bytes, 2) <= 4) return "TLS";  // RFC 8446 5.1
  if (digit(bytes[0]) && bytes[0] <= '5' && bytes[0] >= '1' && digit(bytes[1]) && digit(bytes[2]) &&
      (bytes[3] == ' ' || bytes[3] == '-' || bytes[3] == '\r' || bytes[3] == '\n')) {
    return "SMTP";
  }
  if (begins_http2(bytes)) return "HTTP/2";
  if (bytes.size() >= 5 && at(bytes, 3) == 0 && at(bytes, 2) == 0 && at(bytes, 4) == 10) return "MySQL";
  return {};
}

bool is_echo(std::string_view bytes, std::string_view sent) {
  const std::size_t common = std::min(bytes.size(), sent.size());
  return common >= 3 && bytes.substr(0, common) == sent.substr(0, common);
}

}  // namespace ajar
