// socks5_udp: would it relay datagrams for a stranger? RFC 1928 4, 6 and 7, bytes in wire/socks.h.
//
//   C: 05 01 00                                   no authentication is all that we offer (RFC 1928 3)
//   S: 05 00                                      agreed.   05 ff, or another method: it wants a login
//   C: 05 03 00 01 00 00 00 00 00 00              UDP ASSOCIATE, from a port that we do not know yet (4)
//   S: 05 02 00 01 00 00 00 00 00 00              refused, 07 (no such command) and 08 too; 01 and 03 to 06: it tried: put off
//     … 05 00 00 01 cb 00 71 05 9c 40 instead: granted, and this is its relay; 0.0.0.0 and :: are its own address. Port 0 is
//     no relay: no sensible answer
//   datagrams to the relay, while the connection stays:
//   C: 00 00 00 01 c6 33 64 07 1f 59 TOKEN …      for our canary (7): IPv4, name (03) and IPv6 (04)
//   S: 00 00 00 01 c6 33 64 07 1f 59 PROOF …      proven: open; and open where our canary saw the token and the answer was
//   lost.
//                                                 Anything else is passed over: a fragment (FRAG is not 0), an echo, a copy
//
// A grant says yes to no destination, which only the datagrams name; without a proof it is accepted.
//
// How this harms nobody: the only destination named is our own canary, and a few datagrams carry one token. They go to the
// server's own address alone, whatever address it names as its relay. No credentials are tried. The association ends with the
// connection.
#include "checks/socks5_udp.h"

#include <fmt/format.h>

#include "checks/datagrams.h"
#include "checks/socks5_probe.h"

namespace ajar {
namespace {

class Socks5Udp : public Socks5Probe {
 public:
  Socks5Udp(Network& network, Canary& canary, const Subject& subject)
      : Socks5Probe(network, canary, subject, datagram_destinations(canary)) {}

 private:
  CanaryKind proves_by() const override { return CanaryKind::udp; }
  bool names_place_later() const override { return true; }
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
  void look_at_relay(const Socks5Reply& reply, ProxyAnswer& answer) const;
  Task<void> ask_relay(const ProxyAsk& ask, std::uint16_t port, ProxyAnswer& answer);
  bool proves(const std::string& token, std::string_view bytes) const;
};

Task<void> Socks5Udp::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  const bool agreed = co_await agree(link, answer);
  if (!agreed) co_return;
  std::string bytes = socks5_associate(subject().address.is_v4());
  std::string as = "SOCKS5 UDP ASSOCIATE";
  Socks5Reply reply;
  const bool yes = co_await request(link, std::move(bytes), std::move(as), reply, answer);
  if (!yes) co_return;
  if (reply.port == 0) {
    answer.reply = "granted, with port 0 as its relay";
    say(answer, Verdict::unclear, Reason::protocol_error);
    co_return;
  }
  look_at_relay(reply, answer);
  granted(ask, answer);
  co_await ask_relay(ask, reply.port, answer);
}

// Behind NAT a server names an address that only its own side can reach. A stranger's address could be anybody's: never asked.
void Socks5Udp::look_at_relay(const Socks5Reply& reply, ProxyAnswer& answer) const {
  const std::optional<IpAddress> named = IpAddress::parse(reply.bound);
  const bool own = reply.bound.empty() || (named && (named->is_unspecified() || *named == subject().address));
  if (own) return;
  const std::string relay = escape(reply.bound, 80);
  answer.reply = fmt::format("succeeded; it names {} as its relay, and was asked at its own address", relay);
  network().transcript().note(
      fmt::format("SOCKS5 relay {} is asked at {}", relay, join_host_port(subject().address, reply.port)));
}

bool Socks5Udp::proves(const std::string& token, std::string_view bytes) const {
  const std::optional<Socks5Datagram> datagram = parse_socks5_datagram(bytes);
  if (!datagram) return false;
  if (datagram->fragment != 0) {
    network().transcript().note(fmt::format("SOCKS5 fragment {:02x}", datagram->fragment));
    return false;
  }
  return canary().proves(token, datagram->payload);
}

Task<void> Socks5Udp::ask_relay(const ProxyAsk& ask, std::uint16_t port, ProxyAnswer& answer) {
  const std::string payload = "TOKEN " + ask.token;
  const bool by_name = ask.to.form == ProxyDestination::Form::name;
  std::string question =
      by_name ? socks5_datagram(ask.to.host, ask.to.port, payload) : socks5_datagram(ask.to.address, ask.to.port, payload);
  const std::string head = hex(std::string_view(question).substr(0, question.size() - payload.size()));
  std::string as = head + " " + payload;
  const Datagrams::Fits fits = [this, &ask](std::string_view bytes) { return proves(ask.token, bytes); };
  std::string heard;
  bool proven = false;
  try {
    const std::unique_ptr<Datagrams> relay = co_await network().dial_udp(subject().address, port);
    co_await relay->ask(std::move(question), std::move(as), fits, heard);
    proven = true;
  } catch (const LinkError& error) {
    answer.silent = error.reason() == Reason::timeout;
  }
  if (!proven) {
    proven = co_await proven_there(ask);
  }
  if (proven) say(answer, Verdict::open, Reason::token_returned);
}

}  // namespace

Task<Finding> socks5_udp(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<Socks5Udp>(network, canary, subject));
}

}  // namespace ajar
