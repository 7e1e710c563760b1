#include "agent/notice_reply.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/canary_api.h"
#include "agent/html.h"
#include "agent/xarf.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr std::size_t kMostLanguages = 30;

constexpr std::string_view kNoticesPath = "/notices/";

// Of "lang=de,fr&format=eml", as AgentClient writes it.
std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name && equals != std::string_view::npos) return std::string(pair.substr(equals + 1));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
  }
  return "";
}

std::vector<NoticeDocument> documents_of(const NoticeFacts& facts, const NoticeWish& wish) {
  std::vector<NoticeDocument> documents;
  for (const NoticeLanguage* language : wish.languages) documents.push_back(write_notice(facts, *language));
  return documents;
}

std::string tools(const NoticeFacts& facts, const NoticeDocument& document, const std::string& owner) {
  const NoticeLanguage& shown = *document.language;
  const std::string here = fmt::format("/notices/{}?lang=", url_encode(facts.target));
  std::string out = fmt::format("<nav class=tools lang=\"{0}\" dir={1}><a href=\"/targets/{2}\">{3}</a>", html(shown.code),
                                shown.direction, url_encode(facts.target), html(facts.target));
  out += fmt::format("<a href=\"{0}{1}&amp;format=eml\" download>{2}</a>", here, url_encode(shown.code),
                     html(shown.say("labels.download")));
  out += fmt::format("<a href=\"{}\">mailto:</a>", html(notice_mailto(facts, document, mail_address_in(owner))));
  for (const std::string_view format : {"text", "xarf"}) {
    out += fmt::format("<a href=\"{0}{1}&amp;format={2}\">{2}</a>", here, url_encode(shown.code), format);
  }
  out += fmt::format("<details><summary>{}</summary>", html(shown.say("labels.other_languages")));
  for (const NoticeLanguage& language : notice_languages()) {
    const char* current = &language == &shown ? " aria-current=page" : "";
    out += fmt::format("<a href=\"{0}{1}\" lang=\"{2}\" dir={3}{4}>{5}</a> ", here, url_encode(language.code),
                       html(language.code), language.direction, current, html(language.name));
  }
  return out + "</details></nav>\n";
}

}  // namespace

std::optional<NoticeFormat> parse_notice_format(std::string_view word) {
  if (word == "text") return NoticeFormat::text;
  if (word == "html") return NoticeFormat::html;
  if (word == "eml") return NoticeFormat::eml;
  if (word == "xarf") return NoticeFormat::xarf;
  return std::nullopt;
}

std::variant<NoticeWish, std::string> parse_notice_wish(std::string_view languages, std::string_view format) {
  NoticeWish wish;
  const std::optional<NoticeFormat> known = parse_notice_format(format);
  if (!known) return fmt::format("unknown format `{}`: text, html, eml or xarf", escape(format));
  wish.format = *known;
  for (std::string_view rest = languages;;) {
    const std::string_view tag = rest.substr(0, rest.find(','));
    const NoticeLanguage* language = find_notice_language(tag);
    if (language == nullptr) {
      std::string all;
      for (const NoticeLanguage& one : notice_languages()) all += (all.empty() ? "" : " ") + one.code;
      return fmt::format("no notice in `{}`: {}", escape(tag), all);
    }
    if (std::find(wish.languages.begin(), wish.languages.end(), language) == wish.languages.end())
      wish.languages.push_back(language);
    if (wish.languages.size() > kMostLanguages || tag.size() == rest.size()) break;
    rest.remove_prefix(tag.size() + 1);
  }
  return wish;
}

std::string_view content_type(NoticeFormat format) {
  switch (format) {
    case NoticeFormat::html:
      return "text/html; charset=utf-8";
    case NoticeFormat::eml:
      return "message/rfc822";
    case NoticeFormat::xarf:
      return "application/x-ndjson";
    case NoticeFormat::text:
      break;
  }
  return "text/plain; charset=utf-8";
}

std::string file_name(const NoticeFacts& facts, const NoticeWish& wish) {
  std::string name;
  for (const char c : facts.target) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    name += plain ? c : '_';
  }
  if (wish.format == NoticeFormat::xarf) return name + ".xarf.json";
  for (const NoticeLanguage* language : wish.languages) name += "-" + language->code;
  return name + (wish.format == NoticeFormat::eml ? ".eml" : wish.format == NoticeFormat::html ? ".html" : ".txt");
}

std::string make_notice(const NoticeFacts& facts, const NoticeWish& wish, const std::string& owner) {
  if (wish.format == NoticeFormat::xarf) {
    std::string lines;
    for (const std::string& report : xarf_reports(facts)) lines += report + "\n";
    return lines;
  }
  const std::vector<NoticeDocument> documents = documents_of(facts, wish);
  if (wish.format == NoticeFormat::html) return notice_as_html(documents);
  if (wish.format == NoticeFormat::eml) return notice_as_mail(facts, documents, mail_address_in(owner));
  return notice_as_text(documents);
}

std::string notice_page(const NoticeFacts& facts, const NoticeLanguage& language, const std::string& owner) {
  const std::vector<NoticeDocument> documents = {write_notice(facts, language)};
  return notice_as_html(documents, tools(facts, documents.front(), owner));
}

std::optional<NoticeFacts> notice_facts(const std::string& target, const WebState& state, std::string& owner) {
  const std::shared_ptr<const TargetViews> targets = state.targets();
  for (const TargetView& view : *targets) {
    if (view.config.name != target) continue;
    owner = view.config.owner;
    const std::shared_ptr<const ZonesView> zones = state.zones ? state.zones() : nullptr;
    const ZonesView none;
    return notice_facts(view.config, state.ledger, *state.config(), zones ? zones.get() : &none, {}, state.now());
  }
  return std::nullopt;
}

ApiReply answer_notice(const ApiRequest& request, const CanaryKeys& keys, const WebState& state) {
  if (!authorised(keys, request.method, request.target, request.auth, request.body, state.now())) {
    return {401, R"({"error":"not authorised"})"};
  }
  const std::string lang = query_value(request.query, "lang"), format = query_value(request.query, "format");
  const auto wish = parse_notice_wish(lang, format);
  if (const auto* wrong = std::get_if<std::string>(&wish)) return {400, *wrong};
  std::string owner;
  const std::optional<NoticeFacts> facts = notice_facts(request.path.substr(kNoticesPath.size()), state, owner);
  if (!facts) return {404, "unknown target"};
  const NoticeWish& wanted = std::get<NoticeWish>(wish);
  const std::string body = facts->empty() ? "" : make_notice(*facts, wanted, owner);
  return {200, body, std::string(content_type(wanted.format)), authorise_answer(keys, request.auth, 200, body)};
}

std::string no_notice_text(std::string_view target) {
  return fmt::format("{}: nothing is accepted, open or listed, so there is nothing to write about", escape(target));
}

}  // namespace ajar
