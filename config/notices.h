// The words of the notice to the owner of a server, language by language: config/notices/*.toml, carried in the program. Whole
// sentences; nothing is glued together from fragments.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ajar {

// Names of a sentence and what is put in there.
using Fillings = std::map<std::string, std::string, std::less<>>;

class NoticeLanguage {
 public:
  // One file; `name` in errors. std::logic_error for what is wrong in it.
  static NoticeLanguage parse(std::string_view name, std::string_view text);

  std::string code;       // BCP 47: "de-CH"
  std::string name;       // of the language, in itself: "Deutsch (Schweiz)"
  std::string direction;  // "ltr", "rtl": HTML's words
  std::string made;       // how the text came to be, and who has read it

  // The sentence "part.name" with everything put in, as text: not escaped for anything. std::logic_error: no such sentence, or
  // one of its names has no filling.
  std::string say(std::string_view key, const Fillings& fillings = {}) const;
  // The form of a sentence that goes with a number, in the plural categories of the language; {{count}} is put in.
  std::string say_number(std::string_view key, std::uint64_t count) const;
  std::string date(std::chrono::year_month_day day) const;

  std::vector<std::string> keys() const;                       // of every sentence, sorted; one by number is "key#one"
  std::vector<std::string> names(std::string_view key) const;  // in a sentence, as keys() has it: sorted, each once

 private:
  const std::string& sentence(const std::string& key) const;
  std::string date_;
  std::vector<std::string> months_;
  std::map<std::string, std::string, std::less<>> sentences_;
};

// Every language, English first, then by code. Any thread; read at the first call.
std::span<const NoticeLanguage> notice_languages();
// The nearest to a BCP 47 tag, whatever its case: "de-AT" is de, "zh-TW" zh-Hant, "no" nb. nullptr: none.
const NoticeLanguage* find_notice_language(std::string_view tag);

// The plural category of a whole number (CLDR: zero, one, two, few, many, other) in a language, by its code.
std::string_view plural_category(std::string_view code, std::uint64_t number);

struct NoticeFile {
  std::string_view name;  // "de-CH"
  std::string_view text;
};
std::span<const NoticeFile> notice_files();

}  // namespace ajar
