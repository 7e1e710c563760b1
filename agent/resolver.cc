#include "agent/resolver.h"

#include <algorithm>
#include <cctype>
#include <coroutine>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include <ares.h>
#include <event2/event.h>
#include <fmt/format.h>

#include "agent/loop.h"

namespace ajar {

namespace {

constexpr int kMostHops = 8;                          // aliases that are asked for again because an answer ended at one
constexpr int kEdnsSize = 1232;                       // what passes without fragments (DNS flag day 2020)
constexpr std::chrono::seconds kHostsTtl{60};         // of /etc/hosts and of address literals
constexpr std::chrono::seconds kNoDataTtl{300};       // RFC 2308 5, where the SOA is not looked at
constexpr std::uintmax_t kMostHostsBytes = 16 << 20;  // of /etc/hosts; a larger one is cut

// Which version of a file we have read.
struct Stamp {
  std::filesystem::file_time_type changed{};
  std::uintmax_t size = 0;
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

Stamp stamp_of(const std::string& path) {
  std::error_code error;
  Stamp stamp;
  stamp.changed = std::filesystem::last_write_time(path, error);
  stamp.size = std::filesystem::file_size(path, error);
  return error ? Stamp{} : stamp;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// hosts(5): an address and its names a line.
class HostsFile {
 public:
  explicit HostsFile(std::string path) : path_(std::move(path)) {}

  // nullptr: the file does not have the name.
  const std::vector<IpAddress>* find(const std::string& name) {
    const Stamp now = stamp_of(path_);
    if (!stamp_ || *stamp_ != now) read();
    stamp_ = now;
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : &found->second;
  }

 private:
  void read() {
    names_.clear();
    std::ifstream file(path_);
    std::uintmax_t bytes = 0;
    for (std::string line; std::getline(file, line) && bytes < kMostHostsBytes;) {
      bytes += line.size() + 1;
      std::istringstream words(line.substr(0, line.find('#')));
      std::string word;
      if (!(words >> word)) continue;
      const std::optional<IpAddress> address = IpAddress::parse(word);
      if (!address) continue;
      while (words >> word) {
        std::vector<IpAddress>& addresses = names_[lower(word)];
        if (addresses.size() < kMaxDnsRecords && std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) {
          addresses.push_back(*address);
        }
      }
    }
  }

  std::string path_;
  std::optional<Stamp> stamp_;
  std::unordered_map<std::string, std::vector<IpAddress>> names_;
};

bool names_a_server(const std::string& resolv_conf) {
  std::ifstream file(resolv_conf);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key, value;
    if (words >> key >> value && key == "nameserver") return true;
  }
  return false;
}

DnsAnswer failure(DnsState state, std::string text) {
  DnsAnswer answer;
  answer.state = state;
  answer.text = std::move(text);
  return answer;
}

// From addresses that are known without asking.
DnsAnswer known(const std::vector<IpAddress>& addresses, DnsType type, const std::string& name, const std::string& source) {
  DnsAnswer answer;
  answer.canonical = name;
  answer.ttl = kHostsTtl;
  for (const IpAddress& address : addresses) {
    if (address.is_v4() == (type == DnsType::a)) answer.addresses.push_back(address);
  }
  answer.state = answer.addresses.empty() ? DnsState::no_data : DnsState::ok;
  if (answer.addresses.empty())
    answer.text = fmt::format("{} has {} without an IPv{} address", source, name, type == DnsType::a ? 4 : 6);
  return answer;
}

}  // namespace

// The c-ares channel, its sockets and its timer on the loop. Shared with the look-ups under way, so that any of them may
// outlive the Resolver by one step.
struct Resolver::State : std::enable_shared_from_this<Resolver::State> {
  State(Loop& a_loop, ResolverOptions some) : loop(a_loop), options(std::move(some)), hosts(options.hosts) {}
  ~State() { close(); }

  void open();
  void close();
  void reopen_if_changed();
  std::string servers() const;
  std::string failure_text(int status, const std::string& name, DnsType type) const;
  std::chrono::milliseconds patience() const;

