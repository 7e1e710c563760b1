#include "agent/vantage_check.h"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "checks/wire/ascii.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostLines = 100;          // of a head, or of a reply
constexpr std::size_t kMostContent = 64 * 1024;  // bytes after a head in which the proof is looked for
constexpr std::size_t kMostNames = 8;            // PTR records of one address that are followed
constexpr milliseconds kTokenLifetime = std::chrono::minutes(10);

// Whether probes could ask addresses of this family, and the kernel knows a way there.
bool has_way(const IpAddress& address, const std::vector<IpAddress>& sources) {
  if (sources.empty()) return address.is_loopback() || !local_address_towards(address).is_loopback();
  return std::any_of(sources.begin(), sources.end(), [&](const IpAddress& one) { return one.is_v4() == address.is_v4(); });
}

// Places of a family that nothing is asked of from here say nothing, unless there are no others.
std::vector<AddressPort> places_of(CanaryKind kind, const VantageRound& round) {
  std::vector<AddressPort> all, reachable;
  for (const auto& [of, place] : round.places) {
    if (of != kind) continue;
    all.push_back(place);
    if (has_way(place.address, round.source_addresses)) reachable.push_back(place);
  }
  return reachable.empty() ? all : reachable;
}

}  // namespace

std::set<CanaryKind> sides_down(const Config& config, const CanaryStatus& canary) {
  std::set<CanaryKind> down;
  if (config.canary.remote.empty()) return down;
  for (const CanaryKind kind : {CanaryKind::tcp, CanaryKind::smtp}) {
    const CanaryHealth health = canary.health(kind);
    if (health.measured && !health.up) down.insert(kind);
  }
  return down;
}

VantageRound vantage_round(const Config& config, const CanaryStatus& canary) {
  VantageRound round;
  const std::set<CanaryKind> down = sides_down(config, canary);
  for (const CanaryKind kind : {CanaryKind::tcp, CanaryKind::smtp}) {
    if (down.contains(kind)) continue;
    for (const AddressPort& place : canary.advertised(kind)) round.places.emplace_back(kind, place);
  }
  round.source_addresses = config.agent.source_addresses;
  round.name = config.agent.name;
  round.connect_timeout = config.agent.connect_timeout;
  round.reply_timeout = std::min<milliseconds>(config.agent.reply_timeout, round.reply_timeout);
  return round;
}

ResolverOptions without_hosts() {
  ResolverOptions options;
  options.hosts.clear();
  return options;
}

milliseconds vantage_interval(const AgentConfig& agent) {
  return std::clamp<milliseconds>(agent.interval, std::chrono::minutes(1), std::chrono::hours(1));
}

std::vector<OwnListing> own_listings(const ZoneBook& book, const DnsblConfig& config, const std::vector<IpAddress>& addresses) {
  std::vector<OwnListing> all;
  for (const IpAddress& address : addresses) {
    const DnsblSubject subject{address.is_v4() ? DnsblKind::ipv4 : DnsblKind::ipv6, address.to_string()};
    for (const ZoneConfig& zone : config.zones) {
      const std::optional<bool> listed = book.listed(zone.info.name, subject);
      const Listing* const known = book.find(zone.info.name, subject);
      if (!listed || known == nullptr) continue;
      OwnListing& one = all.emplace_back(OwnListing{address, zone.info.name, *listed, known->tier, {}});
      for (const DnsblCode& code : known->codes) {
        const bool tells = code.effect == CodeEffect::listing && code.meaning != "unknown";
        if (tells && one.meaning.empty()) one.meaning = code.meaning;
      }
    }
  }
  return all;
}

VantageCheck::VantageCheck(Loop& loop, const CanaryKeys& keys, const ProbeTls& tls, Dns& dns, milliseconds patience,
                           std::function<void()> changed, WallClock clock)
    : loop_(loop),
      keys_(keys),
      tls_(tls),
      dns_(dns),
      sightings_(loop, patience),
      changed_(std::move(changed)),
      clock_(std::move(clock)),
      gate_(loop, 0) {}

