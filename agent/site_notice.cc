// The notice to the owner of a target, as a page and as files.
#include <fmt/format.h>

#include "agent/canary_keys.h"
#include "agent/mime.h"
#include "agent/notice_reply.h"
#include "agent/site_reply.h"

namespace ajar {
namespace {

// Besides what every page may load: the style sheet that a page carries.
std::string content_security_policy(std::string_view style) {
  return fmt::format(
      "default-src 'self'; style-src 'self' 'sha256-{}'; object-src 'none'; form-action 'self'; base-uri 'none'; "
      "frame-ancestors 'none'",
      base64(sha256(style), false));
}

}  // namespace

SiteReply Site::notice(const SiteRequest& request, const std::string& name) const {
  const std::string lang = param(request.params, "lang"), format = param(request.params, "format");
  const auto parsed = parse_notice_wish(lang.empty() ? "en" : lang, format.empty() ? "html" : format);
  if (const auto* wrong = std::get_if<std::string>(&parsed)) return reply(400, *wrong + "\n");
  std::string owner;
  const std::optional<NoticeFacts> facts = notice_facts(name, state_, owner);
  if (!facts) return not_found("unknown target");
  if (facts->empty()) return not_found(no_notice_text(name));
  const NoticeWish& wish = std::get<NoticeWish>(parsed);
  const bool page = wish.format == NoticeFormat::html && wish.languages.size() == 1 && !request.params.contains("download");
  std::string body = page ? notice_page(*facts, *wish.languages.front(), owner) : make_notice(*facts, wish, owner);
  SiteReply made = reply(200, std::move(body), content_type(wish.format));
  if (page) {
    made.headers.emplace_back("Content-Security-Policy", content_security_policy(notice_style()));
  } else if (wish.format != NoticeFormat::text) {
    made.headers.emplace_back("Content-Disposition", fmt::format("attachment; filename=\"{}\"", file_name(*facts, wish)));
  }
  return packed(request, std::move(made));
}

}  // namespace ajar
