// socks5: would it connect for a stranger? RFC 1928, bytes in wire/socks.h.
//
//   C: 05 01 00                                   no authentication is all that we offer (RFC 1928 3)
//   S: 05 00                                      agreed.   05 ff, or another method: it wants a login
//   C: 05 01 00 01 c6 33 64 07 1f 59              connect to our canary (4): IPv4, name (03) and IPv6 (04)
//   S: 05 02 00 01 00 00 00 00 00 00              refused, 07 and 08 too; 01 and 03 to 06: it tried, or says so: put off
//     … 05 00 instead: granted; the address it names may be anything, 0.0.0.0 too (6)
//   C: TOKEN <token>                              towards the canary, which alone can answer
//   S: PROOF <proof>                              proven: open. HTTP: a page of its own, refused; silence: accepted
//
// How this harms nobody: the only destination named is our own canary, except a name under .invalid. No credentials are tried.
#include "checks/socks5.h"

#include "checks/socks5_probe.h"

namespace ajar {
namespace {

class Socks5 : public Socks5Probe {
 public:
  Socks5(Network& network, Canary& canary, const Subject& subject)
      : Socks5Probe(network, canary, subject, proxy_destinations(canary)) {}

 private:
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
};

Task<void> Socks5::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  const bool agreed = co_await agree(link, answer);
  if (!agreed) co_return;
  const bool by_name = ask.to.form == ProxyDestination::Form::name;
  std::string bytes = by_name ? socks5_connect(ask.to.host, ask.to.port) : socks5_connect(ask.to.address, ask.to.port);
  std::string as = "SOCKS5 CONNECT " + ask.to.authority();
  Socks5Reply reply;
  const bool yes = co_await request(link, std::move(bytes), std::move(as), reply, answer);
  if (yes) co_await prove_tunnel(link, ask, answer, Grant::tunnel);
}

}  // namespace

Task<Finding> socks5(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<Socks5>(network, canary, subject));
}

}  // namespace ajar