  static void on_socket_state(void* self, ares_socket_t fd, int readable, int writable);
  static void on_socket(evutil_socket_t fd, short what, void* self);
  static void on_timer(evutil_socket_t fd, short what, void* self);
  void process(ares_socket_t read, ares_socket_t write);
  void arm_timer();
  void resume_ready();

  Loop& loop;
  ResolverOptions options;
  HostsFile hosts;
  Stamp resolv_conf;
  ares_channel channel = nullptr;
  std::string broken;        // why there is no channel
  bool server_named = true;  // false: c-ares falls back to 127.0.0.1
  std::map<ares_socket_t, event*> sockets;
  event* timer = nullptr;
  std::vector<Asking*> ready;  // answered; resumed after c-ares has returned, never inside it
  std::size_t pending = 0;     // queries that c-ares holds
};

// One query. Awaiting it sends it; its deadline on the loop's wheel is a last resort and what shut_down() ends. The coroutine
// that awaits it may be destroyed meanwhile.
class Resolver::Asking {
 public:
  Asking(std::shared_ptr<State> state, const std::string& name, DnsType type)
      : state_(std::move(state)), name_(name), type_(type) {
    deadline_.asking = this;
  }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  ~Asking() {
    if (query_ != nullptr) query_->asking = nullptr;
    std::erase(state_->ready, this);
  }

  bool await_ready() const { return state_->channel == nullptr || state_->loop.shutting_down(); }
  bool await_suspend(std::coroutine_handle<> awaiter) {
    awaiter_ = awaiter;
    query_ = new Query{state_, this};
    ++state_->pending;
    ares_query(state_->channel, name_.c_str(), kClassIn, static_cast<int>(type_), &Asking::answered, query_);
    state_->arm_timer();
    if (done_) return false;  // answered on the spot: no server could be reached
    waiting_ = true;
    state_->loop.add_deadline(deadline_, Steady::now() + state_->patience());
    return true;
  }
  // ARES_…; ARES_ECANCELLED when it was cut short.
  int await_resume() const { return status_; }
  std::string take_message() { return std::move(message_); }
  void resume() { awaiter_.resume(); }

 private:
  static constexpr int kClassIn = 1;
  struct Query {
    std::shared_ptr<State> state;
    Asking* asking;
  };
  struct Deadline : TimingWheel::Entry {
    Asking* asking = nullptr;
    void expire() override { asking->give_up(); }
  };

