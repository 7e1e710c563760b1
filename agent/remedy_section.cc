#include "agent/remedy_section.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/by_hand.h"
#include "agent/pages.h"
#include "checks/software.h"
#include "config/remedies.h"

namespace ajar {
namespace {

struct Place {
  std::string address;
  unsigned port;
  std::string filled(std::string_view text) const { return html(fill_in(text, address, port)); }
};

std::string block(std::string_view title, const std::string& escaped) {
  return escaped.empty() ? "" : fmt::format("<p class=dim>{}</p><pre>{}</pre>", title, escaped);
}

std::string causes(const Remedy& remedy, const Place& place) {
  std::string out = remedy.causes.size() > 1 ? "<p>One of these mistakes, the commonest first:</p>" : "";
  for (const RemedyCause& cause : remedy.causes) {
    out += fmt::format("<p><b>{}</b> {} <span class=dim>{}</span></p>", html_with_code(cause.wrong), html_with_code(cause.why),
                       html(cause.file));
    out += block("instead of", place.filled(cause.before)) + block("write", place.filled(cause.after));
  }
  return out;
}

std::string steps(const Remedy& remedy) {
  std::string out;
  if (!remedy.note.empty()) out += fmt::format("<p>{}</p>", html_with_code(remedy.note));
  out += block("Is the configuration right?", html(remedy.test));
  out += block("Then", html(remedy.reload));
  return out + fmt::format("<p><a href=\"{0}\" rel=noreferrer>{0}</a></p>", html(remedy.reference));
}

std::string whole(const Remedy& remedy, const Place& place) { return causes(remedy, place) + steps(remedy); }

// What it may be instead, folded.
std::string others(std::string_view check, const Remedy& shown, const Place& place) {
  std::string out;
  for (const Remedy& remedy : remedies()) {
    const bool fits = std::find(remedy.checks.begin(), remedy.checks.end(), check) != remedy.checks.end();
    if (!fits || &remedy == &shown) continue;
    out += fmt::format("<details><summary>If it is {}</summary>{}</details>", html(remedy.name), whole(remedy, place));
  }
  return out;
}

SoftwareGuess guess(std::span<const Record* const> heard) {
  for (const Record* record : heard) {
    SoftwareGuess found = guess_software(record->transcript);
    if (found.software != nullptr) return found;
  }
  return {};
}

}  // namespace

std::string remedy_section(const ResultKey& key, TlsMode tls, std::span<const Record* const> heard) {
  const SoftwareGuess found = guess(heard);
  const Remedy* remedy = find_remedy(key.check, found.software == nullptr ? "" : found.software->id);
  if (remedy == nullptr) return "";
  const Place place{key.address.to_string(), key.port};
  std::string out = "<h3>How to close it</h3>";
  if (found.software == nullptr) {
    out += "<p>What runs there does not say its name.</p>";
  } else {
    out += fmt::format("<p>It seems to be <b>{}{}</b>, because {}. <span class=dim>A server can lie about that.</span></p>",
                       html(found.software->name), found.version.empty() ? "" : " " + html(found.version), html(found.ground));
  }
  out +=
      "<p class=dim>Your own networks stand in place of 192.0.2.0/24, your own servers and names in place of 192.0.2.x and "
      "example.org.</p>";
  out += whole(*remedy, place) + "<p class=dim>See for yourself</p>" + by_hand_section(key, tls);
  const bool own = found.software != nullptr && remedy->software == found.software->id;
  return own ? out : out + others(key.check, *remedy, place);
}

}  // namespace ajar
