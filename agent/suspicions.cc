#include "agent/suspicions.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "agent/targets.h"

namespace ajar {
namespace {

// What is known of the addresses that somebody suspects.
class Known {
 public:
  explicit Known(const Ledger& ledger) : suspicions_(ledger.suspicions()) {
    if (suspicions_.empty()) return;
    for (const Suspicion& suspicion : suspicions_) of_[suspicion.key.address];
    ledger.each_result([this](const ResultState& result) {
      if (const auto found = of_.find(result.key.address); found != of_.end()) found->second.results.push_back(result);
    });
    ledger.each_case([this](const Case& exposure) {
      if (const auto found = of_.find(exposure.key.address); found != of_.end()) found->second.cases.push_back(exposure);
    });
  }
  const std::vector<Suspicion>& suspicions() const { return suspicions_; }
  SuspicionJudgement judge(const Suspicion& suspicion) const {
    const Own& own = of_.at(suspicion.key.address);
    return ajar::judge(suspicion, own.results, own.cases);
  }

 private:
  struct Own {
    std::vector<ResultState> results;
    std::vector<Case> cases;
  };
  std::vector<Suspicion> suspicions_;
  std::map<IpAddress, Own> of_;
};

// Whose an address is, by what pages know of targets.
class Holders {
 public:
  explicit Holders(std::span<const TargetView> targets) {
    for (const TargetView& target : targets) {
      for (const std::string& text : target.addresses) {
        if (const auto address = IpAddress::parse(text)) {
          hosts_[*address].push_back(&target.config);
        } else if (const auto network = Cidr::parse(text)) {
          networks_.emplace_back(*network, &target.config);
        }
      }
    }
    std::stable_sort(networks_.begin(), networks_.end(),
                     [](const auto& a, const auto& b) { return a.first.length() > b.first.length(); });
  }
  // The most specific first, as Targets has it.
  std::vector<const TargetConfig*> of(const IpAddress& address) const {
    std::vector<const TargetConfig*> found;
    if (const auto hosts = hosts_.find(address); hosts != hosts_.end()) found = hosts->second;
    for (const auto& [network, target] : networks_) {
      if (network.contains(address)) found.push_back(target);
    }
    return found;
  }

