// `ajar check`: asks now, says what it found, and leaves.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "checks/check.h"

namespace ajar {

struct CheckOptions {
  std::string config;                // --config; empty: ./ajar.toml, else /etc/ajar/ajar.toml, unless scope is given
  std::vector<std::string> scope;    // --scope: without a configuration
  std::vector<std::string> checks;   // --check; empty: the target's
  std::vector<std::string> targets;  // empty: all of the configuration
  bool quick = false;                // core variants only
  bool json = false;
  bool zones = false;                      // --zones: test the databases, and nothing else
  std::chrono::milliseconds wait{30'000};  // for mail
};

// Exit code: 0 all closed (or unreachable beside something closed), 1 something unclear or nothing reachable at all, 2
// something accepted or open, 3 usage or configuration error. The result goes to stdout, all else to stderr.
int run_check(const CheckOptions& options);

// What databases say does not change it. With --zones: 0 all healthy, 1 not, 3 as above.
// The exit code for a set of verdicts.
int exit_code(const std::vector<Verdict>& verdicts);

// "./ajar.toml", else "/etc/ajar/ajar.toml", whichever is there; empty when neither is.
std::string default_config_file();

}  // namespace ajar
