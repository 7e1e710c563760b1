// A personality at one end of a Link.
#pragma once

#include "checks/network.h"
#include "checks/task.h"
#include "tests/lab/personality.h"
#include "tests/lab/world.h"

namespace ajar::lab {

// Holds one conversation as `personality` until either side ends it. `seed` makes the random bytes of `garbage`. LinkError when
// the peer leaves. Kinds absent and reset never come here: they have no conversation.
Task<void> converse(Link& link, const Personality& personality, Setting setting, World& world, std::uint64_t seed);

}  // namespace ajar::lab
