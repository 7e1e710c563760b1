#include "agent/memory.h"

#ifdef AJAR_TCMALLOC
#include <gperftools/malloc_extension_c.h>
#else
#include <malloc.h>
#endif

namespace ajar {

void give_back_memory() {
#ifdef AJAR_TCMALLOC
  MallocExtension_ReleaseFreeMemory();
#else
  malloc_trim(0);
#endif
}

}  // namespace ajar
