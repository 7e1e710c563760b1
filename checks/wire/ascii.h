// Letters of ASCII, as protocols compare them: no locale, and bytes of other letters stay as they are.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace ajar {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline std::string to_lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return to_lower(c); });
  return out;
}

}  // namespace ajar
