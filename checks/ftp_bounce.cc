// ftp_bounce: would it send data to a third host? RFC 959, RFC 2428 (EPRT), RFC 2577 (the attack); bytes in wire/ftp.h.
//
//   S: 220 ftp.example.org
//   C: USER anonymous                             nobody else is ever tried (RFC 1635)
//   S: 331 …                                      530: it serves nobody who has not logged in
//   C: PASS sre@example.net                       whom to ask about this visit
//   S: 230 …
//   C: PORT 198,51,100,7,195,80                   a port of our canary that is open for this question alone; EPRT |1|…|, |2|…|
//   S: 500 Illegal PORT command                   5yz, or 4yz about the address: refused. 200: yes, so far
//   C: LIST                                       then NLST, where LIST has a reason of its own to fail
//   S: 150 …, 226 …                               somebody connected to that port: open. Nobody did: accepted
//     … 5yz, or 425 about the address             withdrawn: refused.  Other 4yz: it tried, or says so: accepted
//     … 522 Data connections must be encrypted    the whole once more behind AUTH TLS, PBSZ, PROT (RFC 4217 9)
//   C: QUIT
//
// An FTP proxy takes the host with the name: `USER anonymous@198.51.100.7:50000`. One that works for strangers connects there.
//
// The connection is the proof: the port is ours alone, it is nobody's while nobody asks, and it says nothing. Where it comes
// from another address than the server's own it may be a passer-by, so it must come twice, from the same, and the server must
// not have refused; or from the server itself, the second time.
//
// The canary must be a third host. Where it has the address that we ask from, or that NAT gives us, PORT and EPRT name the
// client itself, which every server allows that knows active mode (RFC 959 3.2): a yes and a connection prove nothing, and a
// refusal all the more. An FTP proxy knows no such rule.
//
// How this harms nobody: the only address named is our own canary's. Nothing is stored, fetched or deleted; what is listed goes
// to our canary, which throws it away.
#include "checks/ftp_bounce.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/ftp_session.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr const char* kProtocol = "FTP";
constexpr const char* kNoPlace = "There is no address of our canary that it could be asked for: see canary.advertise_tcp.";
constexpr const char* kOwnPlace =
    "Our canary has the address that we ask from, and every client may have data sent to itself: its yes proves nothing; see "
    "canary.advertise_tcp and canary.remote.";

enum class Form { port, eprt, user };

struct Ask {
  std::string name;
  Form form = Form::port;
  bool v4 = true;  // the family of our port
  bool core = false;
  bool must_ask = false;
};

struct Answer {
  Verdict verdict = Verdict::unclear;
  Reason reason = Reason::protocol_error;
  std::optional<int> code;
  std::optional<std::string> reply;  // escaped
  bool may_connect = false;          // its words leave room for a connection: our canary's log is waited for
  bool busy = false;                 // it may still be at work
  bool to_ourselves = false;         // the place that it was asked for has the address that we ask from
  bool wants_tls = false;            // it said so in clear, after the login
};

class FtpBounce {
 public:
  // All three outlive the check.
  FtpBounce(Network& network, Canary& canary, const Subject& subject)
      : network_(network), canary_(canary), subject_(subject), session_(network, subject) {}
  static Task<Finding> run(Network& network, Canary& canary, const Subject& subject);

 private:
  using Entry = FtpSession::Entry;

  bool canary_has(bool v4) const;
  std::vector<Ask> plan() const;
  std::vector<Ask> wanted() const;
  Task<void> ask(const Ask& ask);
  Task<void> attempt(const Ask& ask, Answer& answer);
  Task<std::optional<Sighting>> try_once(const Ask& ask, std::string token, Answer& answer);
  Task<void> converse(const Ask& ask, const std::string& token, Answer& answer);
  Task<void> ask_for_data(const Ask& ask, const std::string& token, Answer& answer);
  Task<void> ask_in_session(const Ask& ask, const std::string& token, Answer& answer);
  Task<void> open_data(Answer& answer);
  Task<void> ask_proxy(const Ask& ask, const std::string& token, Answer& answer);
  Task<bool> proven(const Ask& ask, const Sighting& first, bool refused);
  void enter_failed(Entry entry, Answer& answer) const;
  void judge_port(const Ask& ask, const FtpReply& reply, Answer& answer) const;
  void broken_off(const LinkError& error, Answer& answer) const;
  void credit(const Sighting& sighting);
  bool given_up_on(const Ask& ask) const;
  void record(const Ask& ask, const Answer& answer);
  void settle_unaskable();
  void heard(const FtpReply& reply, Answer& answer) const;
  Reason unproven() const { return canary_.up(CanaryKind::tcp) ? Reason::no_proof : Reason::canary_unreachable; }
  Finding dismissed() const;
  Finding conclude();

