#include "agent/process_metrics.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include <sys/resource.h>
#include <unistd.h>

namespace ajar {
namespace {

struct ProcessFacts {
  std::optional<double> cpu_seconds, start_time, resident, virtual_size;
};

// Seconds since the epoch at which the machine started: "btime N" of /proc/stat.
std::optional<double> boot_time() {
  std::ifstream in("/proc/stat");
  for (std::string word; in >> word;) {
    double value = 0;
    if (word == "btime" && in >> value) return value;
  }
  return std::nullopt;
}

// proc(5): /proc/self/stat; the fields after the name, which may hold anything but ends at the last ')'.
ProcessFacts read_facts() {
  ProcessFacts facts;
  std::ifstream in("/proc/self/stat");
  std::string text;
  std::getline(in, text);
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return facts;
  std::istringstream fields(text.substr(end + 1));
  std::string state;
  fields >> state;  // field 3
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  double cpu = 0;
  for (int field = 4; field <= 24; ++field) {
    double value = 0;
    if (!(fields >> value)) return facts;
    if (field == 14 || field == 15) cpu += value / ticks;
    const std::optional<double> boot = field == 22 ? boot_time() : std::nullopt;
    if (boot) facts.start_time = *boot + value / ticks;
    if (field == 23) facts.virtual_size = value;
    if (field == 24) facts.resident = value * static_cast<double>(sysconf(_SC_PAGESIZE));
  }
  facts.cpu_seconds = cpu;
  return facts;
}

std::optional<double> open_descriptors() {
  std::error_code error;
  std::filesystem::directory_iterator folder("/proc/self/fd", error);
  if (error) return std::nullopt;
  double count = 0;
  for (; !error && folder != std::filesystem::directory_iterator(); folder.increment(error)) ++count;
  return count - 1;  // without the one that reads the folder
}

std::optional<double> limit(int resource) {
  rlimit found{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &found) != 0) return std::nullopt;
  return static_cast<double>(found.rlim_cur);  // no limit: 2^64-1, as other client libraries say it
}

void write(Exposition& out, std::string_view name, MetricType type, std::string_view help, std::optional<double> value) {
  out.family(name, type, help);
  if (value) out.sample({}, *value);
}

}  // namespace

void write_process_metrics(Exposition& out) {
  const ProcessFacts facts = read_facts();
  write(out, "process_cpu_seconds_total", MetricType::counter, "Total user and system CPU time spent in seconds.",
        facts.cpu_seconds);
  write(out, "process_max_fds", MetricType::gauge, "Maximum number of open file descriptors.", limit(RLIMIT_NOFILE));
  write(out, "process_open_fds", MetricType::gauge, "Number of open file descriptors.", open_descriptors());
  write(out, "process_resident_memory_bytes", MetricType::gauge, "Resident memory size in bytes.", facts.resident);
  write(out, "process_start_time_seconds", MetricType::gauge, "Start time of the process since unix epoch in seconds.",
        facts.start_time);
  write(out, "process_virtual_memory_bytes", MetricType::gauge, "Virtual memory size in bytes.", facts.virtual_size);
  write(out, "process_virtual_memory_max_bytes", MetricType::gauge, "Maximum amount of virtual memory available in bytes.",
        limit(RLIMIT_AS));
}

}  // namespace ajar
