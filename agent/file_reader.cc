// Discovery from files (Prometheus' file_sd).
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/source_reader.h"
#include "agent/target_list.h"
#include "agent/time.h"
#include "config/values.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kMostFiles = 1000;
constexpr milliseconds kSettled{1000};  // a file that nobody closed is believed when it is as old
constexpr milliseconds kQuiet{50}, kLongestBurst{500};

std::string reason(int number) { return std::generic_category().message(number); }

// As it is where nobody knows the current folder.
std::string absolute(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path full = std::filesystem::absolute(path, failed);
  return failed ? path : full.string();
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// What tells one version of a file from the next.
struct Stamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t modified = 0, changed = 0;  // nanoseconds
  friend bool operator==(const Stamp&, const Stamp&) = default;
};
Stamp stamp_of(const struct stat& info) {
  const auto nanoseconds = [](const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return {info.st_dev, info.st_ino, info.st_size, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

struct Text {
  std::string text, trouble;
  Stamp stamp;
  bool torn = false;  // it changed while it was read
};

// A regular file of bounded size; never waits for a pipe or a device.
Text read_file(const std::string& path) {
  Text out;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat before{};
  if (file.get() < 0 || fstat(file.get(), &before) != 0) {
    out.trouble = reason(errno);
    return out;
  }
  out.stamp = stamp_of(before);
  if (!S_ISREG(before.st_mode)) out.trouble = "not a regular file";
  if (static_cast<std::uint64_t>(before.st_size) > kMaxTargetList) {
    out.trouble = fmt::format("larger than {} MiB", kMaxTargetList >> 20);
  }
  if (!out.trouble.empty()) return out;
  std::array<char, 65536> block{};
  while (out.text.size() <= kMaxTargetList) {
    const ssize_t count = read(file.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) out.trouble = reason(errno);
    if (count <= 0) break;
    out.text.append(block.data(), static_cast<std::size_t>(count));
  }
  struct stat after{};
  out.torn = fstat(file.get(), &after) != 0 || !(stamp_of(after) == out.stamp);
  return out;
}

// Tells of changes in a folder: what is written, put, moved or removed there, and that the folder itself comes or goes.
class FolderWatch {
 public:
  explicit FolderWatch(std::string folder) : folder_(std::move(folder)), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

  int fd() const { return inotify_.get(); }
  // Before each look: watches what is there now, the folder and the one above it, else the nearest that exists.
  void follow() {
    if (inotify_.get() < 0) return;
    std::map<int, std::string> now;
    std::filesystem::path place = folder_, below;
    // Each is watched before the next is looked for, so that none appears unseen.
    for (int level = 0; level < 64; ++level) {
      constexpr std::uint32_t kSelf = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
      constexpr std::uint32_t kNames = IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE;
      const std::uint32_t mask = below.empty() ? kSelf | kNames | IN_CLOSE_WRITE | IN_ATTRIB : kSelf | kNames;
      const int watch = inotify_add_watch(inotify_.get(), place.c_str(), mask);
      if (watch >= 0) now.emplace(watch, below.empty() ? "" : below.filename().string());
      if (watch >= 0 && !below.empty()) break;
      const std::filesystem::path above = place.parent_path();
      if (above == place) break;
      below = std::exchange(place, above);
      if (place.empty()) break;
    }
    for (const auto& [watch, name] : watches_) {
      if (!now.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
    }
    watches_ = std::move(now);
  }
  // Takes what was told; true when the folder or something in it changed. Names of finished files are added to `written`.
  bool take(std::set<std::string>& written) {
    bool changed = false;
    alignas(inotify_event) std::array<char, 16384> block{};
    for (;;) {
      const ssize_t count = read(inotify_.get(), block.data(), block.size());
      if (count <= 0) return changed;
      for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(count);) {
        inotify_event event{};
        std::memcpy(&event, block.data() + at, sizeof event);
        const std::string name = event.len > 0 ? std::string(block.data() + at + sizeof event) : std::string();
        at += sizeof event + event.len;
        if ((event.mask & IN_IGNORED) != 0) continue;
        const auto known = watches_.find(event.wd);
        // Of a folder above, only the way to ours matters.
        const bool above = known != watches_.end() && !known->second.empty();
        if (above && !name.empty() && name != known->second) continue;
        changed = true;
        if (!above && (event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) written.insert(name);
      }
    }
  }

 private:
  std::string folder_;
  Descriptor inotify_;
  std::map<int, std::string> watches_;  // and the name in it that leads to the folder; empty: the folder itself
};

// A part of the pattern's last component before its *, and the part behind it; without a *, the whole name.
struct NamePattern {
  explicit NamePattern(const std::string& name) : star(name.find('*') != std::string::npos) {
    before = name.substr(0, name.find('*'));
    if (star) after = name.substr(before.size() + 1);
  }
  bool matches(const std::string& name) const {
    if (!star) return name == before;
    // A hidden file is what an editor or a copy has not finished.
    const bool hidden = name.starts_with('.') && !before.starts_with('.');
    return !hidden && name.size() >= before.size() + after.size() && name.starts_with(before) && name.ends_with(after);
  }
  bool star;
  std::string before, after;
};

class FileReader : public SourceReader {
 public:
  FileReader(const std::string& pattern, bool patient)
      : folder_(std::filesystem::path(pattern).parent_path().string()),
        names_(std::filesystem::path(pattern).filename().string()),
        patient_(patient),
        watch_(absolute(folder_.empty() ? "." : folder_)) {
    if (folder_.empty()) folder_ = ".";
  }

  SourceLook look() override {
    SourceLook out;
    if (patient_) watch_.follow();
    std::string trouble;
    const std::optional<std::vector<std::string>> names = list(trouble);
    if (!names) {
      out.trouble = trouble;
      return out;
    }
    bool changed = first_;
    first_ = false;
    changed =
        std::erase_if(files_, [&](const auto& file) { return !std::binary_search(names->begin(), names->end(), file.first); }) >
            0 ||
        changed;
    for (const std::string& name : *names) {
      File& file = files_[name];
      if (look_at(name, file, out.soon)) changed = true;
    }
    written_.clear();
    std::size_t broken = 0, total = 0;
    out.complete = !out.soon;
    for (const auto& [name, file] : files_) {
      if (file.groups) total += file.targets;
      if (!file.groups) out.complete = false;
      if (file.trouble.empty()) continue;
      if (++broken == 1) out.trouble = fmt::format("{}: {}", printable(folder_ + "/" + name), file.trouble);
    }
    if (broken > 1) out.trouble += fmt::format(" (and {} more files)", broken - 1);
    if (total > kMaxListedTargets) {
      out.trouble = fmt::format("the files have more than {} targets together", kMaxListedTargets);
      out.complete = false;
      first_ = true;
      return out;
    }
    if (!changed) return out;
    out.groups.emplace();
    for (const auto& [name, file] : files_) {
      if (file.groups) out.groups->insert(out.groups->end(), file.groups->begin(), file.groups->end());
    }
    return out;
  }

  void wait(int wake_fd, milliseconds span) override {
    const auto until = Steady::now() + span;
    std::optional<Steady::time_point> burst;  // since when something changes
    auto quiet = until;
    for (;;) {
      const auto now = Steady::now();
      const auto end = burst ? std::min(quiet, *burst + kLongestBurst) : until;
      if (now >= end) return;
      std::array<pollfd, 2> both{pollfd{wake_fd, POLLIN, 0}, pollfd{watch_.fd(), POLLIN, 0}};
      const auto left = std::chrono::ceil<milliseconds>(end - now).count();
      poll(both.data(), both.size(), static_cast<int>(std::min<std::int64_t>(left, 3'600'000)));
      if ((both[0].revents & POLLIN) != 0) return;
      if ((both[1].revents & POLLIN) == 0 || !watch_.take(written_)) continue;
      if (!burst) burst = Steady::now();
      quiet = Steady::now() + kQuiet;
    }
  }

 private:
  struct File {
    Stamp read;                          // that was read, well or not
    Stamp seen;                          // that was met last
    Steady::time_point since;            // when that was first met
    std::optional<TargetGroups> groups;  // the last good ones
    std::size_t targets = 0;
    std::string trouble;
  };

  // The names that match, in order; nullopt when nobody can say. No folder: no files.
  std::optional<std::vector<std::string>> list(std::string& trouble) const {
    std::vector<std::string> names;
    DIR* const folder = opendir(folder_.c_str());
    if (folder == nullptr) {
      if (errno == ENOENT || errno == ENOTDIR) return names;
      trouble = fmt::format("{}: {}", printable(folder_), reason(errno));
      return std::nullopt;
    }
    errno = 0;
    while (const dirent* entry = readdir(folder)) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
      if (names_.matches(entry->d_name)) names.emplace_back(entry->d_name);
      errno = 0;
    }
    const int failed = errno;
    closedir(folder);
    if (failed != 0) trouble = fmt::format("{}: {}", printable(folder_), reason(failed));
    if (names.size() > kMostFiles) trouble = fmt::format("{}: more than {} files match", printable(folder_), kMostFiles);
    if (!trouble.empty()) return std::nullopt;
    std::sort(names.begin(), names.end());
    return names;
  }

  // True when its groups are others than before.
  bool look_at(const std::string& name, File& file, bool& soon) {
    const std::string path = folder_ + "/" + name;
    struct stat info{};
    if (stat(path.c_str(), &info) != 0) {
      // A link that leads nowhere, or gone since it was listed.
      file.trouble = reason(errno);
      file.read = Stamp();
      return false;
    }
    const Stamp stamp = stamp_of(info);
    if (stamp == file.read) return false;
    if (!(stamp == file.seen)) file.since = Steady::now();
    file.seen = stamp;
    if (patient_ && !is_finished(name, stamp, file)) {
      soon = true;
      return false;
    }
    const Text text = read_file(path);
    if (text.torn) {
      soon = true;
      if (patient_) return false;
    }
    file.read = text.stamp;
    file.trouble = text.trouble;
    if (!text.trouble.empty()) return false;
    auto parsed = name.ends_with(".json") ? parse_json_targets(text.text) : parse_yaml_targets(text.text);
    if (const std::string* const wrong = std::get_if<std::string>(&parsed)) {
      file.trouble = *wrong + (file.groups ? "; its last good list is kept" : "");
      return false;
    }
    auto& groups = std::get<TargetGroups>(parsed);
    file.targets = 0;
    for (const TargetGroup& group : groups) file.targets += group.targets.size();
    const bool same = file.groups && *file.groups == groups;
    file.groups = std::move(groups);
    return !same;
  }

  bool is_finished(const std::string& name, const Stamp& stamp, const File& file) const {
    if (written_.contains(name) || Steady::now() - file.since >= kSettled) return true;
    const auto modified = Time(std::chrono::duration_cast<milliseconds>(std::chrono::nanoseconds(stamp.changed)));
    const auto age = wall_now() - modified;
    return age >= kSettled;
  }

  std::string folder_;
  NamePattern names_;
  bool patient_;
  FolderWatch watch_;
  std::map<std::string, File> files_;
  std::set<std::string> written_;
  bool first_ = true;  // nothing was handed over yet
};

}  // namespace

std::unique_ptr<SourceReader> make_file_reader(std::string pattern, bool patient) {
  return std::make_unique<FileReader>(pattern, patient);
}

}  // namespace ajar
