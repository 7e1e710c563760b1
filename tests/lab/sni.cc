// Simulated servers that take TLS, and one that looks at the name in the hello and goes on to whom it names.
#include <array>

#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

constexpr std::uint16_t kTlsPort = 8443;
constexpr std::size_t kMaxRecord = 16384;

unsigned at(const std::string& bytes, std::size_t index) {
  return index < bytes.size() ? static_cast<unsigned char>(bytes[index]) : 0U;
}
unsigned two_at(const std::string& bytes, std::size_t index) { return at(bytes, index) << 8U | at(bytes, index + 1); }

// The name of a ClientHello (RFC 8446 4.1.2, RFC 6066 3); empty: none, or no hello.
std::string name_in(const std::string& hello) {
  std::size_t place = 4 + 2 + 32;      // type, length, version, random
  place += 1U + at(hello, place);      // session id
  place += 2U + two_at(hello, place);  // cipher suites
  place += 1U + at(hello, place);      // compression
  std::size_t end = place + 2U + two_at(hello, place);
  place += 2;
  end = std::min(end, hello.size());
  while (place + 4 <= end) {
    const unsigned type = two_at(hello, place), length = two_at(hello, place + 2);
    if (type == 0 && length >= 5) return hello.substr(place + 9, std::min<std::size_t>(two_at(hello, place + 7), 253));
    place += 4U + length;
  }
  return {};
}

// The first record, which is the ClientHello, with its head. LinkError.
Task<std::string> hear_hello(Link& link) {
  const std::string head = co_await link.hear_bytes(5, Link::Show::nothing);
  const std::size_t length = two_at(head, 3);
  if (at(head, 0) != 22 || length > kMaxRecord) throw LinkError(Reason::protocol_error, "no TLS hello");
  const std::string body = co_await link.hear_bytes(length, Link::Show::nothing);
  co_return head + body;
}

// nginx 1.22, stream: ssl_preread, then a connection to what the map gives.
Task<void> go_on(Link& link, std::string hello, std::string host, World& world, std::string source) {
  const std::unique_ptr<Link> far = co_await world.connect(std::move(source), std::move(host), kTlsPort);
  if (!far) co_return;
  co_await far->say_bytes(std::move(hello), "(carried)");
  co_await world.join(link, *far);
}

Task<void> route(Link& link, Setting setting, World& world) {
  std::string hello = co_await hear_hello(link);
  std::string name = name_in(hello.substr(5));
  co_await go_on(link, std::move(hello), std::move(name), world, std::move(setting.address));
}

Task<void> route_to_the_canary(Link& link, Setting setting, World& world) {
  std::string hello = co_await hear_hello(link);
  std::string canary = setting.canary;
  co_await go_on(link, std::move(hello), std::move(canary), world, std::move(setting.address));
}

Task<void> route_to_nobody(Link& link, Setting, World&) { co_await hear_hello(link); }

// RFC 6066 3: a fatal alert, unrecognized_name.
Task<void> refuse_the_name(Link& link, Setting, World& world) {
  co_await hear_hello(link);
  std::string alert("\x15\x03\x03\x00\x02\x02\x70", 7);
  co_await link.say_bytes(std::move(alert), "(alert)");
  co_await world.linger(link);
}

// A site of its own, inside TLS.
Task<void> answer_itself(Link& link, Setting, World&) {
  co_await link.start_tls();
  co_await link.hear();
  std::string page = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  co_await link.say_bytes(std::move(page));
}

constexpr Personality tls(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                          Speak speak) {
  Personality personality{name, imitates, {{"sni_proxy", verdict, reason}}};
  personality.kind = Kind::other;
  personality.port = kTlsPort;
  personality.speak = speak;
  return personality;
}

constexpr std::array kPersonalities = {
    tls("sni_open", "nginx 1.22, stream, proxy_pass $ssl_preread_server_name:8443", "open", "token_returned", route),
    tls("sni_map", "nginx 1.22, stream, a map of its own names", "closed", "hung_up", route_to_nobody),
    tls("sni_refuses", "nginx 1.22, ssl_reject_handshake on", "closed", "refused", refuse_the_name),
    tls("sni_own_site", "A web server with one certificate for every name", "closed", "refused", answer_itself),
    tls("sni_fixed_canary", "HAProxy 2.6, mode tcp, with the canary as its only server", "closed", "refused",
        route_to_the_canary),
};

}  // namespace

std::span<const Personality> sni_personalities() { return kPersonalities; }

}  // namespace ajar::lab
