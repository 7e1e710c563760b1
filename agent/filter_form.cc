#include "agent/filter_form.h"

#include <algorithm>

#include "checks/catalogue.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxOwners = 200;  // that a browser is to propose

}  // namespace

std::string text_field(std::string_view name, std::string_view label, std::string_view value, std::string_view hint) {
  return fmt::format("<label>{}<input name={} value=\"{}\"{}></label>", html(label), name, html(value),
                     hint.empty() ? "" : fmt::format(" placeholder=\"{}\"", html(hint)));
}

std::string choice(std::string_view name, std::string_view label, std::string_view value,
                   const std::vector<std::pair<std::string_view, std::string_view>>& options) {
  std::string out = fmt::format("<label>{}<select name={}>", html(label), name);
  bool found = false;
  for (const auto& [option, words] : options) {
    found = found || option == value;
    out += fmt::format("<option value=\"{}\"{}>{}</option>", html(option), option == value ? " selected" : "", html(words));
  }
  if (!found) out += fmt::format("<option value=\"{0}\" selected>{0}</option>", html(value));
  return out + "</select></label>";
}

std::string check_choice(std::string_view value) {
  std::vector<std::pair<std::string_view, std::string_view>> options = {{"", "any"}};
  for (const CheckInfo& check : catalogue()) options.emplace_back(check.name, check.name);
  return choice("check", "Check", value, options);
}

std::string owner_field(std::string_view value, const std::vector<std::string>& owners) {
  std::string out =
      fmt::format("<label>Owner<input name=owner list=owners value=\"{}\"></label><datalist id=owners>", html(value));
  for (std::size_t i = 0; i < std::min(owners.size(), kMaxOwners); ++i) {
    out += fmt::format("<option value=\"{}\"></option>", html(owners[i]));
  }
  return out + "</datalist>";
}

std::string hidden_field(std::string_view name, std::string_view value) {
  return fmt::format("<input type=hidden name={} value=\"{}\">", name, html(value));
}

std::string form_end(std::string_view path) {
  return fmt::format("<button>Filter</button> <a href=\"{}\">Clear</a></form>", path);
}

std::string count_text(const PageOf& place, std::string_view one, std::string_view many) {
  if (place.pages == 1) return fmt::format("{} {}", place.all, place.all == 1 ? one : many);
  return fmt::format("{}–{} of {} {}", place.first + 1, place.first + place.count, place.all, many);
}

std::string pager_links(const PageOf& place, const std::string& previous, const std::string& next) {
  if (place.pages == 1) return "";
  std::string out = "<nav class=pager aria-label=Pages>";
  if (place.page > 1) out += fmt::format("<a rel=prev href=\"{}\">← Previous</a>", html(previous));
  out += fmt::format("<span>Page {} of {}</span>", place.page, place.pages);
  if (place.page < place.pages) out += fmt::format("<a rel=next href=\"{}\">Next →</a>", html(next));
  return out + "</nav>";
}

}  // namespace ajar
