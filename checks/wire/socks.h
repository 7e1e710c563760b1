// SOCKS 4, 4a and 5: the bytes of a request, what the replies say, and the header of datagrams. Pure.
//   SOCKS4   https://www.openssh.com/txt/socks4.protocol          SOCKS4a  https://www.openssh.com/txt/socks4a.protocol
//   SOCKS5   RFC 1928
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checks/ip_address.h"

namespace ajar {

// VN 4, CD 1, DSTPORT, DSTIP, an empty USERID. `address` is IPv4.
std::string socks4_connect(const IpAddress& address, std::uint16_t port);
// SOCKS4a: DSTIP 0.0.0.1, then the host name. `host` holds no NUL.
std::string socks4a_connect(std::string_view host, std::uint16_t port);

enum class Socks4Code : std::uint8_t { granted = 0x5a, rejected = 0x5b, no_identd = 0x5c, wrong_identd = 0x5d };
inline constexpr std::size_t kSocks4Reply = 8;
// VN must be 0, or the 4 that some write, and CD one of the four; nullopt: no SOCKS4 reply. `bytes`: the first two of the reply
// at least.
std::optional<Socks4Code> parse_socks4_reply(std::string_view bytes);

// RFC 1928 3: version 5, one method: 00, no authentication.
std::string socks5_greeting();
// The method that the server chose; 0xff: none acceptable. nullopt: not two bytes that begin with version 5.
std::optional<std::uint8_t> parse_socks5_method(std::string_view bytes);

// RFC 1928 4: CONNECT. `host` at most 255 bytes, else it is cut.
std::string socks5_connect(const IpAddress& address, std::uint16_t port);
std::string socks5_connect(std::string_view host, std::uint16_t port);

// RFC 1928 4: UDP ASSOCIATE, for a client that does not know yet where it will send from: the unspecified address and port 0.
std::string socks5_associate(bool v4);

// RFC 1928 6. The length of a reply depends on its address type.
struct Socks5Reply {
  std::uint8_t code = 0;   // 00 succeeded … 08 address type not supported
  std::size_t size = 0;    // of the whole reply in bytes
  std::string bound;       // BND.ADDR as text; empty until all of it is here
  std::uint16_t port = 0;  // BND.PORT, once all is here
  bool complete = false;   // `size` bytes are here
};
// nullopt: these bytes begin no reply (version). The reserved byte may be anything, and an address type that is none stands for
// IPv4, as servers that leave the address out write it. While `size` is 0 more bytes are needed to know it.
std::optional<Socks5Reply> parse_socks5_reply(std::string_view bytes);

// "general failure", "not allowed by the ruleset", … (RFC 1928 6); "code 23" for others.
std::string socks5_code_text(std::uint8_t code);

// RFC 1928 7: a datagram to the relay, which is to send `payload` on. `host` at most 255 bytes, else it is cut.
std::string socks5_datagram(const IpAddress& address, std::uint16_t port, std::string_view payload);
std::string socks5_datagram(std::string_view host, std::uint16_t port, std::string_view payload);

// What came from the relay.
struct Socks5Datagram {
  std::uint8_t fragment = 0;  // FRAG; 0: a whole datagram
  std::string source;         // DST.ADDR as text: who answered
  std::uint16_t port = 0;
  std::string_view payload;  // of the bytes that were parsed
};
// nullopt: a reserved field that is not 0, an address type that is none, or a header that is cut.
std::optional<Socks5Datagram> parse_socks5_datagram(std::string_view bytes);

}  // namespace ajar