std::set<DnsblSubject> VantageCheck::subjects(bool lookup_private) const {
  std::set<DnsblSubject> all;
  for (const IpAddress& address : now_.addresses) {
    if (!lookup_private && !is_globally_routable(address)) continue;
    all.insert({address.is_v4() ? DnsblKind::ipv4 : DnsblKind::ipv6, address.to_string()});
  }
  return all;
}

Task<void> VantageCheck::measure(VantageRound round) {
  std::vector<CanaryPath> paths;
  for (const CanaryKind kind : {CanaryKind::tcp, CanaryKind::smtp}) {
    const std::vector<AddressPort> places = places_of(kind, round);
    for (const AddressPort& place : places) {
      CanaryPath found = co_await path(kind, place, round);
      paths.push_back(std::move(found));
    }
  }
  if (loop_.shutting_down()) co_return;
  std::vector<IpAddress> others = round.source_addresses;
  if (others.empty()) {
    for (const IpAddress& place : round.towards) others.push_back(local_address_towards(place));
  }
  VantageStates before = now_.states;
  judge_paths(paths, now_);
  now_.addresses = own_addresses(paths, others);
  measured_ = true;
  say(before);
  before = now_.states;
  std::vector<IpAddress> asked = now_.addresses;
  std::string own = to_lower(round.name);
  const std::vector<ReverseName> named = co_await names(std::move(asked), std::move(own));
  if (loop_.shutting_down()) co_return;
  judge_names(named, round.name, now_);
  say(before);
}

void VantageCheck::take(const std::vector<OwnListing>& listings) {
  const VantageStates before = now_.states;
  judge_listings(listings, now_);
  if (now_.states != before) say(before);
}

// What failed counts when it fails twice: a lost packet is no firewall.
Task<CanaryPath> VantageCheck::path(CanaryKind kind, AddressPort place, const VantageRound& round) {
  CanaryPath found = co_await converse(kind, place, round);
  if (found.silence.empty() && found.altered.empty()) co_return found;
  const bool go_on = co_await loop_.sleep_for(round.pause);
  if (!go_on) co_return found;
  CanaryPath again = co_await converse(kind, place, round);
  co_return again;
}

Task<CanaryPath> VantageCheck::converse(CanaryKind kind, AddressPort place, const VantageRound& round) {
  CanaryPath path;
  path.kind = kind;
  path.place = place;
  const Scope scope({Cidr(place.address, place.address.is_v4() ? 32 : 128)});
  NetworkOptions options;
  options.source_addresses = round.source_addresses;
  options.connect_timeout = round.connect_timeout;
  options.reply_timeout = round.reply_timeout;
  options.probe_timeout = round.connect_timeout + 2 * round.reply_timeout;
  LiveNetwork network(loop_, scope, gate_, tls_, std::move(options));
  const std::string token = keys_.mint(clock_(), kTokenLifetime);
  sightings_.watch(token);
  try {
    const std::unique_ptr<Link> link = co_await network.dial(place.address, place.port, TlsMode::none);
    path.source = IpAddress::parse(network.source_address());
    if (kind == CanaryKind::smtp) {
      co_await ask_smtp(*link, token, path);
    } else {
      co_await ask_http(*link, place, token, path);
    }
  } catch (const LinkError& error) {
    path.silence = escape(error.what());
  }
  sightings_.forget(token);
  co_return path;
}

