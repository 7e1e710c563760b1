// The codec of HTTP/2: any bytes of a server. What it holds is bounded, an answer has a status, and trouble is final.
#include "checks/wire/http2.h"

#include <cstdint>
#include <string>

#include "tests/fuzz/raw_network.h"

// The input is what the server says, in pieces as long as the byte before them says; a piece of length 0 stands for the
// tunnel's own data.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ajar;
  Http2Client client;
  client.request({{":method", "CONNECT"}, {":authority", "198.51.100.7:8025"}});
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::string taken;
  std::size_t out = client.take_output().size();
  while (!rest.empty()) {
    const std::size_t length = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    const bool was_sound = client.trouble().empty();
    if (length == 0) {
      client.send("TOKEN t\r\n");
    } else {
      client.receive(rest.substr(0, length));
      rest.remove_prefix(std::min(length, rest.size()));
    }
    out += client.take_output().size();
    client.take_data(taken, 100);
    for (const Http2Client::Shown& one : client.take_shown()) require(!one.text.empty());
    require(was_sound || !client.trouble().empty());
    if (client.answer() != nullptr) {
      require(client.answer()->status >= 100 && client.answer()->status <= 599);
      require(client.answer()->fields.size() <= Http2Client::kMaxFields);
    }
  }
  require(taken.size() <= size);
  require(out <= 1000 + 64 * size);
  return 0;
}
