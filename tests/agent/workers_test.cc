// Probes on threads of their own: the same records as on one loop, and every question that crosses over answered once and in
// order. Real sockets on loopback.
#include "agent/workers.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <future>
#include <map>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/crash_journal.h"
#include "tests/support/ledger_steps.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class AlwaysUp : public CanaryStatus {
 public:
  CanaryHealth health(CanaryKind) const override { return {true, true, ""}; }
  std::vector<AddressPort> advertised(CanaryKind kind) const override {
    if (kind != CanaryKind::tcp) return {};
    return {*AddressPort::parse("198.51.100.7:8025"), *AddressPort::parse("198.51.100.7:80")};
  }
  Task<std::optional<AddressPort>> reserve(std::string token, bool v4, std::optional<IpAddress>) const override {
    lent.push_back(std::move(token));
    threads.insert(std::this_thread::get_id());
    if (!v4) co_return std::nullopt;
    co_return AddressPort::parse("198.51.100.7:50000");
  }
  void release(const std::string& token) const override {
    threads.insert(std::this_thread::get_id());
    std::erase(lent, token);
  }
  mutable std::vector<std::string> lent;  // the tokens
  mutable std::set<std::thread::id> threads;
};

using Serve = Task<void> (*)(Link&);

Task<void> serve_one(Loop& loop, int fd, Serve serve) {
  Transcript transcript;
  LiveLink link(loop, fd, LiveLink::Side::server, nullptr, transcript, milliseconds(5000), loop.now() + milliseconds(20000));
  try {
    co_await serve(link);
  } catch (const LinkError&) {
  }
}

Task<void> refuse_http(Link& link) {
  std::string line = co_await link.hear();
  while (!line.empty()) line = co_await link.hear();
  const std::string refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  co_await link.say_bytes(refusal);
}

Task<void> say_nothing(Link& link) {
  for (;;) {
    const std::string heard = co_await link.hear_some();
    if (heard.empty()) co_return;
  }
}

// Takes every recipient, and every message.
Task<void> relay_mail(Link& link) {
  co_await link.say("220 relay.example.org ESMTP");
  for (;;) {
    const std::string line = co_await link.hear();
    if (line == "DATA") {
      co_await link.say("354 go on");
      std::string text = co_await link.hear();
      while (text != ".") text = co_await link.hear();
    }
    if (line.starts_with("QUIT")) {
      co_await link.say("221 bye");
      co_return;
    }
    co_await link.say("250 ok");
  }
}

// -- checks that ask what a probe asks of the rest --

std::function<void(Canary&, const Subject&)> at_check;  // on the worker's thread

Task<Finding> finds_what_it_is_told(Network&, Canary& canary, const Subject& subject) {
  at_check(canary, subject);
  Finding finding;
  finding.verdict = Verdict::closed;
  finding.reason = Reason::refused;
  co_return finding;
}

Task<Finding> asks_for_a_port(Network&, Canary& canary, const Subject&) {
  const std::string token = canary.mint("port");
  const std::optional<AddressPort> place = co_await canary.reserve(token, true, std::nullopt);
  const std::string other = canary.mint("port");
  const std::optional<AddressPort> none = co_await canary.reserve(other, false, std::nullopt);
  Finding finding;
  finding.because = (place ? place->to_string() : "none") + " " + (none ? none->to_string() : "none");
  co_return finding;
}

Task<Finding> sends_a_message(Network&, Canary& canary, const Subject&) {
  const std::string token = canary.mint("message"), name = "external/plain";
  const Permit permit = co_await canary.ask_to_send(token, name, name);
  Finding finding;
  finding.because = fmt::format("permit {}", static_cast<int>(permit));
  canary.expect_late(token, name);
  canary.not_sent(token);
  co_return finding;
}

// Until the canary has seen its token, or for ever.
Task<Finding> waits_for_its_token(Network&, Canary& canary, const Subject& subject) {
  const std::string token = canary.mint("token");
  at_check(canary, subject);
  const std::optional<Sighting> seen = co_await canary.sighting(token, SightingWait::lag);
  Finding finding;
  finding.verdict = seen && seen->proof ? Verdict::open : Verdict::accepted;
  finding.reason = seen ? Reason::token_returned : Reason::no_proof;
  co_return finding;
}

