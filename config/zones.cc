#include "config/zones.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "checks/wire/ascii.h"
#include "config/own_toml.h"

namespace ajar {
namespace {

using own_toml::bug;
using own_toml::finish;
using own_toml::needed;
using own_toml::take;
using own_toml::text;

unsigned number(toml::table& table, std::string_view key, unsigned otherwise) {
  return static_cast<unsigned>(take<std::int64_t>(table, key, otherwise));
}

template <class T>
T word(const toml::table& table, std::string_view written, std::optional<T> (*parse)(std::string_view)) {
  const std::optional<T> value = parse(written);
  if (!value) bug(table, fmt::format("unknown word {}", written));
  return *value;
}

template <class T>
std::vector<T> read_all(toml::table& document, std::string_view key, T (*read)(toml::table)) {
  std::vector<T> all;
  for (toml::table& table : own_toml::tables(document, key)) all.push_back(read(std::move(table)));
  return all;
}

CodeRule read_code(toml::table table) {
  CodeRule rule;
  rule.pattern = word(table, needed(table, "code"), CodePattern::parse);
  rule.meaning = needed(table, "meaning");
  if (const std::string effect = text(table, "effect"); !effect.empty()) rule.effect = word(table, effect, parse_code_effect);
  if (const std::string cause = text(table, "cause"); !cause.empty()) rule.cause = word(table, cause, parse_listing_cause);
  if (const std::string tier = text(table, "tier"); !tier.empty()) rule.tier = word(table, tier, parse_listing_tier);
  finish(table);
  return rule;
}

ZoneInfo read_zone(toml::table table) {
  ZoneInfo zone;
  zone.name = needed(table, "name");
  zone.lists = needed(table, "lists");
  zone.on = take(table, "on", false);
  zone.domain = text(table, "query") == "domain";
  zone.ipv4 = take(table, "ipv4", true);
  zone.ipv6 = take(table, "ipv6", false);
  zone.test_points = needed(table, "test_points") == "rfc5782";
  const std::string ipv6_test_points = text(table, "ipv6_test_points");
  zone.ipv6_test_points = ipv6_test_points.empty() ? zone.test_points : ipv6_test_points == "rfc5782";
  zone.rules.tier = word(table, needed(table, "tier"), parse_listing_tier);
  zone.terms = text(table, "terms");
  zone.key = text(table, "key");
  zone.per_day = number(table, "per_day", zone.per_day);
  zone.per_second = number(table, "per_second", zone.per_second);
  zone.delisting = text(table, "delisting");
  zone.rules.codes = read_all(table, "codes", read_code);
  finish(table);
  return zone;
}

DeadZone read_dead(toml::table table) {
  DeadZone zone{needed(table, "name"), needed(table, "was"), text(table, "ended"), needed(table, "now")};
  finish(table);
  return zone;
}

struct Catalogue {
  std::vector<ZoneInfo> zones;
  std::vector<DeadZone> dead;
};

const Catalogue& the_catalogue() {
  static const Catalogue catalogue = [] {
    toml::table document = toml::parse(zones_text(), std::string_view("zones.toml"));
    Catalogue all{read_all(document, "zone", read_zone), read_all(document, "dead", read_dead)};
    finish(document);
    return all;
  }();
  return catalogue;
}

}  // namespace

bool ZoneInfo::asks(DnsblKind kind) const {
  switch (kind) {
    case DnsblKind::ipv4:
      return !domain && ipv4;
    case DnsblKind::ipv6:
      return !domain && ipv6;
    case DnsblKind::domain:
      return domain;
  }
  return false;
}

bool ZoneInfo::has_test_points(DnsblKind kind) const { return kind == DnsblKind::ipv6 ? ipv6_test_points : test_points; }

std::string ZoneInfo::delisting_link(std::string_view address) const {
  constexpr std::string_view kPlace = "{address}";
  const std::size_t at = delisting.find(kPlace);
  if (at == std::string::npos) return delisting;
  std::string encoded;
  for (const char c : address) encoded += c == ':' ? std::string("%3A") : std::string(1, c);
  return delisting.substr(0, at) + encoded + delisting.substr(at + kPlace.size());
}

std::string DeadZone::sentence(std::string_view zone) const {
  const std::string_view when = ended.size() == 10 ? "on" : "in";
  const std::string end = ended.empty() ? "is no longer in service" : fmt::format("ended {} {}", when, ended);
  return fmt::format("{} ({}) {}: {}", zone, was, end, now);
}

std::span<const ZoneInfo> zone_catalogue() { return the_catalogue().zones; }
std::span<const DeadZone> dead_zones() { return the_catalogue().dead; }

const ZoneInfo* find_zone(std::string_view name) {
  const std::string wanted = to_lower(name);
  for (const ZoneInfo& zone : zone_catalogue()) {
    if (zone.name == wanted) return &zone;
  }
  return nullptr;
}

const DeadZone* find_dead_zone(std::string_view name) {
  const std::string wanted = to_lower(name);
  for (const DeadZone& zone : dead_zones()) {
    if (wanted == zone.name || wanted.ends_with("." + zone.name)) return &zone;
  }
  return nullptr;
}

}  // namespace ajar
