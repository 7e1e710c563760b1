// Who may ask what of the web server: passwords of web.yml, paths without one, and what guards against guessing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/site.h"
#include "config/web_file.h"

namespace ajar {

// What a client says of itself (RFC 7617).
struct Login {
  std::string user, password;
};
// Of an Authorization header; nullopt when it is not "Basic" with well-formed base64 and a colon in it.
std::optional<Login> parse_basic(const std::string& header);

// Whether the password is that of a bcrypt hash. Takes as long as the hash's cost says. One with a NUL, or longer than
// crypt(3) takes, never is.
bool bcrypt_matches(const std::string& password, const std::string& hash);

// Tells right passwords from wrong ones. Any thread.
//
// bcrypt is slow on purpose. Therefore an answer is remembered, under a keyed hash of all three, never the password; and so
// few run at once that guessing does not take the processor from probes and scrapes. An unknown name costs what a known one
// costs.
//
// Who guesses waits: after kFreeFailures different wrong logins of one address (of a /64 in IPv6) all logins from there are
// refused for a second, then two, then four, up to kLongestWait; right ones too, or guessing would go on by their answers.
// Other addresses are not affected.
class Logins {
 public:
  using Steady = std::chrono::steady_clock;
  using Clock = std::function<Steady::time_point()>;
  using Matches = std::function<bool(const std::string& password, const std::string& hash)>;

  static constexpr unsigned kFreeFailures = 5;
  static constexpr std::chrono::seconds kLongestWait{60};
  static constexpr std::chrono::minutes kForget{15};  // after the last failure
  static constexpr unsigned kMostRuns = 1;            // bcrypt at the same time
  static constexpr unsigned kMostWaiting = 16;        // for that
  static constexpr unsigned kMostWaitingOfOne = 2;    // address
  static constexpr std::size_t kMostAddresses = 4096, kMostRight = 1024, kMostWrong = 4096;

  explicit Logins(Clock now = Steady::now, Matches matches = bcrypt_matches);

  enum class Result { right, wrong, later };
  struct Answer {
    Result result;
    std::chrono::seconds retry_after{0};  // with later
  };
  Answer check(const std::map<std::string, std::string>& users, const Login& login, const std::string& address);

 private:
  struct Visitor {
    unsigned failures = 0;
    unsigned waiting = 0;
    Steady::time_point last{}, blocked_until{};
  };
  // What was found before: the oldest goes when there are too many.
  class Memory {
   public:
    explicit Memory(std::size_t most) : most_(most) {}
    bool contains(const std::string& key) const { return known_.contains(key); }
    void add(const std::string& key);

   private:
    std::size_t most_;
    std::set<std::string> known_;
    std::deque<std::string> order_;
  };
  Visitor& visitor(const std::string& network, Steady::time_point now);
  std::optional<Answer> recall(const std::string& network, const std::string& key) const;
  std::string key_of(const Login& login, const std::string& hash) const;
  const std::string& hash_for(const std::map<std::string, std::string>& users, const std::string& user) const;

  const Clock now_;
  const Matches matches_;
  const std::string salt_;
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned running_ = 0;
  std::set<std::string> in_check_;  // keys that wait for their bcrypt, or run it
  std::map<std::string, Visitor> visitors_;
  Memory right_{kMostRight}, wrong_{kMostWrong};
};

// One request as access is decided on.
struct AccessRequest {
  std::string method, path;                 // path: decoded, as it is routed
  std::string address;                      // of the client
  std::vector<std::string> authorizations;  // every Authorization header
  bool is_signed = false;                   // proves itself by an Ajar-Auth header, which its handler checks
  bool own_client = false;                  // a program of ours beside the agent, let in without a certificate
};

// Any thread.
class Access {
 public:
  explicit Access(Logins::Clock now = Logins::Steady::now, Logins::Matches matches = bcrypt_matches)
      : now_(now), logins_(std::move(now), std::move(matches)) {}

  // What is answered to who may not ask this; nullopt when the request may go on. May take as long as a bcrypt takes.
  std::optional<SiteReply> refuse(const WebFile& file, const AccessRequest& request);

 private:
  bool is_within_rate(const WebFile& file);

  const Logins::Clock now_;
  Logins logins_;
  std::mutex rate_mutex_;
  double tokens_ = 0;
  std::optional<Logins::Steady::time_point> filled_;
};

// Whether a POST's Host is one under which people know this server: an address, localhost, this machine, or the name in
// agent.name, web.listen or web.external_url. A page that rebinds its own name to our address (DNS rebinding) comes with
// another.
bool is_own_host(const std::string& host, const Config& config);

}  // namespace ajar
