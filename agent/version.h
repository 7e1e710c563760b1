// Which ajar this is: shown by `ajar --version`, on /metrics (ajar_build_info) and in the User-Agent of its requests.
#pragma once

namespace ajar {

extern const char* const kVersion;   // "0.1.0"
extern const char* const kRevision;  // abbreviated commit, "-dirty" appended when the tree was changed; "unknown" outside git
extern const char* const kCompiler;  // "GNU 12.2.0"

}  // namespace ajar
