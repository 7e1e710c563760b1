#include "config/notices.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <kainjow/mustache.hpp>

#include "checks/wire/ascii.h"
#include "config/own_toml.h"

namespace ajar {
namespace {

constexpr std::size_t kMonths = 12;
constexpr std::array<std::string_view, 6> kCategories = {"zero", "one", "two", "few", "many", "other"};

bool is_category(std::string_view key) { return std::find(kCategories.begin(), kCategories.end(), key) != kCategories.end(); }

// A table whose keys are all plural categories is a sentence by number.
bool is_by_number(const toml::table& table) {
  return std::all_of(table.begin(), table.end(), [](const auto& entry) { return is_category(entry.first.str()); });
}

// "steps.english" is empty where nothing is to be said.
constexpr std::string_view kMayBeEmpty = "steps.english";

void flatten(const toml::table& table, const std::string& prefix, std::map<std::string, std::string, std::less<>>& sentences) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const toml::table* part = node.as_table()) {
      if (part->empty()) own_toml::bug(node, "an empty table");
      flatten(*part, name + (is_by_number(*part) ? "#" : "."), sentences);
      continue;
    }
    const auto* text = node.as_string();
    if (text == nullptr || (text->get().empty() && name != kMayBeEmpty)) own_toml::bug(node, name + " is not a sentence");
    sentences.emplace(name, text->get());
  }
}

std::vector<std::string> read_months(toml::table& document) {
  std::vector<std::string> months;
  const toml::array* array = document["months"].as_array();
  if (array == nullptr || array->size() != kMonths) own_toml::bug(document, "months are twelve names");
  for (const toml::node& node : *array) {
    const auto* name = node.as_string();
    if (name == nullptr || name->get().empty()) own_toml::bug(node, "a month is a name");
    months.push_back(name->get());
  }
  document.erase("months");
  return months;
}

// {{name}} of a sentence, each once.
std::set<std::string> names_in(std::string_view sentence) {
  std::set<std::string> names;
  for (std::size_t at = sentence.find("{{"); at != std::string_view::npos; at = sentence.find("{{", at)) {
    const std::size_t end = sentence.find("}}", at);
    if (end == std::string_view::npos) break;
    names.emplace(sentence.substr(at + 2, end - at - 2));
    at = end;
  }
  return names;
}

std::string fill(std::string_view key, const std::string& sentence, const Fillings& fillings) {
  for (const std::string& name : names_in(sentence)) {
    if (!fillings.contains(name)) throw std::logic_error(fmt::format("{}: nothing is given for {}", key, name));
  }
  kainjow::mustache::mustache form(sentence);
  form.set_custom_escape([](const std::string& text) { return text; });
  kainjow::mustache::data data;
  for (const auto& [name, value] : fillings) data.set(name, value);
  std::string filled = form.render(data);
  if (!form.is_valid()) throw std::logic_error(fmt::format("{}: {}", key, form.error_message()));
  return filled;
}

// Tags of people whose language has another tag here. Without a script, Chinese is written as its region writes it.
struct Alias {
  std::string_view tag, code;
};
constexpr std::array kAliases = std::to_array<Alias>({
    {"no", "nb"},
    {"nn", "nb"},
    {"zh", "zh-Hans"},
    {"zh-tw", "zh-Hant"},
    {"zh-hk", "zh-Hant"},
    {"zh-mo", "zh-Hant"},
});

}  // namespace

NoticeLanguage NoticeLanguage::parse(std::string_view name, std::string_view text) {
  toml::table document = own_toml::parse(fmt::format("notices/{}.toml", name), text);
  NoticeLanguage language;
  language.code = own_toml::needed(document, "code");
  language.name = own_toml::needed(document, "language");
  language.direction = own_toml::needed(document, "direction");
  if (language.direction != "ltr" && language.direction != "rtl") own_toml::bug(document, "direction is ltr or rtl");
  language.made = own_toml::needed(document, "made");
  language.date_ = own_toml::needed(document, "date");
  language.months_ = read_months(document);
  flatten(document, "", language.sentences_);
  return language;
}

const std::string& NoticeLanguage::sentence(const std::string& key) const {
  const auto found = sentences_.find(key);
  if (found == sentences_.end()) throw std::logic_error(fmt::format("notices/{}.toml: no sentence {}", code, key));
  return found->second;
}

std::string NoticeLanguage::say(std::string_view key, const Fillings& fillings) const {
  return fill(key, sentence(std::string(key)), fillings);
}

std::string NoticeLanguage::say_number(std::string_view key, std::uint64_t count) const {
  const std::string zero = fmt::format("{}#zero", key);
  const std::string form =
      count == 0 && sentences_.contains(zero) ? zero : fmt::format("{}#{}", key, plural_category(code, count));
  return fill(form, sentence(form), {{"count", std::to_string(count)}});
}

std::string NoticeLanguage::date(std::chrono::year_month_day day) const {
  const auto month = static_cast<unsigned>(day.month());
  return fill("date", date_,
              {{"day", std::to_string(static_cast<unsigned>(day.day()))},
               {"month", months_.at(month - 1)},
               {"number", fmt::format("{:02}", month)},
               {"year", std::to_string(static_cast<int>(day.year()))}});
}

std::vector<std::string> NoticeLanguage::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, text] : sentences_) keys.push_back(key);
  return keys;
}

std::vector<std::string> NoticeLanguage::names(std::string_view key) const {
  const std::set<std::string> names = names_in(sentence(std::string(key)));
  return {names.begin(), names.end()};
}

std::span<const NoticeLanguage> notice_languages() {
  static const std::vector<NoticeLanguage> languages = [] {
    std::vector<NoticeLanguage> all;
    for (const NoticeFile& file : notice_files()) all.push_back(NoticeLanguage::parse(file.name, file.text));
    std::stable_sort(all.begin(), all.end(), [](const NoticeLanguage& a, const NoticeLanguage& b) {
      return std::pair(a.code != "en", a.code) < std::pair(b.code != "en", b.code);
    });
    return all;
  }();
  return languages;
}

const NoticeLanguage* find_notice_language(std::string_view tag) {
  const std::span<const NoticeLanguage> all = notice_languages();
  std::string wanted = to_lower(tag);
  std::replace(wanted.begin(), wanted.end(), '_', '-');
  for (;;) {
    for (const Alias& alias : kAliases) {
      if (alias.tag == wanted) wanted = to_lower(alias.code);
    }
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return to_lower(one.code) == wanted; });
    if (found != all.end()) return &*found;
    const std::size_t dash = wanted.rfind('-');
    if (dash == std::string::npos) return nullptr;
    wanted.resize(dash);
  }
}

}  // namespace ajar
