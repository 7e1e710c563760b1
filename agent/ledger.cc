#include "agent/ledger.h"

#include <algorithm>
#include <mutex>

#include "agent/json.h"
#include "agent/ledger_state.h"
#include "agent/memory.h"

namespace ajar {
namespace {

constexpr auto kListingRetention = std::chrono::hours(24 * 30);  // of what nobody asks any more

}  // namespace

std::string_view to_string(CaseStatus status) {
  switch (status) {
    case CaseStatus::open:
      return "open";
    case CaseStatus::closed:
      return "closed";
    case CaseStatus::retired:
      return "retired";
  }
  return "open";
}

std::string_view to_string(ArrivalResult result) {
  switch (result) {
    case ArrivalResult::proved:
      return "proved";
    case ArrivalResult::late:
      return "late";
    case ArrivalResult::unknown_token:
      return "unknown_token";
    case ArrivalResult::replayed:
      return "replayed";
    case ArrivalResult::noted:
      return "noted";
  }
  return "noted";
}

// -- opening --

void Ledger::State::load() {
  LedgerStore::Loaded loaded = store.load();
  next_result = loaded.next_result;
  for (auto& exposure : loaded.cases) {
    cases_of[exposure.key].push_back(exposure.id);
    std::string id = exposure.id;
    visible.cases.emplace(std::move(id), std::move(exposure));
  }
  for (auto& [key, ids] : cases_of) {
    std::sort(ids.begin(), ids.end(), [&](const std::string& a, const std::string& b) {
      return visible.cases.at(a).first_seen < visible.cases.at(b).first_seen;
    });
  }
  visible.results = std::move(loaded.results);
  heartbeats = loaded.heartbeats;
  std::sort(loaded.tokens.begin(), loaded.tokens.end(),
            [](const HeldToken& a, const HeldToken& b) { return a.message.sent < b.message.sent; });
  for (auto& token : loaded.tokens) add_token(std::move(token));
  for (auto& count : loaded.counts) {
    CountKey key(count.check, count.owner);
    visible.counts.emplace(std::move(key), std::move(count));
  }
  cursors.insert(loaded.cursors.begin(), loaded.cursors.end());
  for (Listing& listing : loaded.listings) {
    if (options.now() - listing.checked <= kListingRetention) {
      listings.push_back(std::move(listing));
    } else {
      dirty.listings[{listing.zone, listing.subject}] = std::nullopt;
    }
  }
  for (Suspicion& suspicion : loaded.suspicions) {
    SuspicionKey key = suspicion.key;
    visible.suspicions.emplace(std::move(key), std::move(suspicion));
  }
  visible.paused = loaded.paused;
  fit_cases();
  give_back_memory();  // what reading took is more than what is kept
}

// Of results without a case none but those that seem to have one are looked at.
void Ledger::State::fit_cases() {
  std::vector<HeldResult> changed;
  HeldResult held;
  const auto fit = [&](ResultTable::Place place) {
    visible.results.read(place, held);
    if (fit_case(held.state)) changed.push_back(held);
  };
  for (auto place = visible.results.begin(); place != visible.results.end(); place = visible.results.next(place)) {
    if (visible.results.may_be_exposed(place)) fit(place);
  }
  for (const auto& [id, exposure] : visible.cases) {
    if (exposure.status != CaseStatus::open) continue;
    if (visible.results.contains(exposure.key)) {
      fit(visible.results.lower_bound(exposure.key));
    } else {
      restore_result(exposure);
    }
  }
  for (const HeldResult& one : changed) visible.results.put(one);
}

// A result and its case are written together, so they fit; where another hand changed one, the case decides.
bool Ledger::State::fit_case(ResultState& state) const {
  const Case* exposure = last_case(state.key);
  if (exposure && exposure->status == CaseStatus::open) {
    if (state.case_id == exposure->id) return false;
    state.case_id = exposure->id;
    state.level = exposure->level;
    state.reason = exposure->reason;
  } else {
    if (!state.case_id && state.level < Verdict::accepted) return false;
    state.case_id.reset();
    if (state.level < Verdict::accepted) return true;
    state.level = Verdict::unclear;
    state.reason = Reason::internal_error;
  }
  return true;
}

// An open case whose result is lost would stay open for ever: its result is due at once.
void Ledger::State::restore_result(const Case& exposure) {
  HeldResult held{next_result++, {}};
  held.state.key = exposure.key;
  held.state.owner = exposure.owner;
  held.state.level = held.state.last_level = exposure.level;
  held.state.reason = held.state.last_reason = exposure.reason;
  held.state.case_id = exposure.id;
  held.state.must_ask = exposure.variants;
  dirty.results.insert(exposure.key);
  visible.results.put(held);
}

Ledger::Ledger(LedgerOptions options) : state_(std::make_unique<State>(std::move(options))) { state_->load(); }

Ledger::~Ledger() { state_->flush(true); }

// -- looking up, loop thread: what is pending hides what is visible --

std::optional<HeldResult> Ledger::State::find(const ResultKey& key) const {
  const auto found = pending.results.find(key);
  return found == pending.results.end() ? visible.results.find(key) : found->second;
}

// The result of that endpoint and check, also where its target has another name since.
std::optional<HeldResult> Ledger::State::find_at(const ResultKey& key) const {
  if (std::optional<HeldResult> held = find(key)) return held;
  const PlaceKey place = place_of(key);
  for (const auto& [other, held] : pending.results) {
    if (held && place_of(other) == place) return held;
  }
  for (const ResultKey& other : visible.results.at(key.address, key.port, key.transport, key.check)) {
    if (!pending.results.contains(other)) return visible.results.find(other);
  }
  return std::nullopt;
}

const Case* Ledger::State::find_case(const std::string& id) const {
  if (const auto found = pending.cases.find(id); found != pending.cases.end()) return found->second ? &*found->second : nullptr;
  const auto found = visible.cases.find(id);
  return found == visible.cases.end() ? nullptr : &found->second;
}

// The open case of a result, else the one that ended last: never two are open, and an open one is the newest.
const Case* Ledger::State::last_case(const ResultKey& key) const {
  const auto found = cases_of.find(key);
  return found == cases_of.end() || found->second.empty() ? nullptr : find_case(found->second.back());
}

const Suspicion* Ledger::State::find(const SuspicionKey& key) const {
  if (const auto found = pending.suspicions.find(key); found != pending.suspicions.end()) {
    return found->second ? &*found->second : nullptr;
  }
  const auto found = visible.suspicions.find(key);
  return found == visible.suspicions.end() ? nullptr : &found->second;
}

CaseCount& Ledger::State::count(const std::string& check, const std::string& owner) {
  CountKey key(check, owner);
  dirty.counts.insert(key);
  const auto shown = visible.counts.find(key);
  const auto [place, fresh] = pending.counts.try_emplace(std::move(key));
  if (fresh) {
    if (shown != visible.counts.end()) {
      place->second = shown->second;
    } else {
      place->second.check = check;
      place->second.owner = owner;
    }
  }
  return place->second;
}

// -- setting --

void Ledger::set_due(const ResultKey& key, Time due) {
  std::optional<HeldResult> held = state_->find(key);
  if (!held || held->state.due == due) return;
  held->state.due = due;
  if (is_at_rest(held->state)) {
    state_->beat(*held);
  } else {
    state_->edit(*held);  // a confirmation must not come early
  }
}

void Ledger::set_paused(bool paused) {
  state_->pending.paused = paused;
  state_->dirty.paused = true;
}

void Ledger::set_options(const LedgerOptions& options) {
  const std::unique_lock hold(state_->mutex);  // readers of the history look at them
  LedgerOptions& ours = state_->options;
  ours.delivery_timeout = options.delivery_timeout;
  ours.token_retention = options.token_retention;
  ours.message_interval = options.message_interval;
  ours.reopen_within = options.reopen_within;
  ours.case_retention = options.case_retention;
  state_->next_expiry = Time::min();
}

void Ledger::keep(const Listing& listing) { state_->dirty.listings[{listing.zone, listing.subject}] = listing; }

void Ledger::forget(const ListingKey& key) { state_->dirty.listings[key] = std::nullopt; }

std::vector<Listing> Ledger::take_listings() { return std::exchange(state_->listings, {}); }

SuspicionKept Ledger::keep(const Suspicion& suspicion) {
  State& state = *state_;
  const Suspicion* held = state.find(suspicion.key);
  if (held != nullptr && held->reported >= suspicion.reported) return SuspicionKept::known;
  // What waits for a flush counts as if it were new: a little too careful.
  const std::size_t count = state.visible.suspicions.size() + state.pending.suspicions.size();
  if (held == nullptr && count >= kMaxSuspicions) return SuspicionKept::full;
  Suspicion kept = suspicion;
  if (held != nullptr) kept.imported = held->imported;
  const SuspicionKept result = held == nullptr ? SuspicionKept::added : SuspicionKept::newer;
  state.pending.suspicions[kept.key] = kept;
  state.dirty.suspicions.insert(kept.key);
  state.next_expiry = std::min(state.next_expiry, kept.reported + kSuspicionRetention);
  return result;
}

void Ledger::set_cursor(const std::string& canary, std::int64_t id) {
  state_->cursors[canary] = id;
  state_->dirty.cursors.insert(canary);
}

std::int64_t Ledger::cursor(const std::string& canary) const {
  const auto found = state_->cursors.find(canary);
  return found == state_->cursors.end() ? 0 : found->second;
}

// -- readers --

std::vector<ResultState> Ledger::results() const {
  std::vector<ResultState> list;
  list.reserve(result_count());
  each_result([&](const ResultState& result) { list.push_back(result); });
  return list;
}

std::size_t Ledger::result_count() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.results.size();
}

