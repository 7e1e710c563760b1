#include "checks/wire/smtp_reply.h"

#include <algorithm>
#include <cctype>

namespace ajar {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// Takes one to three digits off the front of `text`.
std::optional<int> take_number(std::string_view& text) {
  std::size_t n = 0;
  int value = 0;
  while (n < text.size() && n < 3 && digit(text[n])) value = value * 10 + (text[n++] - '0');
  if (n == 0 || (n < text.size() && digit(text[n]))) return std::nullopt;
  text.remove_prefix(n);
  return value;
}

bool take_dot(std::string_view& text) {
  if (text.empty() || text.front() != '.') return false;
  text.remove_prefix(1);
  return true;
}

// status-code at the front of `text`, followed by a space, `end` or nothing.
std::optional<EnhancedCode> code_at_front(std::string_view text, char end) {
  EnhancedCode code;
  const std::optional<int> kind = take_number(text);
  if (!kind || (*kind != 2 && *kind != 4 && *kind != 5) || !take_dot(text)) return std::nullopt;
  const std::optional<int> subject = take_number(text);
  if (!subject || !take_dot(text)) return std::nullopt;
  const std::optional<int> detail = take_number(text);
  if (!detail || (!text.empty() && text.front() != ' ' && text.front() != end)) return std::nullopt;
  code.kind = *kind;
  code.subject = *subject;
  code.detail = *detail;
  return code;
}

std::string keyword_of(std::string_view line) {
  std::string keyword;
  for (const char c : line) {
    if (c == ' ' || c == '\t' || c == '=') break;
    keyword += upper(c);
  }
  return keyword;
}

// "AUTH PLAIN LOGIN", "AUTH=LOGIN" (RFC 4954 4): the words after the first.
void take_mechanisms(std::string_view line, SmtpOffers& offers) {
  offers.auth = true;
  for (std::size_t at = line.find_first_of(" \t="); at != std::string_view::npos; at = line.find_first_of(" \t=")) {
    line.remove_prefix(at + 1);
    const std::string mechanism = keyword_of(line);
    offers.plain = offers.plain || mechanism == "PLAIN";
    offers.login = offers.login || mechanism == "LOGIN";
  }
}

}  // namespace

std::optional<EnhancedCode> parse_enhanced_code(std::string_view text) {
  if (const std::optional<EnhancedCode> code = code_at_front(text, ' ')) return code;
  const std::size_t hash = text.rfind("(#");  // qmail 1.03: "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
  return hash == std::string_view::npos ? std::nullopt : code_at_front(text.substr(hash + 2), ')');
}

std::string SmtpReply::text() const {
  std::string joined;
  for (const std::string& line : lines) {
    if (!joined.empty() && !line.empty()) joined += ' ';
    joined += line;
  }
  return joined;
}

std::optional<EnhancedCode> SmtpReply::enhanced() const {
  for (const std::string& line : lines) {
    const std::optional<EnhancedCode> enhanced = parse_enhanced_code(line);
    if (enhanced && enhanced->kind == kind()) return enhanced;
  }
  return std::nullopt;
}

SmtpReplyReader::Step SmtpReplyReader::take(std::string_view line) {
  // RFC 5321 4.2 has %x32-35 %x30-35 %x30-39; 571 and the like are in use, so the second digit is any.
  if (line.size() < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2])) return Step::bad;
  const bool more = line.size() > 3 && line[3] == '-';
  if (line.size() > 3 && line[3] != '-' && line[3] != ' ') return Step::bad;
  const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  if (!reply_.lines.empty() && code != reply_.code) return Step::bad;
  if (reply_.lines.size() == kMaxLines) return Step::bad;
  reply_.code = code;
  reply_.lines.emplace_back(line.size() > 4 ? line.substr(4, kMaxText) : std::string_view{});
  return more ? Step::more : Step::done;
}

SmtpCapabilities parse_ehlo(const SmtpReply& reply) {
  SmtpCapabilities offers;
  offers.name = spoken_name(reply);
  for (std::size_t i = 1; i < reply.lines.size(); ++i) {
    const std::string keyword = keyword_of(reply.lines[i]);
    if (keyword == "STARTTLS") offers.starttls = true;
    if (keyword == "SMTPUTF8") offers.smtputf8 = true;
    if (keyword == "DSN") offers.dsn = true;
    if (keyword == "PIPELINING") offers.pipelining = true;
    if (keyword == "AUTH") take_mechanisms(reply.lines[i], offers);
    if (keyword == "XCLIENT") offers.xclient = true;
    if (keyword == "XFORWARD") offers.xforward = true;
  }
  return offers;
}

std::string spoken_name(const SmtpReply& reply) {
  if (reply.lines.empty()) return {};
  const std::string& line = reply.lines.front();
  std::string name = line.substr(0, line.find(' '));
  const auto fits = [](char c) { return letter(c) || digit(c) || c == '-' || c == '.'; };
  const bool host_name = !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), fits) &&
                         std::any_of(name.begin(), name.end(), letter) && name.front() != '.' && name.front() != '-' &&
                         name.back() != '.' && name.find("..") == std::string::npos && name.find('.') != std::string::npos;
  return host_name ? name : std::string{};
}

}  // namespace ajar
