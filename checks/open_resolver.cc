// open_resolver: would it resolve for a stranger? RFC 1035, 5358; over UDP and over TCP (RFC 7766), bytes in wire/dns_query.h.
//
//   C: RD, A of <token>.canary.example.net   a name that nobody can have in a cache, and that leads to our canary
//   S: REFUSED, NOTAUTH, NOTIMP              refused
//   S: our canary's addresses                proven: open, whatever RA says: it went and asked for a stranger
//     … authoritatively                      it holds our zone itself, which proves nothing
//   S: RA is 0                               refused: it answers for its own zones alone, by a referral or by nothing, or from
//                                            its cache, where a name without a token was asked for (canary.resolver_name)
//   S: RA, and NXDOMAIN, nothing or others   a yes without proof: it went and asked for a stranger, or made an answer up
//   S: a referral with RA                    refused: it says where to ask
//   S: SERVFAIL                              it tried, or says so: put off
//   S: FORMERR                               no sensible answer
//   S: TC and nothing                        cut off: neither (a limit of rates, perhaps)
//
// Where our canary has no name that could be asked for, a name under .invalid is all there is: who refuses that is closed, and
// who does not proves nothing.
//
// After a yes without proof a name under .invalid is asked for, which nobody has: who finds that too says yes to everything.
// What a victim would get for what an attacker sends is told as the amplification factor: of these answers and, where all is
// asked and the server is open, of the two large ones of the root.
//
// How this harms nobody: a resolver asks our own name servers once for our own name. The answers come to us alone.
#include "checks/open_resolver.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/datagrams.h"
#include "checks/fold.h"
#include "checks/wire/dns_query.h"
#include "checks/wire/greeting.h"

namespace ajar {
namespace {

constexpr const char* kNoName =
    "There is no name of ours that it could be asked for: see canary.host and canary.resolver_name.";

struct Question {
  std::string name;
  std::uint16_t type = 0;
  std::string word;   // of the type
  std::string whose;  // the name, in words: "of our name"
  bool edns = false;
};

class Resolver {
 public:
  Resolver(Network& network, Canary& canary, const Subject& subject) : network_(network), canary_(canary), subject_(subject) {}
  Task<Finding> run();

 private:
  Task<void> ask_variant(std::string variant, DnsType type);
  Task<void> ask_for_nobody();
  Task<std::string> ask(Question question, std::string token);
  Task<std::string> ask_udp(std::string query, std::string shown);
  Task<std::string> ask_tcp(std::string query, std::string shown);
  void judge(const std::string& message, const KnownName& known, bool fresh, DnsType type, Variant& variant) const;
  Task<void> doubt_yes();
  Task<void> measure_amplification();
  void record(Variant variant);
  void put_off(const LinkError& error, Variant& variant) const;
  Finding conclude();

