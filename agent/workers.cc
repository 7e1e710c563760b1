#include "agent/workers.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ajar {
namespace {

// What a worker's coroutine awaits of the main loop. `otherwise`: the answer when the worker's loop is shut down before one
// came.
template <class Answer>
class Question : public TimingWheel::Entry {
 public:
  Question(Loop& asker, Answer otherwise) : asker_(asker), answer_(std::move(otherwise)) {}

  // Awaits it. An object of its own: g++ 12 copies what `co_await *pointer` names.
  struct Wait {
    Question& question;
    bool await_ready() const { return question.asker_.shutting_down(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      question.waiter_ = waiter;
      question.in_hand_ = InHand::leave();
      // So that shut_down() finds it.
      question.asker_.add_deadline(question, question.asker_.now() + std::chrono::hours(24));
    }
    Answer await_resume() { return std::move(question.answer_); }
  };
  Wait answer_of_main() { return {*this}; }
  bool answered() const { return answered_; }

  // On the asker's loop.
  void answer(Answer answer) {
    if (!waiter_) return;
    answer_ = std::move(answer);
    answered_ = true;
    remove();
    resume();
  }
  void expire() override { resume(); }

 private:
  // The awaiter holds this no longer than it likes: nothing is touched afterwards.
  void resume() { resume_in_hand(std::exchange(waiter_, {}), in_hand_); }

  Loop& asker_;
  Answer answer_;
  bool answered_ = false;
  std::coroutine_handle<> waiter_;
  const ProbeMark* in_hand_ = nullptr;
};

// A visit that is away. Main loop, but for `plans`, which the worker takes.
struct Away {
  std::vector<ProbePlan> plans;
  std::function<void(const Record&)> done;
  bool over = false;
  bool whole = false;
  std::coroutine_handle<> waiter;

  struct Wait {
    Away& away;
    bool await_ready() const { return away.over; }
    void await_suspend(std::coroutine_handle<> who) { away.waiter = who; }
    bool await_resume() const { return away.whole; }
  };
  Wait end_of_it() { return {*this}; }
  void end(bool all_of_it) {
    over = true;
    whole = all_of_it;
    if (waiter) std::exchange(waiter, {}).resume();
  }
};

}  // namespace

void Outbox::push(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = pushed_.empty();
    pushed_.push_back(std::move(work));
  }
  if (first) loop_.post([this] { run(); });
}

void Outbox::run() {
  std::vector<std::function<void()>> fresh;
  {
    const std::lock_guard lock(mutex_);
    fresh.swap(pushed_);
  }
  std::move(fresh.begin(), fresh.end(), std::back_inserter(taken_));
  while (!taken_.empty()) {
    const std::function<void()> work = std::move(taken_.front());
    taken_.pop_front();
    work();
  }
}

std::size_t worker_of(const IpAddress& address, std::size_t count) {
  const std::span<const std::uint8_t> network = address.bytes().first(address.is_v4() ? 3 : 8);
  std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a
  for (const std::uint8_t byte : network) hash = (hash ^ byte) * 0x100000001B3U;
  hash ^= hash >> 32;  // its low bits tell too little of the last byte
  return count == 0 ? 0 : hash % count;
}

// One thread. What is under "worker's thread" is touched by no other while it runs.
class Workers::Worker {
 public:
  Worker(Workers& all, unsigned number);
  ~Worker();

  void begin(const std::function<void()>& first);
  void run(const std::shared_ptr<Away>& away);
  void know(const std::shared_ptr<const Vantage>& vantage);
  void set_pace(const PaceLimits& limits);
  void expire();
  void end();
  void join();

  Loop loop;
  Answered answered;
  Sightings sightings;
  std::atomic<bool> came_round{true};
  std::atomic<std::uint32_t> thread_id{0};

 private:
  // The canary of the main loop, as it is seen from here.
  class FarCanary : public CanaryStatus {
   public:
    FarCanary(Workers& all, Worker& here, const CanaryStatus& canary) : all_(all), here_(here), canary_(canary) {}
    CanaryHealth health(CanaryKind kind) const override { return canary_.health(kind); }
    std::vector<AddressPort> advertised(CanaryKind kind) const override { return canary_.advertised(kind); }
    Task<std::optional<AddressPort>> reserve(std::string token, bool v4, std::optional<IpAddress> asker) const override;
    void release(const std::string& token) const override {
      all_.outbox_.push([&canary = canary_, token] { canary.release(token); });
    }

   private:
    Workers& all_;
    Worker& here_;
    const CanaryStatus& canary_;
  };
  using Place = std::optional<AddressPort>;

