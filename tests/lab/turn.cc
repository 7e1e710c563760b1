#include "tests/lab/personality.h"

namespace ajar::lab {

std::span<const Personality> turn_personalities() { return {}; }

}  // namespace ajar::lab
