#include "checks/socks5_probe.h"

#include "checks/wire/greeting.h"

namespace ajar {

std::vector<ProxyAsk> Socks5Probe::plan() const {
  std::vector<ProxyAsk> all;
  for (const ProxyDestination& to : destinations_) {
    const bool first_port =
        to.kind == destinations_.front().kind && to.kind != CanaryKind::smtp && to.port == destinations_.front().port;
    const bool core = first_port && (&to == &destinations_.front() || to.form == ProxyDestination::Form::name);
    all.push_back({to.name(), to, 0, core, false, {}});
  }
  return all;
}

// RFC 1928 3
Task<bool> Socks5Probe::agree(Link& link, ProxyAnswer& answer) {
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
Task<Socks5Reply> Socks5Probe::hear_reply(Link& link) {
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

bool Socks5Probe::judge(const Socks5Reply& reply, ProxyAnswer& answer) {
  answer.code = reply.code;
  answer.reply = socks5_code_text(reply.code);
  switch (reply.code) {
    case 0:
      return true;
    case 2:
    case 7:
    case 8:
      say(answer, Verdict::closed, Reason::refused);
      return false;
    case 1:
    case 3:
    case 4:
    case 5:
    case 6:
      say(answer, Verdict::unclear, Reason::canary_unreachable);
      return false;
    default:
      say(answer, Verdict::unclear, Reason::protocol_error);
      return false;
  }
}

Task<bool> Socks5Probe::request(Link& link, std::string bytes, std::string as, Socks5Reply& reply, ProxyAnswer& answer) {
  link.transcript().note(as);
  std::string shown = hex(bytes);
  co_await link.say_bytes(std::move(bytes), std::move(shown));
  reply = co_await hear_reply(link);
  co_return judge(reply, answer);
}

}  // namespace ajar
