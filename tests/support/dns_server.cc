#include "tests/support/dns_server.h"

#include <algorithm>
#include <stdexcept>

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/loop.h"

namespace ajar {

namespace {

std::string u16(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 255)}; }
std::string u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xFFFF); }
std::string bytes_of(const std::string& address) {
  const IpAddress parsed = IpAddress::parse(address).value();
  const auto bytes = parsed.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
unsigned read_u16(const std::string& bytes, std::size_t at) {
  return static_cast<unsigned>(static_cast<unsigned char>(bytes.at(at)) << 8) | static_cast<unsigned char>(bytes.at(at + 1));
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return place;
}

}  // namespace

struct DnsServer::Sockets {
  DnsServer* server = nullptr;
  int udp = -1;
  std::uint16_t port = 0;
  event* udp_event = nullptr;
  evconnlistener* listener = nullptr;
  std::set<bufferevent*> connections;

  static void on_udp(evutil_socket_t fd, short, void* self) {
    auto& sockets = *static_cast<Sockets*>(self);
    char buffer[4096];
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    // All that is there: on a busy machine a question a turn of the loop would be too slow.
    while (true) {
      const ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&peer), &length);
      if (got <= 0) return;
      const std::string answer = sockets.server->answer(std::string(buffer, static_cast<std::size_t>(got)), false);
      if (!answer.empty()) sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&peer), length);
    }
  }
  static void on_accept(evconnlistener* listener, evutil_socket_t fd, sockaddr*, int, void* self) {
    auto& sockets = *static_cast<Sockets*>(self);
    bufferevent* connection = bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    sockets.connections.insert(connection);
    bufferevent_setcb(connection, &Sockets::on_read, nullptr, &Sockets::on_end, self);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
  }
  static void on_read(bufferevent* connection, void* self) {
    evbuffer* input = bufferevent_get_input(connection);
    while (evbuffer_get_length(input) >= 2) {
      unsigned char head[2];
      evbuffer_copyout(input, head, 2);
      const std::size_t length = static_cast<std::size_t>(head[0] << 8) | head[1];
      if (evbuffer_get_length(input) < length + 2) return;
      std::string query(length, '\0');
      evbuffer_drain(input, 2);
      evbuffer_remove(input, query.data(), length);
      const std::string answer = static_cast<Sockets*>(self)->server->answer(query, true);
      if (answer.empty()) continue;
      const std::string framed = u16(static_cast<unsigned>(answer.size())) + answer;
      bufferevent_write(connection, framed.data(), framed.size());
    }
  }
  static void on_end(bufferevent* connection, short, void* self) {
    static_cast<Sockets*>(self)->connections.erase(connection);
    bufferevent_free(connection);
  }
};

DnsServer::DnsServer(Loop& loop) : sockets_(std::make_unique<Sockets>()) {
  sockets_->server = this;
  // The kernel's choice for UDP may be taken for TCP: try again.
  for (int tries = 0; tries < 20 && sockets_->listener == nullptr; ++tries) {
    if (sockets_->udp >= 0) close(sockets_->udp);
    sockets_->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in place = loopback(0);
    socklen_t length = sizeof place;
    if (sockets_->udp < 0 || bind(sockets_->udp, reinterpret_cast<sockaddr*>(&place), length) != 0) continue;
    getsockname(sockets_->udp, reinterpret_cast<sockaddr*>(&place), &length);
    sockets_->port = ntohs(place.sin_port);
    sockets_->listener = evconnlistener_new_bind(loop.base(), &Sockets::on_accept, sockets_.get(), LEV_OPT_CLOSE_ON_FREE, 16,
                                                 reinterpret_cast<sockaddr*>(&place), sizeof place);
  }
  if (sockets_->listener == nullptr) throw std::runtime_error("no loopback port for a DNS server");
  sockets_->udp_event = event_new(loop.base(), sockets_->udp, EV_READ | EV_PERSIST, &Sockets::on_udp, sockets_.get());
  event_add(sockets_->udp_event, nullptr);
}

