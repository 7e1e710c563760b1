// Arbitrary client bytes into the SMTP sink: it ends, what it says is bounded, and nothing is proven without a valid token.
#include "agent/canary_smtp.h"

#include "tests/fuzz/canary_session.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ajar::FuzzedSession session;
  // At most 100 commands and the greeting, each reply under 400 bytes.
  session.run(&ajar::serve_smtp, {reinterpret_cast<const char*>(data), size}, 102 * 400);
  return 0;
}
