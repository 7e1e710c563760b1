// A configuration file of arbitrary bytes: it is read, or every error has its file, a place in it and words without control
// characters. What is read is what the contract promises: a scope, unique names, checks that exist, one place for each target.
#include "config/config.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

namespace {

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

bool printable(const std::string& text) {
  for (const char c : text) {
    if ((c >= 0 && c < ' ') || c == 0x7f) return false;
  }
  return true;
}

void check_target(const ajar::Config& config, const ajar::TargetConfig& target) {
  const auto& place = target.place;
  require(!place.host.empty() + place.address.has_value() + place.network.has_value() + !place.mx_of.empty() == 1, "one place");
  require(!target.name.empty() && printable(target.name), "target name");
  for (const std::string& check : target.checks) {
    require(ajar::find_check(check) != nullptr, "check exists");
    require(!config.ports(target, check).empty(), "check has ports");
    require(config.interval(target, check) >= std::chrono::seconds(1), "interval");
  }
  for (const std::string& mailbox : target.control_recipients) {
    require(printable(mailbox) && mailbox.find('@') != std::string::npos, "control recipient");
  }
  for (const auto& [check, ports] : target.ports) {
    std::set<std::pair<int, ajar::Transport>> numbers;
    for (const ajar::Port& port : ports) {
      require(port.number > 0 && numbers.emplace(port.number, port.transport).second, "ports differ");
    }
  }
}

void check_config(const ajar::Config& config) {
  require(!config.scope.empty(), "scope");
  for (const ajar::Cidr& network : config.scope) {
    require(network.length() >= (network.first().is_v4() ? 8U : 29U) && !network.first().is_multicast(), "scope is narrow");
  }
  require(!config.agent.name.empty() && printable(config.agent.name) && printable(config.agent.contact), "names");
  require(config.agent.threads > 0 && config.agent.concurrency > 0, "numbers");
  std::set<std::string> names;
  for (const ajar::TargetConfig& target : config.targets) {
    check_target(config, target);
    require(names.insert(target.name).second, "unique names");
  }
  for (const ajar::ExemptionConfig& exemption : config.exemptions) {
    require(names.contains(exemption.target) && ajar::find_check(exemption.check), "exemption");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto result = ajar::parse_config(text, "fuzz.toml");
  if (const auto* config = std::get_if<ajar::Config>(&result)) {
    check_config(*config);
    return 0;
  }
  const auto& errors = std::get<std::vector<ajar::ConfigError>>(result);
  require(!errors.empty(), "an error");
  unsigned last_line = 0;
  for (const ajar::ConfigError& error : errors) {
    require(error.file == "fuzz.toml" && error.line > 0 && error.column > 0, "a place");
    require(error.line >= last_line, "order of appearance");
    require(!error.message.empty() && printable(error.message), "words");
    last_line = error.line;
  }
  if (const auto duration = ajar::parse_duration(text)) {
    require(ajar::parse_duration(ajar::format_duration(*duration)) == duration, "duration parses back");
  }
  if (const auto port = ajar::parse_port(text)) require(ajar::parse_port(ajar::format_port(*port)) == port, "port parses back");
  return 0;
}
