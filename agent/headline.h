// Are we exposed? One answer of five, and why. It claims no more than is known. Pure, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ajar {

// What the answer rests on.
struct FirstLook {
  std::size_t open = 0, accepted = 0;  // cases that are not exempt: proven, and those that said yes
  std::size_t exempt = 0;              // open cases that an exemption covers
  std::size_t not_seen = 0;            // of `open` and `accepted`: those whose last probe could not see them
  std::size_t targets = 0;             // that are not paused
  std::size_t results = 0;             // that there should be
  std::size_t tested = 0;              // of them: probed within two intervals
  std::size_t unclear = 0;             // judged unclear
  std::size_t unreachable = 0;         // judged unreachable, filtered ports left out
  bool paused = false, ready = true;
  bool blind = false;  // what stands between us and others may answer in their stead (agent/vantage.h)
};

enum class Exposed { proven, accepted, cannot_tell, not_tested, fine };

struct Headline {
  Exposed answer = Exposed::not_tested;
  std::string words;               // "Exposed"
  std::string sentence;            // what that rests on
  std::vector<std::string> notes;  // what else limits or explains it
};

Headline headline(const FirstLook& look);

}  // namespace ajar