constexpr CheckInfo info_of(CheckFunction function) {
  CheckInfo info;
  info.name = "http_connect";
  info.protocol = "HTTP";
  info.function = function;
  return info;
}
const CheckInfo kTold = info_of(finds_what_it_is_told);
const CheckInfo kPort = info_of(asks_for_a_port);
const CheckInfo kMessage = info_of(sends_a_message);
const CheckInfo kToken = info_of(waits_for_its_token);

IpAddress host(unsigned network) { return IpAddress::v4({127, 20, static_cast<std::uint8_t>(network), 1}); }

class WorkersTest : public testing::Test {
 protected:
  WorkersTest() {
    config_->scope = {*Cidr::parse("127.0.0.0/8")};
    config_->agent.reply_timeout = milliseconds(2000);
    config_->agent.connect_timeout = milliseconds(2000);
    config_->canary.host = "canary.example.net";
    config_->canary.mail_domain = "canary.example.net";
    // A loop that is never quiet shows nothing: whatever goes wrong ends the test.
    limit_ = std::thread([this] {
      std::unique_lock lock(mutex_);
      const bool in_time = over_.wait_for(lock, std::chrono::seconds(60), [this] { return is_over_; });
      if (!in_time) std::abort();
    });
  }
  ~WorkersTest() override {
    end_workers();
    loop_.shut_down();
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    over_.notify_all();
    limit_.join();
    at_check = nullptr;
  }

  void begin_workers(unsigned count) {
    workers_ = std::make_unique<Workers>(
        world_, count,
        Workers::Hooks{[this] { ++begun_; },
                       [this](const Arrival& arrival) { said_.push_back("outran " + word(arrival.token)); }});
  }
  void end_workers() {
    if (!workers_) return;
    workers_->shut_down([this] { loop_.stop(); });
    loop_.run();
    loop_.shut_down();
    workers_.reset();
  }
  // One word for each token, in the order in which the main loop hears of them.
  std::string word(const std::string& token) {
    const auto known = std::find(tokens_.begin(), tokens_.end(), token);
    if (known == tokens_.end()) tokens_.push_back(token);
    return "t" + std::to_string(std::distance(tokens_.begin(), std::find(tokens_.begin(), tokens_.end(), token)) + 1);
  }

  std::uint16_t serve(const IpAddress& address, Serve how) {
    listeners_.push_back(std::make_unique<Listener>(loop_, AddressPort{address, 0},
                                                    [this, how](int fd, AddressPort) { start(serve_one(loop_, fd, how)); }));
    return listeners_.back()->address().port;
  }
  ProbePlan plan(const IpAddress& address, std::uint16_t port, const CheckInfo* check) const {
    ProbePlan plan;
    plan.config = config_;
    plan.check = check;
    plan.key = {"t", address, port, Transport::tcp, std::string(check->name)};
    return plan;
  }

  // Runs them all, on the workers where there are some; what came of each.
  std::map<ResultKey, Record> ask(const std::vector<std::vector<ProbePlan>>& visits) {
    records_.clear();
    pending_ = visits.size();
    whole_ = 0;
    for (const std::vector<ProbePlan>& plans : visits) start(visit(plans));
    if (pending_ > 0) loop_.run();
    return records_;
  }
  Task<void> visit(std::vector<ProbePlan> plans) {
    const std::function<void(const Record&)> done = [this](const Record& record) {
      EXPECT_EQ(std::this_thread::get_id(), main_thread_);
      said_.push_back("record");
      records_[record.key] = record;
    };
    bool whole = false;
    if (workers_) {
      whole = co_await workers_->visit(std::move(plans), done);
    } else {
      whole = co_await run_visit(world_, std::move(plans), done);
    }
    EXPECT_EQ(std::this_thread::get_id(), main_thread_);
    whole_ += whole ? 1 : 0;
    if (--pending_ == 0) loop_.stop();
  }
  void say(const std::string& what) {
    EXPECT_EQ(std::this_thread::get_id(), main_thread_);
    said_.push_back(what);
  }
  Task<Permit> permit(Message message) {
    say("ask " + word(message.token));
    if (keep_waiting_) co_await loop_.sleep_for(std::chrono::hours(1));
    co_return Permit::granted;
  }
  // What does not depend on which of two that speak at the same time comes first.
  static std::string digest(const Record& record) {
    return fmt::format("{} {} {}", to_string(record.finding.verdict), to_string(record.finding.reason), record.finding.because);
  }

