#include "checks/http_probe.h"

#include <fmt/format.h>

#include "checks/wire/greeting.h"

namespace ajar {
namespace {

constexpr int kMaxInterim = 4;
constexpr std::string_view kName = "HTTP/";

}  // namespace

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

std::string HttpProbe::own_authority() const {
  const Subject& server = subject();
  const std::string host = !server.host.empty()     ? server.host
                           : server.address.is_v4() ? server.address.to_string()
                                                    : "[" + server.address.to_string() + "]";
  return fmt::format("{}:{}", host, server.port);
}

}  // namespace ajar
