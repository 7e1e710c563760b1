#include "agent/sweep.h"

#include <map>
#include <set>
#include <vector>

#include <gmock/gmock.h>

#include "agent/resolver.h"
#include "config/config.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class NoDns : public Dns {
 public:
  Task<DnsAnswer> look_up(std::string, DnsType) override { co_return DnsAnswer{}; }
};

// A network of loopback addresses where this process listens at a few places.
class SweepTest : public testing::Test {
 protected:
  SweepTest() {
    config.scope = {*Cidr::parse("127.0.0.0/8")};
    options.connect_timeout = milliseconds(600);
    options.interval = milliseconds(1000);
    TargetEvents told;
    told.planned = [this](const Planned& plan) { planned.insert(plan.key.address.to_string() + " " + plan.key.check); };
    told.retired = [this](const ResultKey& key) { planned.erase(key.address.to_string() + " " + key.check); };
    told.refused = [](const std::string&, const std::string&, const IpAddress&) {};
    told.noted = [](const std::string&, const std::string&) {};
    targets = std::make_unique<Targets>(dns, wall_now, told, Networks::swept);
  }
  ~SweepTest() override {
    loop.shut_down();  // the knocks under way are given up
    loop.post([this] { loop.stop(); });
    loop.run();
  }

  void network(const char* text, std::vector<Port> ports, const std::string& check = "http_connect") {
    TargetConfig target;
    target.name = "net";
    target.place.network = Cidr::parse(text).value();
    target.checks = {check};
    target.ports[check] = std::move(ports);
    config.targets = {target};
  }
  void begin(SweepPace pace = {}) {
    targets->apply(config);
    SweepEvents events;
    events.allows = [this](const IpAddress& address) {
      ++asked;
      return targets->scope().allows(address);
    };
    events.found = [this](const std::string& target, const Door& door) { targets->adopt(target, door); };
    events.gone = [this](const std::string& target, const Door& door, SweepState) { targets->release(target, door); };
    events.paused = [this] { return paused; };
    sweep = std::make_unique<Sweep>(loop, gate, options, events, std::move(pace), "");
    sweep->apply(*targets);
    start(sweep->run());
  }
  // Runs the loop until it holds, or ten seconds have passed.
  template <class Holds>
  bool run_until(Holds holds) {
    start(watch(holds), [this] { loop.stop(); });
    loop.run();
    return holds();
  }
  template <class Holds>
  Task<void> watch(Holds holds) {
    const auto until = loop.now() + seconds(10);
    while (!holds() && loop.now() < until) co_await loop.sleep_for(milliseconds(20));
  }
  SweepCounts counts() {
    sweep->publish();
    return sweep->view()->front().summary.endpoints;
  }
  std::unique_ptr<Listener> listen(const std::string& address, std::uint16_t port = 0) {
    return std::make_unique<Listener>(loop, AddressPort{*IpAddress::parse(address), port},
                                      [](int fd, AddressPort) { close(fd); });
  }

  Loop loop;
  ConnectGate gate{loop, 0};
  NoDns dns;
  Config config;
  SweepOptions options;
  std::set<std::string> planned;
  std::size_t asked = 0;
  bool paused = false;
  std::unique_ptr<Targets> targets;
  std::unique_ptr<Sweep> sweep;
};

TEST_F(SweepTest, OnlyWhereSomethingListensAreTheChecksPlanned) {
  const auto first = listen("127.44.0.5");
  const std::uint16_t port = first->address().port;
  const auto second = listen("127.44.1.200", port);
  network("127.44.0.0/22", {Port{port}});
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_THAT(planned, UnorderedElementsAre("127.44.0.5 http_connect", "127.44.1.200 http_connect"));
  EXPECT_EQ(counts()[SweepState::listening], 2U);
  EXPECT_EQ(counts()[SweepState::refused], 1022U);
  EXPECT_EQ(targets->totals().endpoints, 1024U);
}

TEST_F(SweepTest, OfIpv6AsWell) {
  config.scope.push_back(*Cidr::parse("::1/128"));
  const auto first = listen("::1");
  auto second = listen("::1");
  const std::uint16_t port = first->address().port, closed = second->address().port;
  second.reset();
  network("::1/128", {Port{port}, Port{closed}});
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_THAT(planned, ElementsAre("::1 http_connect"));
  EXPECT_EQ(counts()[SweepState::listening], 1U);
  EXPECT_EQ(counts()[SweepState::refused], 1U);
}

TEST_F(SweepTest, WhatOpensLaterIsFoundAndWhatIsGoneIsAskedFor) {
  auto first = listen("127.44.0.5");
  const std::uint16_t port = first->address().port;
  network("127.44.0.0/28", {Port{port}});
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_THAT(planned, ElementsAre("127.44.0.5 http_connect"));
  const auto second = listen("127.44.0.9", port);
  EXPECT_TRUE(run_until([&] { return planned.size() == 2; }));
  const Door gone{*IpAddress::parse("127.44.0.5"), port, Transport::tcp};
  sweep->ask("net", gone);  // it is still there
  EXPECT_TRUE(run_until([&] { return sweep->under_way() == 0; }));
  EXPECT_EQ(planned.size(), 2U);
  first.reset();
  sweep->ask("net", gone);
  EXPECT_TRUE(run_until([&] { return planned.size() == 1; }));
  EXPECT_THAT(planned, ElementsAre("127.44.0.9 http_connect"));
  EXPECT_EQ(counts()[SweepState::listening], 1U);
}

