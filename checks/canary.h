// Our own listener as a check sees it: where it can be reached, a token for a variant, and whether something proves that token.
// Keys, listeners and the database stay in agent/.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"
#include "checks/task.h"

namespace ajar {

enum class CanaryKind { tcp, udp, tls, smtp };
inline constexpr CanaryKind kCanaryKinds[] = {CanaryKind::tcp, CanaryKind::udp, CanaryKind::tls, CanaryKind::smtp};
std::string_view to_string(CanaryKind);

// Whether a message may be sent for an accepted variant now.
enum class Permit {
  granted,         // and remembered: the token's arrival will be attributed, also after a restart
  pending,         // a message of this class is on its way already
  recently_sent,   // one was sent within message_interval; it did or did not arrive
  canary_down,     // the canary's self-test fails: an arrival could not be seen
  no_mail_domain,  // none is configured: mail cannot be proven
};

// What the canary itself saw of a token: its own log, not what a peer says of it.
struct Sighting {
  CanaryKind kind = CanaryKind::tcp;
  bool proof = false;              // false: it came for another authority than ours, say
  IpAddress exit;                  // who connected to the canary
  AddressPort listener;            // where it connected to
  std::string method;              // first word of what it said there: "GET", "TOKEN", "EHLO"
  std::vector<std::string> facts;  // the request line and the headers that tell of proxies; escaped, tokens hidden
};

// How long what is not there yet is waited for, of what the canary saw.
enum class SightingWait {
  none,     // not at all
  settled,  // until the canary has taken in whatever had come to its host by now: a connection that our peer made before it
            // answered us is another one than that of the answer, and may be heard of after it
  lag,      // and where it is elsewhere, or what came may take longer, until its log has caught up: a few seconds at most
};

// A name of ours, and where it leads: what a resolver that works for strangers would answer.
struct KnownName {
  std::string name;                  // "5vq….canary.example.net": nobody can have it in a cache
  std::vector<IpAddress> addresses;  // of both families; the right answer is some of them and no others
};

class Canary {
 public:
  virtual ~Canary() = default;

  // The domain of our recipients and senders: the configured mail_domain, else the canary's host, else the agent's name.
  virtual std::string mail_domain() const = 0;
  // The name that resolves to the canary; empty when none is configured.
  virtual std::string host() const = 0;
  // Its addresses as tested servers reach them.
  virtual std::vector<AddressPort> advertised(CanaryKind kind) const = 0;
  // Whether its self-test of that kind succeeds now.
  virtual bool up(CanaryKind kind) const = 0;

  // A fresh token for one variant: lower-case base32, 32 characters, valid as mail local part and DNS label.
  virtual std::string mint(const std::string& variant) = 0;
  // True when `bytes` contain the proof of `token`: an HMAC that only the canary computes. An echo of the token is not a proof.
  virtual bool proves(const std::string& token, std::string_view bytes) const = 0;
  // What the canary saw of a token that this probe minted; nullopt: nothing.
  virtual Task<std::optional<Sighting>> sighting(const std::string& token, SightingWait wait) = 0;
  // A TCP port of ours for this token alone, until the probe ends: whoever connects there is an arrival of the token, with
  // proof, for the peer has no words there (FTP). Where our canary has several addresses, at another one than `asker`, which
  // the question comes from. nullopt: none is free now, or our canary has none of that family.
  virtual Task<std::optional<AddressPort>> reserve(const std::string& token, bool v4, std::optional<IpAddress> asker) = 0;
  // What a resolver may be asked for with this token; nullopt: no name leads to our canary.
  virtual std::optional<KnownName> known_name(const std::string& token) const = 0;
  // A yes whose proof has not come back yet: when the token arrives after the probe, also after a restart, it is attributed to
  // the variant. Other tokens of proxies are known only while their probe runs.
  virtual void expect_late(const std::string& token, const std::string& variant) = 0;
  // Asks to send one message to token@mail_domain(). On `granted` the sending is recorded durably before this returns.
  virtual Task<Permit> ask_to_send(const std::string& token, const std::string& variant, const std::string& variant_class) = 0;
  // After `granted`: the server refused the message (or was gone before it was said), so none is on its way and the next probe
  // may ask again. Without this a refusal after DATA would read as "pending" and "no proof" for message_interval.
  virtual void not_sent(const std::string& token) = 0;
};

}  // namespace ajar
