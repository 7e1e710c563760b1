#include "agent/dns_channel.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include <fmt/format.h>

namespace ajar {

namespace {

constexpr int kClassIn = 1;
constexpr int kEdnsSize = 1232;  // what passes without fragments (DNS flag day 2020)

bool names_a_server(const std::string& resolv_conf) {
  std::ifstream file(resolv_conf);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key, value;
    if (words >> key >> value && key == "nameserver") return true;
  }
  return false;
}

}  // namespace

FileStamp stamp_of(const std::string& path) {
  std::error_code error;
  FileStamp stamp;
  stamp.changed = std::filesystem::last_write_time(path, error);
  stamp.size = std::filesystem::file_size(path, error);
  return error ? FileStamp{} : stamp;
}

// ---- one question ----

DnsChannel::Asking::Asking(std::shared_ptr<DnsChannel> channel, const std::string& name, DnsType type)
    : channel_(std::move(channel)), name_(name), type_(type) {
  deadline_.asking = this;
}

DnsChannel::Asking::~Asking() {
  if (query_ != nullptr) query_->asking = nullptr;
  if (ready_) std::replace(channel_->ready_.begin(), channel_->ready_.end(), this, static_cast<Asking*>(nullptr));
}

bool DnsChannel::Asking::await_ready() const { return channel_->channel_ == nullptr || channel_->loop_.shutting_down(); }

bool DnsChannel::Asking::await_suspend(std::coroutine_handle<> awaiter) {
  awaiter_ = awaiter;
  query_ = new Query{channel_, this};
  ++channel_->pending_;
  ares_query(channel_->channel_, name_.c_str(), kClassIn, static_cast<int>(type_), &Asking::answered, query_);
  if (done_) return false;  // answered on the spot: no server could be reached
  waiting_ = true;
  in_hand_ = InHand::leave();
  const Steady::time_point now = Steady::now();
  channel_->expect_timeout(now + channel_->options_.timeout);
  channel_->loop_.add_deadline(deadline_, now + channel_->patience());
  return true;
}

