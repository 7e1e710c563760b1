// What to do when an alert fires: dashboards/runbooks/*.md, carried in the program, so that the link in an alert leads
// somewhere when nothing but the agent can be reached.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ajar {

struct Runbook {
  std::string_view alert;     // "AjarDoorOpen"
  std::string_view markdown;  // begins with "# AjarDoorOpen"
};

// All of them, by name.
std::span<const Runbook> runbooks();
// nullptr where no alert has this name.
const Runbook* find_runbook(std::string_view alert);

// A text in GitHub's Markdown as HTML, without the HTML that it may hold itself. A link to a neighbouring file leads to its
// page: "AjarDoorOpen.md" -> "/runbooks/AjarDoorOpen". Any thread.
std::string markdown_html(std::string_view markdown);

}  // namespace ajar
