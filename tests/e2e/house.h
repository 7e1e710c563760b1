// The lab and the agent as programs, for the tests that look at both from outside.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "tests/e2e/process.h"

namespace ajar {

inline constexpr const char* kCanaryAddress = "127.9.9.9";
inline constexpr const char* kCanaryPort = "2525";  // where the lab delivers

std::string program(const std::string& name);  // build folder's "ajar", "ajar-lab"

// What a check must say in the end.
struct Expected {
  std::string check, verdict, reason;
};

// A personality of the lab and what is expected of it.
struct LabPlace {
  std::string personality, address;
  std::vector<Expected> expect;
  std::uint16_t port = 0;
  bool tls = false;
  bool udp = false;
};

class Lab {
 public:
  // Starts ajar-lab and waits until it is ready. std::runtime_error.
  explicit Lab(std::vector<std::string> options = {});
  const std::vector<LabPlace>& places() const { return places_; }
  const LabPlace& place(const std::string& personality) const;
  // Gives a place another personality, at once.
  bool change(const LabPlace& place, const std::string& personality) const;

 private:
  std::uint16_t control_;
  std::vector<LabPlace> places_;
  std::unique_ptr<Process> process_;
};

// A configuration of quick intervals: one target for each place, named after its personality, with the checks that are
// expected to say something of it.
struct Setting {
  std::string scope = R"(["127.0.0.0/8"])";
  std::string source_addresses = R"(["127.66.0.1"])";
  std::string interval = "3s";
  std::string retry_interval = "500ms";
  std::string delivery_timeout = "4s";
  std::string message_interval = "1s";
  unsigned concurrency = 12;
  unsigned threads = 1;
  std::string state = "ajar.db";
  std::string web_listen;                                          // empty: a free port of 127.0.0.1
  std::string agent = "connections_per_second_per_network = 0\n";  // more keys of [agent]; the lab is one network
  std::string more;                                                // appended
  std::string text(const std::vector<LabPlace>& places) const;
  std::uint16_t web_port = free_port("127.0.0.1");
};

// `ajar run` on a configuration file that stands in `folder`.
class RunningAgent {
 public:
  RunningAgent(const std::string& folder, std::uint16_t web_port, std::vector<std::string> before = {});
  bool wait_ready(std::chrono::seconds limit = std::chrono::seconds(60));
  HttpAnswer get(const std::string& path) const { return http_get("127.0.0.1", port_, path); }
  HttpAnswer post(const std::string& path) const { return http_request("POST", "127.0.0.1", port_, path); }
  nlohmann::json data(const std::string& path) const;  // of {"data":[…]}; an empty array when there is no answer
  // ajar_exposure_level by target and check.
  std::map<std::pair<std::string, std::string>, int> levels_by_check() const;
  // That of smtp_relay by target.
  std::map<std::string, int> levels() const;
  Process& process() { return *process_; }

 private:
  std::uint16_t port_;
  std::unique_ptr<Process> process_;
};

// Runs one test of this program again, alone, in a network namespace of its own whose loopback device has these IPv6 addresses
// beside its usual ones, with `hosts` (lines) in /etc/hosts; expects that it passes. Skips where that needs root.
void expect_in_own_network(const std::string& test, const std::vector<std::string>& addresses, const std::string& hosts = {});
// Whether this is that second run.
bool in_own_network();

}  // namespace ajar
