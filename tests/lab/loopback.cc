#include "tests/lab/loopback.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ajar::lab {
namespace {

socklen_t fill(const IpAddress& address, std::uint16_t port, sockaddr_storage& into) {
  std::memset(&into, 0, sizeof into);
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(into);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(into);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
  return sizeof v6;
}

}  // namespace

bool inside_lab(const IpAddress& address) {
  const auto bytes = address.bytes();
  return address.is_v4() ? bytes[0] == 127 : bytes[0] == 0xfd && bytes[1] == 0x7f;
}

IpAddress ipv6_twin(const IpAddress& address) {
  if (!address.is_v4()) return address;
  const auto bytes = address.bytes();
  std::array<std::uint8_t, 16> six{0xfd, 0x7f};
  six[11] = bytes[1];
  six[13] = bytes[2];
  six[15] = bytes[3];
  return IpAddress::v6(six);
}

IpAddress ipv4_twin(const IpAddress& address) {
  if (address.is_v4()) return address;
  const auto bytes = address.bytes();
  return IpAddress::v4({127, bytes[11], bytes[13], bytes[15]});
}

int connect_inside_lab(const IpAddress& from, const AddressPort& to, bool datagrams) {
  if (!inside_lab(from) || !inside_lab(to.address)) return -1;
  const bool v4 = to.address.is_v4();
  const int fd = socket(v4 ? AF_INET : AF_INET6, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_storage here{}, there{};
  const socklen_t here_size = fill(v4 ? ipv4_twin(from) : ipv6_twin(from), 0, here);
  const socklen_t there_size = fill(to.address, to.port, there);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&here), here_size) != 0 ||
      (connect(fd, reinterpret_cast<const sockaddr*>(&there), there_size) != 0 && errno != EINPROGRESS)) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace ajar::lab
