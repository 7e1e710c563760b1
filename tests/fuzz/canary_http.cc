// Arbitrary client bytes into the HTTP and raw TCP dialog: one answer of bounded size, and nothing is proven without a valid
// token.
#include "agent/canary_http.h"

#include "tests/fuzz/canary_session.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ajar::FuzzedSession session;
  session.run(&ajar::serve_tcp, {reinterpret_cast<const char*>(data), size}, 4096);
  return 0;
}
