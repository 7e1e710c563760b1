// The codec of HTTP heads and contents: any bytes; what comes out is bounded and was in what went in.
#include "checks/wire/http_head.h"

#include <cstdint>

#include "checks/wire/greeting.h"
#include "tests/fuzz/raw_network.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ajar;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  static_cast<void>(recognise(rest));
  HttpHeadReader reader;
  HttpHeadReader::Step step = HttpHeadReader::Step::more;
  while (!rest.empty() && step == HttpHeadReader::Step::more) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    step = reader.take(line);
  }
  const HttpHead& head = reader.head();
  require(head.fields.size() <= HttpHeadReader::kMaxFields);
  std::size_t kept = head.reason.size();
  for (const auto& [name, value] : head.fields) kept += name.size() + value.size();
  require(kept <= HttpHeadReader::kMaxBytes);
  if (step != HttpHeadReader::Step::done) return 0;
  require(head.status >= 100 && head.status <= 599);
  static_cast<void>(head.has("connection", "close"));
  // In one piece and byte by byte the content is the same.
  HttpContent whole(head), pieces(head);
  std::string at_once, slowly;
  whole.take(rest, at_once);
  for (std::size_t i = 0; i < rest.size(); ++i) pieces.take(rest.substr(i, 1), slowly);
  require(at_once == slowly && whole.ended() == pieces.ended() && whole.broken() == pieces.broken());
  require(at_once.size() <= rest.size());
  if (head.length() && !head.chunked()) require(at_once.size() <= *head.length());
  return 0;
}
