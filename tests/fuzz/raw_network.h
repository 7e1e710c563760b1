// A Network over raw bytes, for the fuzzers of whole checks. The input is what the server says, a line at each wait; a line
// that begins with \x01 comes together with the line before it, before any question; one that begins with \x02 is a hang-up,
// \x03 a silence, \x04 a handshake that fails, \x0e one that is refused by the alert of the next byte, \x0f one that is hung up
// on. A datagram is two bytes of length, big-endian, and so many bytes; of length 0 it was lost; the length 0xffff is ICMP port
// unreachable.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "checks/datagrams.h"
#include "checks/network.h"
#include "checks/tls_failure.h"

namespace ajar {

inline void require(bool condition) {
  if (!condition) std::abort();
}

class RawLink : public Link {
 public:
  RawLink(Transcript& transcript, std::string_view& stream) : Link(transcript), stream_(stream) {}

 private:
  bool take(std::string& into) {
    if (ended_) return false;
    std::size_t end = stream_.find('\n');
    end = end == std::string_view::npos ? stream_.size() : end + 1;
    std::string_view line = stream_.substr(0, end);
    stream_.remove_prefix(end);
    if (line.empty() || line.front() == '\x02') {
      ended_ = true;
      return false;
    }
    if (line.front() == '\x03') throw LinkError(Reason::timeout, "silence");
    if (line.front() == '\x01') line.remove_prefix(1);
    if (!line.empty() && line.front() == '\x06') {  // without its end
      line.remove_prefix(1);
      if (line.ends_with('\n')) line.remove_suffix(1);
      if (line.empty()) {
        ended_ = true;
        return false;
      }
    }
    into += line;
    return true;
  }
  Task<std::size_t> read_some(std::string& into, std::size_t) override {
    const std::size_t before = into.size();
    take(into);
    co_return into.size() - before;
  }
  Task<void> write_all(std::string bytes) override {
    static_cast<void>(bytes);
    co_return;
  }
  void read_now(std::string& into, std::size_t) override {
    while (!ended_ && !stream_.empty() && stream_.front() == '\x01') take(into);
  }
  Task<void> handshake(const TlsHello&) override {
    if (!stream_.empty() && stream_.front() == '\x04') throw LinkError(Reason::tls_failed, "handshake failure");
    if (!stream_.empty() && (stream_.front() == '\x0e' || stream_.front() == '\x0f')) {
      const bool alert = stream_.front() == '\x0e';
      std::string line;
      take(line);
      if (alert) throw TlsFailure(TlsFailure::How::alert, "alert", line.size() > 1 ? static_cast<unsigned char>(line[1]) : 0);
      throw TlsFailure(TlsFailure::How::ended, "the peer closed the connection");
    }
    co_return;
  }

  std::string_view& stream_;
  bool ended_ = false;
};

class RawDatagrams : public Datagrams {
 public:
  RawDatagrams(Transcript& transcript, std::string_view& stream) : Datagrams(transcript), stream_(stream) {}

 private:
  void send(const std::string& bytes) override { static_cast<void>(bytes); }
  Task<bool> receive(std::string& into, unsigned, bool) override {
    if (stream_.size() < 2) co_return false;
    const auto byte = [this](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(stream_[i])); };
    const std::size_t length = byte(0) << 8 | byte(1);
    stream_.remove_prefix(2);
    if (length == 0) co_return false;
    if (length == 0xffff) throw LinkError(Reason::nobody_listens, "port unreachable");
    into = stream_.substr(0, std::min(length, kMaxDatagram));
    stream_.remove_prefix(into.size());
    co_return true;
  }

  std::string_view& stream_;
};

class RawNetwork : public Network {
 public:
  explicit RawNetwork(std::string_view stream) : stream_(stream) {}
  Task<std::unique_ptr<Link>> dial(const IpAddress&, std::uint16_t, TlsMode) override {
    ++dials;
    if (stream_.empty()) throw LinkError(Reason::nobody_listens, "connection refused");
    std::unique_ptr<Link> link = std::make_unique<RawLink>(transcript(), stream_);
    co_return std::move(link);
  }
  Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress&, std::uint16_t) override {
    ++dials;
    std::unique_ptr<Datagrams> datagrams = std::make_unique<RawDatagrams>(transcript(), stream_);
    co_return datagrams;
  }
  std::optional<IpAddress> source() const override { return asked_from; }
  int dials = 0;
  std::optional<IpAddress> asked_from;

 private:
  std::string_view stream_;
};

}  // namespace ajar
