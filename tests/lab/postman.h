// Delivers what open personalities took: really, over SMTP, but to the canary and inside 127.0.0.0/8 only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "agent/live_network.h"
#include "agent/loop.h"
#include "tests/lab/dialog.h"

namespace ajar::lab {

class Postman {
 public:
  static constexpr std::size_t kMaxQueued = 1000;
  static constexpr std::size_t kMaxQueuedBytes = 16 * 1024 * 1024;
  static constexpr milliseconds kRetryInterval{1000};
  static constexpr milliseconds kLifetime{120000};

  struct Route {
    AddressPort canary;     // must be an IPv4 loopback address
    std::string domain;     // the only one that mail leaves for
    milliseconds delay{0};  // before the first attempt
  };
  // `log` gets one line for each message delivered or dropped. std::invalid_argument when the canary is not inside 127.0.0.0/8.
  Postman(Loop& loop, Route route, std::function<void(const std::string&)> log);

  // Loop thread. Mail for another domain, or past the limits, is dropped and logged. Never bounces.
  void carry(Message message);
  std::size_t queued() const { return queued_; }
  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t dropped() const { return dropped_; }

 private:
  enum class Outcome : std::uint8_t { delivered, refused, later };
  Task<void> deliver(Message message);
  Task<Outcome> attempt(const Message& message);
  Task<Outcome> hand_over(Link& link, const Message& message);
  void drop(const Message& message, std::string_view why);

  Loop& loop_;
  Route route_;
  std::function<void(const std::string&)> log_;
  std::size_t queued_ = 0, queued_bytes_ = 0;
  std::uint64_t delivered_ = 0, dropped_ = 0;
};

}  // namespace ajar::lab