std::vector<ResultState> Ledger::results_of(const std::string& target) const {
  const std::shared_lock hold(state_->mutex);
  std::vector<ResultState> list;
  const ResultKey first{target, IpAddress::v6({}), 0, Transport::tcp, ""};  // IPv6 sorts before IPv4
  const ResultTable& all = state_->visible.results;
  HeldResult held;
  for (auto at = all.lower_bound(first); at != all.end() && all.target(at) == target; at = all.next(at)) {
    all.read(at, held);
    list.push_back(held.state);
  }
  return list;
}

void Ledger::each_result(const std::function<void(const ResultState&)>& take) const {
  each_result([&](const ResultState& result, const Case*) { take(result); }, [] {});
}

// A walk through a million results that held the lock throughout would keep the loop from committing for a second.
void Ledger::each_result(const TakeResult& take, const std::function<void()>& between) const {
  const ResultTable& results = state_->visible.results;
  const auto& cases = state_->visible.cases;
  HeldResult held;  // also the last that was taken
  const ResultState& result = held.state;
  for (bool first = true, more = true; more; first = false) {
    {
      const std::shared_lock hold(state_->mutex);
      auto at = first ? results.begin() : results.upper_bound(result.key);
      for (std::size_t left = kPortion; left > 0 && at != results.end(); --left, at = results.next(at)) {
        results.read(at, held);
        const auto open = result.case_id ? cases.find(*result.case_id) : cases.end();
        take(result, open != cases.end() && open->second.status == CaseStatus::open ? &open->second : nullptr);
      }
      more = at != results.end();
    }
    between();
  }
}

