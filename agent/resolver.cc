#include "agent/resolver.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include <ares.h>
#include <fmt/format.h>

#include "agent/dns_channel.h"
#include "agent/loop.h"
#include "checks/wire/ascii.h"

namespace ajar {

namespace {

constexpr int kMostHops = 8;                          // aliases that are asked for again because an answer ended at one
constexpr std::chrono::seconds kHostsTtl{60};         // of /etc/hosts and of address literals
constexpr std::chrono::seconds kNoDataTtl{300};       // RFC 2308 5, where the SOA is not looked at
constexpr std::uintmax_t kMostHostsBytes = 16 << 20;  // of /etc/hosts; a larger one is cut

// hosts(5): an address and its names a line.
class HostsFile {
 public:
  explicit HostsFile(std::string path) : path_(std::move(path)) {}

  // nullptr: the file does not have the name.
  const std::vector<IpAddress>* find(const std::string& name) {
    const FileStamp now = stamp_of(path_);
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
        std::vector<IpAddress>& addresses = names_[to_lower(word)];
        if (addresses.size() < kMaxDnsRecords && std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) {
          addresses.push_back(*address);
        }
      }
    }
  }

  std::string path_;
  std::optional<FileStamp> stamp_;
  std::unordered_map<std::string, std::vector<IpAddress>> names_;
};

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

// Shared with the look-ups under way, so that any of them may outlive the Resolver by one step.
struct Resolver::State {
  State(Loop& loop, ResolverOptions some)
      : options(std::move(some)),
        hosts(options.hosts),
        channel(std::make_shared<DnsChannel>(
            loop, DnsChannelOptions{options.servers, options.resolv_conf, options.timeout, options.tries, false})) {}
  ResolverOptions options;
  HostsFile hosts;
  std::shared_ptr<DnsChannel> channel;
};

// ---- look-ups ----

Resolver::Resolver(Loop& loop, ResolverOptions options) : state_(std::make_shared<State>(loop, std::move(options))) {}

Resolver::~Resolver() {
  const std::shared_ptr<State> keep = state_;
  keep->channel->close();
}

std::string Resolver::servers() const { return state_->channel->servers(); }

Task<DnsAnswer> Resolver::look_up(std::string name, DnsType type) { return look_up_from(state_, std::move(name), type); }

Task<DnsAnswer> Resolver::look_up_from(std::shared_ptr<State> state, std::string name, DnsType type) {
  if (!name.empty() && name.back() == '.') name.pop_back();
  name = to_lower(name);
  const std::optional<IpAddress> literal = IpAddress::parse(name);
  const bool of_addresses = type == DnsType::a || type == DnsType::aaaa;
  if (literal && of_addresses) {
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
    if (hop == 0 && of_addresses) {
      const std::vector<IpAddress>* addresses = state->hosts.find(asked);
      if (addresses != nullptr) co_return known(*addresses, type, asked, state->options.hosts);
    }
    if (!state->channel->usable()) co_return failure(DnsState::failed, state->channel->broken());
    DnsChannel::Asking asking(state->channel, asked, type);
    const int status = co_await asking;
    if (status == ARES_ENOTFOUND) {
      co_return failure(DnsState::no_such_name, fmt::format("the DNS says that {} does not exist", asked));
    }
    if (status != ARES_SUCCESS && status != ARES_ENODATA)
      co_return failure(DnsState::failed, state->channel->failure_text(status, asked, type));
    const std::string message = asking.take_message();
    const std::optional<DnsRecords> records = parse_dns_answer(message, asked, type);
    if (!records) {
      co_return failure(DnsState::failed, fmt::format("the DNS answer to {} of {} cannot be read", to_string(type), asked));
    }
    const bool found = !records->addresses.empty() || !records->exchangers.empty() || !records->names.empty() ||
                       records->null_mx || !records->services.empty() || records->no_service || records->dropped;
    if (found || records->canonical != asked) answer.ttl = std::min(answer.ttl, std::chrono::seconds(records->ttl));
    answer.canonical = records->canonical;
    if (found) {
      answer.state = DnsState::ok;
      answer.addresses = records->addresses;
      answer.names = records->names;
      answer.exchangers = records->exchangers;
      answer.null_mx = records->null_mx;
      answer.services = records->services;
      answer.dropped = records->dropped;
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
