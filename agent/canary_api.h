// The arrivals API: how an agent learns from an `ajar canary` on another host what arrived there. Both sides hold the canary
// secret; requests and answers are authenticated with the API key that comes from it, requests only for a minute.
//
//   GET /api/v1/arrivals?since=ID   {"data":[arrival…],"cursor":N}   at most kApiMostArrivals; ask again from the cursor
//   GET /api/v1/canary              {"up":{"tcp":true},"trouble":{"tcp":""},"advertised":{"tcp":["198.51.100.7:8025"]}}
//   POST /api/v1/reserve?token=T&v4=1   {"address":"198.51.100.7:50000"}, or null where none is free (CanaryStatus::reserve)
//   POST /api/v1/release?token=T        {}
//   Ajar-Auth: 1800000000:9f2c…     seconds and hex HMAC-SHA256(api key, method LF path?query LF seconds LF hex SHA-256(body))
//
// The answer's Ajar-Auth is hex HMAC-SHA256(api key, "answer" LF the request's Ajar-Auth LF status LF hex SHA-256(body)):
// nobody on the way can invent an arrival.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/arrival_log.h"
#include "agent/canary_keys.h"
#include "agent/canary_server.h"
#include "agent/canary_status.h"
#include "agent/loop.h"

namespace ajar {

inline constexpr const char* kApiAuthHeader = "Ajar-Auth";
inline constexpr const char* kApiReserve = "/api/v1/reserve";
inline constexpr const char* kApiRelease = "/api/v1/release";
inline constexpr std::chrono::seconds kApiTolerance{60};  // of the two clocks
inline constexpr std::size_t kApiMostArrivals = 500;

// The Ajar-Auth header of a request.
std::string authorise(const CanaryKeys& keys, const std::string& method, const std::string& path_query, const std::string& body,
                      Time now);
// Whether it is right and at most a minute old or early. Constant time.
bool authorised(const CanaryKeys& keys, const std::string& method, const std::string& path_query, const std::string& header,
                const std::string& body, Time now);
// The path and query by which a port is asked for (CanaryStatus::reserve).
std::string reserve_request(const std::string& token, bool v4, const std::optional<IpAddress>& asker);

// The Ajar-Auth header of an answer to the request with `request_header`.
std::string authorise_answer(const CanaryKeys& keys, const std::string& request_header, int status, const std::string& body);

struct ApiAnswer {
  int status = 200;
  std::string body;  // JSON
  std::string auth;  // its Ajar-Auth header; empty with 401
};

// The ports of a canary as other threads borrow them. Empty functions: it lends none.
struct PortLender {
  // Without waiting for a free one.
  std::function<std::optional<AddressPort>(const std::string& token, bool v4, std::optional<IpAddress> asker)> reserve;
  std::function<void(const std::string& token)> release;
};
// Asks on the canary's loop, and waits for the answer a moment. Both referents must outlive the loop's last turn.
PortLender lender_of(Loop& loop, CanaryServer& canary);

// Serves the API for a canary. Any thread. The referents must outlive it.
class CanaryApi {
 public:
  CanaryApi(const CanaryKeys& keys, const CanaryStatus& status, const ArrivalLog& arrivals, WallClock now = wall_now,
            PortLender lender = {})
      : keys_(keys), status_(status), arrivals_(arrivals), now_(std::move(now)), lender_(std::move(lender)) {}
  // `path_query` as it stood in the request line; `auth` the Ajar-Auth header, empty when there was none.
  ApiAnswer answer(const std::string& method, const std::string& path_query, const std::string& auth,
                   const std::string& body) const;

 private:
  ApiAnswer get(const std::string& path, std::string_view query) const;
  ApiAnswer lend(const std::string& path, std::string_view query) const;

  const CanaryKeys& keys_;
  const CanaryStatus& status_;
  const ArrivalLog& arrivals_;
  WallClock now_;
  PortLender lender_;
};

}  // namespace ajar
