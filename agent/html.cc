#include "agent/html.h"

#include <cstdint>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "agent/exposition.h"

namespace ajar {
namespace {

// What changes the order of the characters around it, or is nothing to see (Unicode 3.12 and UAX #9).
bool is_hidden(std::uint32_t c) {
  return (c >= 0x80 && c <= 0x9F) || c == 0xAD || c == 0x61C || c == 0x180E || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
         (c >= 0xE0000 && c <= 0xE0FFF);
}

struct Character {
  std::uint32_t code = 0;
  std::size_t length = 1;
};

// The first of a text that is valid UTF-8.
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::uint32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3FU);
  return {code, length};
}

void append_escaped(std::string& out, std::string_view character) {
  switch (character.front()) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '"':
      out += "&quot;";
      break;
    case '\'':
      out += "&#39;";
      break;
    default:
      out += character;
  }
}

}  // namespace

std::string html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  // Exposition's escaping makes it valid UTF-8 without control characters; its own three escapes are undone here.
  const std::string clean = Exposition::escape_value(text);
  for (std::string_view rest = clean; !rest.empty();) {
    if (rest.front() == '\\') {
      out += rest[1] == 'n' ? "\n" : rest[1] == '"' ? "&quot;" : "\\";
      rest.remove_prefix(2);
      continue;
    }
    const Character c = first_of(rest);
    if (is_hidden(c.code)) {
      out += fmt::format("⟨U+{:04X}⟩", c.code);
    } else {
      append_escaped(out, rest.substr(0, c.length));
    }
    rest.remove_prefix(c.length);
  }
  return out;
}

std::string html_with_code(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t begin = text.find('`');
    const std::size_t end = begin == std::string_view::npos ? begin : text.find('`', begin + 1);
    if (end == std::string_view::npos) return out + html(text);
    out += fmt::format("{}<code dir=ltr>{}</code>", html(text.substr(0, begin)), html(text.substr(begin + 1, end - begin - 1)));
    text.remove_prefix(end + 1);
  }
}

std::string peer(std::string_view text) { return text.empty() ? "" : "<bdi>" + html(text) + "</bdi>"; }

std::string url_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string duration_text(std::chrono::milliseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 120 * 60) return fmt::format("{} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86400);
}

std::string relative(Time when, Time now) {
  const auto apart = std::chrono::duration_cast<std::chrono::milliseconds>(when > now ? when - now : now - when);
  if (apart < std::chrono::seconds(1)) return "now";
  return when > now ? "in " + duration_text(apart) : duration_text(apart) + " ago";
}

std::string clock_text(Time time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

}  // namespace ajar
