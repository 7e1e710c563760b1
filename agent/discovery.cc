#include "agent/discovery.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/source_reader.h"
#include "agent/source_thread.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr std::chrono::seconds kLastWait{3};  // for requests under way at the end
constexpr std::size_t kLoggedRefusals = 10;   // of one list

std::string place_of(const DiscoveryConfig& source) {
  if (!source.file.empty()) return "file " + source.file;
  if (!source.dns_srv.empty()) return "dns_srv " + source.dns_srv;
  const std::size_t query = source.url.find('?');
  return "url " + source.url.substr(0, query) + (query == std::string::npos ? "" : "?…");
}

const std::shared_ptr<const TargetConfig>* find_in(const SourceTargets* list, const std::string& name) {
  if (list == nullptr) return nullptr;
  const auto found = std::lower_bound(list->targets.begin(), list->targets.end(), name,
                                      [](const auto& target, const std::string& other) { return target->name < other; });
  return found != list->targets.end() && (*found)->name == name ? &*found : nullptr;
}

// What an answer of the DNS lists; nullopt, with why, when it lists nothing that can be believed.
std::optional<TargetGroups> groups_of(const DnsAnswer& answer, std::string& trouble) {
  if (answer.state != DnsState::ok) {
    trouble = answer.text;
    return std::nullopt;
  }
  if (answer.services.empty() && answer.dropped) {
    trouble = "its records name no possible host";
    return std::nullopt;
  }
  if (answer.dropped) trouble = "some of its records are left out: too many, or they name no possible host";
  TargetGroups groups(1);
  for (const ServicePlace& place : answer.services) groups[0].targets.push_back(fmt::format("{}:{}", place.host, place.port));
  return groups;
}

}  // namespace

struct Discovery::Source {
  explicit Source(const DiscoveryConfig& from) : config(from) {}
  ~Source() { *alive = false; }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  DiscoveryConfig config;
  std::shared_ptr<const SourceTargets> list;  // nullptr: none yet
  bool complete = false;
  std::optional<bool> up;
  std::string trouble;
  std::optional<Time> last_success;
  std::map<std::string, std::string> taken;  // names of the list that others have, and who
  std::size_t own = 0;                       // targets that are its own
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  std::unique_ptr<SourceThread> thread;  // not of dns_srv
  bool asking = false;                   // dns_srv: the coroutine runs
};

struct Discovery::News {
  std::shared_ptr<const SourceTargets> targets;
  std::string trouble;
  bool complete = false;
  bool up = true;
};

Discovery::Discovery(Loop& loop, Dns& dns, DiscoveryEvents events, WallClock now)
    : loop_(loop), dns_(dns), events_(std::move(events)), now_(std::move(now)) {}

Discovery::~Discovery() {
  *alive_ = false;
  for (const auto& source : sources_) {
    if (source->thread) source->thread->stop();
  }
  const auto until = std::chrono::steady_clock::now() + kLastWait;
  for (const auto& source : sources_) {
    if (source->thread) source->thread->wait_end(until);
  }
}

void Discovery::apply(std::shared_ptr<const Config> config) {
  const std::shared_ptr<const Config> old = std::exchange(config_, std::move(config));
  declared_.clear();
  for (const TargetConfig& target : config_->targets) declared_.insert(target.name);
  const bool same_ground = old && old->scope == config_->scope && old->agent.contact == config_->agent.contact;
  std::vector<std::unique_ptr<Source>> before = std::exchange(sources_, {});
  for (const DiscoveryConfig& written : config_->discovery) {
    const auto same_name = std::find_if(before.begin(), before.end(),
                                        [&](const auto& source) { return source && source->config.name == written.name; });
    if (same_name == before.end()) {
      sources_.push_back(begin(written, nullptr));
    } else if (same_ground && (*same_name)->config == written) {
      sources_.push_back(std::move(*same_name));
    } else {
      sources_.push_back(begin(written, (*same_name)->list));
    }
  }
  for (const auto& source : before) {
    if (source && source->list) orphans_.push_back({source->config.name, source->list});
  }
  for (auto& [name, applied] : applied_) {
    applied.source = nullptr;  // found anew below
    dirty_.insert(name);
  }
  for (const auto& source : sources_) {
    source->taken.clear();
    source->own = 0;
    compare(nullptr, source->list.get());
  }
  view_.reset();
  look_complete();
  start_work();
  for (const auto& source : sources_) {
    if (source->config.dns_srv.empty() || std::exchange(source->asking, true)) continue;
    start(ask_dns(source->alive, source.get()));
  }
}

