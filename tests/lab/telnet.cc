// Prompts that connect onward, or do not: WinGate and its like, and what else answers to telnet. RFC 854.
#include "checks/wire/telnet.h"

#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

constexpr int kMaxLines = 20;

struct Gate {
  enum class Form : std::uint8_t { colon, space, verb, none };  // host:port, host port, connect host port
  enum class Then : std::uint8_t {
    connects,
    refuses,  // by a rule
    pretends  // says that it did
  };
  std::string_view greeting;  // with what it negotiates, and the prompt at its end
  std::string_view prompt;
  Form form = Form::none;
  Then then = Then::refuses;
  std::string_view connected;  // what it says before the tunnel
  std::string_view unreached;  // … where nobody is reached
  std::string_view unknown;    // … to what it cannot read
};

struct Place {
  std::string host;
  std::uint16_t port = 0;
};

std::optional<Place> read_place(std::string_view text, char between) {
  const std::size_t at = text.rfind(between);
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  Place place{std::string(text.substr(0, at)), 0};
  const std::string_view digits = text.substr(at + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), place.port);
  const bool number = error == std::errc() && end == digits.data() + digits.size();
  if (!number || place.host.find(' ') != std::string::npos) return std::nullopt;
  return place;
}

std::optional<Place> read_line(Gate::Form form, std::string_view line) {
  constexpr std::string_view kVerb = "connect ";
  switch (form) {
    case Gate::Form::colon:
      return read_place(line, ':');
    case Gate::Form::space:
      return read_place(line, ' ');
    case Gate::Form::verb:
      return line.starts_with(kVerb) ? read_place(line.substr(kVerb.size()), ' ') : std::nullopt;
    case Gate::Form::none:
      break;
  }
  return std::nullopt;
}

// What the peer refuses of our options is no part of its line.
Task<std::string> hear_line(Link& link) {
  const std::string line = co_await link.hear();
  TelnetReader reader;
  reader.take(line);
  co_return reader.text();
}

// What it says to a line. `far`: the connection that was made.
Task<std::string> answer(const Gate& gate, std::string line, std::string source, World& world, std::unique_ptr<Link>& far) {
  const std::optional<Place> place = read_line(gate.form, line);
  if (!place) co_return std::string(gate.unknown);
  if (gate.then == Gate::Then::pretends) co_return std::string(gate.connected);
  if (gate.then == Gate::Then::connects) {
    far = co_await world.connect(std::move(source), place->host, place->port);
    if (far) co_return std::string(gate.connected);
  }
  co_return std::string(gate.unreached);
}

template <const Gate& gate>
Task<void> serve(Link& link, Setting setting, World& world) {
  std::string words(gate.greeting);
  if (!words.empty()) co_await link.say_bytes(std::move(words));
  for (int i = 0; i < kMaxLines; ++i) {
    std::string line = co_await hear_line(link);
    std::unique_ptr<Link> far;
    std::string source = setting.address;
    words = co_await answer(gate, std::move(line), std::move(source), world, far);
    const bool pretended = !far && gate.then == Gate::Then::pretends && words == gate.connected;
    if (!far && !pretended) words += gate.prompt;
    if (!words.empty()) co_await link.say_bytes(std::move(words));
    if (far) {
      co_await world.join(link, *far);
      co_return;
    }
    if (!pretended) continue;
    while (true) {  // … and says nothing more
      const std::string bytes = co_await link.hear_some();
      if (bytes.empty()) co_return;
    }
  }
}

// Says so and hangs up.
Task<void> send_away(Link& link, Setting, World& world) {
  std::string words = "Too many connected users - try again later\r\n";
  co_await link.say_bytes(std::move(words));
  co_await world.linger(link);
}

constexpr Gate kWinGate = {"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x03WinGate>",
                           "WinGate>",
                           Gate::Form::colon,
                           Gate::Then::connects,
                           "Connecting to host...Connected\r\n",
                           "Connecting to host...Cannot connect\r\n",
                           "Host not found\r\n"};
constexpr Gate kWinGateClosed = {kWinGate.greeting,   kWinGate.prompt,     Gate::Form::colon, Gate::Then::refuses, "",
                                 "Access denied\r\n", "Host not found\r\n"};
