#include "agent/probe_canary.h"

#include <algorithm>

#include "agent/canary_dialog.h"
#include "agent/kept_arrivals.h"
#include "checks/network.h"
#include "checks/wire/ascii.h"

namespace ajar {

namespace {

void replace(std::string& text, const std::string& what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

}  // namespace

ProbeCanary::ProbeCanary(const CanaryKeys& keys, const CanaryConfig& config, std::string agent_name, const CanaryStatus& status,
                         const MessageBook& book, Sightings& sightings, ResultKey key, std::string probe_id, WallClock now)
    : keys_(keys),
      config_(config),
      mail_domain_(canary_mail_domain(config, agent_name)),
      status_(status),
      book_(book),
      sightings_(sightings),
      key_(std::move(key)),
      probe_id_(std::move(probe_id)),
      now_(std::move(now)) {}

std::vector<Arrival> ProbeCanary::arrivals() const {
  std::vector<Arrival> came;
  for (const std::string& token : tokens_) {
    const std::shared_ptr<const Arrival> arrival = sightings_.arrival(token);
    if (!arrival || !arrival->proof || came.size() >= KeptArrivals::kMost) continue;
    came.push_back(presentable(*arrival));
    for (std::string& fact : came.back().facts) fact = redact(fact);
  }
  return came;
}

ProbeCanary::~ProbeCanary() {
  if (!reserved_for_.empty()) status_.release(reserved_for_);
  for (const std::string& token : tokens_) sightings_.forget(token);
}

Message ProbeCanary::message(const std::string& token, const std::string& variant, const std::string& variant_class) const {
  Message message;
  message.token = token;
  message.key = key_;
  message.probe_id = probe_id_;
  message.variant = variant;
  message.variant_class = variant_class;
  message.sent = now_();
  return message;
}

std::string ProbeCanary::mint(const std::string&) {
  const std::string token = keys_.mint(now_(), config_.token_retention);
  tokens_.push_back(token);
  const std::string proof = keys_.proof(token);
  spellings_.push_back({proof, hex(token), hex(proof)});
  // What a tunnel or a fetch brings; a mail token is known from ask_to_send() on, and not before.
  if (!key_.check.starts_with("smtp") && key_.check != "backscatter") sightings_.watch(token);
  return token;
}

Task<std::optional<AddressPort>> ProbeCanary::reserve(const std::string& token, bool v4, std::optional<IpAddress> asker) {
  if (!reserved_for_.empty()) status_.release(reserved_for_);
  reserved_for_ = token;
  std::string copy = token;
  std::optional<AddressPort> place = co_await status_.reserve(std::move(copy), v4, asker);
  co_return place;
}

// A connection to a port of ours is another one than that of the answer which speaks of it: ours may come to our ears later.
Task<std::optional<Sighting>> ProbeCanary::sighting(const std::string& token, SightingWait wait) {
  constexpr std::chrono::milliseconds kLater{1500};
  return sightings_.find(token, wait, token == reserved_for_ ? kLater : std::chrono::milliseconds(0));
}

std::optional<KnownName> ProbeCanary::known_name(const std::string& token) const {
  if (config_.host.empty()) {
    if (config_.resolver_name.empty()) return std::nullopt;
    return KnownName{to_lower(config_.resolver_name), config_.resolver_answers};
  }
  KnownName known{token + "." + to_lower(config_.host), {}};
  for (const CanaryKind kind : kCanaryKinds) {
    for (const AddressPort& place : advertised(kind)) {
      const bool there = std::find(known.addresses.begin(), known.addresses.end(), place.address) != known.addresses.end();
      if (!there) known.addresses.push_back(place.address);
    }
  }
  if (known.addresses.empty()) return std::nullopt;
  return known;
}

void ProbeCanary::expect_late(const std::string& token, const std::string& variant) {
  book_.remember(message(token, variant, variant));
}

bool ProbeCanary::proves(const std::string& token, std::string_view bytes) const {
  return !token.empty() && bytes.find(keys_.proof(token)) != std::string_view::npos;
}

Task<Permit> ProbeCanary::ask_to_send(const std::string& token, const std::string& variant, const std::string& variant_class) {
  if (config_.mail_domain.empty()) return at_once(Permit::no_mail_domain);
  if (!up(CanaryKind::smtp)) return at_once(Permit::canary_down);
  return book_.ask_to_send(message(token, variant, variant_class));
}

std::string ProbeCanary::redact(const std::string& line) const {
  std::string shown = hide_tokens(line, keys_, now_());
  if (shown.starts_with("S: ") && (shown.find("PROOF ") != std::string::npos || shown.find(" proof ") != std::string::npos)) {
    for (const Spelling& spelling : spellings_) replace(shown, spelling.proof, "<proof>");
  }
  std::string lower = to_lower(shown);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    // A token that a server wrote together with other letters is no word of its own.
    if (lower.find(tokens_[i]) != std::string::npos) {
      shown = without_token(shown, tokens_[i]);
      lower = to_lower(shown);
    }
    if (shown.size() < spellings_[i].proof_bytes.size()) continue;
    replace(shown, spellings_[i].token_bytes, "<token>");
    replace(shown, spellings_[i].proof_bytes, "<proof>");
  }
  return shown;
}

}  // namespace ajar