  MessageBook far_book();
  Task<bool> settle();
  Task<void> come_round_there(std::shared_ptr<Question<bool>> question);
  Task<Permit> ask_to_send(Message message);
  void remember(const Message& message);
  Task<void> visit(std::shared_ptr<Away> away);
  // On the main loop.
  Task<void> answer(std::shared_ptr<Question<Permit>> question, Message message);
  Task<void> lend(std::shared_ptr<Question<Place>> question, std::string token, bool v4, std::optional<IpAddress> asker);

  Workers& all_;
  const std::string name_;
  // -- worker's thread --
  ConnectGate gate_;
  ProbeTls tls_;
  FarCanary canary_;
  std::shared_ptr<const Vantage> vantage_;
  ProbeWorld world_;

  std::thread thread_;
};

Workers::Worker::Worker(Workers& all, unsigned number)
    : sightings(loop, all.main_.sightings.patience(), [this] { return settle(); }),
      all_(all),
      name_(fmt::format("ajar-probe-{}", number)),
      gate_(loop, all.main_.gate,
            [&all](const IpAddress& address, PaceNews news) {
              all.outbox_.push([&gate = all.main_.gate, address, news] { gate.take(address, news); });
            }),
      canary_(all, *this, *all.main_.canary),
      vantage_(all.main_.vantage == nullptr ? nullptr : std::make_shared<const Vantage>(*all.main_.vantage)),
      world_{loop,           gate_,
             tls_,           all.main_.keys,
             &canary_,       far_book(),
             answered,       sightings,
             all.main_.now,  all.main_.under_way,
             vantage_.get(), [this](const ResultKey& key) { all_.outbox_.push([this, key] { all_.main_.survived(key); }); }} {}

Workers::Worker::~Worker() {
  if (!thread_.joinable()) return;
  end();
  join();
}

