#include "agent/mime.h"

#include <algorithm>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "agent/canary_keys.h"

namespace ajar {
namespace {

constexpr std::size_t kLine = 76;  // RFC 2045 6.7, 6.8; RFC 2047 2
constexpr std::string_view kWordBegin = "=?UTF-8?B?", kWordEnd = "?=";
constexpr std::size_t kWordBytes = (75 - 12) / 4 * 3;  // of text in an encoded word of 75 characters

bool is_plain(char c) { return c >= ' ' && c <= '~'; }

// Where a piece of at most `most` bytes ends, between characters.
std::size_t piece(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text.size();
  std::size_t end = most;
  while (end > 1 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return end;
}

std::string without_controls(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out),
               [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; });
  return out;
}

std::string crlf(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

std::string encoded(const MimePart& part, std::string& encoding) {
  const auto strange = std::count_if(part.text.begin(), part.text.end(), [](char c) { return !is_plain(c) && c != '\n'; });
  // In scripts of their own, quoted-printable would be three times as long.
  const bool many = static_cast<std::size_t>(strange) * 4 > part.text.size();
  encoding = many ? "base64" : "quoted-printable";
  return many ? base64(crlf(part.text)) : quoted_printable(part.text);
}

}  // namespace

std::string header_text(std::string_view raw, std::size_t used) {
  std::string text = without_controls(raw);
  constexpr std::size_t kRecommended = 78;  // RFC 5322 2.1.1
  const bool plain = std::all_of(text.begin(), text.end(), is_plain);
  if (plain && used + text.size() <= kRecommended && text.find("=?") == std::string::npos) return text;
  std::string out;
  // The first word shares its line with the field's name.
  std::size_t room = used + 12 < kLine ? (kLine - used - 12) / 4 * 3 : 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t size = piece(rest, std::clamp<std::size_t>(room, 4, kWordBytes));
    if (!out.empty()) out += "\r\n ";
    out += fmt::format("{}{}{}", kWordBegin, base64(rest.substr(0, size), false), kWordEnd);
    rest.remove_prefix(size);
    room = kWordBytes;
  }
  return out;
}

std::string quoted_printable(std::string_view text) {
  std::string out;
  std::size_t column = 0;
  const auto put = [&](std::string_view piece_of_line) {
    if (column + piece_of_line.size() > kLine - 1) {
      out += "=\r\n";
      column = 0;
    }
    out += piece_of_line;
    column += piece_of_line.size();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      out += "\r\n";
      column = 0;
      continue;
    }
    const bool ends_line = i + 1 == text.size() || text[i + 1] == '\n';
    // A space at the end of a line would be lost; a dot or "From " at its beginning may be changed on the way.
    const bool safe = is_plain(c) && c != '=' && !(c == ' ' && ends_line) && !(column == 0 && (c == '.' || c == 'F'));
    put(safe ? std::string(1, c) : fmt::format("={:02X}", static_cast<unsigned char>(c)));
  }
  return out;
}

std::string base64(std::string_view bytes, bool lines) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  if (!lines) return out;
  std::string folded;
  for (std::size_t at = 0; at < out.size(); at += kLine) folded += out.substr(at, kLine) + "\r\n";
  return folded;
}

std::string write_mail(const MailDraft& draft) {
  std::string all;
  for (const MimePart& part : draft.versions) all += part.text;
  const std::string boundary = "=_ajar_" + to_hex(sha256(all).substr(0, 12));
  std::string out;
  const auto field = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("{}: {}\r\n", name, value);
  };
  field("From", header_text(draft.from, 6));
  field("To", header_text(draft.to, 4));
  field("Subject", header_text(draft.subject, 9));
  field("Date", draft.date);
  field("Message-ID", fmt::format("<{}>", draft.message_id));
  field("X-Unsent", "1");  // mail programs that know it open the file as a draft
  field("MIME-Version", "1.0");
  field("Content-Type", fmt::format("multipart/alternative;\r\n boundary=\"{}\"", boundary));
  for (const MimePart& part : draft.versions) {
    std::string encoding;
    const std::string body = encoded(part, encoding);
    out += fmt::format("\r\n--{}\r\nContent-Type: {}\r\n", boundary, part.type);
    field("Content-Language", part.languages);
    out += fmt::format("Content-Transfer-Encoding: {}\r\n\r\n{}", encoding, body);
  }
  return out + fmt::format("\r\n--{}--\r\n", boundary);
}

}  // namespace ajar
