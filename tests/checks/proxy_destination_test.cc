#include "checks/proxy_destination.h"

#include <gmock/gmock.h>

#include "tests/support/fixed_canary.h"

namespace ajar {
namespace {

using testing::ElementsAre;

std::vector<std::string> names(const Canary& canary) {
  std::vector<std::string> all;
  for (const ProxyDestination& to : proxy_destinations(canary)) all.push_back(to.name());
  return all;
}

AddressPort at(const char* text) { return *AddressPort::parse(text); }

TEST(ProxyDestinations, EachPortByAddressAndByNameAndMailLast) {
  FixedCanary canary;
  canary.addresses = {at("198.51.100.7:8025"), at("198.51.100.7:80"), at("[2001:db8::7]:8025"), at("198.51.100.8:80")};
  canary.mail_addresses = {at("198.51.100.7:25")};
  EXPECT_THAT(names(canary),
              ElementsAre("ipv4:8025", "name:8025", "ipv4:80", "name:80", "ipv6:8025", "ipv4:25/smtp", "name:25/smtp"));
  canary.domain = "";
  EXPECT_THAT(names(canary), ElementsAre("ipv4:8025", "ipv4:80", "ipv6:8025", "ipv4:25/smtp"));
  canary.addresses = canary.mail_addresses = {};
  EXPECT_THAT(names(canary), ElementsAre());
}

TEST(ProxyDestinations, AreBounded) {
  FixedCanary canary;
  for (std::uint16_t port = 1; port <= 100; ++port) canary.addresses.push_back({at("198.51.100.7:1").address, port});
  EXPECT_EQ(proxy_destinations(canary).size(), kMaxDestinations);
}

TEST(ProxyDestinations, AsAuthorities) {
  FixedCanary canary;
  canary.addresses = {at("[2001:db8::7]:80"), at("198.51.100.7:8025")};
  const std::vector<ProxyDestination> all = proxy_destinations(canary);
  EXPECT_EQ(all[0].authority(), "[2001:db8::7]:80");
  EXPECT_EQ(all[0].host_field(), "[2001:db8::7]");  // RFC 9110 7.2: the default port is left out
  EXPECT_EQ(all[1].authority(), "canary.example.net:80");
  EXPECT_EQ(all[1].host_field(), "canary.example.net");
  EXPECT_EQ(all[2].authority(), "198.51.100.7:8025");
  EXPECT_EQ(all[2].host_field(), "198.51.100.7:8025");
  const ProxyDestination nowhere = impossible_destination(all[2], "token1");
  EXPECT_EQ(nowhere.authority(), "token1.invalid:8025");
  EXPECT_EQ(nowhere.form, ProxyDestination::Form::name);
}

}  // namespace
}  // namespace ajar
