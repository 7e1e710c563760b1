// The whole check against raw bytes (raw_network.h). The first byte: 1 the full matrix, 2 our canary saw a connection, 4 from
// another address than the server's, 8 IPv6 too, 16 a form said yes before, 32 no port of ours is free, 64 our canary has the
// address that we ask from. Seeds are the server's
// sides of tests/transcripts/ftp_bounce (AJAR_SEED_DIR of checks_test writes them).
#include "checks/ftp_bounce.h"

#include <cstdint>
#include <string_view>

#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr int kMaxConnections = 4 * 2 * 2 + 2;  // forms; each twice, and twice again where TLS is wanted first

// `own`: what was seen, and every yes but that of an FTP proxy, is about our own address.
void check_finding(const Finding& finding, bool seen, bool own) {
  require(!finding.because.empty());
  bool any_open = false, any_yes = false;
  for (const Variant& variant : finding.variants) {
    if (own && variant.name != "user@host") require(variant.verdict < Verdict::accepted);
    any_open = any_open || variant.verdict == Verdict::open;
    any_yes = any_yes || variant.verdict == Verdict::accepted;
  }
  if (any_open) require(seen);
  require(any_open == (finding.verdict == Verdict::open));
  require(any_open == !finding.exit_addresses.empty());
  if (any_yes) require(finding.verdict >= Verdict::accepted);
  // The first variant is the one that the verdict rests on.
  if (finding.verdict != Verdict::closed) return;
  if (finding.variants.empty()) {
    require(finding.reason == Reason::other_protocol);
  } else {
    require(finding.variants.front().verdict == Verdict::closed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto flag = [&](unsigned bit) { return (data[0] & bit) != 0; };
  Subject subject;
  subject.target = "ftp1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 21;
  subject.our_name = "probe.example.net";
  subject.full_matrix = flag(1);
  if (flag(16)) subject.must_ask = {"eprt", "eprt6"};
  FixedCanary canary;
  canary.addresses = {*AddressPort::parse("198.51.100.7:8025")};
  if (flag(8)) canary.addresses.push_back(*AddressPort::parse("[2001:db8::7]:8025"));
  for (int i = 0; i < 20 && !flag(32); ++i) canary.reserved.push_back(*AddressPort::parse("198.51.100.7:50000"));
  if (flag(2)) {
    const IpAddress exit = flag(4) ? IpAddress::v4({203, 0, 113, 99}) : subject.address;
    canary.seen.push_back({"port", {CanaryKind::tcp, true, exit, {}, "", {}}});
  }
  RawNetwork network(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  if (flag(64)) network.asked_from = IpAddress::v4({198, 51, 100, 7});
  try {
    const Finding finding = run_now(ftp_bounce(network, canary, subject));
    check_finding(finding, flag(2), flag(64));
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
