#include "agent/targets.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "agent/scheduler.h"

namespace ajar {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

IpAddress at(const std::string& text) { return IpAddress::parse(text).value(); }

// Answers from a table, at once; what is not in it does not exist. One name may be held back.
class TableDns : public Dns {
 public:
  Task<DnsAnswer> look_up(std::string name, DnsType type) override {
    ++asked[name];
    if (name == held_back) {
      Held held(*this);
      co_await held;
    }
    const auto found = table.find({name, type});
    if (found != table.end()) co_return found->second;
    DnsAnswer none;
    none.state = DnsState::no_such_name;
    none.text = name + " does not exist";
    co_return none;
  }
  void addresses(const std::string& name, std::initializer_list<const char*> v4, std::initializer_list<const char*> v6,
                 seconds ttl = seconds(300)) {
    set(name, DnsType::a, v4, ttl);
    set(name, DnsType::aaaa, v6, ttl);
  }
  void exchangers(const std::string& name, std::initializer_list<const char*> hosts, seconds ttl = seconds(300)) {
    DnsAnswer answer;
    answer.state = DnsState::ok;
    answer.ttl = ttl;
    std::uint16_t preference = 0;
    for (const char* host : hosts) answer.exchangers.push_back({++preference, host});
    table[{name, DnsType::mx}] = answer;
  }
  void null_mx(const std::string& name) {
    exchangers(name, {});
    table[{name, DnsType::mx}].null_mx = true;
  }
  void answer(const std::string& name, DnsType type, DnsState state) {
    DnsAnswer answer;
    answer.state = state;
    answer.text = "as the test says";
    table[{name, type}] = answer;
  }
  void release() {
    held_back.clear();
    std::exchange(waiter, {}).resume();
  }

  std::map<std::pair<std::string, DnsType>, DnsAnswer> table;
  std::map<std::string, int> asked;
  std::string held_back;
  std::coroutine_handle<> waiter;

 private:
  struct Held {
    explicit Held(TableDns& a_dns) : dns(a_dns) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { dns.waiter = handle; }
    void await_resume() const {}
    TableDns& dns;
  };
  void set(const std::string& name, DnsType type, std::initializer_list<const char*> list, seconds ttl) {
    DnsAnswer answer;
    answer.state = list.size() == 0 ? DnsState::no_data : DnsState::ok;
    answer.text = list.size() == 0 ? name + " has no such record" : "";
    answer.ttl = ttl;
    for (const char* address : list) answer.addresses.push_back(at(address));
    table[{name, type}] = answer;
  }
};

class TargetsTest : public testing::Test {
 protected:
  explicit TargetsTest(Networks networks = Networks::listed) {
    for (const char* network : {"203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32"})
      config_.scope.push_back(*Cidr::parse(network));
    TargetEvents events;
    events.planned = [this](const Planned& planned) { plan(planned); };
    events.retired = [this](const ResultKey& key) { retire(key); };
    events.refused = [this](const std::string& target, const std::string& host, const IpAddress& address) {
      refused_.push_back(fmt::format("{} {} {}", target, host, address.to_string()));
    };
    events.noted = [this](const std::string& target, const std::string& note) { notes_[target].push_back(note); };
    events.shared = [this](const std::string& target, const IpAddress& address) {
      shared_.push_back(target + " " + address.to_string());
    };
    targets_ = std::make_unique<Targets>(dns_, [this] { return now_; }, events, networks);
  }

  static std::string text(const ResultKey& key) {
    return fmt::format("{} {}{}", key.target, join_host_port(key.address, key.port),
                       key.transport == Transport::udp ? "/udp" : "");
  }
  void plan(const Planned& planned) {
    ++planned_;
    EXPECT_TRUE(targets_->scope().allows(planned.key.address)) << text(planned.key);
    current_[text(planned.key)] = planned;
  }
  void retire(const ResultKey& key) {
    ++retired_;
    retired_keys_.push_back(text(key));
    current_.erase(text(key));
  }

  TargetConfig& add(const std::string& name, std::vector<Port> ports = {Port{25}}) {
    TargetConfig target;
    target.name = name;
    target.checks = {"smtp_relay"};
    target.ports["smtp_relay"] = std::move(ports);
    config_.targets.push_back(target);
    return config_.targets.back();
  }
  void host(const std::string& name, const std::string& host) { add(name).place.host = host; }
  void mx(const std::string& name, const std::string& domain) { add(name).place.mx_of = domain; }
  void network(const std::string& name, const std::string& cidr) { add(name).place.network = Cidr::parse(cidr).value(); }
  void address(const std::string& name, const std::string& text) { add(name).place.address = at(text); }

  void apply() {
    targets_->apply(config_);
    check();
  }
  void refresh() {
    targets_->refresh();
    check();
  }
  void later(seconds span) {
    now_ += span;
    refresh();
  }
  // What the events told is what Targets says when it is asked.
  void check() {
    std::vector<std::string> told, says;
    for (const auto& [key, planned] : current_) told.push_back(key);
    targets_->each([&](const Planned& planned) {
      says.push_back(text(planned.key));
      const auto found = current_.find(says.back());
      EXPECT_TRUE(found != current_.end() && found->second.interval == planned.interval &&
                  found->second.paused == planned.paused)
          << says.back();
      const auto endpoint = targets_->endpoint(planned.key);
      EXPECT_TRUE(endpoint && endpoint->address == planned.key.address && endpoint->port.number == planned.key.port);
      return true;
    });
    std::sort(says.begin(), says.end());
    EXPECT_EQ(told, says);
  }
  std::vector<std::string> results() const {
    std::vector<std::string> list;
    for (const auto& [key, planned] : current_) list.push_back(key);
    return list;
  }
  std::string note(const std::string& target) const {
    for (const TargetStatus& status : targets_->status()) {
      if (status.name == target) return status.note;
    }
    return "no such target";
  }
  KnownResult known(const std::string& target, const std::string& address, std::uint16_t port = 25,
                    const std::string& host = "") {
    return {{target, at(address), port, Transport::tcp, "smtp_relay"}, host};
  }