  Network& network_;
  Canary& canary_;
  const Subject& subject_;
  std::vector<Asked> asked_;
  Control control_;
  std::string other_protocol_;
  bool accepts_everything_ = false;
  std::size_t sent_ = 1, received_ = 0;  // of the worst answer
  std::string worst_;
  std::uint16_t questions_ = 0;
};

// For who does not see the question as unpredictable as the token is, which holds an HMAC; the next question's differs.
std::uint16_t id_of(const std::string& token, std::uint16_t number) {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : token) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return static_cast<std::uint16_t>((hash ^ (hash >> 16U)) + number);
}

std::string shown(const DnsHead& head, std::size_t size) {
  return fmt::format("{}{}{}{}, {} answers, {} bytes", dns_rcode_text(head.rcode), head.recursion_available ? ", RA" : "",
                     head.authoritative ? ", AA" : "", head.truncated ? ", TC" : "", head.answers, size);
}

Task<std::string> Resolver::ask(Question question, std::string token) {
  std::string query = dns_query(id_of(token, questions_++), question.name, question.type, question.edns);
  const std::size_t size = query.size();
  std::string text = fmt::format("query {} {}, RD, {} bytes", question.word, question.name, size);
  std::string answer;
  if (subject_.transport == Transport::udp) {
    answer = co_await ask_udp(std::move(query), std::move(text));
  } else {
    answer = co_await ask_tcp(std::move(query), std::move(text));
  }
  control_.result = Control::Result::succeeded;
  const std::optional<DnsHead> head = parse_dns_head(answer);
  network_.transcript().note(shown(*head, answer.size()));
  if (answer.size() * sent_ > received_ * size) {
    received_ = answer.size();
    sent_ = size;
    worst_ = question.word + " " + question.whose;
  }
  co_return answer;
}

Task<std::string> Resolver::ask_udp(std::string query, std::string shown) {
  std::unique_ptr<Datagrams> datagrams = co_await network_.dial_udp(subject_.address, subject_.port);
  const Datagrams::Fits fits = [query](std::string_view bytes) { return answers_dns_query(bytes, query); };
  std::string answer;
  network_.transcript().note(shown);
  co_await datagrams->ask(std::move(query), std::string(), fits, answer);
  co_return answer;
}

// Whether what begins so, with its length, answers that query by its id.
bool begins_answer(std::string_view framed, std::string_view query) {
  if (framed.size() < 2) return false;
  const std::optional<DnsHead> head = parse_dns_head(framed.substr(2)), asked = parse_dns_head(query);
  return head && asked && head->response && head->id == asked->id;
}

// RFC 1035 4.2.2: two bytes of length before each message.
Task<std::string> Resolver::ask_tcp(std::string query, std::string shown) {
  std::unique_ptr<Link> link = co_await network_.dial(subject_.address, subject_.port, subject_.tls);
  std::string framed{static_cast<char>(query.size() >> 8U), static_cast<char>(query.size() & 0xffU)};
  framed += query;
  std::string bytes = hex(framed);
  network_.transcript().note(shown);
  if (!link->unread()) co_await link->say_bytes(std::move(framed), std::move(bytes));
  const std::string first = co_await link->peek(2 + kDnsHead);
  // The length alone may look like another protocol: 90 bytes begin as a grant of SOCKS4 does.
  if (const std::string_view spoken = recognise(first); !spoken.empty() && !begins_answer(first, query)) {
    network_.transcript().server(first);
    other_protocol_ = spoken;
    throw LinkError(Reason::other_protocol, "it speaks another protocol");
  }
  const std::string head = co_await link->hear_bytes(2, Link::Show::hex);
  const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(head[0])) << 8U |
                             static_cast<std::size_t>(static_cast<unsigned char>(head[1]));
  if (length < kDnsHead) throw LinkError(Reason::protocol_error, fmt::format("no DNS message: {} bytes announced", length));
  const std::string answer = co_await link->hear_bytes(length, Link::Show::hex);
  if (!answers_dns_query(answer, query)) throw LinkError(Reason::protocol_error, "no answer to what was asked");
  co_return answer;
}

void Resolver::put_off(const LinkError& error, Variant& variant) const {
  variant.verdict = Verdict::unclear;
  variant.reason = error.reason();
  variant.reply = escape(error.what());
}

void Resolver::record(Variant variant) { asked_.push_back({std::move(variant), true, false, true}); }

// Some of our canary's addresses, and no others.
bool is_right(const std::optional<DnsRecords>& records, const KnownName& known) {
  const auto ours = [&](const IpAddress& address) {
    return std::find(known.addresses.begin(), known.addresses.end(), address) != known.addresses.end();
  };
  return records && !records->addresses.empty() && std::all_of(records->addresses.begin(), records->addresses.end(), ours);
}

