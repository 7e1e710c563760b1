// The server's side of HTTP/2 in the words of evidence, for scripts and the tests of the codec: a frame is a line.
//
//   SETTINGS ENABLE_CONNECT_PROTOCOL 1; …      SETTINGS ACK
//   HEADERS :status 200; server nghttpx; END_STREAM
//   DATA PROOF 4u3j…                           a line, with CRLF; "DATA <html>…" is one that is begun and not ended
//   RST_STREAM REFUSED_STREAM                  GOAWAY NO_ERROR; last stream 0        PING        WINDOW_UPDATE 100; stream 1
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ajar {

class Http2Script {
 public:
  Http2Script();
  ~Http2Script();
  Http2Script(const Http2Script&) = delete;
  Http2Script& operator=(const Http2Script&) = delete;

  // nullopt: no frame of these. std::runtime_error for one that is written wrongly.
  std::optional<std::string> bytes_of(std::string_view line);
  // The heads and ends of streams, and the data, that the client has said whole: as lines; the other frames are passed over.
  std::vector<std::string> take(std::string_view bytes);

 private:
  struct Tables;  // HPACK's, of both directions

  std::string head_of(std::string_view fields, bool& ends);
  std::string fields_in(std::string_view block);

  std::unique_ptr<Tables> tables_;
  std::string said_;
};

// One frame (RFC 9113 4.1).
std::string http2_frame(unsigned type, unsigned flags, unsigned stream, std::string_view payload);

}  // namespace ajar
