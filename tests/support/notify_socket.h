// The service manager's end of sd_notify(3): a datagram socket that keeps what it hears.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ajar {

class NotifySocket {
 public:
  // At a path, or an abstract address as NOTIFY_SOCKET writes it ("@name"). std::system_error.
  explicit NotifySocket(std::string address);
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  const std::string& address() const { return address_; }
  // All messages so far, in order; each is some NAME=VALUE lines.
  const std::vector<std::string>& heard();
  std::size_t count(const std::string& message);
  void forget();  // what was heard so far

 private:
  std::string address_;
  int fd_ = -1;
  std::vector<std::string> heard_;
};

}  // namespace ajar