  const std::thread::id main_thread_ = std::this_thread::get_id();
  Loop loop_;
  ConnectGate gate_{loop_, 0};
  ProbeTls tls_;
  CanaryKeys keys_{CanaryKeys::random()};
  AlwaysUp status_;
  Answered answered_;
  Sightings sightings_{loop_, milliseconds(0)};
  std::mutex mutex_;
  std::set<std::thread::id> probing_;  // threads that began a probe
  Vantage vantage_;
  std::vector<std::string> said_;  // on the main loop, in order
  std::vector<std::string> tokens_;
  ProbeWorld world_{loop_,
                    gate_,
                    tls_,
                    keys_,
                    &status_,
                    {[this](Message message) { return permit(std::move(message)); },
                     [this](const Message& message) { say("remember " + word(message.token)); },
                     [this](const std::string& token) { say("not sent " + word(token)); }},
                    answered_,
                    sightings_,
                    wall_now,
                    [this](int) {
                      const std::lock_guard lock(mutex_);
                      probing_.insert(std::this_thread::get_id());
                    },
                    &vantage_,
                    [this](const ResultKey&) { say("survived"); }};
  std::shared_ptr<Config> config_ = std::make_shared<Config>();
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<Workers> workers_;
  std::atomic<unsigned> begun_{0};
  bool keep_waiting_ = false;
  std::map<ResultKey, Record> records_;
  std::size_t pending_ = 0;
  int whole_ = 0;

  std::condition_variable over_;
  bool is_over_ = false;
  std::thread limit_;
};

TEST(WorkerOf, ANetworkHasOneWorker) {
  std::map<std::size_t, int> load;
  for (unsigned network = 0; network < 1024; ++network) {
    const auto of = [&](unsigned last) {
      return worker_of(IpAddress::v4({10, static_cast<std::uint8_t>(network >> 8), static_cast<std::uint8_t>(network),
                                      static_cast<std::uint8_t>(last)}),
                       3);
    };
    EXPECT_EQ(of(0), of(255));
    ++load[of(7)];
  }
  ASSERT_THAT(load, SizeIs(3));
  for (const auto& [worker, networks] : load)
    EXPECT_THAT(networks, testing::AllOf(testing::Gt(240), testing::Lt(440))) << worker;
  EXPECT_EQ(worker_of(*IpAddress::parse("2001:db8:0:1::1"), 7), worker_of(*IpAddress::parse("2001:db8:0:1:ffff::9"), 7));
  std::set<std::size_t> of_six;
  for (int i = 0; i < 64; ++i) of_six.insert(worker_of(*IpAddress::parse(fmt::format("2001:db8:0:{:x}::1", i)), 7));
  EXPECT_THAT(of_six, SizeIs(7));
  EXPECT_EQ(worker_of(*IpAddress::parse("203.0.113.5"), 1), 0U);
}

TEST(OutboxTest, EachThreadsWorkIsDoneInItsOrder) {
  constexpr int kThreads = 4, kEach = 2000;
  Loop loop;
  Outbox outbox(loop);
  std::array<int, kThreads> next{};
  int out_of_order = 0, done = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        outbox.push([&, thread, i] {
          out_of_order += next.at(static_cast<std::size_t>(thread))++ == i ? 0 : 1;
          if (++done == kThreads * kEach) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, kThreads * kEach);
  EXPECT_EQ(out_of_order, 0);
}

TEST(OutboxTest, WhatRunsItFromWithinFindsItsTurnKept) {
  Loop loop;
  Outbox outbox(loop);
  std::vector<int> order;
  outbox.push([&] {
    outbox.push([&] { order.push_back(3); });
    order.push_back(1);
    outbox.run();
    order.push_back(4);
  });
  outbox.push([&] { order.push_back(2); });
  outbox.run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3, 4));
}

