// Real proxies and web servers on loopback, each with a configuration and a folder of its own, from the templates in
// tests/e2e/squid/, tinyproxy/, dante/ and nginx/.
#pragma once

#include <optional>
#include <string>

#include "checks/ip_address.h"
#include "tests/e2e/process.h"

namespace ajar {

enum class ProxyKind { squid, tinyproxy, dante, nginx };

class ProxyServer {
 public:
  // Starts it as tests/e2e/KIND/MODE.conf says, on 127.x.y.z, and waits until it takes connections. It knows canary.test as
  // `canary` (nginx knows no names) and has no other names; `more` replaces what else the template has (@ORIGIN_ADDRESS@,
  // @ORIGIN_PORT@, @SSL_PORT@, @FIXED_PORT@, @DIRECTIVE@). As root it runs under the account "proxy". std::runtime_error, with
  // its log, when it does not come up.
  ProxyServer(ProxyKind kind, const std::string& mode, const AddressPort& listen, const IpAddress& canary,
              const TemplateValues& more = {});
  // Ends it and removes its folder.
  ~ProxyServer();

  // Writes its configuration anew, with other values for what else the template has, and lets it take effect as the remedies
  // say: Squid and nginx are told to read it again, the others are started again.
  void reload(const TemplateValues& more);

  // Why such a server cannot be started here; empty when it can.
  static std::string missing(ProxyKind kind);
  // All that it has said and logged.
  std::string log() const;

 private:
  void start();

  ProxyKind kind_;
  AddressPort listen_;
  bool as_root_;        // Dante asks the system about passwords as root
  std::string common_;  // its configuration, but for what `more` replaces
  TemporaryFolder folder_;
  std::optional<Process> process_;
};

}  // namespace ajar
