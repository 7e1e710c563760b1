// One client's connection to the web server, with or without TLS: the stream that cpp-httplib reads a request from and writes
// the answer to. Everything on it has a deadline and a limit, the handshake too. The head of a request is read and looked at
// here before the library sees it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <httplib.h>

#include "agent/web_settings.h"

namespace ajar {

// Used by one thread.
class WebConnection : public httplib::Stream {
 public:
  using Steady = std::chrono::steady_clock;

  static constexpr std::chrono::milliseconds kHandshakeTime{3'000};
  static constexpr std::chrono::milliseconds kHeadTime{5'000};       // from the first byte to the empty line
  static constexpr std::chrono::milliseconds kBodyTime{30'000};      // from there to the end of the body
  static constexpr std::chrono::milliseconds kSilence{5'000};        // within a body
  static constexpr std::chrono::milliseconds kWriteSilence{10'000};  // the client takes nothing
  static constexpr std::chrono::milliseconds kWriteTime{60'000};     // for a whole answer
  static constexpr std::size_t kMostHead = 32 * 1024, kMostLine = 8 * 1024, kMostFields = 100;

  // Owns the descriptor.
  explicit WebConnection(int fd);
  // Ends the conversation in an orderly way and closes.
  ~WebConnection() override;
  WebConnection(const WebConnection&) = delete;
  WebConnection& operator=(const WebConnection&) = delete;

  // Whether there is something to read within `limit`, while `go_on` says yes.
  bool wait_for_bytes(std::chrono::milliseconds limit, const std::function<bool()>& go_on);
  // Whether the first byte is that of a TLS handshake.
  bool looks_like_tls() const;
  // The handshake; false when it fails, or takes too long.
  bool start_tls(std::shared_ptr<const WebSettings> settings);
  const SSL* ssl() const { return ssl_.get(); }

  // Reads the head of the next request. 0: it is there and may be read; -1: the client has gone, or was too slow; else the
  // status with which it is refused.
  int read_head();

  bool is_readable() const override { return true; }
  bool is_writable() const override;
  ssize_t read(char* into, std::size_t size) override;
  ssize_t write(const char* bytes, std::size_t size) override;
  void get_remote_ip_and_port(std::string& address, int& port) const override;
  void get_local_ip_and_port(std::string& address, int& port) const override;
  // The library asks only whether select(2) could take it. Nothing here selects.
  socket_t socket() const override { return -1; }

 private:
  // 0: the peer has closed; -1: an error, or the time is over.
  ssize_t receive(char* into, std::size_t size, Steady::time_point until);
  bool wait(short events, Steady::time_point until) const;
  bool wait_for_tls(int result, Steady::time_point until) const;
  int check_line(std::size_t begin, std::size_t end) const;
  void drain();

  const int fd_;
  std::shared_ptr<const WebSettings> settings_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_{nullptr, SSL_free};
  bool usable_ = true;  // no error so far: TLS may say goodbye
  std::string head_;    // of the request that is read now
  std::size_t given_ = 0;
  std::string ahead_;  // received beyond the head
  Steady::time_point body_until_{};
  Steady::time_point write_until_{};
};

}  // namespace ajar
