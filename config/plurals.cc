// Plural categories of whole numbers: Unicode CLDR, "Language Plural Rules" (cardinals), with v = f = t = 0, i = n.
#include <array>

#include "config/notices.h"

namespace ajar {
namespace {

constexpr std::uint64_t kMillion = 1'000'000;

bool within(std::uint64_t number, std::uint64_t first, std::uint64_t last) { return number >= first && number <= last; }

std::string_view east_slavic(std::uint64_t n) {
  if (n % 10 == 1 && n % 100 != 11) return "one";
  return within(n % 10, 2, 4) && !within(n % 100, 12, 14) ? "few" : "many";
}

std::string_view polish(std::uint64_t n) {
  if (n == 1) return "one";
  return within(n % 10, 2, 4) && !within(n % 100, 12, 14) ? "few" : "many";
}

std::string_view czech(std::uint64_t n) { return n == 1 ? "one" : within(n, 2, 4) ? "few" : "other"; }

std::string_view romanian(std::uint64_t n) {
  if (n == 1) return "one";
  return n == 0 || within(n % 100, 1, 19) ? "few" : "other";
}

std::string_view lithuanian(std::uint64_t n) {
  if (within(n % 100, 11, 19)) return "other";
  if (n % 10 == 1) return "one";
  return within(n % 10, 2, 9) ? "few" : "other";
}

std::string_view arabic(std::uint64_t n) {
  constexpr std::array<std::string_view, 3> kFirst = {"zero", "one", "two"};
  if (n < kFirst.size()) return kFirst[n];
  return within(n % 100, 3, 10) ? "few" : within(n % 100, 11, 99) ? "many" : "other";
}

// Millions have a form of their own ("un millón de días").
std::string_view romance(std::uint64_t n, bool zero_is_one) {
  if (n == 1 || (zero_is_one && n == 0)) return "one";
  return n != 0 && n % kMillion == 0 ? "many" : "other";
}

std::string_view none(std::uint64_t) { return "other"; }
std::string_view english(std::uint64_t n) { return n == 1 ? "one" : "other"; }
std::string_view french(std::uint64_t n) { return romance(n, true); }
std::string_view italian(std::uint64_t n) { return romance(n, false); }

struct Rule {
  std::string_view language;
  std::string_view (*category)(std::uint64_t);
};
constexpr std::array kRules = std::to_array<Rule>({
    {"ar", arabic},
    {"cs", czech},
    {"es", italian},
    {"fr", french},
    {"it", italian},
    {"ja", none},
    {"ko", none},
    {"lt", lithuanian},
    {"pl", polish},
    {"pt", french},
    {"ro", romanian},
    {"ru", east_slavic},
    {"uk", east_slavic},
    {"zh", none},
});

}  // namespace

std::string_view plural_category(std::string_view code, std::uint64_t number) {
  const std::string_view language = code.substr(0, code.find('-'));
  for (const Rule& rule : kRules) {
    if (rule.language == language) return rule.category(number);
  }
  return english(number);  // the others of ours: one for 1
}

}  // namespace ajar
