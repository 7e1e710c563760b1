// A source that is read on a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/discovered.h"
#include "agent/source_reader.h"
#include "config/config.h"

namespace ajar {

class Loop;

// What a look at a source came to.
struct SourceNews {
  std::shared_ptr<const SourceTargets>
      targets;          // the same object as before when nothing changed; nullptr: nothing is known yet
  std::string trouble;  // as SourceLook has it
  bool complete = false;
};

// The thread is never joined: a name server or a file system that hangs must not hold up the end of the agent. It holds its own
// share of the state and touches the loop only while not stopping.
class SourceThread {
 public:
  // std::system_error when there is no thread to have. `report` runs on the loop's thread, after every look, as long as this
  // object lives. `before`: what an earlier thread found.
  SourceThread(Loop& loop, std::unique_ptr<SourceReader> reader, const DiscoveryConfig& config, std::vector<Cidr> scope,
               std::shared_ptr<const SourceTargets> before, std::function<void(SourceNews)> report);
  ~SourceThread();
  SourceThread(const SourceThread&) = delete;
  SourceThread& operator=(const SourceThread&) = delete;

  // Asks it to end; nothing is reported from here on. The destructor does so too, and does not wait.
  void stop();
  // Waits until a thread that was stopped has ended; not beyond `until`.
  void wait_end(std::chrono::steady_clock::time_point until);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ajar
