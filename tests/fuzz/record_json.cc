// Records, arrivals, messages and suspicions as JSON: what the agent's API takes. Whatever parses must come back the same from
// its own writing.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "agent/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const std::string once = ajar::serialise(ajar::parse_record(text));
    if (ajar::serialise(ajar::parse_record(once)) != once) std::abort();
  } catch (const std::runtime_error&) {
  }
  try {
    const std::string once = ajar::to_json(ajar::parse_arrival(text)).dump();
    if (ajar::to_json(ajar::parse_arrival(once)).dump() != once) std::abort();
  } catch (const std::runtime_error&) {
  }
  try {
    const std::string once = ajar::serialise(ajar::parse_message(text));
    if (ajar::serialise(ajar::parse_message(once)) != once) std::abort();
  } catch (const std::runtime_error&) {
  }
  try {
    const std::string once = ajar::serialise(ajar::parse_suspicions(text));
    if (ajar::serialise(ajar::parse_suspicions(once)) != once) std::abort();
  } catch (const std::runtime_error&) {
  }
  return 0;
}
