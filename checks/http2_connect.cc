// http2_connect: would it tunnel for a stranger who asks in HTTP/2 (RFC 9113 8.5)?
//
//   … over TLS: the ClientHello offers h2 and http/1.1 (ALPN). Another choice than h2: it speaks HTTP/1.1, and nothing more is
//   asked. No choice (stunnel in front of it, say), or no TLS: with prior knowledge (RFC 9113 3.3)
//   Both refused by an alert (RFC 7301 3.2): the same, without ALPN.
//   C: PRI * HTTP/2.0 … SETTINGS
//   C: HEADERS :method CONNECT; :authority 198.51.100.7:8025; user-agent …     our canary, as http_connect names it
//   S: SETTINGS …                                  it speaks HTTP/2; "HTTP/1.1 400" instead: it does not
//   S: HEADERS :status 403                         refused; 401 and 407: it wants a login; 429, 500, 502 to 504: put off
//     … 2xx instead: the stream is a tunnel, or the server says so
//   C: DATA TOKEN <token>                          towards the canary, which alone can answer
//   S: DATA PROOF <proof>                          proven: open. HTTP or HTML instead, content announced, or the stream ended
//   at
//                                                  once: a page of its own, refused; silence or anything else: accepted
//   S: RST_STREAM, GOAWAY instead of a head: by their code (RFC 9113 7):
//     RST_STREAM PROTOCOL_ERROR, HTTP_1_1_REQUIRED    refused: it knows no CONNECT in HTTP/2 (the request is as the RFC writes
//     it) GOAWAY HTTP_1_1_REQUIRED                        the same REFUSED_STREAM, ENHANCE_YOUR_CALM, GOAWAY NO_ERROR before
//     our stream    put off: it did not look at the request, or we ask
//                                                     too often
//     CONNECT_ERROR, INTERNAL_ERROR, unknown codes    put off: it tried, and could not (as 502 and 500)
//     RST_STREAM NO_ERROR, CANCEL                     it broke off
//     INADEQUATE_SECURITY                             tls_failed
//     the rest, and any other GOAWAY with an error    what we said, or it, made no sense: protocol_error
//
// Extended CONNECT (RFC 8441) leads to a resource, not to a port: what it can prove is that a request for our canary is passed
// on to it. It is asked once, and only where the server's SETTINGS offer it:
//   C: HEADERS :method CONNECT; :protocol websocket; :scheme http; :authority 198.51.100.7:8025; :path /<token>; …
// The canary answers a GET with the proof. There is no yes here: the proof, or a refusal.
//
// How this harms nobody: as http_connect. One stream a connection, small windows, no push.
#include "checks/http2_connect.h"

#include "checks/http2_link.h"
#include "checks/http_probe.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxContent = 32 * 1024;
constexpr std::size_t kMaxProof = 256;

class Http2Connect : public HttpProbe {
 public:
  Http2Connect(Network& network, Canary& canary, const Subject& subject) : HttpProbe(network, canary, subject, "HTTP/2") {}

 private:
  enum Way { kPlain, kExtended };

  std::vector<ProxyAsk> plan() const override;
  Task<std::unique_ptr<Link>> reach() override;
  bool speaks_first() const override { return true; }  // its SETTINGS
  bool has_sense(const ProxyAsk& ask) const override { return ask.way != kExtended || offers_extended_; }
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
  Task<bool> hear_whether_http2(Link& link, ProxyAnswer& answer) const;
  Task<void> hear_page(Http2Link& stream, const ProxyAsk& ask, bool certificate_wanted, ProxyAnswer& answer);
  Task<void> hear_reply(Link& link, Http2Link& stream, const ProxyAsk& ask, ProxyAnswer& answer);
  Http2Client::Fields request(const ProxyAsk& ask) const;
  static void judge_end(const Http2Client& client, ProxyAnswer& answer);

  bool offers_extended_ = false;
};

std::vector<ProxyAsk> Http2Connect::plan() const {
  const std::vector<ProxyDestination> destinations = proxy_destinations(canary());
  std::vector<ProxyAsk> all;
  all.reserve(destinations.size() + 1);
  for (const ProxyDestination& to : destinations) {
    const bool first_port = to.kind == CanaryKind::tcp && to.port == destinations.front().port;
    const bool core = first_port && (&to == &destinations.front() || to.form == ProxyDestination::Form::name);
    all.push_back({to.name(), to, kPlain, core, false, {}});
  }
  const bool web = !all.empty() && all.front().to.kind == CanaryKind::tcp;  // our mail side knows no resources
  if (web) all.push_back({all.front().name + "+extended", all.front().to, kExtended, false, false, {}});
  return all;
}

Task<std::unique_ptr<Link>> Http2Connect::reach() {
  std::vector<std::string> offered = {"h2", "http/1.1"};
  std::unique_ptr<Link> link = co_await reach_offering(std::move(offered));
  if (subject().tls == TlsMode::implicit) {
    const std::string chosen = link->protocol();
    network().transcript().note(chosen.empty() ? "ALPN: no choice" : "ALPN: " + escape(chosen, 80));
  }
  co_return link;
}

Http2Client::Fields Http2Connect::request(const ProxyAsk& ask) const {
  Http2Client::Fields fields = {{":method", "CONNECT"}};
  if (ask.way == kExtended) {
    fields.emplace_back(":protocol", "websocket");
    fields.emplace_back(":scheme", "http");
    fields.emplace_back(":authority", ask.to.authority());
    fields.emplace_back(":path", "/" + ask.token);
    fields.emplace_back("sec-websocket-version", "13");
  } else {
    fields.emplace_back(":authority", ask.to.authority());
  }
  fields.emplace_back("user-agent", user_agent());
  return fields;
}