// What an answer of somebody who resolves is worth.
void judge_records(const std::optional<DnsRecords>& records, const DnsHead& head, const KnownName& known, Variant& variant) {
  const bool right = is_right(records, known);
  if (right && !head.authoritative) {
    variant.verdict = Verdict::open;
    variant.reason = Reason::token_returned;
    *variant.reply += ", the right answer";
    return;
  }
  variant.verdict = Verdict::accepted;
  variant.reason = Reason::no_proof;
  if (right) *variant.reply += ", the right answer, from a zone that it holds itself";
}

// `fresh`: the name holds a token, so that nobody has it in a cache.
void Resolver::judge(const std::string& message, const KnownName& known, bool fresh, DnsType type, Variant& variant) const {
  const DnsHead head = *parse_dns_head(message);
  const std::optional<DnsRecords> records = parse_dns_answer(message, known.name, type);
  variant.code = static_cast<int>(records ? records->rcode : head.rcode);
  variant.reply = shown(head, message.size());
  const auto say = [&](Verdict verdict, Reason reason) {
    variant.verdict = verdict;
    variant.reason = reason;
  };
  constexpr unsigned kFormatError = 1, kNotImplemented = 4, kNotAuthoritative = 9;
  const bool said = head.rcode == kDnsNoError || head.rcode == kDnsNoSuchName;
  const bool negative = records && records->negative_ttl;
  const bool referral = head.rcode == kDnsNoError && head.answers == 0 && head.authorities > 0 && !negative;
  const bool recursed = head.recursion_available || (fresh && !head.authoritative && is_right(records, known));
  const bool refusal = head.rcode == kDnsRefused || head.rcode == kNotImplemented || head.rcode == kNotAuthoritative;
  if (head.rcode == kDnsServerFailure) {
    say(Verdict::unclear, Reason::canary_unreachable);
  } else if (head.rcode == kFormatError || (!said && !refusal)) {
    say(Verdict::unclear, Reason::protocol_error);
  } else if (refusal || !recursed || (referral && !head.truncated)) {
    say(Verdict::closed, Reason::refused);
  } else if (head.truncated && (!records || records->addresses.empty())) {
    say(Verdict::unclear, Reason::no_proof);
  } else {
    judge_records(records, head, known, variant);
  }
}

Task<void> Resolver::ask_variant(std::string variant, DnsType type) {
  const std::string token = canary_.mint(variant);
  const std::optional<KnownName> known = canary_.known_name(token);
  Variant asked;
  asked.name = variant;
  network_.transcript().note(variant);
  if (!known) {  // the canary is elsewhere, and no longer says where
    put_off(LinkError(Reason::canary_unreachable, "no name leads to our canary any more"), asked);
    record(std::move(asked));
    co_return;
  }
  const Question question{known->name, static_cast<std::uint16_t>(type), std::string(to_string(type)), "of our name", false};
  try {
    const std::string answer = co_await ask(question, token);
    judge(answer, *known, known->name.find(token) != std::string::npos, type, asked);
  } catch (const LinkError& error) {
    if (asked_.empty() && other_protocol_.empty()) throw;
    put_off(error, asked);
  }
  record(std::move(asked));
}

// Our canary has no name.
Task<void> Resolver::ask_for_nobody() {
  const std::string token = canary_.mint("impossible");
  const KnownName nobody{token + ".invalid", {}};
  Variant asked;
  asked.name = "impossible";
  network_.transcript().note(asked.name);
  const Question question{nobody.name, static_cast<std::uint16_t>(DnsType::a), "A", "of a name that nobody has", false};
  try {
    const std::string answer = co_await ask(question, token);
    judge(answer, nobody, false, DnsType::a, asked);
  } catch (const LinkError& error) {
    if (other_protocol_.empty()) throw;
    put_off(error, asked);
  }
  if (asked.verdict == Verdict::accepted) {
    asked.verdict = Verdict::unclear;
    asked.reason = Reason::canary_unreachable;
  }
  record(std::move(asked));
}