TEST_F(WorkersTest, TheRecordsAreThoseOfOneLoop) {
  std::vector<std::vector<ProbePlan>> visits;
  for (unsigned i = 0; i < 24; ++i) {
    const Serve how = std::array<Serve, 3>{refuse_http, say_nothing, relay_mail}.at(i % 3);
    const std::uint16_t port = serve(host(i), how);
    visits.push_back({plan(host(i), port, find_check("http_connect")), plan(host(i), port, find_check("socks5"))});
  }
  visits.push_back({plan(host(30), 9, find_check("http_connect"))});  // where nobody listens
  const std::map<ResultKey, Record> alone = ask(visits);
  EXPECT_THAT(probing_, ElementsAre(main_thread_));
  probing_.clear();
  begin_workers(3);
  const std::map<ResultKey, Record> shared = ask(visits);
  EXPECT_EQ(whole_, 25);
  EXPECT_EQ(begun_, 3U);
  EXPECT_THAT(probing_, SizeIs(3));
  EXPECT_FALSE(probing_.contains(main_thread_));
  ASSERT_EQ(shared.size(), alone.size());
  for (const auto& [key, record] : alone) EXPECT_EQ(digest(shared.at(key)), digest(record)) << key.address.to_string();
  // What one of them learnt of a port is asked for where its address is.
  const ResultKey& first = visits.front().front().key;
  EXPECT_TRUE(workers_->answered(first.address).connected_on_another_port(first.address, 1, Transport::tcp));
}

TEST_F(WorkersTest, AMessageIsPermittedByTheMainLoopAndInOrder) {
  begin_workers(2);
  const auto records = ask({{plan(host(1), 9, &kMessage)}});
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records.begin()->second.finding.because, fmt::format("permit {}", static_cast<int>(Permit::granted)));
  EXPECT_THAT(said_, ElementsAre("ask t1", "remember t1", "not sent t1", "record", "survived"));
}

// A whole conversation that ends in a message.
TEST_F(WorkersTest, AnOpenRelayIsAskedToCarryOneMessage) {
  const std::uint16_t port = serve(host(2), relay_mail);
  begin_workers(2);
  const auto records = ask({{plan(host(2), port, find_check("smtp_relay"))}});
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records.begin()->second.finding.verdict, Verdict::accepted) << digest(records.begin()->second);
  ASSERT_GE(said_.size(), 3U);
  EXPECT_EQ(said_.front(), "ask t1");
}

TEST_F(WorkersTest, APortIsLentAndGivenBackOnTheMainLoop) {
  begin_workers(2);
  const auto records = ask({{plan(host(1), 9, &kPort)}, {plan(host(2), 9, &kPort)}});
  ASSERT_THAT(records, SizeIs(2));
  for (const auto& [key, record] : records) EXPECT_EQ(record.finding.because, "198.51.100.7:50000 none");
  end_workers();
  EXPECT_THAT(status_.lent, IsEmpty());
  EXPECT_THAT(status_.threads, ElementsAre(main_thread_));
}

Arrival proof_of(const std::string& token) {
  Arrival arrival;
  arrival.token = token;
  arrival.proof = true;
  arrival.peer = *AddressPort::parse("203.0.113.9:4711");
  arrival.facts = {"GET /<token> HTTP/1.1"};
  return arrival;
}

// The canary is the main loop's, and has told the worker when its answer goes out: no patience is needed.
TEST_F(WorkersTest, WhatTheCanarySawIsThereWhenItsAnswerIs) {
  begin_workers(2);
  at_check = [this](Canary& canary, const Subject&) {
    std::promise<bool> noted;
    const std::string token = dynamic_cast<ProbeCanary&>(canary).tokens().front();
    loop_.post([&] { noted.set_value(workers_->note(proof_of(token))); });
    EXPECT_TRUE(noted.get_future().get());
  };
  const auto records = ask({{plan(host(1), 9, &kToken)}});
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records.begin()->second.finding.verdict, Verdict::open);
  EXPECT_THAT(records.begin()->second.arrivals, SizeIs(1));
  EXPECT_FALSE(workers_->note(proof_of("nobodys")));
}

