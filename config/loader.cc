// A file to a Config: the top of the file and the small sections.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "config/sections.h"
#include "config/syntax.h"

namespace ajar {

namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kShortest = std::chrono::milliseconds(100);
constexpr std::size_t kLargestFile = 64 * 1024 * 1024;

std::string this_host() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  try {
    return read_host(name.data());
  } catch (const Wrong&) {
    return "localhost";  // EHLO takes a host name, and the machine's is none
  }
}

// True when every network of the scope could be read.
bool read_scope_list(Section& top, std::vector<Cidr>& scope) {
  constexpr std::string_view kRemedy = "with the networks of your own servers; probes connect to nothing else";
  if (!top.has("scope")) {
    top.find("scope");
    top.errors().add({1, 1},
                     fmt::format("`scope` is missing: write scope = [\"203.0.113.0/24\"] at the top of the file, {}", kRemedy));
    return false;
  }
  const bool right = top.list("scope", scope, read_scope);
  if (right && scope.empty()) {
    top.wrong(top.place("scope"), "scope", fmt::format("is empty: write scope = [\"203.0.113.0/24\"] {}", kRemedy));
    return false;
  }
  return right;
}

void read_document(const toml::table& document, bool read_keys, Config& config, Errors& errors) {
  Section top(document, "", {1, 1}, errors);
  const bool scope_known = read_scope_list(top, config.scope);
  Section agent = top.sub_table("agent");
  Section log = top.sub_table("log");
  Section web = top.sub_table("web");
  Section metrics = top.sub_table("metrics");
  Section canary = top.sub_table("canary");
  std::vector<Section> targets = top.sub_tables("target");
  std::vector<Section> discovery = top.sub_tables("discovery");
  std::vector<Section> exemptions = top.sub_tables("exemption");
  Section dnsbl = top.sub_table("dnsbl");
  std::vector<Section> zones = dnsbl.sub_tables("zone");
  read_agent(agent, config.agent);
  read_log(log, config.log);
  read_web(web, config.web);
  read_metrics(metrics, config.metrics);
  read_canary(canary, config.web, config.canary);
  read_targets(targets, scope_known, config);
  read_discovery(discovery, config);
  read_exemptions(exemptions, config);
  read_dnsbl(dnsbl, zones, read_keys, config);

  const Homes all = {{"below [agent]", agent.known()},   {"below [log]", log.known()},
                     {"below [web]", web.known()},       {"below [metrics]", metrics.known()},
                     {"below [canary]", canary.known()}, {"below [dnsbl]", dnsbl.known()}};
  const Homes above = {{"to the top of the file, above the first [section]", {"scope"}}};
  top.finish(all);
  for (Section* section : {&agent, &log, &web, &metrics, &canary, &dnsbl}) section->finish(above);
  for (Section& section : targets) section.finish(above);
  for (Section& section : discovery) section.finish(above);
  for (Section& section : exemptions) section.finish(above);
  for (Section& section : zones) section.finish(above);
}

std::variant<Config, std::vector<ConfigError>> parse(std::string_view text, const std::string& file, bool read_keys) {
  Errors errors(file);
  Config config;
  config.file = file;
  if (const auto document = parse_document(text, errors)) read_document(*document, read_keys, config, errors);
  if (!errors.empty()) return errors.take();
  return config;
}

}  // namespace

void read_agent(Section& section, AgentConfig& agent) {
  section.text("name", agent.name, read_ehlo_name);
  section.text("contact", agent.contact, read_contact);
  section.text("vantage", agent.vantage, read_vantage);
  section.list("source_addresses", agent.source_addresses, read_source_address);
  section.duration("interval", agent.interval, kShortestInterval, kLongestInterval);
  section.duration("full_matrix_interval", agent.full_matrix_interval, kShortestInterval, hours(24 * 90));
  section.duration("retry_interval", agent.retry_interval, kShortest, hours(24));
  section.duration("sweep_interval", agent.sweep_interval, kShortestInterval, hours(24 * 90));
  section.duration("connect_timeout", agent.connect_timeout, kShortest, minutes(10));
  section.duration("reply_timeout", agent.reply_timeout, kShortest, hours(1));
  section.duration("probe_timeout", agent.probe_timeout, kShortest, hours(24));
  section.duration("reopen_within", agent.reopen_within, kShortest, hours(24 * 90));
  section.duration("case_retention", agent.case_retention, hours(1), hours(24 * 3650));
  section.duration("quarantine", agent.quarantine, kShortestInterval, hours(24 * 365));
  section.number("concurrency", agent.concurrency, 1, 1'000'000);
  section.number("connections_per_second", agent.connections_per_second, 1, 1'000'000);
  section.number("connections_per_second_per_address", agent.connections_per_second_per_address, 0, 1'000'000);
  section.number("connections_per_second_per_network", agent.connections_per_second_per_network, 0, 1'000'000);
  section.number("daily_connections_per_address", agent.daily_connections_per_address, 0, 1'000'000'000);
  section.number("daily_bytes_per_address", agent.daily_bytes_per_address, 0, 4'000'000'000);
  section.number("per_address", agent.per_address, 1, 100);
  section.number("threads", agent.threads, 1, 256);
  section.text("state", agent.state, read_path);
  if (agent.name.empty()) agent.name = this_host();
}

void read_log(Section& section, LogConfig& log) {
  section.one_of("level", log.level, {"trace", "debug", "info", "warn", "error"});
  section.one_of("format", log.format, {"text", "json"});
}

void read_web(Section& section, WebConfig& web) {
  if (section.list("listen", web.listen, read_listen) && web.listen.empty()) {
    section.wrong(section.place("listen"), "listen", "is empty, so nobody could ask: write listen = [\"127.0.0.1:9925\"]");
  }
  section.text("external_url", web.external_url, read_external_url);
  section.text("config_file", web.config_file, read_words);
}

void read_metrics(Section& section, MetricsConfig& metrics) {
  section.one_of("detail", metrics.detail, {"results", "targets", "auto"});
}

std::vector<std::string> check_names() {
  std::vector<std::string> names;
  for (const CheckInfo& check : catalogue()) names.emplace_back(check.name);
  return names;
}

std::variant<Config, std::vector<ConfigError>> parse_config(std::string_view text, const std::string& file) {
  return parse(text, file, false);
}

std::variant<Config, std::vector<ConfigError>> load_config(const std::string& file) {
  const auto fail = [&](const std::string& message) { return std::vector<ConfigError>{{file, 0, 0, message}}; };
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::string text;
  std::array<char, 16384> block{};
  while (in) {
    in.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > kLargestFile)
      return fail("cannot be read: it is larger than 64 MiB; name a configuration file with --config");
  }
  if (!in.eof()) {
    const int reason = errno != 0 ? errno : EIO;
    return fail(
        fmt::format("cannot be read: {}; name the configuration file with --config", std::generic_category().message(reason)));
  }
  return parse(text, file, true);
}

}  // namespace ajar
