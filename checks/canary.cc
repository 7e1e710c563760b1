#include "checks/canary.h"

namespace ajar {

std::string_view to_string(CanaryKind kind) {
  switch (kind) {
    case CanaryKind::tcp:
      return "tcp";
    case CanaryKind::udp:
      return "udp";
    case CanaryKind::tls:
      return "tls";
    case CanaryKind::smtp:
      return "smtp";
  }
  return "";
}

}  // namespace ajar
