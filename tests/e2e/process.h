// Programs under test: started in their own process group, their output kept, ended at the latest when the object is.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace ajar {

class Process {
 public:
  // Starts argv[0] (found in PATH) in `folder` (empty: the current one) with `environment` added to ours. std::system_error
  // when that is impossible; a program that cannot be executed ends with code 127.
  explicit Process(std::vector<std::string> argv, std::string folder = {},
                   std::vector<std::pair<std::string, std::string>> environment = {});
  // SIGTERM to the whole group, SIGKILL five seconds later.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;  // to the program alone
  // Its exit code, or 128 + the signal that ended it; nullopt when it still runs after `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit);
  bool running() { return !wait(std::chrono::milliseconds(0)); }
  // All that it has written so far.
  std::string out() const;
  std::string err() const;

 private:
  pid_t pid_ = -1;
  std::optional<int> code_;
  int out_fd_ = -1, err_fd_ = -1;
};

// Asks `condition` every 20 ms until it says yes; false when `limit` has passed.
bool wait_until(std::chrono::milliseconds limit, const std::function<bool()>& condition);

// Whether something accepts TCP connections there.
bool accepts(const std::string& address, std::uint16_t port);
// A TCP port that nobody listens on at this address, a moment ago.
std::uint16_t free_port(const std::string& address);

struct HttpAnswer {
  int status = 0;  // 0: no answer in time
  std::string head;
  std::string body;
};
HttpAnswer http_request(const std::string& method, const std::string& address, std::uint16_t port, const std::string& path,
                        const std::vector<std::string>& headers = {},
                        std::chrono::milliseconds limit = std::chrono::seconds(10));
inline HttpAnswer http_get(const std::string& address, std::uint16_t port, const std::string& path) {
  return http_request("GET", address, port, path);
}

// A folder that is gone when the object is. Others may enter it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string read_file(const std::string& path);  // empty when there is none
void write_file(const std::string& path, const std::string& text);

// The template tests/e2e/NAME with each key ("@PORT@") replaced by its value. std::runtime_error when there is none.
using TemplateValues = std::vector<std::pair<std::string, std::string>>;
std::string fill_template(const std::string& name, const TemplateValues& values);

// `text` with each key replaced by its value.
std::string with_values(std::string text, const TemplateValues& values);

// A self-signed certificate of that name: `folder`/certificate.pem and `folder`/key.pem. std::runtime_error.
void make_certificate(const std::string& folder, const std::string& common_name);

}  // namespace ajar
