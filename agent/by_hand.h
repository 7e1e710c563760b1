// How a person repeats a test by hand: the same question, asked with swaks or curl.
#pragma once

#include <string>

#include "agent/record.h"

namespace ajar {

// HTML for one result of any level: the command, and what answer says that the door is shut. `variant`: the one that said yes
// ("forged_local/plain"), whose form is then repeated and said in words; empty or unknown: the plain question. `local_domain`:
// what the server under test takes for its own, for the mail forms that name it. Empty for a check that is not in the
// catalogue.
std::string by_hand_section(const ResultKey& key, TlsMode tls, const std::string& variant = {},
                            const std::string& local_domain = {});

// A word of a POSIX shell command that means just `text`. Control characters are left out.
std::string shell_word(const std::string& text);

}  // namespace ajar
