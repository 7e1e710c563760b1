#include "checks/http_probe.h"

#include <fmt/format.h>

#include "checks/tls_failure.h"
#include "checks/wire/ascii.h"
#include "checks/wire/greeting.h"

namespace ajar {
namespace {

constexpr int kMaxInterim = 4;
constexpr std::string_view kName = "HTTP/";
constexpr std::size_t kMaxPage = 8 * 1024;

}  // namespace

Task<std::unique_ptr<Link>> HttpProbe::reach() {
  std::vector<std::string> offered = {"http/1.1"};
  return reach_offering(std::move(offered));
}

// The hello is that of the check, so TLS begins here and not in dial().
Task<std::unique_ptr<Link>> HttpProbe::reach_offering(std::vector<std::string> protocols) {
  for (;;) {
    std::unique_ptr<Link> link = co_await network().dial(subject().address, subject().port, TlsMode::none);
    if (subject().tls != TlsMode::implicit) co_return link;
    TlsHello hello;
    if (!refuses_alpn_) hello.protocols = protocols;
    try {
      co_await link->start_tls(std::move(hello));
      co_return link;
    } catch (const TlsFailure& failure) {
      if (refuses_alpn_ || failure.alert() != TlsFailure::kNoApplicationProtocol) throw;
    }
    refuses_alpn_ = true;
    network().transcript().note("once more, without ALPN");
  }
}

Task<bool> HttpProbe::hear_head(Link& link, const std::string& sent, HttpHead& head, ProxyAnswer& answer) {
  for (int interim = 0; interim < kMaxInterim; ++interim) {
    const std::string first = co_await link.peek(kName.size());
    if (first.empty() || first.substr(0, kName.size()) != kName.substr(0, first.size())) {
      not_spoken(first, sent, answer);
      if (answer.other_protocol != "HTTP") co_return false;
      answer.other_protocol.clear();  // a page without a head (HTTP/0.9): an answer of a web server, and no
      answer.shaped = true;
      answer.reply = "a page without a head";
      say(answer, Verdict::closed, Reason::refused);
      co_return false;
    }
    co_await read_head(link, head);
    if (head.status >= 200 || head.status == 101) {
      answer.code = head.status;
      answer.reply = escape(head.reason, 120);
      answer.shaped = true;
      co_return true;
    }
  }
  throw LinkError(Reason::protocol_error, "interim responses without an end");
}

// Apart, so that a probe that waits for an answer holds none of this yet.
Task<void> HttpProbe::read_head(Link& link, HttpHead& head) {
  std::string line;
  HttpHeadReader reader;
  HttpHeadReader::Step step = HttpHeadReader::Step::more;
  while (step == HttpHeadReader::Step::more) {
    co_await link.hear(line);
    step = reader.take(line);
  }
  if (step == HttpHeadReader::Step::bad) throw LinkError(Reason::protocol_error, "no HTTP head: " + escape(line, 80));
  if (step == HttpHeadReader::Step::too_long) throw LinkError(Reason::protocol_error, "an HTTP head without an end");
  head = reader.take_head();
}

void HttpProbe::judge(const HttpHead& head, ProxyAnswer& answer) {
  switch (head.status) {
    case 401:
    case 407:
      return say(answer, Verdict::closed, Reason::auth_required);
    case 429:
      return say(answer, Verdict::unclear, Reason::greylisted);
    case 500:
    case 502:
    case 503:
    case 504:
      return say(answer, Verdict::unclear, Reason::canary_unreachable);
    default:
      return say(answer, Verdict::closed, Reason::refused);
  }
}

bool HttpProbe::tells_of_certificate(std::string_view page) {
  const std::string words = to_lower(page);
  return words.find("required ssl certificate") != std::string::npos || words.find("client certificate") != std::string::npos;
}

Task<void> HttpProbe::hear_whether_for_certificate(Link& link, const HttpHead& head, ProxyAnswer& answer) {
  if (!link.certificate_wanted() || answer.verdict != Verdict::closed || head.status / 100 != 4) co_return;
  HttpContent content(head);
  std::string page;
  try {
    while (!content.ended() && page.size() < kMaxPage && !tells_of_certificate(page)) {
      const std::string bytes = co_await link.hear_some();
      if (bytes.empty()) break;
      content.take(bytes, page);
    }
  } catch (const LinkError&) {
    // What came has to do.
  }
  if (tells_of_certificate(page)) say(answer, Verdict::closed, Reason::auth_required);
}

std::string HttpProbe::own_authority() const {
  const Subject& server = subject();
  const std::string host = !server.host.empty()     ? server.host
                           : server.address.is_v4() ? server.address.to_string()
                                                    : "[" + server.address.to_string() + "]";
  return fmt::format("{}:{}", host, server.port);
}

}  // namespace ajar
