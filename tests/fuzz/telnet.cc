// The codec of telnet: any bytes, in any pieces; what is kept is bounded, an option is refused once, and pieces change nothing.
#include "checks/wire/telnet.h"

#include <cstdint>

#include "tests/fuzz/raw_network.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ajar;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TelnetReader whole, bits;
  const std::string answers = whole.take(bytes);
  std::string same;
  for (const char c : bytes) same += bits.take(std::string_view(&c, 1));
  require(answers == same && whole.text() == bits.text() && whole.too_long() == bits.too_long());
  require(whole.text().size() <= TelnetReader::kMaxText && answers.size() <= 2 * 256 * 3 && answers.size() % 3 == 0);
  require(whole.text().find('\0') == std::string::npos);
  for (std::size_t i = 0; i < answers.size(); i += 3) {
    const auto verb = static_cast<unsigned char>(answers[i + 1]);
    require(static_cast<unsigned char>(answers[i]) == 255 && (verb == 252 || verb == 254));
  }
  const std::string_view line = telnet_prompt_line(whole.text());
  require(line.empty() || telnet_last_words(whole.text()) == line);
  if (read_telnet_prompt(whole.text()) == TelnetPrompt::command) require(!line.empty());
  read_telnet_answer(whole.text());
  require(!telnet_verb(whole.text()).empty());
  return 0;
}
