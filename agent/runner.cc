#include "agent/runner.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "agent/in_hand.h"

namespace ajar {
namespace {

const TargetConfig* target_of(const ProbePlan& plan) {
  return plan.target ? plan.target.get() : plan.config->find_target(plan.key.target);
}

std::string fresh_id() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{:016x}", random());
}

Subject subject_of(const ProbePlan& plan, Time now, const Vantage* vantage) {
  Subject subject;
  subject.target = plan.key.target;
  subject.host = plan.host;
  subject.address = plan.key.address;
  subject.port = plan.key.port;
  subject.transport = plan.key.transport;
  subject.tls = plan.tls ? TlsMode::implicit : TlsMode::none;
  subject.our_name = plan.config->agent.name;
  subject.contact = plan.config->agent.contact;
  subject.date = to_rfc5322(now);
  subject.full_matrix = plan.full_matrix;
  subject.must_ask = plan.must_ask;
  subject.retries = plan.retries;
  const TargetConfig* const target = target_of(plan);
  if (target != nullptr) {
    subject.mail_domains = target->mail_domains;
    subject.control_recipients = target->control_recipients;
    if (subject.mail_domains.empty() && !target->place.mx_of.empty()) subject.mail_domains = {target->place.mx_of};
  }
  if (vantage != nullptr) subject.our_addresses = vantage->addresses;
  return subject;
}

// What is stored and shown names no token. A sentence that grew with what strangers said (headers that a proxy added, as our
// canary saw them) ends where nobody reads on; a record that holds a longer one would be refused by the agent.
void make_presentable(Finding& finding, const ProbeCanary& canary) {
  finding.because = shortened(canary.redact(finding.because));
  for (Variant& variant : finding.variants) {
    if (variant.reply) variant.reply = shortened(canary.redact(*variant.reply));
  }
  for (std::string& observation : finding.observations) observation = shortened(canary.redact(observation));
}

// Silence alone never says closed.
bool is_silence(Reason reason) { return reason == Reason::timeout || reason == Reason::no_route; }

// The conversation ended before it came to an answer.
bool is_broken(Reason reason) {
  return is_silence(reason) || reason == Reason::hung_up || reason == Reason::tls_failed || reason == Reason::protocol_error;
}

}  // namespace

void Answered::put(LastTwo& ports, const Seen& seen) {
  auto& [latest, other] = ports;
  if (latest.is_another(seen.port, seen.transport)) other = latest;
  latest = seen;
}

void Answered::note(const IpAddress& address, std::uint16_t port, Transport transport, Time when, bool connected) {
  const std::lock_guard lock(mutex_);
  Ports& ports = seen_[address];
  const Seen seen{port, transport, when};
  put(ports.answered, seen);
  if (connected) put(ports.connected, seen);
}

bool Answered::on_another_port(const IpAddress& address, std::uint16_t port, Transport transport, Time since) const {
  const std::lock_guard lock(mutex_);
  const auto found = seen_.find(address);
  if (found == seen_.end()) return false;
  const LastTwo& ports = found->second.answered;
  return std::any_of(ports.begin(), ports.end(),
                     [&](const Seen& seen) { return seen.is_another(port, transport) && seen.when >= since; });
}

std::optional<Time> Answered::connected_on_another_port(const IpAddress& address, std::uint16_t port,
                                                        Transport transport) const {
  const std::lock_guard lock(mutex_);
  const auto found = seen_.find(address);
  if (found == seen_.end()) return std::nullopt;
  for (const Seen& seen : found->second.connected) {  // the latest first
    if (seen.is_another(port, transport)) return seen.when;
  }
  return std::nullopt;
}

Finding finding_of(const LinkError& error, bool has_spoken, bool answered_on_another_port) {
  Finding finding;
  finding.reason = error.reason();
  finding.because = error.what();
  switch (error.reason()) {
    case Reason::nobody_listens:
      finding.verdict = Verdict::closed;
      finding.because = "nobody listens: the connection was refused";
      break;
    case Reason::auth_required:
      finding.verdict = Verdict::closed;  // it wants a certificate before it takes a question
      break;
    case Reason::timeout:
    case Reason::no_route:
      finding.verdict = has_spoken ? Verdict::unclear : Verdict::unreachable;
      if (answered_on_another_port) {
        finding.reason = Reason::filtered;
        finding.because += "; another port of this address answers, so a filter stands before this one";
      }
      break;
    default:
      finding.verdict = Verdict::unclear;
      break;
  }
  return finding;
}

