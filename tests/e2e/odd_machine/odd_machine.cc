// Loaded before a program (LD_PRELOAD), it makes the machine odd: the clock of the wall is off by so many seconds, and the disk
// takes so many milliseconds more for each fdatasync(), and a twentieth of that for each write to a database, as the file that
// ODD_MACHINE names says ("SECONDS MILLISECONDS"). Only for tests.
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

struct Odd {
  long seconds = 0, milliseconds = 0;
};

Odd now() {
  Odd odd;
  const char* const path = getenv("ODD_MACHINE");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  FILE* const file = path == nullptr ? nullptr : fopen(path, "re");
  if (file == nullptr) return odd;
  if (fscanf(file, "%ld %ld", &odd.seconds, &odd.milliseconds) != 2) odd = {};
  fclose(file);
  return odd;
}

void slow_down(long part) {
  const long milliseconds = now().milliseconds / part;
  const timespec span{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
  if (milliseconds > 0) nanosleep(&span, nullptr);
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) {
  using Next = int (*)(clockid_t, timespec*);
  static const auto next = reinterpret_cast<Next>(dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = next(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += now().seconds;
  return result;
}

extern "C" int fdatasync(int fd) {
  using Next = int (*)(int);
  static const auto next = reinterpret_cast<Next>(dlsym(RTLD_NEXT, "fdatasync"));
  slow_down(1);
  return next(fd);
}

extern "C" ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  using Next = ssize_t (*)(int, const void*, size_t, off64_t);
  static const auto next = reinterpret_cast<Next>(dlsym(RTLD_NEXT, "pwrite64"));
  slow_down(20);
  return next(fd, bytes, size, at);
}
