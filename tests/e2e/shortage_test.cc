// What the agent's own machine runs out of, or does oddly: it slows down and says why; nothing is lost or judged wrongly.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using Steady = std::chrono::steady_clock;

constexpr std::uint16_t kPort = 8090;

// Web servers on 127.10.242.1 and on, that think for a while, refuse, and leave it to the client to close.
class Thinkers {
 public:
  Thinkers(unsigned count, milliseconds thought) : thought_(thought) {
    for (unsigned i = 1; i <= count; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      const int on = 1;
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      sockaddr_in here{};
      here.sin_family = AF_INET;
      here.sin_port = htons(kPort);
      inet_pton(AF_INET, address(i).c_str(), &here.sin_addr);
      if (bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 || listen(fd, 64) != 0) {
        throw std::runtime_error("cannot listen on " + address(i));
      }
      listeners_.push_back({fd, POLLIN, 0});
    }
    thread_ = std::thread([this] { serve(); });
  }
  ~Thinkers() {
    ended_ = true;
    thread_.join();
    for (const pollfd& listener : listeners_) close(listener.fd);
    for (const Asked& asked : asked_) close(asked.fd);
  }
  Thinkers(const Thinkers&) = delete;
  Thinkers& operator=(const Thinkers&) = delete;

  std::vector<LabPlace> places() const {
    std::vector<LabPlace> places;
    for (unsigned i = 1; i <= listeners_.size(); ++i) {
      places.push_back({"thinker" + std::to_string(i), address(i), {{"http_connect", "closed", "refused"}}, kPort});
    }
    return places;
  }
  unsigned connections() const { return connections_; }

 private:
  struct Asked {
    int fd;
    Steady::time_point when;
    bool answered = false;
  };
  static std::string address(unsigned i) { return "127.10.242." + std::to_string(i); }

  void serve() {
    while (!ended_) {
      poll(listeners_.data(), listeners_.size(), 20);
      for (const pollfd& listener : listeners_) {
        if ((listener.revents & POLLIN) == 0) continue;
        const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) continue;
        asked_.push_back({fd, Steady::now()});
        ++connections_;
      }
      for (Asked& asked : asked_) answer(asked);
      std::erase_if(asked_, [](const Asked& asked) { return asked.fd < 0; });
    }
  }
  void answer(Asked& asked) const {
    if (Steady::now() - asked.when < thought_) return;
    char bytes[4096];
    const ssize_t got = recv(asked.fd, bytes, sizeof bytes, 0);
    if (got > 0 && !std::exchange(asked.answered, true)) {
      const std::string_view refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
      send(asked.fd, refusal.data(), refusal.size(), MSG_NOSIGNAL);
    }
    if (got == 0 || (got < 0 && errno != EAGAIN)) close(std::exchange(asked.fd, -1));
  }

  const milliseconds thought_;
  std::vector<pollfd> listeners_;
  std::vector<Asked> asked_;
  std::atomic<unsigned> connections_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

double metric(RunningAgent& agent, const std::string& name) {
  const std::string page = "\n" + agent.get("/metrics").body;
  const std::size_t at = page.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + name.size() + 2));
}

std::string said(RunningAgent& agent) { return agent.process().err() + agent.process().out(); }

bool all_closed(RunningAgent& agent, const std::vector<LabPlace>& places) {
  const auto levels = agent.levels_by_check();
  return std::all_of(places.begin(), places.end(), [&](const LabPlace& place) {
    const auto found = levels.find({place.personality, "http_connect"});
    return found != levels.end() && found->second == 0;
  });
}

// Every probe so far came to an end of its own: none failed for what we lacked.
void expect_no_probe_failed(RunningAgent& agent) {
  std::istringstream page(agent.get("/metrics").body);
  for (std::string line; std::getline(page, line);) {
    const bool failed =
        line.starts_with("ajar_probe_failures_total{") && line.find("reason=\"internal_error\"") != std::string::npos;
    EXPECT_TRUE(!failed || line.ends_with(" 0")) << line;
  }
  for (const json& result : agent.data("/api/v1/results")) EXPECT_EQ(result.at("verdict"), "closed") << result.dump();
}

TEST(Shortage, OfDescriptors) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "UBSan needs a descriptor to look at an object, and takes it for broken where there is none";
#endif
  const Thinkers thinkers(120, milliseconds(700));
  const TemporaryFolder folder;
  Setting setting;
  setting.concurrency = 500;
  const std::vector<LabPlace> places = thinkers.places();
  write_file(folder.file("ajar.toml"), setting.text(places));
  RunningAgent agent(folder.path(), setting.web_port, {"prlimit", "--nofile=110:110"});
  ASSERT_TRUE(agent.wait_ready()) << said(agent);
  EXPECT_TRUE(wait_until(seconds(120), [&] { return all_closed(agent, places); })) << said(agent);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return metric(agent, "ajar_pace_waits_total{scope=\"system\"}") > 0; }));
  EXPECT_THAT(said(agent), HasSubstr("but this process may open 110 files"));
  EXPECT_THAT(said(agent), HasSubstr("Too many open files: connections wait, and nothing is judged by it. Raise the limit"));
  expect_no_probe_failed(agent);
}

