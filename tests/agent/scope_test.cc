#include "agent/scope.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

Scope scope(std::initializer_list<const char*> networks) {
  std::vector<Cidr> list;
  for (const char* network : networks) list.push_back(Cidr::parse(network).value());
  return Scope(list);
}
IpAddress at(const char* text) { return IpAddress::parse(text).value(); }

TEST(Scope, AllowsWhatItListsAndNothingElse) {
  const Scope some = scope({"203.0.113.0/24", "2001:db8:5::/48", "192.0.2.7"});
  EXPECT_TRUE(some.allows(at("203.0.113.0")));
  EXPECT_TRUE(some.allows(at("203.0.113.255")));
  EXPECT_FALSE(some.allows(at("203.0.112.255")));
  EXPECT_FALSE(some.allows(at("203.0.114.0")));
  EXPECT_TRUE(some.allows(at("192.0.2.7")));
  EXPECT_FALSE(some.allows(at("192.0.2.8")));
  EXPECT_TRUE(some.allows(at("2001:db8:5::1")));
  EXPECT_FALSE(some.allows(at("2001:db8:6::1")));
}

TEST(Scope, EmptyAllowsNothing) {
  EXPECT_FALSE(Scope().allows(at("203.0.113.5")));
  EXPECT_FALSE(Scope().allows(at("::1")));
}

TEST(Scope, MappedAddressIsTheAddressThatASocketWouldReach) {
  EXPECT_TRUE(scope({"203.0.113.0/24"}).allows(at("::ffff:203.0.113.5")));
  EXPECT_FALSE(scope({"2001:db8::/32"}).allows(at("::ffff:203.0.113.5")));
  EXPECT_FALSE(scope({"::/8"}).allows(at("::ffff:203.0.113.5")));
}

TEST(Scope, NeverMulticastOrUnspecified) {
  const Scope wide = scope({"224.0.0.0/4", "0.0.0.0/8", "ff00::/8", "::/8"});
  EXPECT_FALSE(wide.allows(at("224.0.0.1")));
  EXPECT_FALSE(wide.allows(at("239.255.255.255")));
  EXPECT_FALSE(wide.allows(at("0.0.0.0")));
  EXPECT_FALSE(wide.allows(at("ff02::1")));
  EXPECT_FALSE(wide.allows(at("::")));
}

TEST(Scope, LinkLocalOnlyWhenWrittenDownAsSuch) {
  EXPECT_FALSE(scope({"169.0.0.0/8"}).allows(at("169.254.169.254")));
  EXPECT_FALSE(scope({"169.254.0.0/15"}).allows(at("169.254.169.254")));
  EXPECT_TRUE(scope({"169.254.169.0/24"}).allows(at("169.254.169.254")));
  EXPECT_FALSE(scope({"169.254.169.0/24"}).allows(at("169.254.170.1")));
  EXPECT_FALSE(scope({"fe00::/8"}).allows(at("fe80::1")));
  EXPECT_FALSE(scope({"fe80::/9"}).allows(at("fe80::1")));
  EXPECT_TRUE(scope({"fe80::/10"}).allows(at("fe80::1")));
  EXPECT_TRUE(scope({"fe80::1"}).allows(at("fe80::1")));
}

}  // namespace
}  // namespace ajar
