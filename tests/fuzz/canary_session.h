// The canary's dialogs under a fuzzer: bytes of a client in pieces, with the word @TOKEN@ standing for a valid token and @OLD@
// for an expired one, so that a mutation can reach what only a token opens.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>

#include "agent/canary_dialog.h"
#include "tests/support/memory_link.h"

namespace ajar {

inline void require(bool fact) {
  if (!fact) std::abort();
}

class FuzzedSession {
 public:
  using Dialog = Task<void> (*)(Link&, const CanarySession&);

  // Runs `dialog` over `input`; NUL bytes in it end a piece. Aborts when a promise of the canary is broken.
  void run(Dialog dialog, std::string_view input, std::size_t most_output) {
    std::deque<std::string> pieces;
    bool valid = false;
    for (std::size_t from = 0; from < input.size();) {
      const std::size_t end = std::min(input.find('\0', from), input.size());
      std::string piece = filled(input.substr(from, end - from), valid);
      if (!piece.empty()) pieces.push_back(std::move(piece));
      from = end + 1;
    }
    Transcript transcript;
    MemoryLink link(transcript, std::move(pieces));
    const CanarySession session{.identity = identity_,
                                .keys = keys_,
                                .now = [this] { return now_; },
                                .peer = *AddressPort::parse("203.0.113.9:4"),
                                .listener = *AddressPort::parse("198.51.100.7:8025"),
                                .starttls = true,
                                .server_name = {},
                                .arrived = [this, valid](Arrival arrival) { check(arrival, valid); }};
    bool ended = false;
    start(dialog(link, session), [&ended] { ended = true; });
    require(ended);
    require(link.said().size() <= most_output);
    require(valid || link.said().find(keys_.proof(token_)) == std::string::npos);
    require(link.said().find(keys_.proof(old_)) == std::string::npos);
  }

 private:
  std::string filled(std::string_view text, bool& valid) {
    std::string out(text);
    const auto fill = [&out](std::string_view word, const std::string& by) {
      bool found = false;
      for (std::size_t at = out.find(word); at != std::string::npos && out.size() < 512 * 1024;
           at = out.find(word, at + by.size())) {
        out.replace(at, word.size(), by);
        found = true;
      }
      return found;
    };
    if (fill("@TOKEN@", token_)) valid = true;
    fill("@OLD@", old_);
    return out;
  }
  void check(const Arrival& arrival, bool valid) const {
    require(arrival.token == token_ || arrival.token == old_);
    require(arrival.token != token_ || valid);
    require(!arrival.proof || arrival.token == token_);
    require(arrival.facts.size() <= Facts::kMax + 1);
    for (const std::string& fact : arrival.facts) {
      require(fact.size() <= 4 * Facts::kMaxLength + 64);
      require(fact.find_first_of("\r\n\x1b") == std::string::npos);
    }
  }

  const Time now_{std::chrono::seconds(1'800'000'000)};
  const CanaryKeys keys_{std::string(32, 'k')};
  const CanaryIdentity identity_{.name = "probe.example.net",
                                 .contact = "mailto:sre@example.net",
                                 .host = "canary.example.net",
                                 .mail_domain = "canary.example.net",
                                 .authorities = {*AddressPort::parse("198.51.100.7:8025")}};
  const std::string token_ = keys_.mint(now_, std::chrono::hours(1));
  const std::string old_ = keys_.mint(now_ - std::chrono::hours(2), std::chrono::hours(1));
};

}  // namespace ajar
