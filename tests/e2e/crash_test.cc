// A hostile answer that crashes the agent: the second time it is left out, and the rest goes on.
#include <atomic>
#include <csignal>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
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
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

// A server on loopback that greets, says the same to whatever it is told, and hangs up. As long as it lives.
class Parrot {
 public:
  Parrot(const std::string& address, std::string greeting, std::string answer)
      : greeting_(std::move(greeting)), answer_(std::move(answer)), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    inet_pton(AF_INET, address.c_str(), &place.sin_addr);
    socklen_t size = sizeof place;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&place), size) != 0 || listen(fd_, 16) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &size) != 0) {
      throw std::system_error(errno, std::generic_category(), "parrot");
    }
    port_ = ntohs(place.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Parrot() {
    stopping_ = true;
    thread_.join();
    close(fd_);
  }
  Parrot(const Parrot&) = delete;
  Parrot& operator=(const Parrot&) = delete;
  std::uint16_t port() const { return port_; }
  unsigned asked() const { return asked_; }

 private:
  void serve() {
    while (!stopping_) {
      pollfd ready{fd_, POLLIN, 0};
      if (poll(&ready, 1, 50) != 1) continue;
      const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      ++asked_;
      send(client, greeting_.data(), greeting_.size(), MSG_NOSIGNAL);
      char heard[1024];
      while (!stopping_) {
        pollfd heard_ready{client, POLLIN, 0};
        if (poll(&heard_ready, 1, 50) != 1) continue;
        if (recv(client, heard, sizeof heard, 0) <= 0) break;
        if (answer_.empty()) break;
        send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
      }
      close(client);
    }
  }

  std::string greeting_, answer_;
  int fd_;
  std::uint16_t port_ = 0;
  std::atomic<unsigned> asked_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

class CrashTest : public testing::Test {
 protected:
  static std::string target(const std::string& name, const std::string& address, std::uint16_t port) {
    return fmt::format("[[target]]\nname = \"{}\"\naddress = \"{}\"\nchecks = [\"smtp_relay\"]\nports.smtp_relay = [{}]\n",
                       name, address, port);
  }
  void configure(const std::string& targets) {
    setting.interval = "2s";
    setting.retry_interval = "200ms";
    setting.more = targets;
    write_file(folder.file("ajar.toml"), setting.text({}));
  }
  std::unique_ptr<Process> start() const {
    return std::make_unique<Process>(std::vector<std::string>{program("ajar"), "run", "--config", folder.file("ajar.toml")},
                                     folder.path(),
                                     std::vector<std::pair<std::string, std::string>>{
                                         {"LD_PRELOAD", program("libcrash_on_words.so")},
                                         // A sanitizer wants to come first; it need not, and it leaves the faults to the agent.
                                         {"ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0:disable_coredump=1"}});
  }
  // The process ends by itself: how.
  int crash() const {
    const auto agent = start();
    const auto code = agent->wait(seconds(60));
    last_words = agent->err();
    return code.value_or(-1);
  }
  std::string metrics() const { return http_get("127.0.0.1", setting.web_port, "/metrics").body; }
  json result_of(const std::string& name) const {
    const std::string body = http_get("127.0.0.1", setting.web_port, "/api/v1/results?target=" + name).body;
    const json all = json::parse(body, nullptr, false);
    return all.is_object() && !all.at("data").empty() ? all.at("data")[0] : json::object();
  }
  static std::string series(std::uint16_t port) {
    return fmt::format(
        "ajar_quarantined{{target=\"hostile\",address=\"127.10.77.1\",port=\"{}\",transport=\"tcp\","
        "check=\"smtp_relay\"}} 1\n",
        port);
  }

  void expect_the_second_crash_to_leave_it_out();

  TemporaryFolder folder;
  Setting setting;
  mutable std::string last_words;
};

void CrashTest::expect_the_second_crash_to_leave_it_out() {
  const Parrot hostile("127.10.77.1", "220 hostile please-segv\r\n", "");
  std::string targets = target("hostile", "127.10.77.1", hostile.port());
  // Others in flight all the while: they accept, and say nothing.
  std::vector<std::unique_ptr<Parrot>> slow;
  for (int i = 2; i < 12; ++i) {
    const std::string address = fmt::format("127.10.{}.1", 77 + i);  // each in a network of its own
    slow.push_back(std::make_unique<Parrot>(address, "", "x"));
    targets += target(fmt::format("slow{}", i), address, slow.back()->port());
  }
  const Parrot closed("127.10.77.99", "220 mx ESMTP\r\n", "550 relaying denied\r\n");
  configure(targets + target("honest", "127.10.77.99", closed.port()));

  EXPECT_NE(crash(), 0);
  EXPECT_THAT(last_words, Not(HasSubstr("the last process crashed")));
  EXPECT_NE(crash(), 0);
  EXPECT_THAT(last_words,
              HasSubstr(fmt::format("the last process crashed (SIGSEGV) on what 127.10.77.1:{}/tcp smtp_relay said: it "
                                    "is asked once more, alone",
                                    hostile.port())));
  EXPECT_EQ(hostile.asked(), 2U);
  const auto agent = start();
  ASSERT_TRUE(wait_until(seconds(60), [&] {
    return result_of("hostile").value("reason", "") == "internal_error" && !result_of("honest").empty() &&
           !result_of("slow2").empty();
  })) << agent->err();
  EXPECT_THAT(agent->err(), HasSubstr("the second time, so it is left out"));
  EXPECT_EQ(hostile.asked(), 2U) << "it is not asked any more";
  const json result = result_of("hostile");
  EXPECT_EQ(result.at("verdict"), "unclear");
  EXPECT_THAT(result.at("because").get<std::string>(), HasSubstr("crashed ajar twice (SIGSEGV"));
  EXPECT_THAT(metrics(), HasSubstr(series(hostile.port())));
  EXPECT_THAT(metrics(), Not(HasSubstr("ajar_quarantined{target=\"slow")));
  EXPECT_THAT(http_get("127.0.0.1", setting.web_port, "/").body, HasSubstr("its answer crashed ajar twice"));
  // The others are asked again and again.
  const unsigned asked = closed.asked();
  EXPECT_TRUE(wait_until(seconds(30), [&] { return closed.asked() > asked; }));
  EXPECT_TRUE(agent->running());

  // A person may want to know: that costs one more crash, and it is left out again.
  EXPECT_EQ(http_request("POST", "127.0.0.1", setting.web_port, "/probe?target=hostile").status, 202);
  EXPECT_TRUE(agent->wait(seconds(60)).has_value());
  EXPECT_EQ(hostile.asked(), 3U);
  const auto again = start();
  ASSERT_TRUE(wait_until(seconds(60), [&] { return metrics().find(series(hostile.port())) != std::string::npos; }))
      << again->err();
  EXPECT_EQ(hostile.asked(), 3U);
}

TEST_F(CrashTest, TheSecondCrashLeavesItOutAndTheRestGoesOn) { expect_the_second_crash_to_leave_it_out(); }

TEST_F(CrashTest, ACrashOnOneOfManyThreadsDoesToo) {
  setting.threads = 3;
  expect_the_second_crash_to_leave_it_out();
}

TEST_F(CrashTest, AnAbortIsACrashToo) {
  const Parrot hostile("127.10.77.1", "220 hostile please-abort\r\n", "");
  configure(target("hostile", "127.10.77.1", hostile.port()));
  EXPECT_EQ(crash(), 128 + SIGABRT);
  EXPECT_EQ(crash(), 128 + SIGABRT);
  EXPECT_THAT(last_words, HasSubstr("the last process crashed (SIGABRT)"));
  const auto agent = start();
  EXPECT_TRUE(wait_until(seconds(60), [&] { return metrics().find(series(hostile.port())) != std::string::npos; }))
      << agent->err();
}

// The OOM killer or an operator, as often as they like: nobody is to blame.
TEST_F(CrashTest, AKillConvictsNobody) {
  const Parrot innocent("127.10.77.1", "220 mx please-kill\r\n", "");
  configure(target("hostile", "127.10.77.1", innocent.port()));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(crash(), 128 + SIGKILL);
    EXPECT_THAT(last_words, Not(HasSubstr("crashed")));
  }
  EXPECT_EQ(innocent.asked(), 3U);
  EXPECT_FALSE(read_file(folder.file("ajar.db.quarantine")).find("127.10.77.1") != std::string::npos);
}

// Crashes that come from elsewhere than one server's answer: the suspect is asked alone, survives, and is cleared.
TEST_F(CrashTest, ASuspectThatSurvivesIsAskedAsBefore) {
  std::uint16_t port = 0;
  {
    const Parrot hostile("127.10.77.1", "220 hostile please-abort\r\n", "");
    port = hostile.port();
    configure(target("hostile", "127.10.77.1", port));
    EXPECT_EQ(crash(), 128 + SIGABRT);
  }
  const auto agent = start();  // nobody listens there any more
  EXPECT_TRUE(wait_until(seconds(60), [&] {
    return agent->err().find("did not crash the agent this time") != std::string::npos;
  })) << agent->err();
  EXPECT_THAT(metrics(), Not(HasSubstr("ajar_quarantined{")));
}

}  // namespace
}  // namespace ajar
