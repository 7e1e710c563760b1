// The notice to the owner of a server: what the letters of 2004 told, from one's own tests. A document of blocks in one
// language; notice_formats.h writes it as text, HTML and mail.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/notice_facts.h"
#include "config/notices.h"

namespace ajar {

struct NoticeBlock {
  enum class Kind : std::uint8_t { heading, paragraph, item, facts, code };
  Kind kind = Kind::paragraph;
  std::string text;                                       // not of facts
  std::vector<std::pair<std::string, std::string>> rows;  // of facts: a name and its value
  bool english = false;                                   // in a letter of another language: not translated
};

struct NoticeDocument {
  const NoticeLanguage* language = nullptr;  // never null in one that was made
  std::string subject;
  std::vector<NoticeBlock> blocks;
  std::vector<std::string> links;  // URLs that occur in the texts
};

// `facts` must not be empty().
NoticeDocument write_notice(const NoticeFacts& facts, const NoticeLanguage& language);

// Few words for a mailto link: the finding, the first step, where the whole is.
std::string notice_in_short(const NoticeFacts& facts, const NoticeLanguage& language);

// Where pages of a target and of a case are.
std::string target_link_of(const NoticeFacts& facts);
std::string case_link_of(const NoticeFacts& facts, const std::string& id);

}  // namespace ajar
