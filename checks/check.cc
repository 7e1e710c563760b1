#include "checks/check.h"

#include <array>
#include <utility>

namespace ajar {
namespace {

// In the order of the enumerators: the index is the value.
constexpr std::array kVerdicts = {"closed", "unreachable", "unclear", "accepted", "open"};
constexpr std::array kReasons = {
    "refused",           "nobody_listens",     "filtered",       "auth_required",      "other_protocol", "control_failed",
    "greylisted",        "source_blocked",     "timeout",        "no_route",           "hung_up",        "tls_failed",
    "protocol_error",    "canary_unreachable", "no_proof",       "accepts_everything", "token_pending",  "token_returned",
    "message_delivered", "out_of_scope",       "internal_error",
};
static_assert(kReasons.size() == kReasonCount);
constexpr std::array kTransports = {"tcp", "udp"};
constexpr std::array kTlsModes = {"none", "implicit", "starttls"};

template <class Enum, std::size_t size>
std::optional<Enum> find(const std::array<const char*, size>& words, std::string_view word) {
  for (std::size_t i = 0; i < size; ++i) {
    if (word == words[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

template <class Enum, std::size_t size>
std::string_view word(const std::array<const char*, size>& words, Enum value) {
  return words.at(static_cast<std::size_t>(value));
}

}  // namespace

std::string_view to_string(Verdict verdict) { return word(kVerdicts, verdict); }
std::string_view to_string(Reason reason) { return word(kReasons, reason); }
std::string_view to_string(Transport transport) { return word(kTransports, transport); }
std::string_view to_string(TlsMode mode) { return word(kTlsModes, mode); }
std::optional<Verdict> parse_verdict(std::string_view text) { return find<Verdict>(kVerdicts, text); }
std::optional<Reason> parse_reason(std::string_view text) { return find<Reason>(kReasons, text); }
std::optional<Transport> parse_transport(std::string_view text) { return find<Transport>(kTransports, text); }
std::optional<TlsMode> parse_tls_mode(std::string_view text) { return find<TlsMode>(kTlsModes, text); }

}  // namespace ajar
