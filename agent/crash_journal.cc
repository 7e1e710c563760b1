#include "agent/crash_journal.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <random>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/live_network.h"

namespace ajar {

// Whole pages, so that nothing past the end of the file is ever touched.
struct CrashJournal::Page {
  static constexpr std::array<char, 8> kMagic = {'a', 'j', 'a', 'r', 'h', 'a', 'n', 'd'};
  static constexpr std::uint32_t kVersion = 2;
  std::array<char, 8> magic;
  std::uint32_t version;
  std::atomic<std::uint32_t> signal;  // that of the crash; 0: none
  std::atomic<std::uint32_t> thread;  // that crashed
  std::uint32_t unused;
  std::uint64_t run;
  std::array<HandLane, kLanes> lanes;
};

namespace {

constexpr std::size_t kPageSize = 8192;
constexpr std::size_t kStackSize = 64 * 1024;
constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// What the handler may touch. Lock-free atomics alone: it runs wherever the fault was.
struct Watched {
  std::atomic<std::atomic<std::uint32_t>*> signal{nullptr};
  std::atomic<std::atomic<std::uint32_t>*> thread{nullptr};
  std::atomic<std::uint32_t> hanging{0};
};
Watched watched;
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && std::atomic<std::atomic<std::uint32_t>*>::is_always_lock_free);
std::array<struct sigaction, kSignals.size()> before;

std::uint32_t this_thread() { return static_cast<std::uint32_t>(syscall(SYS_gettid)); }

// Async-signal-safe: stores, gettid, sigaction, raise.
void on_crash(int number, siginfo_t* info, void*) {
  const int error = errno;
  std::atomic<std::uint32_t>* const signal = watched.signal.load(std::memory_order_relaxed);
  std::atomic<std::uint32_t>* const thread = watched.thread.load(std::memory_order_relaxed);
  if (signal != nullptr && thread != nullptr) {
    std::uint32_t none = 0;
    const std::uint32_t hanging = watched.hanging.load(std::memory_order_relaxed);
    const bool sent = info->si_code == SI_USER;  // the watchdog of systemd
    // The first of two threads that crash together.
    if (signal->compare_exchange_strong(none, static_cast<std::uint32_t>(number))) {
      thread->store(sent && hanging != 0 ? hanging : this_thread());
    }
  }
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (kSignals[i] == number) sigaction(number, &before[i], nullptr);
  }
  errno = error;
  // A fault happens again at once on return, now with its own effect (a core, a sanitizer's report). What somebody sent does
  // not.
  if (info->si_code <= 0) raise(number);
}

std::string why() { return std::generic_category().message(errno); }

}  // namespace

CrashJournal::CrashJournal(const std::string& path) {
  static_assert(sizeof(Page) <= kPageSize);
  if (!path.empty()) open(path);
}

void CrashJournal::open(const std::string& path) {
  const auto give_up = [&](const std::string& what) {
    notes_.push_back(
        fmt::format("{}: {}: probes go on, but a server whose answer crashes the agent will not be skipped; "
                    "make it a file that this user can write, or remove it",
                    path, what));
  };
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (file.get() < 0) return give_up(why());
  struct stat facts{};
  if (fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return give_up("it is no ordinary file");
  // Room on the disk is taken now: a store into a page that has none would be a SIGBUS.
  const int failed = posix_fallocate(file.get(), 0, kPageSize);
  if (failed != 0) return give_up(std::generic_category().message(failed));
  void* const mapped = mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return give_up(why());
  page_ = static_cast<Page*>(mapped);
  if (facts.st_size > 0) read_last();
}

void CrashJournal::read_last() {
  if (page_->magic != Page::kMagic || page_->version != Page::kVersion) {
    notes_.emplace_back("what the last process had in hand was written by another version, or is no journal: it is not read");
    return;
  }
  const std::uint32_t signal = page_->signal.load();
  if (signal == 0) return;
  if (std::find(kSignals.begin(), kSignals.end(), static_cast<int>(signal)) == kSignals.end()) {
    notes_.emplace_back("what the last process had in hand is damaged: it is not read");
    return;
  }
  last_crash_ = Crash{fmt::format("{:016x}", page_->run), static_cast<int>(signal), std::nullopt};
  const std::uint32_t thread = page_->thread.load();
  for (const HandLane& lane : page_->lanes) {
    if (thread == 0 || lane.thread.load() != thread || lane.busy.load() != 1) continue;
    last_crash_->in_hand = place_of(lane.mark);
    if (!last_crash_->in_hand) notes_.emplace_back("the question that was in hand at the crash is unreadable: none is blamed");
    return;
  }
}

void CrashJournal::begin() {
  if (page_ == nullptr || watching_) return;
  watching_ = true;
  std::memset(static_cast<void*>(page_), 0, kPageSize);
  page_->magic = Page::kMagic;
  page_->version = Page::kVersion;
  std::random_device random;
  page_->run = (std::uint64_t{random()} << 32) | random();
  watched.thread = &page_->thread;
  watched.signal = &page_->signal;
  struct sigaction action{};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &before[i]);
}

bool CrashJournal::watch_this_thread() {
  if (!watching_) return false;
  const std::lock_guard lock(mutex_);
  const auto lane =
      std::find_if(page_->lanes.begin(), page_->lanes.end(), [](const HandLane& one) { return one.thread.load() == 0; });
  if (lane == page_->lanes.end()) return false;
  lane->thread = this_thread();
  InHand::write_to(&*lane);
  stack_t known{};
  if (sigaltstack(nullptr, &known) != 0 || (known.ss_flags & SS_DISABLE) == 0) return true;  // it has one (of a sanitizer)
  stack_t ours{};
  ours.ss_sp = stacks_.emplace_back(std::make_unique<char[]>(kStackSize)).get();
  ours.ss_size = kStackSize;
  sigaltstack(&ours, nullptr);
  return true;
}

void CrashJournal::hangs(std::uint32_t thread) { watched.hanging.store(thread, std::memory_order_relaxed); }

CrashJournal::~CrashJournal() {
  InHand::write_to(nullptr);
  if (watching_) {
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
    watched.signal = nullptr;
    watched.thread = nullptr;
    watched.hanging = 0;
  }
  stack_t known{};
  const bool ours = sigaltstack(nullptr, &known) == 0 &&
                    std::any_of(stacks_.begin(), stacks_.end(), [&](const auto& stack) { return stack.get() == known.ss_sp; });
  if (ours) {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  if (page_ != nullptr) munmap(page_, kPageSize);
}

}  // namespace ajar
