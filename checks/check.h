// The vocabulary: what is asked, of whom, and what an answer is. No socket, clock, key, log or configuration in checks/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"
#include "checks/task.h"

namespace ajar {

class Canary;
class Network;

// The answer, in order of worry; the number is the metric's value.
enum class Verdict : std::uint8_t { closed = 0, unreachable = 1, unclear = 2, accepted = 3, open = 4 };

// Why. A bounded list: it becomes a label.
enum class Reason : std::uint8_t {
  refused,
  nobody_listens,
  filtered,
  auth_required,
  other_protocol,
  control_failed,
  greylisted,
  source_blocked,
  timeout,
  no_route,
  hung_up,
  tls_failed,
  protocol_error,
  canary_unreachable,
  no_proof,
  accepts_everything,
  token_pending,
  token_returned,
  message_delivered,
  out_of_scope,
  internal_error,
};
inline constexpr int kReasonCount = static_cast<int>(Reason::internal_error) + 1;

enum class Transport : std::uint8_t { tcp, udp };
enum class TlsMode : std::uint8_t { none, implicit, starttls };

// The words of labels, JSON and pages; parsing gives nullopt for anything else.
std::string_view to_string(Verdict);
std::string_view to_string(Reason);
std::string_view to_string(Transport);
std::string_view to_string(TlsMode);
std::optional<Verdict> parse_verdict(std::string_view);
std::optional<Reason> parse_reason(std::string_view);
std::optional<Transport> parse_transport(std::string_view);
std::optional<TlsMode> parse_tls_mode(std::string_view);

// One way of asking, and what came of it.
struct Variant {
  std::string name;  // "forged_local/plain"; with "+tls" appended when asked after STARTTLS
  Verdict verdict = Verdict::unclear;
  Reason reason = Reason::internal_error;
  std::optional<int> code;           // the reply code that decided it
  std::optional<std::string> reply;  // its text, lines joined by a space, escaped and bounded
};

// A variant that was put off and must be asked again with the same token and sender (greylisting keys on source, sender and
// recipient). Kept by the caller between probes.
struct Retry {
  std::string variant;
  std::string token;
  std::string sender_token;  // of the external sender's address; may be empty
};

// Whom we ask about, and how we introduce ourselves. Values; the caller keeps it alive while the check runs.
struct Subject {
  std::string target;  // its name in the configuration
  std::string host;    // the name that resolved to `address`; empty when the operator gave an address
  IpAddress address;
  std::uint16_t port = 0;
  Transport transport = Transport::tcp;
  TlsMode tls = TlsMode::none;                  // implicit: TLS before the first byte
  std::vector<std::string> mail_domains;        // first: the local domain; empty: host, else the greeting's name
  std::vector<std::string> control_recipients;  // addresses that this server must accept from strangers
  std::string our_name;                         // EHLO name
  std::string contact;                          // "mailto:…": said in the message and in HTTP requests
  std::string date;                             // now, as RFC 5322 3.3 writes it; said in the message
  bool full_matrix = false;                     // false: core variants only
  std::vector<std::string> must_ask;  // variants that said yes before: asked in every probe, and `closed` needs their refusal
  std::vector<Retry> retries;         // variants that were put off, to be asked again unchanged
  std::vector<IpAddress> our_addresses;  // this host's, as those see it whom it asks; empty: not known. See Network::source()
};

// What a check found. The transcript stays with the Network.
struct Finding {
  Verdict verdict = Verdict::unclear;
  Reason reason = Reason::internal_error;
  std::string because;                      // one sentence
  std::vector<Variant> variants;            // in the order asked
  std::vector<std::string> observations;    // facts beside the verdict: "AUTH offered in clear text"
  std::vector<std::string> exit_addresses;  // where the proof came from, when it came during the check
  std::vector<Retry> retries;               // put off, to be asked again after a while
  bool whole = true;                        // false: part of the matrix could not be asked, so it is still to be asked
  TlsMode tls = TlsMode::none;              // the strongest that the conversation reached
  // What the peer turned out to speak, in the words of CheckInfo::protocol where one of ours, else "SSH", "FTP", …; empty: it
  // said nothing, or nothing that is recognised. Settles the silence of other checks of the same visit.
  std::string spoken;
};

using CheckFunction = Task<Finding> (*)(Network&, Canary&, const Subject&);

}  // namespace ajar
