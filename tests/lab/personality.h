// The table of simulated servers: what each is called, what it imitates, what ajar must finally say about it. README.md in this
// folder is the same table for people; a test keeps the two together.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checks/network.h"
#include "checks/task.h"
#include "tests/lab/dialog.h"
#include "tests/lab/proxy.h"
#include "tests/lab/world.h"

namespace ajar::lab {

enum class Kind : std::uint8_t {
  smtp,                 // speaks SMTP, as its Manners say
  absent,               // nobody listens
  reset,                // RST as soon as the connection stands
  hang,                 // takes the connection and says nothing
  closes_after_banner,  // 220, then FIN
  endless_banner,       // 220- lines for as long as the peer stays
  slow_byte,            // a byte a second
  garbage,              // random bytes
  pregreet,             // answers before it is asked
  ssh,                  // another protocol
  proxy,                // speaks HTTP or SOCKS, as its ProxyManners say
  echo,                 // says what it hears
  endless_header,       // answers HTTP with a head that does not end
  noise,                // answers with random bytes
  reset_after_request,  // RST once it has heard a request
  other,                // speaks as its `speak` does, or `receive`
};

// What ajar must say in the end: full matrix asked, put-off variants asked again, delivery awaited.
struct Expectation {
  std::string_view check, verdict, reason;
};

class Expectations {
 public:
  constexpr Expectations(std::initializer_list<Expectation> all) {
    for (const Expectation& one : all) all_.at(size_++) = one;
  }
  constexpr const Expectation* begin() const { return all_.data(); }
  constexpr const Expectation* end() const { return all_.data() + size_; }
  // nullptr: that check is not asked of it.
  const Expectation* of(std::string_view check) const;

 private:
  std::array<Expectation, 8> all_{};
  std::size_t size_ = 0;
};

// One conversation, until either side ends it. LinkError when the peer leaves.
using Speak = Task<void> (*)(Link& link, Setting setting, World& world);
// One datagram; what it says goes back to the peer. May call the reply never, once, or later while the lab runs.
using Reply = std::function<void(const std::string& bytes)>;
using Receive = Task<void> (*)(std::string bytes, Setting setting, World& world, Reply reply);

struct Personality {
  std::string_view name;
  std::string_view imitates;
  Expectations expect;
  Kind kind = Kind::smtp;
  Manners manners{};
  std::uint16_t port = 2525;
  bool implicit_tls = false;
  ProxyManners proxy{};
  Speak speak = nullptr;
  Receive receive = nullptr;  // over UDP, at the same port
  bool only_datagrams() const { return receive != nullptr && speak == nullptr; }
  bool carries_mail() const { return expect.of("smtp_relay") != nullptr; }
};

// Those of one kind, with the network they live in: 127.10.N.1 and up, in their order. New ones are appended, so that addresses
// stay.
struct Block {
  std::uint8_t network = 0;
  std::span<const Personality> all;
};
std::span<const Block> blocks();

// A block each, in a file of their own.
std::span<const Personality> turn_personalities();            // turn.cc, 127.10.1.0/24
std::span<const Personality> datagram_socks_personalities();  // datagram_socks.cc, 127.10.2.0/24
std::span<const Personality> http2_personalities();           // http2.cc, 127.10.3.0/24
std::span<const Personality> sni_personalities();             // sni.cc, 127.10.4.0/24
std::span<const Personality> dns_personalities();             // dns.cc, 127.10.5.0/24
std::span<const Personality> mail_opt_in_personalities();     // mail_opt_in.cc, 127.10.6.0/24
std::span<const Personality> ftp_personalities();             // ftp.cc, 127.10.7.0/24
std::span<const Personality> telnet_personalities();          // telnet.cc, 127.10.8.0/24

// Of all blocks, in their order.
const std::vector<Personality>& personalities();
// nullptr for an unknown name.
const Personality* find_personality(std::string_view name);

}  // namespace ajar::lab
