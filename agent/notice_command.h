// `ajar notice`: the notice about a target, on stdout.
#pragma once

#include <string>

#include "config/config.h"

namespace ajar {

struct NoticeOptions {
  std::string languages;  // "de", or several with commas: one after the other
  std::string format = "text";
  std::string target;  // a name of the configuration, or the host or address of a target
};

// Exit code: 0 written, 1 nothing is to be told, 3 wrong usage, an unknown target, or a state that cannot be read. Reads the
// state file, or asks the agent that has it.
int run_notice(const Config& config, const NoticeOptions& options);

}  // namespace ajar
