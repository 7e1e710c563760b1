// What the two checks of HTTP proxies share: a head is heard, a status is judged.
#pragma once

#include <string>

#include "checks/proxy_probe.h"
#include "checks/wire/http_head.h"

namespace ajar {

class HttpProbe : public ProxyProbe {
 protected:
  HttpProbe(Network& network, Canary& canary, const Subject& subject) : ProxyProbe(network, canary, subject, "HTTP") {}

  // Hears the head of the final response (RFC 9110 15.2: interim ones are skipped). False: it is no HTTP/1.x, and `answer` says
  // what it is. LinkError.
  Task<bool> hear_head(Link& link, const std::string& sent, HttpHead& head, ProxyAnswer& answer);
  // A reply without proof: a refusal, or put off (RFC 9110 15.5, 15.6).
  static void judge(const HttpHead& head, ProxyAnswer& answer);
  // The server's own authority, as a client of its own would write it.
  std::string own_authority() const;

 private:
  static Task<void> read_head(Link& link, HttpHead& head);
};

}  // namespace ajar
