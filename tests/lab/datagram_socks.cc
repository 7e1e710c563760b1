// SOCKS5 servers that relay datagrams (RFC 1928 4, 7), or say so: the control connection over TCP, the relay over UDP at the
// same port. An association lives as long as its connection.
#include <utility>

#include <fmt/format.h>

#include "checks/wire/socks.h"
#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

enum class Relay : std::uint8_t {
  open,        // BND is its own address
  behind_nat,  // BND is what its own side calls it
  port_0,      // BND is no place
  refuses,     // 02
  no_command,  // 07
  fails,       // 01
  wants_auth,  // 05 ff
  silent,      // grants, and sends nothing on
  one_way,     // sends on, and nothing back
  untidy,      // noise, a fragment and a copy around each answer
  echo,        // sends back what it hears
};

// Of one connection; other conversations of the place see it by the peer's address.
class Association {
 public:
  explicit Association(const Setting& setting)
      : memory_(setting.memory), key_(fmt::format("{} {}", setting.peer, setting.peer_port)) {
    if (memory_ != nullptr) (*memory_)[key_] = "associated";
  }
  ~Association() {
    if (memory_ != nullptr) memory_->erase(key_);
  }
  Association(const Association&) = delete;
  Association& operator=(const Association&) = delete;
  static bool of(const Setting& setting) {
    if (setting.memory == nullptr) return false;
    const auto found = setting.memory->lower_bound(setting.peer + " ");
    return found != setting.memory->end() && found->first.starts_with(setting.peer + " ");
  }

 private:
  std::map<std::string, std::string>* memory_;
  std::string key_;
};

unsigned at(const std::string& bytes, std::size_t index) { return static_cast<unsigned char>(bytes[index]); }

unsigned code_of(Relay relay) {
  switch (relay) {
    case Relay::refuses:
      return 2;
    case Relay::no_command:
      return 7;
    case Relay::fails:
      return 1;
    default:
      return 0;
  }
}

std::string reply(Relay relay, unsigned code, const Setting& setting) {
  std::string bytes = {'\x05', static_cast<char>(code), 0, 1, 0, 0, 0, 0, 0, 0};
  if (code != 0) return bytes;
  const IpAddress bound = relay == Relay::behind_nat ? IpAddress::v4({10, 1, 2, 3}) : *IpAddress::parse(setting.address);
  const auto address = bound.bytes();
  std::copy(address.begin(), address.end(), bytes.begin() + 4);
  const std::uint16_t port = relay == Relay::port_0 ? 0 : setting.port;
  bytes[8] = static_cast<char>(port >> 8);
  bytes[9] = static_cast<char>(port & 0xff);
  return bytes;
}

// RFC 1928 3. False: it will not do.
Task<bool> agree(Link& link, bool wants_auth) {
  std::string bytes = co_await link.hear_bytes(2);
  if (at(bytes, 0) != 5) co_return false;
  const std::size_t count = at(bytes, 1);
  bytes = co_await link.hear_bytes(count);
  const bool agreed = !wants_auth && bytes.find('\0') != std::string::npos;
  bytes = {'\x05', agreed ? '\0' : '\xff'};
  co_await link.say_bytes(std::move(bytes));
  co_return agreed;
}

// RFC 1928 4: the command of the request, which is heard to its end.
Task<unsigned> hear_command(Link& link) {
  const std::string head = co_await link.hear_bytes(5);
  const std::size_t more = at(head, 3) == 4 ? 15 : at(head, 3) == 3 ? at(head, 4) : 3;
  co_await link.hear_bytes(more + 2);
  co_return at(head, 1);
}

Task<void> wait_for_the_end(Link& link) {
  while (true) {
    const std::string bytes = co_await link.hear_some();
    if (bytes.empty()) co_return;
  }
}

template <Relay relay>
Task<void> control(Link& link, Setting setting, World& world) {
  const bool agreed = co_await agree(link, relay == Relay::wants_auth);
  if (!agreed) {
    co_await world.linger(link);
    co_return;
  }
  constexpr unsigned kAssociate = 3, kNoSuchCommand = 7;
  const unsigned command = co_await hear_command(link);
  const unsigned code = command == kAssociate ? code_of(relay) : kNoSuchCommand;
  std::string answer = reply(relay, code, setting);
  if (code != 0) {
    co_await link.say_bytes(std::move(answer));
    co_await world.linger(link);
    co_return;
  }
  const Association association(setting);
  co_await link.say_bytes(std::move(answer));
  co_await wait_for_the_end(link);
}

// With the header of who answered (RFC 1928 7).
void answer_untidily(const std::string& answer, const Reply& reply) {
  reply("noise");
  std::string fragment = answer;
  fragment[2] = '\x01';
  reply(fragment);
  reply(answer);
  reply(answer);
}

template <Relay relay>
Task<void> carry(std::string bytes, Setting setting, World& world, Reply reply) {
  const auto datagram = parse_socks5_datagram(bytes);
  if (!Association::of(setting) || !datagram || datagram->fragment != 0 || relay == Relay::silent) co_return;
  if (relay == Relay::echo) {
    reply(bytes);
    co_return;
  }
  std::string source = setting.address, host = datagram->source, payload(datagram->payload);
  const std::string answer = co_await world.exchange(std::move(source), std::move(host), datagram->port, std::move(payload));
  if (answer.empty() || relay == Relay::one_way) co_return;
  const std::string wrapped = socks5_datagram(*IpAddress::parse(setting.canary), datagram->port, answer);
  if (relay == Relay::untidy) {
    answer_untidily(wrapped, reply);
  } else {
    reply(wrapped);
  }
}

template <Relay relay>
constexpr Personality personality(std::string_view name, std::string_view imitates, std::string_view verdict,
                                  std::string_view reason) {
  return {.name = name,
          .imitates = imitates,
          .expect = {{"socks5_udp", verdict, reason}},
          .kind = Kind::other,
          .port = 1080,
          .speak = control<relay>,
          .receive = carry<relay>};
}

constexpr std::array kPersonalities = {
    personality<Relay::open>("udp_open", "Dante 1.4, socks pass for all commands", "open", "token_returned"),
    personality<Relay::refuses>("udp_closed", "Dante 1.4, socks block { command: udpassociate }", "closed", "refused"),
    personality<Relay::no_command>("udp_no_command", "microsocks 1.0, which has no UDP", "closed", "refused"),
    personality<Relay::wants_auth>("udp_auth", "A SOCKS server that wants a user", "closed", "auth_required"),
    personality<Relay::fails>("udp_fails", "A SOCKS server that cannot bind its relay", "unclear", "canary_unreachable"),
    personality<Relay::silent>("udp_silent", "A SOCKS server whose datagrams a firewall drops", "accepted", "no_proof"),
    personality<Relay::behind_nat>("udp_behind_nat", "An open SOCKS server behind NAT", "open", "token_returned"),
    personality<Relay::port_0>("udp_port_0", "A SOCKS server that grants a relay which is nowhere", "unclear",
                               "protocol_error"),
    personality<Relay::one_way>("udp_one_way", "An open SOCKS server whose answers a firewall drops", "open", "token_returned"),
    personality<Relay::untidy>("udp_untidy", "An open SOCKS server on a bad network", "open", "token_returned"),
    personality<Relay::echo>("udp_echo", "A honeypot that sends back what it hears", "accepted", "no_proof"),
};

}  // namespace

std::span<const Personality> datagram_socks_personalities() { return kPersonalities; }

}  // namespace ajar::lab
