#include "tests/e2e/fronts.h"

#include <filesystem>
#include <stdexcept>
#include <vector>

#include <unistd.h>

namespace ajar {
namespace {

const char* program_of(FrontKind kind) {
  switch (kind) {
    case FrontKind::nghttpx:
      return "/usr/sbin/nghttpx";
    case FrontKind::haproxy:
      return "/usr/sbin/haproxy";
    case FrontKind::stunnel:
      return "/usr/bin/stunnel4";
    case FrontKind::apache:
      return "/usr/sbin/apache2";
    case FrontKind::nginx:
      return "/usr/sbin/nginx";
  }
  throw std::logic_error("no such kind");
}

// In the foreground.
std::vector<std::string> command(FrontKind kind, const TemporaryFolder& folder) {
  const std::string program = program_of(kind), conf = folder.file("conf");
  switch (kind) {
    case FrontKind::nghttpx:
      return {program, "--conf=" + conf};
    case FrontKind::haproxy:
      return {program, "-db", "-f", conf};
    case FrontKind::stunnel:
      return {program, conf};
    case FrontKind::apache:
      return {program, "-X", "-f", conf};
    case FrontKind::nginx:
      return {program, "-e", folder.file("log"), "-c", conf};
  }
  throw std::logic_error("no such kind");
}

}  // namespace

std::string Front::missing(FrontKind kind) {
  return access(program_of(kind), X_OK) == 0 ? std::string() : std::string(program_of(kind)) + " is not installed";
}

Front::Front(FrontKind kind, const std::string& mode, const AddressPort& listen, const AddressPort& backend) {
  if (!listen.address.is_loopback() || !backend.address.is_loopback()) throw std::runtime_error("loopback only");
  make_certificate(folder_.path(), "proxy.target.test");
  write_file(folder_.file("both.pem"), read_file(folder_.file("certificate.pem")) + read_file(folder_.file("key.pem")));
  std::filesystem::create_directory(folder_.file("www"));
  write_file(folder_.file("www/index.html"), "<html><h1>A page of our own</h1></html>\n");
  write_file(folder_.file("conf"),
             fill_template("fronts/" + mode + ".conf", {{"@PLACE@", listen.to_string()},
                                                        {"@ADDRESS@", listen.address.to_string()},
                                                        {"@PORT@", std::to_string(listen.port)},
                                                        {"@BACKEND@", backend.to_string()},
                                                        {"@BACKEND_ADDRESS@", backend.address.to_string()},
                                                        {"@BACKEND_PORT@", std::to_string(backend.port)},
                                                        {"@STATE@", folder_.path()},
                                                        {"@USER@", geteuid() == 0 ? "user root;" : ""}}));
  process_.emplace(command(kind, folder_));
  const auto up = [&] { return accepts(listen.address.to_string(), listen.port) || !process_->running(); };
  if (!wait_until(std::chrono::seconds(20), up) || !process_->running()) {
    throw std::runtime_error(std::string(program_of(kind)) + " did not start: " + log());
  }
}

std::string Front::log() const { return process_->out() + process_->err() + read_file(folder_.file("log")); }

}  // namespace ajar
