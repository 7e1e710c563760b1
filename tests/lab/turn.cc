// Simulated TURN servers (RFC 8656) over UDP, TCP and TLS. They relay to the canary alone; an allocation lasts until it is
// given back, or its connection ends.
#include <utility>

#include <fmt/format.h>

#include "checks/wire/stun.h"
#include "tests/lab/loopback.h"
#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

enum class Turn : std::uint8_t {
  open,
  wants_login,    // 401 to Allocate
  stale_nonce,    // 438
  forbidden,      // 403
  elsewhere,      // 300, to a host outside
  full,           // 486
  silent_at_it,   // answers Binding alone
  hangs_up,       // the same, and ends the connection
  denies_peers,   // grants, and 403 to every peer
  channels_only,  // 403 to CreatePermission; binds channels
  one_way,        // sends on, and nothing back
  reflects,       // sends the data back as if its peer did, and nothing on
};

using Memory = std::map<std::string, std::string>;

constexpr std::uint16_t kTurn = 3478, kTurnTls = 5349;
constexpr std::uint16_t kRealm = 0x0014, kNonce = 0x0015;  // RFC 8489 14.9, 14.10
constexpr std::uint32_t kLifetime = 600;                   // seconds
constexpr std::size_t kMaxKept = 1000;                     // of a place: then it forgets all that it granted
constexpr unsigned kMaxMessages = 1000;                    // of a connection

struct Refusal {
  int code = 0;  // 0: none
  std::string_view phrase;
};

Refusal refusal_of(Turn turn) {
  switch (turn) {
    case Turn::wants_login:
      return {401, "Unauthorized"};
    case Turn::stale_nonce:
      return {438, "Stale nonce"};
    case Turn::forbidden:
      return {403, "Forbidden"};
    case Turn::elsewhere:
      return {300, "Try Alternate"};
    case Turn::full:
      return {486, "Allocation Quota Reached"};
    default:
      return {};
  }
}

// What a client was granted: "PEER PORT/" is by which transaction, "PEER PORT/ADDRESS" a permission, "PEER PORT/#NUMBER" the
// peer of a channel.
class Allocation {
 public:
  Allocation(Memory& memory, const Setting& setting)
      : memory_(memory), key_(fmt::format("{} {}/", setting.peer, setting.peer_port)) {}

  bool stands() const { return memory_.contains(key_); }
  // False: there is another (RFC 8656 7.2).
  bool begin(const std::string& transaction) {
    if (memory_.size() >= kMaxKept) memory_.clear();
    return memory_.try_emplace(key_, transaction).first->second == transaction;
  }
  void end() {
    while (true) {
      const auto next = memory_.lower_bound(key_);
      if (next == memory_.end() || !next->first.starts_with(key_)) return;
      memory_.erase(next);
    }
  }
  void permit(const AddressPort& peer) { memory_[key_ + peer.address.to_string()] = "permitted"; }
  bool permits(const AddressPort& peer) const { return memory_.contains(key_ + peer.address.to_string()); }
  void bind(std::uint32_t channel, const AddressPort& peer) {
    permit(peer);
    memory_[fmt::format("{}#{}", key_, channel)] = peer.to_string();
  }
  std::optional<AddressPort> peer_of(std::uint32_t channel) const {
    const auto found = memory_.find(fmt::format("{}#{}", key_, channel));
    return found == memory_.end() ? std::nullopt : AddressPort::parse(found->second);
  }

 private:
  Memory& memory_;
  std::string key_;
};

std::string finished(StunMessage answer) {
  answer.add(stun_attribute::kSoftware, "Coturn-4.6.1 'Gorst'");
  return write_stun(answer);
}

StunMessage granted(const StunMessage& question) { return {question.method, StunClass::success, question.id}; }

std::string refused(const StunMessage& question, const Refusal& refusal) {
  StunMessage answer{question.method, StunClass::error, question.id};
  answer.add(stun_attribute::kErrorCode, stun_error_value(refusal.code, refusal.phrase));
  if (refusal.code == 401 || refusal.code == 438) {
    answer.add(kRealm, "lab.test");
    answer.add(kNonce, "97fc22d4e0");
  }
  if (refusal.code == 300) {
    const AddressPort outside{IpAddress::v4({192, 0, 2, 99}), kTurn};
    answer.add(stun_attribute::kAlternateServer, stun_plain_address_value(outside));
  }
  return finished(std::move(answer));
}

AddressPort client(const Setting& setting) { return {*IpAddress::parse(setting.peer), setting.peer_port}; }