  Network& network_;
  Canary& canary_;
  const Subject& subject_;
  FtpSession session_;
  std::vector<Asked> asked_;
  std::optional<Answer> no_entry_;  // no login was granted: holds for every form that needs one
  std::vector<std::string> observations_;
  std::vector<std::string> exits_;
  bool silent_ = false;     // a form met silence: the others, but for those that the verdict rests on, are left
  bool no_place_ = false;   // no port of ours could be had
  bool own_place_ = false;  // a yes was about our own address
  unsigned unasked_ = 0;
};

void say(Answer& answer, Verdict verdict, Reason reason) {
  answer.verdict = verdict;
  answer.reason = reason;
}

// Whether it says that it connects nowhere. A proxy says no where nobody greets it, as nobody does at our port.
bool refuses(const Ask& ask, const Answer& answer) { return ask.form != Form::user && !answer.may_connect; }

// LIST and NLST may fail for reasons of their own: an empty folder, one that may not be read, a command that is not there.
bool about_the_listing(const FtpReply& reply) {
  return (reply.code == 450 || reply.code == 451 || reply.code == 502 || reply.code == 550) && !ftp_refuses_address(reply);
}

bool FtpBounce::canary_has(bool v4) const {
  const std::vector<AddressPort> places = canary_.advertised(CanaryKind::tcp);
  return std::any_of(places.begin(), places.end(), [&](const AddressPort& place) { return place.address.is_v4() == v4; });
}

// One form must be refused for `closed`: PORT where it can be said, else EPRT; in the family of the server's own address where
// our canary has it, since a server may know no other.
std::vector<Ask> FtpBounce::plan() const {
  const bool v4 = canary_has(true), v6 = canary_has(false);
  const bool on_v6 = !subject_.address.is_v4();
  std::vector<Ask> all;
  if (v4 || !v6) all.push_back({"port", Form::port, true, !on_v6 || !v6, false});
  if (v4) all.push_back({"eprt", Form::eprt, true, on_v6 && !v6, false});
  if (v6) all.push_back({"eprt6", Form::eprt, false, on_v6 || !v4, false});
  all.push_back({"user@host", Form::user, v4 || !v6, false, false});
  std::stable_partition(all.begin(), all.end(), [](const Ask& ask) { return ask.core; });
  for (Ask& ask : all) {
    ask.must_ask = std::find(subject_.must_ask.begin(), subject_.must_ask.end(), ask.name) != subject_.must_ask.end();
  }
  return all;
}

std::vector<Ask> FtpBounce::wanted() const {
  std::vector<Ask> all = plan();
  if (!subject_.full_matrix) std::erase_if(all, [](const Ask& ask) { return !ask.core && !ask.must_ask; });
  return all;
}

Task<Finding> FtpBounce::run(Network& network, Canary& canary, const Subject& subject) {
  FtpBounce probe(network, canary, subject);
  const std::vector<Ask> asks = probe.wanted();
  for (const Ask& one : asks) {
    co_await probe.ask(one);
    if (!probe.session_.other_protocol().empty() && !probe.session_.shaped()) co_return probe.dismissed();
  }
  co_return probe.conclude();
}

bool FtpBounce::given_up_on(const Ask& ask) const { return silent_ && !ask.core && !ask.must_ask; }

Task<void> FtpBounce::ask(const Ask& ask) {
  if (given_up_on(ask)) {
    ++unasked_;
    co_return;
  }
  Answer answer;
  if (no_entry_ && ask.form != Form::user) {
    answer = *no_entry_;
  } else {
    co_await attempt(ask, answer);
  }
  record(ask, answer);
}