std::string shortened(std::string text) {
  if (text.size() <= kMaxSentence) return text;
  std::size_t end = kMaxSentence;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;  // not inside a character
  text.resize(end);
  return text + "…";
}

void PortTalk::note(const CheckInfo& check, const Finding& finding, bool doubted) {
  if (finding.spoken.empty()) return;
  const bool conclusive = finding.verdict >= Verdict::accepted || (finding.verdict == Verdict::closed && !doubted);
  heard_.push_back({finding.spoken, conclusive, finding.tls == TlsMode::implicit});
  if (finding.verdict == Verdict::unclear && is_broken(finding.reason))
    return;  // of the greeting perhaps no more than its first bytes
  // These speak when they are spoken to; the others of whom we know greet first, whoever comes.
  constexpr std::string_view kPatient[] = {"HTTP", "HTTP/2", "SOCKS4", "SOCKS5", "STUN", "DNS", "TLS", "echo"};
  const bool greets = std::find(std::begin(kPatient), std::end(kPatient), finding.spoken) == std::end(kPatient);
  if (!greets || (finding.reason != Reason::other_protocol && finding.spoken != check.protocol)) return;
  greeting_ = finding.spoken;
  // Three digits are what both begin with: a mail server is one that was heard to take mail commands.
  mail_or_ftp_ =
      finding.spoken == "SMTP" && check.protocol != "FTP" && (check.protocol != "SMTP" || finding.verdict == Verdict::unclear);
}

std::string PortTalk::greeted_instead(const CheckInfo& check) const {
  if (greeting_ == check.protocol || (mail_or_ftp_ && check.protocol == "FTP")) return {};
  return greeting_;
}

void PortTalk::settle(const CheckInfo& check, Finding& silence, const std::string& doubt) const {
  const std::string own(check.protocol);
  const auto socks = [](const std::string& name) { return name.starts_with("SOCKS"); };
  const auto three_digits = [](const std::string& name) { return name == "SMTP" || name == "FTP"; };
  for (const Heard& heard : heard_) {
    // Where the same protocol is spoken, or its sister that could not connect either, the silence may be a slow connect; or a
    // greeting that did not come this time.
    const bool alike = heard.spoken == own || (socks(heard.spoken) && socks(own) && !heard.conclusive) ||
                       (own == "TLS" && heard.inside_tls) || (three_digits(heard.spoken) && three_digits(own));
    if (alike) {
      silence.verdict = Verdict::unclear;
      silence.reason = Reason::timeout;
      silence.because = fmt::format("It speaks {}, but fell silent when it was asked this.", heard.spoken);
      return;
    }
  }
  if (heard_.empty()) return;
  const auto told = std::find_if(heard_.begin(), heard_.end(), [](const Heard& heard) { return heard.conclusive; });
  if (told == heard_.end()) {
    silence.verdict = Verdict::unclear;
    silence.reason = Reason::timeout;
    silence.because =
        fmt::format("It is silent towards {}, and what it said in {} settled nothing.", own, heard_.front().spoken);
    return;
  }
  if (!doubt.empty()) {
    silence.verdict = Verdict::unclear;
    silence.reason = Reason::timeout;
    silence.because = fmt::format("It is silent towards {} and speaks {}, but {}.", own, told->spoken, doubt);
    return;
  }
  silence.verdict = Verdict::closed;
  silence.reason = Reason::other_protocol;
  silence.because = fmt::format("It is silent towards {} and speaks {}.", own, told->spoken);
}