// The ledger learns of a token a moment after the probe has said that it may come late. A proof that comes in between is not
// lost, whichever way round.
TEST_F(WorkersTest, AProofThatOutrunsTheLedgerIsJudgedAllTheSame) {
  begin_workers(1);
  at_check = [this](Canary& canary, const Subject&) {
    const std::string token = canary.mint("late");
    std::promise<void> noted;
    loop_.post([&] {
      workers_->note(proof_of(token));
      say("arrived " + word(token));
      noted.set_value();
    });
    noted.get_future().get();
    canary.expect_late(token, "late");
  };
  ask({{plan(host(1), 9, &kTold)}});
  EXPECT_THAT(said_, ElementsAre("arrived t1", "remember t1", "outran t1", "record", "survived"));
}

TEST_F(WorkersTest, WhatAWorkerSaidIsKnownWhenAnArrivalIsJudged) {
  begin_workers(1);
  std::promise<std::string> token;
  std::promise<void> go_on;
  at_check = [&](Canary& canary, const Subject&) {
    const std::string late = canary.mint("late");
    canary.expect_late(late, "late");
    token.set_value(late);
    go_on.get_future().wait();
  };
  // Before the loop has come to what the worker pushed.
  start(visit({plan(host(1), 9, &kTold)}));
  pending_ = 1;
  const std::string late = token.get_future().get();
  EXPECT_TRUE(workers_->note(proof_of(late)));
  EXPECT_THAT(said_, ElementsAre("remember t1"));
  go_on.set_value();
  loop_.run();
}

TEST_F(WorkersTest, TheVantageIsThatOfTheMainLoop) {
  begin_workers(2);
  std::vector<IpAddress> seen;
  at_check = [&](Canary&, const Subject& subject) { seen = subject.our_addresses; };
  ask({{plan(host(1), 9, &kTold)}});
  EXPECT_THAT(seen, IsEmpty());
  vantage_.addresses = {*IpAddress::parse("203.0.113.77")};
  workers_->know(vantage_);
  ask({{plan(host(1), 9, &kTold)}});
  EXPECT_EQ(seen, vantage_.addresses);
}

// Whatever they wait for: a server, the ledger, the canary.
TEST_F(WorkersTest, ShuttingDownEndsEveryVisitAndKeepsWhatWasLearnt) {
  sightings_.set_patience(std::chrono::hours(1));
  keep_waiting_ = true;
  config_->agent.reply_timeout = config_->agent.probe_timeout = std::chrono::hours(1);
  const std::uint16_t silent = serve(host(1), say_nothing);
  begin_workers(2);
  std::atomic<int> waiting{0};
  at_check = [&](Canary&, const Subject&) { ++waiting; };
  records_.clear();
  pending_ = 6;
  for (unsigned i = 1; i <= 2; ++i) {
    start(visit({plan(host(i), 9, &kToken)}));
    start(visit({plan(host(i), 9, &kMessage)}));
  }
  start(visit({plan(host(1), silent, find_check("http_connect"))}));
  start(visit({plan(host(3), 9, &kTold)}));
  // At once: what has its turn before the end is done, the rest ends.
  bool ended = false;
  loop_.post([&] {
    workers_->shut_down([&] {
      ended = true;
      EXPECT_EQ(pending_, 0U);
      loop_.post([this] { loop_.stop(); });
    });
  });
  loop_.run();  // the last visit stops it once, the end of all again
  if (!ended) loop_.run();
  EXPECT_TRUE(ended);
  loop_.shut_down();
  workers_.reset();
  EXPECT_EQ(waiting, 3);
  EXPECT_THAT(records_, SizeIs(1));
  EXPECT_TRUE(records_.contains(plan(host(3), 9, &kTold).key));
  EXPECT_EQ(whole_, 1);
  // Whatever the ledger would have answered: nothing was sent.
  EXPECT_THAT(said_, testing::IsSupersetOf({"ask t1", "ask t2", "not sent t1", "not sent t2"}));
}

