// The agent looks at the place that it asks from: nobody at the canary's mail port, and a proxy in between that adds a field.
// Both are said, both make what looks closed unclear, and both are forgotten when they are gone.
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checks/ip_address.h"
#include "tests/e2e/house.h"

namespace ajar {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kCanary = "127.9.9.9";
constexpr const char* kBetween = "127.9.9.10";  // what the canary advertises
constexpr const char* kServer = "127.77.6.2";
constexpr int kPatience = 5000;  // milliseconds

sockaddr_in place_of(const std::string& address, std::uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  const IpAddress parsed = *IpAddress::parse(address);
  const auto bytes = parsed.bytes();
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(&in.sin_addr));
  return in;
}

// What comes within kPatience; empty: the end, or nothing.
std::string receive(int fd) {
  pollfd wait{fd, POLLIN, 0};
  char buffer[4096];
  if (poll(&wait, 1, kPatience) <= 0) return {};
  const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
  return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
}

void send_all(int fd, const std::string& bytes) { static_cast<void>(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL)); }

// A server of threads: one for each connection, which it closes.
class Server {
 public:
  Server(const std::string& address, std::uint16_t port, std::function<void(int)> serve) : serve_(std::move(serve)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in where = place_of(address, port);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&where), sizeof where), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~Server() {
    stop_ = true;
    accepting_.join();
    for (std::thread& one : conversations_) one.join();
    close(fd_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  void accept_all() {
    while (!stop_) {
      pollfd wait{fd_, POLLIN, 0};
      if (poll(&wait, 1, 50) <= 0) continue;
      const int fd = accept(fd_, nullptr, nullptr);
      if (fd < 0) continue;
      conversations_.emplace_back([this, fd] {
        serve_(fd);
        close(fd);
      });
    }
  }
  std::function<void(int)> serve_;
  int fd_ = -1;
  std::atomic<bool> stop_{false};
  std::thread accepting_;
  std::vector<std::thread> conversations_;
};

// Passes everything on, both ways. `added`: a line that it writes behind the request line of HTTP.
void pass_on(int from, const std::string& address, std::uint16_t port, const std::string& added) {
  const int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in where = place_of(address, port);
  bool first = true;
  if (connect(to, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) {
    for (;;) {
      pollfd wait[2] = {{from, POLLIN, 0}, {to, POLLIN, 0}};
      if (poll(wait, 2, kPatience) <= 0) break;
      const bool asked = (wait[0].revents & (POLLIN | POLLHUP)) != 0;
      std::string bytes = receive(asked ? from : to);
      if (bytes.empty()) break;
      const std::size_t end = bytes.find("\r\n");
      if (asked && first && bytes.starts_with("GET ") && end != std::string::npos) bytes.insert(end + 2, added);
      if (asked) first = false;
      send_all(asked ? to : from, bytes);
    }
  }
  close(to);
}

// A web server that is nobody's proxy.
void refuse(int fd) {
  std::string heard;
  while (heard.find("\r\n\r\n") == std::string::npos) {
    const std::string more = receive(fd);
    if (more.empty()) return;
    heard += more;
  }
  send_all(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

class VantageE2e : public testing::Test {
 protected:
  void configure(const std::string& check, std::uint16_t port) const {
    const auto list = [](const char* address, std::uint16_t of) {
      return "[\"" + std::string(address) + ":" + std::to_string(of) + "\"]\n";
    };
    std::string text =
        with_values(setting.text({}),
                    {{"[canary]\n", "[[target]]\nname = \"door\"\naddress = \"" + std::string(kServer) + "\"\nchecks = [\"" +
                                        check + "\"]\nports." + check + " = [" + std::to_string(port) + "]\n[canary]\n"}});
    const std::size_t canary = text.find("listen_smtp = ");
    const std::size_t rest = text.find("host = \"canary.test\"");
    text.replace(canary, rest - canary,
                 "listen_tcp = " + list(kCanary, tcp) + "advertise_tcp = " + list(kBetween, tcp_between) +
                     "listen_smtp = " + list(kCanary, smtp) + "advertise_smtp = " + list(kBetween, smtp_between));
    write_file(folder.file("ajar.toml"), text);
  }
  // "unclear/source_blocked" of the one result.
  static std::string said(const RunningAgent& agent) {
    const nlohmann::json all = agent.data("/api/v1/results");
    if (all.size() != 1) return "";
    return all[0].value("verdict", "") + "/" + all[0].value("reason", "");
  }
  static bool shows(const RunningAgent& agent, const char* kind, int value) {
    const std::string line = std::string("\najar_vantage_up{kind=\"") + kind + "\"} " + std::to_string(value) + "\n";
    return agent.get("/metrics").body.find(line) != std::string::npos;
  }
  std::unique_ptr<Server> between(std::uint16_t at, std::uint16_t canary) {
    return std::make_unique<Server>(kBetween, at, [this, canary](int fd) {
      const std::string line = adds ? "Via: 1.1 cache.test\r\n" : "";
      pass_on(fd, kCanary, canary, line);
    });
  }

  TemporaryFolder folder;
  Setting setting;
  std::atomic<bool> adds{false};
  const std::uint16_t tcp = free_port(kCanary), smtp = free_port(kCanary);
  const std::uint16_t tcp_between = free_port(kBetween), smtp_between = free_port(kBetween);
};

TEST_F(VantageE2e, APortThatWeCannotReachIsNotCalledClosed) {
  const std::unique_ptr<Server> http = between(tcp_between, tcp);
  configure("smtp_relay", smtp_between);  // nobody listens there, at the canary's address and at the server's
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(30), [&] { return shows(agent, "egress_25", 0); })) << agent.process().err();
  EXPECT_TRUE(shows(agent, "egress_tcp", 1));
  EXPECT_TRUE(shows(agent, "transparent_proxy_absent", 1));
  EXPECT_TRUE(wait_until(seconds(30), [&] { return said(agent) == "unclear/source_blocked"; })) << said(agent);
  const std::string place = std::string(kBetween) + ":" + std::to_string(smtp_between);
  const std::string page = agent.get("/").body;
  EXPECT_THAT(page, AllOf(HasSubstr("We do not see what a stranger sees:"), HasSubstr(place + " of our own canary"),
                          HasSubstr("Cannot tell")));
  EXPECT_THAT(agent.get("/targets/door").body, HasSubstr("a filter on our side may have said so"));
  EXPECT_THAT(agent.process().err() + agent.process().out(), HasSubstr("vantage: egress_25: " + place));

  // The filter is gone; a reload looks again.
  const std::unique_ptr<Server> mail = between(smtp_between, smtp);
  EXPECT_EQ(agent.post("/-/reload").status, 200);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return shows(agent, "egress_25", 1); })) << agent.process().err();
  EXPECT_TRUE(wait_until(seconds(60), [&] { return said(agent) == "closed/nobody_listens"; })) << said(agent);
  EXPECT_THAT(agent.process().err() + agent.process().out(), HasSubstr("vantage: egress_25 is well again"));
}