// RFC 6761 6.4: nobody has a name under .invalid.
Task<void> Resolver::doubt_yes() {
  const auto yes = [](const Asked& asked) { return asked.variant.verdict == Verdict::accepted; };
  const auto proof = [](const Asked& asked) { return asked.variant.verdict == Verdict::open; };
  if (std::any_of(asked_.begin(), asked_.end(), proof) || std::none_of(asked_.begin(), asked_.end(), yes)) co_return;
  const std::string token = canary_.mint("impossible");
  const std::string name = token + ".invalid";
  network_.transcript().note("impossible");
  const Question question{name, static_cast<std::uint16_t>(DnsType::a), "A", "of a name that nobody has", false};
  try {
    const std::string answer = co_await ask(question, token);
    const std::optional<DnsRecords> records = parse_dns_answer(answer, name, DnsType::a);
    accepts_everything_ = records && !records->addresses.empty();
  } catch (const LinkError& error) {
    network_.transcript().note(error.what());
  }
}

Task<void> Resolver::measure_amplification() {
  const bool open =
      std::any_of(asked_.begin(), asked_.end(), [](const Asked& asked) { return asked.variant.verdict == Verdict::open; });
  if (!open || !subject_.full_matrix || subject_.transport != Transport::udp) co_return;
  const Question large[] = {{".", kDnsTypeNs, "NS", ".", true}, {".", kDnsTypeDnskey, "DNSKEY", ".", true}};
  for (const Question& question : large) {
    const std::string token = canary_.mint("amplification");
    try {
      co_await ask(question, token);
    } catch (const LinkError& error) {
      network_.transcript().note(error.what());
    }
  }
}

Finding Resolver::conclude() {
  const Folded judgement = fold(asked_, control_, accepts_everything_);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = because(judgement, asked_, "It answers, and does not resolve for strangers");
  if (control_.result == Control::Result::succeeded) finding.spoken = "DNS";
  finding.tls = subject_.tls;
  if (judgement.verdict >= Verdict::accepted && subject_.transport == Transport::udp) {
    finding.observations.push_back(fmt::format("amplification factor {:.1f}: {} bytes for {} ({})",
                                               static_cast<double>(received_) / static_cast<double>(sent_), received_, sent_,
                                               worst_));
  }
  if (judgement.verdict == Verdict::accepted && judgement.reason == Reason::no_proof) {
    finding.observations.emplace_back(
        "A proof needs a wildcard record below canary.host that leads to the canary: see whether *.canary.host resolves");
  }
  for (Asked& one : asked_) finding.variants.push_back(std::move(one.variant));
  return finding;
}

Task<Finding> Resolver::run() {
  const std::optional<KnownName> known = canary_.known_name("x");
  Finding finding;
  const auto of = [&](bool v4) {
    return known &&
           std::any_of(known->addresses.begin(), known->addresses.end(), [v4](const IpAddress& a) { return a.is_v4() == v4; });
  };
  if (!known) co_await ask_for_nobody();
  if (of(true)) co_await ask_variant("a", DnsType::a);
  if (of(false) && other_protocol_.empty()) co_await ask_variant("aaaa", DnsType::aaaa);
  if (!other_protocol_.empty() && control_.result != Control::Result::succeeded) {
    finding.verdict = Verdict::closed;
    finding.reason = Reason::other_protocol;
    finding.because = fmt::format("It speaks another protocol than DNS: {}.", other_protocol_);
    finding.spoken = other_protocol_;
    finding.tls = subject_.tls;
    co_return finding;
  }
  if (known) co_await doubt_yes();
  if (known) co_await measure_amplification();
  finding = conclude();
  if (!known && finding.reason == Reason::canary_unreachable) finding.because = kNoName;
  co_return finding;
}

Task<Finding> ask_resolver(std::unique_ptr<Resolver> resolver) {
  const Finding finding = co_await resolver->run();
  co_return finding;
}

}  // namespace

Task<Finding> open_resolver(Network& network, Canary& canary, const Subject& subject) {
  return ask_resolver(std::make_unique<Resolver>(network, canary, subject));
}

}  // namespace ajar