std::string allocate(Turn turn, const StunMessage& question, const Setting& setting, Allocation& allocation) {
  const Refusal refusal = refusal_of(turn);
  if (refusal.code != 0) return refused(question, refusal);
  const std::string* const transport = question.find(stun_attribute::kRequestedTransport);
  if (transport == nullptr || transport->empty()) return refused(question, {400, "Bad Request"});
  if (transport->front() != '\x11') return refused(question, {442, "Unsupported Transport Protocol"});
  const std::string* const family = question.find(stun_attribute::kRequestedAddressFamily);
  if (family != nullptr && !family->starts_with('\x01')) return refused(question, {440, "Address Family not Supported"});
  if (!allocation.begin(question.id)) return refused(question, {437, "Allocation Mismatch"});
  const auto port = static_cast<std::uint16_t>(49152 + setting.peer_port % 16384);
  StunMessage answer = granted(question);
  answer.add_address(stun_attribute::kXorRelayedAddress, {ipv4_twin(*IpAddress::parse(setting.address)), port});
  answer.add_address(stun_attribute::kXorMappedAddress, client(setting));
  answer.add(stun_attribute::kLifetime, stun_number_value(kLifetime));
  return finished(std::move(answer));
}

std::string refresh(const StunMessage& question, Allocation& allocation) {
  if (!allocation.stands()) return refused(question, {437, "Allocation Mismatch"});
  const std::uint32_t seconds = question.number(stun_attribute::kLifetime).value_or(kLifetime);
  if (seconds == 0) allocation.end();
  StunMessage answer = granted(question);
  answer.add(stun_attribute::kLifetime, stun_number_value(seconds == 0 ? 0 : kLifetime));
  return finished(std::move(answer));
}

// CreatePermission and ChannelBind.
std::string admit(Turn turn, const StunMessage& question, Allocation& allocation) {
  if (!allocation.stands()) return refused(question, {437, "Allocation Mismatch"});
  const bool channel = question.method == stun_method::kChannelBind;
  const std::optional<AddressPort> peer = question.address(stun_attribute::kXorPeerAddress);
  const std::uint32_t number = question.number(stun_attribute::kChannelNumber).value_or(0) >> 16U;
  if (!peer || (channel && number < kFirstChannel)) return refused(question, {400, "Bad Request"});
  const bool denied = turn == Turn::denies_peers || (turn == Turn::channels_only && !channel);
  if (denied) return refused(question, {403, "Forbidden IP"});
  if (channel) {
    allocation.bind(number, *peer);
  } else {
    allocation.permit(*peer);
  }
  return finished(granted(question));
}

std::string respond(Turn turn, const StunMessage& question, const Setting& setting, Allocation& allocation) {
  switch (question.method) {
    case stun_method::kBinding: {
      StunMessage answer = granted(question);
      answer.add_address(stun_attribute::kXorMappedAddress, client(setting));
      return finished(std::move(answer));
    }
    case stun_method::kAllocate:
      return allocate(turn, question, setting, allocation);
    case stun_method::kRefresh:
      return refresh(question, allocation);
    case stun_method::kCreatePermission:
    case stun_method::kChannelBind:
      return admit(turn, question, allocation);
    default:
      return refused(question, {400, "Bad Request"});
  }
}

// What is to go on to a peer.
struct Parcel {
  AddressPort to;
  std::string data;
  std::uint16_t channel = 0;  // 0: it came by a Send indication
};

std::optional<Parcel> parcel_of(const std::string& bytes, const Allocation& allocation) {
  Parcel parcel;
  std::optional<AddressPort> peer;
  if (const auto message = parse_stun(bytes)) {
    peer = message->address(stun_attribute::kXorPeerAddress);
    const std::string* const data = message->find(stun_attribute::kData);
    if (message->method != stun_method::kSend || message->kind != StunClass::indication || data == nullptr) return std::nullopt;
    if (peer && !allocation.permits(*peer)) return std::nullopt;
    parcel.data = *data;
  } else if (auto framed = parse_channel_data(bytes)) {
    peer = allocation.peer_of(framed->channel);
    parcel.data = std::move(framed->data);
    parcel.channel = framed->channel;
  }
  if (!peer || !allocation.stands()) return std::nullopt;
  parcel.to = *peer;
  return parcel;
}

// What came back for it, the way that it went.
std::string return_of(const Parcel& parcel, const std::string& data, const Setting& setting, bool padded) {
  if (parcel.channel != 0) return write_channel_data({parcel.channel, data}, padded);
  StunMessage message{stun_method::kData, StunClass::indication, stun_transaction_id(setting.visit, 1)};
  message.add_address(stun_attribute::kXorPeerAddress, parcel.to);
  message.add(stun_attribute::kData, data);
  return finished(std::move(message));
}

// What it says to one message; empty: nothing.
Task<std::string> answer(Turn turn, std::string bytes, Setting setting, World& world, Memory& memory, bool stream) {
  Allocation allocation(memory, setting);
  const std::optional<StunMessage> question = parse_stun(bytes);
  if (question && question->kind == StunClass::request) {
    const bool deaf = turn == Turn::silent_at_it || turn == Turn::hangs_up;
    if (deaf && question->method != stun_method::kBinding) co_return std::string();
    co_return respond(turn, *question, setting, allocation);
  }
  const std::optional<Parcel> parcel = parcel_of(bytes, allocation);
  if (!parcel) co_return std::string();
  if (turn == Turn::reflects) co_return return_of(*parcel, parcel->data, setting, stream);
  std::string source = setting.address, host = parcel->to.address.to_string(), data = parcel->data;
  const std::string back = co_await world.exchange(std::move(source), std::move(host), parcel->to.port, std::move(data));
  if (back.empty() || turn == Turn::one_way) co_return std::string();
  co_return return_of(*parcel, back, setting, stream);
}

