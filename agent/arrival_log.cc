#include "agent/arrival_log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/json.h"

namespace ajar {
namespace {

std::string as_line(const Arrival& arrival) {
  return to_json(arrival).dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

ArrivalLog::ArrivalLog(std::string file, WallClock now, std::chrono::milliseconds retention)
    : file_(std::move(file)), now_(std::move(now)), retention_(retention) {
  if (file_.empty()) return;
  std::ifstream in(file_);
  std::size_t unreadable = 0;
  for (std::string line; std::getline(in, line);) {
    try {
      Arrival arrival = parse_arrival(line);
      last_id_ = std::max(last_id_, arrival.id);
      ++of_token_[{arrival.token, arrival.proof}];
      arrivals_.push_back(std::move(arrival));
      if (arrivals_.size() > kMost) forget_first();
    } catch (const std::exception&) {
      ++unreadable;  // the last line of a crash, or not ours
    }
  }
  if (unreadable > 0) spdlog::warn("{}: {} unreadable lines dropped", file_, unreadable);
  forget_old(now_());
  rewrite();
  if (fd_ < 0) {
    throw ArrivalLogError(fmt::format("{}: arrivals cannot be kept: {}; make its folder writable for this user", file_,
                                      std::generic_category().message(errno)));
  }
}

ArrivalLog::~ArrivalLog() {
  if (fd_ >= 0) ::close(fd_);
}

void ArrivalLog::forget_first() {
  const auto count = of_token_.find({arrivals_.front().token, arrivals_.front().proof});
  if (count != of_token_.end() && --count->second == 0) of_token_.erase(count);
  arrivals_.pop_front();
}

void ArrivalLog::forget_old(Time now) {
  while (!arrivals_.empty() && (arrivals_.size() > kMost || arrivals_.front().time + retention_ < now)) forget_first();
}

// Into a new file that takes the old one's place: a crash leaves one or the other.
void ArrivalLog::rewrite() {
  const std::string fresh = file_ + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  std::string all;
  for (const Arrival& arrival : arrivals_) all += as_line(arrival);
  const bool done = fd >= 0 && write_all(fd, all) && ::fsync(fd) == 0 && ::rename(fresh.c_str(), file_.c_str()) == 0;
  const int error = errno;
  if (done) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    lines_ = arrivals_.size();
  } else if (fd >= 0) {
    ::close(fd);
    ::unlink(fresh.c_str());
  }
  errno = error;
}

void ArrivalLog::append(const Arrival& arrival) {
  if (lines_ >= 2 * kMost) rewrite();
  const bool done = write_all(fd_, as_line(arrival)) && ::fdatasync(fd_) == 0;
  ++lines_;
  if (!done && !failing_) spdlog::error("{}: arrivals are not kept on disk: {}", file_, std::generic_category().message(errno));
  if (done && failing_) spdlog::info("{}: arrivals are kept on disk again", file_);
  failing_ = !done;
}

bool ArrivalLog::add(Arrival& arrival) {
  const std::lock_guard lock(mutex_);
  const Time now = now_();
  forget_old(now);
  std::size_t& count = of_token_[{arrival.token, arrival.proof}];
  if (count >= kMostOfToken) return false;
  ++count;
  arrival.time = now;
  arrival.id = last_id_ = std::max<std::int64_t>(last_id_ + 1, now.time_since_epoch().count());
  arrivals_.push_back(arrival);
  forget_old(now);
  if (!file_.empty()) append(arrival);
  return true;
}

std::vector<Arrival> ArrivalLog::since(std::int64_t id, std::size_t most) const {
  const std::lock_guard lock(mutex_);
  auto first =
      std::upper_bound(arrivals_.begin(), arrivals_.end(), id, [](std::int64_t i, const Arrival& a) { return i < a.id; });
  const auto count = std::min(most, static_cast<std::size_t>(arrivals_.end() - first));
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

std::int64_t ArrivalLog::last_id() const {
  const std::lock_guard lock(mutex_);
  return last_id_;
}

}  // namespace ajar