TEST(Shortage, OfPorts) {
  std::error_code none;
  if (std::filesystem::read_symlink("/proc/self/ns/net", none) == std::filesystem::read_symlink("/proc/1/ns/net", none)) {
    GTEST_SKIP() << "the ports are those of the whole machine here (tests/e2e/own_network.sh)";
  }
  const Thinkers thinkers(1, milliseconds(0));
  const TemporaryFolder folder;
  Setting setting;
  setting.interval = "1s";
  setting.agent += "connections_per_second_per_address = 0\n";
  const std::vector<LabPlace> places = thinkers.places();
  write_file(folder.file("ajar.toml"), setting.text(places));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << said(agent);
  ASSERT_TRUE(wait_until(seconds(60), [&] { return all_closed(agent, places); })) << said(agent);
  // From here on each connection to the server holds one of twenty ports for a minute after its end (TIME_WAIT).
  const auto set = [](const std::string& name, const std::string& value) {
    std::ofstream("/proc/sys/net/ipv4/" + name) << value;
  };
  set("tcp_tw_reuse", "0");
  set("ip_local_port_range", "47000 47019");
  EXPECT_TRUE(wait_until(seconds(60), [&] { return metric(agent, "ajar_pace_waits_total{scope=\"system\"}") > 0; }))
      << thinkers.connections() << said(agent);
  EXPECT_TRUE(wait_until(seconds(10), [&] { return said(agent).find("ip_local_port_range") != std::string::npos; }));
  EXPECT_TRUE(all_closed(agent, places));
  const unsigned before = thinkers.connections();
  set("ip_local_port_range", "32768 60999");
  EXPECT_TRUE(wait_until(seconds(30), [&] { return thinkers.connections() > before + 10; })) << "it goes on by itself";
  expect_no_probe_failed(agent);
}

class OddMachine : public testing::Test {
 protected:
  void be(long seconds_off, long milliseconds_slow) {
    write_file(folder.file("odd.new"), std::to_string(seconds_off) + " " + std::to_string(milliseconds_slow) + "\n");
    std::filesystem::rename(folder.file("odd.new"), folder.file("odd"));
  }
  void start(const std::vector<LabPlace>& places) {
    be(0, 0);
    write_file(folder.file("ajar.toml"), setting.text(places));
    agent = std::make_unique<RunningAgent>(
        folder.path(), setting.web_port,
        std::vector<std::string>{"env", "LD_PRELOAD=" + program("libodd_machine.so"), "ODD_MACHINE=" + folder.file("odd"),
                                 "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0"});
    ASSERT_TRUE(agent->wait_ready()) << said(*agent);
  }
  double probes() const {
    double sum = 0;
    std::istringstream page(agent->get("/metrics").body);
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("ajar_probes_total{")) sum += std::stod(line.substr(line.rfind(' ')));
    }
    return sum;
  }
  // Whether probing goes on: two more of each place.
  bool goes_on() const {
    const double before = probes();
    return wait_until(seconds(60), [&] { return probes() >= before + 6; });
  }
  TemporaryFolder folder;
  Setting setting;
  std::unique_ptr<RunningAgent> agent;
};

TEST_F(OddMachine, AClockThatJumps) {
  const Lab lab;
  start({lab.place("closed"), lab.place("open"), lab.place("catch_all")});
  ASSERT_TRUE(wait_until(seconds(60), [&] { return agent->levels().size() == 3 && agent->levels()["open"] == 4; }));
  const std::map<std::string, int> before = agent->levels();
  const json cases = agent->data("/api/v1/exposures");
  for (const long off : {2L * 86400, 0L, -2L * 86400, 0L}) {
    be(off, 0);
    EXPECT_TRUE(goes_on()) << off << said(*agent);
    EXPECT_EQ(agent->levels(), before) << off;
    const json now = agent->data("/api/v1/exposures");
    ASSERT_EQ(now.size(), cases.size()) << off;
    for (const json& exposure : now) {
      EXPECT_EQ(exposure.at("state"), "open") << off;
      EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&](const json& old) { return old.at("id") == exposure.at("id"); }));
    }
  }
}

TEST_F(OddMachine, ASlowDisk) {
  const Lab lab;
  setting.interval = "1s";
  start({lab.place("closed"), lab.place("open"), lab.place("catch_all")});
  ASSERT_TRUE(wait_until(seconds(60), [&] { return agent->levels().size() == 3 && agent->levels()["open"] == 4; }));
  const std::map<std::string, int> before = agent->levels();
  be(0, 1000);
  ASSERT_TRUE(lab.change(lab.place("closed"), "accept_and_discard"));
  EXPECT_TRUE(wait_until(seconds(90), [&] { return agent->levels()["closed"] >= 3; })) << said(*agent);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return said(*agent).find("the state is slow to write: ") != std::string::npos; }));
  EXPECT_EQ(agent->get("/-/healthy").status, 200);
  be(0, 0);
  EXPECT_TRUE(goes_on());
  EXPECT_EQ(agent->levels()["open"], before.at("open"));
  agent->process().signal(SIGKILL);
  EXPECT_TRUE(agent->process().wait(seconds(5)).has_value());
  RunningAgent again(folder.path(), setting.web_port);
  ASSERT_TRUE(again.wait_ready()) << said(again);
  EXPECT_GE(again.levels()["closed"], 3);
}

}  // namespace
}  // namespace ajar
