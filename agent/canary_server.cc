#include "agent/canary_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <system_error>

#include <fmt/format.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/canary_http.h"
#include "agent/canary_self_test.h"
#include "agent/canary_smtp.h"
#include "agent/lent_ports.h"
#include "agent/live_network.h"
#include "agent/self_signed.h"

namespace ajar {
namespace {

const std::vector<AddressPort>& wanted(const CanaryConfig& config, CanaryKind kind) {
  switch (kind) {
    case CanaryKind::tcp:
      return config.listen_tcp;
    case CanaryKind::udp:
      return config.listen_udp;
    case CanaryKind::tls:
      return config.listen_tls;
    case CanaryKind::smtp:
      break;
  }
  return config.listen_smtp;
}

const std::vector<AddressPort>& advertised_in(const CanaryConfig& config, CanaryKind kind) {
  switch (kind) {
    case CanaryKind::tcp:
      return config.advertise_tcp;
    case CanaryKind::udp:
      return config.advertise_udp;
    case CanaryKind::tls:
      return config.advertise_tls;
    case CanaryKind::smtp:
      break;
  }
  return config.advertise_smtp;
}

bool shared_with_tcp(const CanaryConfig& config, const AddressPort& place) {
  return std::find(config.listen_tcp.begin(), config.listen_tcp.end(), place) != config.listen_tcp.end();
}

std::string remedy(int error, const AddressPort& address) {
  switch (error) {
    case EADDRINUSE:
      return fmt::format("another program listens there: see `ss -ltnp 'sport = :{}'`; stop it or write another address",
                         address.port);
    case EACCES:
    case EPERM:
      return "ports below 1024 need CAP_NET_BIND_SERVICE: run as in ajar.service, or write a higher port";
    case EADDRNOTAVAIL:
      return "this machine does not have that address: write one of `ip address`, or 0.0.0.0";
    default:
      return "write an address that this machine can listen on";
  }
}

AddressPort local_address(int fd) {
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) != 0) return {};
  if (own.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(own);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
    return {IpAddress::v4(bytes), ntohs(in.sin_port)};
  }
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(own);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
  return {IpAddress::v6(bytes), ntohs(in6.sin6_port)};
}

}  // namespace

struct CanaryServer::State : std::enable_shared_from_this<CanaryServer::State> {
  State(Loop& on, CanaryKeys with, CanaryServerOptions how)
      : loop(on),
        keys(with),
        options(std::move(how)),
        identity{options.agent_name,
                 options.contact,
                 options.config.host,
                 canary_mail_domain(options.config, options.agent_name),
                 {}},
        tls(self_signed_context(identity.mail_domain)),
        log(options.arrivals_file, options.now, options.config.token_retention),
        lent(loop, options.config.reserved_ports, options.lent,
             [this](int fd, const AddressPort& peer, const std::string& token) { lent_to(token, fd, peer); }) {}

  Loop& loop;
  const CanaryKeys keys;
  CanaryServerOptions options;
  CanaryIdentity identity;
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> tls;
  ArrivalLog log;
  const ProbeTls client_tls;  // of the self-test
  std::map<CanaryKind, std::vector<std::unique_ptr<Listener>>> listeners;
  std::vector<std::unique_ptr<DatagramListener>> datagrams;
  std::map<CanaryKind, std::vector<AddressPort>> places;  // advertised; fixed after the start
  std::map<IpAddress, unsigned> peers;                    // connections of each
  unsigned connections = 0;
  LentPorts lent;
  std::set<std::string> own_tokens;  // of the self-test under way
  bool stopped = false;
  mutable std::mutex mutex;
  std::map<CanaryKind, CanaryHealth> health;  // under mutex

  void listen(const std::shared_ptr<State>& self);
  void listen_on(const std::shared_ptr<State>& self, CanaryKind kind, const AddressPort& address);
  void advertise();
  std::vector<AddressPort> bound(CanaryKind kind) const;
  std::string datagram(std::string_view bytes, const AddressPort& peer, const AddressPort& local);
  // A port of listen_tcp that listen_tls has too: the first byte tells.
  bool tls_too(const AddressPort& listener) const;
  void accept(std::shared_ptr<State> self, CanaryKind kind, int fd, AddressPort peer);
  // The place of a list in that family; nullptr: none.
  static const AddressPort* of_family(const std::vector<AddressPort>& all, bool v4);
  bool lends(bool v4) const;
  struct LendingPlace {
    IpAddress advertised, ours;
  };
  std::optional<LendingPlace> lending_place(bool v4, const std::optional<IpAddress>& asker) const;
  std::optional<AddressPort> lend(const std::string& token, bool v4, const std::optional<IpAddress>& asker);
  void lent_to(const std::string& token, int fd, const AddressPort& peer);
  void arrived(Arrival arrival);
  void measured(CanaryKind kind, std::string trouble);
};

