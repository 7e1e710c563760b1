// The notice as text, as HTML and as mail: each of one or several documents, one after the other. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "agent/notice.h"

namespace ajar {

// UTF-8, LF ends, lines of at most 72 columns where words allow (an East Asian character is two).
std::string notice_as_text(std::span<const NoticeDocument> documents);
// A page for itself: readable on a phone, printed on one sheet. `tools`: HTML before it, not printed; may be empty.
std::string notice_as_html(std::span<const NoticeDocument> documents, std::string_view tools = "");
// The style sheet in every such page: named by its hash in the Content-Security-Policy.
std::string_view notice_style();
// A draft that a person sends (RFC 5322, multipart/alternative). `to`: an address; may be empty.
std::string notice_as_mail(const NoticeFacts& facts, std::span<const NoticeDocument> documents, const std::string& to);
// mailto: with the finding in short.
std::string notice_mailto(const NoticeFacts& facts, const NoticeDocument& document, const std::string& to);

// The address in an owner's name ("mail@example.org", "Mail team <mail@example.org>"); empty: none.
std::string mail_address_in(std::string_view owner);

// Columns that a text takes: 2 for an East Asian character, 0 for a combining one.
std::size_t columns(std::string_view text);

}  // namespace ajar