// A server that hangs up is asked once more: once is chance. LinkError where nothing has been learnt: the caller's to judge.
Task<void> FtpBounce::attempt(const Ask& ask, Answer& answer) {
  for (bool again = false;; again = true) {
    answer = Answer();
    network_.transcript().note(ask.name);
    std::string token = canary_.mint(ask.name);
    const std::optional<Sighting> seen = co_await try_once(ask, std::move(token), answer);
    if (answer.to_ourselves && (seen || answer.verdict == Verdict::accepted)) {
      const bool refused = answer.verdict == Verdict::closed && !(seen && seen->exit == subject_.address);
      if (!refused) say(answer, Verdict::unclear, Reason::canary_unreachable);
      own_place_ = own_place_ || !refused;
      co_return;
    }
    if (seen) {
      const bool proof = co_await proven(ask, *seen, refuses(ask, answer));
      if (proof) say(answer, Verdict::open, Reason::token_returned);
      co_return;
    }
    if (answer.reason != Reason::hung_up || again) co_return;
  }
}

// One conversation, and what our canary saw of it.
Task<std::optional<Sighting>> FtpBounce::try_once(const Ask& ask, std::string token, Answer& answer) {
  std::optional<LinkError> failure;
  try {
    co_await converse(ask, token, answer);
  } catch (const LinkError& error) {
    failure = error;
  }
  if (failure) {
    const bool learnt = session_.shaped() || (failure->reason() == Reason::hung_up && session_.spoken_to());
    if (!learnt) throw LinkError(*failure);
    broken_off(*failure, answer);
  }
  const bool patient = !failure && !answer.busy;
  co_await session_.quit(patient);
  const SightingWait wait = answer.may_connect ? SightingWait::lag : SightingWait::settled;
  std::optional<Sighting> seen = co_await canary_.sighting(token, wait);
  if (seen && !seen->proof) seen.reset();
  co_return seen;
}

void FtpBounce::broken_off(const LinkError& error, Answer& answer) const {
  if (answer.verdict == Verdict::accepted) return;  // a yes that nothing withdrew
  say(answer, Verdict::unclear, error.reason() == Reason::nobody_listens ? Reason::hung_up : error.reason());
}

// Whose connection it was. From the server's own address: its own. `refused`: the server says that it made none.
Task<bool> FtpBounce::proven(const Ask& ask, const Sighting& first, bool refused) {
  const auto own = [this](const Sighting& sighting) { return sighting.exit == subject_.address; };
  const Sighting* proof = own(first) ? &first : nullptr;
  std::optional<Sighting> second;
  if (proof == nullptr && !refused) {
    Answer answer;
    network_.transcript().note(ask.name + ", once more: the connection came from another address than its own");
    std::string token = canary_.mint(ask.name + "/again");
    second = co_await try_once(ask, std::move(token), answer);
    const bool again = second && (own(*second) || (second->exit == first.exit && !refuses(ask, answer)));
    if (again) proof = &*second;
  }
  if (proof != nullptr) {
    credit(*proof);
    co_return true;
  }
  observations_.push_back(fmt::format(
      "{}: somebody at {} connected to the port of our canary that it was asked for, {}: no proof that it was this server.",
      ask.name, first.exit.to_string(), refused ? "which it had refused" : "but not again when it was asked again"));
  co_return false;
}

void FtpBounce::credit(const Sighting& sighting) {
  const std::string exit = sighting.exit.to_string();
  if (std::find(exits_.begin(), exits_.end(), exit) == exits_.end()) exits_.push_back(exit);
  std::string tale = fmt::format("Our canary was reached from {}", exit);
  for (std::size_t i = 0; i < sighting.facts.size(); ++i) tale += (i == 0 ? ": " : "; ") + sighting.facts[i];
  if (std::find(observations_.begin(), observations_.end(), tale) == observations_.end()) observations_.push_back(tale);
}

void FtpBounce::heard(const FtpReply& reply, Answer& answer) const {
  answer.code = reply.code;
  answer.reply = escape(reply.text());
}

Task<void> FtpBounce::converse(const Ask& ask, const std::string& token, Answer& answer) {
  if (ask.form == Form::user) {
    co_await ask_proxy(ask, token, answer);
    co_return;
  }
  co_await ask_in_session(ask, token, answer);
  if (!answer.wants_tls || session_.encrypted()) co_return;
  co_await session_.quit(true);
  session_.want_tls();
  answer = Answer();
  co_await ask_in_session(ask, token, answer);
}

