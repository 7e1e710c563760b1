// The table of simulated servers: what each is called, what it imitates, what ajar must finally say about it. README.md in this
// folder is the same table for people; a test keeps the two together.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "tests/lab/dialog.h"
#include "tests/lab/proxy.h"

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
  std::array<Expectation, 4> all_{};
  std::size_t size_ = 0;
};

struct Personality {
  std::string_view name;
  std::string_view imitates;
  Expectations expect;
  Kind kind = Kind::smtp;
  Manners manners{};
  std::uint16_t port = 2525;
  bool implicit_tls = false;
  ProxyManners proxy{};
  bool carries_mail() const { return expect.of("smtp_relay") != nullptr; }
};

// In the order of their addresses: the first lives at 127.10.0.1. New ones are appended, so that addresses stay.
std::span<const Personality> personalities();
// nullptr for an unknown name.
const Personality* find_personality(std::string_view name);

}  // namespace ajar::lab
