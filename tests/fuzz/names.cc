// The checks that ask by a name, open_resolver and sni_proxy, against raw bytes (raw_network.h). The first byte chooses the
// check, the transport, the matrix, and whether our canary takes TLS at the port that is asked. The codec of DNS questions is
// fuzzed along the way.
#include <cstdint>

#include "checks/catalogue.h"
#include "checks/wire/dns_query.h"
#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr int kMaxConnections = 12;

void check_codec(std::string_view bytes) {
  const std::optional<DnsHead> head = parse_dns_head(bytes);
  require(head.has_value() == (bytes.size() >= kDnsHead));
  const std::string query = dns_query(1, "a.example", 1);
  if (answers_dns_query(bytes, query)) require(head && head->response && head->id == 1);
  require(!answers_dns_query(query, query));
}

void check_finding(const Finding& finding, bool proof) {
  require(!finding.because.empty());
  if (finding.verdict == Verdict::open) require(proof);
  for (const Variant& variant : finding.variants) {
    if (variant.verdict == Verdict::open) require(proof);
    if (variant.verdict == Verdict::accepted) require(finding.verdict >= Verdict::accepted);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_codec(stream);
  const bool resolver = (data[0] & 1) == 0;
  Subject subject;
  subject.target = "names1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = resolver ? 53 : 443;
  subject.transport = resolver && (data[0] & 2) == 0 ? Transport::udp : Transport::tcp;
  subject.full_matrix = (data[0] & 4) != 0;
  subject.our_name = "probe.example.net";
  FixedCanary canary;
  const bool elsewhere = !resolver && (data[0] & 16) != 0;
  canary.tls_addresses = {*AddressPort::parse(elsewhere ? "198.51.100.7:8443" : "198.51.100.7:443")};
  canary.known_addresses = {IpAddress::v4({198, 51, 100, 7})};
  if ((data[0] & 8) != 0) canary.known_addresses.push_back(*IpAddress::parse("2001:db8::7"));
  // What proves: our address, in an answer; the canary's word, through TLS.
  const bool proof =
      resolver ? stream.find("\xc6\x33\x64\x07") != std::string_view::npos || stream.find("\x0d\xb8") != std::string_view::npos
               : stream.find("PROOF") != std::string_view::npos;
  RawNetwork network(stream);
  try {
    const CheckInfo& check = *find_check(resolver ? "open_resolver" : "sni_proxy");
    const Finding finding = run_now(check.function(network, canary, subject));
    check_finding(finding, proof);
    if (elsewhere) require(finding.verdict != Verdict::closed || finding.reason != Reason::hung_up);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
