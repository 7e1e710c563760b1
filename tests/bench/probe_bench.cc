// ajar's own engine (LiveNetwork on the loop, a check of the catalogue) against the fleet, with a canary that costs nothing.
// What `limit` does in plain C; tests/bench/bench.py compares the two.
//
//   probe_bench CHECK[/tls] core|full dialog PORT               prints the lines that one probe says, for `limit` to repeat
//   probe_bench CHECK[/tls] core|full run HOSTS IN_FLIGHT PORT  prints: ajar hosts H cpu_us_per_host C wall_s W closed N
//                                                               accepted N; fails unless all are closed. The first IN_FLIGHT
//                                                               are asked once before, unmeasured
//   probe_bench CHECK[/tls] core|full once HOSTS IN_FLIGHT PORT the same without that
//   probe_bench CHECK[/tls] core|full threads N HOSTS IN_FLIGHT PORT
//                                                               the hosts over N loops with a thread each; prints:
//                                                               ajar threads N hosts H busiest_cpu_s C wall_s W closed N cpu_s
//                                                               C1 C2 …
//   probe_bench CHECK[/tls] core|full hold PROBES PORT          keeps so many probes in the middle of their dialog
//                                                               (fleet … hold), and prints: ajar probes P bytes_per_probe B
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "agent/live_network.h"
#include "agent/loop.h"
#include "agent/scope.h"
#include "checks/canary.h"
#include "checks/catalogue.h"
#include "tests/bench/usage.h"

namespace ajar {
namespace {

class CheapCanary : public Canary {
 public:
  std::string mail_domain() const override { return "canary.test"; }
  std::string host() const override { return "canary.test"; }
  std::vector<AddressPort> advertised(CanaryKind kind) const override {
    if (kind != CanaryKind::tcp) return {};
    const IpAddress address = IpAddress::v4({198, 51, 100, 7});
    return {{address, 8025}, {address, 80}};
  }
  bool up(CanaryKind) const override { return true; }
  std::string mint(const std::string&) override {
    std::string token(32, 'a');
    std::uint64_t rest = ++minted_;
    for (auto digit = token.rbegin(); rest > 0; ++digit, rest /= 16) *digit = "0123456789abcdef"[rest % 16];
    return token;
  }
  bool proves(const std::string&, std::string_view) const override { return false; }
  Task<std::optional<Sighting>> sighting(const std::string&, SightingWait) override { co_return std::nullopt; }
  Task<std::optional<AddressPort>> reserve(const std::string&, bool, std::optional<IpAddress>) override {
    co_return std::nullopt;
  }
  std::optional<KnownName> known_name(const std::string&) const override { return std::nullopt; }
  void expect_late(const std::string&, const std::string&) override {}
  Task<Permit> ask_to_send(const std::string&, const std::string&, const std::string&) override {
    co_return Permit::canary_down;
  }
  void not_sent(const std::string&) override {}

 private:
  std::uint64_t minted_ = 0;
};

class Bench {
 public:
  Bench(CheckFunction check, TlsMode tls, bool full, std::uint16_t port)
      : check_(check), tls_mode_(tls), full_(full), port_(port) {}

  int print_dialog() {
    start(probe(0, true), [this] { loop_.stop(); });
    loop_.run();
    return closed_ == 1 ? 0 : 1;
  }

  // Those of the fleet from `first` on; how many said closed.
  unsigned ask(unsigned first, unsigned hosts, unsigned in_flight) {
    started_ = first;
    hosts_ = first + hosts;
    ended_ = first;
    for (unsigned i = 0; i < std::min(hosts, in_flight); ++i) next();
    loop_.run();
    return closed_;
  }

  int run(unsigned hosts, unsigned in_flight, bool warm_up) {
    // The start of the program, and memory that is touched for the first time, are no part of a dialog.
    if (warm_up) ask(0, std::min(hosts, in_flight), in_flight);
    closed_ = accepted_ = 0;
    const auto begin = Steady::now();
    const double before = cpu_microseconds();
    ask(0, hosts, in_flight);
    const double wall = std::chrono::duration<double>(Steady::now() - begin).count();
    fmt::print("ajar hosts {} cpu_us_per_host {:.1f} wall_s {:.3f} closed {}\n", hosts, (cpu_microseconds() - before) / hosts,
               wall, closed_);
    fmt::print("accepted {}\n", accepted_);
    return closed_ == hosts ? 0 : 1;
  }

  int hold(unsigned probes) {
    const std::size_t before = resident_bytes();
    for (unsigned i = 0; i < probes; ++i) start(probe(i, false));
    start(measure(probes, before));
    loop_.run();
    return measured_ ? 0 : 1;
  }

 private:
  void next() {
    if (started_ == hosts_) return;
    start(probe(started_++, false), [this] {
      if (++ended_ == hosts_) {
        loop_.stop();
      } else {
        next();
      }
    });
  }

  Subject subject_of(unsigned host) const {
    Subject subject;
    subject.target = "fleet";
    subject.address = IpAddress::v4({127, static_cast<std::uint8_t>(10 + (host >> 16)), static_cast<std::uint8_t>(host >> 8),
                                     static_cast<std::uint8_t>(host)});
    subject.port = port_;
    subject.tls = tls_mode_;
    subject.mail_domains = {"fleet.test"};
    subject.our_name = "probe.canary.test";
    subject.contact = "mailto:postmaster@canary.test";
    subject.full_matrix = full_;
    return subject;
  }

