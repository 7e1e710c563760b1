// The whole check against raw bytes (raw_network.h). The first byte chooses the subject. Seeds are the server's sides of
// tests/transcripts/smtp_relay (AJAR_SEED_DIR of checks_test writes them).
#include "checks/smtp_relay.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "checks/smtp_session.h"
#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

void check_finding(const Finding& finding, const FixedCanary& canary) {
  require(finding.verdict != Verdict::open && finding.verdict != Verdict::unreachable);
  require(!finding.because.empty());
  std::size_t core = 0;
  bool yes = false;
  for (const Variant& variant : finding.variants) {
    require(variant.verdict != Verdict::open);
    yes = yes || variant.verdict == Verdict::accepted;
    const std::string name = variant.name.substr(0, variant.name.find('+'));
    const bool is_core = name == "external/plain" || name == "null/plain" || name == "forged_local/plain";
    core += is_core;
    if (finding.verdict == Verdict::closed && is_core) require(variant.verdict == Verdict::closed);
  }
  require(yes == (finding.verdict == Verdict::accepted));
  if (finding.verdict == Verdict::closed) require(finding.reason == Reason::other_protocol || core >= 3);
  require(canary.unsent.size() <= canary.asked.size());
}

// However it answers: DATA is said after a yes to RCPT and with nothing else, and no connection brings more refusals than
// Postfix bears.
void check_manners(const Transcript& transcript) {
  int refusals = 0;
  std::string before;
  for (const std::string& line : transcript.lines()) {
    if (line == "C: DATA") require(before.starts_with("S: 2") || before.starts_with("# …"));
    if (line.starts_with("C: EHLO ") && !before.starts_with("# TLS")) refusals = 0;
    if (line.size() > 3 && line.starts_with("S: ") && (line[3] == '4' || line[3] == '5') && line.substr(6, 1) != "-")
      ++refusals;
    require(refusals <= SmtpSession::kHangUpRefusals);
    if (!line.starts_with("# ") || line.starts_with("# …")) before = line;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Subject subject;
  subject.target = "mx1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = (data[0] & 1) != 0 ? 587 : 25;
  subject.full_matrix = (data[0] & 2) != 0;
  if ((data[0] & 4) == 0) subject.mail_domains = {"example.org"};
  if ((data[0] & 8) != 0) subject.must_ask = {"external/percent@domain+tls", "forged_local/bang"};
  subject.our_name = "probe.example.net";
  FixedCanary canary;
  RawNetwork network(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  try {
    const Finding finding = run_now(smtp_relay(network, canary, subject));
    check_finding(finding, canary);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  check_manners(network.transcript());
  require(network.dials <= SmtpSession::kMaxConnections + 1);
  return 0;
}
