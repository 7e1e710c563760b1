#include "agent/canary_side.h"

#include <fmt/format.h>

#include "agent/pages.h"

namespace ajar {
namespace {

constexpr std::size_t kUnfolded = 2;  // the conversation that they prove stands below them

std::string_view what_came(const Arrival& arrival) {
  if (arrival.message) return "a message";
  switch (arrival.kind) {
    case CanaryKind::smtp:
      return "a token in a mail conversation";
    case CanaryKind::udp:
      return "a datagram";
    case CanaryKind::tls:
      return "a TLS connection";
    case CanaryKind::tcp:
      return "a connection";
  }
  return "a connection";
}

std::string one(const Arrival& arrival) {
  std::string out = fmt::format("<p>{}: {} from <b>{}</b> to {} ({})</p>", html(to_rfc3339(arrival.time)), what_came(arrival),
                                html(arrival.peer.to_string()), html(arrival.listener.to_string()), to_string(arrival.kind));
  if (arrival.facts.empty()) return out;
  out += "<pre>";
  for (const std::string& fact : arrival.facts) out += html(fact) + '\n';
  return out + "</pre>";
}

std::string side(const std::vector<Arrival>& arrivals, bool bounded) {
  if (arrivals.empty()) return "";
  std::string out = "<h3>What our canary saw</h3>";
  if (bounded) out += "<p class=dim>The first arrival and the latest ones.</p>";
  std::string more;
  for (std::size_t i = 0; i < arrivals.size(); ++i) (i < kUnfolded ? out : more) += one(arrivals[i]);
  return more.empty() ? out : out + folded(fmt::format("{} more", arrivals.size() - kUnfolded), more);
}

}  // namespace

std::string canary_side(const Case& exposure) {
  const std::vector<Arrival>& arrivals = exposure.arrivals.list();
  return side(arrivals, arrivals.size() >= KeptArrivals::kMost);
}

std::string canary_side(const Record& record) { return side(record.arrivals, false); }

}  // namespace ajar
