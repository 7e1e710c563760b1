#include "checks/datagrams.h"

#include <fmt/format.h>

namespace ajar {

void Datagrams::say(const std::string& bytes, const std::string& as) {
  transcript_.client(as.empty() ? hex(bytes) : as);
  send(bytes);
}

Task<bool> Datagrams::hear_attempt(const Fits& fits, std::string& answer, unsigned attempt) {
  for (bool begins = true;; begins = false) {
    answer.clear();
    const bool came = co_await receive(answer, attempt, begins);
    if (!came) co_return false;
    if (++received_ > kMaxReceived)
      throw LinkError(Reason::protocol_error, fmt::format("more than {} datagrams", kMaxReceived));
    transcript_.server(hex(answer));
    if (fits(answer)) co_return true;
    transcript_.note("no answer to what was asked: passed over");
  }
}

Task<void> Datagrams::ask(std::string question, std::string as, const Fits& fits, std::string& answer) {
  for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0) transcript_.note("once more");
    say(question, as);
    const bool came = co_await hear_attempt(fits, answer, attempt);
    if (came) co_return;
  }
  throw LinkError(Reason::timeout, fmt::format("no answer to a datagram that was sent {} times", kAttempts));
}

Task<bool> Datagrams::hear(const Fits& fits, std::string& answer) { return hear_attempt(fits, answer, kAttempts - 1); }

}  // namespace ajar