  Time now_{hours(24 * 365 * 56)};
  TableDns dns_;
  Config config_;
  std::unique_ptr<Targets> targets_;
  std::map<std::string, Planned> current_;
  std::vector<std::string> retired_keys_, refused_, shared_;
  std::map<std::string, std::vector<std::string>> notes_;
  int planned_ = 0, retired_ = 0;
};

TEST_F(TargetsTest, EveryAddressOfAHostIsAnEndpoint) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5", "203.0.113.6"}, {"2001:db8::5"});
  apply();
  EXPECT_THAT(results(), IsEmpty());
  EXPECT_TRUE(targets_->status()[0].resolving);
  EXPECT_EQ(targets_->next_refresh(), now_);
  refresh();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.5:25", "mx1 203.0.113.6:25", "mx1 [2001:db8::5]:25"));
  EXPECT_FALSE(targets_->status()[0].resolving);
  EXPECT_EQ(targets_->status()[0].endpoints, 3U);
  const auto endpoint = targets_->endpoint(current_.begin()->second.key);
  EXPECT_EQ(endpoint->host, "mx1.example.org");
  EXPECT_THAT(endpoint->checks, ElementsAre("smtp_relay"));
  EXPECT_EQ(current_.begin()->second.interval, hours(1));
}

TEST_F(TargetsTest, ResolvesAgainByTtlWithinBounds) {
  host("short", "short.example.org");
  host("middle", "middle.example.org");
  host("long", "long.example.org");
  dns_.addresses("short.example.org", {"203.0.113.1"}, {}, seconds(0));
  dns_.addresses("middle.example.org", {"203.0.113.2"}, {}, seconds(300));
  dns_.addresses("long.example.org", {"203.0.113.3"}, {}, hours(48));
  apply();
  refresh();
  EXPECT_EQ(targets_->next_refresh(), now_ + seconds(30));
  later(seconds(29));
  EXPECT_EQ(dns_.asked["short.example.org"], 2);  // A and AAAA
  later(seconds(1));
  EXPECT_EQ(dns_.asked["short.example.org"], 4);
  EXPECT_EQ(dns_.asked["middle.example.org"], 2);
  later(seconds(270));
  EXPECT_EQ(dns_.asked["middle.example.org"], 4);
  EXPECT_EQ(dns_.asked["long.example.org"], 2);
  later(seconds(3300));
  EXPECT_EQ(dns_.asked["long.example.org"], 4);
}

TEST_F(TargetsTest, AnAddressThatLeavesIsRetired) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5", "203.0.113.6"}, {"2001:db8::5"});
  apply();
  refresh();
  dns_.addresses("mx1.example.org", {"203.0.113.6", "203.0.113.7"}, {});
  later(seconds(300));
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.6:25", "mx1 203.0.113.7:25"));
  EXPECT_THAT(retired_keys_, UnorderedElementsAre("mx1 203.0.113.5:25", "mx1 [2001:db8::5]:25"));
  EXPECT_EQ(planned_, 4);
  EXPECT_EQ(note("mx1"), "");
}

TEST_F(TargetsTest, ANameThatStopsResolvingKeepsItsAddressesAndSaysSo) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {"2001:db8::5"});
  apply();
  refresh();
  later(seconds(300));
  const auto states = {DnsState::failed, DnsState::no_such_name, DnsState::no_data};
  for (const DnsState state : states) {
    dns_.answer("mx1.example.org", DnsType::a, state);
    dns_.answer("mx1.example.org", DnsType::aaaa, state);
    later(seconds(300));
    EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.5:25", "mx1 [2001:db8::5]:25"));
    EXPECT_THAT(note("mx1"), HasSubstr("mx1.example.org does not resolve: as the test says; its last addresses are kept"));
    EXPECT_LE(*targets_->next_refresh(), now_ + seconds(60));
  }
  EXPECT_EQ(notes_["mx1"].size(), 1U);  // said once
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  later(seconds(60));
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.5:25"));
  EXPECT_THAT(notes_["mx1"].back(), "");
}

TEST_F(TargetsTest, OneFamilyFailingTouchesNotTheOther) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {"2001:db8::5"});
  apply();
  refresh();
  dns_.addresses("mx1.example.org", {"203.0.113.6"}, {});
  dns_.answer("mx1.example.org", DnsType::aaaa, DnsState::failed);
  later(seconds(300));
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.6:25", "mx1 [2001:db8::5]:25"));
  EXPECT_THAT(note("mx1"), HasSubstr("IPv6 addresses of mx1.example.org are not known now"));
  // Nothing of one family while the other cannot be asked: nobody knows whether the name is gone.
  dns_.answer("mx1.example.org", DnsType::a, DnsState::no_data);
  later(seconds(60));
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.6:25", "mx1 [2001:db8::5]:25"));
}

