// Heartbeats as the ledger stores them. Whatever is taken for some must come back the same from its own writing.
#include "agent/heartbeat.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto once = ajar::unpack_heartbeats(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!once) return 0;
  if (once->size() > size) std::abort();  // each takes some bytes
  if (ajar::unpack_heartbeats(ajar::pack(*once)) != once) std::abort();
  return 0;
}