// LinkError only where nothing was said at all: what broke off in the middle is judged as far as it came.
Task<void> VantageCheck::ask_http(Link& link, AddressPort place, const std::string& token, CanaryPath& path) {
  const HttpQuestion question = vantage_question(place, token, to_hex(sha256(token)).substr(0, 16));
  std::string bytes = question.request;
  co_await link.say_bytes(std::move(bytes));
  std::vector<std::string> head;
  bool proven = false;
  try {
    std::string line;
    while (head.size() < kMostLines) {
      co_await link.hear(line);
      if (line.empty()) break;
      head.push_back(line);
    }
    const std::string proof = keys_.proof(token);
    std::string content;
    while (!proven && content.size() < kMostContent) {
      const std::string more = co_await link.hear_some();
      if (more.empty()) break;
      content += more;
      proven = content.find(proof) != std::string::npos;
    }
  } catch (const LinkError&) {
    if (head.empty()) throw;
  }
  path.altered = altered_answer(head, proven);
  const SightingWait wait = proven ? SightingWait::lag : SightingWait::settled;
  const std::optional<Sighting> seen = co_await sightings_.find(token, wait);
  if (!seen) co_return;
  path.exit = seen->exit;
  if (const std::string altered = altered_request(question, seen->facts); !altered.empty()) path.altered = altered;
}

// EHLO with the token: our canary, and nobody else, answers with its proof. Nothing is sent after it.
Task<void> VantageCheck::ask_smtp(Link& link, const std::string& token, CanaryPath& path) {
  const std::string greeting = co_await link.hear();
  std::vector<std::string> hello;
  try {
    if (greeting.starts_with("220")) {
      std::string line = "EHLO " + token;
      co_await link.say(std::move(line));
      do {
        std::string reply = co_await link.hear();
        hello.push_back(std::move(reply));
      } while (hello.size() < kMostLines && hello.back().size() > 3 && hello.back()[3] == '-');
      line = "QUIT";
      co_await link.say(std::move(line));
    }
  } catch (const LinkError&) {
    // As far as it came.
  }
  const std::string proof = keys_.proof(token);
  const bool proven = !hello.empty() && hello.front().find(proof) != std::string::npos;
  path.altered = altered_smtp(greeting, hello, proven);
  const SightingWait wait = proven ? SightingWait::lag : SightingWait::settled;
  const std::optional<Sighting> seen = co_await sightings_.find(token, wait);
  if (seen) path.exit = seen->exit;
}

// `failed`: nobody could say.
Task<bool> VantageCheck::leads_to(std::string name, IpAddress address, bool& failed) {
  const DnsType type = address.is_v4() ? DnsType::a : DnsType::aaaa;
  const DnsAnswer answer = co_await dns_.look_up(std::move(name), type);
  failed = failed || answer.state == DnsState::failed;
  co_return std::find(answer.addresses.begin(), answer.addresses.end(), address) != answer.addresses.end();
}

// Addresses of which nobody can say are left out.
Task<std::vector<ReverseName>> VantageCheck::names(std::vector<IpAddress> addresses, std::string own) {
  std::vector<ReverseName> all;
  for (const IpAddress& address : addresses) {
    ReverseName found;
    found.address = address;
    std::string question = dnsbl_name(address, address.is_v4() ? "in-addr.arpa" : "ip6.arpa");
    const DnsAnswer answer = co_await dns_.look_up(std::move(question), DnsType::ptr);
    bool failed = answer.state == DnsState::failed;
    found.trouble = answer.text;
    found.names.assign(answer.names.begin(),
                       answer.names.begin() + static_cast<std::ptrdiff_t>(std::min(kMostNames, answer.names.size())));
    std::vector<std::string> asked = found.names;
    const bool more = !asked.empty() && std::find(asked.begin(), asked.end(), own) == asked.end();
    if (more && is_dns_name(own)) asked.push_back(own);
    for (const std::string& name : asked) {
      const bool leads = co_await leads_to(name, address, failed);
      if (leads) found.leads_back.insert(name);
    }
    if (!failed) all.push_back(std::move(found));
  }
  co_return all;
}

void VantageCheck::say(const VantageStates& before) const {
  for (const auto& [kind, state] : now_.states) {
    const auto known = before.find(kind);
    if (known != before.end() && known->second == state) continue;
    if (!state.up) spdlog::warn("vantage: {}: {}", to_string(kind), state.because);
    if (state.up && known != before.end() && !known->second.up) spdlog::info("vantage: {} is well again", to_string(kind));
  }
  if (changed_) changed_();
}

}  // namespace ajar
