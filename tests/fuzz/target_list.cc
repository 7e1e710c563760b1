// A list of targets of arbitrary bytes, as JSON and as YAML: it is read or refused in printable words, within its bounds; and
// what is made of its entries can be used: names that fit a URL, places, ports of checks that exist, labels that Prometheus
// takes.
#include "agent/target_list.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/discovered.h"
#include "config/values.h"

namespace {

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

bool printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

const ajar::Config& config() {
  static const auto parsed = ajar::parse_config(
      "scope = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n[[discovery]]\nfile = \"a.json\"\nlabels = { site = \"zrh\" }\n", "x");
  return std::get<ajar::Config>(parsed);
}

void check_target(const ajar::TargetConfig& target) {
  require(ajar::read_target_name(target.name) == target.name, "a name");
  const bool host = !target.place.host.empty();
  require(host != target.place.address.has_value() && !target.place.network && target.place.mx_of.empty(), "one place");
  if (host) require(ajar::is_host_name(target.place.host), "a host name");
  if (!host) {
    const ajar::IpAddress& address = *target.place.address;
    require(ajar::in_scope(config().scope, ajar::Cidr(address, address.is_v4() ? 32 : 128)), "inside scope");
  }
  for (const std::string& check : target.checks) {
    require(ajar::find_check(check) != nullptr, "a check");
    require(!config().ports(target, check).empty(), "a port");
  }
  for (const auto& [check, ports] : target.ports) {
    require(std::find(target.checks.begin(), target.checks.end(), check) != target.checks.end(), "ports of its checks");
    for (const ajar::Port& port : ports) require(port.number != 0, "a port number");
  }
  for (const auto& [name, value] : target.labels) {
    require(ajar::as_label(name) == name && !name.starts_with("__") && !value.empty() && printable(value), "a label");
  }
  require(printable(target.owner), "an owner");
}

void check_groups(const ajar::TargetGroups& groups) {
  require(groups.size() <= ajar::kMaxListedTargets, "groups");
  for (const ajar::TargetGroup& group : groups) {
    require(group.labels.size() <= ajar::kMaxGroupLabels, "labels");
    for (const std::string& target : group.targets) require(target.size() <= ajar::kMaxTargetText, "a target's length");
  }
  const auto list = ajar::read_entries(groups, config().discovery.front(), config().scope, nullptr);
  const std::string* last = nullptr;
  for (const auto& target : list->targets) {
    require(last == nullptr || *last < target->name, "names in order, each once");
    last = &target->name;
    check_target(*target);
  }
  for (const ajar::RefusedEntry& refused : list->refused) {
    require(printable(refused.entry) && printable(refused.why) && !refused.why.empty(), "words");
  }
  const auto again = ajar::read_entries(groups, config().discovery.front(), config().scope, list.get());
  require(again->targets == list->targets, "the same objects");
}

void check(const std::variant<ajar::TargetGroups, std::string>& parsed) {
  if (const auto* wrong = std::get_if<std::string>(&parsed)) {
    require(!wrong->empty() && printable(*wrong), "printable words");
  } else {
    check_groups(std::get<ajar::TargetGroups>(parsed));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(ajar::parse_json_targets(text));
  check(ajar::parse_yaml_targets(text));
  return 0;
}
