// [[target]]: the servers that the operator declares as their own, and [[exemption]].
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "config/sections.h"

namespace ajar {

namespace {

// Whether a network of the scope lets `network` in. Link-local only when it is listed itself: a wide network beside it does not
// count.
bool covers(const Cidr& allowed, const Cidr& network) {
  return allowed.contains(network) && (!network.first().is_link_local() || allowed.first().is_link_local());
}

// What is asked of databases, not of the target: no port, no conversation, and an interval of its own in [dnsbl].
constexpr std::string_view kDnsbl = "dnsbl";

}  // namespace

bool in_scope(const std::vector<Cidr>& scope, const Cidr& network) {
  if (std::any_of(scope.begin(), scope.end(), [&](const Cidr& allowed) { return covers(allowed, network); })) return true;
  const unsigned longest = network.first().is_v4() ? 32 : 128;
  const bool pieces = std::any_of(scope.begin(), scope.end(), [&](const Cidr& allowed) { return network.contains(allowed); });
  if (!pieces || network.length() >= longest) return false;
  std::array<std::uint8_t, 16> bytes{};
  std::copy(network.first().bytes().begin(), network.first().bytes().end(), bytes.begin());
  bytes[network.length() / 8] = static_cast<std::uint8_t>(bytes[network.length() / 8] | (0x80U >> (network.length() % 8)));
  const IpAddress middle =
      network.first().is_v4() ? IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]}) : IpAddress::v6(bytes);
  return in_scope(scope, Cidr(network.first(), network.length() + 1)) && in_scope(scope, Cidr(middle, network.length() + 1));
}

std::string read_check(std::string_view text) { return read_one_of(text, check_names()); }

std::string read_target_check(std::string_view text) {
  std::vector<std::string> names = check_names();
  names.emplace_back(kDnsbl);
  return read_one_of(text, names);
}

std::string port_problem(const Port& port, const std::vector<Port>& before, const CheckInfo& check) {
  const auto same_transport = [&](const Port& other) { return other.transport == port.transport; };
  if (!check.default_ports.empty() && std::none_of(check.default_ports.begin(), check.default_ports.end(), same_transport)) {
    return fmt::format("is not spoken by {}: write it {}", check.name,
                       port.transport == Transport::udp ? "without /udp" : "with /udp");
  }
  for (const Port& other : before) {
    if (other == port) return "is there twice: remove one";
    if (other.number != port.number || other.transport != port.transport) continue;
    return fmt::format("is there as \"{}\" too: keep one, a port is either plain or TLS from the first byte",
                       format_port(other));
  }
  return {};
}

std::string as_label(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9');
    if (good) out += c;
    if (!good && (out.empty() || out.back() != '_')) out += '_';
  }
  if (out.empty() || (out[0] >= '0' && out[0] <= '9')) out.insert(out.begin(), '_');
  return out;
}

void read_labels(Section& section, std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : section.table()) {
    const std::string name(key.str());
    const std::string right = as_label(name);
    std::string text;
    if (section.text(name, text, read_words)) labels[name] = text;
    if (right == name) continue;
    section.wrong(place_of(key), name,
                  fmt::format("is not a name that Prometheus takes (letters, digits and _): write {}", right));
  }
}

Section named_values(Section& section, const std::string& key, std::string_view example) {
  static const toml::table none;
  const toml::node* node = section.find(key);
  const auto* table = node ? node->as_table() : nullptr;
  if (node && !table) {
    section.wrong(place_of(*node), key, fmt::format("must be a table, but this is {}: write {}", kind_of(*node), example));
  }
  return {table ? *table : none, key, node ? place_of(*node) : section.place(), section.errors(), key + "."};
}

bool read_checks(Section& section, std::vector<std::string>& checks, bool& dnsbl) {
  const bool written = section.has("checks");
  const bool right = section.list("checks", checks, read_target_check) || !written;
  dnsbl = !written || std::erase(checks, kDnsbl) > 0;
  if (written) return right;
  for (const CheckInfo& check : catalogue()) {
    if (check.on_by_default) checks.emplace_back(check.name);
  }
  return true;
}

