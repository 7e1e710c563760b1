// A Canary of tests: tokens TOKEN1, TOKEN2, … in the order minted, one proof for all, and a permit as the test wishes.
#pragma once

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
  std::vector<AddressPort> advertised(CanaryKind) const override { return addresses; }
  bool up(CanaryKind) const override { return permit != Permit::canary_down; }
  std::string mint(const std::string& variant) override {
    minted.push_back(variant);
    return "token" + std::to_string(minted.size());
  }
  bool proves(const std::string&, std::string_view bytes) const override {
    return bytes.find("PROOF") != std::string_view::npos;
  }
  Permit ask_to_send(const std::string& token, const std::string& variant, const std::string& variant_class) override {
    asked.push_back({token, variant, variant_class});
    return permit;
  }
  void not_sent(const std::string& token) override { unsent.push_back(token); }

  struct Sending {
    std::string token, variant, variant_class;
  };
  std::string domain = "canary.example.net";
  std::vector<AddressPort> addresses;
  Permit permit = Permit::granted;
  std::vector<std::string> minted;  // the variant of each token
  std::vector<Sending> asked;
  std::vector<std::string> unsent;
};

}  // namespace ajar
