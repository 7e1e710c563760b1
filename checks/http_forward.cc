// http_forward: would it fetch for a stranger?
//
//   C: GET http://198.51.100.7:8025/<token> HTTP/1.1   absolute form (RFC 9112 3.2.2): what a client says to a proxy
//   C: Host: 198.51.100.7:8025
//   S: HTTP/1.1 200 OK
//   S: PROOF <proof>                                   the canary's own answer, read back: open
//                                                      any other page: refused (a page of its own, a portal, 403, 400 …);
//                                                      407: it wants a login; 429, 500, 502 to 504: put off
//   C: GET /<token> HTTP/1.1                           origin form, our Host: a server that sends on by the name it is given
//   C: Host: 198.51.100.7:8025
//   … POST and PUT, HEAD (seen in the canary's log alone, for it has no body), HTTP/1.0, and authorities that a careless server
//   reads otherwise than its guard does: userinfo, a Host that differs from the request line, X-Forwarded-Host.
//
// There is no yes here: proof or refusal. The canary answers only for its own name and address, and a proof counts only where
// two of its endpoints are reached apart from each other, or a name that does not exist is not: a reverse proxy with a fixed
// origin, be it our canary, is no proxy for strangers.
//
// How this harms nobody: the only destinations named are our own canary (or a name under .invalid) and, in the authorities
// above, the server itself, and those only once it has refused all else: a server that connects wherever it is told would
// connect to itself without end. One small request each, which says who asks and changes nothing anywhere.
#include "checks/http_forward.h"

#include <array>

#include <fmt/format.h>

#include "checks/http_probe.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxContent = 32 * 1024;  // the canary's answer is a hundred bytes
constexpr std::size_t kMaxProof = 256;

// A proof may stand across two receipts.
void keep_end(std::string& text) {
  if (text.size() > kMaxProof) text.erase(0, text.size() - kMaxProof);
}

struct Way {
  std::string_view name;
  std::string_view method;
  bool every_endpoint;  // else the first one alone
};

enum WayNumber {
  kAbsoluteGet,
  kHostGet,
  kPost,
  kPut,
  kHead,
  kOld,
  kPostToMail,
  kUserinfo,  // from here on the server itself is named as well
  kHostDiffers,
  kLineDiffers,
  kForwardedHost,
  kHostUserinfo
};
constexpr std::array<Way, 12> kWays = {{
    {"absolute/get", "GET", true},
    {"host/get", "GET", true},
    {"absolute/post", "POST", false},
    {"absolute/put", "PUT", false},
    {"absolute/head", "HEAD", false},
    {"absolute/get+http1.0", "GET", false},
    {"absolute/post", "POST", false},
    {"userinfo/get", "GET", false},
    {"host_differs/get", "GET", false},
    {"line_differs/get", "GET", false},
    {"x_forwarded_host/get", "GET", false},
    {"host_userinfo/get", "GET", false},
}};

class HttpForward : public HttpProbe {
 public:
  HttpForward(Network& network, Canary& canary, const Subject& subject)
      : HttpProbe(network, canary, subject), destinations_(proxy_destinations(canary)) {}

 private:
  std::vector<ProxyAsk> plan() const override;
  Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) override;
  Task<void> look_at_log(const ProxyAsk& ask, const HttpHead& head, ProxyAnswer& answer);
  Task<void> hear_content(Link& link, const ProxyAsk& ask, const HttpHead& head, ProxyAnswer& answer);
  std::vector<std::string> request(const ProxyAsk& ask) const;

  const std::vector<ProxyDestination> destinations_;
};

std::vector<ProxyAsk> HttpForward::plan() const {
  std::vector<ProxyAsk> all;
  for (const bool core : {true, false}) {
    for (std::size_t way = 0; way < kWays.size(); ++way) {
      const CanaryKind kind = way == kPostToMail ? CanaryKind::smtp : CanaryKind::tcp;
      bool first = true;
      for (const ProxyDestination& to : destinations_) {
        if (to.kind != kind || (!first && !kWays[way].every_endpoint)) continue;
        const bool is_core = first && way <= kHostGet;
        first = false;
        if (is_core != core) continue;
        all.push_back(
            {fmt::format("{}@{}", kWays[way].name, to.name()), to, static_cast<int>(way), core, false, {}, way >= kUserinfo});
      }
    }
  }
  return all;
}

