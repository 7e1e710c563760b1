// The four checks of proxies against raw bytes (raw_network.h). The first byte chooses the check, the matrix and what our
// canary has seen. A line that begins with \x06 is bytes without its end.
#include <algorithm>
#include <cstdint>

#include "checks/catalogue.h"
#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr int kMaxConnections = 150;  // the largest matrix, each variant twice, and its doubts

void check_finding(const Finding& finding, bool proof) {
  require(!finding.because.empty());
  if (finding.verdict == Verdict::open) require(proof);
  bool any_open = false, any_yes = false, all_closed = true;
  for (const Variant& variant : finding.variants) {
    any_open = any_open || variant.verdict == Verdict::open;
    any_yes = any_yes || variant.verdict == Verdict::accepted;
    all_closed = all_closed && variant.verdict == Verdict::closed;
  }
  require(any_open == (finding.verdict == Verdict::open));
  if (any_yes) require(finding.verdict >= Verdict::accepted);
  // The first variant is always one that the verdict rests on.
  if (finding.verdict == Verdict::closed && !finding.variants.empty()) {
    require(finding.variants.front().verdict == Verdict::closed);
  }
  if (finding.verdict == Verdict::closed && finding.variants.empty()) require(finding.reason == Reason::other_protocol);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr const char* kChecks[] = {"http_connect", "http_forward", "socks4", "socks5"};
  const CheckInfo& check = *find_check(kChecks[data[0] & 3]);
  Subject subject;
  subject.target = "proxy1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 3128;
  subject.our_name = "probe.example.net";
  subject.full_matrix = (data[0] & 4) != 0;
  FixedCanary canary;
  canary.addresses = {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("198.51.100.7:80"),
                      *AddressPort::parse("[2001:db8::7]:8025")};
  canary.mail_addresses = {*AddressPort::parse("198.51.100.7:25")};
  bool seen = false;
  if ((data[0] & 8) != 0) {
    seen = true;
    canary.seen.push_back(
        {"ipv4:8025", {CanaryKind::tcp, true, canary.addresses[0].address, canary.addresses[0], "TOKEN", {}}});
    canary.seen.push_back({"absolute/", {CanaryKind::tcp, true, canary.addresses[0].address, canary.addresses[0], "HEAD", {}}});
  }
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool proof = seen || stream.find("PROOF") != std::string_view::npos;
  RawNetwork network(stream);
  try {
    const Finding finding = run_now(check.function(network, canary, subject));
    check_finding(finding, proof || stream.find("hunked") != std::string_view::npos);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
