// Databases by the ten thousand addresses: the real Zones and DnsblResolver on the loop, against a DNS server on loopback;
// tests/bench/bench.py compares with dnsperf.
//
//   dnsbl_bench zone ADDRESSES                    prints the data of such a zone for rbldnsd (ip4set): every 100th is listed
//   dnsbl_bench names ADDRESSES ZONES             prints the questions of a round for dnsperf: "1.0.18.198.bl0.test A"
//   dnsbl_bench run ADDRESSES ZONES RATE PORT     one round, RATE questions a second of each zone; prints:
//                                                 ajar queries Q known K wrong N lost L unanswered U wall_s W
//                                                 cpu_us_per_query C
//   dnsbl_bench hold QUESTIONS                    keeps so many questions unanswered; prints:
//                                                 ajar questions Q bytes_per_question B
//   dnsbl_bench show ADDRESSES ZONES              what readers of so many listings cost, in ms of the thread that does it, and
//   the
//                                                 bytes of an entry
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <event2/event.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include "agent/exposition.h"
#include "agent/loop.h"
#include "agent/zone_metrics.h"
#include "agent/zones.h"
#include "tests/bench/usage.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;

IpAddress address_of(unsigned i) {
  return IpAddress::v4(
      {198, static_cast<std::uint8_t>(18 + (i >> 16)), static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)});
}
bool is_listed(unsigned i) { return i % 100 == 0; }
std::string zone_name(unsigned i) { return fmt::format("bl{}.test", i); }

std::vector<TargetView> targets(unsigned addresses) {
  std::vector<TargetView> all;
  for (unsigned i = 0; i < addresses; ++i) {
    if (i % 100 == 0) {
      all.emplace_back();
      all.back().config.name = fmt::format("rack{}", i / 100);
    }
    all.back().addresses.push_back(address_of(i).to_string());
  }
  return all;
}

DnsblConfig config(unsigned zones, unsigned rate, std::vector<AddressPort> resolvers) {
  DnsblConfig config;
  config.resolvers = std::move(resolvers);
  config.lookup_private = true;
  for (unsigned i = 0; i < zones; ++i) {
    ZoneConfig& zone = config.zones.emplace_back();
    zone.info.name = zone_name(i);
    zone.info.per_second = rate;
    zone.info.per_day = 1'000'000'000;
    zone.interval = std::chrono::hours(1);
  }
  return config;
}

int print_zone(unsigned addresses) {
  fmt::print("$SOA 300 ns.bench.test. hostmaster.bench.test. 1 10m 5m 1d 60\n:127.0.0.2:Listed: $\n127.0.0.2\n");
  for (unsigned i = 0; i < addresses; ++i) {
    if (is_listed(i)) fmt::print("{}\n", address_of(i).to_string());
  }
  return 0;
}

// In the order in which a ZoneBook asks: the zones by turns.
int print_names(unsigned addresses, unsigned zones) {
  for (unsigned i = 0; i < addresses; ++i) {
    for (unsigned zone = 0; zone < zones; ++zone) fmt::print("{} A\n", dnsbl_name(address_of(i), zone_name(zone)));
  }
  return 0;
}

struct Counts {
  std::uint64_t queries = 0, unanswered = 0;
};
Counts counts_of(const ZoneBook& book) {
  Counts counts;
  for (const ZoneStatus& zone : book.zones()) {
    counts.queries += zone.asked_today;
    for (const auto& [result, count] : zone.answers) {
      if (result != "listed" && result != "not_listed") counts.unanswered += count;
    }
  }
  return counts;
}

// Pumps as the agent does, until everything is known: what stayed unanswered is asked again after half a minute. `asked`: when
// every question had been asked once.
Task<void> round(Loop& loop, Zones& zones, std::uint64_t questions, Steady::time_point& asked) {
  const auto until = loop.now() + std::chrono::seconds(600);
  while (loop.now() < until) {
    if (zones.book().settled() && zones.book().listings().size() == questions) break;
    zones.pump();
    co_await loop.sleep_for(milliseconds(100));
    if (zones.book().asked() < questions) asked = loop.now();
  }
}

