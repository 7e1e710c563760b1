#include "agent/notice_formats.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "agent/html.h"
#include "agent/mime.h"
#include "agent/static_files.h"

namespace ajar {
namespace {

using Kind = NoticeBlock::Kind;

constexpr std::size_t kColumns = 72;  // so that mail needs no soft line breaks

// One character of UTF-8, at least one byte; what is not UTF-8 counts as one character of one byte.
std::string_view first_character(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text.front());
  const std::size_t size = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
  return text.substr(0, size);
}

char32_t code_point(std::string_view character) {
  auto value = static_cast<char32_t>(static_cast<unsigned char>(character.front()));
  if (character.size() == 1) return value;
  value &= 0xffU >> (character.size() + 1);
  for (const char c : character.substr(1)) value = (value << 6U) | (static_cast<unsigned char>(c) & 0x3fU);
  return value;
}

// Unicode Standard Annex 11, as far as the languages of the notices need it.
bool is_wide(char32_t c) {
  return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
         (c >= 0xffe0 && c <= 0xffe6);
}
bool is_combining(char32_t c) {
  return (c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2066 && c <= 0x2069);
}

std::size_t width(char32_t c) { return is_combining(c) ? 0 : is_wide(c) ? 2 : 1; }

template <std::size_t kSize>
bool is_one_of(const std::array<char32_t, kSize>& signs, char32_t c) {
  return std::find(signs.begin(), signs.end(), c) != signs.end();
}

// Must not begin, or end, a line (JIS X 4051: the signs that are used here).
constexpr std::array kClosing = {U'、', U'。', U'，', U'．', U'」', U'』', U'）', U'！',
                                 U'？', U'：', U'；', U'”',  U'’',  U'》', U'ー'};
constexpr std::array kOpening = {U'「', U'『', U'（', U'“', U'‘', U'《'};

// Pieces between which a line may end: words with their spaces; every East Asian character with the signs that belong to it.
std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> all;
  bool in_word = false, opened = false;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view character = first_character(rest);
    rest.remove_prefix(character.size());
    const char32_t c = code_point(character);
    const bool wide = is_wide(c) && !(c >= 0xac00 && c <= 0xd7a3);  // Korean has spaces
    if (!all.empty() && (c == ' ' || opened || is_one_of(kClosing, c) || (in_word && !wide))) {
      all.back() += character;
    } else {
      all.emplace_back(character);
    }
    in_word = !wide && c != ' ';
    opened = is_one_of(kOpening, c);
  }
  return all;
}

