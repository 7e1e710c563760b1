// The sections of the file, one function each. Errors are collected in the Section; a value that is wrong keeps its default.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/section.h"

namespace ajar {

void read_agent(Section& section, AgentConfig& agent);
void read_log(Section& section, LogConfig& log);
void read_web(Section& section, WebConfig& web);
void read_metrics(Section& section, MetricsConfig& metrics);
// `web` is read already: no two listeners may share a port.
void read_canary(Section& section, const WebConfig& web, CanaryConfig& canary);
// Every [[target]]. `scope_known`: false when scope itself is wrong, so that nothing is said to be outside of it.
void read_targets(std::vector<Section>& sections, bool scope_known, Config& config);
// Every [[discovery]]; reads no file and asks nobody.
void read_discovery(std::vector<Section>& sections, Config& config);
// [dnsbl] with every [[dnsbl.zone]]; both sections are finished by the caller. Warnings go to `config`. `read_keys`: read the
// files of keys.
void read_dnsbl(Section& section, std::vector<Section>& zones, bool read_keys, Config& config);
// Every [[exemption]]; the targets are read already.
void read_exemptions(std::vector<Section>& sections, Config& config);

// The names in the catalogue.
std::vector<std::string> check_names();
// `checks` of a target or discovery, with those that are on by default where it is not written; "dnsbl" becomes the flag. False
// when something of it is wrong.
bool read_checks(Section& section, std::vector<std::string>& checks, bool& dnsbl);
// A table below `section` whose keys are checks, labels or words of its own. Empty when it is not written.
Section named_values(Section& section, const std::string& key, std::string_view example);
void read_labels(Section& section, std::map<std::string, std::string>& labels);

}  // namespace ajar