int run(unsigned addresses, unsigned zone_count, unsigned rate, unsigned port) {
  Loop loop;
  Zones zones(loop);
  zones.apply(config(zone_count, rate, {{IpAddress::v4({127, 0, 0, 1}), static_cast<std::uint16_t>(port)}}),
              targets(addresses));
  const double cpu = cpu_microseconds();
  const auto begin = Steady::now();
  auto asked = begin;
  const std::uint64_t wanted = std::uint64_t{addresses} * zone_count;
  start(round(loop, zones, wanted, asked), [&] { loop.stop(); });
  loop.run();
  const double wall = std::chrono::duration<double>(asked - begin).count();
  const double spent = cpu_microseconds() - cpu;
  std::uint64_t known = 0, wrong = 0;
  for (const Listing& listing : zones.book().listings()) {
    ++known;
    const IpAddress address = IpAddress::parse(listing.subject.text).value_or(IpAddress());
    const auto bytes = address.bytes();
    const unsigned i = ((bytes[1] - 18U) << 16) | static_cast<unsigned>(bytes[2] << 8) | bytes[3];
    wrong += listing.listed == is_listed(i) ? 0 : 1;
  }
  const Counts counts = counts_of(zones.book());
  fmt::print("ajar queries {} known {} wrong {} lost {} unanswered {} wall_s {:.2f} cpu_us_per_query {:.2f}\n", counts.queries,
             known, wrong, wanted - known, counts.unanswered, wall, spent / static_cast<double>(counts.queries));
  return known == wanted && wrong == 0 ? 0 : 1;
}

// A database that lists its test point and is silent about everything else.
class SilentServer {
 public:
  explicit SilentServer(Loop& loop) : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof place;
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&place), length) != 0) std::abort();
    getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &length);
    port_ = ntohs(place.sin_port);
    event_ = event_new(loop.base(), fd_, EV_READ | EV_PERSIST, &SilentServer::on_readable, this);
    event_add(event_, nullptr);
  }
  ~SilentServer() {
    event_free(event_);
    close(fd_);
  }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  std::uint16_t port() const { return port_; }

 private:
  static void on_readable(evutil_socket_t fd, short, void*) {
    char buffer[2048];
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    const ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&peer), &length);
    if (got < 17) return;
    const std::string query(buffer, static_cast<std::size_t>(got));
    const std::string name = query.substr(12, query.find('\0', 12) - 12);
    using namespace std::string_literals;
    const bool listed = name.starts_with(
        "\x01"
        "2\x01"
        "0\x01"
        "0\x03"
        "127");
    const bool test = listed ||
                      name.starts_with(
                          "\x01"
                          "1\x01"
                          "0\x01"
                          "0\x03"
                          "127") ||
                      name.starts_with(
                          "\x03"
                          "213\x01"
                          "2\x01"
                          "0\x03"
                          "192");
    if (!test) return;
    std::string answer = query.substr(0, 2) + (listed ? "\x81\x80\0\1\0\1\0\0\0\0"s : "\x81\x83\0\1\0\0\0\0\0\0"s) +
                         query.substr(12, name.size() + 5);
    if (listed) answer += "\xC0\x0C\0\1\0\1\0\0\0\x3C\0\4\x7F\0\0\2"s;
    sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&peer), length);
  }

  int fd_;
  std::uint16_t port_ = 0;
  event* event_ = nullptr;
};

Task<void> fill(Loop& loop, Zones& zones, std::uint64_t queries) {
  for (int i = 0; i < 600 && counts_of(zones.book()).queries < queries; ++i) {
    zones.pump();
    co_await loop.sleep_for(milliseconds(50));
  }
}

int hold(unsigned questions) {
  constexpr unsigned kOfAZone = 64;  // as many as a zone is asked at once
  const unsigned zone_count = (questions + kOfAZone - 1) / kOfAZone;
  Loop loop;
  SilentServer server(loop);
  Zones zones(loop);
  zones.apply(config(zone_count, 1000, {{IpAddress::v4({127, 0, 0, 1}), server.port()}}), targets(kOfAZone));
  const std::size_t before = resident_bytes();
  start(fill(loop, zones, std::uint64_t{zone_count} * (kOfAZone + 3)), [&] { loop.stop(); });
  loop.run();
  const std::size_t after = resident_bytes();
  const std::uint64_t asked = counts_of(zones.book()).queries - std::uint64_t{zone_count} * 3;
  fmt::print("ajar questions {} bytes_per_question {}\n", asked, (after - before) / std::max<std::uint64_t>(asked, 1));
  std::fflush(stdout);
  std::_Exit(asked == std::uint64_t{zone_count} * kOfAZone ? 0 : 1);  // the questions are still open
}