TEST_F(VantageE2e, ARefusalThatMayBeThatOfAProxyInOurWayIsNotCalledClosed) {
  adds = true;
  const std::unique_ptr<Server> http = between(tcp_between, tcp);
  const std::unique_ptr<Server> mail = between(smtp_between, smtp);
  const std::uint16_t port = free_port(kServer);
  const Server server(kServer, port, refuse);
  configure("http_connect", port);
  RunningAgent agent(folder.path(), setting.web_port);
  ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
  ASSERT_TRUE(wait_until(seconds(30), [&] { return shows(agent, "transparent_proxy_absent", 0); })) << agent.process().err();
  EXPECT_TRUE(shows(agent, "egress_25", 1));
  EXPECT_TRUE(shows(agent, "egress_tcp", 1));
  // Plain forwarding, as by NAT, leaves the canary well.
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("ajar_canary_up{kind=\"tcp\"} 1\n"));
  EXPECT_TRUE(wait_until(seconds(30), [&] { return said(agent) == "unclear/source_blocked"; })) << said(agent);
  EXPECT_THAT(agent.get("/").body, AllOf(HasSubstr("Via: 1.1 cache.test"), HasSubstr("Cannot tell")));
  EXPECT_THAT(agent.get("/targets/door").body, HasSubstr("a proxy stands between us and others"));
  // Our own questions are nobody's arrivals.
  EXPECT_THAT(agent.get("/metrics").body, HasSubstr("ajar_canary_arrivals_total{kind=\"tcp\",result=\"proved\"} 0\n"));

  adds = false;
  EXPECT_EQ(agent.post("/-/reload").status, 200);
  EXPECT_TRUE(wait_until(seconds(30), [&] { return shows(agent, "transparent_proxy_absent", 1); })) << agent.process().err();
  EXPECT_TRUE(wait_until(seconds(60), [&] { return said(agent) == "closed/refused"; })) << said(agent);
}

TEST_F(VantageE2e, ACheckByHandLooksFirst) {
  adds = true;
  const std::unique_ptr<Server> http = between(tcp_between, tcp);
  const std::unique_ptr<Server> mail = between(smtp_between, smtp);
  const std::uint16_t port = free_port(kServer);
  const Server server(kServer, port, refuse);
  configure("http_connect", port);
  Process check({program("ajar"), "check", "--config", folder.file("ajar.toml")}, folder.path());
  EXPECT_EQ(check.wait(seconds(120)), 1) << check.out() << check.err();
  EXPECT_THAT(check.err(), AllOf(HasSubstr("vantage: transparent_proxy_absent"), HasSubstr("Via: 1.1 cache.test")));
  EXPECT_THAT(check.out(), HasSubstr("source_blocked"));
}

}  // namespace
}  // namespace ajar
