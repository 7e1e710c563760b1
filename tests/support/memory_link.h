// A Link over bytes in memory: what the peer sends is given at the start, in pieces; what we say is kept. Nothing suspends, so
// a dialog has ended when start() returns. TLS is a flag: the bytes stay clear.
#pragma once

#include <deque>
#include <string>
#include <utility>

#include "checks/network.h"

namespace ajar {

class MemoryLink : public Link {
 public:
  // How the peer behaves after its last byte.
  enum class End { hangs_up, falls_silent };

  MemoryLink(Transcript& transcript, std::deque<std::string> pieces, End end = End::hangs_up)
      : Link(transcript), pieces_(std::move(pieces)), end_(end) {}
  const std::string& said() const { return said_; }
  bool handshaken() const { return handshaken_; }
  // The next piece: what the peer has not been asked for yet.
  bool heard_all() const { return pieces_.empty(); }

 protected:
  Task<std::size_t> read_some(std::string& into, std::size_t max) override {
    if (pieces_.empty()) {
      if (end_ == End::falls_silent) throw LinkError(Reason::timeout, "silence");
      co_return 0;
    }
    std::string& piece = pieces_.front();
    const std::size_t count = std::min(max, piece.size());
    into.append(piece, 0, count);
    piece.erase(0, count);
    if (piece.empty()) pieces_.pop_front();
    co_return count;
  }
  Task<void> write_all(std::string bytes) override {
    said_ += bytes;
    co_return;
  }
  std::size_t write_now(std::string_view bytes) override {
    said_ += bytes;
    return bytes.size();
  }
  Task<void> handshake(const TlsHello&) override {
    handshaken_ = true;
    co_return;
  }

 private:
  std::deque<std::string> pieces_;
  End end_;
  std::string said_;
  bool handshaken_ = false;
};

}  // namespace ajar
