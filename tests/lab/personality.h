// The table of simulated servers: what each is called, what it imitates, what ajar must finally say about it. README.md in this
// folder is the same table for people; a test keeps the two together.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tests/lab/dialog.h"

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
};

struct Personality {
  std::string_view name;
  std::string_view imitates;
  std::string_view verdict;  // of smtp_relay, in the end: full matrix asked, put-off variants asked again, delivery awaited
  std::string_view reason;
  Kind kind = Kind::smtp;
  Manners manners{};
  std::uint16_t port = 2525;
  bool implicit_tls = false;
};

// In the order of their addresses: the first lives at 127.10.0.1. New ones are appended, so that addresses stay.
std::span<const Personality> personalities();
// nullptr for an unknown name.
const Personality* find_personality(std::string_view name);

}  // namespace ajar::lab
