// ajar-lab: simulated mail servers and proxies on 127.0.0.0/8, to see what ajar says about each.
#include <csignal>
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include "agent/version.h"
#include "tests/lab/control.h"
#include "tests/lab/lab.h"

namespace {

using ajar::AddressPort;
using ajar::lab::Lab;
using ajar::lab::LabOptions;
using ajar::lab::milliseconds;

constexpr int kUsageError = 3;

struct Flags {
  LabOptions options;
  std::string canary = "127.9.9.9:2525";
  std::string control;
  bool list = false;
  bool quiet = false;
};

void add_delay(CLI::App& app, const std::string& flag, milliseconds& where, const std::string& what) {
  const std::string now = fmt::format("{}", static_cast<double>(where.count()) / 1000.0);
  app.add_option_function<double>(
         flag, [&where](double seconds) { where = milliseconds(static_cast<long>(seconds * 1000)); }, what)
      ->check(CLI::Range(0.0, 86400.0))
      ->type_name("SECONDS")
      ->default_str(now);
}

void declare(CLI::App& app, Flags& flags) {
  LabOptions& options = flags.options;
  app.set_version_flag("--version", fmt::format("ajar-lab {} ({}, {})", ajar::kVersion, ajar::kRevision, ajar::kCompiler));
  app.add_option("--hosts", options.hosts, "further hosts on 127.20.0.1 and up, port 2526")
      ->check(CLI::Range(0U, ajar::lab::kMaxHosts));
  app.add_flag("--ipv6", options.ipv6, "the places live in fd7f::/16, which must be on lo: fd7f::a:0:3 for 127.10.0.3");
  app.add_option("--seed", options.seed, "who is what among them")->capture_default_str();
  app.add_flag("--list", flags.list, "print the places as JSON lines, and end");
  app.add_option("--control", flags.control, "HTTP: GET / lists, POST /personality?address=&port=&name= changes one")
      ->type_name("ADDR:PORT");
  app.add_option("--canary", flags.canary,
                 "where open servers deliver, and whose address open proxies reach; inside 127.0.0.0/8")
      ->type_name("ADDR:PORT")
      ->capture_default_str();
  app.add_option("--canary-domain", options.canary_domain, "the only domain that mail is delivered for, and that proxies know")
      ->capture_default_str();
  app.add_option("--canary-http-port", options.canary_http_port, "of the proxies that know one port only")
      ->capture_default_str();
  add_delay(app, "--delivery-delay", options.delivery_delay, "before a delivery");
  add_delay(app, "--greylist-delay", options.pace.greylist_delay, "a retry before this is put off again");
  add_delay(app, "--error-delay", options.pace.error_delay, "postfix_error_limit: a reply after 10 errors");
  add_delay(app, "--tarpit-delay", options.pace.tarpit_delay, "tarpit: a reply");
  add_delay(app, "--byte-interval", options.pace.byte_interval, "slow_byte: a byte");
  add_delay(app, "--proxy-delay", options.pace.proxy_delay, "proxy_slow: an answer");
  app.add_flag("--quiet", flags.quiet, "print nothing but \"ready\"");
}

// A fleet needs a descriptor for each connection.
void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

AddressPort parse_place(const std::string& text, const std::string& flag) {
  const std::optional<AddressPort> place = AddressPort::parse(text);
  if (!place || !ajar::lab::inside_lab(place->address)) {
    throw std::invalid_argument(
        fmt::format("{} {}: write an address inside 127.0.0.0/8 and a port, as in 127.9.9.9:2525", flag, text));
  }
  return *place;
}

ajar::Task<void> serve_one(ajar::Loop& loop, Lab& lab, int fd) {
  ajar::Transcript transcript;
  const ajar::Steady::time_point until = loop.now() + std::chrono::seconds(60);
  ajar::LiveLink link(loop, fd, ajar::LiveLink::Side::server, nullptr, transcript, std::chrono::seconds(5), until);
  try {
    co_await ajar::lab::serve_control(link, lab);
  } catch (const ajar::LinkError&) {
    // It left before it had its answer.
  }
}

void print_list(const Lab& lab) {
  lab.for_each([](const ajar::lab::Listing& listing) { fmt::print("{}\n", listing.to_json()); });
}

void run(Flags& flags) {
  if (!flags.quiet) flags.options.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  flags.options.canary = parse_place(flags.canary, "--canary");
  std::optional<AddressPort> control_place;
  if (!flags.control.empty()) control_place = parse_place(flags.control, "--control");
  ajar::Loop loop;
  Lab lab(loop, flags.options);
  if (flags.list) return print_list(lab);
  std::signal(SIGPIPE, SIG_IGN);
  allow_many_descriptors();
  lab.open();
  std::optional<ajar::Listener> control;
  if (control_place) {
    control.emplace(loop, *control_place, [&loop, &lab](int fd, const AddressPort&) { ajar::start(serve_one(loop, lab, fd)); });
  }
  const auto end = [&loop] {
    loop.shut_down();
    loop.stop();
  };
  loop.on_signal(SIGTERM, end);
  loop.on_signal(SIGINT, end);
  if (!flags.quiet) {
    for (const std::string& line : lab.describe()) fmt::print("{}\n", line);
    if (control) fmt::print("control on http://{}/\n", control->address().to_string());
  }
  fmt::print("ready\n");
  std::fflush(stdout);
  loop.run();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulated mail servers and proxies on 127.0.0.0/8: what does ajar say about each?", "ajar-lab");
  Flags flags;
  declare(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  try {
    run(flags);
  } catch (const std::exception& error) {
    fmt::print(stderr, "ajar-lab: {}\n", error.what());
    return kUsageError;
  }
  return 0;
}
