#include "tests/lab/postman.h"

#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "checks/network.h"
#include "tests/lab/loopback.h"

namespace ajar::lab {
namespace {

// The code of a whole reply, of at most 100 lines; 0 for what is none.
Task<int> hear_code(Link& link) {
  for (int lines = 0; lines < 100; ++lines) {
    const std::string line = co_await link.hear();
    if (line.size() < 3 || line[0] < '2' || line[0] > '5') co_return 0;
    if (line.size() == 3 || line[3] != '-') co_return (line[0] - '0') * 100;
  }
  co_return 0;
}

std::string stuffed(std::string_view text) {
  std::string wire;
  wire.reserve(text.size() + text.size() / 16 + 8);
  bool line_start = true;
  for (const char c : text) {
    if (line_start && c == '.') wire += '.';
    if (c == '\n') wire += '\r';
    wire += c;
    line_start = c == '\n';
  }
  return wire + ".\r\n";
}

}  // namespace

Postman::Postman(Loop& loop, Route route, std::function<void(const std::string&)> log)
    : loop_(loop), route_(std::move(route)), log_(std::move(log)) {
  if (!inside_lab(route_.canary.address) || route_.canary.port == 0) {
    throw std::invalid_argument(fmt::format("canary {} is not inside 127.0.0.0/8", route_.canary.to_string()));
  }
}

void Postman::drop(const Message& message, std::string_view why) {
  ++dropped_;
  log_(fmt::format("{}: {} from <{}> to <{}> dropped: {}", message.host, message.id, escape(message.sender),
                   escape(message.recipient), why));
}

void Postman::carry(Message message) {
  if (split_mailbox(message.recipient).domain != route_.domain) return drop(message, "not for the canary's domain");
  if (queued_ >= kMaxQueued || queued_bytes_ + message.text.size() > kMaxQueuedBytes) return drop(message, "the queue is full");
  ++queued_;
  queued_bytes_ += message.text.size();
  start(deliver(std::move(message)));
}

Task<void> Postman::deliver(Message message) {
  const Steady::time_point until = loop_.now() + route_.delay + kLifetime;
  bool awake = true;
  if (route_.delay > milliseconds(0)) awake = co_await loop_.sleep_for(route_.delay);
  Outcome outcome = Outcome::later;
  while (awake) {
    outcome = co_await attempt(message);
    if (outcome != Outcome::later || loop_.now() >= until) break;
    awake = co_await loop_.sleep_for(kRetryInterval);
  }
  --queued_;
  queued_bytes_ -= message.text.size();
  if (outcome == Outcome::delivered) {
    ++delivered_;
    log_(fmt::format("{}: {} from <{}> to <{}> delivered to {}", message.host, message.id, escape(message.sender),
                     escape(message.recipient), route_.canary.to_string()));
  } else {
    drop(message, outcome == Outcome::refused ? "refused by the canary" : "the canary did not take it in time");
  }
}

Task<Postman::Outcome> Postman::attempt(const Message& message) {
  Transcript transcript;
  Outcome outcome = Outcome::later;
  try {
    const std::optional<IpAddress> from = IpAddress::parse(message.from);
    const int fd = from ? connect_inside_lab(*from, route_.canary) : -1;
    if (fd < 0) co_return outcome;
    const Steady::time_point until = loop_.now() + std::chrono::seconds(60);
    LiveLink link(loop_, fd, LiveLink::Side::client, nullptr, transcript, std::chrono::seconds(10), until);
    co_await link.connected(until);
    outcome = co_await hand_over(link, message);
  } catch (const LinkError&) {
    // Not there yet, or gone in the middle: tried again. After the last reply was heard there is nothing left to fail.
  }
  co_return outcome;
}

Task<Postman::Outcome> Postman::hand_over(Link& link, const Message& message) {
  std::vector<std::string> commands;
  commands.push_back(fmt::format("EHLO {}", message.host));
  commands.push_back(fmt::format("MAIL FROM:<{}>{}", message.sender, message.utf8 ? " SMTPUTF8" : ""));
  commands.push_back(fmt::format("RCPT TO:<{}>", message.recipient));
  commands.emplace_back("DATA");
  int code = co_await hear_code(link);
  for (std::string& command : commands) {
    if (code != 200) co_return code == 500 ? Outcome::refused : Outcome::later;
    co_await link.say(std::move(command));
    code = co_await hear_code(link);
  }
  if (code != 300) co_return code == 500 ? Outcome::refused : Outcome::later;
  std::string wire = stuffed(message.text);
  co_await link.say_bytes(std::move(wire), "(the message)");
  code = co_await hear_code(link);
  if (code != 200) co_return code == 500 ? Outcome::refused : Outcome::later;
  try {
    co_await link.say("QUIT");
    co_await hear_code(link);
  } catch (const LinkError&) {
    // It has the message; how it says goodbye changes nothing.
  }
  co_return Outcome::delivered;
}

}  // namespace ajar::lab
