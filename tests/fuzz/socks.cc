// The codec of SOCKS replies and datagrams: any bytes; a reply is never longer than the protocol allows, and more bytes change
// no answer; what a datagram carries is its end, and it can be written again.
#include "checks/wire/socks.h"

#include <cstdint>

#include "tests/fuzz/raw_network.h"

namespace {

using namespace ajar;

void parse_datagram(std::string_view bytes) {
  const auto datagram = parse_socks5_datagram(bytes);
  if (!datagram) return;
  require(bytes.ends_with(datagram->payload) && bytes.size() - datagram->payload.size() <= 4 + 1 + 255 + 2);
  require(datagram->source.size() <= 255);
  const auto address = IpAddress::parse(datagram->source);
  const bool literal = bytes[3] != 3 && address;
  const std::string again = literal ? socks5_datagram(*address, datagram->port, datagram->payload)
                                    : socks5_datagram(datagram->source, datagram->port, datagram->payload);
  const auto same = parse_socks5_datagram(again);
  require(same && same->source == datagram->source && same->port == datagram->port && same->payload == datagram->payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  parse_datagram(bytes);
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
