#include "tests/lab/loopback.h"

#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ajar::lab {
namespace {

sockaddr_in socket_address(const IpAddress& address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  std::memcpy(&result.sin_addr, address.bytes().data(), 4);
  return result;
}

}  // namespace

bool inside_lab(const IpAddress& address) { return address.is_v4() && address.bytes()[0] == 127; }

int connect_inside_lab(const IpAddress& from, const AddressPort& to) {
  if (!inside_lab(from) || !inside_lab(to.address)) return -1;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const sockaddr_in here = socket_address(from, 0);
  const sockaddr_in there = socket_address(to.address, to.port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
      (connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0 && errno != EINPROGRESS)) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace ajar::lab