std::string without_end_spaces(std::string text) {
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

// The first line after `first`, the others after as many spaces.
std::string wrapped(std::string_view text, std::string_view first = "") {
  const std::string indent(columns(first), ' ');
  std::string out, line(first);
  bool empty = true;
  for (const std::string& piece : pieces(text)) {
    if (!empty && columns(line) + columns(without_end_spaces(piece)) > kColumns) {
      out += without_end_spaces(std::move(line)) + "\n";
      line = indent;
    }
    line += piece;
    empty = false;
  }
  return out + without_end_spaces(std::move(line)) + "\n";
}

std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out += fmt::format("    {}\n", text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

std::string as_text(const NoticeBlock& block) {
  switch (block.kind) {
    case Kind::heading:
      return fmt::format("\n{}{}\n\n", wrapped(block.text), std::string(std::min(kColumns, columns(block.text)), '-'));
    case Kind::item:
      return wrapped(block.text, "* ") + "\n";
    case Kind::code:
      return indented(block.text) + "\n";
    case Kind::facts: {
      std::string out;
      for (const auto& [name, value] : block.rows) out += wrapped(value, name + ": ");
      return out + "\n";
    }
    case Kind::paragraph:
      break;
  }
  return wrapped(block.text) + "\n";
}

// Escaped by `escape`, with the isolates that hold addresses together among words that run the other way (Unicode Standard
// Annex 9). What others wrote has none: it came here as ASCII.
std::string with_isolates(std::string_view text, std::string (*escape)(std::string_view)) {
  constexpr std::array<std::string_view, 3> kIsolates = {"\u2066", "\u2068", "\u2069"};
  std::string out;
  while (!text.empty()) {
    std::size_t at = text.size();
    std::string_view isolate;
    for (const std::string_view one : kIsolates) {
      if (const std::size_t found = text.find(one); found < at) {
        at = found;
        isolate = one;
      }
    }
    out += escape(text.substr(0, at));
    out += isolate;
    text.remove_prefix(at + isolate.size());
  }
  return out;
}

std::string plain(std::string_view text) { return with_isolates(text, html); }
std::string rich(std::string_view text) { return with_isolates(text, html_with_code); }

// `what is typed` as code, and the document's own links made links.
std::string linked(const std::string& text, const std::vector<std::string>& links) {
  std::string out;
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t at = std::string_view::npos;
    const std::string* first = nullptr;
    for (const std::string& link : links) {
      const std::size_t found = rest.find(link);
      // Of two that begin at one place the longer one.
      if (found < at || (found == at && first != nullptr && link.size() > first->size())) {
        at = found;
        first = &link;
      }
    }
    if (first == nullptr || at == std::string_view::npos) return out + rich(rest);
    out += fmt::format("{0}<a href=\"{1}\" rel=noreferrer dir=ltr>{1}</a>", rich(rest.substr(0, at)), html(*first));
    rest.remove_prefix(at + first->size());
  }
  return out;
}

std::string facts_table(const NoticeBlock& block) {
  std::string out = "<table>";
  for (const auto& [name, value] : block.rows)
    out += fmt::format("<tr><th scope=row dir=ltr>{}</th><td>{}</td></tr>", plain(name), plain(value));
  return out + "</table>\n";
}

std::string as_html(const NoticeDocument& document) {
  const NoticeLanguage& language = *document.language;
  std::string out = fmt::format("<article lang=\"{0}\" dir={1}><h1>{2}</h1><div class=letter>\n", html(language.code),
                                language.direction, plain(document.subject));
  bool list = false;
  for (const NoticeBlock& block : document.blocks) {
    if (list && block.kind != Kind::item) out += "</ul>\n";
    if (!list && block.kind == Kind::item) out += "<ul>";
    list = block.kind == Kind::item;
    const std::string mark = block.english ? " lang=en dir=ltr" : "";
    const std::string text = block.kind == Kind::code ? html(block.text) : linked(block.text, document.links);
    switch (block.kind) {
      case Kind::heading:
        out += fmt::format("<h2>{}</h2>\n", text);
        break;
      case Kind::paragraph:
        out += fmt::format("<p{}>{}</p>\n", mark, text);
        break;
      case Kind::item:
        out += fmt::format("<li{}>{}</li>\n", mark, text);
        break;
      case Kind::facts:
        out += facts_table(block);
        break;
      case Kind::code:
        out += fmt::format("<pre dir=ltr>{}</pre>\n", text);
        break;
    }
  }
  if (list) out += "</ul>\n";
  return out + "</div></article>\n";
}

// Dark where the reader's device is; on paper two columns of small print, so that one door's letter is one sheet.
constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#5b636b;--line:#d5d9dd;--soft:#f4f6f8;--link:#0a58b5}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e3e6e8;--dim:#9aa4ad;--line:#363d44;--soft:#1d2226;--link:#79b4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
article,.tools{max-width:44rem;margin:0 auto;padding:0 1rem}
article+article{border-top:2px solid var(--line);margin-top:2rem}
.tools{padding-top:.8rem;padding-bottom:.8rem;border-bottom:1px solid var(--line);font-size:.9rem;line-height:2}
.tools a{display:inline-block;min-width:1.6rem;margin-inline-end:.9rem}.tools [aria-current]{font-weight:600;color:var(--fg);text-decoration:none}
h1{font-size:1.45rem;line-height:1.25;margin:1.2rem 0 .8rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:1.5rem 0 .4rem;break-after:avoid}
p,li{margin:.45rem 0;overflow-wrap:anywhere}ul{margin:.3rem 0;padding-inline-start:1.2rem}
a{color:var(--link)}li[lang]{list-style-position:inside}
code{font:.92em ui-monospace,"DejaVu Sans Mono",monospace;background:var(--soft);border-radius:.2rem;padding:0 .2rem}
pre{background:var(--soft);padding:.5rem .7rem;border-radius:.3rem;white-space:pre-wrap;overflow-wrap:anywhere;text-align:left;
font:13.5px/1.45 ui-monospace,"DejaVu Sans Mono",monospace;margin:.4rem 0}
table{border-collapse:collapse;margin:.5rem 0}th,td{text-align:start;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600;overflow-wrap:anywhere}
@media (max-width:30rem){th,td{display:block;border:0;padding:.1rem 0}td{border-bottom:1px solid var(--line)}}
@media print{@page{size:A4;margin:9mm 10mm}:root{--bg:#fff;--fg:#000;--dim:#333;--line:#999;--soft:#f2f2f2;--link:#000}
.tools{display:none}body{font-size:7.6pt;line-height:1.24}article{max-width:none;padding:0}article+article{break-before:page;border:0;margin:0}
h1{font-size:12pt;margin:0 0 2mm}h2{font-size:8.6pt;margin:1.6mm 0 .5mm}p,li{margin:.55mm 0}ul{margin:.4mm 0}
pre{font-size:6.6pt;line-height:1.2;padding:.6mm 1.2mm;margin:.6mm 0}.letter{columns:2;column-gap:6mm;widows:2;orphans:2}}
)css";

std::string language_list(std::span<const NoticeDocument> documents) {
  std::string all;
  for (const NoticeDocument& document : documents) all += (all.empty() ? "" : ", ") + document.language->code;
  return all;
}

// RFC 5322 3.4.1, the part that people use.
bool is_address(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == 0 || at == std::string_view::npos || at + 1 >= text.size() || text.size() > 254 ||
      text.find('@', at + 1) != std::string_view::npos)
    return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+/=?^_`{|}~.-@").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::size_t columns(std::string_view text) {
  std::size_t all = 0;
  while (!text.empty()) {
    const std::string_view character = first_character(text);
    all += width(code_point(character));
    text.remove_prefix(character.size());
  }
  return all;
}

std::string notice_as_text(std::span<const NoticeDocument> documents) {
  std::string out;
  for (const NoticeDocument& document : documents) {
    if (!out.empty()) out += fmt::format("\n{}\n\n", std::string(kColumns, '='));
    out += wrapped(document.subject) + "\n";
    for (const NoticeBlock& block : document.blocks) out += as_text(block);
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string_view notice_style() { return kStyle; }

std::string notice_as_html(std::span<const NoticeDocument> documents, std::string_view tools) {
  const NoticeDocument& first = documents.front();
  // A file has no agent beside it.
  const std::string icon =
      tools.empty() ? "" : fmt::format("<link rel=icon type=\"image/svg+xml\" href=\"{}\">", static_url("ajar.svg"));
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"{}\" dir={}><head><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width,initial-scale=1\">"
      "<title>{}</title>{}<style>{}</style></head><body>\n{}<main>\n",
      html(first.language->code), first.language->direction, plain(first.subject), icon, kStyle, tools);
  for (const NoticeDocument& document : documents) out += as_html(document);
  return out + "</main></body></html>\n";
}

std::string notice_as_mail(const NoticeFacts& facts, std::span<const NoticeDocument> documents, const std::string& to) {
  const std::string languages = language_list(documents);
  MailDraft draft;
  draft.from = is_address(facts.contact) ? facts.contact : "postmaster@" + facts.agent;
  draft.to = to;
  draft.subject = documents.front().subject;
  draft.date = to_rfc5322(facts.now);
  draft.message_id =
      fmt::format("notice.{}.{}@{}", facts.now.time_since_epoch().count(), url_encode(facts.target), facts.agent);
  draft.versions = {{"text/plain; charset=utf-8", languages, notice_as_text(documents)},
                    {"text/html; charset=utf-8", languages, notice_as_html(documents)}};
  return write_mail(draft);
}

std::string notice_mailto(const NoticeFacts& facts, const NoticeDocument& document, const std::string& to) {
  return fmt::format("mailto:{}?subject={}&body={}", url_encode(to), url_encode(document.subject),
                     url_encode(notice_in_short(facts, *document.language)));
}

std::string mail_address_in(std::string_view owner) {
  const std::size_t begin = owner.find('<'), end = owner.rfind('>');
  if (begin != std::string_view::npos && end != std::string_view::npos && begin < end)
    owner = owner.substr(begin + 1, end - begin - 1);
  return is_address(owner) ? std::string(owner) : "";
}

}  // namespace ajar
