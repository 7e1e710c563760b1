// socks4: would it connect for a stranger? SOCKS 4 (an IPv4 address) and 4a (a name), bytes in wire/socks.h.
//
//   C: 04 01 1f 59 c6 33 64 07 00                 connect to our canary; with 00 00 00 01 as the address and its name behind:
//   4a S: 00 5b .. .. .. .. .. ..                    refused; 5c and 5d: it wants an identd's word for us
//     … 00 5a instead: granted
//   C: TOKEN <token>                              towards the canary, which alone can answer
//   S: PROOF <proof>                              proven: open. HTTP: a page of its own, refused; silence: accepted
//
// How this harms nobody: the only destination named is our own canary, except a name under .invalid. The user name is empty.
#include "checks/socks4.h"

#include <fmt/format.h>

#include "checks/proxy_probe.h"
#include "checks/wire/greeting.h"
#include "checks/wire/socks.h"

namespace ajar {
namespace {

class Socks4 : public ProxyProbe {
 public:
  Socks4(Network& network, Canary& canary, const Subject& subject) : ProxyProbe(network, canary, subject, "SOCKS4") {}

 private:
  std::vector<ProxyAsk> plan() const override;
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;

  const std::vector<ProxyDestination> destinations_ = proxy_destinations(canary());
};

std::vector<ProxyAsk> Socks4::plan() const {
  std::vector<ProxyAsk> all;
  bool literal = true, name = true;  // still to come: the first of each is core
  for (const ProxyDestination& to : destinations_) {
    if (to.form == ProxyDestination::Form::ipv6) continue;
    bool& first = to.form == ProxyDestination::Form::name ? name : literal;
    all.push_back({to.name(), to, 0, first && to.kind == CanaryKind::tcp, false, {}});
    first = false;
  }
  return all;
}

Task<void> Socks4::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  const bool by_name = ask.to.form == ProxyDestination::Form::name;
  const std::string request = by_name ? socks4a_connect(ask.to.host, ask.to.port) : socks4_connect(ask.to.address, ask.to.port);
  link.transcript().note(fmt::format("SOCKS4{} CONNECT {}", by_name ? "a" : "", ask.to.authority()));
  co_await link.say_bytes(request, hex(request));
  const std::string first = co_await link.peek(kSocks4Reply);
  const std::optional<Socks4Code> code = parse_socks4_reply(first);
  if (!code) {
    not_spoken(first, request, answer);
    co_return;
  }
  answer.shaped = true;
  answer.code = static_cast<int>(*code);
  if (first.size() < kSocks4Reply) link.transcript().server(hex(first));
  switch (*code) {
    case Socks4Code::granted:
      answer.reply = "granted";
      break;
    case Socks4Code::rejected:
      answer.reply = "rejected or failed";
      say(answer, Verdict::closed, Reason::refused);
      break;
    case Socks4Code::no_identd:
    case Socks4Code::wrong_identd:
      answer.reply = "wants an identd's word";
      say(answer, Verdict::closed, Reason::auth_required);
      break;
  }
  const bool granted = *code == Socks4Code::granted;
  if (!granted && first.size() < kSocks4Reply) co_return;
  co_await link.hear_bytes(kSocks4Reply, Link::Show::hex);
  if (granted) {
    co_await prove_tunnel(link, ask, answer, Grant::tunnel);
  }
}

}  // namespace

Task<Finding> socks4(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<Socks4>(network, canary, subject));
}

}  // namespace ajar
