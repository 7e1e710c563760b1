#include "checks/proxy_probe.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "checks/wire/greeting.h"

namespace ajar {
namespace {

constexpr int kMaxTunnelLines = 20;
constexpr std::size_t kMaxTrouble = 120;  // of the words of TLS
constexpr std::size_t kMaxSeen = 5;       // sightings told, of those that differ

std::string told(const Sighting& sighting) {
  std::string text = fmt::format("Our canary was reached from {}", sighting.exit.to_string());
  for (std::size_t i = 0; i < sighting.facts.size(); ++i) text += (i == 0 ? ": " : "; ") + sighting.facts[i];
  return text;
}

}  // namespace

std::string ProxyProbe::user_agent() const {
  const std::string name = escape(subject_.our_name, 255);
  return subject_.contact.empty() ? fmt::format("ajar ({})", name)
                                  : fmt::format("ajar ({}; {})", name, escape(subject_.contact, 255));
}

ProxyAsk ProxyProbe::impossible(const ProxyAsk& like, const std::string& word) const {
  ProxyAsk ask = like;
  ask.name = "impossible";
  ask.to = impossible_destination(like.to, word);
  return ask;
}

Task<Finding> ProxyProbe::run(std::unique_ptr<ProxyProbe> probe) {
  std::vector<ProxyAsk> asks = probe->wanted();
  if (asks.empty()) {
    // Nobody may listen there.
    const std::unique_ptr<Link> link = co_await probe->reach();
    co_return probe->nowhere_to_lead();
  }
  for (ProxyAsk& one : asks) {
    co_await probe->ask(one);
    if (!probe->other_protocol_.empty()) co_return probe->dismissed();
  }
  if (probe->nothing_but_silence()) throw LinkError(Reason::timeout, "no answer, whichever port of ours it was asked for");
  co_await probe->look_at_proofs();
  co_await probe->doubt_yes();
  co_await probe->look_for_blind_fetches();
  co_return probe->conclude();
}

std::vector<ProxyAsk> ProxyProbe::whole_plan() const {
  std::vector<ProxyAsk> all = plan();
  for (ProxyAsk& one : all) {
    one.must_ask = std::find(subject_.must_ask.begin(), subject_.must_ask.end(), one.name) != subject_.must_ask.end();
  }
  return all;
}

std::vector<ProxyAsk> ProxyProbe::wanted() const {
  std::vector<ProxyAsk> all = whole_plan();
  if (subject_.full_matrix) return all;
  std::erase_if(all, [](const ProxyAsk& ask) { return !ask.core && !ask.must_ask; });
  all.shrink_to_fit();  // thousands of probes wait at the same time
  return all;
}

// A rule about destinations may go by the port alone, and a port that a firewall drops is silence: each is asked once before
// the rest is given up.
bool ProxyProbe::given_up_on(const ProxyAsk& ask) const {
  if (!given_up_) return false;
  const auto silent_ports = std::count_if(silences_.begin(), silences_.end(), [](const auto& port) { return port.second > 0; });
  if (!heard_ && silent_ports > 1) return true;
  const bool known = std::any_of(said_.begin(), said_.end(), [&](const ProxyAsk& other) {
    return other.to.port == ask.to.port && other.to.kind == ask.to.kind && !other.token.empty();
  });
  if (!known) return false;
  // Where it merely hangs up, what the verdict rests on is still asked.
  if (*given_up_ != Reason::timeout) return !(ask.core || ask.must_ask);
  const auto silent = silences_.find(ask.to.port);
  return silent != silences_.end() && silent->second > 0;
}

// Only what refused everything and fetched nothing on the quiet.
Task<bool> ProxyProbe::would_loop(const ProxyAsk& ask) {
  if (!ask.names_itself) co_return false;
  SightingWait wait = SightingWait::settled;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (asked_[i].variant.verdict != Verdict::closed) co_return true;
    if (said_[i].token.empty()) continue;
    const std::optional<Sighting> seen = co_await canary_.sighting(said_[i].token, wait);
    if (seen) co_return true;
    wait = SightingWait::none;  // once is enough for all
  }
  co_return false;
}

bool ProxyProbe::nothing_but_silence() const {
  return !heard_ && !asked_.empty() &&
         std::all_of(asked_.begin(), asked_.end(), [](const Asked& asked) { return asked.variant.reason == Reason::timeout; });
}

