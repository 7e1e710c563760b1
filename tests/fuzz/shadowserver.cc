// A report as somebody mails it. What is taken from it is bounded and printable, whatever the bytes; what is taken comes back
// the same from its own writing.
#include "agent/shadowserver.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/json.h"

namespace {

bool printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// The first byte chooses the type.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto types = ajar::report_types();
  const ajar::ReportType& type = types[data[0] % types.size()];
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ajar::Time now{std::chrono::milliseconds(1767355200000)};
  std::vector<ajar::Suspicion> taken;
  try {
    const ajar::ReportSummary summary =
        ajar::read_shadowserver(text, type, now, [&](ajar::Suspicion suspicion) { taken.push_back(std::move(suspicion)); });
    require(summary.rows == summary.broken + taken.size());
    for (const ajar::BrokenRow& row : summary.named) require(row.line > 1 && printable(row.why));
  } catch (const ajar::ReportError& error) {
    require(taken.empty() && printable(error.what()));
  }
  for (const ajar::Suspicion& suspicion : taken) {
    require(suspicion.reported <= now + ajar::kReportAhead && (suspicion.key.port != 0) == type.names_port());
    require(printable(suspicion.key.list) && suspicion.saw.size() <= ajar::kMaxSaw);
    for (const auto& [column, saw] : suspicion.saw) require(printable(saw) && saw.size() <= 4 * ajar::kMaxSawText + 3);
    require(ajar::parse_suspicions(ajar::serialise(std::vector{suspicion})) == std::vector{suspicion});
  }
  return 0;
}
