// The simulated servers: their places, listeners and present personalities. One loop, one thread, 127.0.0.0/8 only.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/live_network.h"
#include "agent/loop.h"
#include "tests/lab/conversation.h"
#include "tests/lab/gateway.h"
#include "tests/lab/loopback.h"
#include "tests/lab/personality.h"
#include "tests/lab/postman.h"

namespace ajar::lab {

struct LabOptions {
  AddressPort canary;  // where open personalities deliver; proxies connect to any port of its address
  std::string canary_domain = "canary.test";
  std::uint16_t canary_http_port = 8025;  // of the proxies that know one port only
  milliseconds delivery_delay{0};
  unsigned hosts = 0;  // beyond the fixed places: 127.20.0.1 and up, all on kHostsPort
  std::uint64_t seed = 1;
  Pace pace;
  bool ipv6 = false;              // the places live at their twins in fd7f::/16 (loopback.h)
  std::uint16_t port_offset = 0;  // added to every port; tests run beside a lab that is there already
  std::function<void(const std::string&)> log = [](const std::string&) {};
};

inline constexpr std::uint16_t kHostsPort = 2526;
inline constexpr unsigned kMaxHosts = (1U << 18) - 2;  // 127.20.0.0/14
inline constexpr unsigned kMaxConnectionsPerPlace = 100;
inline constexpr unsigned kMaxHostConnections = 50000;

// 127.20.0.1 for 0, and on; index < kMaxHosts.
IpAddress host_address(unsigned index);
// Who lives there: of a hundred, 1 open, 94 closed, 2 slow, 1 garbage, 1 hangs up at once, 1 greylists; by a hash of seed and
// address.
const Personality& host_personality(std::uint64_t seed, const IpAddress& address);

// One place as `--list` and the control port show it.
struct Listing {
  AddressPort place;
  const Personality* personality = nullptr;
  std::string to_json() const;
};

class Lab : private World {
 public:
  // std::invalid_argument for addresses outside 127.0.0.0/8 or too many hosts. Binds nothing yet.
  Lab(Loop& loop, LabOptions options);
  ~Lab() override;
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  void open();  // binds all; std::system_error
  // One human line for each group of listeners.
  std::vector<std::string> describe() const;
  // Every place in order of address, one at a time because a fleet may be large.
  void for_each(const std::function<void(const Listing&)>& see) const;

  enum class Change : std::uint8_t { done, no_such_place, no_such_personality, cannot_bind };
  // New connections meet the new personality; those that stand are not touched. Its memory (greylist) begins anew.
  Change change(const AddressPort& place, std::string_view name);

  const Postman& postman() const { return postman_; }

 private:
  struct Place {
    AddressPort address;
    std::string host;
    const Personality* personality = nullptr;
    Greylist greylist;
    unsigned connections = 0;
    std::map<std::string, std::string> memory;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<DatagramListener> datagrams;
  };
  struct Visit {
    AddressPort local, peer;
    const Personality* personality = nullptr;
    Greylist* greylist = nullptr;
    unsigned* connections = nullptr;
    std::string host;
    std::map<std::string, std::string>* memory = nullptr;
  };
  class HostsListener;

  Steady::time_point now() override { return loop_.now(); }
  Task<void> pause(milliseconds span) override;
  void carry(Message message) override { postman_.carry(std::move(message)); }
  Task<std::unique_ptr<Link>> connect(std::string source, std::string host, std::uint16_t port) override;
  Task<std::string> exchange(std::string source, std::string host, std::uint16_t port, std::string bytes) override {
    return gateway_.exchange(std::move(source), std::move(host), port, std::move(bytes));
  }
  Task<void> join(Link& near, Link& far) override;
  Task<void> linger(Link& link) override;
  bool gone(Link& link) override;
  void cut(Link& link) override;

  void bind_place(Place& place);
  Setting setting_of(const Visit& visit);
  void receive_datagram(Place& place, std::string bytes, const AddressPort& peer);
  void arrive(Place& place, int fd, const AddressPort& peer);
  void arrive_at_host(int fd, const AddressPort& local, const AddressPort& peer);
  void receive(int fd, Visit visit, unsigned limit);
  Task<void> serve(int fd, Visit visit);
  const Personality& personality_of(const IpAddress& host) const;
  std::optional<unsigned> host_index(const AddressPort& place) const;

  Loop& loop_;
  LabOptions options_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> tls_;  // self-signed, made in memory
  Postman postman_;
  Gateway gateway_;
  std::deque<Place> places_;  // stable addresses
  std::unique_ptr<HostsListener> hosts_listener_;
  std::map<IpAddress, const Personality*> changed_hosts_;
  Greylist host_greylist_;
  unsigned host_connections_ = 0;
  std::uint64_t visits_ = 0;
};

}  // namespace ajar::lab
