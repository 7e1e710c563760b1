// Questions to DNS servers and their raw answers: a c-ares 1.18 channel, its sockets and its timer on our loop. UDP with EDNS
// (1232 bytes), TCP after a truncated answer. c-ares takes only answers from the server that it asked, with its number and its
// question.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ares.h>
#include <event2/event.h>

#include "agent/loop.h"
#include "checks/ip_address.h"
#include "checks/wire/dns_answer.h"

namespace ajar {

// Which version of a file we have read.
struct FileStamp {
  std::filesystem::file_time_type changed{};
  std::uintmax_t size = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
FileStamp stamp_of(const std::string& path);

struct DnsChannelOptions {
  std::vector<AddressPort> servers;  // empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";
  std::chrono::milliseconds timeout{4000};  // of the first try of a server; c-ares doubles it with every round
  int tries = 2;
  // Whether SERVFAIL and REFUSED are answers. Otherwise the next server is asked, and ARES_ECONNREFUSED says that none is left.
  bool take_failures = false;
};

// Loop thread only. Shared with the questions under way, so that any of them may outlive its owner by one step: close() ends
// them.
class DnsChannel : public std::enable_shared_from_this<DnsChannel> {
 public:
  DnsChannel(Loop& loop, DnsChannelOptions options);
  ~DnsChannel();
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;

  class Asking;
  // Ends it. Every question under way answers before this returns.
  void close();
  // Whether it can be asked; else broken() says why. Reads resolv.conf again when it has changed and nothing is under way.
  bool usable();
  const std::string& broken() const { return broken_; }
  // "10.0.0.53:53, 10.0.0.54:53", or why there is none: for logs and messages.
  std::string servers() const;
  // Why a question ended with `status`: one sentence.
  std::string failure_text(int status, const std::string& name, DnsType type) const;

 private:
  void open();
  void shut();
  std::chrono::milliseconds patience() const;
  static void on_socket_state(void* self, ares_socket_t fd, int readable, int writable);
  static void on_socket(evutil_socket_t fd, short what, void* self);
  static void on_timer(evutil_socket_t fd, short what, void* self);
  void process(ares_socket_t read, ares_socket_t write);
  void expect_timeout(Steady::time_point when);
  void rearm_timer();
  void resume_ready();

  Loop& loop_;
  DnsChannelOptions options_;
  FileStamp resolv_conf_;
  ares_channel channel_ = nullptr;
  std::string broken_;        // why there is no channel
  bool server_named_ = true;  // false: c-ares falls back to 127.0.0.1
  std::map<ares_socket_t, event*> sockets_;
  event* timer_ = nullptr;
  std::optional<Steady::time_point> armed_;  // when timer_ fires: not after the first try of c-ares that ends
  std::deque<Asking*> ready_;                // answered; resumed after c-ares has returned, never inside it. nullptr: gone
  std::size_t pending_ = 0;                  // questions that c-ares holds
};

// One question. Awaiting it sends it; its deadline on the loop's wheel is a last resort and what shut_down() ends. The
// coroutine that awaits it may be destroyed meanwhile.
class DnsChannel::Asking {
 public:
  Asking(std::shared_ptr<DnsChannel> channel, const std::string& name, DnsType type);
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  ~Asking();

  bool await_ready() const;
  bool await_suspend(std::coroutine_handle<> awaiter);
  // ARES_…; ARES_ECANCELLED when it was cut short.
  int await_resume() const { return status_; }
  std::string take_message() { return std::move(message_); }  // as it came; empty: none did

 private:
  friend class DnsChannel;
  struct Query {
    std::shared_ptr<DnsChannel> channel;
    Asking* asking;
  };
  struct Deadline : TimingWheel::Entry {
    Asking* asking = nullptr;
    void expire() override { asking->give_up(); }
  };
  static void answered(void* argument, int status, int timeouts, unsigned char* bytes, int length);
  void give_up();

  std::shared_ptr<DnsChannel> channel_;
  std::string name_;
  DnsType type_;
  std::coroutine_handle<> awaiter_;
  const ProbeMark* in_hand_ = nullptr;  // what the awaiter works for
  Query* query_ = nullptr;              // c-ares holds it
  Deadline deadline_;
  bool waiting_ = false, done_ = false, ready_ = false;
  int status_ = ARES_ECANCELLED;
  std::string message_;
};

}  // namespace ajar
