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

#include <fmt/format.h>

#include "checks/proxy_probe.h"
#include "checks/wire/greeting.h"
#include "checks/wire/socks.h"

namespace ajar {
namespace {

class Socks5 : public ProxyProbe {
 public:
  Socks5(Network& network, Canary& canary, const Subject& subject) : ProxyProbe(network, canary, subject, "SOCKS5") {}

 private:
  std::vector<ProxyAsk> plan() const override;
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
  Task<bool> agree(Link& link, ProxyAnswer& answer);
  Task<Socks5Reply> hear_reply(Link& link);

  const std::vector<ProxyDestination> destinations_ = proxy_destinations(canary());
};

std::vector<ProxyAsk> Socks5::plan() const {
  std::vector<ProxyAsk> all;
  for (const ProxyDestination& to : destinations_) {
    const bool first_port = to.kind == CanaryKind::tcp && to.port == destinations_.front().port;
    const bool core = first_port && (&to == &destinations_.front() || to.form == ProxyDestination::Form::name);
    all.push_back({to.name(), to, 0, core, false, {}});
  }
  return all;
}

// RFC 1928 3
Task<bool> Socks5::agree(Link& link, ProxyAnswer& answer) {
  const std::string greeting = socks5_greeting();
  co_await link.say_bytes(greeting, hex(greeting));
  const std::string first = co_await link.peek(2);
  const std::optional<std::uint8_t> method = parse_socks5_method(first);
  if (!method || is_echo(first, greeting)) {
    const std::string more = co_await link.peek(8);
    not_spoken(more, greeting, answer);
    co_return false;
  }
  co_await link.hear_bytes(2, Link::Show::hex);
  answer.shaped = true;
  if (*method == 0) co_return true;
  answer.code = *method;
  answer.reply = *method == 0xff ? "no acceptable method" : "another method than was offered";
  say(answer, Verdict::closed, Reason::auth_required);
  co_return false;
}

// RFC 1928 6: its length depends on the type of the address.
Task<Socks5Reply> Socks5::hear_reply(Link& link) {
  const std::string first = co_await link.peek(5);
  std::optional<Socks5Reply> reply = parse_socks5_reply(first);
  if (!reply) throw LinkError(Reason::protocol_error, "no SOCKS5 reply: " + hex(first));
  if (reply->size == 0) {
    // Some hang up after the code, without an address.
    if (first.size() < 2 || reply->code == 0) co_await link.hear_bytes(5, Link::Show::hex);  // says what ended it
    link.transcript().server(hex(first));
    co_return *reply;
  }
  if (reply->code != 0) {
    // The code is the answer, the address behind it is nothing to us.
    const std::string refusal = co_await link.peek(reply->size);
    if (refusal.size() < reply->size) {
      link.transcript().server(hex(refusal));
      co_return *reply;
    }
  }
  const std::string whole = co_await link.hear_bytes(reply->size, Link::Show::hex);
  reply = parse_socks5_reply(whole);
  if (!reply) throw LinkError(Reason::protocol_error, "no SOCKS5 reply: " + hex(whole));
  co_return *reply;
}

Task<void> Socks5::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  const bool agreed = co_await agree(link, answer);
  if (!agreed) co_return;
  const bool by_name = ask.to.form == ProxyDestination::Form::name;
  const std::string request = by_name ? socks5_connect(ask.to.host, ask.to.port) : socks5_connect(ask.to.address, ask.to.port);
  link.transcript().note("SOCKS5 CONNECT " + ask.to.authority());
  co_await link.say_bytes(request, hex(request));
  const Socks5Reply reply = co_await hear_reply(link);
  answer.code = reply.code;
  answer.reply = socks5_code_text(reply.code);
  switch (reply.code) {
    case 0:
      break;
    case 2:
    case 7:
    case 8:
      say(answer, Verdict::closed, Reason::refused);
      co_return;
    case 1:
    case 3:
    case 4:
    case 5:
    case 6:
      say(answer, Verdict::unclear, Reason::canary_unreachable);
      co_return;
    default:
      say(answer, Verdict::unclear, Reason::protocol_error);
      co_return;
  }
  co_await prove_tunnel(link, ask, answer, Grant::tunnel);
}

}  // namespace

Task<Finding> socks5(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<Socks5>(network, canary, subject));
}

}  // namespace ajar
