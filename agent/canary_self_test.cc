#include "agent/canary_self_test.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/live_network.h"

namespace ajar {
namespace {

// A socket whose connect() is under way. Not through Scope: the canary is used exactly as configured.
int connect_to(const AddressPort& place, int type) {
  const bool v4 = place.address.is_v4();
  const auto bytes = place.address.bytes();
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(place.port);
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(place.port);
  if (v4) {
    std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
  } else {
    std::memcpy(&in6.sin6_addr, bytes.data(), bytes.size());
  }
  FileDescriptor fd(::socket(v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto* to = v4 ? reinterpret_cast<const sockaddr*>(&in) : reinterpret_cast<const sockaddr*>(&in6);
  if (fd.get() < 0 || (::connect(fd.get(), to, v4 ? sizeof in : sizeof in6) != 0 && errno != EINPROGRESS)) {
    throw LinkError(Reason::no_route, std::generic_category().message(errno));
  }
  return fd.release();
}

// The last line of a reply; LinkError when its code is not `code`.
Task<void> expect(Link& link, std::string code) {
  for (int lines = 0; lines < 50; ++lines) {
    const std::string line = co_await link.hear();
    if (!line.starts_with(code)) {
      throw LinkError(Reason::protocol_error, fmt::format("expected {}, got: {}", code, escape(line, 200)));
    }
    if (line.size() < 4 || line[3] != '-') co_return;
  }
  throw LinkError(Reason::protocol_error, "an endless reply");
}

Task<void> test_tcp(Link& link, const SelfTest& test) {
  std::string question = "TOKEN " + test.token;
  co_await link.say(std::move(question));
  const std::string answer = co_await link.hear();
  if (answer != "PROOF " + test.keys.proof(test.token)) {
    throw LinkError(Reason::protocol_error, "somebody else answers there: " + escape(answer, 200));
  }
}

// The name is resolved by nobody here: what a server under test would look up is the operator's to keep.
Task<void> test_tls(Link& link, const SelfTest& test) {
  if (test.host.empty()) {
    throw LinkError(Reason::tls_failed, "canary.host is empty: write the name that leads to this canary, for proofs over TLS");
  }
  TlsHello hello;
  hello.server_name = test.token + "." + test.host;
  co_await link.start_tls(hello);
  co_await test_tcp(link, test);
}

Task<void> test_udp(const SelfTest& test, AddressPort address, Steady::time_point until) {
  Transcript transcript;
  LiveDatagrams datagrams(test.loop, connect_to(address, SOCK_DGRAM), transcript, test.timeout, until);
  const std::string proof = "PROOF " + test.keys.proof(test.token);
  const Datagrams::Fits fits = [&proof](std::string_view bytes) { return bytes == proof; };
  std::string question = "TOKEN " + test.token;
  std::string shown = "TOKEN";
  std::string answer;
  co_await datagrams.ask(std::move(question), std::move(shown), fits, answer);
}

Task<void> test_smtp(Link& link, const SelfTest& test) {
  co_await expect(link, "220");
  std::string line = "EHLO " + test.name;
  co_await link.say(std::move(line));
  co_await expect(link, "250");
  line = "MAIL FROM:<probe-" + test.token + "@" + test.mail_domain + ">";
  co_await link.say(std::move(line));
  co_await expect(link, "250");
  line = "RCPT TO:<" + test.token + "@" + test.mail_domain + ">";
  co_await link.say(std::move(line));
  co_await expect(link, "250");
  line = "RSET";
  co_await link.say(std::move(line));
  co_await expect(link, "250");
  line = "QUIT";
  co_await link.say(std::move(line));
  co_await expect(link, "221");
}

Task<void> test_stream(const SelfTest& test, CanaryKind kind, AddressPort address, Steady::time_point until) {
  Transcript transcript;
  LiveLink link(test.loop, connect_to(address, SOCK_STREAM), LiveLink::Side::client, test.tls, transcript, test.timeout, until);
  co_await link.connected(until);
  if (kind == CanaryKind::smtp) {
    co_await test_smtp(link, test);
  } else if (kind == CanaryKind::tls) {
    co_await test_tls(link, test);
  } else {
    co_await test_tcp(link, test);
  }
}

}  // namespace

Task<std::string> self_test(const SelfTest& test, CanaryKind kind, AddressPort address) {
  std::string trouble;
  try {
    const auto until = test.loop.now() + test.timeout;
    if (kind == CanaryKind::udp) {
      co_await test_udp(test, address, until);
    } else {
      co_await test_stream(test, kind, address, until);
    }
  } catch (const LinkError& error) {
    trouble = error.what();
  } catch (const std::system_error& error) {  // out of descriptors
    trouble = error.what();
  }
  co_return trouble;
}

}  // namespace ajar
