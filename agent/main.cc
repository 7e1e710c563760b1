// ajar: is one of our doors open?
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/agent.h"
#include "agent/canary_main.h"
#include "agent/check_command.h"
#include "agent/import_command.h"
#include "agent/log.h"
#include "agent/notice_command.h"
#include "agent/version.h"
#include "agent/web_settings.h"
#include "config/config.h"

namespace {

constexpr int kUsageError = 3;

std::shared_ptr<const ajar::Config> load(const std::string& file) {
  auto loaded = ajar::load_config(file);
  if (auto* config = std::get_if<ajar::Config>(&loaded)) return std::make_shared<const ajar::Config>(std::move(*config));
  for (const ajar::ConfigError& error : std::get<std::vector<ajar::ConfigError>>(loaded)) {
    fmt::print(stderr, "{}\n", error.to_string());
  }
  return nullptr;
}

int run_agent(const std::string& file, bool check_only, std::size_t max_series) {
  const auto config = load(file);
  if (!config) return kUsageError;
  const std::string& web_file = config->web.config_file;
  const ajar::LoadedWebSettings web = ajar::load_web_settings(web_file.empty() ? "" : config->path(web_file));
  for (const ajar::ConfigError& error : web.errors) fmt::print(stderr, "{}\n", error.to_string());
  if (!web.settings) return kUsageError;
  if (check_only) {
    for (const auto& warnings : {config->warnings, web.settings->file.warnings}) {
      for (const ajar::ConfigError& warning : warnings) fmt::print(stderr, "warning: {}\n", warning.to_string());
    }
    const std::size_t sources = config->discovery.size();
    fmt::print("{}: valid, {} targets{}\n", file, config->targets.size(),
               sources == 0 ? "" : fmt::format(", {} sources of more", sources));
    return 0;
  }
  ajar::set_up_log(config->log);
  try {
    ajar::Agent agent(config, max_series);
    agent.run();
    return 0;
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "ajar: {}\n", error.what());
    return kUsageError;
  }
}

int run_canary(const std::string& file) {
  const auto config = load(file);
  if (!config) return kUsageError;
  ajar::set_up_log(config->log);
  return ajar::run_canary(*config);
}

int import_report(const std::string& file, const std::string& report) {
  const auto config = load(file);
  return config ? ajar::run_import(*config, report) : kUsageError;
}

int write_notice(const std::string& file, const ajar::NoticeOptions& options) {
  const auto config = load(file);
  return config ? ajar::run_notice(*config, options) : kUsageError;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("ajar: is one of our doors open?");
  app.set_version_flag("--version", fmt::format("ajar {} (revision {}, {})", ajar::kVersion, ajar::kRevision, ajar::kCompiler));
  app.require_subcommand(1);

  std::string config_file;
  bool check_only = false;
  CLI::App* const run =
      app.add_subcommand("run", "Asks every configured server, again and again, and serves /metrics and pages");
  run->add_option("--config", config_file, "Configuration file; default: ./ajar.toml, else /etc/ajar/ajar.toml");
  run->add_flag("--config.check", check_only, "Only say whether the configuration is valid");
  std::size_t max_series = 0;
  run->add_option("--web.max-series", max_series,
                  "At most so many series in /metrics, what matters least left out; 0: no limit");

  ajar::CheckOptions options;
  std::string wait = "30s";
  CLI::App* const check =
      app.add_subcommand("check", "Asks now, prints what it found, and exits: 0 closed, 1 unclear, 2 open, 3 usage");
  check->add_option("--config", options.config, "Configuration file; default: ./ajar.toml, else /etc/ajar/ajar.toml");
  check->add_option("--scope", options.scope, "A network that may be asked, without a configuration (CIDR); may be repeated")
      ->allow_extra_args(false);
  check->add_option("--check", options.checks, "Only this check; may be repeated")->allow_extra_args(false);
  check->add_flag("--quick", options.quick, "Core variants only");
  check->add_option("--wait", wait, "How long to wait for mail to come back")->capture_default_str();
  check->add_flag("--zones", options.zones, "Only test the public databases (DNSBLs) of the configuration");
  check->add_flag("--json", options.json, "One JSON object a line");
  check->add_option("TARGET", options.targets, "Targets of the configuration, or hosts or addresses inside the scope");

  CLI::App* const canary = app.add_subcommand("canary", "Runs only the canary, for an agent on another host");
  canary->add_option("--config", config_file, "Configuration file; default: ./ajar.toml, else /etc/ajar/ajar.toml");

  ajar::NoticeOptions notice_options;
  CLI::App* const notice =
      app.add_subcommand("notice", "Writes to the owner of a server what was found, and how to close the door");
  notice->add_option("--config", config_file, "Configuration file; default: ./ajar.toml, else /etc/ajar/ajar.toml");
  notice->add_option("--lang", notice_options.languages, "Language, or several with commas: en, de, fr, …")->required();
  notice->add_option("--format", notice_options.format, "text, html, eml or xarf")->capture_default_str();
  notice->add_option("TARGET", notice_options.target, "A target of the configuration")->required();

  CLI::App* const importing = app.add_subcommand("import", "Takes in what others report of your servers, and tests it");
  importing->require_subcommand(1);
  std::string report;
  CLI::App* const shadowserver = importing->add_subcommand("shadowserver", "A CSV report of the Shadowserver Foundation");
  shadowserver->add_option("--config", config_file, "Configuration file; default: ./ajar.toml, else /etc/ajar/ajar.toml");
  shadowserver->add_option("FILE", report, "The report under the name that it came with: YYYY-MM-DD-TYPE-….csv")->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  if (check->parsed()) {
    const auto duration = ajar::parse_duration(wait);
    if (!duration && wait != "0s") {
      fmt::print(stderr, "ajar: --wait {}: not a duration: write it as 30s, 5m or 1h30m\n", wait);
      return kUsageError;
    }
    options.wait = duration.value_or(ajar::Duration(0));
    return ajar::run_check(options);
  }
  if (config_file.empty()) config_file = ajar::default_config_file();
  if (config_file.empty()) {
    fmt::print(stderr, "ajar: no configuration: give --config FILE, or write ./ajar.toml or /etc/ajar/ajar.toml\n");
    return kUsageError;
  }
  if (notice->parsed()) return write_notice(config_file, notice_options);
  if (importing->parsed()) return import_report(config_file, report);
  return run->parsed() ? run_agent(config_file, check_only, max_series) : run_canary(config_file);
}
