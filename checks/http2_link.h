// HTTP/2 over a Link: the frames of one stream, and that stream as a Link of its own, for what is said through a tunnel.
#pragma once

#include <string>

#include "checks/network.h"
#include "checks/wire/http2.h"

namespace ajar {

// What is said and heard here is data of the stream. The transcript of the link below shows it as the frames it came in.
class Http2Link : public Link {
 public:
  // So many receipts in one conversation; more is a protocol_error. Each may take the whole wait for an answer.
  static constexpr int kMaxReceipts = 256;

  // `below` outlives it.
  explicit Http2Link(Link& below) : Link(unread_), below_(below) {}

  Http2Client& client() { return client_; }
  // Sends what is to be sent now.
  Task<void> flush();
  // Hears frames, answers those that want one. False: the server ended the connection. LinkError.
  Task<bool> hear_frames();
  // Hears until the stream was answered, reset or will not be, or the server's own SETTINGS came. False: the server ended the
  // connection first. LinkError protocol_error for what is no HTTP/2.
  Task<bool> hear_settings();
  Task<bool> hear_answer();

 private:
  Task<std::size_t> read_some(std::string& into, std::size_t max) override;
  Task<void> write_all(std::string bytes) override;
  void read_now(std::string& into, std::size_t max) override { client_.take_data(into, max); }
  Task<void> handshake(const TlsHello& hello) override;
  bool settled() const;
  void be_sound() const;

  Transcript unread_;  // nobody reads it
  Link& below_;
  Http2Client client_;
  int receipts_ = 0;
};

}  // namespace ajar