namespace {

// A probe, and what the other checks of the visit may take from it.
struct Outcome {
  Record record;
  std::optional<LinkError> trouble;  // that nothing was learnt but this
  bool connected = false;
};

Record begin_record(const ProbeWorld& world, const ProbePlan& plan) {
  Record record;
  record.probe_id = fresh_id();
  record.key = plan.key;
  record.host = plan.host;
  record.full_matrix = plan.full_matrix;
  record.started = world.now();
  record.tls = plan.tls ? TlsMode::implicit : TlsMode::none;
  if (const TargetConfig* target = target_of(plan); target != nullptr) record.owner = target->owner;
  return record;
}

class UnderWay {
 public:
  explicit UnderWay(const std::function<void(int)>& count) : count_(count) { count_(1); }
  ~UnderWay() { count_(-1); }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  const std::function<void(int)>& count_;
};

// nullopt when the loop was shut down meanwhile. `silences`: the waits for a first answer that the visit has to share.
Task<std::optional<Outcome>> run_probe(ProbeWorld& world, ProbePlan plan, unsigned silences) {
  const auto& agent = plan.config->agent;
  const UnderWay under_way(world.under_way);
  Outcome outcome;
  Record& record = outcome.record;
  record = begin_record(world, plan);
  const Scope scope(plan.config->scope);
  NetworkOptions options;
  options.source_addresses = agent.source_addresses;
  options.connect_timeout = agent.connect_timeout;
  options.reply_timeout = agent.reply_timeout;
  options.first_reply_timeout = agent.reply_timeout / std::max(silences, 1U);
  options.probe_timeout = agent.probe_timeout;
  LiveNetwork network(world.loop, scope, world.gate, world.tls, std::move(options), plan.host);
  ProbeCanary canary(world.keys, plan.config->canary, agent.name, *world.canary, world.book, world.sightings, plan.key,
                     record.probe_id, world.now);
  // A token that expired meanwhile would be refused by our own canary.
  std::erase_if(plan.retries,
                [&](const Retry& retry) { return world.keys.check(retry.token, record.started) != TokenState::valid; });
  const Subject subject = subject_of(plan, record.started, world.vantage);
  const auto begin = world.loop.now();
  try {
    record.finding = co_await plan.check->function(network, canary, subject);
  } catch (const LinkError& error) {
    outcome.trouble = error;
  }
  if (world.loop.shutting_down()) co_return std::nullopt;

  // A connection that came about, or was refused, is an answer of that address; so is a datagram of its own. That ours was sent
  // is none.
  const ResultKey& key = plan.key;
  const bool datagrams = key.transport == Transport::udp;
  const bool refused = outcome.trouble && outcome.trouble->reason() == Reason::nobody_listens;
  const bool heard = network.transcript().heard();
  outcome.connected = !network.source_address().empty();
  const bool taken = outcome.connected && !datagrams;
  if (taken || refused || (datagrams && heard)) {
    world.answered.note(key.address, key.port, key.transport, record.started, taken);
  }
  if (outcome.trouble) {
    const Reason reason = outcome.trouble->reason();
    // Most UDP ports say nothing to what they do not know: there an ICMP error alone tells of a filter.
    const bool kept_out = datagrams ? reason == Reason::no_route && !heard : is_silence(reason) && !outcome.connected;
    const bool filtered =
        kept_out && world.answered.on_another_port(key.address, key.port, key.transport, record.started - 2 * agent.interval);
    record.finding = finding_of(*outcome.trouble, heard, filtered);
  }
  if (!plan.tls) record.tls = record.finding.tls;
  record.source_address = network.source_address();
  record.duration = std::chrono::duration_cast<std::chrono::milliseconds>(world.loop.now() - begin - network.waited());
  for (const std::string& line : network.transcript().lines()) record.transcript.push_back(canary.redact(line));
  make_presentable(record.finding, canary);
  record.arrivals = canary.arrivals();
  co_return outcome;
}

// What needs no asking, after what the visit has met.
Record settled(const ProbeWorld& world, const ProbePlan& plan, Finding finding, const std::string& why) {
  Record record = begin_record(world, plan);
  record.finding = std::move(finding);
  record.transcript = {"# not asked: " + why};
  return record;
}

Finding spoken_instead(const CheckInfo& check, const std::string& spoken) {
  Finding finding;
  finding.verdict = Verdict::closed;
  finding.reason = Reason::other_protocol;
  finding.because = fmt::format("It greets in another protocol than {}: {}.", check.protocol, spoken);
  return finding;
}

Finding left_out(const std::string& why) {
  Finding finding;
  finding.verdict = Verdict::unclear;
  finding.reason = Reason::internal_error;
  finding.because = why;
  return finding;
}

// Whether the canary that this check needs for its proof cannot be reached.
bool canary_is_down(const ProbeWorld& world, const ProbePlan& plan) {
  if (!plan.check->canary) return false;
  if (plan.check->canary != CanaryKind::smtp) return !world.canary->health(*plan.check->canary).up;
  return !plan.config->canary.mail_domain.empty() && !world.canary->health(CanaryKind::smtp).up;
}

// Why the silence of a check may be something else than the silence of another protocol; empty: it is not.
std::string doubt_of(const CheckInfo& check, bool said_yes, bool deaf) {
  if (said_yes) return "it said yes to this before";
  // What waits for a canary that cannot be reached is silent in its own protocol too. Servers of mail and files greet whoever
  // comes.
  if (check.protocol != "SMTP" && check.protocol != "FTP" && deaf) return "our canary is down";
  return {};
}

// What said yes before and refuses the connection while our canary is down: the trouble may be on our side, or between.
void doubt_refusal(Finding& finding) {
  if (finding.reason != Reason::nobody_listens) return;
  finding.verdict = Verdict::unclear;
  finding.reason = Reason::canary_unreachable;
  finding.because = "The connection was refused while our canary is down: that does not prove that nobody listens.";
}

// The order of the catalogue, which is that of the questions.
void in_order(std::vector<ProbePlan>& plans) {
  std::stable_sort(plans.begin(), plans.end(), [](const ProbePlan& a, const ProbePlan& b) { return a.check < b.check; });
}

}  // namespace