TEST_F(TargetsTest, AnAddressOutsideScopeIsNeverAnEndpointAndSaidOnce) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5", "198.51.100.9"}, {"fe80::1", "::ffff:192.0.2.1"});
  apply();
  refresh();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.5:25"));
  EXPECT_THAT(refused_, UnorderedElementsAre("mx1 mx1.example.org 198.51.100.9", "mx1 mx1.example.org fe80::1",
                                             "mx1 mx1.example.org 192.0.2.1"));
  EXPECT_THAT(note("mx1"), HasSubstr("are outside scope: not probed"));
  later(seconds(300));
  EXPECT_EQ(refused_.size(), 3U);  // unchanged: not said again
  // The name moves outside altogether: nothing is left to probe, and the case of the old address is retired.
  dns_.addresses("mx1.example.org", {"198.51.100.9"}, {});
  later(seconds(300));
  EXPECT_THAT(results(), IsEmpty());
  EXPECT_THAT(note("mx1"), "198.51.100.9 is outside scope: not probed");
  EXPECT_EQ(refused_.size(), 3U);
  EXPECT_FALSE(targets_->endpoint({"mx1", at("198.51.100.9"), 25, Transport::tcp, "smtp_relay"}));
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  later(seconds(300));
  dns_.addresses("mx1.example.org", {"198.51.100.9"}, {});
  later(seconds(300));
  EXPECT_EQ(refused_.size(), 4U);  // it changed: said again
}

TEST_F(TargetsTest, NoKindGetsPastTheScope) {
  address("a", "198.51.100.1");
  network("n", "203.0.112.0/23");
  mx("m", "example.org");
  dns_.exchangers("example.org", {"in.example.org", "out.example.org"});
  dns_.addresses("in.example.org", {"10.1.1.1"}, {});
  dns_.addresses("out.example.org", {"198.51.100.2"}, {});
  apply();
  refresh();
  EXPECT_EQ(results().size(), 257U);
  for (const auto& [key, planned] : current_) EXPECT_TRUE(targets_->scope().allows(planned.key.address));
  EXPECT_THAT(refused_, UnorderedElementsAre("a  198.51.100.1", "n  203.0.112.0", "m out.example.org 198.51.100.2"));
  EXPECT_THAT(note("n"), "256 addresses of 203.0.112.0/23 are outside scope and are not probed");
  // The scope shrinks on reload.
  config_.scope = {*Cidr::parse("203.0.113.0/25")};
  apply();
  EXPECT_EQ(results().size(), 128U);
  EXPECT_EQ(retired_, 129);
  EXPECT_THAT(refused_.back(), "m in.example.org 10.1.1.1");
}

TEST_F(TargetsTest, MailExchangers) {
  mx("mail", "example.org");
  dns_.exchangers("example.org", {"mx1.example.org", "mx2.example.org"}, seconds(100));
  dns_.addresses("mx1.example.org", {"203.0.113.1"}, {"2001:db8::1"});
  dns_.addresses("mx2.example.org", {"203.0.113.2", "203.0.113.1"}, {});
  apply();
  refresh();
  EXPECT_THAT(results(), ElementsAre("mail 203.0.113.1:25", "mail 203.0.113.2:25", "mail [2001:db8::1]:25"));
  EXPECT_EQ(targets_->endpoint(known("mail", "203.0.113.1").key)->host, "mx1.example.org");
  EXPECT_EQ(targets_->endpoint(known("mail", "203.0.113.2").key)->host, "mx2.example.org");
  EXPECT_EQ(targets_->status()[0].host, "example.org");
  EXPECT_EQ(targets_->next_refresh(), now_ + seconds(100));
  // One exchanger's own name fails: its addresses stay, the other's follow.
  dns_.answer("mx1.example.org", DnsType::a, DnsState::failed);
  dns_.answer("mx1.example.org", DnsType::aaaa, DnsState::failed);
  dns_.addresses("mx2.example.org", {"203.0.113.3"}, {});
  later(seconds(100));
  EXPECT_THAT(results(), ElementsAre("mail 203.0.113.1:25", "mail 203.0.113.3:25", "mail [2001:db8::1]:25"));
  EXPECT_THAT(note("mail"), HasSubstr("mx1.example.org does not resolve"));
  // An exchanger that the domain no longer names leaves, though its own name still fails.
  dns_.exchangers("example.org", {"mx2.example.org"});
  later(seconds(60));
  EXPECT_THAT(results(), ElementsAre("mail 203.0.113.3:25"));
  // The domain cannot be asked: everything stays.
  dns_.answer("example.org", DnsType::mx, DnsState::failed);
  later(seconds(300));
  EXPECT_THAT(results(), ElementsAre("mail 203.0.113.3:25"));
  EXPECT_THAT(note("mail"),
              HasSubstr("the mail exchangers of example.org are not known now: as the test says; the last addresses"));
}

TEST_F(TargetsTest, ImplicitAndNullMx) {
  mx("implicit", "plain.example.org");
  mx("null", "silent.example.org");
  dns_.answer("plain.example.org", DnsType::mx, DnsState::no_data);
  dns_.addresses("plain.example.org", {"203.0.113.1"}, {});
  dns_.null_mx("silent.example.org");
  dns_.addresses("silent.example.org", {"203.0.113.2"}, {});
  apply();
  refresh();
  EXPECT_THAT(results(), ElementsAre("implicit 203.0.113.1:25"));
  EXPECT_EQ(note("implicit"), "");
  EXPECT_THAT(note("null"), HasSubstr("takes no mail (null MX, RFC 7505)"));
  EXPECT_EQ(dns_.asked["silent.example.org"], 1);  // its addresses are nobody's business
  dns_.null_mx("plain.example.org");
  later(seconds(300));
  EXPECT_THAT(results(), IsEmpty());
}

