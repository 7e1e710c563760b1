// What the two checks of SOCKS5 share: a method is agreed on, a reply is heard and judged (RFC 1928 3, 6).
#pragma once

#include <string>
#include <vector>

#include "checks/proxy_probe.h"
#include "checks/wire/socks.h"

namespace ajar {

class Socks5Probe : public ProxyProbe {
 protected:
  // `destinations`: where it is asked to lead to; the first, and the first name with its port, are core.
  Socks5Probe(Network& network, Canary& canary, const Subject& subject, std::vector<ProxyDestination> destinations)
      : ProxyProbe(network, canary, subject, "SOCKS5"), destinations_(std::move(destinations)) {}

  std::vector<ProxyAsk> plan() const override;
  // Offers "no authentication". False: `answer` says what came instead. LinkError.
  Task<bool> agree(Link& link, ProxyAnswer& answer);
  // Sends a request and judges the reply; true: granted. `as` is for the evidence. LinkError.
  Task<bool> request(Link& link, std::string bytes, std::string as, Socks5Reply& reply, ProxyAnswer& answer);

 private:
  Task<Socks5Reply> hear_reply(Link& link);
  static bool judge(const Socks5Reply& reply, ProxyAnswer& answer);

  const std::vector<ProxyDestination> destinations_;
};

}  // namespace ajar
