// Text for pages: escaping, links, times. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "agent/time.h"

namespace ajar {

// Escaped for text and attribute values. What is not UTF-8, and control characters, become U+FFFD; characters that turn the
// direction of a text or cannot be seen are written as what they are: "⟨U+202E⟩".
std::string html(std::string_view text);
// The same for what somebody else wrote, where markup may stand: isolated, so that it cannot change the order of its
// neighbours.
std::string peer(std::string_view text);
// html() with `what is typed` as code.
std::string html_with_code(std::string_view text);
std::string url_encode(std::string_view text);                  // one path segment or query value
std::string relative(Time when, Time now);                      // "3 h ago", "in 5 min"
std::string duration_text(std::chrono::milliseconds duration);  // "3 h", "12 d"
std::string clock_text(Time time);                              // "2026-01-02 03:04:05 UTC"

}  // namespace ajar
