#include "agent/runner.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

namespace ajar {
namespace {

std::string fresh_id() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{:016x}", random());
}

Subject subject_of(const ProbePlan& plan, Time now) {
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
  const TargetConfig* const target = plan.config->find_target(plan.key.target);
  if (target != nullptr) {
    subject.mail_domains = target->mail_domains;
    subject.control_recipients = target->control_recipients;
    if (subject.mail_domains.empty() && !target->place.mx_of.empty()) subject.mail_domains = {target->place.mx_of};
  }
  return subject;
}

// What is stored and shown names no token.
void hide_tokens(Finding& finding, const ProbeCanary& canary) {
  finding.because = canary.redact(finding.because);
  for (Variant& variant : finding.variants) {
    if (variant.reply) variant.reply = canary.redact(*variant.reply);
  }
  for (std::string& observation : finding.observations) observation = canary.redact(observation);
}

// Silence alone never says closed.
bool is_silence(Reason reason) { return reason == Reason::timeout || reason == Reason::no_route; }

}  // namespace

void Answered::note(const IpAddress& address, std::uint16_t port, Time when) {
  auto& [latest, other] = seen_[address];
  if (latest.port != port) other = latest;
  latest = {port, when};
}

bool Answered::on_another_port(const IpAddress& address, std::uint16_t port, Time since) const {
  const auto found = seen_.find(address);
  return found != seen_.end() && std::any_of(found->second.begin(), found->second.end(), [&](const Seen& seen) {
           return seen.port != 0 && seen.port != port && seen.when >= since;
         });
}

bool spoke(const Transcript& transcript) {
  const auto& lines = transcript.lines();
  return std::any_of(lines.begin(), lines.end(), [](const std::string& line) { return line.starts_with("S: "); });
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

Task<std::optional<Record>> run_probe(ProbeWorld& world, ProbePlan plan) {
  const auto& agent = plan.config->agent;
  Record record;
  record.probe_id = fresh_id();
  record.key = plan.key;
  record.host = plan.host;
  record.full_matrix = plan.full_matrix;
  record.started = world.now();
  if (const TargetConfig* target = plan.config->find_target(plan.key.target); target != nullptr) record.owner = target->owner;

  const Scope scope(plan.config->scope);
  NetworkOptions options{agent.source_addresses, agent.connect_timeout, agent.reply_timeout, agent.probe_timeout};
  LiveNetwork network(world.loop, scope, world.gate, world.tls, std::move(options), plan.host);
  ProbeCanary canary(world.keys, plan.config->canary, agent.name, *world.canary, world.book, plan.key, record.probe_id,
                     world.now);
  // A token that expired meanwhile would be refused by our own canary.
  std::erase_if(plan.retries,
                [&](const Retry& retry) { return world.keys.check(retry.token, record.started) != TokenState::valid; });
  const Subject subject = subject_of(plan, record.started);
  const auto begin = world.loop.now();
  std::optional<LinkError> trouble;
  try {
    record.finding = co_await plan.check->function(network, canary, subject);
  } catch (const LinkError& error) {
    trouble = error;
  }
  if (world.loop.shutting_down()) co_return std::nullopt;

  // A connection that came about, or was refused, is an answer of that address.
  if (!network.source_address().empty() || (trouble && trouble->reason() == Reason::nobody_listens)) {
    world.answered.note(plan.key.address, plan.key.port, record.started);
  }
  if (trouble) {
    const bool filtered = network.source_address().empty() && is_silence(trouble->reason()) &&
                          world.answered.on_another_port(plan.key.address, plan.key.port, record.started - 2 * agent.interval);
    record.finding = finding_of(*trouble, spoke(network.transcript()), filtered);
  }
  record.tls = plan.tls ? TlsMode::implicit : record.finding.tls;
  record.source_address = network.source_address();
  record.duration = std::chrono::duration_cast<std::chrono::milliseconds>(world.loop.now() - begin);
  for (const std::string& line : network.transcript().lines()) record.transcript.push_back(canary.redact(line));
  hide_tokens(record.finding, canary);
  co_return record;
}

}  // namespace ajar
