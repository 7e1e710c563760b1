// One conversation of a simulated proxy. What it is like stands in ProxyManners, as data; the personalities are a table of
// those (personality.cc).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checks/network.h"
#include "checks/task.h"
#include "tests/lab/dialog.h"
#include "tests/lab/world.h"

namespace ajar::lab {

// What it does with a request of one form (RFC 9112 3.2).
enum class Way : std::uint8_t {
  bad_request,        // 400
  forbidden,          // 403
  not_allowed,        // 405
  wants_auth,         // 407
  unavailable,        // 503: says that it cannot reach anybody
  gateway_timeout,    // 504
  page,               // 200 and a page of its own, to GET, HEAD, POST and CONNECT; 405 to the rest
  site,               // the page at "/", 404 elsewhere
  connects,           // a tunnel to whom the request names
  connects_443,       // the same, to ports 443 and 8443 only
  silent_tunnel,      // 200, and nobody at the other end
  own_tunnel,         // 200, and itself at the other end
  forwards,           // fetches from whom the request names
  forwards_one_port,  // the same, but always from the canary's HTTP port
  forwards_fixed,     // fetches from the canary, whomever the request names
  endless_body,       // 200 and a gigabyte
};

// What it does with a SOCKS request.
enum class SocksWay : std::uint8_t { unknown, connects, refuses, wants_auth, hangs_up };

// Whose words it uses.
enum class Software : std::uint8_t { squid, apache, nginx, mikrotik };

struct ProxyManners {
  Way connect = Way::bad_request;
  Way absolute = Way::bad_request;
  Way origin = Way::bad_request;
  SocksWay socks4 = SocksWay::unknown;
  SocksWay socks5 = SocksWay::unknown;
  Software software = Software::squid;
  bool http = true;         // else HTTP is hung up on
  bool other_exit = false;  // leaves by kOtherExit
  bool slow = false;        // Pace::proxy_delay before an answer, and that in pieces
  bool wants_crlf = false;  // CONNECT is answered after one more line end
};

// Where `other_exit` leaves. Nobody of the lab lives there.
inline constexpr const char* kOtherExit = "127.77.0.7";

// A head of more lines or bytes is 400, a body of more bytes 413.
inline constexpr std::size_t kMaxHeadLines = 100;
inline constexpr std::size_t kMaxHead = 16384;
inline constexpr std::size_t kMaxRequestBody = 65536;

// The request that proxies answer: lines up to an empty one, in which `begun` has been heard already. False: the bounds are
// passed. LinkError when the peer leaves first.
Task<bool> hear_request_head(Link& link, std::string begun, std::vector<std::string>& lines);

// Holds one conversation until either side ends it. LinkError when the peer leaves.
Task<void> converse_as_proxy(Link& link, const ProxyManners& manners, const Setting& setting, World& world);

}  // namespace ajar::lab
