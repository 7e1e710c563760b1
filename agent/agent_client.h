// A running agent as `ajar check` uses it: its canary, its ledger. Over its HTTP API, authenticated with the canary secret.
//
// Where the agent's web.yml has TLS, its certificate is not verified: it is made for another name than the address that is
// asked here. Request and answer are authenticated by themselves, so that whoever came between could invent neither. Nor is a
// client certificate shown: the agent lets programs of its own machine in without one, for such requests alone
// (kOwnProtocol).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/canary_keys.h"
#include "agent/canary_status.h"
#include "agent/ledger.h"
#include "agent/record.h"
#include "agent/suspicions.h"

namespace ajar {

class AgentClient : public CanaryStatus {
 public:
  // `web`: where the agent listens.
  AgentClient(const WebConfig& web, CanaryKeys keys);
  ~AgentClient() override;

  // Asks for the canary's state anew; false when the agent does not answer (trouble() says why).
  bool refresh();
  Permit ask_to_send(const Message& message);
  void not_sent(Message message);
  // What every probe of this result must ask besides, as the agent knows it; empty where it knows nothing.
  struct Doubts {
    std::string used_up_until;  // the budget of the address: until then nothing is asked there; empty: there is room
    std::vector<std::string> must_ask;
    std::vector<Retry> retries;
  };
  Doubts doubts(const ResultKey& key);
  // What arrived since the last call.
  std::vector<Arrival> arrivals();
  // Stores a result in the agent's ledger; false when it did not take it (trouble() says why).
  bool store(const Record& record);
  // Hands suspicions to the agent; nullopt when it did not take them (trouble() says why).
  std::optional<ImportCounts> take_in(const std::vector<Suspicion>& suspicions);
  // The notice about a target, in languages ("de,fr") and a format; empty: nothing is to be told. nullopt: trouble() says why.
  std::optional<std::string> notice(const std::string& target, const std::string& languages, const std::string& format);
  CanaryHealth health(CanaryKind kind) const override;
  std::vector<AddressPort> advertised(CanaryKind kind) const override;
  Task<std::optional<AddressPort>> reserve(std::string token, bool v4, std::optional<IpAddress> asker) const override;
  void release(const std::string& token) const override;
  const std::string& address() const;  // host:port
  const std::string& trouble() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ajar
