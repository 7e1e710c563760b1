#include "tests/e2e/proxies.h"

#include <filesystem>
#include <stdexcept>
#include <vector>

#include <pwd.h>
#include <unistd.h>

namespace ajar {
namespace {

constexpr const char* kAccount = "proxy";  // every Debian has it

using Words = std::vector<std::string>;

struct Kind {
  const char* name;  // of its templates' folder
  const char* program;
  bool asks_the_system;  // for names, with no setting that gives it others
};

Kind about(ProxyKind kind) {
  switch (kind) {
    case ProxyKind::squid:
      return {"squid", "/usr/sbin/squid", false};
    case ProxyKind::tinyproxy:
      return {"tinyproxy", "/usr/bin/tinyproxy", true};
    case ProxyKind::dante:
      return {"dante", "/usr/sbin/danted", true};
    case ProxyKind::nginx:
      return {"nginx", "/usr/sbin/nginx", false};
  }
  throw std::logic_error("no such kind");
}

void append(Words& words, const Words& more) { words.insert(words.end(), more.begin(), more.end()); }

// The words that give the rest a view of the file system of its own.
Words own_mounts() {
  if (geteuid() == 0) return {"unshare", "--mount"};
  return {"unshare", "--map-root-user", "--mount"};
}

// In the foreground, one process group.
Words command(ProxyKind kind, const TemporaryFolder& folder, const AddressPort& listen) {
  const std::string program = about(kind).program, conf = folder.file("conf");
  switch (kind) {
    case ProxyKind::squid:  // -n: the name of its shared memory
      return {program, "-N", "-n", "ajar" + std::to_string(listen.port), "-f", conf};
    case ProxyKind::tinyproxy:
      return {program, "-d", "-c", conf};
    case ProxyKind::dante:
      return {program, "-f", conf, "-p", folder.file("pid")};
    case ProxyKind::nginx:
      return {program, "-e", folder.file("error.log"), "-c", conf};
  }
  throw std::logic_error("no such kind");
}

// setpriv sets the death signal after it has changed the account: that change undoes the one that Process asks for.
Words wrapped(ProxyKind kind, const TemporaryFolder& folder, bool as_root, const Words& server) {
  Words words;
  if (about(kind).asks_the_system) {
    words = own_mounts();
    append(words, {"sh", "-c", R"(mount --bind "$1" /etc/hosts && shift && exec "$@")", "sh", folder.file("hosts")});
  }
  append(words, {"setpriv", "--pdeathsig", "TERM"});
  if (geteuid() == 0 && !as_root)
    append(words, {std::string("--reuid=") + kAccount, std::string("--regid=") + kAccount, "--clear-groups"});
  append(words, server);
  return words;
}

void give_to_account(const std::string& folder) {
  const passwd* account = getpwnam(kAccount);  // NOLINT(concurrency-mt-unsafe): one thread
  if (account == nullptr) throw std::runtime_error(std::string("no account ") + kAccount);
  bool given = chown(folder.c_str(), account->pw_uid, account->pw_gid) == 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    given = given && chown(entry.path().c_str(), account->pw_uid, account->pw_gid) == 0;
  if (!given) throw std::runtime_error("cannot give " + folder + " to " + kAccount);
}

}  // namespace

std::string ProxyServer::missing(ProxyKind kind) {
  if (access(about(kind).program, X_OK) != 0) return std::string(about(kind).name) + " is not installed";
  if (about(kind).asks_the_system) {
    Words words = own_mounts();
    append(words, {"true"});
    if (Process(words).wait(std::chrono::seconds(10)) != 0)
      return std::string("this user cannot give ") + about(kind).name + " names of its own (unshare --mount)";
  }
  return {};
}

ProxyServer::ProxyServer(ProxyKind kind, const std::string& mode, const AddressPort& listen, const IpAddress& canary,
                         const TemplateValues& more)
    : kind_(kind), listen_(listen), as_root_(kind == ProxyKind::dante && mode == "auth") {
  if (!listen.address.is_loopback() || !canary.is_loopback()) throw std::runtime_error("loopback only");
  const bool mapped = about(kind).asks_the_system && geteuid() != 0;  // root in its own eyes
  const std::string name = about(kind).name;
  common_ = fill_template(name + "/common.conf", {{"@MODE@", fill_template(name + "/" + mode + ".conf", {})},
                                                  {"@STATE@", folder_.path()},
                                                  {"@ADDRESS@", listen.address.to_string()},
                                                  {"@PORT@", std::to_string(listen.port)},
                                                  {"@USER@", as_root_ || mapped ? "root" : kAccount}});
  std::filesystem::create_directory(folder_.file("www"));
  write_file(folder_.file("www/index.html"), "<html><h1>A page of our own</h1></html>\n");
  write_file(folder_.file("hosts"), "127.0.0.1 localhost\n" + canary.to_string() + " canary.test\n");
  write_file(folder_.file("conf"), with_values(common_, more));
  if (mode.ends_with("-tls")) make_certificate(folder_.path(), "proxy.target.test");
  if (geteuid() == 0 && !as_root_) give_to_account(folder_.path());
  start();
}

void ProxyServer::start() {
  process_.emplace(wrapped(kind_, folder_, as_root_, command(kind_, folder_, listen_)));
  const auto up = [&] { return accepts(listen_.address.to_string(), listen_.port) || !process_->running(); };
  if (!wait_until(std::chrono::seconds(20), up) || !process_->running()) {
    throw std::runtime_error(std::string(about(kind_).name) + " did not start: " + log());
  }
}

void ProxyServer::reload(const TemplateValues& more) {
  write_file(folder_.file("conf"), with_values(common_, more));
  Words words = command(kind_, folder_, listen_);
  switch (kind_) {
    case ProxyKind::squid:
      append(words, {"-k", "reconfigure"});
      break;
    case ProxyKind::nginx:
      append(words, {"-s", "reload"});
      break;
    default:
      process_.reset();
      return start();
  }
  Process told(words);
  if (told.wait(std::chrono::seconds(20)) != 0) throw std::runtime_error("reload: " + told.out() + told.err() + log());
}

ProxyServer::~ProxyServer() { process_.reset(); }

std::string ProxyServer::log() const {
  std::string text = process_->out() + process_->err();
  for (const char* file : {"log", "error.log", "access.log", "cache.log"}) text += read_file(folder_.file(file));
  return text;
}

}  // namespace ajar
