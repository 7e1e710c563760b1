#include "tests/e2e/process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ajar {
namespace {

using Clock = std::chrono::steady_clock;

std::string read_all(int fd) {
  std::string text;
  char bytes[16384];
  ssize_t n = 0;
  while ((n = pread(fd, bytes, sizeof bytes, static_cast<off_t>(text.size()))) > 0)
    text.append(bytes, static_cast<std::size_t>(n));
  return text;
}

// Of either family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress socket_address(const std::string& address, std::uint16_t port) {
  SocketAddress result;
  auto* const four = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* const six = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    result.length = sizeof *four;
  } else if (inet_pton(AF_INET6, address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    result.length = sizeof *six;
  } else {
    throw std::invalid_argument(address + " is not an address");
  }
  return result;
}

// A connected blocking socket, or -1.
int connect_to(const std::string& address, std::uint16_t port) {
  SocketAddress to = socket_address(address, port);
  const int fd = socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, to.get(), to.length) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

}  // namespace

Process::Process(std::vector<std::string> argv, std::string folder,
                 std::vector<std::pair<std::string, std::string>> environment) {
  out_fd_ = memfd_create("out", MFD_CLOEXEC);
  err_fd_ = memfd_create("err", MFD_CLOEXEC);
  if (out_fd_ < 0 || err_fd_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // a test program that dies leaves nothing running
    if (getppid() != parent) _exit(127);
    const int null = open("/dev/null", O_RDONLY);
    if (null < 0) _exit(127);
    dup2(null, STDIN_FILENO);
    dup2(out_fd_, STDOUT_FILENO);
    dup2(err_fd_, STDERR_FILENO);
    if (!folder.empty() && chdir(folder.c_str()) != 0) _exit(127);
    for (const auto& [name, value] : environment) {
      setenv(name.c_str(), value.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): the child has one thread
    }
    execvp(words[0], words.data());
    _exit(127);
  }
  setpgid(pid_, pid_);
}

Process::~Process() {
  if (!code_) {
    kill(-pid_, SIGTERM);
    wait(std::chrono::seconds(5));
  }
  kill(-pid_, SIGKILL);  // whoever is left in the group
  if (!code_) wait(std::chrono::seconds(5));
  close(out_fd_);
  close(err_fd_);
}

void Process::signal(int number) const {
  if (!code_) kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds limit) {
  const auto ended = [this] {
    int status = 0;
    if (!code_ && waitpid(pid_, &status, WNOHANG) == pid_) {
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return code_.has_value();
  };
  wait_until(limit, ended);
  return code_;
}

std::string Process::out() const { return read_all(out_fd_); }
std::string Process::err() const { return read_all(err_fd_); }

bool wait_until(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto end = Clock::now() + limit;
  while (!condition()) {
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

bool accepts(const std::string& address, std::uint16_t port) {
  const int fd = connect_to(address, port);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

std::uint16_t free_port(const std::string& address) {
  SocketAddress at = socket_address(address, 0);
  const int fd = socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool found = fd >= 0 && bind(fd, at.get(), at.length) == 0 && getsockname(fd, at.get(), &at.length) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!found) throw std::system_error(error, std::generic_category(), "no free port at " + address);
  // Both families have it at the same place.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&at.storage)->sin_port);
}

HttpAnswer http_request(const std::string& method, const std::string& address, std::uint16_t port, const std::string& path,
                        const std::vector<std::string>& headers, std::chrono::milliseconds limit) {
  HttpAnswer answer;
  const int fd = connect_to(address, port);
  if (fd < 0) return answer;
  std::string request = method + " " + path + " HTTP/1.0\r\nHost: " + address + ":" + std::to_string(port) + "\r\n";
  for (const std::string& header : headers) request += header + "\r\n";
  if (method != "GET") request += "Content-Length: 0\r\n";
  request += "\r\n";
  std::string all;
  const auto end = Clock::now() + limit;
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      pollfd ready{fd, POLLIN, 0};
      if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) <= 0) break;
      char bytes[65536];
      const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) break;
      all.append(bytes, static_cast<std::size_t>(n));
    }
  }
  close(fd);
  const std::size_t blank = all.find("\r\n\r\n");
  if (blank == std::string::npos || all.size() < 12) return answer;
  answer.status = std::atoi(all.c_str() + 9);
  answer.head = all.substr(0, blank);
  answer.body = all.substr(blank + 4);
  return answer;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "ajar-e2e-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), pattern);
  path_ = pattern;
  chmod(path_.c_str(), 0755);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) throw std::system_error(errno, std::generic_category(), path);
}

std::string with_values(std::string text, const TemplateValues& values) {
  for (const auto& [key, value] : values) {
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos; at += value.size())
      text.replace(at, key.size(), value);
  }
  return text;
}

std::string fill_template(const std::string& name, const TemplateValues& values) {
  const std::string text = read_file(std::string(AJAR_SOURCE_DIR) + "/tests/e2e/" + name);
  if (text.empty()) throw std::runtime_error("no template tests/e2e/" + name);
  return with_values(text, values);
}

void make_certificate(const std::string& folder, const std::string& common_name) {
  Process openssl({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + common_name,
                   "-keyout", folder + "/key.pem", "-out", folder + "/certificate.pem"});
  if (openssl.wait(std::chrono::seconds(60)) != 0) throw std::runtime_error("openssl req: " + openssl.err());
}

}  // namespace ajar
