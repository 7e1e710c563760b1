// What one probe of one check at one endpoint found: the unit that the ledger stores and the public JSON shows.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/time.h"
#include "checks/canary.h"
#include "checks/check.h"

namespace ajar {

// The `result` labels: target, address, port, transport, check.
struct ResultKey {
  std::string target;
  IpAddress address;
  std::uint16_t port = 0;
  Transport transport = Transport::tcp;
  std::string check;
  friend auto operator<=>(const ResultKey&, const ResultKey&) = default;
};

// Something arrived at the canary.
struct Arrival {
  std::int64_t id = 0;  // rises; the cursor of the arrivals API
  Time time{};
  CanaryKind kind{};
  std::string token;     // a valid one of ours, or empty
  bool message = false;  // a whole mail message, not the token alone (in EHLO, say)
  bool proof = false;    // false: seen, but proves nothing (a bounce to our sender, a recipient callout)
  AddressPort peer;      // who delivered it: the exit address
  AddressPort listener;
  std::vector<std::string> facts;  // EHLO name, envelope, Received and Via lines; escaped and bounded
};

struct Record {
  std::string probe_id;  // 16 hex digits
  ResultKey key;
  std::string host;   // may be empty
  std::string owner;  // of the target when probed
  TlsMode tls = TlsMode::none;
  Finding finding;
  bool full_matrix = false;
  std::string source_address;  // may be empty
  Time started{};
  std::chrono::milliseconds duration{};
  std::vector<std::string> transcript;  // tokens already shown as <token>
  std::vector<Arrival> arrivals;        // proofs that our canary saw while it ran, without their tokens
};

}  // namespace ajar
