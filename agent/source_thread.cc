#include "agent/source_thread.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/loop.h"

namespace ajar {
namespace {

constexpr std::chrono::seconds kSoon{1};

}  // namespace

struct SourceThread::State {
  State(Loop& on, std::unique_ptr<SourceReader> from, const DiscoveryConfig& source, std::vector<Cidr> inside,
        std::shared_ptr<const SourceTargets> before, std::function<void(SourceNews)> to)
      : loop(on),
        reader(std::move(from)),
        config(source),
        scope(std::move(inside)),
        targets(std::move(before)),
        report(std::move(to)),
        wake_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~State() {
    if (wake_fd >= 0) close(wake_fd);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void run(const std::shared_ptr<State>& self);
  void hand_over(const std::shared_ptr<State>& self, SourceNews news);

  Loop& loop;
  // Of the thread.
  std::unique_ptr<SourceReader> reader;
  const DiscoveryConfig config;
  const std::vector<Cidr> scope;
  std::shared_ptr<const SourceTargets> targets;
  // Of the loop's thread.
  std::function<void(SourceNews)> report;

  const int wake_fd;  // -1 when no descriptor was left: then it ends after its pause
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;  // under mutex
  bool finished = false;  // under mutex
};

void SourceThread::State::hand_over(const std::shared_ptr<State>& self, SourceNews news) {
  const std::lock_guard lock(mutex);
  if (stopping) return;
  loop.post([self, news = std::move(news)]() mutable {
    {
      const std::lock_guard inner(self->mutex);
      if (self->stopping) return;
    }
    self->report(std::move(news));
  });
}

void SourceThread::State::run(const std::shared_ptr<State>& self) {
  const auto goes_on = [this] {
    const std::lock_guard lock(mutex);
    return !stopping;
  };
  while (goes_on()) {
    SourceLook look = reader->look();
    if (look.groups) targets = read_entries(*look.groups, config, scope, targets.get());
    hand_over(self, {targets, std::move(look.trouble), look.complete});
    const auto span = look.soon ? std::min<std::chrono::milliseconds>(config.refresh, kSoon) : config.refresh;
    look = {};
    if (goes_on()) reader->wait(wake_fd, span);
  }
  const std::lock_guard lock(mutex);
  finished = true;
  wake.notify_all();
}

SourceThread::SourceThread(Loop& loop, std::unique_ptr<SourceReader> reader, const DiscoveryConfig& config,
                           std::vector<Cidr> scope, std::shared_ptr<const SourceTargets> before,
                           std::function<void(SourceNews)> report)
    : state_(std::make_shared<State>(loop, std::move(reader), config, std::move(scope), std::move(before), std::move(report))) {
  std::thread([state = state_] { state->run(state); }).detach();
}

void SourceThread::stop() {
  const std::lock_guard lock(state_->mutex);
  state_->stopping = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(state_->wake_fd, &one, sizeof one);
}

SourceThread::~SourceThread() { stop(); }

void SourceThread::wait_end(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(state_->mutex);
  state_->wake.wait_until(lock, until, [this] { return state_->finished; });
}

}  // namespace ajar
