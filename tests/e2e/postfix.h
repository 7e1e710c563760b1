// A real Postfix on loopback, with a queue and a configuration of its own, from the templates in tests/e2e/postfix/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checks/ip_address.h"
#include "tests/e2e/process.h"

namespace ajar {

class Postfix {
 public:
  // Starts it as tests/e2e/postfix/MODE.cf says, on 127.x.y.z, and waits until it takes connections. Mail for canary.test goes
  // to `canary`; nothing else leaves. `directive`: what stands for @DIRECTIVE@, or at the end. std::runtime_error, with its
  // log, when it does not come up. `sasl`: smtpd.conf of Cyrus SASL, which Debian's Postfix looks for beside main.cf; empty:
  // none.
  Postfix(const std::string& mode, const AddressPort& listen, const AddressPort& canary, const std::string& directive = {},
          const std::string& sasl = {});
  // Ends it and removes its folder.
  ~Postfix();

  // Writes main.cf anew with another directive, and has it read again: `postfix reload`.
  void reload(const std::string& directive);

  // Postfix's master must be started by root. Why it cannot be started here; empty when it can.
  static std::string missing();
  std::string log() const { return read_file(folder_.file("maillog")); }

 private:
  TemporaryFolder folder_;
  std::string main_;  // main.cf, but for the directive
  std::optional<Process> master_;
};

}  // namespace ajar
