// What the answers of a DNSBL mean. A database is believed only while it shows that it works: then a code is a listing, and "no
// such name" is none. Everything else is a state of the zone, and says nothing about the address.
//
//   asked                 answer                               means
//   any name              127.255.255.x                        blocked: our question was refused (.252 wrong zone name, .254
//                                                              public resolver, .255 too many), whatever else it answers
//                         127.0.0.1, unless its table says     blocked: the old way to say so
//                         a code that its table calls refusal  blocked
//                         anything outside 127.0.0.0/8         hijacked: a resolver that rewrites answers, or a parked domain
//                         REFUSED; SERVFAIL; silence           refused; servfail; timeout
//                         no such name, no address             not in the zone
//   127.0.0.2             not in the zone                      empty: closed down, or we are answered as if it were
//   127.0.0.1, nobody     in the zone                          lists_the_world
//   an address            127.x.y.z                            listed, with the meaning of each code that the table has
//
// RFC 5782, RFC 6471 3. No clock, no network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

enum class ZoneState : std::uint8_t {
  healthy,
  empty,
  lists_the_world,
  timeout,
  servfail,
  refused,
  blocked,
  hijacked,
  untested
};
inline constexpr int kZoneStateCount = static_cast<int>(ZoneState::untested) + 1;
std::string_view to_string(ZoneState state);  // the words of labels, JSON and pages
std::optional<ZoneState> parse_zone_state(std::string_view text);

// Whom a listing wakes. info: not the host's own doing, as a range where no mail server should be.
enum class ListingTier : std::uint8_t { info, ticket, page };
std::string_view to_string(ListingTier tier);
std::optional<ListingTier> parse_listing_tier(std::string_view text);

// What a code says about its address. praise: known as good. neutral: known as neither. refusal: nothing, the question was
// refused.
enum class CodeEffect : std::uint8_t { listing, praise, neutral, refusal };
std::string_view to_string(CodeEffect effect);
std::optional<CodeEffect> parse_code_effect(std::string_view text);

// What a code says about the doors that ajar tries.
enum class ListingCause : std::uint8_t { unknown, relay, proxy };
std::string_view to_string(ListingCause cause);
std::optional<ListingCause> parse_listing_cause(std::string_view text);

// Which codes a line of a table is about: four parts, each a number, "2-11" or "*"; the last one also "&32": every code that
// has one of these bits.
class CodePattern {
 public:
  // "127.0.0.2", "127.0.0.10-11", "127.0.*.*", "127.0.0.&32". nullopt for anything else, and for what lies outside 127.0.0.0/8.
  static std::optional<CodePattern> parse(std::string_view text);
  bool matches(const IpAddress& code) const;
  bool is_mask() const { return mask_ != 0; }
  const std::string& text() const { return text_; }  // as parsed
  friend bool operator==(const CodePattern&, const CodePattern&) = default;

 private:
  struct Range {
    std::uint8_t least = 0, most = 255;
    friend bool operator==(const Range&, const Range&) = default;
  };
  Range parts_[4];
  std::uint8_t mask_ = 0;
  std::string text_;
};

struct CodeRule {
  CodePattern pattern;
  std::string meaning;  // "open SOCKS proxy": a label, so from a table and never from an answer
  CodeEffect effect = CodeEffect::listing;
  ListingCause cause = ListingCause::unknown;
  std::optional<ListingTier> tier;  // nullopt: the zone's
  friend bool operator==(const CodeRule&, const CodeRule&) = default;
};

// The table of a zone. Of the lines with a mask all that match count; where none does, the first other one that matches.
struct ZoneRules {
  std::vector<CodeRule> codes;
  ListingTier tier = ListingTier::ticket;
  friend bool operator==(const ZoneRules&, const ZoneRules&) = default;
};

// How a question for A records ended.
struct DnsblReply {
  enum class Outcome : std::uint8_t { answered, no_such_name, no_data, timeout, servfail, refused };
  Outcome outcome = Outcome::timeout;  // servfail: also whatever else makes an answer useless
  std::vector<IpAddress> addresses;    // answered: at least one
};

struct DnsblCode {
  std::string code;     // "127.0.0.9"
  std::string meaning;  // "unknown" where the table has no line for it
  CodeEffect effect = CodeEffect::listing;
  ListingCause cause = ListingCause::unknown;
  ListingTier tier = ListingTier::ticket;
  friend bool operator==(const DnsblCode&, const DnsblCode&) = default;
};

// What one answer about an address says.
struct DnsblFinding {
  // nullopt: nothing about the address; `state` says why.
  std::optional<bool> listed;
  ZoneState state = ZoneState::untested;  // healthy when `listed` has a value: as far as this answer shows
  std::string because;                    // one sentence for a person, nothing of the answer's own text but addresses
  std::vector<DnsblCode> codes;  // of the answer, praise too, in the order of the addresses; of too many those that decide
  // The worst of the listing codes, else the zone's.
  ListingTier tier = ListingTier::ticket;
};
inline constexpr std::size_t kMaxDnsblCodes = 16;

DnsblFinding judge_dnsbl(const DnsblReply& reply, const ZoneRules& rules);

// The answers about the three names of dnsbl_test_names.
struct ZoneTest {
  DnsblReply listed, unlisted, nobody;
};
struct ZoneHealth {
  ZoneState state = ZoneState::untested;
  std::string because;  // one sentence
};
// A zone without test points is asked about nobody alone: it cannot be told whether it is empty.
ZoneHealth judge_zone(const ZoneTest& test, const ZoneRules& rules, bool test_points);

// What becomes of a finding. A zone may have broken since its last test, so nothing new is believed that was heard after it: a
// listing must not end because its database was emptied, nor begin because it now lists the world.
enum class ListingStep : std::uint8_t {
  keep,     // says nothing: what was known stays
  confirm,  // new: test the zone, then ask again what to do
  publish,
};
// `known`: what is published of this address, nullopt: nothing yet. `health`: of the last test that ended. `tested_since`: that
// test began after the finding was heard.
ListingStep next_step(const std::optional<bool>& known, const DnsblFinding& finding, ZoneState health, bool tested_since);

}  // namespace ajar