Task<void> FtpBounce::ask_in_session(const Ask& ask, const std::string& token, Answer& answer) {
  const Entry entry = co_await session_.enter("anonymous");
  if (entry == Entry::granted) {
    co_await ask_for_data(ask, token, answer);
    co_return;
  }
  enter_failed(entry, answer);
  no_entry_ = answer;
}

void FtpBounce::enter_failed(Entry entry, Answer& answer) const {
  heard(session_.last(), answer);
  switch (entry) {
    case Entry::wants_login:
      return say(answer, Verdict::closed, Reason::auth_required);
    case Entry::busy:
      return say(answer, Verdict::unclear, Reason::greylisted);
    case Entry::source_blocked:
      return say(answer, Verdict::unclear, Reason::source_blocked);
    case Entry::refused:
      return say(answer, Verdict::unclear, Reason::refused);
    case Entry::tls_failed:
      return say(answer, Verdict::unclear, Reason::tls_failed);
    case Entry::other_protocol:
    case Entry::granted:
      break;
  }
  say(answer, Verdict::unclear, Reason::protocol_error);
}

Task<void> FtpBounce::ask_for_data(const Ask& ask, const std::string& token, Answer& answer) {
  const std::optional<IpAddress> source = network_.source();
  const std::optional<AddressPort> place = co_await canary_.reserve(token, ask.v4, source);
  if (!place) {
    no_place_ = true;
    say(answer, Verdict::unclear, Reason::canary_unreachable);
    co_return;
  }
  const std::string line = ask.form == Form::port ? "PORT " + ftp_port_argument(*place) : "EPRT " + ftp_eprt_argument(*place);
  const auto& ours = subject_.our_addresses;
  answer.to_ourselves = source == place->address || std::find(ours.begin(), ours.end(), place->address) != ours.end();
  const FtpReply reply = co_await session_.command(line);
  judge_port(ask, reply, answer);
  if (answer.verdict == Verdict::accepted) co_await open_data(answer);
}

void FtpBounce::judge_port(const Ask& ask, const FtpReply& reply, Answer& answer) const {
  heard(reply, answer);
  const bool other_family = reply.code == 522 && ask.v4 != subject_.address.is_v4();  // RFC 2428 2: it knows no such network
  // FileZilla Server 0.9: 421
  const bool about_the_address = reply.kind() == 4 && ftp_refuses_address(reply);
  // EPRT has a 522 of its own. Over TLS a code alone tells: words may say that PORT is not for encrypted sessions.
  const bool by_code = reply.code == 522 || reply.code == 534;
  const bool of_family = other_family || (ask.form == Form::eprt && reply.code == 522);
  answer.wants_tls = ftp_wants_tls(reply) && !of_family && (by_code || !session_.encrypted());
  answer.may_connect = reply.kind() == 2 || (reply.kind() == 4 && !about_the_address && !answer.wants_tls);
  if (answer.wants_tls) {
    say(answer, Verdict::unclear, Reason::tls_failed);
  } else if (reply.kind() == 2) {
    say(answer, Verdict::accepted, unproven());
  } else if ((reply.kind() == 5 && !other_family) || about_the_address) {
    say(answer, Verdict::closed, Reason::refused);
  } else if (reply.code == 425 || reply.code == 426 || other_family) {
    say(answer, Verdict::unclear, Reason::canary_unreachable);  // it tried at once, or cannot
  } else if (reply.kind() == 4) {
    say(answer, Verdict::unclear, Reason::greylisted);
  } else {
    say(answer, Verdict::unclear, Reason::protocol_error);
  }
}

// RFC 959 5.4: LIST is answered by 125 or 150, then 226, 250, 425, 426 or 451; or by 450, 500, 501, 502, 421, 530 alone.
Task<void> FtpBounce::open_data(Answer& answer) {
  answer.busy = true;
  for (const char* const command : {"LIST", "NLST"}) {
    FtpReply reply = co_await session_.command(command);
    const bool began = reply.kind() == 1;
    if (began) {
      const FtpReply end = co_await session_.hear_reply();
      reply = end;
    }
    heard(reply, answer);
    if (about_the_listing(reply)) continue;
    // Over TLS such words are about the handshake of a data connection that it had, or says so.
    const bool tried = ftp_wants_tls(reply) && session_.encrypted() && (began || reply.kind() == 4);
    answer.wants_tls = ftp_wants_tls(reply) && !tried;
    const bool withdrawn = !tried && (reply.kind() == 5 || (reply.kind() == 4 && ftp_refuses_address(reply)));
    if (answer.wants_tls) {
      say(answer, Verdict::unclear, Reason::tls_failed);
    } else if (withdrawn) {
      say(answer, Verdict::closed, Reason::refused);
      answer.may_connect = began;
    }
    break;
  }
  answer.busy = false;
}

