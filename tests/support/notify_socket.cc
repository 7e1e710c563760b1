#include "tests/support/notify_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace ajar {

NotifySocket::NotifySocket(std::string address) : address_(std::move(address)) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (address_.empty() || address_.size() >= sizeof at.sun_path)
    throw std::invalid_argument(address_ + " is no socket's address");
  std::memcpy(at.sun_path, address_.data(), address_.size());
  const bool abstract = address_.front() == '@';
  if (abstract) at.sun_path[0] = '\0';
  const std::size_t size = offsetof(sockaddr_un, sun_path) + address_.size() + (abstract ? 0 : 1);
  fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0 || bind(fd_, reinterpret_cast<const sockaddr*>(&at), static_cast<socklen_t>(size)) != 0)
    throw std::system_error(errno, std::generic_category(), address_);
}

NotifySocket::~NotifySocket() {
  close(fd_);
  if (address_.front() != '@') unlink(address_.c_str());
}

const std::vector<std::string>& NotifySocket::heard() {
  char bytes[4096];
  ssize_t n = 0;
  while ((n = recv(fd_, bytes, sizeof bytes, 0)) > 0) heard_.emplace_back(bytes, static_cast<std::size_t>(n));
  return heard_;
}

std::size_t NotifySocket::count(const std::string& message) {
  heard();
  return static_cast<std::size_t>(std::count(heard_.begin(), heard_.end(), message));
}

void NotifySocket::forget() {
  heard();
  heard_.clear();
}

}  // namespace ajar
