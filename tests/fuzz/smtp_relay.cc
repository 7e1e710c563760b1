// The whole check against raw bytes. The input is what the server says, a line at each question; a line that begins with \x01
// comes together with the line before it, before any question; a line that is \x02 alone is a hang-up, \x03 a silence. The
// first byte chooses the subject. Seeds are the server's sides of tests/transcripts/smtp_relay (AJAR_SEED_DIR of checks_test
// writes them).
#include "checks/smtp_relay.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "checks/smtp_session.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

void require(bool condition) {
  if (!condition) std::abort();
}

class RawLink : public Link {
 public:
  RawLink(Transcript& transcript, std::string_view& stream) : Link(transcript), stream_(stream) {}

 private:
  bool take(std::string& into) {
    if (ended_) return false;
    std::size_t end = stream_.find('\n');
    end = end == std::string_view::npos ? stream_.size() : end + 1;
    std::string_view line = stream_.substr(0, end);
    stream_.remove_prefix(end);
    if (line.empty() || line.front() == '\x02') {
      ended_ = true;
      return false;
    }
    if (line.front() == '\x03') throw LinkError(Reason::timeout, "silence");
    if (line.front() == '\x01') line.remove_prefix(1);
    into += line;
    return true;
  }
  Task<std::size_t> read_some(std::string& into, std::size_t) override {
    const std::size_t before = into.size();
    take(into);
    co_return into.size() - before;
  }
  Task<void> write_all(std::string bytes) override {
    require(bytes.size() >= 2 && bytes.compare(bytes.size() - 2, 2, "\r\n") == 0);
    co_return;
  }
  void read_now(std::string& into, std::size_t) override {
    while (!ended_ && !stream_.empty() && stream_.front() == '\x01') take(into);
  }
  Task<void> handshake() override {
    if (!stream_.empty() && stream_.front() == '\x04') throw LinkError(Reason::tls_failed, "handshake failure");
    co_return;
  }

  std::string_view& stream_;
  bool ended_ = false;
};

class RawNetwork : public Network {
 public:
  explicit RawNetwork(std::string_view stream) : stream_(stream) {}
  Task<std::unique_ptr<Link>> dial(const IpAddress&, std::uint16_t, TlsMode) override {
    ++dials;
    if (stream_.empty()) throw LinkError(Reason::nobody_listens, "connection refused");
    std::unique_ptr<Link> link = std::make_unique<RawLink>(transcript(), stream_);
    co_return std::move(link);
  }
  int dials = 0;

 private:
  std::string_view stream_;
};

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
  require(network.dials <= SmtpSession::kMaxConnections + 1);
  return 0;
}
