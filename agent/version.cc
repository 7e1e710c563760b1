#include "agent/version.h"

#include "revision.h"

namespace ajar {

const char* const kVersion = AJAR_VERSION;
const char* const kRevision = AJAR_REVISION;
const char* const kCompiler = AJAR_COMPILER;

}  // namespace ajar