namespace {

using State = CanaryServer::State;

// One conversation, from accept to close.
Task<void> converse(std::shared_ptr<State> state, CanaryKind kind, int fd, AddressPort peer) {
  CanarySession session{state->identity, state->keys, state->options.now, peer, local_address(fd), kind == CanaryKind::smtp,
                        std::nullopt,    {}};
  session.arrived = [state](Arrival arrival) { state->arrived(std::move(arrival)); };
  try {
    Transcript transcript;
    const auto until = state->loop.now() + state->options.conversation_timeout;
    LiveLink link(state->loop, fd, LiveLink::Side::server, state->tls.get(), transcript, state->options.idle_timeout, until);
    bool tls = kind == CanaryKind::tls;
    if (kind == CanaryKind::tcp && state->tls_too(session.listener)) tls = co_await link.begins_with_tls();
    if (tls) {
      co_await link.start_tls();
      session.server_name = link.client_hello_name();
    }
    if (kind == CanaryKind::smtp) {
      co_await serve_smtp(link, session);
    } else {
      co_await serve_tcp(link, session);
    }
  } catch (const LinkError&) {
    // No handshake, or nothing at all.
  } catch (const std::system_error& error) {
    spdlog::warn("canary: no conversation with {}: {}", peer.to_string(), error.what());
  }
}

// At a port that was lent: whoever connects there was asked to, and this is the proof. It is answered nothing; its first words,
// as far as they come at once, are kept.
Task<void> hear_out(std::shared_ptr<State> state, std::string token, int fd, AddressPort peer) {
  constexpr std::chrono::milliseconds kFirstWords{500}, kPatience{5000};
  constexpr std::size_t kMost = 64 * 1024;
  Arrival arrival;
  arrival.kind = CanaryKind::tcp;
  arrival.token = std::move(token);
  arrival.proof = true;
  arrival.peer = peer;
  arrival.listener = local_address(fd);
  Facts facts(state->keys, state->options.now());
  facts.add("connected to a port that was open for this question alone", "");
  try {
    Transcript transcript;
    const auto until = state->loop.now() + kPatience;
    LiveLink link(state->loop, fd, LiveLink::Side::server, nullptr, transcript, kFirstWords, until);
    std::string words;
    try {
      words = co_await link.hear_some();
    } catch (const LinkError&) {
      // It waits for ours, or is gone.
    }
    const std::string first = words.substr(0, words.find_first_of("\r\n"));
    if (!first.empty()) facts.add("it said: ", first);
    arrival.facts = facts.lines();
    state->arrived(std::move(arrival));
    for (std::size_t heard = words.size(); !words.empty() && heard < kMost; heard += words.size()) {
      words = co_await link.hear_some();
    }
  } catch (const LinkError&) {
    // It ended.
  } catch (const std::system_error& error) {
    spdlog::warn("canary: no conversation with {}: {}", peer.to_string(), error.what());
  }
}

Task<std::optional<AddressPort>> wait_for_port(std::shared_ptr<State> state, std::string token, bool v4,
                                               std::optional<IpAddress> asker) {
  constexpr std::chrono::milliseconds kPatience{10'000}, kAgain{50};
  const auto until = state->loop.now() + kPatience;
  while (!state->stopped && state->lends(v4)) {
    std::optional<AddressPort> place = state->lend(token, v4, asker);
    if (place || state->loop.now() >= until) co_return place;
    const bool go_on = co_await state->loop.sleep_for(kAgain);
    if (!go_on) break;
  }
  co_return std::nullopt;
}

Task<void> test_kind(std::shared_ptr<State> state, CanaryKind kind) {
  const SelfTest test{state->loop,
                      state->keys,
                      state->options.agent_name.empty() ? state->identity.mail_domain : state->options.agent_name,
                      state->identity.mail_domain,
                      state->keys.mint(state->options.now(), std::chrono::minutes(10)),
                      state->options.self_test_timeout,
                      state->identity.host,
                      state->client_tls.context()};
  state->own_tokens.insert(test.token);
  const std::vector<AddressPort> places = state->places.at(kind);
  std::string trouble;
  if (places.empty()) {
    trouble =
        fmt::format("canary.advertise_{} is empty: write the addresses as tested servers reach this canary", to_string(kind));
  }
  for (const AddressPort& place : places) {
    const std::string found = co_await self_test(test, kind, place);
    if (!found.empty()) trouble += fmt::format("{}{}: {}", trouble.empty() ? "" : "; ", place.to_string(), found);
  }
  state->own_tokens.erase(test.token);
  if (!state->stopped && !state->loop.shutting_down()) state->measured(kind, trouble);
}

Task<void> test_for_ever(std::shared_ptr<State> state) {
  while (!state->stopped) {
    for (const CanaryKind kind : kCanaryKinds) {
      if (wanted(state->options.config, kind).empty()) continue;
      co_await test_kind(state, kind);
    }
    state->lent.close_old();
    const bool go_on = co_await state->loop.sleep_for(state->options.self_test_interval);
    if (!go_on) co_return;
  }
}

}  // namespace

void CanaryServer::State::listen(const std::shared_ptr<State>& self) {
  for (const CanaryKind kind : kCanaryKinds) {
    for (const AddressPort& address : wanted(options.config, kind)) {
      if (kind == CanaryKind::tls && shared_with_tcp(options.config, address)) continue;
      try {
        listen_on(self, kind, address);
      } catch (const std::system_error& error) {
        const int code = error.code().value();
        throw CanaryError(fmt::format("canary.listen_{} {}: cannot listen: {}; {}", to_string(kind), address.to_string(),
                                      std::generic_category().message(code), remedy(code, address)));
      }
    }
  }
}

void CanaryServer::State::listen_on(const std::shared_ptr<State>& self, CanaryKind kind, const AddressPort& address) {
  const std::weak_ptr<State> weak = self;
  if (kind == CanaryKind::udp) {
    datagrams.push_back(std::make_unique<DatagramListener>(
        loop, address, [weak](std::string_view bytes, const AddressPort& peer, const AddressPort& local) {
          const auto state = weak.lock();
          return state ? state->datagram(bytes, peer, local) : std::string();
        }));
    return;
  }
  listeners[kind].push_back(std::make_unique<Listener>(loop, address, [weak, kind](int fd, AddressPort peer) {
    const auto state = weak.lock();
    if (state) {
      state->accept(state, kind, fd, peer);
    } else {
      ::close(fd);
    }
  }));
}

std::string CanaryServer::State::datagram(std::string_view bytes, const AddressPort& peer, const AddressPort& local) {
  CanarySession session{identity, keys, options.now, peer, local, false, std::nullopt, {}};
  session.arrived = [this](Arrival arrival) { arrived(std::move(arrival)); };
  return answer_datagram(bytes, session);
}

bool CanaryServer::State::tls_too(const AddressPort& listener) const {
  const auto& all = options.config.listen_tls;
  return std::any_of(all.begin(), all.end(), [&](const AddressPort& place) {
    return place.port == listener.port && (place.address.is_unspecified() || place.address == listener.address);
  });
}

// Where it listens, with the ports that the kernel chose for port 0.
std::vector<AddressPort> CanaryServer::State::bound(CanaryKind kind) const {
  std::vector<AddressPort> all;
  if (kind == CanaryKind::udp) {
    for (const auto& listener : datagrams) all.push_back(listener->address());
  }
  if (kind == CanaryKind::tls) {
    for (const AddressPort& place : options.config.listen_tls) {
      if (shared_with_tcp(options.config, place)) all.push_back(place);
    }
  }
  const auto found = listeners.find(kind);
  if (found == listeners.end()) return all;
  for (const auto& listener : found->second) all.push_back(listener->address());
  return all;
}

void CanaryServer::State::advertise() {
  for (const CanaryKind kind : kCanaryKinds) {
    places[kind] = advertised_in(options.config, kind);
    if (!places[kind].empty()) continue;
    for (const AddressPort& place : bound(kind)) {
      if (!place.address.is_unspecified()) places[kind].push_back(place);
    }
  }
  identity.authorities = places[CanaryKind::tcp];
}

void CanaryServer::State::accept(std::shared_ptr<State> self, CanaryKind kind, int fd, AddressPort peer) {
  unsigned& of_peer = peers[peer.address];
  if (connections >= options.connections || of_peer >= options.connections_of_peer) {
    constexpr std::string_view kBusy = "421 4.7.0 too many connections\r\n";
    if (kind == CanaryKind::smtp) static_cast<void>(::send(fd, kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    ::close(fd);
    if (of_peer == 0) peers.erase(peer.address);
    return;
  }
  ++of_peer;
  ++connections;
  ajar::start(converse(self, kind, fd, peer), [self, peer] {
    --self->connections;
    const auto count = self->peers.find(peer.address);
    if (--count->second == 0) self->peers.erase(count);
  });
}

const AddressPort* CanaryServer::State::of_family(const std::vector<AddressPort>& all, bool v4) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const AddressPort& one) { return one.address.is_v4() == v4; });
  return found == all.end() ? nullptr : &*found;
}

