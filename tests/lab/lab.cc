#include "tests/lab/lab.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/self_signed.h"
#include "agent/time.h"

namespace ajar::lab {
namespace {

constexpr std::array<std::uint8_t, 4> kHostsBase = {127, 20, 0, 1};

std::uint32_t number_of(const IpAddress& address) {
  const auto bytes = address.bytes();
  return (std::uint32_t{bytes[0]} << 24) | (std::uint32_t{bytes[1]} << 16) | (std::uint32_t{bytes[2]} << 8) | bytes[3];
}

IpAddress address_of(std::uint32_t number) {
  return IpAddress::v4({static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
                        static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}

// splitmix64: every bit of the input reaches every bit of the output.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

std::string host_name(std::string_view personality) {
  std::string name(personality);
  std::ranges::replace(name, '_', '-');
  return name + ".lab.test";
}

// RST instead of FIN: closing with a linger time of zero.
void close_with_reset(int fd) {
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

AddressPort from_socket_address(const sockaddr_in& address) {
  return AddressPort{address_of(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)};
}

}  // namespace

// One wildcard socket for all simulated hosts, on the loopback device only (SO_BINDTODEVICE), so that nothing outside this
// machine can reach it. The address that was asked is what getsockname says of the accepted socket.
class Lab::HostsListener {
 public:
  HostsListener(Lab& lab, std::uint16_t port) : lab_(lab), fd_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    static constexpr char kDevice[] = "lo";
    const int one = 1;
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(port);
    if (fd_ < 0 || setsockopt(fd_, SOL_SOCKET, SO_BINDTODEVICE, kDevice, sizeof kDevice) != 0 ||
        setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd_, reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 || listen(fd_, SOMAXCONN) != 0) {
      const int error = errno;
      if (fd_ >= 0) close(fd_);
      throw std::system_error(error, std::generic_category(), fmt::format("simulated hosts on port {} of lo", port));
    }
    event_assign(&event_, lab_.loop_.base(), fd_, EV_READ | EV_PERSIST, &HostsListener::on_event, this);
    event_add(&event_, nullptr);
  }
  ~HostsListener() {
    event_del(&event_);
    close(fd_);
  }
  HostsListener(const HostsListener&) = delete;
  HostsListener& operator=(const HostsListener&) = delete;

 private:
  static void on_event(int, short, void* self) { static_cast<HostsListener*>(self)->accept_some(); }

  void accept_some() {
    for (int i = 0; i < 256; ++i) {
      sockaddr_in peer{}, local{};
      socklen_t peer_size = sizeof peer, local_size = sizeof local;
      const int fd = accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &peer_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const bool named = getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_size) == 0;
      const AddressPort here = from_socket_address(local), there = from_socket_address(peer);
      if (!named || !inside_lab(here.address) || !inside_lab(there.address)) {
        close_with_reset(fd);
        continue;
      }
      lab_.arrive_at_host(fd, here, there);
    }
  }

  Lab& lab_;
  int fd_;
  event event_{};
};

IpAddress host_address(unsigned index) { return address_of(number_of(IpAddress::v4(kHostsBase)) + index); }

const Personality& host_personality(std::uint64_t seed, const IpAddress& address) {
  const std::uint64_t share = mix(seed ^ mix(number_of(address))) % 100;
  std::string_view name = "closed";
  if (share == 0) name = "open";
  if (share == 95 || share == 96) name = "tarpit";
  if (share == 97) name = "garbage";
  if (share == 98) name = "reset";
  if (share == 99) name = "greylist_closed";
  return *find_personality(name);
}

std::string Listing::to_json() const {
  std::string expect, reasons;
  for (const Expectation& one : personality->expect) {
    const std::string_view comma = expect.empty() ? "" : ",";
    expect += fmt::format(R"({}"{}":"{}")", comma, one.check, one.verdict);
    reasons += fmt::format(R"({}"{}":"{}")", comma, one.check, one.reason);
  }
  return fmt::format(
      R"({{"address":"{}","port":{},"transport":"{}","tls":"{}","personality":"{}","expect":{{{}}},"reasons":{{{}}}}})",
      place.address.to_string(), place.port, personality->only_datagrams() ? "udp" : "tcp",
      personality->implicit_tls ? "implicit" : "none", personality->name, expect, reasons);
}

Lab::Lab(Loop& loop, LabOptions options)
    : loop_(loop),
      options_(std::move(options)),
      tls_(self_signed_context("lab.test")),
      postman_(loop, Postman::Route{options_.canary, options_.canary_domain, options_.delivery_delay}, options_.log),
      gateway_(loop, options_.canary.address, options_.canary_domain) {
  if (options_.hosts > kMaxHosts) throw std::invalid_argument(fmt::format("at most {} hosts", kMaxHosts));
  for (const Block& block : blocks()) {
    std::uint8_t number = 1;
    for (const Personality& personality : block.all) {
      Place& place = places_.emplace_back();
      const auto port = static_cast<std::uint16_t>(personality.port + options_.port_offset);
      const IpAddress address = IpAddress::v4({127, 10, block.network, number++});
      place.address = AddressPort{options_.ipv6 ? ipv6_twin(address) : address, port};
      place.host = host_name(personality.name);
      place.personality = &personality;
    }
  }
}

Lab::~Lab() = default;

void Lab::open() {
  for (Place& place : places_) bind_place(place);
  if (options_.hosts > 0) {
    hosts_listener_ = std::make_unique<HostsListener>(*this, static_cast<std::uint16_t>(kHostsPort + options_.port_offset));
  }
}

void Lab::bind_place(Place& place) {
  const Personality& personality = *place.personality;
  if (personality.kind == Kind::absent || personality.only_datagrams()) {
    place.listener.reset();
  } else if (!place.listener) {
    place.listener =
        std::make_unique<Listener>(loop_, place.address, [this, &place](int fd, AddressPort peer) { arrive(place, fd, peer); });
  }
  if (personality.receive == nullptr) {
    place.datagrams.reset();
  } else if (!place.datagrams) {
    place.datagrams = std::make_unique<DatagramListener>(
        loop_, place.address, [this, &place](std::string_view bytes, const AddressPort& peer, const AddressPort&) {
          receive_datagram(place, std::string(bytes), peer);
          return std::string();
        });
  }
}

std::vector<std::string> Lab::describe() const {
  std::vector<std::string> lines;
  const auto proxies = std::ranges::count_if(places_, [](const Place& place) { return !place.personality->carries_mail(); });
  lines.push_back(fmt::format("{} mail servers and {} proxies on {} to {}", static_cast<long>(places_.size()) - proxies,
                              proxies, places_.front().address.address.to_string(),
                              places_.back().address.address.to_string()));
  if (options_.hosts > 0) {
    lines.push_back(fmt::format("{} simulated hosts on {} to {}, port {}, seed {}", options_.hosts, host_address(0).to_string(),
                                host_address(options_.hosts - 1).to_string(), kHostsPort + options_.port_offset,
                                options_.seed));
  }
  lines.push_back(fmt::format("open ones deliver mail for {} to {} and connect to {}, and nowhere else", options_.canary_domain,
                              options_.canary.to_string(), options_.canary.address.to_string()));
  return lines;
}

void Lab::for_each(const std::function<void(const Listing&)>& see) const {
  for (const Place& place : places_) see(Listing{place.address, place.personality});
  for (unsigned i = 0; i < options_.hosts; ++i) {
    const IpAddress address = host_address(i);
    see(Listing{AddressPort{address, static_cast<std::uint16_t>(kHostsPort + options_.port_offset)}, &personality_of(address)});
  }
}

const Personality& Lab::personality_of(const IpAddress& host) const {
  const auto changed = changed_hosts_.find(host);
  return changed != changed_hosts_.end() ? *changed->second : host_personality(options_.seed, host);
}

std::optional<unsigned> Lab::host_index(const AddressPort& place) const {
  if (place.port != kHostsPort + options_.port_offset || !place.address.is_v4() || !inside_lab(place.address)) {
    return std::nullopt;
  }
  const std::uint32_t index = number_of(place.address) - number_of(IpAddress::v4(kHostsBase));  // wraps below the first
  if (index >= options_.hosts) return std::nullopt;
  return index;
}

Lab::Change Lab::change(const AddressPort& address, std::string_view name) {
  const Personality* personality = find_personality(name);
  if (personality == nullptr) return Change::no_such_personality;
  if (host_index(address)) {
    // One socket listens for all hosts, so a single one cannot stop listening.
    if (personality->kind == Kind::absent) return Change::cannot_bind;
    changed_hosts_[address.address] = personality;
    return Change::done;
  }
  const auto place = std::ranges::find(places_, address, &Place::address);
  if (place == places_.end()) return Change::no_such_place;
  const Personality* before = place->personality;
  place->personality = personality;
  try {
    bind_place(*place);
  } catch (const std::system_error&) {
    place->personality = before;
    return Change::cannot_bind;
  }
  place->greylist.clear();
  place->memory.clear();
  return Change::done;
}

Task<void> Lab::pause(milliseconds span) {
  const bool awake = co_await loop_.sleep_for(span);
  if (!awake) throw LinkError(Reason::timeout, "the lab is shutting down");
}

Task<std::unique_ptr<Link>> Lab::connect(std::string source, std::string host, std::uint16_t port) {
  return gateway_.connect(std::move(source), std::move(host), port);
}

// Every link of the lab is a socket's.
Task<void> Lab::join(Link& near, Link& far) {
  return gateway_.join(dynamic_cast<LiveLink&>(near), dynamic_cast<LiveLink&>(far));
}

Task<void> Lab::linger(Link& link) { return gateway_.linger(dynamic_cast<LiveLink&>(link)); }

bool Lab::gone(Link& link) { return peer_has_ended(dynamic_cast<LiveLink&>(link).fd()); }

void Lab::cut(Link& link) { dynamic_cast<LiveLink&>(link).reset(); }

void Lab::arrive(Place& place, int fd, const AddressPort& peer) {
  Visit visit{place.address, peer, place.personality, &place.greylist, &place.connections, place.host, &place.memory};
  receive(fd, std::move(visit), kMaxConnectionsPerPlace);
}

void Lab::arrive_at_host(int fd, const AddressPort& local, const AddressPort& peer) {
  const std::optional<unsigned> index = host_index(local);
  if (!index) return close_with_reset(fd);
  Visit visit{
      local,  peer, &personality_of(local.address), &host_greylist_, &host_connections_, fmt::format("h{}.lab.test", *index),
      nullptr};
  receive(fd, std::move(visit), kMaxHostConnections);
}

void Lab::receive(int fd, Visit visit, unsigned limit) {
  if (!inside_lab(visit.peer.address) || visit.personality->kind == Kind::reset || visit.personality->kind == Kind::absent) {
    return close_with_reset(fd);
  }
  if (*visit.connections >= limit) {
    if (!visit.personality->carries_mail()) return close_with_reset(fd);
    static constexpr std::string_view kBusy = "421 4.7.0 Error: too many connections\r\n";
    [[maybe_unused]] const ssize_t sent = send(fd, kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
    return;
  }
  start(serve(fd, std::move(visit)));
}

Setting Lab::setting_of(const Visit& visit) {
  Setting setting;
  setting.host = visit.host;
  setting.address = visit.local.address.to_string();
  setting.peer = visit.peer.address.to_string();
  setting.canary_domain = options_.canary_domain;
  setting.canary = options_.canary.address.to_string();
  setting.canary_http_port = options_.canary_http_port;
  setting.date = to_rfc5322(wall_now());
  setting.visit =
      fmt::format("{:X}", mix(visits_ ^ static_cast<std::uint64_t>(loop_.now().time_since_epoch().count())) & 0xffffffffffU);
  setting.pace = options_.pace;
  setting.greylist = visit.greylist;
  setting.port = visit.local.port;
  setting.peer_port = visit.peer.port;
  setting.memory = visit.memory;
  return setting;
}

void Lab::receive_datagram(Place& place, std::string bytes, const AddressPort& peer) {
  if (!inside_lab(peer.address) || place.connections >= kMaxConnectionsPerPlace) return;
  Visit visit{place.address, peer, place.personality, &place.greylist, &place.connections, place.host, &place.memory};
  ++visits_;
  ++place.connections;
  const Reply reply = [&place, peer](const std::string& answer) {
    if (place.datagrams) place.datagrams->send(answer, peer);
  };
  start(place.personality->receive(std::move(bytes), setting_of(visit), *this, reply), [&place] { --place.connections; });
}

Task<void> Lab::serve(int fd, Visit visit) {
  ++*visit.connections;
  ++visits_;
  {
    Transcript transcript;
    // RFC 5321 4.5.3.2.7: a server waits five minutes for the next command. A proxy does not.
    const bool proxy = !visit.personality->carries_mail();
    const milliseconds patience = proxy ? Gateway::kIdle : milliseconds(std::chrono::minutes(5));
    const milliseconds life = proxy ? Gateway::kLifetime : milliseconds(std::chrono::minutes(15));
    LiveLink link(loop_, fd, LiveLink::Side::server, tls_.get(), transcript, patience, loop_.now() + life);
    Setting setting = setting_of(visit);
    const std::uint64_t noise = mix(options_.seed ^ number_of(ipv4_twin(visit.local.address))) + visits_;
    try {
      if (visit.personality->implicit_tls) co_await link.start_tls();
      co_await converse(link, *visit.personality, std::move(setting), *this, noise);
    } catch (const LinkError&) {
      // The peer left, or asked too much; the next one is served all the same.
    }
  }
  --*visit.connections;
}

}  // namespace ajar::lab