bool ProxyProbe::said(const std::string& name) const {
  return std::any_of(said_.begin(), said_.end(), [&](const ProxyAsk& ask) { return ask.name == name; });
}

// Asking

Task<std::unique_ptr<Link>> ProxyProbe::reach() { return network_.dial(subject_.address, subject_.port, subject_.tls); }

Task<void> ProxyProbe::ask(ProxyAsk& ask) {
  if (!ask.must_ask && !has_sense(ask)) co_return;
  if (given_up_on(ask)) {
    record_unasked(std::move(ask), *given_up_);
    co_return;
  }
  if (turned_away_) {
    record(std::move(ask), *turned_away_);
    co_return;
  }
  const bool loop = co_await would_loop(ask);
  if (loop) {
    if (ask.must_ask) record_unasked(std::move(ask), Reason::no_proof);
    co_return;
  }
  ask.token = canary_.mint(ask.name);
  ProxyAnswer answer;
  co_await attempt(ask, answer);
  if (!answer.other_protocol.empty()) {
    if (control_.result != Control::Result::succeeded) {
      other_protocol_ = answer.other_protocol;
      co_return;
    }
    say(answer, Verdict::unclear, Reason::protocol_error);
  }
  record(std::move(ask), std::move(answer));
}

// Whether the first form met a silence that may be that of one port of ours alone, and others are to be asked.
bool ProxyProbe::goes_on_after(const LinkError& failure) const {
  const bool more_ports = subject_.full_matrix || !subject_.must_ask.empty();
  return failure.reason() == Reason::timeout && more_ports;
}

// A server that hangs up is asked once more: once is chance. LinkError where nothing has been learnt: the caller's to judge.
Task<void> ProxyProbe::attempt(const ProxyAsk& ask, ProxyAnswer& answer) {
  bool any_byte = false;  // in either attempt
  for (bool again = false;; again = true) {
    answer = ProxyAnswer();
    std::optional<LinkError> failure;
    std::unique_ptr<Link> link;
    network_.transcript().note(ask.name);
    try {
      link = co_await reach();
      if (!speaks_first() && link->unread()) {
        co_await hear_early(*link, answer);
      } else {
        co_await converse(*link, ask, answer);
      }
    } catch (const LinkError& error) {
      failure = error;
    }
    // A reset may come before we know that we are connected; a refused connection has another reason.
    const bool reset = failure && failure->reason() == Reason::hung_up && subject_.tls == TlsMode::none;
    const bool connected = link != nullptr || reset;
    const bool spoken_to = link != nullptr && link->spoken_to();
    link.reset();
    heard_ = heard_ || spoken_to;
    any_byte = any_byte || spoken_to;
    if (!failure) co_return;
    const bool hung_up = failure->reason() == Reason::hung_up;
    const bool nothing_yet = asked_.empty() && !again && !heard_;
    if (nothing_yet && !(connected && (hung_up || goes_on_after(*failure)))) throw LinkError(*failure);
    if (hung_up && !again) continue;
    broken_off(*failure, connected && !any_byte, answer);
    co_return;
  }
}

// For a destination that nobody can reach. Returns the token that was asked with.
Task<std::string> ProxyProbe::ask_impossible(const ProxyAsk& like, ProxyAnswer& answer) {
  const std::string token = canary_.mint("impossible");
  ProxyAsk nowhere = impossible(like, token);
  nowhere.token = token;
  co_await attempt(nowhere, answer);
  co_return token;
}

// It speaks first: another protocol.
Task<void> ProxyProbe::hear_early(Link& link, ProxyAnswer& answer) {
  const std::string early = co_await link.peek(8);
  not_spoken(early, {}, answer);
  if (answer.other_protocol == protocol_) throw LinkError(Reason::protocol_error, "it answered before it was asked");
}

