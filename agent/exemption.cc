#include "agent/exemption.h"

#include <algorithm>
#include <chrono>

namespace ajar {

std::optional<Time> exempt_until(const Config& config, std::string_view target, std::string_view check) {
  std::optional<Time> last;
  for (const ExemptionConfig& exemption : config.exemptions) {
    if (exemption.target != target || exemption.check != check) continue;
    const Time end = exemption.until + std::chrono::days(1);
    last = std::max(last.value_or(end), end);
  }
  return last;
}

bool is_exempt(const Config& config, std::string_view target, std::string_view check, Time now) {
  const std::optional<Time> until = exempt_until(config, target, check);
  return until && now < *until;
}

const ExemptionConfig* exemption_now(const Config& config, std::string_view target, std::string_view check, Time now) {
  const ExemptionConfig* found = nullptr;
  for (const ExemptionConfig& exemption : config.exemptions) {
    if (exemption.target != target || exemption.check != check || exemption.until + std::chrono::days(1) <= now) continue;
    if (found == nullptr || exemption.until > found->until) found = &exemption;
  }
  return found;
}

}  // namespace ajar