Task<void> Http2Connect::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  if (!link.protocol().empty() && link.protocol() != "h2") {
    answer.other_protocol = "HTTP";
    co_return;
  }
  Http2Link stream(link);
  // What an extended request says may only be said to who offers it (RFC 8441 3).
  if (ask.way != kExtended) stream.client().request(request(ask));
  co_await stream.flush();
  const bool is_http2 = co_await hear_whether_http2(link, answer);
  if (!is_http2) co_return;
  if (ask.way == kExtended) {
    const bool came = co_await stream.hear_settings();
    if (!came) throw LinkError(Reason::hung_up, "the peer closed the connection");
    if (!stream.client().offers_extended_connect()) {
      answer.shaped = true;
      answer.reply = "extended CONNECT is not offered";
      say(answer, Verdict::closed, Reason::refused);
      co_return;
    }
    stream.client().request(request(ask));
    co_await stream.flush();
  }
  co_await hear_reply(link, stream, ask, answer);
  offers_extended_ = offers_extended_ || stream.client().offers_extended_connect();
}

// Takes nothing where it is.
Task<bool> Http2Connect::hear_whether_http2(Link& link, ProxyAnswer& answer) const {
  const std::string first = co_await link.peek(kHttp2FrameHeader);
  if (begins_http2(first)) co_return true;
  not_spoken(first, kHttp2Preface, answer);
  co_return false;
}

Task<void> Http2Connect::hear_reply(Link& link, Http2Link& stream, const ProxyAsk& ask, ProxyAnswer& answer) {
  const Http2Client& client = stream.client();
  const bool settled = co_await stream.hear_answer();
  if (!settled) throw LinkError(Reason::hung_up, "the peer closed the connection");
  answer.shaped = true;
  if (client.answer() == nullptr) {
    judge_end(client, answer);
    co_return;
  }
  const HttpHead& head = *client.answer();
  answer.code = head.status;
  if (ask.way == kExtended) {
    judge(head, answer);
    co_await hear_page(stream, ask, link.certificate_wanted(), answer);
    co_return;
  }
  if (head.status / 100 != 2) {
    judge(head, answer);
    if (link.certificate_wanted()) co_await hear_page(stream, ask, true, answer);
    co_return;
  }
  // RFC 9113 8.5: the grant of a tunnel has no content, and the stream stays.
  Grant grant = Grant::tunnel;
  if (head.length() || client.ended()) grant = Grant::closing;
  if (head.length().value_or(0) > 0 || head.find("content-type") != nullptr) grant = Grant::content;
  co_await prove_tunnel(stream, ask, answer, grant);
}

// The content of a response: the proof, where it is the canary's; or why it was refused.
Task<void> Http2Connect::hear_page(Http2Link& stream, const ProxyAsk& ask, bool certificate_wanted, ProxyAnswer& answer) {
  const bool refused = certificate_wanted && answer.verdict == Verdict::closed && answer.code.value_or(0) / 100 == 4;
  std::string text;
  std::size_t total = 0;
  try {
    while (total < kMaxContent) {
      const std::string bytes = co_await stream.hear_some();
      if (bytes.empty()) co_return;
      total += bytes.size();
      text += bytes;
      if (ask.way == kExtended && canary().proves(ask.token, text)) {
        say(answer, Verdict::open, Reason::token_returned);
        co_return;
      }
      if (refused && tells_of_certificate(text)) say(answer, Verdict::closed, Reason::auth_required);
      if (text.size() > kMaxProof) text.erase(0, text.size() - kMaxProof);
    }
  } catch (const LinkError&) {
    // The status stays the answer.
  }
}

// The stream or the connection was ended instead of an answer.
void Http2Connect::judge_end(const Http2Client& client, ProxyAnswer& answer) {
  const bool whole = !client.reset();
  const Http2Error error = whole ? client.goaway()->error : *client.reset();
  answer.reply = (whole ? "GOAWAY " : "RST_STREAM ") + to_string(error);
  switch (error) {
    case Http2Error::http_1_1_required:
      return say(answer, Verdict::closed, Reason::refused);
    case Http2Error::protocol_error:
      return whole ? say(answer, Verdict::unclear, Reason::protocol_error) : say(answer, Verdict::closed, Reason::refused);
    case Http2Error::refused_stream:
    case Http2Error::enhance_your_calm:
      return say(answer, Verdict::unclear, Reason::greylisted);
    case Http2Error::no_error:
      return say(answer, Verdict::unclear, whole ? Reason::greylisted : Reason::hung_up);
    case Http2Error::cancel:
      return say(answer, Verdict::unclear, Reason::hung_up);
    case Http2Error::inadequate_security:
      return say(answer, Verdict::unclear, Reason::tls_failed);
    case Http2Error::flow_control_error:
    case Http2Error::settings_timeout:
    case Http2Error::stream_closed:
    case Http2Error::frame_size_error:
    case Http2Error::compression_error:
      return say(answer, Verdict::unclear, Reason::protocol_error);
    default:  // RFC 9113 7: an unknown code is as good as an internal error
      return say(answer, Verdict::unclear, Reason::canary_unreachable);
  }
}

}  // namespace

Task<Finding> http2_connect(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<Http2Connect>(network, canary, subject));
}

}  // namespace ajar
