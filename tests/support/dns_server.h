// A small DNS server on a loopback port, on the loop of the test: answers from a table, by UDP and TCP.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

class Loop;

class DnsServer {
 public:
  explicit DnsServer(Loop& loop);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  AddressPort address() const;

  // Records. An owner "*.example.org" answers for every name below that has no records of its own.
  void a(const std::string& owner, const std::string& address, std::uint32_t ttl = 300);
  void aaaa(const std::string& owner, const std::string& address, std::uint32_t ttl = 300);
  void mx(const std::string& owner, std::uint16_t preference, const std::string& host, std::uint32_t ttl = 300);  // "": null MX
  void ptr(const std::string& owner, const std::string& host, std::uint32_t ttl = 300);
  void srv(const std::string& owner, std::uint16_t port, const std::string& host, std::uint32_t ttl = 300);  // "": "."
  void cname(const std::string& owner, const std::string& to, std::uint32_t ttl = 300);
  void exists(const std::string& owner);  // a name without records that are asked for: NOERROR, no data
  void remove(const std::string& owner);

  // How to misbehave, by the name asked for.
  void answer_rcode(const std::string& name, int rcode) { rcodes_[name] = rcode; }  // 2 SERVFAIL, 5 REFUSED; 0: behave
  void answer_nothing(const std::string& name) { silent_.insert(name); }
  void answer_truncated(const std::string& name) { truncated_.insert(name); }  // by UDP: TC and no records
  void answer_bytes(const std::string& name, std::string after_question) { raw_[name] = std::move(after_question); }
  void stop_at_alias(const std::string& name) { alias_only_.insert(name); }  // only the CNAME, not what it leads to

  // Every question, "udp mx1.example.org A", in order.
  const std::vector<std::string>& questions() const { return questions_; }

  static std::string encode_name(const std::string& name);

 private:
  struct Record {
    std::uint16_t type = 0;
    std::uint32_t ttl = 0;
    std::string data;
    std::string alias;  // of a CNAME
  };
  struct Sockets;
  std::string answer(const std::string& query, bool tcp);
  const std::vector<Record>* find(const std::string& name) const;

  std::map<std::string, std::vector<Record>> zone_;
  std::map<std::string, int> rcodes_;
  std::map<std::string, std::string> raw_;
  std::set<std::string> silent_, truncated_, alias_only_;
  std::vector<std::string> questions_;
  std::unique_ptr<Sockets> sockets_;
};

}  // namespace ajar