namespace {

// Exactly one of host, address, network and mx_of.
void read_place(Section& section, const std::vector<Cidr>* scope, TargetPlace& place) {
  IpAddress address;
  Cidr network(IpAddress(), 32);
  section.text("host", place.host, read_target_host);
  if (section.text("address", address, read_target_address)) place.address = address;
  if (section.text("network", network, read_target_network)) place.network = network;
  section.text("mx_of", place.mx_of, read_host);

  std::vector<std::pair<Place, std::string>> written;
  for (const char* key : {"host", "address", "network", "mx_of"}) {
    if (section.has(key)) written.emplace_back(section.place(key), key);
  }
  std::sort(written.begin(), written.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.line, a.first.column) < std::pair(b.first.line, b.first.column);
  });
  if (written.empty()) {
    section.errors().add(section.place(),
                         "[[target]] does not say where it is: write host = \"mx1.example.org\", or address, network or mx_of");
  }
  for (std::size_t i = 1; i < written.size(); ++i) {
    section.wrong(
        written[i].first, written[i].second,
        fmt::format("says again where the target is, after `{}`: keep one, and write another [[target]] for the other",
                    written[0].second));
  }
  if (!scope) return;
  const auto outside = [&](std::string_view key, const std::string& value, const Cidr& part) {
    if (in_scope(*scope, part)) return;
    section.wrong(section.place(key), key,
                  about(value, fmt::format("is not inside scope: add \"{}\" to scope if it is yours", value)));
  };
  if (place.address) outside("address", place.address->to_string(), Cidr(*place.address, place.address->is_v4() ? 32 : 128));
  if (place.network) outside("network", place.network->to_string(), *place.network);
}

// The port of one element; nullopt and an error when it is none.
std::optional<Port> read_port(Section& section, const toml::node& element, const std::string& check) {
  const auto* number = element.as_integer();
  const auto* text = element.as_string();
  std::optional<Port> port;
  if (number && number->get() >= 1 && number->get() <= 65535)
    port = Port{static_cast<std::uint16_t>(number->get()), Transport::tcp, false};
  if (text) port = parse_port(text->get());
  if (port) return port;
  constexpr std::string_view kRemedy = "write a number from 1 to 65535, or \"465/tls\" or \"3478/udp\"";
  if (number || text) {
    const std::string shown = number ? std::to_string(number->get()) : text->get();
    section.wrong(place_of(element), check, about(shown, fmt::format("is not a port: {}", kRemedy)));
  } else {
    section.wrong(place_of(element), check, fmt::format("holds ports, but this is {}: {}", kind_of(element), kRemedy));
  }
  return std::nullopt;
}

void read_ports(Section& section, const TargetConfig& target, bool checks_right,
                std::map<std::string, std::vector<Port>>& into) {
  for (const auto& [key, value] : section.table()) {
    const std::string check(key.str());
    const CheckInfo* info = find_check(check);
    if (!info) continue;
    section.find(check);
    const auto* elements = value.as_array();
    if (!elements) {
      const auto* lone = value.as_integer();
      section.wrong(
          place_of(value), check,
          fmt::format("must be a list of ports, but this is {}: write [{}]", kind_of(value), lone ? lone->get() : 25));
      continue;
    }
    std::vector<Port> ports;
    for (const toml::node& element : *elements) {
      const auto port = read_port(section, element, check);
      if (!port) continue;
      const std::string problem = port_problem(*port, ports, *info);
      if (!problem.empty()) section.wrong(place_of(element), check, about(format_port(*port), problem));
      if (problem.empty()) ports.push_back(*port);
    }
    if (elements->empty()) {
      section.wrong(place_of(value), check,
                    fmt::format("is empty, so nothing would be asked: remove {} from checks instead", check));
    }
    if (checks_right && std::find(target.checks.begin(), target.checks.end(), check) == target.checks.end()) {
      section.wrong(place_of(key), check,
                    fmt::format("has no effect: add \"{}\" to checks of this target, or remove the line", check));
    }
    into[check] = std::move(ports);
  }
}

void read_intervals(Section& section, const TargetConfig& target, bool checks_right, Duration usual,
                    std::map<std::string, Duration>& into) {
  for (const auto& [key, value] : section.table()) {
    const std::string check(key.str());
    if (!find_check(check)) continue;
    Duration interval = usual;
    if (section.duration(check, interval, kShortestInterval, kLongestInterval)) into[check] = interval;
    if (checks_right && std::find(target.checks.begin(), target.checks.end(), check) == target.checks.end()) {
      section.wrong(place_of(key), check,
                    fmt::format("has no effect: add \"{}\" to checks of this target, or remove the line", check));
    }
  }
}

