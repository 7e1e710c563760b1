// The questions of a ZoneBook to DNS servers, one after the other: those that are configured, or the machine's own. What a
// server says is told from what it does not say: REFUSED, SERVFAIL and silence are states of a database, and never "not
// listed".
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/zone_book.h"
#include "checks/task.h"

namespace ajar {

class Loop;

// Who answers such questions. The resolver below, or a table in a test.
class DnsblDns {
 public:
  virtual ~DnsblDns() = default;
  // Never throws. At any time there may be many questions under way.
  virtual Task<DnsblLookup> ask(std::string name, DnsType type) = 0;
};

// What an answer to a question for `type` says. Pure.
DnsblLookup dnsbl_lookup(const DnsRecords& records, DnsType type);

struct DnsblResolverOptions {
  std::vector<AddressPort> servers;  // empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";
  // Of the first try; doubled with each: 25 s in all. An answer to an earlier try is taken too.
  std::chrono::milliseconds timeout{400};
  int tries = 6;  // of one server. One packet of ten lost, both ways: one question of 20,000 fails
};

// Loop thread only. A question that is under way when the loop shuts down, or when this is destroyed, ends as a timeout. The
// next server is asked where one is silent, refuses or fails; the one that answered last is asked first.
class DnsblResolver : public DnsblDns {
 public:
  DnsblResolver(Loop& loop, DnsblResolverOptions options);
  ~DnsblResolver() override;
  DnsblResolver(const DnsblResolver&) = delete;
  DnsblResolver& operator=(const DnsblResolver&) = delete;

  Task<DnsblLookup> ask(std::string name, DnsType type) override;
  std::string servers() const;  // for pages and logs

 private:
  struct State;
  static Task<DnsblLookup> ask_all(std::shared_ptr<State> state, std::string name, DnsType type);
  static Task<DnsblLookup> ask_one(std::shared_ptr<State> state, std::size_t server, std::string name, DnsType type);
  std::shared_ptr<State> state_;
};

}  // namespace ajar
