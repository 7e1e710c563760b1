// turn_relay against raw bytes. The first byte chooses the transport (1: a connection), the full matrix (2), what our canary
// has seen (4), and whether the server speaks first (8). Then comes what the server says: two bytes of length, big-endian, and
// so many bytes; of length 0 it is silent (or a datagram was lost), the length 0xffff is the end (or ICMP port unreachable).
// Twelve times "A" where a transaction id stands is that of the last message that was sent: a hash would never be guessed.
#include "checks/turn_relay.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "checks/wire/stun.h"
#include "tests/fuzz/raw_network.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace {

using namespace ajar;

constexpr std::string_view kAnyId = "AAAAAAAAAAAA";
constexpr int kMaxConnections = 20;  // the largest matrix, each variant twice

// Puts the id of the last message that was sent in place of kAnyId.
std::string with_id(std::string bytes, const std::string& id) {
  if (bytes.size() >= kStunHeader && bytes.compare(8, kStunId, kAnyId) == 0 && id.size() == kStunId) {
    bytes.replace(8, kStunId, id);
  }
  return bytes;
}

// What the server says, piece by piece.
class Pieces {
 public:
  explicit Pieces(std::string_view stream) : stream_(stream) {}
  enum class Kind { bytes, silence, end };
  Kind take(std::string& into) {
    if (stream_.size() < 2) return Kind::silence;
    const auto byte = [this](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(stream_[i])); };
    const std::size_t length = byte(0) << 8 | byte(1);
    stream_.remove_prefix(2);
    if (length == 0) return Kind::silence;
    if (length == 0xffff) return Kind::end;
    into = with_id(std::string(stream_.substr(0, length)), id_);
    stream_.remove_prefix(std::min(length, stream_.size()));
    return Kind::bytes;
  }
  void sent(std::string_view bytes) {
    if (const auto message = parse_stun(bytes)) id_ = message->id;
  }
  bool empty() const { return stream_.empty(); }

 private:
  std::string_view stream_;
  std::string id_;
};

class AnsweringLink : public Link {
 public:
  AnsweringLink(Transcript& transcript, Pieces& pieces, bool early) : Link(transcript), pieces_(pieces), early_(early) {}

 private:
  Task<std::size_t> read_some(std::string& into, std::size_t) override {
    std::string piece;
    const Pieces::Kind kind = pieces_.take(piece);
    if (kind == Pieces::Kind::silence) throw LinkError(Reason::timeout, "silence");
    if (kind == Pieces::Kind::end) co_return 0;
    into += piece;
    co_return piece.size();
  }
  void read_now(std::string& into, std::size_t) override {
    if (std::exchange(early_, false)) pieces_.take(into);
  }
  Task<void> write_all(std::string bytes) override {
    pieces_.sent(bytes);
    co_return;
  }
  Task<void> handshake(const TlsHello&) override { co_return; }

  Pieces& pieces_;
  bool early_;
};

class AnsweringDatagrams : public Datagrams {
 public:
  AnsweringDatagrams(Transcript& transcript, Pieces& pieces) : Datagrams(transcript), pieces_(pieces) {}

 private:
  void send(const std::string& bytes) override { pieces_.sent(bytes); }
  Task<bool> receive(std::string& into, unsigned, bool) override {
    const Pieces::Kind kind = pieces_.take(into);
    if (kind == Pieces::Kind::end) throw LinkError(Reason::nobody_listens, "port unreachable");
    if (into.size() > kMaxDatagram) into.resize(kMaxDatagram);
    co_return kind == Pieces::Kind::bytes;
  }

  Pieces& pieces_;
};

class AnsweringNetwork : public Network {
 public:
  AnsweringNetwork(std::string_view stream, bool early) : pieces_(stream), early_(early) {}
  Task<std::unique_ptr<Link>> dial(const IpAddress&, std::uint16_t, TlsMode) override {
    ++dials;
    if (pieces_.empty()) throw LinkError(Reason::nobody_listens, "connection refused");
    std::unique_ptr<Link> link = std::make_unique<AnsweringLink>(transcript(), pieces_, early_);
    co_return std::move(link);
  }
  Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress&, std::uint16_t) override {
    ++dials;
    std::unique_ptr<Datagrams> datagrams = std::make_unique<AnsweringDatagrams>(transcript(), pieces_);
    co_return datagrams;
  }
  int dials = 0;

 private:
  Pieces pieces_;
  bool early_;
};

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
  // The verdict rests on the first variant.
  if (finding.verdict == Verdict::closed && !finding.variants.empty()) {
    require(finding.variants.front().verdict == Verdict::closed && finding.variants.front().code.has_value());
  }
  if (finding.verdict == Verdict::closed && finding.variants.empty()) require(finding.reason == Reason::other_protocol);
  for (const std::string& fact : finding.observations) require(fact.size() <= 4 * kMaxShown);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Subject subject;
  subject.target = "turn1";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 3478;
  subject.transport = (data[0] & 1) != 0 ? Transport::tcp : Transport::udp;
  subject.our_name = "probe.example.net";
  subject.full_matrix = (data[0] & 2) != 0;
  FixedCanary canary;
  canary.udp_addresses = {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("[2001:db8::7]:8025")};
  const bool seen = (data[0] & 4) != 0;
  if (seen)
    canary.seen.push_back({"ipv4:8025", {CanaryKind::udp, true, subject.address, canary.udp_addresses[0], "TOKEN", {}}});
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  AnsweringNetwork network(stream, (data[0] & 8) != 0);
  try {
    check_finding(run_now(turn_relay(network, canary, subject)), seen || stream.find("PROOF") != std::string_view::npos);
  } catch (const LinkError&) {
    // Nothing was learnt.
  }
  require(network.dials <= kMaxConnections);
  return 0;
}
