#include "tests/e2e/postfix.h"

#include <filesystem>
#include <stdexcept>
#include <vector>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ajar {
namespace {

constexpr const char* kMaster = "/usr/lib/postfix/sbin/master";

void own(const std::string& path, const char* user, const char* group, mode_t mode) {
  const passwd* account = getpwnam(user);      // NOLINT(concurrency-mt-unsafe): one thread
  const struct group* team = getgrnam(group);  // NOLINT(concurrency-mt-unsafe)
  if (account == nullptr || team == nullptr) throw std::runtime_error("no account postfix or group postdrop");
  if (chown(path.c_str(), account->pw_uid, team->gr_gid) != 0 || chmod(path.c_str(), mode) != 0) {
    throw std::runtime_error("cannot give " + path + " to " + user);
  }
}

// The queue's folders with the owners that Postfix's own set-up gives them.
void make_queue(const TemporaryFolder& folder) {
  for (const char* name : {"etc", "queue", "data", "queue/pid"}) std::filesystem::create_directory(folder.file(name));
  own(folder.file("data"), "postfix", "postfix", 0700);
  for (const char* name :
       {"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace", "private"}) {
    std::filesystem::create_directory(folder.file(std::string("queue/") + name));
    own(folder.file(std::string("queue/") + name), "postfix", "root", 0700);
  }
  for (const auto& [name, mode] : {std::pair("maildrop", 01730), std::pair("public", 02710)}) {
    std::filesystem::create_directory(folder.file(std::string("queue/") + name));
    own(folder.file(std::string("queue/") + name), "postfix", "postdrop", static_cast<mode_t>(mode));
  }
}

}  // namespace

std::string Postfix::missing() {
  if (access(kMaster, X_OK) != 0) return "postfix is not installed";
  if (geteuid() != 0) return "only root can start a Postfix";
  return {};
}

Postfix::Postfix(const std::string& mode, const AddressPort& listen, const AddressPort& canary, const std::string& directive,
                 const std::string& sasl) {
  if (!listen.address.is_loopback() || !canary.address.is_loopback()) throw std::runtime_error("loopback only");
  const TemplateValues values = {{"@STATE@", folder_.path()},
                                 {"@ADDRESS@", listen.address.to_string()},
                                 {"@PORT@", std::to_string(listen.port)},
                                 {"@CANARY_ADDRESS@", canary.address.to_string()},
                                 {"@CANARY_PORT@", std::to_string(canary.port)}};
  make_queue(folder_);
  main_ = fill_template("postfix/main.cf", values) + fill_template("postfix/" + mode + ".cf", values);
  if (main_.find("@DIRECTIVE@") == std::string::npos) main_ += "\n@DIRECTIVE@\n";
  write_file(folder_.file("etc/main.cf"), with_values(main_, {{"@DIRECTIVE@", directive}}));
  write_file(folder_.file("etc/master.cf"), fill_template("postfix/master.cf", values));
  write_file(folder_.file("etc/dynamicmaps.cf"), "");
  write_file(folder_.file("maillog"), "");
  if (!sasl.empty()) {
    std::filesystem::create_directory(folder_.file("etc/sasl"));
    write_file(folder_.file("etc/sasl/smtpd.conf"), sasl);
  }
  if (mode.starts_with("submission")) make_certificate(folder_.file("etc"), "mail.target.test");

  // `postfix start-fg` checks its installation for ten seconds first and leaves the process group; master itself does neither.
  const std::string etc = folder_.file("etc");
  master_.emplace(std::vector<std::string>{kMaster, "-c", etc, "-d"}, folder_.file("queue"),
                  std::vector<std::pair<std::string, std::string>>{{"MAIL_CONFIG", etc}});
  const auto up = [&] { return accepts(listen.address.to_string(), listen.port) || !master_->running(); };
  if (!wait_until(std::chrono::seconds(20), up) || !master_->running()) {
    throw std::runtime_error("Postfix did not start: " + master_->err() + log());
  }
}

void Postfix::reload(const std::string& directive) {
  write_file(folder_.file("etc/main.cf"), with_values(main_, {{"@DIRECTIVE@", directive}}));
  Process told({"postfix", "-c", folder_.file("etc"), "reload"});
  if (told.wait(std::chrono::seconds(30)) != 0) throw std::runtime_error("postfix reload: " + told.out() + told.err() + log());
}

Postfix::~Postfix() { master_.reset(); }

}  // namespace ajar
