// http2_connect against raw bytes (raw_network.h; a line that begins with \x06 is bytes without its end). The first byte
// chooses the matrix and what our canary has seen.
#include "checks/http2_connect.h"

#include <algorithm>
#include <cstdint>

#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr int kMaxConnections = 60;  // the largest matrix, each variant twice, and its doubts

void check_finding(const Finding& finding, bool proof) {
  require(!finding.because.empty());
  if (finding.verdict == Verdict::open) require(proof);
  const auto any = [&](Verdict verdict) {
    return std::any_of(finding.variants.begin(), finding.variants.end(),
                       [&](const Variant& v) { return v.verdict == verdict; });
  };
  require(any(Verdict::open) == (finding.verdict == Verdict::open));
  if (any(Verdict::accepted)) require(finding.verdict >= Verdict::accepted);
  if (finding.verdict != Verdict::closed) return;
  if (finding.variants.empty()) require(finding.reason == Reason::other_protocol);
  if (!finding.variants.empty()) require(finding.variants.front().verdict == Verdict::closed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Subject subject;
  subject.target = "proxy1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 8080;
  subject.our_name = "probe.example.net";
  subject.full_matrix = (data[0] & 1) != 0;
  if ((data[0] & 4) != 0) subject.tls = TlsMode::implicit;
  FixedCanary canary;
  canary.addresses = {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("[2001:db8::7]:8025")};
  canary.mail_addresses = {*AddressPort::parse("198.51.100.7:25")};
  const bool seen = (data[0] & 2) != 0;
  if (seen)
    canary.seen.push_back({"ipv4:", {CanaryKind::tcp, true, canary.addresses[0].address, canary.addresses[0], "TOKEN", {}}});
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  // The word may be spread over frames: its letters then stand in this order all the same.
  bool proof = seen;
  std::size_t at = 0;
  for (const char letter : std::string_view("PROOF")) {
    at = at == std::string_view::npos ? at : stream.find(letter, at);
    if (at != std::string_view::npos) ++at;
  }
  proof = proof || at != std::string_view::npos;
  RawNetwork network(stream);
  try {
    const Finding finding = run_now(http2_connect(network, canary, subject));
    check_finding(finding, proof);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