TEST_F(TargetsTest, TooManyExchangersAreBounded) {
  mx("mail", "example.org");
  dns_.exchangers("example.org", {"h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9", "h10", "h11", "h12", "h13", "h14",
                                  "h15", "h16", "h17"});
  for (int i = 0; i < 18; ++i) dns_.addresses(fmt::format("h{}", i), {fmt::format("10.0.0.{}", i).c_str()}, {});
  apply();
  refresh();
  EXPECT_EQ(results().size(), Targets::kMaxExchangers);
  EXPECT_THAT(note("mail"), HasSubstr("more than 16 mail exchangers"));
}

TEST_F(TargetsTest, TheMostSpecificTargetOwnsAResult) {
  network("wide", "203.0.113.0/28");
  network("narrow", "203.0.113.4/30");
  host("named", "mx1.example.org");
  address("literal", "203.0.113.5");
  network("wide-too", "203.0.113.0/28");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  apply();
  const auto owner = [&](const std::string& address) {
    std::string found;
    for (const auto& [key, planned] : current_) {
      if (planned.key.address == at(address)) found += planned.key.target + " ";
    }
    return found;
  };
  EXPECT_EQ(owner("203.0.113.5"), "literal ");  // the name is not resolved yet
  refresh();
  EXPECT_EQ(owner("203.0.113.1"), "wide ");  // before wide-too by order
  EXPECT_EQ(owner("203.0.113.4"), "narrow ");
  EXPECT_EQ(owner("203.0.113.5"), "named ");  // before literal by order
  EXPECT_EQ(current_.size(), 16U);
  EXPECT_THAT(retired_keys_, ElementsAre("literal 203.0.113.5:25"));
  EXPECT_THAT(targets_->targets_at(at("203.0.113.5")), ElementsAre("named", "literal", "narrow", "wide", "wide-too"));
  std::map<std::string, std::uint64_t> endpoints;
  for (const TargetStatus& status : targets_->status()) endpoints[status.name] = status.endpoints;
  EXPECT_EQ(endpoints["wide"], 12U);
  EXPECT_EQ(endpoints["narrow"], 3U);
  EXPECT_EQ(endpoints["literal"], 0U);
  EXPECT_EQ(endpoints["wide-too"], 0U);
  // The name moves: literal has its address back.
  dns_.addresses("mx1.example.org", {"203.0.113.1"}, {});
  later(seconds(300));
  EXPECT_EQ(owner("203.0.113.5"), "literal ");
  EXPECT_EQ(owner("203.0.113.1"), "named ");
  EXPECT_EQ(current_.size(), 16U);
}

TEST_F(TargetsTest, OwnershipIsPerQuestion) {
  network("net", "203.0.113.4/30");
  add("one", {Port{587}, Port{465, Transport::tcp, true}}).place.address = at("203.0.113.5");
  apply();
  EXPECT_THAT(results(), ElementsAre("net 203.0.113.4:25", "net 203.0.113.5:25", "net 203.0.113.6:25", "net 203.0.113.7:25",
                                     "one 203.0.113.5:465", "one 203.0.113.5:587"));
  EXPECT_TRUE(targets_->endpoint(known("one", "203.0.113.5", 465).key)->port.tls);
  EXPECT_FALSE(targets_->endpoint(known("one", "203.0.113.5", 587).key)->port.tls);
  EXPECT_FALSE(targets_->endpoint(known("one", "203.0.113.5", 25).key));
  EXPECT_FALSE(targets_->endpoint(known("net", "203.0.113.5", 587).key));
}

TEST_F(TargetsTest, ReloadTouchesOnlyWhatDiffers) {
  network("net", "203.0.113.0/26");
  host("mx1", "mx1.example.org");
  address("single", "10.0.0.1");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  apply();
  refresh();
  const int before = planned_;
  const int asked = dns_.asked["mx1.example.org"];
  retired_keys_.clear();
  config_.targets[0].owner = "somebody";  // no result changes
  apply();
  EXPECT_EQ(planned_, before);
  EXPECT_THAT(retired_keys_, IsEmpty());
  refresh();
  EXPECT_EQ(dns_.asked["mx1.example.org"], asked);  // its addresses are kept, and when to ask again
  // Pausing and an interval are told, once per result; nothing is retired.
  config_.targets[2].paused = true;
  config_.targets[1].intervals["smtp_relay"] = minutes(10);
  apply();
  EXPECT_EQ(planned_, before + 2);
  EXPECT_THAT(retired_keys_, IsEmpty());
  EXPECT_TRUE(current_["single 10.0.0.1:25"].paused);
  EXPECT_EQ(current_["mx1 203.0.113.5:25"].interval, minutes(10));
  // A target that leaves gives its address back to the network around it.
  config_.targets.erase(config_.targets.begin() + 1);
  apply();
  EXPECT_THAT(retired_keys_, ElementsAre("mx1 203.0.113.5:25"));
  EXPECT_EQ(planned_, before + 3);
  EXPECT_TRUE(current_.contains("net 203.0.113.5:25"));
  // A network that shrinks.
  retired_keys_.clear();
  config_.targets[0].place.network = Cidr::parse("203.0.113.0/27");
  apply();
  EXPECT_EQ(retired_keys_.size(), 32U);
  // The agent's interval concerns everybody without an own one.
  config_.agent.interval = minutes(30);
  apply();
  EXPECT_EQ(current_["single 10.0.0.1:25"].interval, minutes(30));
  // The same name at another place is another target: nothing is inherited.
  config_.targets[1].place.address = at("10.0.0.2");
  apply();
  EXPECT_EQ(retired_keys_.back(), "single 10.0.0.1:25");
  EXPECT_TRUE(current_.contains("single 10.0.0.2:25"));
  config_.targets.clear();
  apply();
  EXPECT_THAT(results(), IsEmpty());
}