 private:
  std::map<IpAddress, std::vector<const TargetConfig*>> hosts_;
  std::vector<std::pair<Cidr, const TargetConfig*>> networks_;
};

bool has_check(const TargetConfig& target, std::string_view check) {
  return std::find(target.checks.begin(), target.checks.end(), check) != target.checks.end();
}

bool asks(const Config& config, const TargetConfig& target, std::string_view check, std::uint16_t port) {
  if (!has_check(target, check)) return false;
  const std::vector<Port> ports = config.ports(target, std::string(check));
  return std::any_of(ports.begin(), ports.end(),
                     [&](const Port& p) { return p.number == port && p.transport == Transport::tcp; });
}

std::string quoted(std::string_view word) { return fmt::format("\"{}\"", word); }

// ports.http_connect = [80, "443/tls", 4711]
std::string ports_line(const Config& config, const TargetConfig& target, std::string_view check, std::uint16_t port) {
  std::string list;
  for (const Port& each : config.ports(target, std::string(check))) {
    const std::string text = format_port(each);
    const bool plain = text.find('/') == std::string::npos;
    list += (plain ? text : quoted(text)) + ", ";
  }
  return fmt::format("ports.{} = [{}{}]", check, list, port);
}

// What the target's configuration needs, so that all that answers the suspicion is asked.
std::vector<std::string> remedy_of(const Config& config, const std::vector<const TargetConfig*>& holders,
                                   const SuspicionKey& key) {
  std::vector<std::string> lines;
  const ReportType* const type = find_report_type(key.report);
  if (type == nullptr || holders.empty()) return lines;
  const TargetConfig& target = *holders.front();
  std::vector<std::string> checks = target.checks;
  for (const std::string_view check : type->checks) {
    const bool asked = std::any_of(holders.begin(), holders.end(),
                                   [&](const TargetConfig* holder) { return asks(config, *holder, check, key.port); });
    if (asked) continue;
    if (!has_check(target, check)) checks.emplace_back(check);
    TargetConfig with = target;
    with.checks = checks;
    if (!asks(config, with, check, key.port)) lines.push_back(ports_line(config, target, check, key.port));
  }
  if (checks.size() > target.checks.size()) {
    if (target.dnsbl) checks.emplace_back("dnsbl");
    for (std::string& check : checks) check = quoted(check);
    lines.insert(lines.begin(), fmt::format("checks = [{}]", fmt::join(checks, ", ")));
  }
  return lines;
}

int rank(SuspicionStatus status) {
  switch (status) {
    case SuspicionStatus::confirmed:
      return 0;
    case SuspicionStatus::untested:
      return 1;
    case SuspicionStatus::refuted:
      return 2;
  }
  return 2;
}

// Hands over our results that answer the suspicion; false when there are none.
bool test(const Suspicion& suspicion, const std::vector<std::string>& names, const Targets& targets,
          const ImportEvents& events) {
  const Config& config = targets.config();
  bool any = false;
  for (const std::string& name : names) {
    const TargetConfig* const target = targets.find(name);
    if (target == nullptr) continue;
    for (const std::string& check : target->checks) {
      for (const Port& port : config.ports(*target, check)) {
        const ResultKey key{name, suspicion.key.address, port.number, port.transport, check};
        if (!answers(key, suspicion.key) || !targets.owns(key)) continue;  // another target may own it
        events.test(key);
        any = true;
      }
    }
  }
  return any;
}

}  // namespace

std::vector<SuspicionView> suspicion_views(const Ledger& ledger, const Config& config, std::span<const TargetView> targets) {
  std::vector<SuspicionView> views;
  const Known known(ledger);
  if (known.suspicions().empty()) return views;
  const Holders holders(targets);
  for (const Suspicion& suspicion : known.suspicions()) {
    SuspicionView& view = views.emplace_back();
    view.suspicion = suspicion;
    view.judgement = known.judge(suspicion);
    const std::vector<const TargetConfig*> of = holders.of(suspicion.key.address);
    if (of.empty()) continue;
    view.target = of.front()->name;
    view.remedy = remedy_of(config, of, suspicion.key);
  }
  std::stable_sort(views.begin(), views.end(), [](const SuspicionView& a, const SuspicionView& b) {
    return std::pair(rank(a.judgement.status), b.suspicion.reported) <
           std::pair(rank(b.judgement.status), a.suspicion.reported);
  });
  return views;
}

void write_suspicions(Exposition& out, const Ledger& ledger) {
  std::map<std::pair<std::string, std::string>, double> counts;
  for (const SuspicionStatus status : kSuspicionStatuses)
    counts[{std::string(kShadowserver), std::string(to_string(status))}] = 0;
  const Known known(ledger);
  for (const Suspicion& suspicion : known.suspicions()) {
    ++counts[{suspicion.key.source, std::string(to_string(known.judge(suspicion).status))}];
  }
  out.family("ajar_suspicions", MetricType::gauge, "Reports of others about our addresses, by what our own tests say to them.");
  for (const auto& [key, count] : counts) {
    out.sample(Exposition::labels({{"source", key.first}, {"status", key.second}}), count);
  }
}

ImportCounts take_in(const std::vector<Suspicion>& suspicions, const Targets& targets, Ledger& ledger, Time now,
                     const ImportEvents& events) {
  ImportCounts counts;
  for (const Suspicion& suspicion : suspicions) {
    const IpAddress& address = suspicion.key.address;
    const bool outside = !targets.scope().allows(address);
    const std::vector<std::string> names = targets.targets_at(address);
    if (outside || names.empty()) {
      ++(outside ? counts.outside : counts.no_target);
      continue;
    }
    if (suspicion.reported + kSuspicionRetention <= now) {
      ++counts.old;
      continue;
    }
    const SuspicionKept kept = ledger.keep(suspicion);
    if (kept == SuspicionKept::known || kept == SuspicionKept::full) {
      ++(kept == SuspicionKept::known ? counts.known : counts.full);
      continue;
    }
    ++(kept == SuspicionKept::added ? counts.added : counts.newer);
    const bool tested = test(suspicion, names, targets, events);
    const bool listed = suspicion.key.port == 0;
    if (listed) events.look_up(address);
    if (!tested) ++counts.unasked;
  }
  return counts;
}

}  // namespace ajar
