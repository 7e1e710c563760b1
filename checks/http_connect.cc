// http_connect: would it tunnel for a stranger?
//
//   C: CONNECT 198.51.100.7:8025 HTTP/1.1         our canary: literal and name, each port that it has, its mail port too
//   C: Host: 198.51.100.7:8025
//   S: HTTP/1.1 403 Forbidden                     refused; 401 and 407: it wants a login; 429, 500, 502 to 504: put off
//     … 2xx instead: the tunnel stands, or the server says so
//   C: TOKEN <token>                              towards the canary, which alone can answer
//   S: PROOF <proof>                              proven: open
//                                                 HTTP or HTML instead: a page of its own, refused; silence or anything else: a
//                                                 yes without proof, accepted
//   S: 220 canary.example.net ESMTP …             through a tunnel to the canary's mail port, where spammers want to go
//   C: EHLO <token>
//   S: 250-… <proof>
//
// Every variant has a connection of its own, since a tunnel ends it. MikroTik's proxy answers only once an empty line more has
// come: where the first request meets silence, it is sent.
//
// How this harms nobody: the only destination that is ever named is our own canary, except a name under .invalid, which nobody
// has. Through the tunnel goes one line with a token, and no mail. No credentials are tried.
#include "checks/http_connect.h"

#include "checks/http_probe.h"

namespace ajar {
namespace {

class HttpConnect : public HttpProbe {
 public:
  HttpConnect(Network& network, Canary& canary, const Subject& subject) : HttpProbe(network, canary, subject) {}

 private:
  enum Way { kPlain, kOld };  // HTTP/1.1; HTTP/1.0 and an empty line more

  std::vector<ProxyAsk> plan() const override;
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
  static std::string request_line(const ProxyAsk& ask);
  Link::Say say_request(Link& link, const ProxyAsk& ask) const;

  bool needs_empty_line_ = false;
};

std::vector<ProxyAsk> HttpConnect::plan() const {
  const std::vector<ProxyDestination> destinations = proxy_destinations(canary());
  std::vector<ProxyAsk> all;
  all.reserve(destinations.size() + 1);
  for (const ProxyDestination& to : destinations) {
    const bool first_port = to.kind == CanaryKind::tcp && to.port == destinations.front().port;
    const bool core = first_port && (&to == &destinations.front() || to.form == ProxyDestination::Form::name);
    all.push_back({to.name(), to, kPlain, core, false, {}});
  }
  if (!all.empty()) all.push_back({all.front().name + "+http1.0", all.front().to, kOld, false, false, {}});
  return all;
}

std::string HttpConnect::request_line(const ProxyAsk& ask) {
  return "CONNECT " + ask.to.authority() + (ask.way == kOld ? " HTTP/1.0" : " HTTP/1.1");
}

Link::Say HttpConnect::say_request(Link& link, const ProxyAsk& ask) const {
  std::vector<std::string> lines = {request_line(ask), "Host: " + ask.to.authority(), "User-Agent: " + user_agent(), ""};
  if (ask.way == kOld) lines.emplace_back();
  return link.say_lines(lines);
}

Task<void> HttpConnect::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  co_await say_request(link, ask);
  if (needs_empty_line_) co_await link.say("");
  const std::string sent = request_line(ask);
  HttpHead head;
  bool is_http = false;
  bool silent = false;
  try {
    is_http = co_await hear_head(link, sent, head, answer);
  } catch (const LinkError& error) {
    silent = error.reason() == Reason::timeout && !link.spoken_to() && !heard() && !needs_empty_line_;
    if (!silent) throw;
  }
  if (silent) {
    needs_empty_line_ = true;
    co_await link.say("");
    is_http = co_await hear_head(link, sent, head, answer);
  }
  if (!is_http) co_return;
  if (head.status / 100 != 2) {
    judge(head, answer);
    co_await hear_whether_for_certificate(link, head, answer);
    co_return;
  }
  // RFC 9110 9.3.6: the grant of a tunnel has no content, and the connection stays.
  Grant grant = Grant::tunnel;
  if (head.length()) grant = Grant::closing;
  if (head.chunked() || head.length().value_or(0) > 0 || head.find("content-type") != nullptr) grant = Grant::content;
  co_await prove_tunnel(link, ask, answer, grant);
}

}  // namespace

Task<Finding> http_connect(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<HttpConnect>(network, canary, subject));
}

}  // namespace ajar