void ProxyProbe::broken_off(const LinkError& error, bool without_a_byte, ProxyAnswer& answer) const {
  answer.other_protocol.clear();
  switch (error.reason()) {
    case Reason::hung_up:
      if (!without_a_byte) {
        say(answer, Verdict::unclear, Reason::hung_up);
      } else if (would_arrive()) {
        say(answer, Verdict::closed, Reason::hung_up);
      } else {
        say(answer, Verdict::unclear, Reason::canary_unreachable);
      }
      break;
    case Reason::nobody_listens:
      say(answer, Verdict::unclear, Reason::hung_up);  // it listened a moment ago
      answer.gone = true;
      break;
    case Reason::auth_required:  // a certificate of ours: nobody who has none is served
      say(answer, Verdict::closed, Reason::auth_required);
      answer.reply = escape(error.what(), kMaxTrouble);
      break;
    case Reason::tls_failed:
      say(answer, Verdict::unclear, Reason::tls_failed);
      answer.reply = escape(error.what(), kMaxTrouble);
      break;
    default:
      say(answer, Verdict::unclear, error.reason());
      break;
  }
}

// When the rest has no sense any more.
void ProxyProbe::count(const ProxyAsk& ask, const ProxyAnswer& answer) {
  const bool silent = answer.reason == Reason::timeout || (answer.verdict == Verdict::accepted && answer.silent);
  int& silences = silences_[ask.to.port];
  silences = silent ? silences + 1 : 0;
  odd_answers_ = answer.shaped ? 0 : odd_answers_ + 1;
  // Where nothing was ever heard, one port more is asked, for its own firewall may drop the first.
  if (silences >= (heard_ ? kMaxSilences : 1)) given_up_ = Reason::timeout;
  if (odd_answers_ >= kMaxOddAnswers && !given_up_) given_up_ = answer.reason;
}

void ProxyProbe::record(ProxyAsk ask, ProxyAnswer answer) {
  if (answer.shaped) control_.result = Control::Result::succeeded;
  if (answer.verdict == Verdict::accepted) canary_.expect_late(ask.token, ask.name);
  if (!ask.token.empty()) count(ask, answer);
  if (answer.before_asked) turned_away_ = answer;
  Asked asked;
  asked.variant = {ask.name, answer.verdict, answer.reason, answer.code, std::move(answer.reply)};
  asked.core = ask.core;
  asked.must_ask = ask.must_ask;
  asked_.push_back(std::move(asked));
  said_.push_back(std::move(ask));
}

void ProxyProbe::record_unasked(ProxyAsk ask, Reason reason) {
  if (!ask.core && !ask.must_ask) {
    ++unasked_;
    return;
  }
  ProxyAnswer answer;
  say(answer, Verdict::unclear, reason);
  record(std::move(ask), std::move(answer));
}

void ProxyProbe::not_spoken(const std::string& first, std::string_view sent, ProxyAnswer& answer) const {
  network_.transcript().server(first);
  if (first.empty()) {
    network_.transcript().note("the peer closed the connection");
    throw LinkError(Reason::hung_up, "the peer closed the connection");
  }
  if (!speaks_other(first, sent, answer)) {
    throw LinkError(Reason::protocol_error, fmt::format("not {}, nor anything known: {}", protocol_, escape(first, 40)));
  }
}

bool ProxyProbe::speaks_other(std::string_view first, std::string_view sent, ProxyAnswer& answer) const {
  answer.other_protocol = is_echo(first, sent) ? "echo" : std::string(recognise(first));
  // What listens behind TLS was not asked anything yet.
  if (answer.other_protocol == "TLS" && subject_.tls == TlsMode::none) {
    answer.other_protocol.clear();
    throw LinkError(Reason::tls_failed, "it speaks TLS, and is to be asked over TLS: see the target's ports");
  }
  return !answer.other_protocol.empty();
}

// A tunnel

void ProxyProbe::granted(const ProxyAsk& ask, ProxyAnswer& answer) {
  tunnels_ = true;
  say(answer, Verdict::accepted, canary_.up(ask.to.kind) ? Reason::no_proof : Reason::canary_unreachable);
}

// One that leads there and not back. Where no grant was said before, the canary's log alone tells that from a refusal: one
// elsewhere is waited for.
Task<bool> ProxyProbe::proven_there(const ProxyAsk& ask) {
  const SightingWait wait = proves_by() == CanaryKind::tcp ? SightingWait::settled : SightingWait::lag;
  const std::optional<Sighting> seen = co_await canary_.sighting(ask.token, wait);
  co_return seen && seen->proof;
}

