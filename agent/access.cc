#include "agent/access.h"

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include <arpa/inet.h>
#include <crypt.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/canary_keys.h"
#include "checks/wire/ascii.h"

namespace ajar {
namespace {

using std::chrono::seconds;

constexpr seconds kLongestTurn{5};  // that a login waits for others

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1) {
    throw std::runtime_error("OpenSSL has no random bytes");
  }
  return bytes;
}

// RFC 4648 4, whole and padded; nullopt for anything else.
std::optional<std::string> decode_base64(const std::string& text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t padding = text.size() - std::min(text.find('='), text.size());
  if (text.empty() || text.size() % 4 != 0 || padding > 2) return std::nullopt;
  if (text.find_first_not_of(kAlphabet) != std::string::npos && text.find_first_not_of(kAlphabet) != text.size() - padding) {
    return std::nullopt;
  }
  if (text.substr(text.size() - padding).find_first_not_of('=') != std::string::npos) return std::nullopt;
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

// Who counts as one: an IPv4 address, a /64 of IPv6.
std::string network_of(const std::string& address) {
  in6_addr v6{};
  if (inet_pton(AF_INET6, address.c_str(), &v6) != 1) return address;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return std::string(reinterpret_cast<const char*>(v6.s6_addr) + 12, 4);
  return {reinterpret_cast<const char*>(v6.s6_addr), 8};
}

// "ajar.example.net:9925" -> "ajar.example.net"; "[::1]:9925" -> "::1"; lower case, without a final dot.
std::string host_of(std::string_view authority) {
  std::string host = to_lower(authority);
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    const bool whole = end != std::string::npos && (end + 1 == host.size() || host[end + 1] == ':');
    return whole ? host.substr(1, end - 1) : host;
  }
  if (const std::size_t colon = host.rfind(':'); colon != std::string::npos) host.resize(colon);
  if (host.ends_with('.')) host.pop_back();
  return host;
}

std::string host_of_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  return host_of(url.substr(url.find('@') == std::string_view::npos ? 0 : url.find('@') + 1));
}

SiteReply refusal(int status, std::string text) {
  SiteReply reply;
  reply.status = status;
  reply.body = std::make_shared<const std::string>(std::move(text));
  return reply;
}

SiteReply ask_for_password(std::string text) {
  SiteReply reply = refusal(401, std::move(text));
  reply.headers.emplace_back("WWW-Authenticate", "Basic realm=\"ajar\"");
  return reply;
}

SiteReply later(seconds wait, std::string text) {
  SiteReply reply = refusal(429, std::move(text));
  reply.headers.emplace_back("Retry-After", fmt::to_string(wait.count()));
  return reply;
}

}  // namespace

std::optional<Login> parse_basic(const std::string& header) {
  const std::size_t space = header.find(' ');
  if (space == std::string::npos || to_lower(header.substr(0, space)) != "basic") return std::nullopt;
  const std::size_t begin = header.find_first_not_of(' ', space);
  if (begin == std::string::npos) return std::nullopt;
  const std::optional<std::string> pair = decode_base64(header.substr(begin, header.find_last_not_of(' ') + 1 - begin));
  if (!pair) return std::nullopt;
  const std::size_t colon = pair->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return Login{pair->substr(0, colon), pair->substr(colon + 1)};
}

bool bcrypt_matches(const std::string& password, const std::string& hash) {
  if (!bcrypt_cost(hash)) return false;
  // crypt(3) would see only what stands before a NUL. Something is hashed all the same, so that the time tells nothing.
  const bool possible = password.size() < CRYPT_MAX_PASSPHRASE_SIZE && password.find('\0') == std::string::npos;
  const auto data = std::make_unique<crypt_data>();
  const char* made = crypt_r(possible ? password.c_str() : "", hash.c_str(), data.get());
  const bool equal = made != nullptr && equal_in_constant_time(made, hash);
  OPENSSL_cleanse(data.get(), sizeof *data);
  return possible && equal;
}

Logins::Logins(Clock now, Matches matches) : now_(std::move(now)), matches_(std::move(matches)), salt_(random_bytes(32)) {}

void Logins::Memory::add(const std::string& key) {
  if (!known_.insert(key).second) return;
  order_.push_back(key);
  if (order_.size() <= most_) return;
  known_.erase(order_.front());
  order_.pop_front();
}

Logins::Visitor& Logins::visitor(const std::string& network, Steady::time_point now) {
  if (visitors_.size() >= kMostAddresses && !visitors_.contains(network)) {
    auto oldest = visitors_.end();
    for (auto it = visitors_.begin(); it != visitors_.end(); ++it) {
      if (it->second.waiting == 0 && (oldest == visitors_.end() || it->second.last < oldest->second.last)) oldest = it;
    }
    if (oldest != visitors_.end()) visitors_.erase(oldest);
  }
  Visitor& found = visitors_[network];
  if (found.failures > 0 && now - found.last > kForget) found.failures = 0;
  return found;
}

// What can be said without a bcrypt.
std::optional<Logins::Answer> Logins::recall(const std::string& network, const std::string& key) const {
  const Steady::time_point now = now_();
  if (const auto who = visitors_.find(network); who != visitors_.end() && now < who->second.blocked_until) {
    return Answer{Result::later, std::chrono::ceil<seconds>(who->second.blocked_until - now)};
  }
  if (right_.contains(key)) return Answer{Result::right};
  // The same mistake again teaches nobody anything: it does not count.
  if (wrong_.contains(key)) return Answer{Result::wrong};
  return std::nullopt;
}