constexpr Gate kHostPrompt = {
    "A telnet gateway\r\nHost name: ", "Host name: ",       Gate::Form::space, Gate::Then::connects, "",
    "Connection timed out\r\n",        "Host not found\r\n"};
constexpr Gate kToolkit = {"tn-gw-> ",
                           "tn-gw-> ",
                           Gate::Form::verb,
                           Gate::Then::connects,
                           "Trying...\r\nConnected\r\n",
                           "Connection refused\r\n",
                           "Unknown command\r\n"};
constexpr Gate kSilent = {"", "", Gate::Form::colon, Gate::Then::connects, "Connected\r\n", "Cannot connect\r\n", "?\r\n"};
constexpr Gate kPretender = {"proxy> ",       "proxy> ",         Gate::Form::colon,    Gate::Then::pretends,
                             "Connected\r\n", "Unreachable\r\n", "Unknown command\r\n"};
constexpr Gate kSwitch = {
    "\xff\xfb\x01\r\nsw1>", "sw1>", Gate::Form::none, Gate::Then::refuses, "", "", "% Unknown command or computer name\r\n"};
constexpr Gate kMenu = {"Main menu\r\nCommand: ", "Command: ", Gate::Form::none, Gate::Then::refuses, "", "",
                        "Invalid choice\r\n"};
constexpr Gate kLogin = {
    "\xff\xfd\x18\xff\xfd\x1f"
    "Debian GNU/Linux 12\r\nmx1 login: ",
    "mx1 login: ",
    Gate::Form::none,
    Gate::Then::refuses,
    "",
    "",
    "\r\nLogin incorrect\r\n"};
constexpr Gate kConsole = {"Press RETURN to get started.\r\n", "sw1>", Gate::Form::none, Gate::Then::refuses, "", "", ""};

constexpr Personality door(std::string_view name, std::string_view imitates, std::string_view verdict, std::string_view reason,
                           Speak speak) {
  return {.name = name,
          .imitates = imitates,
          .expect = {{"telnet_proxy", verdict, reason}},
          .kind = Kind::other,
          .port = 2323,
          .speak = speak};
}

constexpr Personality of_kind(std::string_view name, std::string_view imitates, std::string_view verdict,
                              std::string_view reason, Kind kind) {
  return {.name = name, .imitates = imitates, .expect = {{"telnet_proxy", verdict, reason}}, .kind = kind, .port = 2323};
}

constexpr std::array kPersonalities = {
    door("telnet_wingate", "WinGate as it was installed, open to everybody", "open", "token_returned", serve<kWinGate>),
    door("telnet_wingate_closed", "WinGate with a rule against strangers", "closed", "refused", serve<kWinGateClosed>),
    door("telnet_host_prompt", "A gateway that asks for a host name", "open", "token_returned", serve<kHostPrompt>),
    door("telnet_gateway", "The telnet gateway of the TIS Firewall Toolkit, without authentication", "open", "token_returned",
         serve<kToolkit>),
    door("telnet_no_prompt", "A gateway without a prompt", "open", "token_returned", serve<kSilent>),
    door("telnet_yes_to_all", "A honeypot that says Connected to everything", "accepted", "accepts_everything",
         serve<kPretender>),
    door("telnet_switch", "A switch whose prompt needs no login", "closed", "refused", serve<kSwitch>),
    door("telnet_menu", "A menu of commands", "closed", "refused", serve<kMenu>),
    door("telnet_login", "The telnet server of Debian", "closed", "auth_required", serve<kLogin>),
    door("telnet_console", "A console that waits for a key", "unclear", "protocol_error", serve<kConsole>),
    door("telnet_busy", "WinGate with all its licences in use", "unclear", "greylisted", send_away),
    of_kind("telnet_echo", "The echo service of inetd (RFC 862)", "closed", "other_protocol", Kind::echo),
    of_kind("telnet_ssh", "OpenSSH 9.2 on the telnet port", "closed", "other_protocol", Kind::ssh),
    of_kind("telnet_reset", "tcpd, which hangs up on strangers", "closed", "hung_up", Kind::reset),
    of_kind("telnet_silent", "A server whose processes are all busy", "unreachable", "timeout", Kind::hang),
};

}  // namespace

std::span<const Personality> telnet_personalities() { return kPersonalities; }

}  // namespace ajar::lab
