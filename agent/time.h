// Wall-clock instants: what is stored, shown and exported. Code that needs "now" is given a WallClock, so that tests move it.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace ajar {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;
using WallClock = std::function<Time()>;

inline Time wall_now() { return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now()); }
std::string to_rfc3339(Time time);  // "2026-01-02T03:04:05.678Z"
std::string to_rfc5322(Time time);  // "Fri, 02 Jan 2026 03:04:05 +0000"
inline double to_seconds(Time time) { return static_cast<double>(time.time_since_epoch().count()) / 1000.0; }

}  // namespace ajar
