// What the two checks of HTTP proxies share: a head is heard, a status is judged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checks/proxy_probe.h"
#include "checks/wire/http_head.h"

namespace ajar {

class HttpProbe : public ProxyProbe {
 protected:
  HttpProbe(Network& network, Canary& canary, const Subject& subject, std::string_view protocol = "HTTP")
      : ProxyProbe(network, canary, subject, protocol) {}

  // Over TLS, a server that speaks HTTP/2 as well is to know that this is HTTP/1.1 (RFC 7301).
  Task<std::unique_ptr<Link>> reach() override;
  // The same, offering these by ALPN. A server that knows none of them and says so by an alert (RFC 7301 3.2) is reached
  // without ALPN, from then on. LinkError.
  Task<std::unique_ptr<Link>> reach_offering(std::vector<std::string> protocols);

  // Hears the head of the final response (RFC 9110 15.2: interim ones are skipped). False: it is no HTTP/1.x, and `answer` says
  // what it is. LinkError.
  Task<bool> hear_head(Link& link, const std::string& sent, HttpHead& head, ProxyAnswer& answer);
  // A reply without proof: a refusal, or put off (RFC 9110 15.5, 15.6).
  static void judge(const HttpHead& head, ProxyAnswer& answer);
  // For a refusal that judge() took for one of strangers: where the server asked for a certificate of ours in the handshake and
  // its page says that there is none, it is one of clients without a certificate (nginx's 400). Hears the page. No LinkError.
  static Task<void> hear_whether_for_certificate(Link& link, const HttpHead& head, ProxyAnswer& answer);
  static bool tells_of_certificate(std::string_view page);
  // The server's own authority, as a client of its own would write it.
  std::string own_authority() const;

 private:
  static Task<void> read_head(Link& link, HttpHead& head);

  bool refuses_alpn_ = false;
};

}  // namespace ajar