  static void answered(void* argument, int status, int, unsigned char* bytes, int length) {
    const std::unique_ptr<Query> query(static_cast<Query*>(argument));
    --query->state->pending;
    Asking* asking = query->asking;
    if (asking == nullptr) return;  // nobody waits any more
    asking->query_ = nullptr;
    asking->done_ = true;
    asking->status_ = status;
    if (bytes != nullptr && length > 0)
      asking->message_.assign(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
    if (!asking->waiting_) return;
    asking->deadline_.remove();
    query->state->ready.push_back(asking);
  }

  void give_up() {
    if (query_ != nullptr) query_->asking = nullptr;
    query_ = nullptr;
    awaiter_.resume();
  }

  std::shared_ptr<State> state_;
  std::string name_;
  DnsType type_;
  std::coroutine_handle<> awaiter_;
  Query* query_ = nullptr;  // c-ares holds it
  Deadline deadline_;
  bool waiting_ = false, done_ = false;
  int status_ = ARES_ECANCELLED;
  std::string message_;
};

// ---- the channel ----

void Resolver::State::open() {
  ares_options wanted{};
  wanted.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS;
  wanted.ednspsz = kEdnsSize;
  wanted.timeout = static_cast<int>(options.timeout.count());
  wanted.tries = options.tries;
  wanted.sock_state_cb = &State::on_socket_state;
  wanted.sock_state_cb_data = this;
  wanted.resolvconf_path = options.resolv_conf.data();
  const int mask =
      ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
  resolv_conf = stamp_of(options.resolv_conf);
  server_named = !options.servers.empty() || names_a_server(options.resolv_conf);
  broken.clear();
  int status = ares_init_options(&channel, &wanted, mask);
  if (status != ARES_SUCCESS) channel = nullptr;
  if (status == ARES_SUCCESS && !options.servers.empty()) {
    std::string list;
    for (const AddressPort& server : options.servers) list += (list.empty() ? "" : ",") + server.to_string();
    status = ares_set_servers_ports_csv(channel, list.c_str());
  }
  if (status != ARES_SUCCESS) broken = fmt::format("the DNS resolver cannot start: {}", ares_strerror(status));
  if (timer == nullptr) timer = evtimer_new(loop.base(), &State::on_timer, this);
}

// Every look-up under way answers before this returns.
void Resolver::State::close() {
  if (channel != nullptr) ares_destroy(std::exchange(channel, nullptr));
  for (const auto& [fd, watcher] : sockets) event_free(watcher);
  sockets.clear();
  if (timer != nullptr) event_free(std::exchange(timer, nullptr));
  broken = "the DNS resolver has stopped";
}

void Resolver::State::reopen_if_changed() {
  if (channel == nullptr || pending > 0 || !options.servers.empty() || stamp_of(options.resolv_conf) == resolv_conf) return;
  close();
  open();
}

std::string Resolver::State::servers() const {
  if (channel == nullptr) return broken;
  ares_addr_port_node* list = nullptr;
  if (ares_get_servers_ports(channel, &list) != ARES_SUCCESS) return "unknown";
  std::string text;
  for (const ares_addr_port_node* node = list; node != nullptr; node = node->next) {
    char buffer[INET6_ADDRSTRLEN] = "";
    ares_inet_ntop(node->family, &node->addr, buffer, sizeof buffer);
    const int port = node->udp_port == 0 ? 53 : node->udp_port;
    if (!text.empty()) text += ", ";
    text += node->family == AF_INET6 ? fmt::format("[{}]:{}", buffer, port) : fmt::format("{}:{}", buffer, port);
  }
  ares_free_data(list);
  if (!server_named) text += fmt::format(" ({} names no server)", options.resolv_conf);
  return text;
}

// Longer than c-ares takes for all its tries: only a last resort.
std::chrono::milliseconds Resolver::State::patience() const {
  const std::int64_t rounds = (std::int64_t{1} << std::clamp(options.tries, 1, 8)) - 1;
  const auto count = static_cast<std::int64_t>(std::clamp<std::size_t>(options.servers.size(), 3, 16));
  return options.timeout * rounds * count + std::chrono::seconds(1);
}

void Resolver::State::on_socket_state(void* argument, ares_socket_t fd, int readable, int writable) {
  auto& self = *static_cast<State*>(argument);
  if (const auto found = self.sockets.find(fd); found != self.sockets.end()) {
    event_free(found->second);
    self.sockets.erase(found);
  }
  if (!readable && !writable) return;
  const auto what = static_cast<short>(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
  event* watcher = event_new(self.loop.base(), fd, what, &State::on_socket, &self);
  event_add(watcher, nullptr);
  self.sockets.emplace(fd, watcher);
}

void Resolver::State::on_socket(evutil_socket_t fd, short what, void* self) {
  static_cast<State*>(self)->process((what & EV_READ) ? fd : ARES_SOCKET_BAD, (what & EV_WRITE) ? fd : ARES_SOCKET_BAD);
}

void Resolver::State::on_timer(evutil_socket_t, short, void* self) {
  static_cast<State*>(self)->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

void Resolver::State::process(ares_socket_t read, ares_socket_t write) {
  const std::shared_ptr<State> keep = shared_from_this();  // a resumed coroutine may destroy the Resolver
  ares_process_fd(channel, read, write);
  arm_timer();
  resume_ready();
}

void Resolver::State::arm_timer() {
  if (channel == nullptr) return;
  timeval storage{};
  const timeval* wait = ares_timeout(channel, nullptr, &storage);
  if (wait != nullptr) {
    event_add(timer, wait);
  } else {
    event_del(timer);
  }
}

void Resolver::State::resume_ready() {
  while (!ready.empty()) {
    Asking* asking = ready.front();
    ready.erase(ready.begin());
    asking->resume();
  }
}

std::string Resolver::State::failure_text(int status, const std::string& name, DnsType type) const {
  const std::string question = fmt::format("{} of {}", to_string(type), name);
  switch (status) {
    case ARES_ETIMEOUT:
      return fmt::format("no DNS server answered {} in time (asked: {})", question, servers());
    // c-ares goes on to the next server after SERVFAIL, REFUSED or an unreachable one, and says ECONNREFUSED when none is left.
    case ARES_ECONNREFUSED:
      return fmt::format("no DNS server answered {}: each failed (SERVFAIL), refused or could not be reached (asked: {})",
                         question, servers());
    case ARES_ECANCELLED:
      return loop.shutting_down() ? "shutting down"
                                  : fmt::format("no DNS server answered {} in time (asked: {})", question, servers());
    case ARES_EDESTRUCTION:
      return "the DNS resolver has stopped";
    default:
      return fmt::format("{} for {} (asked: {})", ares_strerror(status), question, servers());
  }
}

// ---- look-ups ----

Resolver::Resolver(Loop& loop, ResolverOptions options) : state_(std::make_shared<State>(loop, std::move(options))) {
  state_->open();
}

Resolver::~Resolver() {
  state_->close();
  state_->resume_ready();
}

std::string Resolver::servers() const { return state_->servers(); }

Task<DnsAnswer> Resolver::look_up(std::string name, DnsType type) { return look_up_from(state_, std::move(name), type); }

Task<DnsAnswer> Resolver::look_up_from(std::shared_ptr<State> state, std::string name, DnsType type) {
  if (!name.empty() && name.back() == '.') name.pop_back();
  name = lower(name);
  const std::optional<IpAddress> literal = IpAddress::parse(name);
  if (literal && type != DnsType::mx) {
    const std::vector<IpAddress> itself(1, *literal);
    co_return known(itself, type, name, "the address literal");
  }
  if (!is_dns_name(name)) {
    co_return failure(DnsState::no_such_name,
                      fmt::format("\"{}\" is no host name: letters, digits and hyphens, in xn-- form", name.substr(0, 64)));
  }
  DnsAnswer answer;
  answer.ttl = std::chrono::seconds::max();
  std::string asked = name;
  for (int hop = 0; hop < kMostHops; ++hop) {
    if (hop == 0 && type != DnsType::mx) {
      const std::vector<IpAddress>* addresses = state->hosts.find(asked);
      if (addresses != nullptr) co_return known(*addresses, type, asked, state->options.hosts);
    }
    state->reopen_if_changed();
    if (state->channel == nullptr) co_return failure(DnsState::failed, state->broken);
    Asking asking(state, asked, type);
    const int status = co_await asking;
    if (status == ARES_ENOTFOUND) {
      co_return failure(DnsState::no_such_name, fmt::format("the DNS says that {} does not exist", asked));
    }
    if (status != ARES_SUCCESS && status != ARES_ENODATA)
      co_return failure(DnsState::failed, state->failure_text(status, asked, type));
    const std::string message = asking.take_message();
    const std::optional<DnsRecords> records = parse_dns_answer(message, asked, type);
    if (!records) {
      co_return failure(DnsState::failed, fmt::format("the DNS answer to {} of {} cannot be read", to_string(type), asked));
    }
    const bool found = !records->addresses.empty() || !records->exchangers.empty() || records->null_mx || records->dropped;
    if (found || records->canonical != asked) answer.ttl = std::min(answer.ttl, std::chrono::seconds(records->ttl));
    answer.canonical = records->canonical;
    if (found) {
      answer.state = DnsState::ok;
      answer.addresses = records->addresses;
      answer.exchangers = records->exchangers;
      answer.null_mx = records->null_mx;
      co_return answer;
    }
    if (records->canonical == asked) {
      answer.state = DnsState::no_data;
      answer.text = fmt::format("{} has no {} record", asked, to_string(type));
      answer.ttl = std::min(answer.ttl, kNoDataTtl);
      co_return answer;
    }
    asked = records->canonical;
    if (!is_dns_name(asked)) break;
  }
  co_return failure(DnsState::failed, fmt::format("the aliases of {} lead nowhere", name));
}

}  // namespace ajar
