// [dnsbl] and [[dnsbl.zone]]: which databases are asked, and under what terms.
#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <system_error>

#include <fmt/format.h>
#include <sys/stat.h>

#include "config/sections.h"

namespace ajar {
namespace {

constexpr Duration kLongestZoneInterval = std::chrono::hours(24 * 7);
constexpr std::size_t kLongestMeaning = 100;
constexpr std::size_t kLongestKey = 63;  // it is one label of a DNS name

using Written = std::map<std::string, ZoneConfig>;  // the [[dnsbl.zone]] tables, by name

std::string read_query(std::string_view text) { return read_one_of(text, {"ip", "domain"}); }
std::string read_test_points(std::string_view text) { return read_one_of(text, {"rfc5782", "none"}); }
std::string read_tier(std::string_view text) { return read_one_of(text, {"page", "ticket", "info"}); }

std::vector<std::string> catalogue_names() {
  std::vector<std::string> names;
  for (const ZoneInfo& zone : zone_catalogue()) names.push_back(zone.name);
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The codes of one zone, before those of the catalogue, whose lines for the same codes they replace.
void read_codes(Section& section, ZoneInfo& zone) {
  static const toml::table none;
  const toml::node* node = section.find("codes");
  const auto* table = node ? node->as_table() : nullptr;
  if (node && !table) {
    section.wrong(
        place_of(*node), "codes",
        fmt::format("must be a table, but this is {}: write codes = {{ \"127.0.0.2\" = \"open relay\" }}", kind_of(*node)));
  }
  Section codes(table ? *table : none, "codes", node ? place_of(*node) : section.place(), section.errors(), "codes.");
  std::vector<CodeRule> rules;
  for (const auto& [key, value] : codes.table()) {
    const std::string code(key.str());
    CodeRule rule;
    const bool right = codes.text(code, rule.meaning, read_words);
    const auto pattern = CodePattern::parse(code);
    if (!pattern) {
      codes.wrong(place_of(key), code, "is no code: write one like \"127.0.0.2\", \"127.0.0.2-11\" or \"127.0.0.&2\" (a bit)");
    } else if (pattern->matches(IpAddress::v4({127, 255, 255, 254}))) {
      codes.wrong(place_of(key), code, "is an error of the database, never a listing: remove it");
    } else if (right && (rule.meaning.empty() || rule.meaning.size() > kLongestMeaning)) {
      codes.wrong(place_of(value), code,
                  fmt::format("has no meaning of 1 to {} characters: write a few words", kLongestMeaning));
    } else if (right) {
      rule.pattern = *pattern;
      rules.push_back(rule);
    }
  }
  for (const CodeRule& known : zone.rules.codes) {
    const auto same = [&](const CodeRule& rule) { return rule.pattern == known.pattern; };
    if (std::none_of(rules.begin(), rules.end(), same)) rules.push_back(known);
  }
  zone.rules.codes = std::move(rules);
}

void read_zone_table(Section& section, const DnsblConfig& dnsbl, ZoneConfig& zone) {
  section.require("name", "name = \"bl.example.org\", the database");
  std::string name;
  if (section.text("name", name, read_zone)) {
    const ZoneInfo* known = find_zone(name);
    if (known) zone.info = *known;
    zone.info.name = name;
  }
  std::string query = zone.info.domain ? "domain" : "ip";
  if (section.text("query", query, read_query)) zone.info.domain = query == "domain";
  section.flag("ipv6", zone.info.ipv6);
  std::string test_points;
  if (section.text("test_points", test_points, read_test_points))
    zone.info.test_points = zone.info.ipv6_test_points = test_points == "rfc5782";
  std::string tier;
  if (section.text("tier", tier, read_tier)) {
    zone.info.rules.tier = *parse_listing_tier(tier);
    for (CodeRule& rule : zone.info.rules.codes) rule.tier.reset();  // what the operator says holds for all of it
  }
  read_codes(section, zone.info);
  section.text("key_file", zone.key_file, read_words);
  zone.interval = dnsbl.interval;
  section.duration("interval", zone.interval, kShortestInterval, kLongestZoneInterval);
}

// The key in a file, or Wrong. A name of a DNS question is made of it: nothing else may be in there.
std::string read_key(const std::string& path) {
  struct stat status{};
  errno = 0;
  std::ifstream in;
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    throw Wrong("is not a file: write the path of one with the key");
  in.open(path, std::ios::binary);
  std::array<char, 256> buffer{};
  in.read(buffer.data(), buffer.size());
  if (in.gcount() == 0 && (!in.eof() || errno != 0)) {
    throw Wrong(fmt::format("cannot be read: {}; write the path of a file with the key",
                            std::generic_category().message(errno != 0 ? errno : EIO)));
  }
  std::string key(buffer.data(), static_cast<std::size_t>(in.gcount()));
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r' || key.back() == ' ')) key.pop_back();
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (key.empty()) throw Wrong("is empty: write the key into it");
  if (key.size() > kLongestKey || !std::all_of(key.begin(), key.end(), plain)) {
    throw Wrong(fmt::format("holds no key: one word of at most {} letters and digits", kLongestKey));
  }
  return key;
}

void read_key_file(Section& section, bool read_keys, const Config& config, ZoneConfig& zone) {
  if (zone.key_file.empty() || !read_keys) return;
  try {
    zone.key = read_key(config.path(zone.key_file));
    if (zone.secret_zone().size() > kLongestZone) throw Wrong("holds a key that is too long for the name of this database");
  } catch (const Wrong& e) {
    section.wrong(section.place("key_file"), "key_file", about(zone.key_file, e.what()));
  }
}

// The database of which `name` is one with a key before it; nullptr: it is none such.
const ZoneInfo* find_keyed(const std::string& name) {
  for (const ZoneInfo& zone : zone_catalogue()) {
    if (!zone.key.empty() && name.ends_with("." + zone.name)) return &zone;
  }
  return nullptr;
}

// Why this database may not be asked; empty: it may.
std::string forbidden(const ZoneConfig& zone, const DnsblConfig& dnsbl) {
  const ZoneInfo& info = zone.info;
  if (!info.key.empty() && zone.key_file.empty()) {
    return fmt::format("needs a key ({}): write [[dnsbl.zone]] with name = \"{}\" and key_file = \"…\"", info.key, info.name);
  }
  if (!info.terms.empty() && !contains(dnsbl.accept_terms, info.name)) {
    return fmt::format("has terms ({}): if you keep them, write accept_terms = [\"{}\"]", info.terms, info.name);
  }
  return {};
}

void read_accept_terms(Section& section, DnsblConfig& dnsbl) {
  section.list("accept_terms", dnsbl.accept_terms, read_zone);
  for (const std::string& name : dnsbl.accept_terms) {
    const ZoneInfo* zone = find_zone(name);
    if (zone && !zone->terms.empty()) continue;
    const auto near = did_you_mean(name, catalogue_names());
    std::string problem = "has no terms to accept: remove it";
    if (!zone && near) problem = fmt::format("is not in the catalogue: did you mean `{}`?", *near);
    section.wrong(section.place("accept_terms"), "accept_terms", about(name, problem));
  }
}

Written read_zone_tables(std::vector<Section>& sections, bool read_keys, Config& config) {
  Written written;
  std::map<std::string, unsigned> lines;
  for (Section& section : sections) {
    ZoneConfig zone;
    read_zone_table(section, config.dnsbl, zone);
    if (zone.info.name.empty()) continue;
    read_key_file(section, read_keys, config, zone);
    const auto [first, fresh] = lines.emplace(zone.info.name, section.place("name").line);
    if (!fresh) {
      section.wrong(section.place("name"), "name",
                    about(zone.info.name, fmt::format("is on line {} too: keep one", first->second)));
    }
    written.emplace(zone.info.name, std::move(zone));
  }
  return written;
}

// The name of a [[dnsbl.zone]]; empty where it has none that can be used.
std::string name_of(const Section& table) {
  const auto* name = table.table()["name"].as_string();
  return name && zone_problem(name->get()).empty() ? read_zone(name->get()) : std::string();
}

// What is asked where the file does not say: what anybody may ask, what was accepted, and what has a table of its own.
std::vector<std::string> usual_zones(const DnsblConfig& dnsbl, const Written& written, const std::vector<Section>& tables) {
  std::vector<std::string> names;
  for (const ZoneInfo& zone : zone_catalogue()) {
    if (zone.on || contains(dnsbl.accept_terms, zone.name) || written.contains(zone.name)) names.push_back(zone.name);
  }
  for (const Section& table : tables) {
    const std::string name = name_of(table);
    if (!name.empty() && !contains(names, name)) names.push_back(name);
  }
  return names;
}

// Where a zone that is to be asked is written: in `zones`, else its table, else [dnsbl].
Place place_of_zone(const Section& section, const std::vector<Section>& tables, const std::string& name) {
  if (const auto* elements = section.table()["zones"].as_array()) {
    for (const toml::node& element : *elements) {
      const auto* text = element.as_string();
      if (text && zone_problem(text->get()).empty() && read_zone(text->get()) == name) return place_of(element);
    }
  }
  for (const Section& table : tables) {
    if (name_of(table) == name) return table.place("name");
  }
  return section.place("accept_terms");
}

void take_zone(Section& section, Place place, const Written& written, const std::string& name, Config& config) {
  if (const DeadZone* dead = find_dead_zone(name)) {
    config.warnings.push_back(
        {config.file, place.line, place.column, fmt::format("{}. It is not asked: remove it", dead->sentence(name))});
    return;
  }
  if (const ZoneInfo* keyed = find_keyed(name)) {
    section.errors().add(
        place, fmt::format("a key stands before \"{0}\" here, where pages and labels would show it: write [[dnsbl.zone]] "
                           "with name = \"{0}\" and key_file = \"…\"",
                           keyed->name));
    return;
  }
  ZoneConfig zone;
  if (const auto own = written.find(name); own != written.end()) {
    zone = own->second;
  } else {
    if (const ZoneInfo* known = find_zone(name)) zone.info = *known;
    zone.info.name = name;
    zone.interval = config.dnsbl.interval;
  }
  if (const std::string problem = forbidden(zone, config.dnsbl); !problem.empty()) {
    section.errors().add(place, fmt::format("{} {}", quote(name), problem));
    return;
  }
  config.dnsbl.zones.push_back(std::move(zone));
}

}  // namespace

void read_dnsbl(Section& section, std::vector<Section>& zones, bool read_keys, Config& config) {
  DnsblConfig& dnsbl = config.dnsbl;
  section.list("resolvers", dnsbl.resolvers, read_resolver);
  section.duration("interval", dnsbl.interval, kShortestInterval, kLongestZoneInterval);
  section.flag("lookup_private", dnsbl.lookup_private);
  read_accept_terms(section, dnsbl);
  const Written written = read_zone_tables(zones, read_keys, config);
  std::vector<std::string> names;
  const bool named = section.has("zones");
  if (named && !section.list("zones", names, read_zone)) return;  // what follows from it would be said twice
  if (!named) section.find("zones");
  if (!named) names = usual_zones(dnsbl, written, zones);
  for (Section& table : zones) {
    const std::string name = name_of(table);
    if (name.empty() || contains(names, name)) continue;
    table.wrong(table.place("name"), "name",
                about(name, "is not among zones, so this has no effect: add it there, or remove this"));
  }
  for (const std::string& name : names) take_zone(section, place_of_zone(section, zones, name), written, name, config);
}

}  // namespace ajar