std::unique_ptr<Discovery::Source> Discovery::begin(const DiscoveryConfig& config, std::shared_ptr<const SourceTargets> list) {
  auto source = std::make_unique<Source>(config);
  Source* const self = source.get();
  if (!config.dns_srv.empty()) return source;
  try {
    source->thread = std::make_unique<SourceThread>(
        loop_, make_reader(config, *config_, true), config, config_->scope, std::move(list), [this, self](SourceNews news) {
          const bool up = news.trouble.empty();
          take(*self, {std::move(news.targets), std::move(news.trouble), news.complete, up});
        });
  } catch (const std::system_error& error) {
    source->up = false;
    source->trouble = std::string("it cannot be read before the next reload: ") + error.what();
    spdlog::error("discovery {}: {}", escape(config.name), source->trouble);
  }
  return source;
}

Task<void> Discovery::ask_dns(std::shared_ptr<const bool> alive, Source* source) {
  const std::string service = source->config.dns_srv;
  for (;;) {
    const DnsAnswer answer = co_await dns_.look_up(service, DnsType::srv);
    if (!*alive || loop_.shutting_down()) co_return;
    News news;
    const std::optional<TargetGroups> groups = groups_of(answer, news.trouble);
    news.complete = news.up = groups.has_value();
    news.targets = source->list;
    if (groups) news.targets = read_entries(*groups, source->config, config_->scope, source->list.get());
    take(*source, std::move(news));
    const auto wait = groups ? std::clamp(answer.ttl, kShortest, kLongest) : kAfterFailure;
    const auto until = loop_.now() + wait;
    const bool goes_on = co_await loop_.sleep_until(until);
    if (!goes_on || !*alive) co_return;
  }
}

void Discovery::take(Source& source, News news) {
  const std::shared_ptr<const SourceTargets> before = std::exchange(source.list, std::move(news.targets));
  source.complete = source.complete || news.complete;
  if (news.up) source.last_success = now_();
  if (news.trouble != source.trouble) {
    const std::string name = escape(source.config.name);
    if (!news.trouble.empty()) {
      spdlog::warn("discovery {}: {}{}", name, news.trouble,
                   !news.up && source.list && !source.list->targets.empty() ? "; what it said last holds" : "");
    } else {
      spdlog::info("discovery {}: well again", name);
    }
  }
  source.up = news.up;
  source.trouble = std::move(news.trouble);
  if (source.list != before) {
    const SourceTargets none;
    if (source.list) report_refusals(source, before ? *before : none);
    compare(before.get(), source.list.get());
  }
  view_.reset();
  look_complete();
  start_work();
  events_.changed();
}

// Those that were not refused before.
void Discovery::report_refusals(const Source& source, const SourceTargets& before) const {
  const std::set<RefusedEntry> known(before.refused.begin(), before.refused.end());
  std::size_t logged = 0;
  for (const RefusedEntry& refused : source.list->refused) {
    if (known.contains(refused)) continue;
    if (++logged > kLoggedRefusals) break;
    spdlog::warn("discovery {}: {} is not taken: {}", escape(source.config.name), refused.entry, refused.why);
  }
  if (logged > kLoggedRefusals) {
    spdlog::warn("discovery {}: {} entries are not taken; /config shows more of them", escape(source.config.name),
                 source.list->refused_count);
  }
}

// Notes the names of which the two lists say something else. What is the same is the same object.
void Discovery::compare(const SourceTargets* before, const SourceTargets* after) {
  static const SourceTargets kNone;
  const auto& old = before != nullptr ? before->targets : kNone.targets;
  const auto& now = after != nullptr ? after->targets : kNone.targets;
  auto a = old.begin();
  auto b = now.begin();
  while (a != old.end() || b != now.end()) {
    const int order = a == old.end() ? 1 : b == now.end() ? -1 : (*a)->name.compare((*b)->name);
    if (order != 0 || *a != *b) dirty_.insert(order <= 0 ? (*a)->name : (*b)->name);
    if (order <= 0) ++a;
    if (order >= 0) ++b;
  }
}

// What went with a source of an earlier configuration goes when the present ones have all been read.
void Discovery::look_complete() {
  const bool all = std::all_of(sources_.begin(), sources_.end(), [](const auto& source) { return source->complete; });
  if (!all || orphans_.empty()) return;
  for (const Orphan& orphan : std::exchange(orphans_, {})) compare(orphan.list.get(), nullptr);
}

void Discovery::start_work() {
  if (working_) return;
  working_ = true;
  start(work(alive_));
}

Task<void> Discovery::work(std::shared_ptr<const bool> alive) {
  const auto begin = next_batch_;
  bool goes_on = co_await loop_.sleep_until(begin);
  std::size_t settled = 0;
  while (goes_on && *alive && !dirty_.empty()) {
    const auto slice_end = loop_.now() + kSlice;
    while (!dirty_.empty() && loop_.now() < slice_end) {
      const std::string name = std::move(dirty_.extract(dirty_.begin()).value());
      settle(name);
      ++settled;
    }
    if (!dirty_.empty()) goes_on = co_await loop_.sleep_for(kPause);
  }
  if (!*alive) co_return;
  working_ = false;
  next_batch_ = loop_.now() + kBatch;
  if (!goes_on) co_return;
  if (settled > 0) {
    view_.reset();
    spdlog::debug("discovery: {} names looked at, {} targets are found", settled, applied_.size());
    events_.changed();
  }
  const bool all = std::all_of(sources_.begin(), sources_.end(), [](const auto& source) { return source->complete; });
  if (all && !complete_) {
    complete_ = true;
    events_.complete();
  }
}

