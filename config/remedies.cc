#include "config/remedies.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "checks/catalogue.h"
#include "config/own_toml.h"

namespace ajar {
namespace {

using own_toml::bug;
using own_toml::finish;
using own_toml::needed;
using own_toml::tables;
using own_toml::text;

constexpr std::string_view kGeneric = "generic";

std::string known_check(const toml::node& node, const std::string* name) {
  if (name == nullptr) bug(node, "a check is a text");
  if (find_check(*name) == nullptr) bug(node, fmt::format("unknown check {}", *name));
  return *name;
}

std::vector<std::string> read_checks(toml::table& table) {
  std::vector<std::string> checks;
  const toml::array* array = table["checks"].as_array();
  if (array == nullptr || array->empty()) bug(table, "checks is missing");
  for (const toml::node& node : *array) {
    const auto* value = node.as_string();
    checks.push_back(known_check(node, value == nullptr ? nullptr : &value->get()));
  }
  table.erase("checks");
  return checks;
}

RemedyCause read_cause(toml::table table) {
  RemedyCause cause;
  cause.wrong = needed(table, "wrong");
  cause.why = needed(table, "why");
  cause.file = needed(table, "file");
  cause.before = text(table, "before");
  cause.after = needed(table, "after");
  finish(table);
  return cause;
}

Remedy read_remedy(toml::table table) {
  Remedy remedy;
  remedy.checks = read_checks(table);
  remedy.test = text(table, "test");
  remedy.reload = text(table, "reload");
  remedy.note = text(table, "note");
  remedy.reference = needed(table, "reference");
  for (toml::table& cause : tables(table, "cause")) remedy.causes.push_back(read_cause(std::move(cause)));
  if (remedy.causes.empty()) bug(table, "cause is missing");
  finish(table);
  return remedy;
}

ByHand read_by_hand(toml::table table) {
  ByHand by_hand;
  by_hand.check = needed(table, "check");
  known_check(table, &by_hand.check);
  by_hand.command = needed(table, "command");
  by_hand.tls = needed(table, "tls");
  by_hand.closed = needed(table, "closed");
  finish(table);
  return by_hand;
}

const RemedyBook& the_book() {
  static const RemedyBook book = [] {
    RemedyBook all;
    for (const RemedyFile& file : remedy_files()) {
      RemedyBook one = parse_remedies(fmt::format("remedies/{}.toml", file.name), file.text);
      std::move(one.remedies.begin(), one.remedies.end(), std::back_inserter(all.remedies));
      std::move(one.by_hand.begin(), one.by_hand.end(), std::back_inserter(all.by_hand));
    }
    return all;
  }();
  return book;
}

const Remedy* exactly(std::string_view check, std::string_view software) {
  for (const Remedy& remedy : the_book().remedies) {
    if (remedy.software != software) continue;
    if (std::find(remedy.checks.begin(), remedy.checks.end(), check) != remedy.checks.end()) return &remedy;
  }
  return nullptr;
}

}  // namespace

RemedyBook parse_remedies(std::string_view file, std::string_view text_of_file) {
  toml::table document = own_toml::parse(file, text_of_file);
  const std::string software = needed(document, "software"), name = needed(document, "name");
  RemedyBook book;
  for (toml::table& table : tables(document, "remedy")) {
    Remedy remedy = read_remedy(std::move(table));
    remedy.software = software;
    remedy.name = name;
    book.remedies.push_back(std::move(remedy));
  }
  for (toml::table& table : tables(document, "by_hand")) book.by_hand.push_back(read_by_hand(std::move(table)));
  finish(document);
  return book;
}

std::span<const Remedy> remedies() { return the_book().remedies; }

const Remedy* find_remedy(std::string_view check, std::string_view software) {
  const Remedy* own = exactly(check, software);
  return own != nullptr ? own : exactly(check, kGeneric);
}

const ByHand* find_by_hand(std::string_view check) {
  for (const ByHand& by_hand : the_book().by_hand) {
    if (by_hand.check == check) return &by_hand;
  }
  return nullptr;
}

std::string fill_in(std::string_view text_to_fill, std::string_view address, unsigned port) {
  const std::string number = std::to_string(port);
  const bool ipv6 = address.find(':') != std::string_view::npos;
  const std::array<std::pair<std::string_view, std::string>, 3> places = {
      {{"{address}", std::string(address)},
       {"{port}", number},
       {"{endpoint}", ipv6 ? fmt::format("[{}]:{}", address, number) : fmt::format("{}:{}", address, number)}}};
  std::string out;
  for (std::string_view rest = text_to_fill; !rest.empty();) {
    const auto place = std::find_if(places.begin(), places.end(), [&](const auto& one) { return rest.starts_with(one.first); });
    if (place == places.end()) {
      out += rest.front();
      rest.remove_prefix(1);
    } else {
      out += place->second;
      rest.remove_prefix(place->first.size());
    }
  }
  return out;
}

}  // namespace ajar