TEST_F(WorkersTest, OneThatDoesNotComeRoundIsFound) {
  begin_workers(2);
  EXPECT_EQ(workers_->late(), 0U);
  std::promise<std::uint32_t> began;
  std::promise<void> go_on;
  at_check = [&](Canary&, const Subject&) {
    began.set_value(static_cast<std::uint32_t>(syscall(SYS_gettid)));
    go_on.get_future().wait();
  };
  start(visit({plan(host(1), 9, &kTold)}));
  pending_ = 1;
  const std::uint32_t thread = began.get_future().get();
  // The other one may take a moment; this one never comes.
  while (workers_->late() != thread) std::this_thread::yield();
  go_on.set_value();
  loop_.run();
  while (workers_->late() != 0) std::this_thread::yield();
}

TEST_F(WorkersTest, TheRateIsOfAllLoopsTogether) {
  Loop other;
  ConnectGate here(loop_, 100), there(other, here, [](const IpAddress&, PaceNews) {});
  const auto begin = Steady::now();
  const auto take = [](Loop& loop, ConnectGate& gate) -> Task<void> {
    for (int i = 0; i < 10; ++i) co_await gate.turn();
    loop.stop();
  };
  std::thread thread([&] {
    start(take(other, there));
    other.run();
  });
  start(take(loop_, here));
  loop_.run();
  thread.join();
  EXPECT_GE(Steady::now() - begin, milliseconds(190));  // twenty turns, the first at once
  there.set_rate(0);
  EXPECT_TRUE(here.turn().await_ready());
}

// -- a crash on a worker --

std::atomic<std::uint32_t> hanging{0};  // its thread

ResultKey in_hand_key() { return {"hostile", host(1), 25, Transport::tcp, "smtp_relay"}; }

class WorkersCrashTest : public testing::Test {
 protected:
  // A process of its own, whose worker does this in a probe.
  std::optional<Crash> crash_of(void (*work)(), bool hangs) const {
    const pid_t pid = fork();
    if (pid == 0) {
      const rlimit none{0, 0};
      setrlimit(RLIMIT_CORE, &none);
      if (freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
      run(work, hangs);
      _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return CrashJournal(path_).last_crash();
  }

  void run(void (*work)(), bool hangs) const {
    CrashJournal journal(path_);
    journal.begin();
    journal.watch_this_thread();
    Loop loop;
    ConnectGate gate(loop, 0);
    const ProbeTls tls;
    const CanaryKeys keys = CanaryKeys::random();
    const AlwaysUp status;
    Answered answered;
    Sightings sightings(loop, milliseconds(0));
    ProbeWorld world{loop, gate, tls, keys, &status, {}, answered, sightings};
    Workers workers(world, 3, Workers::Hooks{[&journal] { journal.watch_this_thread(); }, [](const Arrival&) {}});
    at_check = [work](Canary&, const Subject&) { work(); };
    auto config = std::make_shared<Config>();
    ProbePlan plan;
    plan.config = config;
    plan.check = &kTold;
    plan.key = in_hand_key();
    const auto visit = [](Workers& all, std::vector<ProbePlan> plans) -> Task<void> {
      const std::function<void(const Record&)> done = [](const Record&) {};
      co_await all.visit(std::move(plans), done);
    };
    start(visit(workers, {plan}));
    if (!hangs) loop.run();
    // As the agent does, and then the watchdog that is not fed any more.
    std::uint32_t late = 0;
    while (late == 0 || late != hanging) {
      late = workers.late();
      std::this_thread::yield();
    }
    CrashJournal::hangs(late);
    kill(getpid(), SIGABRT);
    loop.run();
  }

  TempDir folder_;
  std::string path_ = folder_ / "ajar.db.in-hand";
};

TEST_F(WorkersCrashTest, NamesWhatItsThreadHadInHand) {
  const std::optional<Crash> found = crash_of([] { std::abort(); }, false);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signal, SIGABRT);
  EXPECT_EQ(found->in_hand, probe_place(in_hand_key()));
}

TEST_F(WorkersCrashTest, AHangThatTheWatchdogEndsIsItsDoing) {
  const std::optional<Crash> found = crash_of(
      [] {
        hanging = static_cast<std::uint32_t>(syscall(SYS_gettid));
        for (;;) std::this_thread::yield();
      },
      true);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signal, SIGABRT);
  EXPECT_EQ(found->in_hand, probe_place(in_hand_key()));
}

}  // namespace
}  // namespace ajar
