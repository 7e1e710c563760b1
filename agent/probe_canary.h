// The Canary of one probe: mints its tokens, knows their proofs, and asks the ledger before a message is sent.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/ledger.h"
#include "agent/record.h"
#include "agent/sightings.h"
#include "checks/canary.h"

namespace ajar {

// Who says whether a message may be sent, and remembers tokens: the ledger, or the running agent that has it.
struct MessageBook {
  std::function<Task<Permit>(Message)> ask_to_send;  // `granted` has been recorded durably
  std::function<void(const Message&)> remember;
  std::function<void(const std::string& token)> not_sent;  // a granted one was not taken
};

// The answer of a book that has it at once.
inline Task<Permit> at_once(Permit permit) { co_return permit; }

// Loop thread. The referents must outlive it.
class ProbeCanary : public Canary {
 public:
  ProbeCanary(const CanaryKeys& keys, const CanaryConfig& config, std::string agent_name, const CanaryStatus& status,
              const MessageBook& book, Sightings& sightings, ResultKey key, std::string probe_id, WallClock now = wall_now);
  ~ProbeCanary() override;
  ProbeCanary(const ProbeCanary&) = delete;
  ProbeCanary& operator=(const ProbeCanary&) = delete;

  std::string mail_domain() const override { return mail_domain_; }
  std::string host() const override { return config_.host; }
  std::vector<AddressPort> advertised(CanaryKind kind) const override { return status_.advertised(kind); }
  bool up(CanaryKind kind) const override { return status_.health(kind).up; }
  std::string mint(const std::string& variant) override;
  bool proves(const std::string& token, std::string_view bytes) const override;
  Task<std::optional<Sighting>> sighting(const std::string& token, SightingWait wait) override;
  // One at a time: the port of an earlier token is given back, so that others may have it.
  Task<std::optional<AddressPort>> reserve(const std::string& token, bool v4, std::optional<IpAddress> asker) override;
  std::optional<KnownName> known_name(const std::string& token) const override;
  void expect_late(const std::string& token, const std::string& variant) override;
  Task<Permit> ask_to_send(const std::string& token, const std::string& variant, const std::string& variant_class) override;

  void not_sent(const std::string& token) override { book_.not_sent(token); }

  // The tokens minted so far.
  const std::vector<std::string>& tokens() const { return tokens_; }
  // The proofs that arrived at our canary so far, as they may be stored: KeptArrivals::kMost at most.
  std::vector<Arrival> arrivals() const;
  // `line` with every token of ours, also of an earlier probe (a retry), shown as "<token>": what may be stored and shown.
  std::string redact(const std::string& line) const;

 private:
  Message message(const std::string& token, const std::string& variant, const std::string& variant_class) const;

  const CanaryKeys& keys_;
  const CanaryConfig config_;
  const std::string mail_domain_;
  const CanaryStatus& status_;
  const MessageBook& book_;
  Sightings& sightings_;
  const ResultKey key_;
  const std::string probe_id_;
  const WallClock now_;
  // How a token and its proof look in a transcript, as text and where bytes are shown as such (datagrams).
  struct Spelling {
    std::string proof, token_bytes, proof_bytes;
  };

  std::vector<std::string> tokens_;
  std::vector<Spelling> spellings_;  // of each token: made once, for a transcript has many lines
  std::string reserved_for_;         // a token; empty: none
};

}  // namespace ajar