// Of everything that decides, each part with its length before it.
std::string Logins::key_of(const Login& login, const std::string& hash) const {
  return hmac_sha256(salt_, fmt::format("{}:{}{}:{}{}", login.user.size(), login.user, hash.size(), hash, login.password));
}

// An unknown name is given the hash of some user, always the same one: its cost must not be told from a known one's.
const std::string& Logins::hash_for(const std::map<std::string, std::string>& users, const std::string& user) const {
  const auto found = users.find(user);
  if (found != users.end()) return found->second;
  const auto digest = static_cast<unsigned char>(hmac_sha256(salt_, user).front());
  return std::next(users.begin(), static_cast<std::ptrdiff_t>(digest % users.size()))->second;
}

Logins::Answer Logins::check(const std::map<std::string, std::string>& users, const Login& login, const std::string& address) {
  if (users.empty()) return {Result::wrong};
  const std::string network = network_of(address);
  const bool known = users.contains(login.user);
  const std::string& hash = hash_for(users, login.user);
  const std::string key = key_of(login, (known ? "" : "no ") + hash);

  std::unique_lock lock(mutex_);
  std::optional<Answer> known_already = recall(network, key);
  // The same login is being checked: that answer is this one's too.
  while (!known_already && in_check_.contains(key)) {
    if (!changed_.wait_for(lock, kLongestTurn, [&] { return !in_check_.contains(key); })) return {Result::later, seconds(1)};
    known_already = recall(network, key);
  }
  if (known_already) return *known_already;
  Visitor& who = visitor(network, now_());
  if (who.waiting >= kMostWaitingOfOne || in_check_.size() >= kMostWaiting) return {Result::later, seconds(1)};
  ++who.waiting;  // keeps it in the table
  in_check_.insert(key);
  const bool my_turn = changed_.wait_for(lock, kLongestTurn, [this] { return running_ < kMostRuns; });
  bool right = false;
  if (my_turn) {
    ++running_;
    lock.unlock();
    right = matches_(login.password, hash) && known;
    lock.lock();
    --running_;
  }
  in_check_.erase(key);
  --who.waiting;
  changed_.notify_all();
  if (!my_turn) return {Result::later, seconds(1)};
  if (right) {
    right_.add(key);
    who.failures = 0;
    return {Result::right};
  }
  wrong_.add(key);
  who.last = now_();
  if (++who.failures < kFreeFailures) return {Result::wrong};
  const unsigned doublings = std::min(who.failures - kFreeFailures, 6U);
  who.blocked_until = who.last + std::min(seconds(1U << doublings), kLongestWait);
  spdlog::warn("web: {} wrong logins from {}: it has to wait", who.failures, address);
  return {Result::wrong};
}

// A token bucket that starts full.
bool Access::is_within_rate(const WebFile& file) {
  if (file.rate_interval.count() == 0) return true;
  const std::lock_guard lock(rate_mutex_);
  const auto now = now_();
  const double most = file.rate_burst;
  const std::chrono::duration<double> passed = filled_ ? now - *filled_ : std::chrono::duration<double>(0);
  tokens_ = filled_ ? std::min(most, tokens_ + passed / std::chrono::duration<double>(file.rate_interval)) : most;
  filled_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

std::optional<SiteReply> Access::refuse(const WebFile& file, const AccessRequest& request) {
  if (request.is_signed) return std::nullopt;
  if (request.own_client) return refusal(403, "without a client certificate only signed requests are answered\n");
  if (!is_within_rate(file)) return later(std::chrono::ceil<seconds>(file.rate_interval), "too many requests\n");
  if (file.users.empty()) return std::nullopt;
  const bool reads = request.method == "GET" || request.method == "HEAD";
  const bool is_open = std::find(file.open_paths.begin(), file.open_paths.end(), request.path) != file.open_paths.end();
  if (reads && is_open) return std::nullopt;
  if (request.authorizations.empty()) return ask_for_password("a user name and a password are needed\n");
  if (request.authorizations.size() > 1) return refusal(400, "there is more than one Authorization header\n");
  const std::optional<Login> login = parse_basic(request.authorizations.front());
  if (!login) return ask_for_password("the Authorization header is not Basic (RFC 7617)\n");
  const Logins::Answer answer = logins_.check(file.users, *login, request.address);
  switch (answer.result) {
    case Logins::Result::right:
      return std::nullopt;
    case Logins::Result::later:
      return later(answer.retry_after, "too many logins: try again later\n");
    case Logins::Result::wrong:
      break;
  }
  return ask_for_password("wrong user name or password\n");
}

bool is_own_host(const std::string& header, const Config& config) {
  if (header.empty()) return true;  // no browser
  const std::string host = host_of(header);
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  if (inet_pton(AF_INET, host.c_str(), binary.data()) == 1 || inet_pton(AF_INET6, host.c_str(), binary.data()) == 1)
    return true;
  std::set<std::string> own = {"localhost", host_of(config.agent.name), host_of_url(config.web.external_url)};
  std::array<char, 256> machine{};
  if (gethostname(machine.data(), machine.size() - 1) == 0) own.insert(host_of(machine.data()));
  for (const std::string& listen : config.web.listen) own.insert(host_of(listen));
  own.erase("");
  return own.contains(host);
}

}  // namespace ajar
