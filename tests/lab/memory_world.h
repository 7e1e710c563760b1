// A world for tests: a clock that is moved, and a canary in memory.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/lab/world.h"
#include "tests/support/memory_link.h"

namespace ajar::lab {

class MemoryWorld : public World {
 public:
  std::string answer = "PROOF\r\n";  // of the canary, on each connection
  unsigned patience = 50;            // how often gone() is asked until the peer has left
  std::vector<Message> messages;
  milliseconds paused{0};
  std::vector<std::string> connections;  // "source -> host:port", also those that failed
  std::string asked;                     // what came to the canary
  bool was_cut = false, lingered = false;

  Steady::time_point now() override { return now_; }
  Task<void> pause(milliseconds span) override {
    now_ += span;
    paused += span;
    co_return;
  }
  void carry(Message message) override { messages.push_back(std::move(message)); }
  Task<std::unique_ptr<Link>> connect(std::string source, std::string host, std::uint16_t port) override {
    connections.push_back(source + " -> " + host + ":" + std::to_string(port));
    std::unique_ptr<Link> link;
    if (host == "127.9.9.9" || host.ends_with("canary.test")) link = std::make_unique<Canary>(*this);
    co_return link;
  }
  Task<std::string> exchange(std::string source, std::string host, std::uint16_t port, std::string bytes) override {
    connections.push_back(source + " -> " + host + ":" + std::to_string(port) + "/udp");
    if (host != "127.9.9.9") co_return std::string();
    asked += bytes;
    co_return answer.substr(0, answer.find('\r'));
  }
  // One way after the other: in memory, everything has been said already.
  Task<void> join(Link& near, Link& far) override {
    co_await carry_all(near, far);
    co_await carry_all(far, near);
  }
  Task<void> linger(Link&) override {
    lingered = true;
    co_return;
  }
  bool gone(Link&) override { return patience-- == 0; }
  void cut(Link&) override { was_cut = true; }

 private:
  struct OwnTranscript {
    Transcript own;
  };
  class Canary : private OwnTranscript, public MemoryLink {
   public:
    explicit Canary(MemoryWorld& world) : MemoryLink(own, {world.answer}), world_(world) {}
    ~Canary() override { world_.asked += said(); }

   private:
    MemoryWorld& world_;
  };
  static Task<void> carry_all(Link& from, Link& to) {
    while (true) {
      std::string bytes = co_await from.hear_some();
      if (bytes.empty()) co_return;
      co_await to.say_bytes(std::move(bytes));
    }
  }

  Steady::time_point now_{std::chrono::seconds(1000)};
};

}  // namespace ajar::lab