Task<bool> run_visit(ProbeWorld& world, std::vector<ProbePlan> plans, std::function<void(const Record&)> done) {
  in_order(plans);
  PortTalk talk;
  unsigned silences = 0;
  for (const ProbePlan& plan : plans) silences += plan.skipped.empty() ? plan.check->silences : 0;
  std::unique_ptr<const Record> absent;  // it could not even be connected to; as met, before doubts
  struct Silent {
    const CheckInfo* check;
    Record record;
    std::string doubt;
  };
  std::vector<Silent> silent;
  // The one place that every record passes.
  const auto hand_over = [&](const CheckInfo& check, Record& record) {
    if (world.vantage != nullptr) doubt(*world.vantage, check.protocol, record);
    done(record);
  };
  for (ProbePlan& plan : plans) {
    const CheckInfo& check = *plan.check;
    const bool doubted = !plan.must_ask.empty();
    const bool deaf = canary_is_down(world, plan);
    if (absent) {
      Record record = settled(world, plan, absent->finding, fmt::format("{} met the same in this visit", absent->key.check));
      if (doubted && deaf) doubt_refusal(record.finding);
      hand_over(check, record);
      continue;
    }
    if (const std::string instead = talk.greeted_instead(check); !instead.empty()) {
      Record record = settled(world, plan, spoken_instead(check, instead), "it greeted in " + instead);
      hand_over(check, record);
      continue;
    }
    if (!plan.skipped.empty()) {
      Record record = settled(world, plan, left_out(plan.skipped), "its answer crashed the agent");
      record.full_matrix = false;
      hand_over(check, record);
      continue;
    }
    const WorkOn in_hand(plan.key);  // until its record is taken in: that is a part of what an answer may break
    std::optional<Outcome> outcome = co_await run_probe(world, std::move(plan), silences);
    if (!outcome) co_return false;
    const bool nothing = outcome->trouble.has_value();
    if (nothing && !outcome->connected && outcome->trouble->reason() != Reason::internal_error) {
      absent = std::make_unique<const Record>(outcome->record);
    }
    if (doubted && deaf) doubt_refusal(outcome->record.finding);
    if (nothing && outcome->connected && outcome->trouble->reason() == Reason::timeout &&
        outcome->record.finding.verdict == Verdict::unreachable) {
      silent.push_back({&check, std::move(outcome->record), doubt_of(check, doubted, deaf)});
      continue;
    }
    hand_over(check, outcome->record);
    world.survived(outcome->record.key);
    talk.note(check, outcome->record.finding, doubted);  // what the vantage makes doubtful settles nothing else
  }
  for (auto& [check, record, why] : silent) {
    const WorkOn in_hand(record.key);
    talk.settle(*check, record.finding, why);
    hand_over(*check, record);
    world.survived(record.key);
  }
  co_return true;
}

}  // namespace ajar
