// Hostile label values and Accept headers: whatever they are, every line of the page keeps its shape, and the value comes back.
#include "agent/exposition.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void demand(bool condition) {
  if (!condition) std::abort();
}

// The escaped value has no raw quote, line feed or control character, and every backslash begins a known escape.
void demand_escaped(std::string_view escaped) {
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    const char c = escaped[i];
    demand(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F && c != '"');
    if (c != '\\') continue;
    demand(++i < escaped.size());
    demand(escaped[i] == '\\' || escaped[i] == 'n' || escaped[i] == '"');
  }
}

std::string unescape(std::string_view escaped) {
  std::string text;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '\\') {
      text += escaped[i];
    } else {
      ++i;
      text += escaped[i] == 'n' ? '\n' : escaped[i];
    }
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ajar::Exposition;
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::string escaped = Exposition::escape_value(input);
  demand_escaped(escaped);
  // Escaping what came back changes nothing more: it was valid UTF-8 already.
  demand(Exposition::escape_value(unescape(escaped)) == escaped);
  for (const char c : Exposition::label_name(input)) demand(c == '_' || std::isalnum(static_cast<unsigned char>(c)));

  for (const auto format : {Exposition::Format::text, Exposition::Format::openmetrics}) {
    std::string page;
    Exposition out(format, [&](std::string_view chunk) { page += chunk; });
    out.family("ajar_probes_total", ajar::MetricType::counter, input);
    out.sample(Exposition::labels({{"check", input}, {"verdict", "open"}}), 1);
    out.finish();
    std::size_t lines = 0;
    for (const char c : page) lines += c == '\n' ? 1U : 0U;
    demand(lines == (format == Exposition::Format::text ? 3U : 4U));
    demand(page.find("{check=\"" + escaped + "\",verdict=\"open\"} 1\n") != std::string::npos);
  }
  (void)Exposition::negotiate(input);
  return 0;
}