std::vector<std::string> HttpForward::request(const ProxyAsk& ask) const {
  const Way& way = kWays[static_cast<std::size_t>(ask.way)];
  const std::string ours = ask.to.authority();
  std::string line_authority = ours, host = ask.to.host_field(), path = "/" + ask.token, content, version = "HTTP/1.1";
  std::vector<std::string> more;
  switch (ask.way) {
    case kHostGet:
      line_authority.clear();
      break;
    case kPost:
      path = "/";
      content = "token=" + ask.token;
      break;
    case kPut:
    case kPostToMail:
      content = "token=" + ask.token;
      break;
    case kOld:
      version = "HTTP/1.0";
      break;
    case kUserinfo:
      line_authority = own_authority() + "@" + ours;
      break;
    case kHostDiffers:
      line_authority = own_authority();
      break;
    case kLineDiffers:
      host = own_authority();
      break;
    case kForwardedHost:
      line_authority.clear();
      host = own_authority();
      more.push_back("X-Forwarded-Host: " + ours);
      break;
    case kHostUserinfo:
      line_authority.clear();
      host = own_authority() + "@" + ours;
      break;
    default:
      break;
  }
  const std::string target = line_authority.empty() ? path : "http://" + line_authority + path;
  std::vector<std::string> lines = {fmt::format("{} {} {}", way.method, target, version), "Host: " + host,
                                    "User-Agent: " + user_agent(), "Connection: close"};
  lines.insert(lines.end(), more.begin(), more.end());
  if (!content.empty()) {
    lines.emplace_back("Content-Type: application/x-www-form-urlencoded");
    lines.push_back(fmt::format("Content-Length: {}", content.size() + 2));
  }
  lines.emplace_back();
  if (!content.empty()) lines.push_back(content);
  return lines;
}

Task<void> HttpForward::converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  const std::vector<std::string> lines = request(ask);
  co_await link.say_lines(lines);
  const bool by_log = ask.way == kHead || ask.way == kPostToMail;
  HttpHead head;
  bool is_http = false;
  std::optional<LinkError> trouble;
  try {
    is_http = co_await hear_head(link, lines.front(), head, answer);
  } catch (const LinkError& error) {
    if (!by_log) throw;
    trouble = error;
  }
  if (is_http) judge(head, answer);
  if (by_log) {
    co_await look_at_log(ask, head, answer);
    if (trouble && answer.verdict != Verdict::open) throw LinkError(*trouble);
    co_return;
  }
  if (is_http) co_await hear_content(link, ask, head, answer);
}

// No content to read: the canary's own log says whether it was reached, in this way, while we asked; however the answer ended,
// for what our mail side says is no HTTP.
Task<void> HttpForward::look_at_log(const ProxyAsk& ask, const HttpHead& head, ProxyAnswer& answer) {
  const SightingWait wait = ask.way == kPostToMail || head.status / 100 == 2 ? SightingWait::lag : SightingWait::settled;
  const std::optional<Sighting> seen = co_await canary().sighting(ask.token, wait);
  const bool reached = seen && seen->method == kWays[static_cast<std::size_t>(ask.way)].method;
  if (!reached || (!seen->proof && ask.way != kPostToMail)) co_return;
  say(answer, Verdict::open, Reason::token_returned);
  answer.other_protocol.clear();
}

// Reads on until the proof is there; where it is not, the status stays the answer.
Task<void> HttpForward::hear_content(Link& link, const ProxyAsk& ask, const HttpHead& head, ProxyAnswer& answer) {
  HttpContent content(head);
  std::string text, raw;  // the content; the bytes as they came, for where their framing is wrong
  std::size_t total = 0;
  std::optional<Reason> trouble;
  const bool refused = link.certificate_wanted() && answer.verdict == Verdict::closed && head.status / 100 == 4;
  try {
    while ((!content.ended() || content.broken()) && total < kMaxContent) {
      const std::string bytes = co_await link.hear_some();
      if (bytes.empty()) break;
      total += bytes.size();
      raw += bytes;
      content.take(bytes, text);
      if (canary().proves(ask.token, text) || canary().proves(ask.token, raw)) {
        say(answer, Verdict::open, Reason::token_returned);
        co_return;
      }
      if (refused && tells_of_certificate(text)) say(answer, Verdict::closed, Reason::auth_required);
      keep_end(text);
      keep_end(raw);
    }
  } catch (const LinkError& error) {
    trouble = error.reason();
  }
  if (head.status / 100 != 2 || (content.ended() && !content.broken())) co_return;
  // It stopped in the middle: what was still to come may have been the proof.
  const bool promised = head.chunked() || head.length();
  if (content.broken()) {
    say(answer, Verdict::unclear, Reason::protocol_error);
  } else if (trouble == Reason::timeout) {
    say(answer, Verdict::unclear, Reason::timeout);
  } else if (total < kMaxContent && (promised || trouble)) {
    say(answer, Verdict::unclear, Reason::hung_up);
  }
}

}  // namespace

Task<Finding> http_forward(Network& network, Canary& canary, const Subject& subject) {
  return ProxyProbe::run(std::make_unique<HttpForward>(network, canary, subject));
}

}  // namespace ajar
