// How gently the agent asks, seen by those who are asked: servers that note when a connection came.
#include <algorithm>
#include <atomic>
#include <mutex>
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
using testing::Not;
using Steady = std::chrono::steady_clock;

constexpr std::uint16_t kPort = 8089;

// Web servers on 127.10.241.1 and on, that refuse whatever they are asked and note when it was.
class Refusers {
 public:
  explicit Refusers(unsigned count) {
    for (unsigned i = 1; i <= count; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
  ~Refusers() {
    ended_ = true;
    thread_.join();
    for (const pollfd& listener : listeners_) close(listener.fd);
  }
  Refusers(const Refusers&) = delete;
  Refusers& operator=(const Refusers&) = delete;

  std::vector<LabPlace> places() const {
    std::vector<LabPlace> places;
    for (unsigned i = 1; i <= listeners_.size(); ++i) {
      places.push_back({"refuser" + std::to_string(i), address(i), {{"http_connect", "closed", "refused"}}, kPort});
    }
    return places;
  }
  std::vector<Steady::time_point> connections() const {
    const std::lock_guard lock(mutex_);
    return connections_;
  }

 private:
  static std::string address(unsigned i) { return "127.10.241." + std::to_string(i); }

  void serve() {
    while (!ended_) {
      poll(listeners_.data(), listeners_.size(), 50);
      for (const pollfd& listener : listeners_) {
        if ((listener.revents & POLLIN) != 0) refuse(accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC));
      }
    }
  }
  void refuse(int fd) {
    {
      const std::lock_guard lock(mutex_);
      connections_.push_back(Steady::now());
    }
    const timeval patience{2, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string asked;
    char more[4096];
    while (asked.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = recv(fd, more, sizeof more, 0);
      if (got <= 0) break;
      asked.append(more, static_cast<std::size_t>(got));
    }
    const std::string answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    close(fd);
  }

  std::vector<pollfd> listeners_;
  std::atomic<bool> ended_{false};
  mutable std::mutex mutex_;
  std::vector<Steady::time_point> connections_;
  std::thread thread_;
};

// The most of them within any `span`.
std::size_t densest(const std::vector<Steady::time_point>& times, milliseconds span) {
  std::size_t most = 0, first = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    while (times[i] - times[first] > span) ++first;
    most = std::max(most, i - first + 1);
  }
  return most;
}

double metric(const RunningAgent& agent, const std::string& name) {
  const std::string page = "\n" + agent.get("/metrics").body;
  const std::size_t at = page.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + name.size() + 2));
}

bool all_closed(const RunningAgent& agent, const std::vector<LabPlace>& places) {
  const auto levels = agent.levels_by_check();
  return std::all_of(places.begin(), places.end(), [&](const LabPlace& place) {
    const auto found = levels.find({place.personality, "http_connect"});
    return found != levels.end() && found->second == 0;
  });
}

TEST(Gentle, TheRateOfANetworkHoldsAndTheVerdictsAreRight) {
  const Lab lab;
  Refusers refusers(6);
  const TemporaryFolder folder;
  Setting setting;
  setting.agent = "connections_per_second_per_network = 5\n";
  std::vector<LabPlace> places = refusers.places();
  places.push_back(lab.place("proxy_open"));
  write_file(folder.file("ajar.toml"), setting.text(places));
  places.pop_back();
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();

  EXPECT_TRUE(wait_until(seconds(120), [&] {
    return all_closed(agent, places) && agent.levels_by_check()[{"proxy_open", "http_connect"}] == 4 &&
           refusers.connections().size() >= 60;
  })) << refusers.connections().size();
  const std::vector<Steady::time_point> times = refusers.connections();
  ASSERT_GE(times.size(), 60U);
  const double took = std::chrono::duration<double>(times.back() - times.front()).count();
  const double rate = static_cast<double>(times.size() - 1) / took;
  EXPECT_LE(rate, 5.3);
  EXPECT_GE(rate, 2.5);                        // there is always something due
  EXPECT_LE(densest(times, seconds(4)), 24U);  // 20, and a few that were accepted late
  EXPECT_GT(metric(agent, "ajar_pace_waits_total{scope=\"network\"}"), 10);
  for (const json& result : agent.data("/api/v1/results")) {
    EXPECT_NE(result.at("verdict"), "unclear") << result.dump();
    EXPECT_NE(result.at("verdict"), "unreachable") << result.dump();
    EXPECT_LE(result.at("duration_seconds").get<double>(), 10.0) << "our waiting is no time of the server's";
  }
}

TEST(Gentle, AnAddressWhoseDayIsUsedUpIsLeftAloneAndKeepsItsVerdict) {
  Refusers refusers(2);
  const TemporaryFolder folder;
  Setting setting;
  setting.agent = "daily_connections_per_address = 12\n";
  const std::vector<LabPlace> places = refusers.places();
  write_file(folder.file("ajar.toml"), setting.text(places));
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  EXPECT_TRUE(wait_until(seconds(60), [&] { return all_closed(agent, places); }));
  EXPECT_TRUE(wait_until(seconds(60), [&] { return metric(agent, "ajar_pace_exhausted_addresses") == 2; }));

  // Due in a day: both are put off, nothing is asked of them.
  const auto put_off = [&] {
    const double now = static_cast<double>(time(nullptr));
    return std::all_of(places.begin(), places.end(), [&](const LabPlace& place) {
      return metric(agent, "ajar_result_due_timestamp_seconds{target=\"" + place.personality + "\",address=\"" + place.address +
                               "\",port=\"" + std::to_string(kPort) + "\",transport=\"tcp\",check=\"http_connect\"}") >
             now + 20 * 3600;
    });
  };
  EXPECT_TRUE(wait_until(seconds(30), put_off)) << agent.get("/metrics").body;
  const std::size_t asked = refusers.connections().size();
  EXPECT_LE(asked, 2 * (12 + 40U));  // the budget, and the conversation that was under way
  EXPECT_TRUE(all_closed(agent, places));
  const std::string said = agent.process().err() + agent.process().out();
  const std::string why = "127.10.241.1: its budget of a day is used up";
  ASSERT_THAT(said, HasSubstr(why));
  EXPECT_EQ(said.find(why), said.rfind(why)) << "once";
  EXPECT_THAT(said, HasSubstr("agent.daily_connections_per_address = 12"));

  const HttpAnswer now = agent.post("/probe?target=refuser1");
  EXPECT_EQ(now.status, 429);
  EXPECT_THAT(now.body, HasSubstr("the budget of a day"));
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml"), "refuser1"}, folder.path());
  EXPECT_EQ(check.wait(seconds(60)).value_or(-1), 1) << check.err();
  EXPECT_THAT(check.err(), HasSubstr("127.10.241.1: its budget of a day is used up"));
  EXPECT_EQ(refusers.connections().size(), asked);
  EXPECT_TRUE(all_closed(agent, places));
  for (const json& result : agent.data("/api/v1/results")) EXPECT_EQ(result.at("verdict"), "closed");

  // A larger budget is taken over by a reload.
  setting.agent = "daily_connections_per_address = 0\n";
  write_file(folder.file("ajar.toml"), setting.text(places));
  EXPECT_EQ(agent.post("/-/reload").status, 200);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return refusers.connections().size() > asked; }));
  EXPECT_TRUE(wait_until(seconds(5), [&] { return metric(agent, "ajar_pace_exhausted_addresses") == 0; }));
}

}  // namespace
}  // namespace ajar
