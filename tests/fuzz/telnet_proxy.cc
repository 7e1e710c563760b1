// telnet_proxy against raw bytes (raw_network.h). The first byte chooses the matrix, whether our canary has a name, and what it
// has seen.
#include "checks/telnet_proxy.h"

#include <cstdint>

#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr int kMaxConnections = 60;  // the whole matrix, each form twice, and its doubts

void check_finding(const Finding& finding, bool proof) {
  require(!finding.because.empty());
  if (finding.verdict == Verdict::open) require(proof);
  bool any_open = false, any_yes = false;
  for (const Variant& variant : finding.variants) {
    any_open = any_open || variant.verdict == Verdict::open;
    any_yes = any_yes || variant.verdict == Verdict::accepted;
  }
  require(any_open == (finding.verdict == Verdict::open));
  if (any_yes) require(finding.verdict >= Verdict::accepted);
  if (finding.verdict == Verdict::closed && !finding.variants.empty()) {
    require(finding.variants.front().verdict == Verdict::closed);
  }
  if (finding.verdict == Verdict::closed && finding.variants.empty()) require(finding.reason == Reason::other_protocol);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Subject subject;
  subject.target = "gateway1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 23;
  subject.our_name = "probe.example.net";
  subject.full_matrix = (data[0] & 1) != 0;
  FixedCanary canary;
  if ((data[0] & 2) != 0) canary.domain.clear();
  canary.addresses = {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("198.51.100.7:80"),
                      *AddressPort::parse("[2001:db8::7]:8025")};
  canary.mail_addresses = {*AddressPort::parse("198.51.100.7:25")};
  const bool seen = (data[0] & 4) != 0;
  if (seen) {
    canary.seen.push_back(
        {"ipv4:8025", {CanaryKind::tcp, true, canary.addresses[0].address, canary.addresses[0], "TOKEN", {}}});
  }
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Negotiation may stand between the letters of a proof, and is no part of the text.
  const bool proof = seen || stream.find("PROOF") != std::string_view::npos || stream.find('\xff') != std::string_view::npos ||
                     stream.find('\x1b') != std::string_view::npos || stream.find('\0') != std::string_view::npos;
  RawNetwork network(stream);
  try {
    const Finding finding = run_now(telnet_proxy(network, canary, subject));
    check_finding(finding, proof);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
