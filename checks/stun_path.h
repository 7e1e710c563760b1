// A conversation in STUN messages and ChannelData with the subject: over datagrams, or framed in a connection (RFC 8656 3.1,
// 12.5).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checks/network.h"

namespace ajar {

class StunPath {
 public:
  // Whether a whole message answers what was asked. Kept by the caller while it waits.
  using Fits = std::function<bool(std::string_view)>;
  static constexpr unsigned kMaxPassedOver = 64;  // messages of a stream that do not fit; more are a protocol_error

  // On a fresh connection, or from a fresh port. LinkError.
  static Task<std::unique_ptr<StunPath>> dial(Network& network, const Subject& subject);
  virtual ~StunPath() = default;
  StunPath(const StunPath&) = delete;
  StunPath& operator=(const StunPath&) = delete;

  // Sends one message and waits for one that fits, which is `answer`; datagrams are sent again meanwhile. The others are noted
  // and passed over. The transcript shows `as`. LinkError: that of Datagrams and Link; protocol_error instead of a timeout
  // where what came meanwhile was no STUN.
  Task<void> ask(std::string bytes, std::string as, const Fits& fits, std::string& answer);
  // Sends one message, once, and waits for nothing. LinkError.
  virtual Task<void> say(std::string bytes, std::string as) = 0;
  // Whether messages follow each other in a stream: ChannelData is padded there.
  virtual bool stream() const = 0;
  // Whether the peer sent anything at all.
  virtual bool spoken_to() const = 0;
  // What it speaks instead of STUN, of what came first and was none: "echo", "DNS", or as recognise() has it; empty: nothing
  // came that is known.
  std::string foreign() const;

 protected:
  StunPath() = default;
  virtual Task<void> exchange(std::string bytes, std::string as, const Fits& fits, std::string& answer) = 0;
  // The first bytes that are no part of a conversation in STUN.
  void note_odd(std::string_view bytes);

 private:
  // Whether it may be said to a client of ours: a response to something that was asked, an indication, ChannelData.
  bool in_order(std::string_view bytes) const;

  std::string first_sent_;
  std::string odd_;
  std::vector<std::string> ids_;  // of what was sent
};

}  // namespace ajar
