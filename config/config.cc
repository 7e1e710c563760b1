// Questions that the rest of the program asks of a loaded configuration.
#include "config/config.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace ajar {

Duration Config::interval(const TargetConfig& target, const std::string& check) const {
  const auto own = target.intervals.find(check);
  return own != target.intervals.end() ? own->second : agent.interval;
}

std::vector<Port> Config::ports(const TargetConfig& target, const std::string& check) const {
  const auto own = target.ports.find(check);
  if (own != target.ports.end()) return own->second;
  const CheckInfo* info = find_check(check);
  if (!info) return {};
  return {info->default_ports.begin(), info->default_ports.end()};
}

const TargetConfig* Config::find_target(std::string_view name) const {
  const auto found = std::find_if(targets.begin(), targets.end(), [&](const auto& target) { return target.name == name; });
  return found != targets.end() ? &*found : nullptr;
}

std::string Config::path(const std::string& written) const {
  if (written.empty() || file.empty()) return written;
  return (std::filesystem::path(file).parent_path() / written).string();  // an absolute path stays itself
}

std::string ConfigError::to_string() const {
  if (line == 0) return fmt::format("{}: {}", file, message);
  return fmt::format("{}:{}:{}: {}", file, line, column, message);
}

}  // namespace ajar
