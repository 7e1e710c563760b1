// A personality at one end of a Link.
#pragma once

#include "checks/network.h"
#include "checks/task.h"
#include "tests/lab/dialog.h"
#include "tests/lab/personality.h"

namespace ajar::lab {

// What a conversation needs from outside. In the lab: the loop and the postman; in tests: a clock that is moved.
class World {
 public:
  virtual ~World() = default;
  virtual Steady::time_point now() = 0;
  // LinkError when the lab is being shut down.
  virtual Task<void> pause(milliseconds span) = 0;
  // Carries a message to its recipient, later and by itself.
  virtual void carry(Message message) = 0;
};

// Holds one conversation as `personality` until either side ends it. `seed` makes the random bytes of `garbage`. LinkError when
// the peer leaves. Kinds absent and reset never come here: they have no conversation.
Task<void> converse(Link& link, const Personality& personality, Setting setting, World& world, std::uint64_t seed);

}  // namespace ajar::lab
