// pace_bench [ADDRESSES]: what our gentleness costs: a connection's started(), and its look with earliest() before, with so
// many addresses (default: a million) in /24s of 256, asked in no order, all limits and budgets set; and the memory that it
// keeps.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <unistd.h>

#include "agent/pace.h"

namespace ajar {
namespace {

using Steady = std::chrono::steady_clock;

IpAddress address(std::uint32_t number) {
  return IpAddress::v4({static_cast<std::uint8_t>(10 + (number >> 24)), static_cast<std::uint8_t>(number >> 16),
                        static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}

std::uint64_t resident() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// Each of them once, in no order: 2,654,435,761 is odd and no divisor of 2^n.
template <class Step>
double nanoseconds_each(std::uint32_t addresses, Step step) {
  const auto begun = Steady::now();
  for (std::uint32_t i = 0; i < addresses; ++i) step(address(static_cast<std::uint32_t>(i * 2'654'435'761ULL % addresses)), i);
  return std::chrono::duration<double, std::nano>(Steady::now() - begun).count() / addresses;
}

int run(std::uint32_t addresses) {
  Pace pace({20, 100, 100'000, 1'000'000'000});
  const Time start = wall_now();
  const auto at = [&](std::uint32_t i) { return start + std::chrono::milliseconds(i / 500); };
  const std::uint64_t before = resident();
  const double first = nanoseconds_each(addresses, [&](const IpAddress& of, std::uint32_t i) { pace.started(of, at(i)); });
  const std::uint64_t grown = resident() - before;
  const double later =
      nanoseconds_each(addresses, [&](const IpAddress& of, std::uint32_t i) { pace.started(of, at(addresses + i)); });
  std::size_t waits = 0;
  const double looks = nanoseconds_each(
      addresses, [&](const IpAddress& of, std::uint32_t i) { waits += pace.earliest(of, at(2 * addresses + i)) ? 1 : 0; });
  const double ends = nanoseconds_each(
      addresses, [&](const IpAddress& of, std::uint32_t i) { pace.ended(of, at(3 * addresses + i), i % 3 == 0); });
  fmt::print(
      "addresses {} networks {}: started {:.0f} ns the first time, {:.0f} ns later; earliest {:.0f} ns; ended {:.0f} ns; "
      "{:.0f} bytes an address; {} of the looks had to wait\n",
      pace.addresses(), pace.networks(), first, later, looks, ends, static_cast<double>(grown) / addresses, waits);
  return 0;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  return ajar::run(argc > 1 ? static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 1'000'000);
}
