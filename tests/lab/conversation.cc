#include "tests/lab/conversation.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

namespace ajar::lab {
namespace {

constexpr unsigned kMaxHeadBlocks = 10000;  // 28 MB; the peer has long left

// Says what `lines` holds, LF between them: one write, as a server does it.
std::string as_wire(std::string lines) {
  std::string wire;
  wire.reserve(lines.size() + 16);
  for (const char c : lines) {
    if (c == '\n') wire += '\r';
    wire += c;
  }
  return wire + "\r\n";
}

// Takes what the peer sends and answers nothing, until it leaves.
Task<void> ignore(Link& link) {
  while (true) {
    const std::string bytes = co_await link.hear_some();
    if (bytes.empty()) co_return;
  }
}

// `reply_delay`: as of a server that is far away, so it is one for all the commands that came together (RFC 2920).
Task<void> speak_smtp(Link& link, Dialog& dialog, World& world, milliseconds reply_delay) {
  if (reply_delay > milliseconds(0)) co_await world.pause(reply_delay);
  std::string wire = as_wire(dialog.greeting());
  co_await link.say_bytes(std::move(wire));
  while (true) {
    const bool in_batch = link.unread();
    const std::string line = co_await link.hear();
    Step step = dialog.hear(line, world.now());
    for (Message& message : step.messages) world.carry(std::move(message));
    if (in_batch) step.delay -= reply_delay;
    if (step.delay > milliseconds(0)) co_await world.pause(step.delay);
    if (!step.reply.empty()) {
      wire = as_wire(std::move(step.reply));
      co_await link.say_bytes(std::move(wire));
    }
    if (step.next == Step::Next::hang_up) co_return;
    if (step.next == Step::Next::fall_silent) break;
    if (step.next == Step::Next::start_tls) {
      co_await link.start_tls();
      dialog.tls_started();
    }
  }
  co_await ignore(link);
}

Task<void> never_stop_greeting(Link& link, std::string host, World& world, milliseconds interval) {
  for (unsigned i = 1; !world.gone(link); ++i) {
    std::string line = fmt::format("220-{} please stand by, line {}\r\n", host, i);
    co_await link.say_bytes(std::move(line), "220-…");
    co_await world.pause(interval);
  }
}

// Longer than any client waits for one line: 400 bytes at one a second.
Task<void> greet_slowly(Link& link, std::string host, World& world, milliseconds interval) {
  std::string greeting = fmt::format("220 {} ESMTP ", host);
  greeting.resize(398, '.');
  greeting += "\r\n";
  for (const char c : greeting) {
    if (world.gone(link)) co_return;
    std::string byte(1, c);
    co_await link.say_bytes(std::move(byte));
    co_await world.pause(interval);
  }
  co_await ignore(link);
}

std::string random_bytes(std::mt19937_64& random, std::size_t count) {
  std::string bytes(count, '\0');
  std::ranges::generate(bytes, [&random] { return static_cast<char>(random() & 0xff); });
  return bytes;
}

// Noise at once, and noise for everything heard; eight times, then it hangs up. Each burst ends in CRLF, so that it is an
// answer: a line without an end is silence to a client that waits for it.
Task<void> babble(Link& link, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < 8; ++i) {
    std::string noise = random_bytes(random, 64 + random() % 512) + "\r\n";
    co_await link.say_bytes(std::move(noise));
    const std::string heard = co_await link.hear_some();
    if (heard.empty()) co_return;
  }
}

// Everything that a prober hopes to hear, before it has asked.
Task<void> answer_in_advance(Link& link, std::string host) {
  std::string bytes = fmt::format("220 {} ESMTP ready\r\n", host);
  for (int i = 0; i < 40; ++i) bytes += "250 2.1.5 Ok\r\n";
  co_await link.say_bytes(std::move(bytes));
  co_await ignore(link);
}

// RFC 862.
Task<void> echo(Link& link) {
  while (true) {
    std::string bytes = co_await link.hear_some();
    if (bytes.empty()) co_return;
    co_await link.say_bytes(std::move(bytes));
  }
}

// A response whose head never ends.
Task<void> never_stop_heading(Link& link, World& world) {
  std::vector<std::string> lines;
  std::string nothing;
  co_await hear_request_head(link, std::move(nothing), lines);
  std::string bytes = "HTTP/1.1 200 OK\r\n";
  co_await link.say_bytes(std::move(bytes));
  for (unsigned i = 0; i < kMaxHeadBlocks && !world.gone(link); ++i) {
    bytes.clear();
    for (unsigned j = 0; j < 50; ++j) bytes += fmt::format("X-Line-{}: there is always one more header field\r\n", i * 50 + j);
    co_await link.say_bytes(std::move(bytes), "X-Line-…");
    co_await world.pause(milliseconds(1));
  }
}

// Noise instead of an answer, once for each thing heard.
Task<void> answer_with_noise(Link& link, std::uint64_t seed) {
  const std::string heard = co_await link.hear_some();
  if (!heard.empty()) co_await babble(link, seed);
}

Task<void> hear_and_reset(Link& link, World& world) {
  std::vector<std::string> lines;
  std::string nothing;
  co_await hear_request_head(link, std::move(nothing), lines);
  world.cut(link);
}

}  // namespace

Task<void> converse(Link& link, const Personality& personality, Setting setting, World& world, std::uint64_t seed) {
  const Pace pace = setting.pace;
  std::string host = setting.host;
  switch (personality.kind) {
    case Kind::smtp: {
      Manners manners = personality.manners;
      if (manners.reply_delay > milliseconds(0)) manners.reply_delay = pace.tarpit_delay;
      Dialog dialog(manners, std::move(setting));
      if (link.tls()) dialog.tls_started();
      co_await speak_smtp(link, dialog, world, manners.reply_delay);
      break;
    }
    case Kind::hang:
      co_await ignore(link);
      break;
    case Kind::closes_after_banner: {
      std::string greeting = fmt::format("220 {} ESMTP\r\n", host);
      co_await link.say_bytes(std::move(greeting));
      break;
    }
    case Kind::endless_banner:
      co_await never_stop_greeting(link, std::move(host), world, pace.banner_interval);
      break;
    case Kind::slow_byte:
      co_await greet_slowly(link, std::move(host), world, pace.byte_interval);
      break;
    case Kind::garbage:
      co_await babble(link, seed);
      break;
    case Kind::pregreet:
      co_await answer_in_advance(link, std::move(host));
      break;
    case Kind::ssh: {
      std::string banner = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
      co_await link.say_bytes(std::move(banner));
      co_await ignore(link);
      break;
    }
    case Kind::proxy:
      co_await converse_as_proxy(link, personality.proxy, setting, world);
      break;
    case Kind::echo:
      co_await echo(link);
      break;
    case Kind::endless_header:
      co_await never_stop_heading(link, world);
      break;
    case Kind::noise:
      co_await answer_with_noise(link, seed);
      break;
    case Kind::reset_after_request:
      co_await hear_and_reset(link, world);
      break;
    case Kind::other:
      if (personality.speak != nullptr) co_await personality.speak(link, std::move(setting), world);
      break;
    case Kind::absent:
    case Kind::reset:
      break;
  }
}

}  // namespace ajar::lab