TEST_F(TargetsTest, TheOrderOfTiesMayChange) {
  network("a", "203.0.113.0/30");
  network("b", "203.0.113.0/30");
  apply();
  EXPECT_TRUE(current_.contains("a 203.0.113.1:25"));
  std::swap(config_.targets[0], config_.targets[1]);
  apply();
  EXPECT_EQ(retired_, 4);
  EXPECT_TRUE(current_.contains("b 203.0.113.1:25"));
}

TEST_F(TargetsTest, SeedsKeepProbingWhileTheDnsIsDown) {
  host("mx1", "mx1.example.org");
  mx("mail", "example.com");
  address("single", "10.0.0.1");
  network("net", "203.0.113.64/30");
  dns_.answer("mx1.example.org", DnsType::a, DnsState::failed);
  dns_.answer("mx1.example.org", DnsType::aaaa, DnsState::failed);
  dns_.answer("example.com", DnsType::mx, DnsState::failed);
  apply();
  targets_->seed({known("mx1", "203.0.113.5", 25, "mx1.example.org"), known("mx1", "198.51.100.1", 25, "mx1.example.org"),
                  known("mx1", "203.0.113.6", 25, "renamed.example.org"), known("mx1", "203.0.113.5", 2525, "mx1.example.org"),
                  known("mail", "203.0.113.7", 25, "mx.example.com"), known("single", "10.0.0.1"), known("single", "10.0.0.2"),
                  known("net", "203.0.113.65"), known("net", "203.0.113.68"), known("gone", "10.0.0.9")});
  check();
  EXPECT_TRUE(current_.contains("mx1 203.0.113.5:25"));
  EXPECT_TRUE(current_.contains("mail 203.0.113.7:25"));
  EXPECT_EQ(targets_->endpoint(known("mail", "203.0.113.7").key)->host, "mx.example.com");
  // What nobody asks for any more ends; an address outside the scope of today is not even tried.
  EXPECT_THAT(retired_keys_, UnorderedElementsAre("mx1 198.51.100.1:25", "mx1 203.0.113.6:25", "mx1 203.0.113.5:2525",
                                                  "single 10.0.0.2:25", "net 203.0.113.68:25", "gone 10.0.0.9:25"));
  EXPECT_EQ(results().size(), 7U);
  refresh();
  EXPECT_TRUE(current_.contains("mx1 203.0.113.5:25"));
  EXPECT_TRUE(current_.contains("mail 203.0.113.7:25"));
  EXPECT_THAT(note("mail"), HasSubstr("the last addresses are kept"));
  // The DNS is back, and knows better.
  dns_.addresses("mx1.example.org", {"203.0.113.8"}, {});
  dns_.exchangers("example.com", {"mx.example.com"});
  dns_.addresses("mx.example.com", {"203.0.113.7"}, {});
  retired_keys_.clear();
  later(seconds(60));
  EXPECT_THAT(retired_keys_, ElementsAre("mx1 203.0.113.5:25"));
  EXPECT_TRUE(current_.contains("mx1 203.0.113.8:25"));
  EXPECT_EQ(note("mail"), "");
}

TEST_F(TargetsTest, AnswersThatComeAfterTheTargetChangedAreForgotten) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  dns_.addresses("mx2.example.org", {"203.0.113.6"}, {});
  apply();
  dns_.held_back = "mx1.example.org";
  refresh();
  EXPECT_THAT(results(), IsEmpty());
  EXPECT_FALSE(targets_->next_refresh());
  config_.targets[0].place.host = "mx2.example.org";
  apply();
  EXPECT_EQ(targets_->next_refresh(), now_);
  refresh();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.6:25"));
  dns_.release();
  check();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.6:25"));
}

TEST_F(TargetsTest, ReloadWhileResolvingKeepsTheAnswer) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  apply();
  dns_.held_back = "mx1.example.org";
  refresh();
  config_.targets[0].owner = "somebody";
  apply();
  EXPECT_FALSE(targets_->next_refresh());  // not asked twice
  dns_.release();
  check();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.5:25"));
}

TEST_F(TargetsTest, MayBeDestroyedWhileResolving) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  apply();
  dns_.held_back = "mx1.example.org";
  refresh();
  targets_.reset();
  dns_.release();
  EXPECT_THAT(results(), IsEmpty());
  EXPECT_EQ(dns_.asked["mx1.example.org"], 1);  // and asks no more
}