template <Turn turn>
Task<void> receive(std::string bytes, Setting setting, World& world, Reply reply) {
  if (setting.memory == nullptr) co_return;
  Memory& memory = *setting.memory;
  const std::string said = co_await answer(turn, std::move(bytes), std::move(setting), world, memory, false);
  if (!said.empty()) reply(said);
}

template <Turn turn>
Task<void> speak(Link& link, Setting setting, World& world) {
  Memory memory;  // of this connection, and gone with it
  for (unsigned i = 0; i < kMaxMessages; ++i) {
    const std::string head = co_await link.peek(8);
    const std::optional<std::size_t> size = stun_frame_size(head);
    if (!size || *size == 0) co_return;
    const std::size_t whole = *size;
    std::string message = co_await link.hear_bytes(whole, Link::Show::nothing);
    std::string said = co_await answer(turn, std::move(message), setting, world, memory, true);
    if (said.empty() && turn == Turn::hangs_up) co_return;
    if (!said.empty()) co_await link.say_bytes(std::move(said), "(answer)");
  }
}

Task<void> say_it_again(std::string bytes, Setting, World&, Reply reply) {
  reply(bytes);
  co_return;
}

Task<void> say_nothing(std::string, Setting, World&, Reply) { co_return; }

constexpr Personality turn(std::string_view name, std::string_view imitates, std::string_view verdict,
                           std::string_view reason) {
  Personality personality{name, imitates, {{"turn_relay", verdict, reason}}};
  personality.kind = Kind::other;
  personality.port = kTurn;
  return personality;
}

constexpr Personality udp(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                          Receive receive) {
  Personality personality = turn(name, imitates, verdict, reason);
  personality.receive = receive;
  return personality;
}

constexpr Personality tcp(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                          Speak speak) {
  Personality personality = turn(name, imitates, verdict, reason);
  personality.speak = speak;
  return personality;
}

constexpr Personality tls(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                          Speak speak) {
  Personality personality = tcp(name, imitates, verdict, reason, speak);
  personality.port = kTurnTls;
  personality.implicit_tls = true;
  return personality;
}

constexpr std::array kPersonalities = {
    udp("turn_open", "coturn 4.6, no-auth", "open", "token_returned", receive<Turn::open>),
    udp("turn_closed", "coturn 4.6, use-auth-secret", "closed", "auth_required", receive<Turn::wants_login>),
    udp("turn_stale_nonce", "A TURN server that wants a newer nonce of everybody", "closed", "auth_required",
        receive<Turn::stale_nonce>),
    udp("turn_forbidden", "A TURN server for its own networks", "closed", "refused", receive<Turn::forbidden>),
    udp("turn_channels_only", "A TURN server that looks at peers in permissions, and not in channels", "open", "token_returned",
        receive<Turn::channels_only>),
    udp("turn_denies_peers", "coturn 4.6, no-auth, denied-peer-ip=0.0.0.0-255.255.255.255", "accepted", "no_proof",
        receive<Turn::denies_peers>),
    udp("turn_one_way", "coturn 4.6, no-auth, behind a firewall that drops what comes back", "open", "token_returned",
        receive<Turn::one_way>),
    udp("turn_reflects", "A honeypot that plays the peer itself", "accepted", "no_proof", receive<Turn::reflects>),
    udp("turn_elsewhere", "coturn 4.6, alternate-server=192.0.2.99:3478", "unclear", "greylisted", receive<Turn::elsewhere>),
    udp("turn_full", "coturn 4.6, no-auth, total-quota reached", "unclear", "greylisted", receive<Turn::full>),
    udp("turn_stun_only", "A STUN server that passes over what it does not know", "unclear", "timeout",
        receive<Turn::silent_at_it>),
    udp("turn_echo", "The echo service of inetd (RFC 862)", "closed", "other_protocol", say_it_again),
    udp("turn_silent", "A packet filter that drops", "unreachable", "timeout", say_nothing),
    tcp("turn_tcp_open", "coturn 4.6, no-auth, over TCP", "open", "token_returned", speak<Turn::open>),
    tcp("turn_tcp_closed", "coturn 4.6, lt-cred-mech, over TCP", "closed", "auth_required", speak<Turn::wants_login>),
    tcp("turn_tcp_hangs_up", "A STUN server that hangs up on what it does not know", "unclear", "hung_up",
        speak<Turn::hangs_up>),
    tls("turn_tls_open", "coturn 4.6, no-auth, over TLS", "open", "token_returned", speak<Turn::open>),
};

}  // namespace

std::span<const Personality> turn_personalities() { return kPersonalities; }

}  // namespace ajar::lab
