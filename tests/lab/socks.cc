#include "tests/lab/socks.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace ajar::lab {
namespace {

constexpr std::size_t kMaxName = 255;

unsigned at(const std::string& bytes, std::size_t index) { return static_cast<unsigned char>(bytes[index]); }

std::uint16_t port_at(const std::string& bytes, std::size_t index) {
  return static_cast<std::uint16_t>(at(bytes, index) << 8 | at(bytes, index + 1));
}

std::string dotted(const std::string& bytes, std::size_t index) {
  return fmt::format("{}.{}.{}.{}", at(bytes, index), at(bytes, index + 1), at(bytes, index + 2), at(bytes, index + 3));
}

std::string six(const std::string& bytes) {
  std::array<std::uint8_t, 16> address{};
  std::copy(bytes.begin(), bytes.end(), address.begin());
  return IpAddress::v6(address).to_string();
}

// Up to a NUL, which is heard too. LinkError when it is too long.
Task<std::string> hear_to_nul(Link& link) {
  std::string text;
  while (text.size() <= kMaxName) {
    const std::string byte = co_await link.hear_bytes(1);
    if (byte[0] == '\0') co_return text;
    text += byte;
  }
  throw LinkError(Reason::protocol_error, "a SOCKS4 name without an end");
}

std::string socks4_reply(unsigned code) { return {'\0', static_cast<char>(code), 0, 0, 0, 0, 0, 0}; }

// BND.ADDR and BND.PORT are 0.0.0.0:0, as many servers have them.
std::string socks5_reply(unsigned code) { return {'\x05', static_cast<char>(code), 0, 1, 0, 0, 0, 0, 0, 0}; }

// RFC 1928 4: the address that is asked for. Empty: an address type that is none.
Task<std::string> hear_socks5_address(Link& link, unsigned type) {
  std::string bytes;
  switch (type) {
    case 1:
      bytes = co_await link.hear_bytes(4);
      co_return dotted(bytes, 0);
    case 3: {
      bytes = co_await link.hear_bytes(1);
      const std::size_t length = at(bytes, 0);
      bytes = co_await link.hear_bytes(length);
      co_return bytes;
    }
    case 4:
      bytes = co_await link.hear_bytes(16);
      co_return six(bytes);
    default:
      co_return "";
  }
}

// RFC 1928 3. False: none of the methods offered will do.
Task<bool> agree_on_method(Link& link, bool wants_auth) {
  std::string bytes = co_await link.hear_bytes(1);
  const std::size_t count = at(bytes, 0);
  bytes = co_await link.hear_bytes(count);
  const bool agreed = !wants_auth && bytes.find('\0') != std::string::npos;
  bytes = {'\x05', agreed ? '\0' : '\xff'};
  co_await link.say_bytes(std::move(bytes));
  co_return agreed;
}

}  // namespace

Task<void> converse_as_socks4(Link& link, SocksWay way, std::string exit, World& world) {
  if (way == SocksWay::hangs_up) co_return;
  const std::string head = co_await link.hear_bytes(7);
  co_await hear_to_nul(link);  // the user: nobody asks who that is
  std::string host = dotted(head, 3);
  if (host.starts_with("0.0.0.") && host != "0.0.0.0") host = co_await hear_to_nul(link);  // SOCKS4a
  std::unique_ptr<Link> far;
  if (way == SocksWay::connects && at(head, 0) == 1) far = co_await world.connect(std::move(exit), host, port_at(head, 1));
  std::string reply = socks4_reply(far ? 0x5a : way == SocksWay::wants_auth ? 0x5d : 0x5b);
  co_await link.say_bytes(std::move(reply));
  if (far) {
    co_await world.join(link, *far);
  } else {
    co_await world.linger(link);
  }
}

Task<void> converse_as_socks5(Link& link, SocksWay way, std::string exit, World& world) {
  if (way == SocksWay::hangs_up) co_return;
  const bool agreed = co_await agree_on_method(link, way == SocksWay::wants_auth);
  if (!agreed) {
    co_await world.linger(link);
    co_return;
  }
  const std::string head = co_await link.hear_bytes(4);
  const std::string host = co_await hear_socks5_address(link, at(head, 3));
  unsigned code = 0;
  std::unique_ptr<Link> far;
  if (way == SocksWay::refuses) {
    code = 2;  // connection not allowed by ruleset
  } else if (host.empty()) {
    code = 8;  // address type not supported
  } else if (at(head, 1) != 1) {
    code = 7;  // command not supported
  } else {
    const std::string port = co_await link.hear_bytes(2);
    far = co_await world.connect(std::move(exit), host, port_at(port, 0));
    if (!far) code = 4;  // host unreachable
  }
  std::string reply = socks5_reply(code);
  co_await link.say_bytes(std::move(reply));
  if (far) {
    co_await world.join(link, *far);
  } else {
    co_await world.linger(link);
  }
}

}  // namespace ajar::lab