TEST_F(TargetsTest, HugeNetworksAreBoundedAndSaySo) {
  add("huge", {Port{25}}).place.network = Cidr::parse("2001:db8::/64");
  config_.scope = {*Cidr::parse("2001:db8::/127")};  // keeps the test quick: two of the addresses counted are in scope
  targets_->apply(config_);
  EXPECT_THAT(results(), ElementsAre("huge [2001:db8::1]:25", "huge [2001:db8::]:25"));
  EXPECT_THAT(note("huge"), HasSubstr("only the first 1048576 addresses of 2001:db8::/64 are probed"));
}

// The whole way: what DNS says, through Targets and the scheduler, to what would be probed.
TEST_F(TargetsTest, ANameThatPointsOutsideIsNeverHandedOut) {
  Scheduler scheduler({1000, 0, 1, minutes(5)});
  TargetEvents events;
  events.planned = [&](const Planned& planned) { scheduler.add(planned.key, planned.interval, planned.paused, {}, now_); };
  events.retired = [&](const ResultKey& key) { scheduler.remove(key); };
  events.refused = [&](const std::string&, const std::string&, const IpAddress&) {};
  events.noted = [&](const std::string&, const std::string&) {};
  targets_ = std::make_unique<Targets>(dns_, [this] { return now_; }, events);
  host("mx1", "mx1.example.org");
  host("mx2", "mx2.example.org");
  dns_.addresses("mx2.example.org", {"203.0.113.2"}, {});
  targets_->apply(config_);
  std::map<std::string, int> probed;
  for (int step = 0; step < 2000; ++step) {
    switch (step % 7) {
      case 0:
        dns_.addresses("mx1.example.org", {"203.0.113.1"}, {}, seconds(30));
        break;
      case 2:
        dns_.addresses("mx1.example.org", {"198.51.100.1"}, {"2001:db9::1"}, seconds(30));
        break;
      case 4:
        dns_.addresses("mx1.example.org", {"203.0.113.1", "127.0.0.1"}, {"::1"}, seconds(30));
        break;
      case 5:
        dns_.answer("mx1.example.org", DnsType::a, DnsState::failed);
        break;
      default:
        break;
    }
    now_ += seconds(60);
    targets_->refresh();
    while (const auto visit = scheduler.next(now_)) {
      ASSERT_TRUE(targets_->scope().allows(visit->key.address));
      ASSERT_TRUE(targets_->endpoint(visit->key));
      ++probed[visit->key.address.to_string()];
      scheduler.finished(visit->key, now_);
    }
  }
  EXPECT_EQ(probed.size(), 2U);
  EXPECT_GT(probed["203.0.113.1"], 30);
  EXPECT_GE(probed["203.0.113.2"], 32);
}

// ---- targets that are found ----

TargetConfig found(const std::string& name, const std::string& place, std::vector<Port> ports = {Port{25}}) {
  TargetConfig target;
  target.name = name;
  target.place.address = IpAddress::parse(place);
  if (!target.place.address) target.place.host = place;
  target.checks = {"smtp_relay"};
  target.ports["smtp_relay"] = std::move(ports);
  return target;
}

TEST_F(TargetsTest, FoundTargetsComeChangeAndGo) {
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.1"}, {});
  dns_.addresses("mx2.example.org", {"203.0.113.2"}, {});
  apply();
  refresh();
  targets_->put(found("b", "203.0.113.9"));
  targets_->put(found("a", "mx2.example.org"));
  refresh();
  EXPECT_THAT(results(), ElementsAre("a 203.0.113.2:25", "b 203.0.113.9:25", "mx1 203.0.113.1:25"));
  EXPECT_EQ(targets_->size(), 3U);
  std::vector<std::string> names;
  for (const TargetStatus& status : targets_->status()) {
    names.push_back(status.name);
    EXPECT_EQ(status.config, targets_->find(status.name));
  }
  EXPECT_THAT(names, ElementsAre("mx1", "a", "b"));

  // The same again, or another owner: nobody is told.
  const int planned = planned_, retired = retired_;
  TargetConfig owned = found("b", "203.0.113.9");
  owned.owner = "mail-team";
  targets_->put(owned);
  targets_->put(owned);
  check();
  EXPECT_EQ(targets_->find("b")->owner, "mail-team");
  EXPECT_EQ(planned_, planned);
  EXPECT_EQ(retired_, retired);
  // Another port, a pause.
  owned.ports["smtp_relay"] = {Port{25}, Port{587}};
  owned.paused = true;
  targets_->put(owned);
  check();
  EXPECT_TRUE(current_.at("b 203.0.113.9:25").paused);
  EXPECT_TRUE(current_.contains("b 203.0.113.9:587"));
  EXPECT_EQ(retired_, retired);

  targets_->remove("b");
  targets_->remove("b");
  targets_->remove("nobody");
  check();
  EXPECT_THAT(results(), ElementsAre("a 203.0.113.2:25", "mx1 203.0.113.1:25"));
  EXPECT_EQ(targets_->find("b"), nullptr);
}

TEST_F(TargetsTest, FoundTargetsAreAskedInsideScopeAlone) {
  dns_.addresses("mx.example.org", {"203.0.113.1", "198.51.100.1"}, {"2001:db9::1"});
  apply();
  targets_->put(found("a", "mx.example.org"));
  targets_->put(found("b", "198.51.100.2"));
  refresh();
  EXPECT_THAT(results(), ElementsAre("a 203.0.113.1:25"));
  EXPECT_THAT(refused_,
              UnorderedElementsAre("b  198.51.100.2", "a mx.example.org 198.51.100.1", "a mx.example.org 2001:db9::1"));
  EXPECT_THAT(note("b"), HasSubstr("outside scope"));
}

