// What a database said about an address or a domain: what is asked, kept and shown.
#pragma once

#include <compare>
#include <string>
#include <utility>
#include <vector>

#include "agent/time.h"
#include "checks/dnsbl_judge.h"
#include "checks/dnsbl_name.h"

namespace ajar {

// What databases are asked about: an address or a domain.
struct DnsblSubject {
  DnsblKind kind = DnsblKind::ipv4;
  std::string text;  // "203.0.113.5", "2001:db8::5", "example.org"
  friend auto operator<=>(const DnsblSubject&, const DnsblSubject&) = default;
};

// What a zone said about a subject, when last believed.
struct Listing {
  std::string zone;
  DnsblSubject subject;
  bool listed = false;
  std::vector<DnsblCode> codes;
  ListingTier tier = ListingTier::ticket;
  std::string text;  // the reason that the zone gives (TXT), escaped; empty: none, or not asked yet
  Time since{};      // when it was first heard so
  Time checked{};    // when it was last heard so
  friend bool operator==(const Listing&, const Listing&) = default;
};
using ListingKey = std::pair<std::string, DnsblSubject>;  // zone, subject

}  // namespace ajar
