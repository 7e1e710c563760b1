// A notice in the languages and the format that somebody asks for: of the page, of the agent's API and of `ajar notice`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/notice_formats.h"
#include "agent/web.h"

namespace ajar {

class CanaryKeys;

enum class NoticeFormat : std::uint8_t { text, html, eml, xarf };
std::optional<NoticeFormat> parse_notice_format(std::string_view word);

struct NoticeWish {
  std::vector<const NoticeLanguage*> languages;  // at least one, none twice
  NoticeFormat format = NoticeFormat::text;
};

// `languages`: tags with commas between them, at most 30. Else what is wrong, in a sentence.
std::variant<NoticeWish, std::string> parse_notice_wish(std::string_view languages, std::string_view format);

std::string_view content_type(NoticeFormat format);
std::string file_name(const NoticeFacts& facts, const NoticeWish& wish);  // "mx1.example.org-de.eml"

// Of a running agent. nullopt: no such target. `owner` is set to the target's.
std::optional<NoticeFacts> notice_facts(const std::string& target, const WebState& state, std::string& owner);

// `facts` must not be empty(). HTML is a page for itself, for mail and files.
std::string make_notice(const NoticeFacts& facts, const NoticeWish& wish, const std::string& owner);

// The same as a page of the agent: with ways to the other languages and formats. One language.
std::string notice_page(const NoticeFacts& facts, const NoticeLanguage& language, const std::string& owner);
// GET /notices/NAME?lang=…&format=… of `ajar notice`, signed: the notice, or nothing where nothing is to be told. `state`: the
// agent's.
ApiReply answer_notice(const ApiRequest& request, const CanaryKeys& keys, const WebState& state);
// What stands there where nothing is to be told.
std::string no_notice_text(std::string_view target);

}  // namespace ajar
