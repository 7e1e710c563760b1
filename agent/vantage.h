// Whether the place that we ask from sees what a stranger sees: what the test of it found, judged, and what that means for
// results. Pure: no socket, no clock; agent/vantage_check asks.
//
// NAT on our way is no fault. A firewall that keeps us from a port, and a proxy that answers in a server's stead, are: what
// they say would be taken for what the server says.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/record.h"
#include "checks/canary.h"
#include "checks/dnsbl_judge.h"

namespace ajar {

enum class VantageKind : std::uint8_t {
  egress_25,                 // the mail ports of our canary can be reached
  egress_tcp,                // its TCP ports
  transparent_proxy_absent,  // what arrives there is what we said
  source_unlisted,           // no public database lists our own address
  rdns,                      // our address has a name that leads back to it, and fits what we call ourselves
};
inline constexpr VantageKind kVantageKinds[] = {VantageKind::egress_25, VantageKind::egress_tcp,
                                                VantageKind::transparent_proxy_absent, VantageKind::source_unlisted,
                                                VantageKind::rdns};
std::string_view to_string(VantageKind kind);  // the words of labels

struct VantageState {
  bool up = true;
  std::string because;  // what was found: whole sentences, escaped
  friend bool operator==(const VantageState&, const VantageState&) = default;
};

// What is measured, and nothing else.
using VantageStates = std::map<VantageKind, VantageState>;

// One conversation with our own canary, through an address that it advertises.
struct CanaryPath {
  CanaryKind kind = CanaryKind::tcp;  // or smtp
  AddressPort place;
  std::string silence;              // why nobody said anything; empty: somebody did
  std::string altered;              // how what was said is not what our canary and we say; empty: it is
  std::optional<IpAddress> source;  // where we asked from
  std::optional<IpAddress> exit;    // where that came from, as the canary saw it: another one behind NAT
};

// What a database that can be believed says of an address of ours.
struct OwnListing {
  IpAddress address;
  std::string zone;
  bool listed = false;
  ListingTier tier = ListingTier::ticket;
  std::string meaning;  // of a listing; may be empty
};

// What the DNS says of an address of ours.
struct ReverseName {
  IpAddress address;
  std::vector<std::string> names;    // of its PTR records
  std::set<std::string> leads_back;  // those of them, and our own name, that have the address
  std::string trouble;               // why there is no name; empty: there is one
};

// All that is known, and what results need of it.
struct Vantage {
  VantageStates states;
  // Ports that we could not reach at our own canary at any of its addresses: whether IPv4, and the port.
  std::set<std::pair<bool, std::uint16_t>> blocked;
  std::string http_altered, smtp_altered;  // a proxy in our way: what gives it away; empty: none was found
  std::vector<IpAddress> addresses;        // ours, as own_addresses() has it
};

// -- what one conversation shows --
// The request through which a proxy that can read HTTP would be seen, and what of it the canary is to see.
struct HttpQuestion {
  std::string request;             // all of its bytes
  std::vector<std::string> lines;  // request line and fields as the canary notes them: the token as "<token>"
};
// `nonce`: letters and digits that nobody guesses.
HttpQuestion vantage_question(const AddressPort& place, const std::string& token, const std::string& nonce);
// What was added to the request or changed in it; empty: nothing. `seen`: what the canary noted. What it does not note is not
// missed: it may be of another version.
std::string altered_request(const HttpQuestion& question, const std::vector<std::string>& seen);
// What is not our canary's in an answer. `head`: its lines, escaped by nobody; `proven`: the proof came with it.
std::string altered_answer(const std::vector<std::string>& head, bool proven);
// The same of SMTP: the greeting and the reply to EHLO TOKEN, line by line; `proven` as above. A greeting of 421, by which our
// canary says that it is busy, shows nothing.
std::string altered_smtp(const std::string& greeting, const std::vector<std::string>& hello, bool proven);

// -- what all of it means --
// Egress and proxies; what was not asked is not in it. Puts it in the place of what was known.
void judge_paths(const std::vector<CanaryPath>& paths, Vantage& vantage);
// Info tiers do not count. Nothing known: no state.
void judge_listings(const std::vector<OwnListing>& listings, Vantage& vantage);
// `name`: how we introduce ourselves (EHLO). An address that is not routed globally needs no name, nor that one to lead there:
// behind NAT, servers see another.
void judge_names(const std::vector<ReverseName>& names, const std::string& name, Vantage& vantage);

// Our addresses as those see them whom we ask: where the canary saw another one (NAT) that is routed globally, that one.
// `others`: what we ask from where no canary tells. Loopback addresses are nobody's and left out.
std::vector<IpAddress> own_addresses(const std::vector<CanaryPath>& paths, const std::vector<IpAddress>& others);

// A result that the way from here may have made is `unclear`/`source_blocked`, never `closed`; a yes stays a yes. `protocol`:
// what its check speaks (CheckInfo::protocol). Where the server itself says that it turns us away, what may be the cause is
// added. Once for each record.
void doubt(const Vantage& vantage, std::string_view protocol, Record& record);

}  // namespace ajar
