#include "config/notices.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>

#include "config/remedies.h"
#include "config/remedy_translations.h"

namespace ajar {
namespace {

using testing::HasSubstr;

const NoticeLanguage& language(std::string_view code) {
  const NoticeLanguage* found = find_notice_language(code);
  if (found == nullptr) throw std::logic_error("no such language");
  return *found;
}

// Without the category of a sentence by number.
std::string stem(const std::string& key) { return key.substr(0, key.find('#')); }
bool is_by_number(const std::string& key) { return key.find('#') != std::string::npos; }

std::set<std::string> stems(const NoticeLanguage& of) {
  std::set<std::string> found;
  for (const std::string& key : of.keys()) found.insert(stem(key));
  return found;
}

TEST(Notices, TheLanguagesOfTheCampaignAreThere) {
  for (const char* code : {"en", "de", "de-CH", "fr", "it", "es", "pt", "nl", "da", "sv", "nb", "fi",      "pl",      "cs",
                           "hu", "ro", "bg",    "el", "lt", "sq", "tr", "ru", "uk", "ja", "ko", "zh-Hans", "zh-Hant", "ar"}) {
    const NoticeLanguage* found = find_notice_language(code);
    ASSERT_NE(found, nullptr) << code;
    EXPECT_EQ(found->code, code);
  }
  EXPECT_EQ(notice_languages().front().code, "en");
}

TEST(Notices, NoLanguageLacksAPartOrHasOneMore) {
  const std::set<std::string> parts = stems(language("en"));
  for (const NoticeLanguage& one : notice_languages()) EXPECT_EQ(stems(one), parts) << one.code;
}

// What is put in is the same everywhere; a sentence may say a number in words.
TEST(Notices, EverySentenceNamesWhatTheEnglishNames) {
  const NoticeLanguage& english = language("en");
  for (const NoticeLanguage& one : notice_languages()) {
    for (const std::string& key : one.keys()) {
      if (is_by_number(key)) {
        for (const std::string& name : one.names(key)) EXPECT_EQ(name, "count") << one.code << " " << key;
      } else {
        EXPECT_EQ(one.names(key), english.names(key)) << one.code << " " << key;
      }
    }
  }
}

TEST(Notices, EveryNumberHasItsForm) {
  for (const NoticeLanguage& one : notice_languages()) {
    for (const char* key : {"harms.listed", "harms.ways", "harms.open_for"}) {
      for (std::uint64_t count = 0; count <= 220; ++count) EXPECT_FALSE(one.say_number(key, count).empty()) << one.code;
      for (const std::uint64_t count : {1'000'000U, 1'000'001U}) EXPECT_FALSE(one.say_number(key, count).empty()) << one.code;
    }
  }
}

TEST(Notices, PluralCategoriesAreThoseOfCldr) {
  struct Row {
    const char* code;
    std::uint64_t number;
    const char* category;
  };
  for (const Row& row :
       std::initializer_list<Row>{{"en", 0, "other"}, {"en", 1, "one"},          {"de-CH", 1, "one"},       {"fr", 0, "one"},
                                  {"fr", 1, "one"},   {"fr", 2, "other"},        {"fr", 2'000'000, "many"}, {"pt", 0, "one"},
                                  {"es", 0, "other"}, {"es", 1'000'000, "many"}, {"it", 1, "one"},          {"pl", 1, "one"},
                                  {"pl", 2, "few"},   {"pl", 12, "many"},        {"pl", 22, "few"},         {"pl", 21, "many"},
                                  {"pl", 0, "many"},  {"cs", 1, "one"},          {"cs", 4, "few"},          {"cs", 5, "other"},
                                  {"ro", 0, "few"},   {"ro", 1, "one"},          {"ro", 19, "few"},         {"ro", 20, "other"},
                                  {"ro", 101, "few"}, {"lt", 1, "one"},          {"lt", 11, "other"},       {"lt", 21, "one"},
                                  {"lt", 22, "few"},  {"lt", 0, "other"},        {"ru", 1, "one"},          {"ru", 11, "many"},
                                  {"ru", 21, "one"},  {"ru", 3, "few"},          {"ru", 13, "many"},        {"uk", 104, "few"},
                                  {"uk", 0, "many"},  {"ar", 0, "zero"},         {"ar", 1, "one"},          {"ar", 2, "two"},
                                  {"ar", 10, "few"},  {"ar", 11, "many"},        {"ar", 100, "other"},      {"ar", 103, "few"},
                                  {"ja", 1, "other"}, {"zh-Hant", 1, "other"},   {"ko", 1, "other"},        {"hu", 2, "other"},
                                  {"tr", 1, "one"},   {"fi", 1, "one"}}) {
    EXPECT_EQ(plural_category(row.code, row.number), row.category) << row.code << " " << row.number;
  }
}

TEST(Notices, ATagFindsTheNearestLanguage) {
  struct Row {
    const char* tag;
    const char* code;
  };
  for (const Row& row : std::initializer_list<Row>{{"de-AT", "de"},
                                                   {"DE-ch", "de-CH"},
                                                   {"de_CH", "de-CH"},
                                                   {"en-US", "en"},
                                                   {"zh", "zh-Hans"},
                                                   {"zh-TW", "zh-Hant"},
                                                   {"zh-Hant-HK", "zh-Hant"},
                                                   {"zh-CN", "zh-Hans"},
                                                   {"no", "nb"},
                                                   {"nn-NO", "nb"},
                                                   {"pt-BR", "pt"}}) {
    const NoticeLanguage* found = find_notice_language(row.tag);
    ASSERT_NE(found, nullptr) << row.tag;
    EXPECT_EQ(found->code, row.code) << row.tag;
  }
  for (const char* tag : {"", "-", "xx", "e", "deu", "../en"}) EXPECT_EQ(find_notice_language(tag), nullptr) << tag;
}

TEST(Notices, DatesAreWrittenAsTheLanguageWritesThem) {
  const std::chrono::year_month_day day = std::chrono::year(2026) / 3 / 5;
  EXPECT_EQ(language("en").date(day), "5 March 2026");
  EXPECT_EQ(language("de").date(day), "5. März 2026");
  EXPECT_EQ(language("ja").date(day), "2026年03月5日");
  EXPECT_EQ(language("es").date(day), "5 de marzo de 2026");
}

TEST(Notices, WhatIsPutInIsNotReadAgain) {
  const NoticeLanguage& english = language("en");
  EXPECT_THAT(english.say("steps.recognised", {{"software", "{{contact}} <b>&amp;"}}), HasSubstr("{{contact}} <b>&amp;"));
  EXPECT_THROW(english.say("steps.recognised"), std::logic_error) << "nothing for {{software}}";
  EXPECT_THROW(english.say("steps.no_such_sentence"), std::logic_error);
}

TEST(Notices, EveryFileSaysHowItWasMade) {
  for (const NoticeLanguage& one : notice_languages()) {
    EXPECT_GE(one.made.size(), 12U) << one.code;
    EXPECT_EQ(one.direction, one.code == "ar" ? "rtl" : "ltr");
  }
}

TEST(Notices, WhatIsWrongInAFileIsSaid) {
  std::string good;
  for (const NoticeFile& file : notice_files()) {
    if (file.name == "en") good = file.text;
  }
  EXPECT_EQ(NoticeLanguage::parse("x", good).code, "en");
  struct Row {
    std::string from, to;
    const char* error;
  };
  for (const Row& row :
       std::initializer_list<Row>{{"direction = \"ltr\"", "direction = \"left\"", "direction is ltr or rtl"},
                                  {"\"January\", ", "", "months are twelve names"},
                                  {"\"January\"", "1", "a month is a name"},
                                  {"code = \"en\"", "code = 1", "code has the wrong type"},
                                  {"made = ", "mode = ", "made is missing"},
                                  {"heading = \"What we found\"", "heading = 5", "found.heading is not a sentence"},
                                  {"[found]", "[found", "notices/x.toml"}}) {
    std::string text = good;
    const std::size_t at = text.find(row.from);
    ASSERT_NE(at, std::string::npos) << row.from;
    text.replace(at, row.from.size(), row.to);
    try {
      NoticeLanguage::parse("x", text);
      ADD_FAILURE() << "taken: " << row.to;
    } catch (const std::logic_error& error) {
      EXPECT_THAT(error.what(), HasSubstr(row.error));
    }
  }
}

// What of the remedies is in words.
std::set<std::string> sentences_of_remedies() {
  std::set<std::string> found;
  for (const RemedyFile& file : remedy_files()) {
    const RemedyBook book = parse_remedies(file.name, file.text);
    for (const Remedy& remedy : book.remedies) {
      found.insert(remedy.note);
      for (const RemedyCause& cause : remedy.causes) found.insert({cause.wrong, cause.why});
    }
    for (const ByHand& by_hand : book.by_hand) found.insert(by_hand.closed);
  }
  found.erase("");
  return found;
}

// `like this`: to be typed.
std::vector<std::string> quoted(const std::string& text) {
  std::vector<std::string> found;
  for (std::size_t at = text.find('`'); at != std::string::npos; at = text.find('`', at + 1)) {
    const std::size_t end = text.find('`', at + 1);
    if (end == std::string::npos) break;
    found.push_back(text.substr(at, end - at + 1));
    at = end;
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(RemedyTranslations, EverySentenceIsThereInFourLanguages) {
  const std::set<std::string> sentences = sentences_of_remedies();
  ASSERT_GT(sentences.size(), 80U);
  for (const char* code : {"de", "de-CH", "fr", "es", "it"}) {
    for (const std::string& sentence : sentences) {
      const TranslatedSentence translated = translate(sentence, code);
      EXPECT_FALSE(translated.english) << code << ": " << sentence;
      EXPECT_NE(translated.text, sentence) << code;
      EXPECT_EQ(quoted(translated.text), quoted(sentence)) << code << ": what is typed stays as it is";
    }
  }
}

TEST(RemedyTranslations, FallBackToEnglishAndSaySo) {
  const std::string sentence = *sentences_of_remedies().begin();
  for (const char* code : {"ja", "ru", "zh-Hant"}) {
    EXPECT_TRUE(translate(sentence, code).english);
    EXPECT_EQ(translate(sentence, code).text, sentence);
  }
  EXPECT_FALSE(translate(sentence, "en").english);
  EXPECT_TRUE(translate("no such sentence", "de").english);
}

TEST(RemedyTranslations, SwitzerlandWritesNoSharpS) {
  for (const std::string& sentence : sentences_of_remedies()) {
    EXPECT_EQ(translate(sentence, "de-CH").text.find("ß"), std::string::npos) << sentence;
  }
}

}  // namespace
}  // namespace ajar