// Who has the name now, and what follows.
void Discovery::settle(const std::string& name) {
  const bool is_declared = declared_.contains(name);
  const std::shared_ptr<const TargetConfig>* winner = nullptr;
  Source* of = nullptr;
  for (const auto& source : sources_) {
    const auto* const here = find_in(source->list.get(), name);
    if (here == nullptr) {
      source->taken.erase(name);
    } else if (is_declared || winner != nullptr) {
      const std::string who = is_declared ? "a [[target]]" : "discovery " + escape(of->config.name);
      const auto [entry, fresh] = source->taken.insert_or_assign(name, who);
      if (fresh)
        spdlog::warn("discovery {}: {} is not taken: {} has that name", escape(source->config.name), entry->first, who);
    } else {
      source->taken.erase(name);
      winner = here;
      of = source.get();
    }
  }
  for (const Orphan& orphan : orphans_) {
    if (winner != nullptr || is_declared) break;
    winner = find_in(orphan.list.get(), name);
    const auto same = std::find_if(sources_.begin(), sources_.end(),
                                   [&](const auto& source) { return source->config.name == orphan.source; });
    if (winner != nullptr && same != sources_.end()) of = same->get();
  }
  const auto applied = applied_.find(name);
  if (applied != applied_.end() && applied->second.source != nullptr) --applied->second.source->own;
  if (of != nullptr) ++of->own;
  if (winner == nullptr) {
    if (applied == applied_.end()) return;
    applied_.erase(applied);
    events_.removed(name);
    return;
  }
  const bool same = applied != applied_.end() && applied->second.target == *winner;
  const std::shared_ptr<const TargetConfig> target = *winner;
  applied_[name] = {target, of};
  if (!same) events_.put(*target);
}

std::shared_ptr<const DiscoveryView> Discovery::view() {
  if (view_) return view_;
  auto view = std::make_shared<DiscoveryView>();
  for (const auto& source : sources_) {
    SourceView& shown = view->sources.emplace_back();
    shown.name = source->config.name;
    shown.place = place_of(source->config);
    shown.targets = source->own;
    shown.refused = source->taken.size() + (source->list ? source->list->refused_count : 0);
    if (source->list) shown.refusals = source->list->refused;
    for (const auto& [name, who] : source->taken) {
      if (shown.refusals.size() >= kMaxShownRefusals) break;
      shown.refusals.push_back({name, who + " has that name"});
    }
    shown.up = source->up;
    shown.trouble = source->trouble;
    shown.last_success = source->last_success;
  }
  for (const auto& [name, applied] : applied_) {
    if (applied.source != nullptr) view->found_by.emplace(name, applied.source->config.name);
  }
  view_ = std::move(view);
  return view_;
}

// ---- once ----

namespace {

Task<void> ask_once(Loop& loop, Dns& dns, std::string service, DnsAnswer& answer) {
  const DnsAnswer said = co_await dns.look_up(service, DnsType::srv);
  answer = said;
  loop.stop();
}

SourceLook look_once(const DiscoveryConfig& source, const Config& config) {
  if (source.dns_srv.empty()) return make_reader(source, config, false)->look();
  SourceLook look;
  Loop loop;
  Resolver resolver(loop, ResolverOptions{});
  DnsAnswer answer;
  start(ask_once(loop, resolver, source.dns_srv, answer));
  loop.run();
  look.groups = groups_of(answer, look.trouble);
  return look;
}

}  // namespace

Config with_discovered(Config config, std::vector<std::string>& troubles) {
  std::map<std::string, std::string> owners;
  for (const TargetConfig& target : config.targets) owners.emplace(target.name, "a [[target]]");
  std::vector<TargetConfig> found;
  for (const DiscoveryConfig& source : config.discovery) {
    const std::string name = escape(source.name);
    const SourceLook look = look_once(source, config);
    if (!look.trouble.empty()) troubles.push_back(fmt::format("discovery {}: {}", name, look.trouble));
    if (!look.groups) continue;
    const auto list = read_entries(*look.groups, source, config.scope, nullptr);
    for (const RefusedEntry& refused : list->refused) {
      troubles.push_back(fmt::format("discovery {}: {} is not taken: {}", name, refused.entry, refused.why));
    }
    for (const auto& target : list->targets) {
      const auto [owner, fresh] = owners.emplace(target->name, "discovery " + name);
      if (fresh) {
        found.push_back(*target);
      } else {
        troubles.push_back(fmt::format("discovery {}: {} is not taken: {} has that name", name, target->name, owner->second));
      }
    }
  }
  config.targets.insert(config.targets.end(), found.begin(), found.end());
  return config;
}

}  // namespace ajar