std::optional<ResultState> Ledger::result(const ResultKey& key) const {
  const std::shared_lock hold(state_->mutex);
  std::optional<HeldResult> found = state_->visible.results.find(key);
  return found ? std::optional(std::move(found->state)) : std::nullopt;
}

void Ledger::each_case(const std::function<void(const Case&)>& take) const {
  const std::shared_lock hold(state_->mutex);
  for (const auto& [id, exposure] : state_->visible.cases) take(exposure);
}

void Ledger::each_case_count(const std::function<void(const CaseCount&)>& take) const {
  const std::shared_lock hold(state_->mutex);
  for (const auto& [key, counted] : state_->visible.counts) take(counted);
}

std::vector<Case> Ledger::cases() const {
  std::vector<Case> list;
  {
    const std::shared_lock hold(state_->mutex);
    list.reserve(state_->visible.cases.size());
    for (const auto& [id, exposure] : state_->visible.cases) list.push_back(exposure);
  }
  std::stable_sort(list.begin(), list.end(), [](const Case& a, const Case& b) { return a.first_seen > b.first_seen; });
  return list;
}

std::optional<Case> Ledger::find_case(const std::string& id) const {
  const std::shared_lock hold(state_->mutex);
  const auto found = state_->visible.cases.find(id);
  return found == state_->visible.cases.end() ? std::nullopt : std::optional(found->second);
}

namespace {

std::optional<Record> read_evidence(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  try {
    return parse_record(*text);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<Record> Ledger::latest(const ResultKey& key) const { return read_evidence(state_->shown(key, Evidence::latest)); }

std::optional<Record> Ledger::latest_not_closed(const ResultKey& key) const {
  return read_evidence(state_->shown(key, Evidence::not_closed));
}

std::vector<LevelChange> Ledger::history(const ResultKey& key) const {
  std::int64_t id = 0;
  Time since{};
  {
    const std::shared_lock hold(state_->mutex);
    if (const auto found = state_->visible.results.find(key)) id = found->id;
    since = state_->options.now() - state_->options.case_retention;
  }
  return state_->store.history(id, key, since);
}

std::vector<CaseCount> Ledger::case_counts() const {
  const std::shared_lock hold(state_->mutex);
  std::vector<CaseCount> list;
  for (const auto& [key, counted] : state_->visible.counts) list.push_back(counted);
  return list;
}

std::vector<Suspicion> Ledger::suspicions() const {
  const std::shared_lock hold(state_->mutex);
  std::vector<Suspicion> list;
  list.reserve(state_->visible.suspicions.size());
  for (const auto& [key, suspicion] : state_->visible.suspicions) list.push_back(suspicion);
  return list;
}

std::vector<Suspicion> Ledger::suspicions_of(const IpAddress& address) const {
  const std::shared_lock hold(state_->mutex);
  std::vector<Suspicion> list;
  const auto& all = state_->visible.suspicions;
  for (auto found = all.lower_bound({address, 0, "", "", ""}); found != all.end() && found->first.address == address; ++found)
    list.push_back(found->second);
  return list;
}

LedgerTotals Ledger::totals() const {
  const std::shared_lock hold(state_->mutex);
  const auto is_open = [](const auto& entry) { return entry.second.status == CaseStatus::open; };
  const auto& cases = state_->visible.cases;
  return {state_->visible.results.size(), static_cast<std::size_t>(std::count_if(cases.begin(), cases.end(), is_open))};
}

bool Ledger::paused() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.paused;
}

bool Ledger::failing() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.failing;
}

std::string Ledger::failure() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.failure;
}

std::uint64_t Ledger::version() const {
  const std::shared_lock hold(state_->mutex);
  return state_->visible.version;
}

std::vector<std::string> Ledger::notes() const { return state_->store.notes(); }

}  // namespace ajar