TEST_F(TargetsTest, TheConfigurationOwnsItsNamesAndAddresses) {
  address("mx1", "203.0.113.1");
  apply();
  targets_->put(found("mx1", "203.0.113.5"));
  targets_->remove("mx1");
  check();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.1:25"));
  // At the same address the declared one is asked; the found one has what the other does not ask.
  targets_->put(found("z", "203.0.113.1", {Port{25}, Port{26}}));
  targets_->put(found("c", "203.0.113.1", {Port{26}}));
  check();
  EXPECT_THAT(results(), ElementsAre("c 203.0.113.1:26", "mx1 203.0.113.1:25"));
  targets_->remove("c");
  check();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.1:25", "z 203.0.113.1:26"));
}

TEST_F(TargetsTest, AReloadKeepsWhatIsFound) {
  address("mx1", "203.0.113.1");
  apply();
  dns_.addresses("mx2.example.org", {"203.0.113.2"}, {});
  targets_->put(found("found", "mx2.example.org"));
  targets_->put(found("twin", "203.0.113.7"));
  refresh();
  const int planned = planned_, retired = retired_, asked = dns_.asked["mx2.example.org"];
  address("mx3", "203.0.113.3");
  apply();
  EXPECT_EQ(planned_, planned + 1);
  EXPECT_EQ(retired_, retired);
  EXPECT_EQ(dns_.asked["mx2.example.org"], asked);
  // Declared meanwhile: its own now.
  address("twin", "203.0.113.8");
  apply();
  EXPECT_THAT(results(),
              ElementsAre("found 203.0.113.2:25", "mx1 203.0.113.1:25", "mx3 203.0.113.3:25", "twin 203.0.113.8:25"));
  targets_->remove("twin");
  check();
  EXPECT_NE(targets_->find("twin"), nullptr);
  // And the scope may shrink.
  config_.scope = {*Cidr::parse("203.0.113.2/32")};
  apply();
  EXPECT_THAT(results(), ElementsAre("found 203.0.113.2:25"));
}

// Whatever comes and goes: what was told is what is.
TEST_F(TargetsTest, FoundTargetsInAnyOrder) {
  network("net", "203.0.113.0/30");
  address("mx1", "203.0.113.1");
  for (int i = 0; i < 6; ++i) dns_.addresses(fmt::format("h{}.example.org", i), {"203.0.113.1", "10.0.0.1"}, {});
  apply();
  std::uint32_t seed = 1;
  const auto random = [&](std::uint32_t below) {
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 16U) % below;
  };
  for (int step = 0; step < 400; ++step) {
    const std::string name = fmt::format("t{}", random(6));
    const std::string place =
        random(2) == 0 ? fmt::format("h{}.example.org", random(6)) : fmt::format("203.0.113.{}", random(5));
    std::vector<Port> ports = {Port{static_cast<std::uint16_t>(25 + random(2))}};
    switch (random(4)) {
      case 0:
        targets_->remove(name);
        break;
      case 1:
        if (step % 5 == 0) apply();
        break;
      default:
        targets_->put(found(name, place, std::move(ports)));
        break;
    }
    later(seconds(random(40)));
    if (HasFailure()) break;
  }
  for (int i = 0; i < 6; ++i) targets_->remove(fmt::format("t{}", i));
  check();
  EXPECT_EQ(targets_->size(), 2U);
  EXPECT_EQ(results().size(), 4U);
}

TEST_F(TargetsTest, ResultsOfTargetsToBeFoundWait) {
  address("mx1", "203.0.113.1");
  apply();
  targets_->seed({known("mx1", "203.0.113.1"), known("mx1", "203.0.113.99"),
                  known("found", "203.0.113.2", 25, "mx2.example.org"), known("gone", "203.0.113.3")},
                 true);
  EXPECT_THAT(retired_keys_, ElementsAre("mx1 203.0.113.99:25"));
  // Its last known address is asked before the DNS answers.
  targets_->put(found("found", "mx2.example.org"));
  check();
  EXPECT_THAT(results(), ElementsAre("found 203.0.113.2:25", "mx1 203.0.113.1:25"));
  targets_->retire_unknown();
  EXPECT_THAT(retired_keys_, ElementsAre("mx1 203.0.113.99:25", "gone 203.0.113.3:25"));
  targets_->retire_unknown();
  EXPECT_EQ(retired_keys_.size(), 2U);
  check();
}

// ---- networks that are swept ----

class SweptTargetsTest : public TargetsTest {
 protected:
  SweptTargetsTest() : TargetsTest(Networks::swept) {}
  static Door door(const char* address, std::uint16_t port = 25) { return {at(address), port, Transport::tcp}; }
  std::size_t shared_of(const std::string& target) const {
    std::size_t count = 0;
    targets_->each_shared(target, [&](const IpAddress&) { ++count; });
    return count;
  }
};

