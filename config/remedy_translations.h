// What the remedies say in words, in other languages: config/remedies/translations/*.toml. What is typed or stands in a file is
// never translated.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ajar {

struct TranslatedSentence {
  std::string text;
  bool english = false;  // it has not been translated into that language
};

// `sentence`: English, exactly as a remedy has it. `language`: the code of a notice; "de-CH" takes de with ss for ß.
TranslatedSentence translate(std::string_view sentence, std::string_view language);

struct TranslationFile {
  std::string_view name;  // "de"
  std::string_view text;
};
std::span<const TranslationFile> translation_files();

}  // namespace ajar