// The keys of `section` that are no check.
void refuse_unknown_checks(Section& section) {
  for (const auto& [key, value] : section.table()) {
    if (find_check(key.str())) continue;
    if (key.str() == kDnsbl) {
      section.wrong(place_of(key), key.str(), "has no effect: databases are asked as [dnsbl] says; remove the line");
      continue;
    }
    try {
      read_check(key.str());
    } catch (const Wrong& e) {
      section.wrong(place_of(key), key.str(), fmt::format("names a check that {}", e.what()));
    }
  }
}

void read_target(Section& section, const std::vector<Cidr>* scope, const Config& config, TargetConfig& target) {
  section.require("name", "name = \"mx1\", unique in this file");
  section.text("name", target.name, read_target_name);
  read_place(section, scope, target.place);
  section.list("mail_domains", target.mail_domains, read_host);
  section.list("control_recipients", target.control_recipients, read_mailbox);
  const bool checks_right = read_checks(section, target.checks, target.dnsbl);
  Section ports = named_values(section, "ports", "ports.smtp_relay = [25, 587, \"465/tls\"]");
  Section intervals = named_values(section, "intervals", "intervals.smtp_relay = \"15m\"");
  Section labels = named_values(section, "labels", "labels = { site = \"zrh\" }");
  read_ports(ports, target, checks_right, target.ports);
  refuse_unknown_checks(ports);
  read_intervals(intervals, target, checks_right, config.agent.interval, target.intervals);
  refuse_unknown_checks(intervals);
  read_labels(labels, target.labels);
  section.text("owner", target.owner, read_words);
  section.flag("paused", target.paused);
}

void read_exemption(Section& section, Config& config, ExemptionConfig& exemption) {
  section.require("target", "target = \"mx1\", the name of a target");
  section.require("check", "check = \"smtp_relay\", the name of a check");
  section.require("until", "until = 2027-01-31, its last day");
  section.require("who", "who = \"sre@example.net\", who allowed it");
  section.require("why", "why = \"…\", the reason for those who find it later");
  if (section.text("target", exemption.target, read_words) && !config.find_target(exemption.target)) {
    std::vector<std::string> names;
    for (const TargetConfig& target : config.targets) names.push_back(target.name);
    const auto near = did_you_mean(exemption.target, names);
    const std::string remedy = near ? fmt::format("did you mean `{}`?", *near) : "write the name of a [[target]] of this file";
    if (config.discovery.empty()) {
      section.wrong(section.place("target"), "target", about(exemption.target, "is not a target: " + remedy));
    } else if (near) {  // it may be one that is found later
      const Place place = section.place("target");
      config.warnings.push_back(
          {config.file, place.line, place.column,
           fmt::format("`target` = {} is no [[target]], but may be found: {}", quote(exemption.target), remedy)});
    }
  }
  section.text("check", exemption.check, read_check);
  if (const toml::node* node = section.find("until")) {
    const auto* date = node->as_date();
    if (date) {
      using namespace std::chrono;
      exemption.until = sys_days(year(date->get().year) / month(date->get().month) / day(date->get().day));
    } else {
      section.wrong(
          place_of(*node), "until",
          fmt::format("must be a date, but this is {}: write until = 2027-01-31, without quotes and time", kind_of(*node)));
    }
  }
  section.text("who", exemption.who, read_words);
  section.text("why", exemption.why, read_words);
}

}  // namespace

void read_targets(std::vector<Section>& sections, bool scope_known, Config& config) {
  std::map<std::string, unsigned> lines;
  config.targets.reserve(sections.size());
  for (Section& section : sections) {
    TargetConfig& target = config.targets.emplace_back();
    read_target(section, scope_known ? &config.scope : nullptr, config, target);
    if (target.name.empty()) continue;
    const auto [first, fresh] = lines.emplace(target.name, section.place("name").line);
    if (fresh) continue;
    section.wrong(section.place("name"), "name",
                  about(target.name, fmt::format("is the name of the target on line {} too: write another", first->second)));
  }
}

void read_exemptions(std::vector<Section>& sections, Config& config) {
  std::set<std::pair<std::string, std::string>> seen;
  for (Section& section : sections) {
    ExemptionConfig& exemption = config.exemptions.emplace_back();
    read_exemption(section, config, exemption);
    if (exemption.target.empty() || exemption.check.empty()) continue;
    if (seen.emplace(exemption.target, exemption.check).second) continue;
    section.errors().add(section.place(), fmt::format("[[exemption]] of {} at {} is there twice: remove one",
                                                      quote(exemption.check), quote(exemption.target)));
  }
}

}  // namespace ajar
