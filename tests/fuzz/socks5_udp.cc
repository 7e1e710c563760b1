// socks5_udp against raw bytes (raw_network.h): lines over TCP and datagrams of the relay, one after the other in one stream.
// The first byte chooses the matrix, the family of the server and what our canary has seen.
#include "checks/socks5_udp.h"

#include <cstdint>

#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr int kMaxConnections = 30;  // five forms, each twice, over TCP and UDP

// Whatever the server names as its relay, and whatever it sends.
class OwnAddressAlone : public RawNetwork {
 public:
  OwnAddressAlone(std::string_view stream, IpAddress own) : RawNetwork(stream), own_(own) {}
  Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress& address, std::uint16_t port) override {
    require(address == own_ && port != 0);
    return RawNetwork::dial_udp(address, port);
  }

 private:
  IpAddress own_;
};

void check_finding(const Finding& finding, bool proof) {
  require(!finding.because.empty());
  if (finding.verdict == Verdict::open) require(proof);
  bool any_yes = false;
  for (const Variant& variant : finding.variants) {
    any_yes = any_yes || variant.verdict >= Verdict::accepted;
  }
  if (any_yes) require(finding.verdict >= Verdict::accepted);
  if (finding.verdict == Verdict::closed && !finding.variants.empty()) {
    require(finding.variants.front().verdict == Verdict::closed);
  }
  if (finding.verdict == Verdict::closed && finding.variants.empty()) require(finding.reason == Reason::other_protocol);
  require(finding.reason != Reason::accepts_everything);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Subject subject;
  subject.target = "socks1";
  subject.address = *IpAddress::parse((data[0] & 1) != 0 ? "2001:db8::5" : "203.0.113.5");
  subject.port = 1080;
  subject.our_name = "probe.example.net";
  subject.full_matrix = (data[0] & 2) != 0;
  FixedCanary canary;
  canary.udp_addresses = {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("198.51.100.7:53"),
                          *AddressPort::parse("[2001:db8::7]:8025")};
  const bool seen = (data[0] & 4) != 0;
  if (seen) {
    canary.seen.push_back(
        {"ipv4:8025", {CanaryKind::udp, true, canary.udp_addresses[0].address, canary.udp_addresses[0], "TOKEN", {}}});
  }
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool proof = seen || stream.find("PROOF") != std::string_view::npos;
  OwnAddressAlone network(stream, subject.address);
  try {
    const Finding finding = run_now(socks5_udp(network, canary, subject));
    check_finding(finding, proof);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