// Whoever may log in there as anybody went nowhere for it: to log in at our canary it must have reached it.
Task<void> FtpBounce::ask_proxy(const Ask& ask, const std::string& token, Answer& answer) {
  const std::optional<IpAddress> source = network_.source();
  const std::optional<AddressPort> place = co_await canary_.reserve(token, ask.v4, source);
  if (!place) {
    no_place_ = true;
    say(answer, Verdict::unclear, Reason::canary_unreachable);
    co_return;
  }
  answer.may_connect = true;
  const Entry entry = co_await session_.enter("anonymous@" + place->to_string());
  const bool refused = entry == Entry::granted || entry == Entry::wants_login;
  answer.may_connect = refused || entry == Entry::busy;  // it says no where it went and nobody greeted it
  enter_failed(entry, answer);
  if (refused) say(answer, Verdict::closed, Reason::refused);
}

void FtpBounce::record(const Ask& ask, const Answer& answer) {
  if (answer.reason == Reason::timeout || answer.busy) silent_ = true;
  Asked asked;
  asked.core = ask.core;
  asked.must_ask = ask.must_ask;
  asked.variant = {ask.name, answer.verdict, answer.reason, answer.code, answer.reply};
  asked_.push_back(std::move(asked));
}

Finding FtpBounce::dismissed() const {
  Finding finding;
  finding.verdict = Verdict::closed;
  finding.reason = Reason::other_protocol;
  finding.because = fmt::format("It speaks another protocol than {}: {}.", kProtocol, session_.other_protocol());
  finding.spoken = session_.other_protocol();
  finding.tls = subject_.tls;
  return finding;
}

// Forms that said yes before and can no longer be asked, since our canary has no such address any more: what can be asked
// answers for them.
void FtpBounce::settle_unaskable() {
  const bool all_closed =
      std::all_of(asked_.begin(), asked_.end(), [](const Asked& asked) { return asked.variant.verdict == Verdict::closed; });
  if (!all_closed) return;
  const std::vector<Ask> all = plan();
  for (const std::string& name : subject_.must_ask) {
    if (std::any_of(all.begin(), all.end(), [&](const Ask& ask) { return ask.name == name; })) continue;
    Asked asked;
    asked.variant = {name, Verdict::closed, asked_.front().variant.reason, std::nullopt, std::nullopt};
    asked_.push_back(std::move(asked));
    observations_.push_back(name + " said yes before; our canary has no such address any more, and all else was refused");
  }
}

Finding FtpBounce::conclude() {
  settle_unaskable();
  Control control;
  if (session_.shaped()) control.result = Control::Result::succeeded;
  const Folded judgement = fold(asked_, control, false);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  const bool nowhere = no_place_ && judgement.reason == Reason::canary_unreachable && judgement.verdict == Verdict::unclear;
  const bool to_ourselves =
      own_place_ && judgement.reason == Reason::canary_unreachable && judgement.verdict == Verdict::unclear;
  finding.because = nowhere        ? kNoPlace
                    : to_ourselves ? kOwnPlace
                                   : because(judgement, asked_, "It answers, and opens no data connection to others");
  finding.observations = std::move(observations_);
  finding.exit_addresses = std::move(exits_);
  finding.whole = unasked_ == 0;
  if (unasked_ > 0) {
    finding.observations.push_back(fmt::format("{} more forms were not asked, after one was answered by silence", unasked_));
  }
  finding.tls = session_.tls_reached() ? TlsMode::starttls : subject_.tls;
  if (session_.shaped()) finding.spoken = kProtocol;
  for (Asked& one : asked_) finding.variants.push_back(std::move(one.variant));
  return finding;
}

}  // namespace

Task<Finding> ftp_bounce(Network& network, Canary& canary, const Subject& subject) {
  return FtpBounce::run(network, canary, subject);
}

}  // namespace ajar
