// The codec of SOCKS replies: any bytes; a reply is never longer than the protocol allows, and more bytes change no answer.
#include "checks/wire/socks.h"

#include <cstdint>

#include "tests/fuzz/raw_network.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ajar;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto code = parse_socks4_reply(bytes); code)
    require((bytes[0] == 0 || bytes[0] == 4) && static_cast<int>(*code) >= 0x5a);
  if (const auto method = parse_socks5_method(bytes); method) require(bytes[0] == 5);
  const auto reply = parse_socks5_reply(bytes);
  if (!reply) return 0;
  require(reply->size == 0 || (reply->size >= 7 && reply->size <= 4 + 1 + 255 + 2));
  require(reply->complete == (reply->size > 0 && bytes.size() >= reply->size));
  require(reply->bound.size() <= 255);
  require(!socks5_code_text(reply->code).empty());
  if (!reply->complete) return 0;
  const auto same = parse_socks5_reply(bytes.substr(0, reply->size));
  require(same && same->complete && same->bound == reply->bound && same->code == reply->code);
  return 0;
}