class InstantDns : public DnsblDns {
 public:
  Task<DnsblLookup> ask(std::string name, DnsType) override {
    const std::size_t zone = name.find(".bl");
    const bool listed = name.starts_with("2.0.0.127.") || is_listed_name(name.substr(0, zone));
    DnsblLookup lookup;
    lookup.reply.outcome = listed ? DnsblReply::Outcome::answered : DnsblReply::Outcome::no_such_name;
    if (listed) lookup.reply.addresses = {IpAddress::v4({127, 0, 0, 2})};
    lookup.ttl = std::chrono::seconds(60);
    co_return lookup;
  }

 private:
  static bool is_listed_name(const std::string& reversed) {
    unsigned d = 0, c = 0, b = 0, a = 0;
    if (std::sscanf(reversed.c_str(), "%u.%u.%u.%u", &d, &c, &b, &a) != 4 || a != 198) return false;
    return is_listed(((b - 18) << 16) | (c << 8) | d);
  }
};

template <class Work>
double milliseconds_of(Work work) {
  const double begin = cpu_microseconds();
  work();
  return (cpu_microseconds() - begin) / 1000;
}

int show(unsigned addresses, unsigned zone_count) {
  Loop loop;
  Time now = wall_now();
  Zones zones(loop, [&] { return now; }, std::make_shared<InstantDns>());
  const std::vector<TargetView> views = targets(addresses);
  const DnsblConfig wanted = config(zone_count, 1'000'000'000, {});
  const std::size_t before = resident_bytes();
  const double apply = milliseconds_of([&] { zones.apply(wanted, views); });
  const double again = milliseconds_of([&] { zones.apply(wanted, views); });
  for (int i = 0; i < 100 && !zones.book().settled(); ++i) {
    zones.pump();
    now += std::chrono::seconds(11);
  }
  const std::size_t after = resident_bytes();
  std::size_t rows = 0, bytes = 0;
  const double settled = milliseconds_of([&] { rows += zones.book().settled() ? 1 : 0; });
  const double status = milliseconds_of([&] { rows += zones.book().zones().size(); });
  const double listings = milliseconds_of([&] { rows += zones.book().listings().size(); });
  ZonesView view;
  const double made = milliseconds_of([&] { view = zones.view(); });
  const double scrape = milliseconds_of([&] {
    Exposition out(Exposition::Format::text, [&](std::string_view chunk) { bytes += chunk.size(); });
    write_zones(out, view);
    out.finish();
  });
  const std::size_t entries = view.listings.size();
  fmt::print(
      "ajar entries {} bytes_per_entry {} view_ms {:.0f} zones_ms {:.0f} listings_ms {:.0f} settled_ms {:.0f} apply_ms {:.0f} "
      "apply_again_ms {:.0f} "
      "scrape_ms {:.0f} scrape_bytes {}\n",
      entries, (after - before) / std::max<std::size_t>(entries, 1), made, status, listings, settled, apply, again, scrape,
      bytes);
  return zones.book().settled() && entries == std::size_t{addresses} * zone_count && rows > 0 ? 0 : 1;
}

}  // namespace
}  // namespace ajar

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t i) { return static_cast<unsigned>(std::strtoul(words[i].c_str(), nullptr, 10)); };
  const std::string what = words.empty() ? "" : words[0];
  if (what == "zone" && words.size() == 2) return ajar::print_zone(number(1));
  if (what == "names" && words.size() == 3) return ajar::print_names(number(1), number(2));
  if (what == "run" && words.size() == 5) return ajar::run(number(1), number(2), number(3), number(4));
  if (what == "hold" && words.size() == 2) return ajar::hold(number(1));
  if (what == "show" && words.size() == 3) return ajar::show(number(1), number(2));
  fmt::print(stderr,
             "usage: dnsbl_bench zone ADDRESSES | names ADDRESSES ZONES | run ADDRESSES ZONES RATE PORT | hold QUESTIONS | "
             "show ADDRESSES ZONES\n");
  return 2;
}