DnsServer::~DnsServer() {
  event_free(sockets_->udp_event);
  close(sockets_->udp);
  evconnlistener_free(sockets_->listener);
  for (bufferevent* connection : sockets_->connections) bufferevent_free(connection);
}

AddressPort DnsServer::address() const { return {IpAddress::v4({127, 0, 0, 1}), sockets_->port}; }

std::string DnsServer::encode_name(const std::string& name) {
  std::string wire;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    wire += static_cast<char>(dot - at);
    wire += name.substr(at, dot - at);
    at = dot + 1;
  }
  return wire + '\0';
}

void DnsServer::a(const std::string& owner, const std::string& address, std::uint32_t ttl) {
  zone_[owner].push_back({1, ttl, bytes_of(address), ""});
}
void DnsServer::aaaa(const std::string& owner, const std::string& address, std::uint32_t ttl) {
  zone_[owner].push_back({28, ttl, bytes_of(address), ""});
}
void DnsServer::ptr(const std::string& owner, const std::string& host, std::uint32_t ttl) {
  zone_[owner].push_back({12, ttl, encode_name(host), ""});
}

void DnsServer::mx(const std::string& owner, std::uint16_t preference, const std::string& host, std::uint32_t ttl) {
  zone_[owner].push_back({15, ttl, u16(preference) + encode_name(host), ""});
}
void DnsServer::srv(const std::string& owner, std::uint16_t port, const std::string& host, std::uint32_t ttl) {
  zone_[owner].push_back({33, ttl, u16(10) + u16(5) + u16(port) + encode_name(host), ""});
}
void DnsServer::cname(const std::string& owner, const std::string& to, std::uint32_t ttl) {
  zone_[owner].push_back({5, ttl, encode_name(to), to});
}
void DnsServer::exists(const std::string& owner) { zone_[owner]; }
void DnsServer::remove(const std::string& owner) { zone_.erase(owner); }

const std::vector<DnsServer::Record>* DnsServer::find(const std::string& name) const {
  if (const auto found = zone_.find(name); found != zone_.end()) return &found->second;
  for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    if (const auto found = zone_.find("*" + name.substr(dot)); found != zone_.end()) return &found->second;
  }
  return nullptr;
}

std::string DnsServer::answer(const std::string& query, bool tcp) {
  std::string name;
  std::size_t at = 12;
  while (query.at(at) != 0) {
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(query.at(at)));
    name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
    at += length + 1;
  }
  const unsigned type = read_u16(query, at + 1);
  const std::string question = query.substr(12, at + 5 - 12);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
  questions_.push_back(fmt::format("{} {} {}", tcp ? "tcp" : "udp", name, type == 1 ? "A" : type == 28 ? "AAAA" : "MX"));
  if (silent_.contains(name)) return "";

  const auto message = [&](unsigned flags, unsigned count, const std::string& records) {
    return query.substr(0, 2) + u16(flags) + u16(1) + u16(count) + u16(0) + u16(0) + question + records;
  };
  if (const auto raw = raw_.find(name); raw != raw_.end()) return message(0x8180, 1, raw->second);
  if (const auto rcode = rcodes_.find(name); rcode != rcodes_.end() && rcode->second != 0) {
    return message(0x8180 | static_cast<unsigned>(rcode->second), 0, "");
  }
  if (truncated_.contains(name) && !tcp) return message(0x8380, 0, "");
  std::string records, owner = name;
  unsigned count = 0, rcode = 0;
  for (int hop = 0; hop < 20; ++hop) {
    const std::vector<Record>* held = find(owner);
    if (held == nullptr) {
      rcode = 3;
      break;
    }
    std::string alias;
    for (const Record& record : *held) {
      if (record.type != type && record.type != 5) continue;
      records += encode_name(owner) + u16(record.type) + u16(1) + u32(record.ttl) +
                 u16(static_cast<unsigned>(record.data.size())) + record.data;
      ++count;
      alias = record.alias;
    }
    if (alias.empty() || alias_only_.contains(owner)) break;
    owner = alias;
  }
  if (!tcp && records.size() > 1100) return message(0x8380, 0, "");
  return message(0x8180 | rcode, count, records);
}

}  // namespace ajar
