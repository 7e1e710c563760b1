// The DNSBLs that ajar knows: config/zones.toml, carried in the program. A [[dnsbl.zone]] of the configuration changes an entry
// or adds one.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checks/dnsbl_judge.h"
#include "checks/dnsbl_name.h"

namespace ajar {

// What is known of a database.
struct ZoneInfo {
  std::string name;     // "zen.spamhaus.org": the label; never with a key in it
  std::string lists;    // what is in it, for a person; empty for one that only the configuration knows
  bool on = false;      // asked where the configuration names no zones
  bool domain = false;  // asked about domains; else about addresses
  bool ipv4 = true, ipv6 = false;
  bool test_points = true, ipv6_test_points = true;  // RFC 5782 5
  ZoneRules rules;
  std::string terms;           // who may ask, where that is not anybody
  std::string key;             // how one gets the key that it needs
  unsigned per_day = 100'000;  // questions, the most
  unsigned per_second = 20;
  std::string delisting;  // a URL; {address} stands for the listed one. Empty: not known
  friend bool operator==(const ZoneInfo&, const ZoneInfo&) = default;

  bool asks(DnsblKind kind) const;  // whether it may be asked such questions
  bool has_test_points(DnsblKind kind) const;
  std::string delisting_link(std::string_view address) const;  // percent-encoded; empty: not known
};

struct DeadZone {
  std::string name;                                   // it and every zone below it are dead
  std::string was;                                    // "NiX Spam"
  std::string ended;                                  // "2025-01-16", "2006-12"; empty: not known
  std::string now;                                    // "it is empty, so it calls every address clean"
  std::string sentence(std::string_view zone) const;  // "dead.example (NiX Spam) ended on 2025-01-16: it is …"
};

// In the order of the file. Any thread; read at the first call.
std::span<const ZoneInfo> zone_catalogue();
std::span<const DeadZone> dead_zones();
// nullptr: not in the catalogue. Case does not matter.
const ZoneInfo* find_zone(std::string_view name);
const DeadZone* find_dead_zone(std::string_view name);

// The text of config/zones.toml.
std::string_view zones_text();

}  // namespace ajar