bool CanaryServer::State::lends(bool v4) const {
  return !options.config.reserved_ports.empty() && lending_place(v4, std::nullopt).has_value();
}

// The first advertised address of the family, behind which is the first that we listen at. Where that is the asker's own,
// another one that we listen at ourselves.
std::optional<CanaryServer::State::LendingPlace> CanaryServer::State::lending_place(
    bool v4, const std::optional<IpAddress>& asker) const {
  const std::vector<AddressPort>& advertised = places.at(CanaryKind::tcp);
  const std::vector<AddressPort>& listening = options.config.listen_tcp;
  const AddressPort* const first = of_family(advertised, v4);
  const AddressPort* const behind = of_family(listening, v4);
  if (first == nullptr || behind == nullptr) return std::nullopt;
  if (asker != first->address) return LendingPlace{first->address, behind->address};
  for (const AddressPort& other : advertised) {
    if (other.address.is_v4() != v4 || other.address == asker) continue;
    const auto there = std::find_if(listening.begin(), listening.end(), [&](const AddressPort& one) {
      return one.address == other.address || (one.address.is_v4() == v4 && one.address.is_unspecified());
    });
    if (there != listening.end()) return LendingPlace{other.address, there->address};
  }
  return LendingPlace{first->address, behind->address};
}

