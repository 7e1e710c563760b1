// What the notice to the owner of a target is about: gathered once, then written in any language and format.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/ledger.h"
#include "agent/zones.h"
#include "checks/software.h"
#include "config/config.h"

namespace ajar {

// A door that is accepted or open, and not exempt.
struct NoticeDoor {
  Case exposure;
  TlsMode tls = TlsMode::none;
  bool answers = true;   // false: the last probe was told nothing: not seen since exposure.last_confirmed
  std::size_t ways = 1;  // forms in which it was told yes
  std::string source;    // from where we asked; may be empty
  std::string because;   // one sentence, English
  SoftwareGuess software;
  std::vector<std::string> transcript;  // tokens shown as <token>
};

// What a public database says, where it can be believed.
struct NoticeListing {
  std::string address;  // or a domain
  std::string database;
  std::string reason;    // may be empty
  std::string delist;    // a URL; may be empty
  std::string meanings;  // "open HTTP proxy"
  Time checked{};
};

struct NoticeFacts {
  std::string target, place;
  std::string agent;    // who asks: its name
  std::string contact;  // "sre@example.net" or a URL; may be empty
  std::string base;     // of links, without a slash at its end
  std::vector<std::string> addresses;
  Duration interval{};
  Time now{};
  std::optional<Time> last_probe;
  std::string source;                    // from where the target was asked last; may be empty
  bool answered = false;                 // something of it answered us
  bool refused = false;                  // and refused what we asked
  std::vector<NoticeDoor> doors;         // the worst first, then the oldest
  std::vector<NoticeListing> listings;   // by database
  std::size_t databases = 0;             // that can be believed now and are asked about it
  std::optional<Time> databases_tested;  // when the last test of the first of them to be tested was

  // Nothing to write about: no door and no listing.
  bool empty() const { return doors.empty() && listings.empty(); }
};

// `target`: of `config`, or one that was discovered. `zones`: nullptr where no agent runs; then `kept` is what the databases
// said when one did.
NoticeFacts notice_facts(const TargetConfig& target, const Ledger& ledger, const Config& config, const ZonesView* zones,
                         const std::vector<Listing>& kept, Time now);

// An open relay, or an open proxy?
bool is_relay(std::string_view check);

}  // namespace ajar
