#include "config/remedy_translations.h"

#include <map>

#include "config/own_toml.h"

namespace ajar {
namespace {

using Sentences = std::map<std::string, std::string, std::less<>>;

Sentences read(const TranslationFile& file) {
  toml::table document = own_toml::parse(fmt::format("remedies/translations/{}.toml", file.name), file.text);
  if (own_toml::needed(document, "code") != file.name) own_toml::bug(document, "code is not the file's name");
  own_toml::needed(document, "made");
  toml::table* const table = document["sentences"].as_table();
  if (table == nullptr) own_toml::bug(document, "sentences is missing");
  Sentences sentences;
  for (const auto& [english, node] : *table) {
    const auto* text = node.as_string();
    if (text == nullptr || text->get().empty()) own_toml::bug(node, "a sentence is a text");
    sentences.emplace(english.str(), text->get());
  }
  document.erase("sentences");
  own_toml::finish(document);
  return sentences;
}

const std::map<std::string, Sentences, std::less<>>& all() {
  static const auto languages = [] {
    std::map<std::string, Sentences, std::less<>> made;
    for (const TranslationFile& file : translation_files()) made.emplace(file.name, read(file));
    return made;
  }();
  return languages;
}

// As Switzerland writes German.
std::string swiss(std::string text) {
  constexpr std::string_view kSharp = "ß";
  for (std::size_t at = text.find(kSharp); at != std::string::npos; at = text.find(kSharp, at)) {
    text.replace(at, kSharp.size(), "ss");
  }
  return text;
}

}  // namespace

TranslatedSentence translate(std::string_view sentence, std::string_view language) {
  if (sentence.empty() || language == "en") return {std::string(sentence), false};
  const std::string_view base = language.substr(0, language.find('-'));
  const auto found = all().find(base);
  if (found == all().end()) return {std::string(sentence), true};
  const auto text = found->second.find(sentence);
  if (text == found->second.end()) return {std::string(sentence), true};
  return {language == "de-CH" ? swiss(text->second) : text->second, false};
}

}  // namespace ajar