void ProxyProbe::observe(std::string observation) {
  if (std::find(observations_.begin(), observations_.end(), observation) != observations_.end()) return;
  observations_.push_back(std::move(observation));
}

Task<void> ProxyProbe::prove_tunnel(Link& link, const ProxyAsk& ask, ProxyAnswer& answer, Grant grant) {
  granted(ask, answer);
  std::optional<Reason> trouble;
  std::string words;
  bool proven = false;
  try {
    proven = co_await ask_tunnel(link, ask, answer);
  } catch (const LinkError& error) {
    trouble = error.reason();
    words = escape(error.what(), kMaxTrouble);
    answer.silent = trouble == Reason::timeout;
  }
  if (!proven) {
    proven = co_await proven_there(ask);
  }
  if (proven) {
    say(answer, Verdict::open, Reason::token_returned);
  } else if (trouble == Reason::tls_failed) {
    say(answer, Verdict::accepted, Reason::tls_failed);  // what would have come through is not known
    answer.reply = words;
  } else if ((grant == Grant::content && trouble != Reason::timeout) ||
             (grant == Grant::closing && trouble == Reason::hung_up)) {
    say(answer, Verdict::closed, Reason::refused);  // a page of its own
  }
}

// Whether the proof came back. HTTP or HTML in the tunnel is a page of the server's own (or itself at the other end): refused.
Task<bool> ProxyProbe::ask_tunnel(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) {
  const bool mail = ask.to.kind == CanaryKind::smtp;
  std::string first;
  // What follows the grant at once is a page, or the greeting of the canary's mail side.
  if (link.unread()) first = co_await link.peek(5);
  if (recognise(first) != "HTTP") {
    // The mail side proves itself in its reply to EHLO. It greets first, but a tunnel that ends elsewhere may not: it is not
    // waited for.
    const std::string question = (mail ? "EHLO " : "TOKEN ") + ask.token;
    co_await link.say(question);
    first = co_await link.peek(5);
  }
  if (first.empty()) {
    network_.transcript().note("the peer closed the connection");
    throw LinkError(Reason::hung_up, "the tunnel was closed");
  }
  if (recognise(first) == "HTTP") {
    answer.reply =
        (answer.reply && !answer.reply->empty() ? *answer.reply + ", then " : std::string()) + "a page of a web server";
    co_await link.hear_some();  // into the evidence
    say(answer, Verdict::closed, Reason::refused);
    co_return false;
  }
  std::string line;
  bool proven = false;
  for (int i = 0; i < kMaxTunnelLines && !proven; ++i) {
    co_await link.hear(line);
    proven = canary_.proves(ask.token, line);
  }
  if (mail && proven) co_await link.say("QUIT");
  co_return proven;
}

// What a proof is worth

// A proof that came through one fixed place would have come whatever was asked for.
Task<void> ProxyProbe::look_at_proofs() {
  SightingWait wait = SightingWait::lag;
  const auto look = [this](const std::string& name) {
    return std::any_of(proven_.begin(), proven_.end(), [&](const Proven& p) { return p.ask.name == name; });
  };
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < asked_.size(); ++i) {
      if (asked_[i].variant.verdict != Verdict::open || look(said_[i].name)) continue;
      std::optional<Sighting> seen = co_await canary_.sighting(said_[i].token, wait);
      if (!seen) wait = SightingWait::none;
      proven_.push_back({said_[i], std::move(seen)});
    }
    if (proven_.empty()) co_return;
    if (names_place_later()) break;
    if (round == 0) co_await ask_second_endpoint();
  }
  const Place place = co_await where_it_leads();
  one_place_ = place == Place::fixed;
  if (place != Place::asked_for) {
    withdraw_proofs(place);
    co_return;
  }
  std::set<std::string> tales;
  for (const Proven& proof : proven_) {
    if (!proof.sighting) continue;
    const std::string exit = proof.sighting->exit.to_string();
    if (std::find(exits_.begin(), exits_.end(), exit) == exits_.end()) exits_.push_back(exit);
    if (tales.size() < kMaxSeen) tales.insert(told(*proof.sighting));
  }
  observations_.insert(observations_.end(), tales.begin(), tales.end());
}

