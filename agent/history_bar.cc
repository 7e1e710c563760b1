#include "agent/history_bar.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/page_frame.h"

namespace ajar {
namespace {

constexpr int kWidth = 1000;
constexpr int kNarrowest = 3;  // so that an hour in a year can be seen

std::string span_text(const HistorySpan& span, Time now) {
  return fmt::format("<li>{} from {} {}</li>", badge(span.level), when(span.from, now),
                     span.to ? "to " + when(*span.to, now) : "until now");
}

}  // namespace

std::string history_bar(std::string_view label, std::span<const HistorySpan> spans, Time begin, Time now) {
  if (now <= begin) begin = now - std::chrono::hours(1);
  const double length = static_cast<double>((now - begin).count());
  std::string drawn, told;
  for (const HistorySpan& span : spans) {
    const Time from = std::clamp(span.from, begin, now);
    const Time to = std::clamp(span.to.value_or(now), from, now);
    const double left = static_cast<double>((from - begin).count()) / length * kWidth;
    const double width = std::max<double>(kNarrowest, static_cast<double>((to - from).count()) / length * kWidth);
    drawn += fmt::format("<rect class={} x=\"{:.1f}\" y=\"0\" width=\"{:.1f}\" height=\"20\"></rect>", to_string(span.level),
                         std::min<double>(left, kWidth - kNarrowest), width);
    told += span_text(span, now);
  }
  if (told.empty()) return "";
  return fmt::format(
      "<div class=history><svg role=img aria-label=\"History of {}: the same stands below as text\" viewBox=\"0 0 {} 20\" "
      "preserveAspectRatio=none>{}</svg><div class=ends><span>{}</span><span>now</span></div>"
      "<details><summary>As text</summary><ul>{}</ul></details></div>",
      html(label), kWidth, drawn, when(begin, now), told);
}

}  // namespace ajar
