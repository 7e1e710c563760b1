// Loaded before a program (LD_PRELOAD), it ends that program when a peer says certain words: a hostile answer that finds a
// fault in it, without a fault in the program itself. Only for tests.
#include <csignal>
#include <cstdlib>
#include <string_view>

#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

volatile int* volatile nowhere = nullptr;

// A sanitizer would see it coming, and end the program in another way.
__attribute__((no_sanitize("address", "undefined"))) void fault() { *nowhere = 1; }

void obey(std::string_view said) {
  if (said.find("please-segv") != std::string_view::npos) fault();
  if (said.find("please-abort") != std::string_view::npos) abort();
  if (said.find("please-kill") != std::string_view::npos) kill(getpid(), SIGKILL);
}

}  // namespace

extern "C" ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  using Recv = ssize_t (*)(int, void*, size_t, int);
  static const auto next = reinterpret_cast<Recv>(dlsym(RTLD_NEXT, "recv"));
  const ssize_t got = next(fd, buffer, size, flags);
  if (got > 0 && (flags & MSG_PEEK) == 0) obey({static_cast<const char*>(buffer), static_cast<size_t>(got)});
  return got;
}
