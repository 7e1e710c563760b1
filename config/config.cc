// Questions that the rest of the program asks of a loaded configuration.
#include "config/config.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

namespace ajar {

Duration Config::interval(const TargetConfig& target, const std::string& check) const {
  const auto own = target.intervals.find(check);
  if (own != target.intervals.end()) return own->second;
  // Such a check sends a message or a login: once a day is enough.
  const CheckInfo* const info = find_check(check);
  const bool opt_in = info != nullptr && !info->on_by_default;
  return opt_in ? std::max<Duration>(agent.interval, std::chrono::hours(24)) : agent.interval;
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
