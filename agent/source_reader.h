// Where a list of targets comes from: files, or a URL. A reader is asked from one thread, which it may block.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "config/target_groups.h"

namespace ajar {

// What a look at the source found.
struct SourceLook {
  std::optional<TargetGroups> groups;  // all of the source; nullopt: as before
  std::string trouble;                 // one printable sentence; empty: all is well
  bool complete = false;               // every part of it was read well once: what is not listed is really not there
  bool soon = false;                   // something is being written: look again in a second
};

class SourceReader {
 public:
  virtual ~SourceReader() = default;
  virtual SourceLook look() = 0;
  // Returns when it is worth another look, after `span`, or when `wake_fd` (an eventfd) may be read.
  virtual void wait(int wake_fd, std::chrono::milliseconds span) = 0;
};

// Files that match the pattern, told of changes by inotify; a file that is gone is a file without targets, one that cannot be
// read keeps its last list. `patient`: a file that is just being written is left for the next look.
std::unique_ptr<SourceReader> make_file_reader(std::string pattern, bool patient);
// GET, as Prometheus' http_sd has it. Paths are resolved against `config`.
std::unique_ptr<SourceReader> make_url_reader(const DiscoveryConfig& source, const Config& config);
// The one of the two that the source needs.
std::unique_ptr<SourceReader> make_reader(const DiscoveryConfig& source, const Config& config, bool patient);

}  // namespace ajar
