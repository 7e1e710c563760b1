// What arrived at the canary, newest last: a bounded ring in memory, and a file of JSON lines where arrivals must survive a
// restart (an `ajar canary` whose agent reads them later). Every function may be called from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/record.h"

namespace ajar {

// The file cannot be used; what() names it and says what to do.
class ArrivalLogError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class ArrivalLog {
 public:
  static constexpr std::size_t kMost = 10'000;  // arrivals kept
  static constexpr std::size_t kMostOfToken =
      20;  // of one token, proofs and others apart: nobody floods the log with one token

  // `file` empty: memory only. Reads the file's arrivals younger than `retention` and writes it anew. ArrivalLogError.
  ArrivalLog(std::string file, WallClock now, std::chrono::milliseconds retention);
  ~ArrivalLog();
  ArrivalLog(const ArrivalLog&) = delete;
  ArrivalLog& operator=(const ArrivalLog&) = delete;

  // Keeps it, on disk before this returns, and gives it its time and id. False: its token has had its share; dropped. A disk
  // that fails is logged; the arrival stays in memory.
  bool add(Arrival& arrival);
  // At most `most` arrivals with an id above `id`, in order.
  std::vector<Arrival> since(std::int64_t id, std::size_t most) const;
  // Ids rise with time, across restarts and a lost file too.
  std::int64_t last_id() const;

 private:
  void forget_old(Time now);
  void rewrite();
  void append(const Arrival& arrival);
  void forget_first();

  const std::string file_;
  const WallClock now_;
  const std::chrono::milliseconds retention_;
  mutable std::mutex mutex_;
  std::deque<Arrival> arrivals_;
  std::map<std::pair<std::string, bool>, std::size_t> of_token_;
  std::int64_t last_id_ = 0;
  int fd_ = -1;
  std::size_t lines_ = 0;  // in the file
  bool failing_ = false;
};

}  // namespace ajar