Task<void> ProxyProbe::ask_second_endpoint() {
  const ProxyAsk& first = proven_.front().ask;
  const bool two =
      std::any_of(proven_.begin(), proven_.end(), [&](const Proven& proof) { return proof.ask.to.port != first.to.port; });
  if (two) co_return;
  std::vector<ProxyAsk> all = whole_plan();
  for (ProxyAsk& other : all) {
    if (other.way != first.way || other.to.port == first.to.port || said(other.name)) continue;
    co_await ask(other);
    co_return;
  }
}

// Whether different ports of ours came out at the same listener; nullopt where that cannot be told. Ports, not addresses: one
// place with a name may have several of those.
std::optional<bool> ProxyProbe::one_listener() const {
  std::map<std::uint16_t, std::set<std::uint16_t>> listeners;  // by the port that was asked for
  std::set<std::uint16_t> all;
  for (const Proven& proof : proven_) {
    if (!proof.sighting) continue;
    listeners[proof.ask.to.port].insert(proof.sighting->listener.port);
    all.insert(proof.sighting->listener.port);
  }
  const bool apart = std::all_of(listeners.begin(), listeners.end(), [](const auto& one) { return one.second.size() == 1; });
  if (listeners.size() < 2 || !apart) return std::nullopt;
  return all.size() < listeners.size();
}

// Two ports of ours that come out at two listeners were asked for by a proxy. Else a destination that nobody can reach decides:
// what is asked for there and reaches our canary all the same, in whatever words, would have reached it anyhow. (nginx's
// `proxy_pass http://$host:80` goes by the name and not by the port: one listener, and no fixed place. A site of ours behind a
// reverse proxy is found by its name alone: another name is refused there, where the other fails to resolve it.)
Task<ProxyProbe::Place> ProxyProbe::where_it_leads() {
  if (names_place_later()) co_return Place::asked_for;
  const std::optional<bool> one = one_listener();
  if (one && !*one) co_return Place::asked_for;
  const bool by_name = std::all_of(proven_.begin(), proven_.end(),
                                   [](const Proven& proof) { return proof.ask.to.form == ProxyDestination::Form::name; });
  ProxyAnswer answer;
  const std::string token = co_await ask_impossible(proven_.front().ask, answer);
  const std::optional<Sighting> seen = co_await canary_.sighting(token, SightingWait::lag);
  if (answer.verdict == Verdict::open || seen) co_return Place::fixed;
  if (tunnels_ && grant_names_place()) co_return Place::asked_for;
  // One that hangs up where it cannot go has answered; one that may still be busy, or went to our canary in vain, has not.
  const bool in_vain = answer.reason == Reason::canary_unreachable && !grant_names_place();
  const bool clear = answer.reason != Reason::timeout && !answer.silent && !in_vain;
  const bool answered = answer.shaped ? clear : answer.reason == Reason::hung_up && !answer.gone;
  if (!answered) co_return Place::unknown;
  if (tunnels_ || !by_name) co_return Place::asked_for;
  if (answer.verdict == Verdict::closed) co_return one ? Place::fixed : Place::unknown;
  // Our own addresses met the same: a name that it has no site for, perhaps.
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const Variant& variant = asked_[i].variant;
    const bool literal = said_[i].to.form != ProxyDestination::Form::name;
    if (literal && variant.verdict == answer.verdict && variant.code == answer.code) co_return Place::unknown;
  }
  co_return Place::asked_for;
}

void ProxyProbe::withdraw_proofs(Place place) {
  const bool fixed = place == Place::fixed;
  for (Asked& asked : asked_) {
    if (asked.variant.verdict != Verdict::open) continue;
    asked.variant.verdict = fixed ? Verdict::closed : Verdict::accepted;
    asked.variant.reason = fixed ? Reason::refused : Reason::no_proof;
    asked.variant.reply = fixed ? "the proof came from one fixed place" : "the proof may come from one fixed place";
  }
  observations_.emplace_back(
      fixed ? "It passes everything on to one fixed place whatever is asked for, and that place is our canary: no proxy for "
              "strangers."
            : "A proof came back, but what it said when it was asked for a place that does not exist leaves open whether it "
              "passes everything on to one fixed place that is our canary.");
}

