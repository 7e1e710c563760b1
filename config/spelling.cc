// "did you mean": which known word a typing error was meant to be.
#include <algorithm>
#include <numeric>

#include "config/config.h"

namespace ajar {

namespace {

constexpr std::size_t kLongestWord = 64;  // beyond it nobody mistyped a key; also bounds the work

// Keys are told apart by neither case nor the choice of - or _.
std::string folded(std::string_view word) {
  std::string out(word);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-' || c == ' ') c = '_';
  }
  return out;
}

// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::optional<std::string> did_you_mean(std::string_view word, const std::vector<std::string>& words) {
  if (word.empty() || word.size() > kLongestWord) return std::nullopt;
  const std::string wrong = folded(word);
  const std::string* best = nullptr;
  std::size_t least = std::max<std::size_t>(1, wrong.size() / 3) + 1;
  for (const std::string& candidate : words) {
    std::size_t far = distance(wrong, folded(candidate));
    // A word cut short or written out counts as one slip: "warning" for "warn", "smtp" for "smtp_relay".
    const bool begins =
        wrong.size() >= 4 && (candidate.starts_with(wrong) || (candidate.size() >= 4 && wrong.starts_with(candidate)));
    if (begins) far = std::min<std::size_t>(far, 1);
    if (far >= least || far >= std::max(wrong.size(), candidate.size())) continue;
    least = far;
    best = &candidate;
  }
  if (!best) return std::nullopt;
  return *best;
}

}  // namespace ajar