void DnsChannel::Asking::answered(void* argument, int status, int, unsigned char* bytes, int length) {
  const std::unique_ptr<Query> query(static_cast<Query*>(argument));
  --query->channel->pending_;
  Asking* asking = query->asking;
  if (asking == nullptr) return;  // nobody waits any more
  asking->query_ = nullptr;
  asking->done_ = true;
  asking->status_ = status;
  if (bytes != nullptr && length > 0)
    asking->message_.assign(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
  if (!asking->waiting_) return;
  asking->deadline_.remove();
  asking->ready_ = true;
  query->channel->ready_.push_back(asking);
}

void DnsChannel::Asking::give_up() {
  if (query_ != nullptr) query_->asking = nullptr;
  query_ = nullptr;
  resume_in_hand(awaiter_, in_hand_);
}

// ---- the channel ----

DnsChannel::DnsChannel(Loop& loop, DnsChannelOptions options) : loop_(loop), options_(std::move(options)) { open(); }

DnsChannel::~DnsChannel() { shut(); }

void DnsChannel::open() {
  ares_options wanted{};
  wanted.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS | (options_.take_failures ? ARES_FLAG_NOCHECKRESP : 0);
  wanted.ednspsz = kEdnsSize;
  wanted.timeout = static_cast<int>(options_.timeout.count());
  wanted.tries = options_.tries;
  wanted.sock_state_cb = &DnsChannel::on_socket_state;
  wanted.sock_state_cb_data = this;
  wanted.resolvconf_path = options_.resolv_conf.data();
  const int mask =
      ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
  resolv_conf_ = stamp_of(options_.resolv_conf);
  server_named_ = !options_.servers.empty() || names_a_server(options_.resolv_conf);
  broken_.clear();
  int status = ares_init_options(&channel_, &wanted, mask);
  if (status != ARES_SUCCESS) channel_ = nullptr;
  if (status == ARES_SUCCESS && !options_.servers.empty()) {
    std::string list;
    for (const AddressPort& server : options_.servers) list += (list.empty() ? "" : ",") + server.to_string();
    status = ares_set_servers_ports_csv(channel_, list.c_str());
  }
  if (status != ARES_SUCCESS) broken_ = fmt::format("the DNS resolver cannot start: {}", ares_strerror(status));
  if (timer_ == nullptr) timer_ = evtimer_new(loop_.base(), &DnsChannel::on_timer, this);
}

void DnsChannel::shut() {
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  for (const auto& [fd, watcher] : sockets_) event_free(watcher);
  sockets_.clear();
  if (timer_ != nullptr) event_free(std::exchange(timer_, nullptr));
  armed_.reset();
  broken_ = "the DNS resolver has stopped";
}

void DnsChannel::close() {
  const std::shared_ptr<DnsChannel> keep = shared_from_this();
  shut();
  resume_ready();
}

bool DnsChannel::usable() {
  const bool unchanged = !options_.servers.empty() || pending_ > 0 || stamp_of(options_.resolv_conf) == resolv_conf_;
  if (channel_ != nullptr && !unchanged) {
    shut();
    open();
  }
  return channel_ != nullptr;
}

std::string DnsChannel::servers() const {
  if (channel_ == nullptr) return broken_;
  ares_addr_port_node* list = nullptr;
  if (ares_get_servers_ports(channel_, &list) != ARES_SUCCESS) return "unknown";
  std::string text;
  for (const ares_addr_port_node* node = list; node != nullptr; node = node->next) {
    char buffer[INET6_ADDRSTRLEN] = "";
    ares_inet_ntop(node->family, &node->addr, buffer, sizeof buffer);
    const int port = node->udp_port == 0 ? 53 : node->udp_port;
    if (!text.empty()) text += ", ";
    text += node->family == AF_INET6 ? fmt::format("[{}]:{}", buffer, port) : fmt::format("{}:{}", buffer, port);
  }
  ares_free_data(list);
  if (!server_named_) text += fmt::format(" ({} names no server)", options_.resolv_conf);
  return text;
}

// Longer than c-ares takes for all its tries: only a last resort.
std::chrono::milliseconds DnsChannel::patience() const {
  const std::int64_t rounds = (std::int64_t{1} << std::clamp(options_.tries, 1, 8)) - 1;
  const auto count = static_cast<std::int64_t>(std::clamp<std::size_t>(options_.servers.size(), 3, 16));
  return options_.timeout * rounds * count + std::chrono::seconds(1);
}

void DnsChannel::on_socket_state(void* argument, ares_socket_t fd, int readable, int writable) {
  auto& self = *static_cast<DnsChannel*>(argument);
  if (const auto found = self.sockets_.find(fd); found != self.sockets_.end()) {
    event_free(found->second);
    self.sockets_.erase(found);
  }
  if (!readable && !writable) return;
  const auto what = static_cast<short>(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
  event* watcher = event_new(self.loop_.base(), fd, what, &DnsChannel::on_socket, &self);
  event_add(watcher, nullptr);
  self.sockets_.emplace(fd, watcher);
}

void DnsChannel::on_socket(evutil_socket_t fd, short what, void* self) {
  static_cast<DnsChannel*>(self)->process((what & EV_READ) ? fd : ARES_SOCKET_BAD, (what & EV_WRITE) ? fd : ARES_SOCKET_BAD);
}

void DnsChannel::on_timer(evutil_socket_t, short, void* self) {
  auto& channel = *static_cast<DnsChannel*>(self);
  channel.armed_.reset();
  channel.process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

void DnsChannel::process(ares_socket_t read, ares_socket_t write) {
  const std::shared_ptr<DnsChannel> keep = shared_from_this();  // a resumed coroutine may destroy its owner
  ares_process_fd(channel_, read, write);
  if (!armed_) rearm_timer();
  resume_ready();
}

// A timer that fires too early costs little. ares_timeout looks at every question under way, so it is asked when the timer has
// fired, not with every question and every answer.
void DnsChannel::expect_timeout(Steady::time_point when) {
  if (armed_ && *armed_ <= when) return;
  armed_ = when;
  const auto wait = std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::microseconds>(when - Steady::now()).count());
  const timeval span{wait / 1'000'000, wait % 1'000'000};
  event_add(timer_, &span);
}

void DnsChannel::rearm_timer() {
  timeval storage{};
  if (channel_ == nullptr || ares_timeout(channel_, nullptr, &storage) == nullptr) return;
  // One more: c-ares leaves out what is less than a millisecond.
  expect_timeout(Steady::now() + std::chrono::seconds(storage.tv_sec) + std::chrono::microseconds(storage.tv_usec) +
                 std::chrono::milliseconds(1));
}

void DnsChannel::resume_ready() {
  while (!ready_.empty()) {
    Asking* asking = ready_.front();
    ready_.pop_front();
    if (asking == nullptr) continue;
    asking->ready_ = false;
    resume_in_hand(asking->awaiter_, asking->in_hand_);
  }
}

std::string DnsChannel::failure_text(int status, const std::string& name, DnsType type) const {
  const std::string question = fmt::format("{} of {}", to_string(type), name);
  switch (status) {
    case ARES_ETIMEOUT:
      return fmt::format("no DNS server answered {} in time (asked: {})", question, servers());
    // c-ares goes on to the next server after SERVFAIL, REFUSED or an unreachable one, and says ECONNREFUSED when none is left.
    case ARES_ECONNREFUSED:
      return fmt::format("no DNS server answered {}: each failed (SERVFAIL), refused or could not be reached (asked: {})",
                         question, servers());
    case ARES_ECANCELLED:
      return loop_.shutting_down() ? "shutting down"
                                   : fmt::format("no DNS server answered {} in time (asked: {})", question, servers());
    case ARES_EDESTRUCTION:
      return "the DNS resolver has stopped";
    default:
      return fmt::format("{} for {} (asked: {})", ares_strerror(status), question, servers());
  }
}

}  // namespace ajar
