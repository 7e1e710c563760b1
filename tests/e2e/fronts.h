// Real servers that speak TLS or HTTP/2 in front of others, on loopback: nghttpx, haproxy, stunnel, Apache and nginx, each with
// a configuration and a folder of its own, from the template tests/e2e/fronts/MODE.conf.
#pragma once

#include <optional>
#include <string>

#include "checks/ip_address.h"
#include "tests/e2e/process.h"

namespace ajar {

enum class FrontKind { nghttpx, haproxy, stunnel, apache, nginx };

class Front {
 public:
  // Starts it as tests/e2e/fronts/MODE.conf says and waits until it takes connections. The template knows @PLACE@
  // (ADDRESS:PORT),
  // @ADDRESS@, @PORT@, @BACKEND@, @BACKEND_ADDRESS@, @BACKEND_PORT@ (who is behind it), @STATE@ (its folder, with
  // certificate.pem, key.pem, both.pem and www/index.html). std::runtime_error, with its log, when it does not come up.
  Front(FrontKind kind, const std::string& mode, const AddressPort& listen, const AddressPort& backend);
  // Why it cannot be started here; empty when it can.
  static std::string missing(FrontKind kind);
  std::string log() const;

 private:
  TemporaryFolder folder_;
  std::optional<Process> process_;
};

}  // namespace ajar