TEST_F(SweptTargetsTest, AResultIsThereFromAdoptToRelease) {
  network("net", "203.0.113.0/26");
  apply();
  EXPECT_THAT(results(), IsEmpty());
  EXPECT_EQ(targets_->totals().endpoints, 64U);
  EXPECT_EQ(targets_->totals().by_check.at("smtp_relay"), 64U);
  const ResultKey key = known("net", "203.0.113.5").key;
  EXPECT_FALSE(targets_->endpoint(key));
  EXPECT_TRUE(targets_->owns(key));
  EXPECT_TRUE(targets_->adopt("net", door("203.0.113.5")));
  EXPECT_FALSE(targets_->adopt("net", door("203.0.113.5")));      // twice
  EXPECT_FALSE(targets_->adopt("net", door("203.0.113.5", 26)));  // no port of its own
  EXPECT_FALSE(targets_->adopt("net", door("203.0.113.65")));     // not in it
  EXPECT_FALSE(targets_->adopt("other", door("203.0.113.5")));
  check();
  EXPECT_THAT(results(), ElementsAre("net 203.0.113.5:25"));
  EXPECT_TRUE(targets_->endpoint(key));
  targets_->release("net", door("203.0.113.5"));
  check();
  EXPECT_THAT(results(), IsEmpty());
  EXPECT_THAT(retired_keys_, ElementsAre("net 203.0.113.5:25"));
  EXPECT_EQ(targets_->totals().endpoints, 64U);
}

// What is known to listen stays so when the configuration changes around it: a case is not retired for it.
TEST_F(SweptTargetsTest, AReloadKeepsWhatListens) {
  network("net", "203.0.113.0/26");
  apply();
  targets_->adopt("net", door("203.0.113.5"));
  targets_->adopt("net", door("203.0.113.40"));
  config_.targets[0].owner = "somebody";
  apply();
  config_.targets[0].place.network = Cidr::parse("203.0.113.0/27");
  apply();
  EXPECT_THAT(results(), ElementsAre("net 203.0.113.5:25"));
  EXPECT_THAT(retired_keys_, ElementsAre("net 203.0.113.40:25"));
  EXPECT_EQ(planned_, 2);
  config_.targets[0].ports["smtp_relay"] = {Port{587}};
  apply();
  EXPECT_THAT(results(), IsEmpty());
  // Another target has the network now, and asks the same.
  config_.targets[0].ports["smtp_relay"] = {Port{25}};
  apply();
  targets_->adopt("net", door("203.0.113.5"));
  config_.targets[0].name = "renamed";
  apply();
  EXPECT_THAT(results(), ElementsAre("renamed 203.0.113.5:25"));
}

TEST_F(SweptTargetsTest, KnownResultsAreThereAtOnce) {
  network("net", "203.0.113.64/30");
  apply();
  targets_->seed({known("net", "203.0.113.65"), known("net", "203.0.113.68"), known("net", "203.0.113.66", 2525)});
  check();
  EXPECT_THAT(results(), ElementsAre("net 203.0.113.65:25"));
  EXPECT_THAT(retired_keys_, UnorderedElementsAre("net 203.0.113.68:25", "net 203.0.113.66:2525"));
  EXPECT_THAT(targets_->listening("net"), ElementsAre(door("203.0.113.65")));
}

TEST_F(SweptTargetsTest, AHostTakesItsAddressAndGivesItBack) {
  network("net", "203.0.113.0/28");
  host("mx1", "mx1.example.org");
  dns_.addresses("mx1.example.org", {"203.0.113.5"}, {});
  apply();
  targets_->adopt("net", door("203.0.113.5"));
  refresh();
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.5:25"));
  EXPECT_THAT(shared_, ElementsAre("net 203.0.113.5"));
  EXPECT_THAT(targets_->owned("net", door("203.0.113.5")), IsEmpty());
  EXPECT_THAT(targets_->owned("net", door("203.0.113.6")), ElementsAre("smtp_relay"));
  EXPECT_EQ(shared_of("net"), 1U);
  dns_.addresses("mx1.example.org", {"203.0.113.7"}, {});
  later(seconds(300));
  EXPECT_THAT(results(), ElementsAre("mx1 203.0.113.7:25", "net 203.0.113.5:25"));
  EXPECT_EQ(shared_.size(), 3U);
}

TEST_F(SweptTargetsTest, WhatIsSharedIsWhatOthersHoldOrScopeDoesNotAllow) {
  network("wide", "203.0.113.0/26");
  network("narrow", "203.0.113.0/28");
  network("half", "203.0.112.0/23");  // 203.0.113.0/24 alone is inside scope
  address("one", "203.0.113.40");
  apply();
  EXPECT_EQ(shared_of("narrow"), 0U);
  EXPECT_EQ(shared_of("wide"), 17U);
  EXPECT_EQ(shared_of("half"), 256U + 64U);
  EXPECT_EQ(targets_->totals().endpoints, 256U);
  EXPECT_EQ(targets_->swept().size(), 3U);
}

// Arithmetic and a walk say the same.
TEST_F(SweptTargetsTest, CountsOfALargeNetworkWithAFewHostsInIt) {
  network("large", "10.0.0.0/12");
  address("a", "10.0.0.1");
  address("b", "10.15.255.255");
  add("c", {Port{587}}).place.address = at("10.1.0.0");
  address("d", "10.16.0.0");  // beside it
  apply();
  EXPECT_EQ(targets_->totals().endpoints, (1U << 20) + 2U);
  EXPECT_EQ(targets_->totals().by_check.at("smtp_relay"), (1U << 20) + 2U);
  EXPECT_EQ(targets_->status()[0].endpoints, (1U << 20) - 2U);
  EXPECT_EQ(shared_of("large"), 3U);
  EXPECT_EQ(targets_->any_address(true), at("10.16.0.0"));
  EXPECT_EQ(targets_->any_address(false), std::nullopt);
}

}  // namespace
}  // namespace ajar