void Workers::Worker::begin(const std::function<void()>& first) {
  // Signals that ask something of the process are the main thread's.
  sigset_t of_the_process, before;
  sigemptyset(&of_the_process);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&of_the_process, number);
  pthread_sigmask(SIG_BLOCK, &of_the_process, &before);
  try {
    thread_ = std::thread([this, first] {
      pthread_setname_np(pthread_self(), name_.c_str());
      thread_id = static_cast<std::uint32_t>(syscall(SYS_gettid));
      first();
      loop.run();
      if (all_.ending_) all_.main_.loop.post([&all = all_] { all.ended(); });
    });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// As Agent::stop() has it: every wait ends, every conversation unwinds, and what they post is still run.
void Workers::Worker::end() {
  loop.post([this] {
    loop.shut_down();
    loop.post([this] { loop.stop(); });
  });
}

void Workers::Worker::join() { thread_.join(); }

void Workers::Worker::run(const std::shared_ptr<Away>& away) {
  loop.post([this, away] { start(visit(away)); });
}

Task<void> Workers::Worker::visit(std::shared_ptr<Away> away) {
  Outbox& outbox = all_.outbox_;
  const std::function<void(const Record&)> done = [&outbox, away](const Record& record) {
    outbox.push([away, record] {
      const WorkOn in_hand(record.key);  // it is a part of what an answer may break
      away->done(record);
    });
  };
  std::vector<ProbePlan> plans = std::move(away->plans);
  const bool whole = co_await run_visit(world_, std::move(plans), done);
  outbox.push([away, whole] { away->end(whole); });
}

void Workers::Worker::know(const std::shared_ptr<const Vantage>& vantage) {
  loop.post([this, vantage] {
    vantage_ = vantage;
    world_.vantage = vantage_.get();
  });
}

void Workers::Worker::set_pace(const PaceLimits& limits) {
  loop.post([this, limits] { gate_.set_pace(limits); });
}

void Workers::Worker::expire() {
  loop.post([this] { gate_.pace().expire(all_.main_.now()); });
}

MessageBook Workers::Worker::far_book() {
  MessageBook book;
  book.ask_to_send = [this](Message message) { return ask_to_send(std::move(message)); };
  book.remember = [this](const Message& message) { remember(message); };
  book.not_sent = [this](const std::string& token) { all_.outbox_.push([this, token] { all_.main_.book.not_sent(token); }); };
  return book;
}

// The canary is on the main loop.
Task<bool> Workers::Worker::settle() {
  const auto question = std::make_shared<Question<bool>>(loop, false);
  all_.outbox_.push([this, question] { start(come_round_there(question)); });
  const bool there = co_await question->answer_of_main();
  co_return there;
}

Task<void> Workers::Worker::come_round_there(std::shared_ptr<Question<bool>> question) {
  const bool whole = co_await come_round(all_.main_.loop);
  loop.post([question, whole] { question->answer(whole); });
}

Task<Permit> Workers::Worker::ask_to_send(Message message) {
  const std::string token = message.token;
  const auto question = std::make_shared<Question<Permit>>(loop, Permit::canary_down);
  all_.outbox_.push([this, question, message = std::move(message)] { start(answer(question, message)); });
  const Permit permit = co_await question->answer_of_main();
  if (!question->answered()) world_.book.not_sent(token);  // whatever the answer will be
  co_return permit;
}

Task<void> Workers::Worker::answer(std::shared_ptr<Question<Permit>> question, Message message) {
  const WorkOn in_hand(message.key);
  const Permit permit = co_await all_.main_.book.ask_to_send(std::move(message));
  loop.post([question, permit] { question->answer(permit); });
}

// A proof that comes while this is on its way is either still unknown to the ledger, and then seen here, or finds the ledger
// told: note() looks at the outbox after it has told us, and we look at what was seen after we have told the outbox.
void Workers::Worker::remember(const Message& message) {
  all_.outbox_.push([this, message] { all_.main_.book.remember(message); });
  const std::shared_ptr<const Arrival> seen = sightings.arrival(message.token);
  if (seen && seen->proof) all_.outbox_.push([this, seen] { all_.hooks_.outran(*seen); });
}

Task<std::optional<AddressPort>> Workers::Worker::FarCanary::reserve(std::string token, bool v4,
                                                                     std::optional<IpAddress> asker) const {
  const auto question = std::make_shared<Question<Place>>(here_.loop, std::nullopt);
  all_.outbox_.push([&here = here_, question, token, v4, asker] { start(here.lend(question, token, v4, asker)); });
  const Place place = co_await question->answer_of_main();
  co_return place;
}

Task<void> Workers::Worker::lend(std::shared_ptr<Question<Place>> question, std::string token, bool v4,
                                 std::optional<IpAddress> asker) {
  const Place place = co_await all_.main_.canary->reserve(std::move(token), v4, asker);
  loop.post([question, place] { question->answer(place); });
}

Workers::Workers(ProbeWorld& main, unsigned count, Hooks hooks) : main_(main), hooks_(std::move(hooks)), outbox_(main.loop) {
  for (unsigned i = 0; i < count; ++i) workers_.push_back(std::make_unique<Worker>(*this, i + 1));
  for (const auto& worker : workers_) worker->begin(hooks_.begin);
  running_ = workers_.size();
}

Workers::~Workers() = default;

Task<bool> Workers::visit(std::vector<ProbePlan> plans, std::function<void(const Record&)> done) {
  if (plans.empty()) co_return true;
  Worker& worker = *workers_[worker_of(plans.front().key.address, workers_.size())];
  const auto away = std::make_shared<Away>();
  away->plans = std::move(plans);
  away->done = std::move(done);
  worker.run(away);
  const bool whole = co_await away->end_of_it();
  co_return whole;
}

bool Workers::note(const Arrival& arrival) {
  bool awaited = false;
  for (const auto& worker : workers_) awaited = worker->sightings.note(arrival) || awaited;
  outbox_.run();
  return awaited;
}

const Answered& Workers::answered(const IpAddress& address) const {
  return workers_[worker_of(address, workers_.size())]->answered;
}

void Workers::know(const Vantage& vantage) {
  const auto copy = std::make_shared<const Vantage>(vantage);
  for (const auto& worker : workers_) worker->know(copy);
}

void Workers::set_pace(const PaceLimits& limits) {
  for (const auto& worker : workers_) worker->set_pace(limits);
}

void Workers::expire() {
  for (const auto& worker : workers_) worker->expire();
}

std::uint32_t Workers::late() {
  std::uint32_t late = 0;
  for (const auto& worker : workers_) {
    if (!worker->came_round.exchange(false)) {
      late = worker->thread_id;
      continue;
    }
    worker->loop.post([&worker = *worker] { worker.came_round = true; });
  }
  return late;
}

void Workers::shut_down(std::function<void()> then) {
  then_ = std::move(then);
  ending_ = true;
  for (const auto& worker : workers_) worker->end();
}

void Workers::ended() {
  if (--running_ > 0) return;
  for (const auto& worker : workers_) worker->join();
  outbox_.run();
  if (then_) then_();
}

}  // namespace ajar