std::optional<AddressPort> CanaryServer::State::lend(const std::string& token, bool v4, const std::optional<IpAddress>& asker) {
  if (stopped || !lends(v4) || keys.check(token, options.now()) != TokenState::valid) return std::nullopt;
  const std::optional<LendingPlace> place = lending_place(v4, asker);
  const std::optional<std::uint16_t> port = lent.lend(token, place->ours);
  if (!port) return std::nullopt;
  return AddressPort{place->advertised, *port};
}

void CanaryServer::State::lent_to(const std::string& token, int fd, const AddressPort& peer) {
  if (connections >= options.connections) {
    ::close(fd);
    return;
  }
  const std::shared_ptr<State> self = shared_from_this();
  ++connections;
  ajar::start(hear_out(self, token, fd, peer), [self] { --self->connections; });
}

void CanaryServer::State::arrived(Arrival arrival) {
  if (own_tokens.contains(arrival.token)) return;
  if (!log.add(arrival)) return;
  spdlog::info("canary: {} token arrived by {} from {}{}", arrival.proof ? "a" : "no proof, but a", to_string(arrival.kind),
               arrival.peer.to_string(), arrival.facts.empty() ? "" : ": " + arrival.facts.front());
  if (options.arrived && !stopped) options.arrived(arrival);
}

void CanaryServer::State::measured(CanaryKind kind, std::string trouble) {
  const std::lock_guard lock(mutex);
  CanaryHealth& now = health[kind];
  const bool up = trouble.empty();
  if (!up && (now.up || !now.measured || now.trouble != trouble)) {
    spdlog::error("canary: the {} self-test failed: {}; nothing can be proven through it until this is mended", to_string(kind),
                  trouble);
  }
  if (up && !now.up) spdlog::info("canary: {} is up, seen through its advertised address", to_string(kind));
  now = {true, up, std::move(trouble)};
}

CanaryServer::CanaryServer(Loop& loop, CanaryKeys keys, CanaryServerOptions options)
    : state_(std::make_shared<State>(loop, keys, std::move(options))) {
  state_->listen(state_);
  state_->advertise();
  ajar::start(test_for_ever(state_));
}

CanaryServer::~CanaryServer() {
  state_->stopped = true;
  state_->listeners.clear();
  state_->datagrams.clear();
  state_->lent.close_all();
}

CanaryHealth CanaryServer::health(CanaryKind kind) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->health.find(kind);
  return found == state_->health.end() ? CanaryHealth{} : found->second;
}

std::vector<AddressPort> CanaryServer::advertised(CanaryKind kind) const {
  const auto found = state_->places.find(kind);
  return found == state_->places.end() ? std::vector<AddressPort>{} : found->second;
}

Task<std::optional<AddressPort>> CanaryServer::reserve(std::string token, bool v4, std::optional<IpAddress> asker) const {
  return wait_for_port(state_, std::move(token), v4, asker);
}

std::optional<AddressPort> CanaryServer::try_reserve(const std::string& token, bool v4, std::optional<IpAddress> asker) const {
  return state_->lend(token, v4, asker);
}

void CanaryServer::release(const std::string& token) const { state_->lent.release(token); }

const ArrivalLog& CanaryServer::arrivals() const { return state_->log; }

std::vector<AddressPort> CanaryServer::listening(CanaryKind kind) const { return state_->bound(kind); }

unsigned CanaryServer::connections() const { return state_->connections; }

Task<std::optional<AddressPort>> CanaryStatus::reserve(std::string, bool, std::optional<IpAddress>) const {
  co_return std::nullopt;
}

void CanaryStatus::release(const std::string&) const {}

std::string canary_mail_domain(const CanaryConfig& config, const std::string& agent_name) {
  if (!config.mail_domain.empty()) return to_lower(config.mail_domain);
  if (!config.host.empty()) return to_lower(config.host);
  return agent_name.empty() ? "localhost" : to_lower(agent_name);
}

}  // namespace ajar