  static NetworkOptions options() {
    NetworkOptions options;
    options.connect_timeout = std::chrono::seconds(30);
    return options;
  }

  // Of SMTP commands that were said together (RFC 2920) all but the last begin with a plus.
  static void print_commands(const Transcript& transcript, bool smtp) {
    const std::vector<std::string> lines = transcript.lines();
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (!lines[i].starts_with("C: ")) continue;
      std::size_t next = i + 1;
      while (next < lines.size() && lines[next].starts_with("# ")) ++next;
      const bool together = smtp && next < lines.size() && lines[next].starts_with("C: ");
      fmt::print("{}{}\n", together ? "+" : "", lines[i].substr(3));
    }
  }

  Task<void> probe(unsigned host, bool print) {
    const Subject subject = subject_of(host);
    LiveNetwork network(loop_, scope_, gate_, tls_, options());
    const Finding finding = co_await check_(network, canary_, subject);
    accepted_ += finding.verdict == Verdict::accepted ? 1 : 0;
    if (finding.verdict == Verdict::closed) {
      ++closed_;
    } else {
      fmt::print(stderr, "{}: {} {}: {}\n", subject.address.to_string(), to_string(finding.verdict), to_string(finding.reason),
                 finding.because);
    }
    if (print) print_commands(network.transcript(), finding.spoken == "SMTP");
  }

  // Every probe waits for an answer that does not come, once the process has had nothing to do for a while.
  Task<void> measure(unsigned probes, std::size_t before) {
    double busy = -1;
    for (double now = cpu_microseconds(); now - busy > 20'000; now = cpu_microseconds()) {
      busy = now;
      co_await loop_.sleep_for(std::chrono::seconds(1));
    }
    const std::size_t after = resident_bytes();
    fmt::print("ajar probes {} bytes_per_probe {}\n", probes, (after - before) / probes);
    std::fflush(stdout);
    measured_ = true;
    std::_Exit(0);  // the probes are still in the middle of their dialogs
  }

  CheckFunction check_;
  TlsMode tls_mode_;
  bool full_;
  std::uint16_t port_;
  Loop loop_;
  Scope scope_{{*Cidr::parse("127.0.0.0/8")}};
  ConnectGate gate_{loop_, 0};
  ProbeTls tls_;
  CheapCanary canary_;
  unsigned hosts_ = 0, started_ = 0, ended_ = 0, closed_ = 0;
  unsigned accepted_ = 0;
  bool measured_ = false;
};

// What a loop in a thread of its own asked, and what that cost.
struct Share {
  unsigned closed = 0;
  double cpu = 0;  // seconds
};

int run_threads(CheckFunction check, TlsMode tls, bool full, unsigned threads, unsigned hosts, unsigned in_flight,
                std::uint16_t port) {
  std::vector<Share> shares(threads);
  std::vector<std::thread> running;
  const auto begin = Steady::now();
  for (unsigned i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      Bench bench(check, tls, full, port);
      const double before = thread_cpu_seconds();  // the start of a loop is no part of a dialog
      const unsigned first = hosts / threads * i;
      const unsigned closed = bench.ask(first, hosts / threads, in_flight / threads);
      shares[i] = {closed, thread_cpu_seconds() - before};
    });
  }
  for (std::thread& thread : running) thread.join();
  const double wall = std::chrono::duration<double>(Steady::now() - begin).count();
  Share all;
  std::string cpu;
  for (const Share& share : shares) {
    all.closed += share.closed;
    all.cpu = std::max(all.cpu, share.cpu);
    cpu += fmt::format(" {:.3f}", share.cpu);
  }
  const unsigned asked = hosts / threads * threads;
  fmt::print("ajar threads {} hosts {} busiest_cpu_s {:.4f} wall_s {:.3f} closed {} cpu_s{}\n", threads, asked, all.cpu, wall,
             all.closed, cpu);
  return all.closed == asked ? 0 : 1;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t i) { return static_cast<unsigned>(std::strtoul(words[i].c_str(), nullptr, 10)); };
  const bool tls = !words.empty() && words[0].ends_with("/tls");
  const std::string name = words.empty() ? "" : words[0].substr(0, words[0].size() - (tls ? 4 : 0));
  const ajar::CheckInfo* const check = ajar::find_check(name);
  if (check == nullptr || words.size() < 4 || (words[1] != "core" && words[1] != "full")) {
    fmt::print(stderr,
               "usage: probe_bench CHECK[/tls] core|full dialog PORT | run HOSTS IN_FLIGHT PORT | "
               "threads N HOSTS IN_FLIGHT PORT | hold PROBES PORT\n");
    return 2;
  }
  const ajar::TlsMode mode = tls ? ajar::TlsMode::implicit : ajar::TlsMode::none;
  const auto port = static_cast<std::uint16_t>(number(words.size() - 1));
  if (words[2] == "threads" && words.size() == 7 && number(3) > 0) {
    return ajar::run_threads(check->function, mode, words[1] == "full", number(3), number(4), number(5), port);
  }
  ajar::Bench bench(check->function, mode, words[1] == "full", port);
  if (words[2] == "dialog" && words.size() == 4) return bench.print_dialog();
  if (words[2] == "run" && words.size() == 6) return bench.run(number(3), number(4), true);
  if (words[2] == "once" && words.size() == 6) return bench.run(number(3), number(4), false);
  if (words[2] == "hold" && words.size() == 5) return bench.hold(number(3));
  fmt::print(stderr, "probe_bench: unknown words\n");
  return 2;
}
