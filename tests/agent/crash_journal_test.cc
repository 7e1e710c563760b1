// What a crash leaves behind. Every process that crashes here is a child of the test.
#include "agent/crash_journal.h"

#include <array>
#include <csignal>
#include <fstream>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/loop.h"
#include "tests/support/ledger_steps.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// The offsets of the page, as the file has them.
constexpr std::size_t kVersionAt = 8, kSignalAt = 12, kThreadAt = 16, kLanesAt = 128, kMarkAt = kLanesAt + 16;

class CrashJournalTest : public testing::Test {
 protected:
  // Runs `work` in a process of its own, which watches; how that ended, as waitpid() says it.
  int child(const std::function<void()>& work) const {
    const pid_t pid = fork();
    if (pid == 0) {
      const rlimit none{0, 0};
      setrlimit(RLIMIT_CORE, &none);
      if (freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
      CrashJournal journal(path);
      journal.begin();
      journal.watch_this_thread();
      work();
      _exit(0);  // not by way of the journal's end
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }
  std::optional<Crash> crash() const { return CrashJournal(path).last_crash(); }
  void overwrite(std::size_t offset, const std::string& bytes) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  void crash_on(const ResultKey& about) const {
    child([&] {
      const WorkOn in_hand(about);
      abort();
    });
  }

  TempDir folder;
  std::string path = folder / "ajar.db.in-hand";
};

// What the optimiser must not see through.
volatile int* volatile nowhere = nullptr;
volatile int deepest = -1;

// A sanitizer would see it coming, and end the process in another way.
__attribute__((no_sanitize("address", "undefined"))) void store_nowhere() { *nowhere = 1; }

__attribute__((noinline)) int overflow(int depth) {  // NOLINT(misc-no-recursion): that is what it is for
  std::array<volatile char, 4096> block{};
  block[static_cast<std::size_t>(depth) % block.size()] = 1;
  if (depth == deepest) return 0;
  return overflow(depth + 1) + block[0];
}

TEST_F(CrashJournalTest, ACrashNamesTheQuestionInHand) {
  ResultKey six = key();
  six.address = *IpAddress::parse("2001:db8::5");
  six.check = "open_resolver";
  six.transport = Transport::udp;
  six.port = 53;
  const std::vector<std::pair<int, std::function<void()>>> faults = {
      {SIGSEGV, store_nowhere},
      {SIGABRT, [] { abort(); }},
      {SIGABRT, [] { std::terminate(); }},
      {SIGILL, [] { raise(SIGILL); }},
      {SIGFPE, [] { raise(SIGFPE); }},
      {SIGBUS, [] { raise(SIGBUS); }},
      {SIGSEGV, [] { deepest = overflow(0); }},
      {SIGABRT, [] { kill(getpid(), SIGABRT); }},  // the watchdog of systemd
  };
  for (const auto& [signal, fault] : faults) {
    for (const ResultKey& about : {key(), six}) {
      const int status = child([&about = about, &fault = fault] {
        const WorkOn in_hand(about);
        fault();
      });
      EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      const std::optional<Crash> found = crash();
      ASSERT_TRUE(found) << signal;
      EXPECT_EQ(found->signal, signal);
      EXPECT_EQ(found->in_hand, probe_place(about)) << signal;
    }
  }
}

// The signal ends the process as it would have: who waits for it learns the truth.
TEST_F(CrashJournalTest, TheProcessStillDiesOfIt) {
  const int status = child([] { abort(); });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

// An operator, the OOM killer: everything that was in flight is innocent.
TEST_F(CrashJournalTest, AKillBlamesNobody) {
  child([] {
    const WorkOn in_hand(key());
    kill(getpid(), SIGKILL);
  });
  EXPECT_FALSE(crash());
  child([] {
    const WorkOn in_hand(key());
    kill(getpid(), SIGTERM);
  });
  EXPECT_FALSE(crash());
}

TEST_F(CrashJournalTest, ACleanEndBlamesNobody) {
  {
    CrashJournal journal(path);
    EXPECT_TRUE(journal.works());
    EXPECT_FALSE(journal.last_crash());
    journal.begin();
    EXPECT_TRUE(journal.watch_this_thread());
    const WorkOn in_hand(key());
  }
  EXPECT_FALSE(crash());
}

TEST_F(CrashJournalTest, OutsideOfAProbeNobodyIsBlamed) {
  child([] {
    {
      const WorkOn in_hand(key());
    }
    abort();
  });
  ASSERT_TRUE(crash());
  EXPECT_FALSE(crash()->in_hand);
  // A thread that does not probe crashes while another has something in hand.
  child([] {
    const WorkOn in_hand(key());
    std::thread([] { abort(); }).join();
  });
  ASSERT_TRUE(crash());
  EXPECT_FALSE(crash()->in_hand);
}

Task<void> sleep_in_hand(Loop& loop, ResultKey about, milliseconds first, milliseconds then, bool crash) {
  const WorkOn in_hand(about);
  co_await loop.sleep_for(first);
  co_await loop.sleep_for(then);
  if (crash) abort();
  co_await loop.sleep_for(std::chrono::seconds(30));
}

// Of many probes in flight the one whose code runs.
TEST_F(CrashJournalTest, OfManyInFlightOnlyTheOneAtWorkIsNamed) {
  child([] {
    Loop loop;
    for (int i = 0; i < 100; ++i) start(sleep_in_hand(loop, key(i), milliseconds(i), milliseconds(1), i == 57));
    loop.run();
  });
  ASSERT_TRUE(crash());
  EXPECT_EQ(crash()->in_hand, probe_place(key(57)));
  // The loop's own code, between two of them.
  child([] {
    Loop loop;
    for (int i = 0; i < 100; ++i) start(sleep_in_hand(loop, key(i), milliseconds(i), milliseconds(1), false));
    loop.post([] { abort(); });
    loop.run();
  });
  ASSERT_TRUE(crash());
  EXPECT_FALSE(crash()->in_hand);
}

TEST_F(CrashJournalTest, EachCrashHasAName) {
  crash_on(key());
  const std::string first = crash()->run;
  EXPECT_THAT(first, SizeIs(16));
  EXPECT_EQ(crash()->run, first) << "reading it changes nothing";
  crash_on(key());
  EXPECT_NE(crash()->run, first);
  CrashJournal journal(path);
  journal.begin();
  EXPECT_FALSE(crash()) << "it was counted";
}

TEST_F(CrashJournalTest, ATornMarkBlamesNobody) {
  for (std::size_t byte = 0; byte < sizeof(ProbeMark); byte += 7) {
    crash_on(key());
    ASSERT_TRUE(crash()->in_hand);
    overwrite(kMarkAt + byte, "\xA5");
    const CrashJournal read(path);
    ASSERT_TRUE(read.last_crash()) << byte;
    EXPECT_FALSE(read.last_crash()->in_hand) << byte;
    EXPECT_THAT(read.notes(), Contains(HasSubstr("unreadable"))) << byte;
  }
  crash_on(key());
  overwrite(kLanesAt + 4, std::string(1, '\0'));  // it was not whole yet
  EXPECT_FALSE(crash()->in_hand);
  crash_on(key());
  overwrite(kThreadAt, std::string(4, '\0'));
  EXPECT_FALSE(crash()->in_hand);
}

TEST_F(CrashJournalTest, WhatIsNoJournalIsNotRead) {
  crash_on(key());
  overwrite(kVersionAt, "\x07");
  EXPECT_FALSE(crash());
  EXPECT_THAT(CrashJournal(path).notes(), Contains(HasSubstr("another version")));
  overwrite(kVersionAt, "\x02");
  EXPECT_TRUE(crash());
  overwrite(kSignalAt, "\x63");
  EXPECT_FALSE(crash());
  EXPECT_THAT(CrashJournal(path).notes(), Contains(HasSubstr("damaged")));
  for (const std::string& text : {std::string("x"), std::string(5000, 'x'), std::string(4096, '\0')}) {
    std::ofstream(path, std::ios::trunc | std::ios::binary) << text;
    CrashJournal read(path);
    EXPECT_FALSE(read.last_crash());
    EXPECT_THAT(read.notes(), SizeIs(1));
    EXPECT_TRUE(read.works()) << "it is written anew";
    read.begin();
    EXPECT_THAT(CrashJournal(path).notes(), IsEmpty());
  }
}

// It is said, and everything else goes on.
TEST_F(CrashJournalTest, WithoutAFileThereIsNoJournal) {
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string link = folder / "link";
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  for (const std::string& bad : {folder.path().string(), folder / "no/such/folder", std::string("/proc/self/no"), fifo, link}) {
    CrashJournal journal(bad);
    EXPECT_FALSE(journal.works());
    EXPECT_THAT(journal.notes(), Contains(testing::AllOf(HasSubstr(bad), HasSubstr("probes go on")))) << bad;
    journal.begin();
    EXPECT_FALSE(journal.watch_this_thread());
    const WorkOn in_hand(key());
  }
  const CrashJournal none("");
  EXPECT_FALSE(none.works());
  EXPECT_THAT(none.notes(), IsEmpty());
}

TEST_F(CrashJournalTest, MoreThreadsThanItHasRoomFor) {
  CrashJournal journal(path);
  journal.begin();
  std::size_t watched = 0;
  for (std::size_t i = 0; i < CrashJournal::kLanes + 3; ++i) {
    std::thread([&] {
      watched += journal.watch_this_thread() ? 1U : 0U;
      const WorkOn in_hand(key());
    }).join();
  }
  EXPECT_EQ(watched, CrashJournal::kLanes);
}

TEST(InHandTest, AMarkAndBack) {
  for (const char* address : {"203.0.113.5", "0.0.0.0", "2001:db8::5", "::1"}) {
    for (const Transport transport : {Transport::tcp, Transport::udp}) {
      const ResultKey about{"mx", *IpAddress::parse(address), 65535, transport, "smtp_smuggling"};
      EXPECT_EQ(place_of(mark_of(about)), probe_place(about));
    }
  }
  EXPECT_FALSE(place_of(ProbeMark{}));
  ResultKey unknown = key();
  unknown.check = "no_such_check";
  EXPECT_FALSE(place_of(mark_of(unknown)));
  unknown.check = std::string(200, 'x');
  EXPECT_FALSE(place_of(mark_of(unknown)));
}

}  // namespace
}  // namespace ajar
