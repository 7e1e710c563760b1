// Datagrams of one probe to one address and port of the subject. What comes from anywhere else never arrives here.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "checks/network.h"
#include "checks/task.h"

namespace ajar {

// Not thread-safe; one operation at a time. Closing is destroying.
class Datagrams {
 public:
  static constexpr std::size_t kMaxDatagram = 8192;  // a longer one is cut there
  static constexpr std::size_t kMaxReceived = 64;    // datagrams in one conversation; more are a protocol_error
  static constexpr unsigned kAttempts = 5;           // a question is sent so often; the waits double (RFC 8489 6.2.1)

  // Whether a datagram answers what was asked. Kept by the caller while it waits.
  using Fits = std::function<bool(std::string_view)>;

  explicit Datagrams(Transcript& transcript) : transcript_(transcript) {}
  virtual ~Datagrams() = default;
  Datagrams(const Datagrams&) = delete;
  Datagrams& operator=(const Datagrams&) = delete;

  // Sends one datagram, once. The transcript shows `as`, or the bytes in hexadecimal. LinkError.
  void say(const std::string& bytes, const std::string& as = {});
  // Sends `question`, and again after each wait without an answer, up to kAttempts times, until a datagram fits; that one is
  // `answer`. Others (duplicates, out of order, of something else) are noted and passed over. LinkError: timeout,
  // nobody_listens (ICMP port unreachable), no_route, protocol_error for too many.
  Task<void> ask(std::string question, std::string as, const Fits& fits, std::string& answer);
  // Waits once more, as long as the last wait of ask(), for a datagram that fits, without sending anything. False: none came.
  Task<bool> hear(const Fits& fits, std::string& answer);
  // Whether the peer sent anything at all in this conversation.
  bool spoken_to() const { return received_ > 0; }
  Transcript& transcript() { return transcript_; }

 protected:
  // LinkError.
  virtual void send(const std::string& bytes) = 0;
  // The next datagram, within the `attempt`th wait of kAttempts, which began when `begins` was true. False: it is over.
  // LinkError.
  virtual Task<bool> receive(std::string& into, unsigned attempt, bool begins) = 0;

 private:
  Task<bool> hear_attempt(const Fits& fits, std::string& answer, unsigned attempt);

  Transcript& transcript_;
  std::size_t received_ = 0;
};

}  // namespace ajar
