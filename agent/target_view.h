// A target as pages, metrics and the API see it: what its owner wrote, and what that means now.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"

namespace ajar {

struct TargetView {
  TargetConfig config;
  std::vector<std::string> addresses;  // that are probed now; a network is one entry, "203.0.113.0/26"
  std::string note;                    // "does not resolve; keeps its last addresses"; empty when all is well
  std::string found_by = {};           // the [[discovery]] that found it; empty: a [[target]]
};

using TargetViews = std::vector<TargetView>;

// How a target's place is written: the host name, address, network, or the domain whose MX it is.
std::string place_text(const TargetPlace& place);

}  // namespace ajar
