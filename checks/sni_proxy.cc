// sni_proxy: would it route TLS to a stranger's host by the name in the ClientHello (RFC 6066 3)?
//
//   C: ClientHello, server_name <token>.canary.example.net
//   S: ServerHello …                              somebody has taken it: the server itself, or who it was led to
//   C: TOKEN <token>                              the canary alone can answer, and does only where the hello named that token
//   S: PROOF <proof>                              proven: open
//     … HTTP, garbage, silence, the end           it keeps the connection to itself: refused
//   S: Alert unrecognized_name                    it has no such name: refused
//   S: another alert                              refused, or it could not connect (google/tlsrouter 80, sniproxy 0.6 40)
//   S: the end, twice, without a byte             it has no such name either, or could not connect
//   S: plain text                                 another protocol
//
// A name under .invalid is asked for after a proof: what reaches our canary under that name too is led there whatever it is
// called, a fixed place and no proxy; where it gives no answer, that cannot be told, and the proof is a mere yes. There is no
// other yes here: an answer is the server's own, or our canary's.
//
// A router goes on to the name at a port of its own choosing, mostly the one that it was asked at. Where our canary takes no
// TLS there, or is down, one that could not connect proves neither.
//
// How this harms nobody: the only name that leads anywhere is that of our own canary. No certificate of ours is shown.
#include "checks/sni_proxy.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "checks/proxy_probe.h"
#include "checks/tls_failure.h"

namespace ajar {
namespace {

constexpr int kMaxLines = 20;

class SniProxy : public ProxyProbe {
 public:
  SniProxy(Network& network, Canary& canary, const Subject& subject) : ProxyProbe(network, canary, subject, "TLS") {}

 private:
  std::vector<ProxyAsk> plan() const override;
  Task<std::unique_ptr<Link>> reach() override { return network().dial(subject().address, subject().port, TlsMode::none); }
  CanaryKind proves_by() const override { return CanaryKind::tls; }
  bool would_arrive() const override;
  bool grant_names_place() const override { return false; }
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
  Task<bool> shake_hands(Link& link, std::string name, ProxyAnswer& answer);
  void refused(const TlsFailure& failure, ProxyAnswer& answer);
  void note_port();
  Task<bool> hear_proof(Link& link, const ProxyAsk& ask, ProxyAnswer& answer);
  std::string name_for(const ProxyAsk& ask) const;
};

// Where it goes on to is not ours to choose: one variant.
std::vector<ProxyAsk> SniProxy::plan() const {
  if (canary().host().empty() || canary().advertised(CanaryKind::tls).empty()) return {};
  const ProxyDestination to{ProxyDestination::Form::name, CanaryKind::tls, canary().host(), {}, subject().port};
  return {{to.name(), to, 0, true, false, {}}};
}

// What came there once has a way.
bool SniProxy::would_arrive() const {
  const std::vector<AddressPort> all = canary().advertised(CanaryKind::tls);
  const bool at_port = std::any_of(all.begin(), all.end(), [&](const AddressPort& p) { return p.port == subject().port; });
  return canary().up(CanaryKind::tls) && (at_port || any_grant());
}

void SniProxy::note_port() {
  if (would_arrive() || !canary().up(CanaryKind::tls)) return;
  observe(
      fmt::format("Our canary takes no TLS at port {}, where a router of TLS would mostly go on to: see "
                  "canary.advertise_tls",
                  subject().port));
}

void SniProxy::refused(const TlsFailure& failure, ProxyAnswer& answer) {
  answer.shaped = true;
  answer.reply = escape(failure.what(), 120);
  if (failure.alert() == TlsFailure::kUnrecognizedName || would_arrive()) {
    say(answer, Verdict::closed, Reason::refused);
    return;
  }
  note_port();
  say(answer, Verdict::unclear, Reason::canary_unreachable);
}

std::string SniProxy::name_for(const ProxyAsk& ask) const {
  return ask.name == "impossible" ? ask.to.host : ask.token + "." + ask.to.host;
}

// False: it refused, or speaks something else. LinkError.
Task<bool> SniProxy::shake_hands(Link& link, std::string name, ProxyAnswer& answer) {
  TlsHello hello;
  hello.server_name = std::move(name);
  std::optional<TlsFailure> failure;
  try {
    co_await link.start_tls(std::move(hello));
  } catch (const TlsFailure& error) {
    failure = error;
  }
  if (!failure) co_return true;
  switch (failure->how()) {
    case TlsFailure::How::alert:
      refused(*failure, answer);
      co_return false;
    case TlsFailure::How::ended:
      note_port();
      throw LinkError(Reason::hung_up, failure->what());
    case TlsFailure::How::silent:
      throw LinkError(Reason::timeout, failure->what());
    case TlsFailure::How::clear:
      break;
  }
  const std::string first = co_await link.peek(8);
  not_spoken(first, {}, answer);
  co_return false;
}

// Whether the proof came. What else comes is the server's own.
Task<bool> SniProxy::hear_proof(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  try {
    const std::string question = "TOKEN " + ask.token;
    co_await link.say(question);
    std::string line;
    for (int i = 0; i < kMaxLines; ++i) {
      co_await link.hear(line);
      if (canary().proves(ask.token, line)) co_return true;
      if (!answer.reply) answer.reply = escape(line, 120);
    }
  } catch (const LinkError& error) {
    if (error.reason() == Reason::auth_required) throw;
    if (!answer.reply) answer.reply = escape(error.what(), 120);
  }
  co_return false;
}

Task<void> SniProxy::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  std::string name = name_for(ask);
  link.transcript().note("TLS hello for " + name);
  const bool taken = co_await shake_hands(link, std::move(name), answer);
  if (!taken) co_return;
  answer.shaped = true;
  say(answer, Verdict::closed, Reason::refused);
  bool proven = co_await hear_proof(link, ask, answer);
  if (!proven) {
    proven = co_await proven_there(ask);
  }
  if (!proven) co_return;
  granted(ask, answer);  // it has read the name: the canary says so
  answer.reply.reset();
  say(answer, Verdict::open, Reason::token_returned);
}

}  // namespace

Task<Finding> sni_proxy(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<SniProxy>(network, canary, subject));
}

}  // namespace ajar
