#include "agent/memory.h"

#ifdef AJAR_JEMALLOC
#include <string>

#include <jemalloc/jemalloc.h>
#else
#include <malloc.h>
#endif

namespace ajar {

void give_back_memory() {
#ifdef AJAR_JEMALLOC
  const std::string purge = "arena." + std::to_string(MALLCTL_ARENAS_ALL) + ".purge";
  mallctl(purge.c_str(), nullptr, nullptr, nullptr, 0);
#else
  malloc_trim(0);
#endif
}

}  // namespace ajar
