// The checks of mail that are off by default against raw bytes (raw_network.h). The first byte: its lowest two bits choose the
// check, 4 the full matrix, 8 that everything said yes before, 16 that the canary permits no message, 32 implicit TLS. Seeds
// are the server's sides of tests/transcripts (AJAR_SEED_DIR of checks_test writes them).
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "checks/catalogue.h"
#include "checks/smtp_session.h"
#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

bool heard(const Transcript& transcript, std::string_view what) {
  const std::vector<std::string> lines = transcript.lines();
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.starts_with(what); });
}

// `open` is the canary's to say. `closed` rests on a refusal that was heard, or on a message that was begun and not ended.
void check_finding(std::string_view check, const Finding& finding, const FixedCanary& canary, const Transcript& transcript,
                   bool permitted) {
  require(finding.verdict != Verdict::open && finding.verdict != Verdict::unreachable);
  require(!finding.because.empty());
  bool yes = false;
  for (const Variant& variant : finding.variants) {
    require(variant.verdict != Verdict::open);
    yes = yes || variant.verdict == Verdict::accepted;
  }
  require(yes == (finding.verdict == Verdict::accepted));
  require(canary.unsent.size() <= canary.asked.size());
  if (finding.verdict == Verdict::closed && finding.reason == Reason::refused) {
    if (check == "smtp_smuggling") require(heard(transcript, "S: 354") && heard(transcript, "S: 2"));
    if (check == "backscatter") require(heard(transcript, "S: 5") || heard(transcript, "S: 454"));
    if (check == "smtp_auth_any") require(heard(transcript, "S: 5") || finding.because.find("no login") != std::string::npos);
  }
  if (finding.verdict == Verdict::accepted && permitted && check == "smtp_auth_any") require(heard(transcript, "S: 235"));
  if (!permitted) require(!heard(transcript, "C: (the message)") && !heard(transcript, "C: (a short message)"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || (data[0] & 3) == 3) return 0;
  constexpr std::string_view kChecks[] = {"smtp_smuggling", "backscatter", "smtp_auth_any"};
  const std::string_view check = kChecks[data[0] & 3];
  Subject subject;
  subject.target = "mx1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 25;
  subject.our_name = "probe.example.net";
  subject.mail_domains = {"example.org"};
  subject.full_matrix = (data[0] & 4) != 0;
  if ((data[0] & 8) != 0) subject.must_ask = {"lf.lf", "crlf_nul.crlf", "unknown_user", "random_pair"};
  if ((data[0] & 32) != 0) subject.tls = TlsMode::implicit;
  FixedCanary canary;
  const bool permitted = (data[0] & 16) == 0;
  if (!permitted) canary.permit = Permit::recently_sent;
  RawNetwork network(std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  try {
    const Finding finding = run_now(find_check(check)->function(network, canary, subject));
    check_finding(check, finding, canary, network.transcript(), permitted);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= SmtpSession::kMaxConnections + 1);
  return 0;
}
