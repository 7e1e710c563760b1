// The forms above lists, sorted columns and the links between pages of rows. Pure, any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "agent/page_frame.h"
#include "agent/selection.h"

namespace ajar {

std::string text_field(std::string_view name, std::string_view label, std::string_view value, std::string_view hint = {});
// `options`: value and words; one that is set and not among them is added.
std::string choice(std::string_view name, std::string_view label, std::string_view value,
                   const std::vector<std::pair<std::string_view, std::string_view>>& options);
std::string check_choice(std::string_view value);
std::string owner_field(std::string_view value, const std::vector<std::string>& owners);
std::string hidden_field(std::string_view name, std::string_view value);
std::string form_end(std::string_view path);  // its button, and the link that clears it

std::string count_text(const PageOf& place, std::string_view one, std::string_view many);  // "101–200 of 250 targets"
std::string pager_links(const PageOf& place, const std::string& previous, const std::string& next);

template <class Filter>
std::string pager(Filter filter, std::string_view path, const PageOf& place) {
  filter.page = place.page > 1 ? place.page - 1 : 1;
  const std::string previous = filter.query(path);
  filter.page = place.page + 1;
  return pager_links(place, previous, filter.query(path));
}

// Its link sorts by it, and the other way round where that is so already.
template <class Filter>
Column sorted_column(Filter filter, std::string_view path, std::string_view key, const char* name,
                     Cell::Kind kind = Cell::Kind::plain, bool down_first = false) {
  const bool now = filter.sort.column == key;
  const Sorted sorted = !now ? Sorted::no : filter.sort.down ? Sorted::down : Sorted::up;
  filter.sort = {std::string(key), now ? !filter.sort.down : down_first};
  filter.page = 1;
  return {name, kind, filter.query(path), sorted};
}

}  // namespace ajar