// A burst of 15,000 connections: none is lost, whatever the loop has to do meanwhile.
TEST_F(SweepTest, NoneOfABurstIsLost) {
  const Listener listener(loop, AddressPort{*IpAddress::parse("127.44.64.1"), 0}, [](int fd, AddressPort) { close(fd); });
  network("127.44.64.0/18", {Port{listener.address().port}});
  options.concurrency = 15'000;
  options.connect_timeout = seconds(5);
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_EQ(counts()[SweepState::refused], 16'383U);
  EXPECT_EQ(counts()[SweepState::silent], 0U);
  EXPECT_EQ(counts()[SweepState::listening], 1U);
}

TEST_F(SweepTest, UdpIsAskedInItsOwnWords) {
  std::vector<std::string> heard;
  const DatagramListener answers(loop, *AddressPort::parse("127.44.0.3:0"),
                                 [&](std::string_view bytes, const AddressPort&, const AddressPort&) {
                                   heard.emplace_back(bytes);
                                   return std::string("an answer");
                                 });
  const std::uint16_t port = answers.address().port;
  const DatagramListener silent(loop, AddressPort{*IpAddress::parse("127.44.0.2"), port},
                                [](std::string_view, const AddressPort&, const AddressPort&) { return std::string(); });
  network("127.44.0.0/29", {Port{port, Transport::udp}}, "turn_relay");
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_THAT(planned, ElementsAre("127.44.0.3 turn_relay"));
  EXPECT_THAT(heard, ElementsAre(std::string(find_check("turn_relay")->knock)));
  EXPECT_EQ(counts()[SweepState::silent], 1U);
  EXPECT_EQ(counts()[SweepState::refused], 6U);
}

TEST_F(SweepTest, ThePaceIsAskedAndTold) {
  std::map<std::string, int> started, ended;
  std::set<std::string> waited;
  SweepPace pace;
  pace.earliest = [&](const IpAddress& address, Time now) -> std::optional<Time> {
    if (!waited.insert(address.to_string()).second) return std::nullopt;
    return now + milliseconds(40);
  };
  pace.started = [&](const IpAddress& address, Time) { ++started[address.to_string()]; };
  pace.ended = [&](const IpAddress& address, Time, bool timed_out) { ended[address.to_string()] += timed_out ? 100 : 1; };
  network("127.44.0.0/28", {Port{9}});
  options.interval = std::chrono::hours(1);
  begin(pace);
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_EQ(waited.size(), 16U);
  EXPECT_EQ(started.size(), 16U);
  EXPECT_EQ(ended, started);
}

TEST_F(SweepTest, OneKnockAtATimeToAnAddress) {
  std::map<std::string, int> now_there;
  int most = 0;
  SweepPace pace;
  pace.started = [&](const IpAddress& address, Time) { most = std::max(most, ++now_there[address.to_string()]); };
  pace.ended = [&](const IpAddress& address, Time, bool) { --now_there[address.to_string()]; };
  network("127.44.0.4/31", {Port{7}, Port{9}, Port{11}, Port{13}});
  begin(pace);
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_EQ(most, 1);
}

TEST_F(SweepTest, APauseStopsIt) {
  network("127.44.0.0/24", {Port{9}});
  paused = true;
  begin();
  const auto later = [&, until = loop.now() + milliseconds(200)] { return loop.now() > until; };
  EXPECT_TRUE(run_until(later));
  EXPECT_EQ(asked, 0U);
  paused = false;
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  config.targets.front().paused = true;
  targets->apply(config);
  sweep->apply(*targets);
  const std::size_t before = asked;
  EXPECT_FALSE(sweep->ask_now("net"));
  EXPECT_TRUE(run_until([&, until = loop.now() + milliseconds(200)] { return loop.now() > until; }));
  EXPECT_EQ(asked, before);
}

TEST_F(SweepTest, TheGateHoldsItBack) {
  gate.set_rate(200);
  network("127.44.0.0/24", {Port{9}});
  const auto begun = loop.now();
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_GE(loop.now() - begun, milliseconds(1100));  // 256 at 200 a second
  EXPECT_LE(loop.now() - begun, milliseconds(5000));
}

// The address of another target is asked by that target alone, and by the network again when it leaves.
TEST_F(SweepTest, AnAddressThatAnotherTargetTakesIsPassedBy) {
  const auto there = listen("127.44.0.5");
  const std::uint16_t port = there->address().port;
  network("127.44.0.0/28", {Port{port}});
  begin();
  TargetConfig host = config.targets.front();
  host.name = "host";
  host.place = {};
  host.place.address = IpAddress::parse("127.44.0.6");
  targets->put(host);
  sweep->shared(*targets, "net", *host.place.address);
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_EQ(counts().all(), 15U);
  targets->remove("host");
  sweep->shared(*targets, "net", *host.place.address);
  EXPECT_EQ(counts()[SweepState::never], 1U);
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::refused] == 15; }));
}

// From an address that is not ours nothing can be asked: that says nothing of them.
TEST_F(SweepTest, AWrongSourceAddressIsOurOwnTrouble) {
  options.source_addresses = {*IpAddress::parse("192.0.2.1")};
  network("127.44.0.0/30", {Port{9}});
  begin();
  EXPECT_TRUE(run_until([&] { return counts()[SweepState::never] == 0; }));
  EXPECT_EQ(counts()[SweepState::no_route], 4U);
  EXPECT_EQ(counts().covered, 0U);
  EXPECT_THAT(planned, IsEmpty());
}

}  // namespace
}  // namespace ajar
