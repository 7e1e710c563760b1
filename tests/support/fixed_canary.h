// A Canary of tests: tokens TOKEN1, TOKEN2, … in the order minted, one proof for all, and a permit as the test wishes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checks/canary.h"

namespace ajar {

class FixedCanary : public Canary {
 public:
  std::string mail_domain() const override { return domain; }
  std::string host() const override { return domain; }
  std::vector<AddressPort> advertised(CanaryKind kind) const override {
    if (kind == CanaryKind::udp) return udp_addresses;
    if (kind == CanaryKind::tls) return tls_addresses;
    return kind == CanaryKind::smtp ? mail_addresses : addresses;
  }
  bool up(CanaryKind) const override { return permit != Permit::canary_down; }
  std::string mint(const std::string& variant) override {
    minted.push_back(variant);
    return "token" + std::to_string(minted.size());
  }
  bool proves(const std::string&, std::string_view bytes) const override {
    return bytes.find("PROOF") != std::string_view::npos;
  }
  // Of the variant that the token was minted for, by its beginning; the longest that fits.
  Task<std::optional<Sighting>> sighting(const std::string& token, SightingWait wait) override {
    if (log_is_behind && wait != SightingWait::lag) co_return std::nullopt;
    const std::string variant = minted.at(std::stoul(token.substr(5)) - 1);
    const Seen* best = nullptr;
    for (const Seen& one : seen) {
      if (!variant.starts_with(one.variant)) continue;
      if (best == nullptr || one.variant.size() > best->variant.size()) best = &one;
    }
    if (best == nullptr) co_return std::nullopt;
    co_return best->sighting;
  }
  Task<std::optional<AddressPort>> reserve(const std::string&, bool v4, std::optional<IpAddress> asker) override {
    askers.push_back(asker);
    if (reserved.empty() || reserved.front().address.is_v4() != v4) co_return std::nullopt;
    const AddressPort place = reserved.front();
    reserved.erase(reserved.begin());
    co_return place;
  }
  std::optional<KnownName> known_name(const std::string& token) const override {
    if (domain.empty() || known_addresses.empty()) return std::nullopt;
    if (!resolver_name.empty()) return KnownName{resolver_name, known_addresses};
    return KnownName{token + "." + domain, known_addresses};
  }
  void expect_late(const std::string&, const std::string& variant) override { late.push_back(variant); }
  Task<Permit> ask_to_send(const std::string& token, const std::string& variant, const std::string& variant_class) override {
    asked.push_back({token, variant, variant_class});
    co_return permit;
  }
  void not_sent(const std::string& token) override { unsent.push_back(token); }

  struct Seen {
    std::string variant;
    Sighting sighting;
  };
  struct Sending {
    std::string token, variant, variant_class;
  };
  std::string domain = "canary.example.net";
  std::vector<AddressPort> addresses, mail_addresses, udp_addresses, tls_addresses;
  std::vector<AddressPort> reserved;             // given one after the other
  std::vector<std::optional<IpAddress>> askers;  // of reserve()
  std::vector<IpAddress> known_addresses;        // what known_name() leads to
  std::string resolver_name;                     // the name that it gives instead of one with a token
  bool log_is_behind = false;                    // what it saw is to be waited for
  std::vector<Seen> seen;
  std::vector<std::string> late;
  Permit permit = Permit::granted;
  std::vector<std::string> minted;  // the variant of each token
  std::vector<Sending> asked;
  std::vector<std::string> unsent;
};

}  // namespace ajar
