// Names to addresses and mail exchangers, and addresses to names: c-ares 1.18 on our loop.
//
// Names are asked as they are written, never with a search domain: a target is a name in full, and
// "mx1.example.org.corp.example" must not be probed in its stead. /etc/hosts goes before the DNS for addresses and, where it
// has the name, answers alone. Address literals answer themselves. UDP with EDNS (1232 bytes), TCP after a truncated answer.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "checks/ip_address.h"
#include "checks/task.h"
#include "checks/wire/dns_answer.h"

namespace ajar {

class Loop;

enum class DnsState {
  ok,            // records of the type asked for
  no_such_name,  // NXDOMAIN: the server says that there is no such name
  no_data,       // the name exists and has nothing of that type
  failed,        // nobody can say: SERVFAIL, REFUSED, no answer in time, an answer that cannot be read, shutting down
};

struct DnsAnswer {
  DnsState state = DnsState::failed;
  std::string text;                       // unless ok: one sentence for a person
  std::vector<IpAddress> addresses;       // A, AAAA: at most kMaxDnsRecords
  std::vector<std::string> names;         // PTR: at most kMaxDnsRecords
  std::vector<MailExchanger> exchangers;  // MX: by preference; empty with null_mx
  bool null_mx = false;                   // RFC 7505; the state is ok
  std::vector<ServicePlace> services;     // SRV: at most kMaxDnsServices; empty where the service is said not to be there
  bool dropped = false;                   // there were more records, or some that name no possible host
  std::string canonical;                  // the end of the alias chain
  std::chrono::seconds ttl{0};            // unless failed or no_such_name: the smallest along the chain
};

// Who answers such questions. The resolver below, or a table in a test.
class Dns {
 public:
  virtual ~Dns() = default;
  // Never throws. At any time there may be many look-ups under way.
  virtual Task<DnsAnswer> look_up(std::string name, DnsType type) = 0;
};

struct ResolverOptions {
  std::vector<AddressPort> servers;  // empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";
  std::string hosts = "/etc/hosts";
  std::chrono::milliseconds timeout{4000};  // of the first try of a server; c-ares doubles it with every round
  int tries = 2;
};

// Loop thread only. A look-up that is under way when the loop shuts down, or when the resolver is destroyed, answers `failed`;
// a coroutine that is destroyed while it awaits one is forgotten. resolv.conf is read again when it has changed.
class Resolver : public Dns {
 public:
  Resolver(Loop& loop, ResolverOptions options);
  ~Resolver() override;
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  Task<DnsAnswer> look_up(std::string name, DnsType type) override;
  // "10.0.0.53:53, 10.0.0.54:53", or why there is none: for logs and messages.
  std::string servers() const;

 private:
  struct State;
  static Task<DnsAnswer> look_up_from(std::shared_ptr<State> state, std::string name, DnsType type);
  std::shared_ptr<State> state_;
};

}  // namespace ajar