// A server that connects to a name that does not exist says yes to everything.
Task<void> ProxyProbe::doubt_yes() {
  if (names_place_later()) co_return;
  const auto said_so = [this](Verdict verdict) {
    return std::find_if(asked_.begin(), asked_.end(), [&](const Asked& a) { return a.variant.verdict == verdict; });
  };
  const auto yes = said_so(Verdict::accepted);
  if (yes == asked_.end() || said_so(Verdict::open) != asked_.end()) co_return;
  ProxyAnswer answer;
  co_await ask_impossible(said_[static_cast<std::size_t>(yes - asked_.begin())], answer);
  accepts_everything_ = answer.verdict >= Verdict::accepted;
}

// The canary was fetched from and the answer was not passed on: no proof, and no refusal either. The verdict rests on it.
Task<void> ProxyProbe::look_for_blind_fetches() {
  if (one_place_) co_return;
  // A canary elsewhere is waited for once, where something may have come.
  const bool perhaps = std::any_of(asked_.begin(), asked_.end(), [](const Asked& asked) {
    return asked.variant.verdict < Verdict::accepted && asked.variant.code.value_or(0) / 100 == 2;
  });
  SightingWait wait = perhaps ? SightingWait::lag : SightingWait::settled;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (asked_[i].variant.verdict >= Verdict::accepted) continue;
    if (said_[i].token.empty()) continue;  // not asked
    const std::optional<Sighting> seen = co_await canary_.sighting(said_[i].token, wait);
    wait = SightingWait::none;
    if (!seen || !seen->proof) continue;
    Variant& variant = asked_[i].variant;
    variant.verdict = Verdict::unclear;
    variant.reason = Reason::no_proof;
    asked_[i].must_ask = true;
    observations_.push_back(variant.name + ": no proof came back. " + told(*seen));
  }
}

// The verdict

// Variants that said yes before and can no longer be asked, since our canary is not advertised there any more: what can be
// asked answers for them.
void ProxyProbe::settle_doubts() {
  const bool all_closed =
      std::all_of(asked_.begin(), asked_.end(), [](const Asked& a) { return a.variant.verdict == Verdict::closed; });
  const bool core = std::any_of(asked_.begin(), asked_.end(), [](const Asked& a) { return a.core; });
  if (!all_closed || !core) return;
  for (const std::string& name : subject_.must_ask) {
    if (said(name)) continue;  // every variant of the plan that must be asked was
    Asked asked;
    asked.variant = {name, Verdict::closed, Reason::refused, std::nullopt, std::nullopt};
    asked_.push_back(std::move(asked));
    observations_.push_back(name + " said yes before; our canary is not advertised there any more, and all else was refused");
  }
}

std::string ProxyProbe::no_address() const {
  return fmt::format("There is no address of our canary that it could be asked for: see canary.advertise_{}.",
                     to_string(proves_by()));
}

Finding ProxyProbe::nowhere_to_lead() const {
  Finding finding;
  finding.reason = Reason::canary_unreachable;
  finding.because = no_address();
  return finding;
}

Finding ProxyProbe::dismissed() const {
  Finding finding;
  finding.verdict = Verdict::closed;
  finding.reason = Reason::other_protocol;
  finding.because = fmt::format("It speaks another protocol than {}: {}.", protocol_, other_protocol_);
  finding.spoken = other_protocol_;
  finding.tls = subject_.tls;
  return finding;
}

Finding ProxyProbe::conclude() {
  settle_doubts();
  Folded judgement = fold(asked_, control_, accepts_everything_);
  // What the verdict rests on could not be asked: our canary has mail alone, or IPv6 where the protocol has none.
  const bool no_place = judgement.reason == Reason::internal_error;
  if (no_place) judgement.reason = Reason::canary_unreachable;
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = no_place ? no_address() : because(judgement, asked_, "It answers, and does not connect strangers");
  finding.observations = std::move(observations_);
  finding.exit_addresses = std::move(exits_);
  finding.whole = unasked_ == 0;
  if (unasked_ > 0) {
    finding.observations.push_back(fmt::format("{} more forms were not asked, after the first were answered by {}", unasked_,
                                               given_up_ == Reason::timeout ? "silence" : to_string(*given_up_)));
  }
  finding.tls = subject_.tls;
  if (control_.result == Control::Result::succeeded) finding.spoken = protocol_;
  for (Asked& one : asked_) finding.variants.push_back(std::move(one.variant));
  return finding;
}

}  // namespace ajar
