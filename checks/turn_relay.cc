// turn_relay: would it allocate and relay without credentials? RFC 8656, bytes in wire/stun.h.
//
//   C: 00 01 …                        Binding request: everybody may ask that; any answer in STUN is the control
//   S: 01 01 …                        Binding success response
//   C: 00 03 … 00 19 00 04 11 …       Allocate request, REQUESTED-TRANSPORT UDP, without credentials; for IPv6 with
//                                     REQUESTED-ADDRESS-FAMILY as well
//   S: 01 13 … 401 Unauthorized       it wants a login (438 and the codes of RFC 3489 too); 403, 440, 442, 400 and the other
//   4nn:
//                                     refused; 300, 437, 486, 500, 508: put off
//     … 01 03 … XOR-RELAYED-ADDRESS   granted: accepted at least, for an allocation is what a stranger gets
//   C: 00 08 … XOR-PEER-ADDRESS       CreatePermission for our canary; in the other form 00 09, ChannelBind
//   S: 01 08 …
//   C: 00 16 … TOKEN <token>          Send indication; in the other form ChannelData
//   S: 00 17 … PROOF <proof>          Data indication or ChannelData from the canary, which alone can answer: open
//   C: 00 04 … LIFETIME 0             Refresh: the allocation is given back, whatever came of it
//   S: 01 04 …
//
// A server that answers Binding and not Allocate proves nothing; one that answers neither is absent or deaf.
//
// How this harms nobody: the only peer named is our own canary, the only host asked is the subject: an alternate server (300)
// and a relayed address are told, and never asked. No credentials are tried. Every allocation is given back before the next is
// asked for.
#include "checks/turn_relay.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/stun_path.h"
#include "checks/wire/stun.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxDestinations = 8;
constexpr std::size_t kMaxPhrase = 120;                   // bytes shown of a reason phrase or SOFTWARE
constexpr std::size_t kMaxTold = 8;                       // observations of one kind of a probe
constexpr int kMaxSilences = 2;                           // so many grants that carry nothing: the rest is not asked
constexpr std::string_view kUdp("\x11\0\0\0", 4);         // RFC 8656 18.7: protocol 17
constexpr std::string_view kFamilyIpv6("\x02\0\0\0", 4);  // RFC 8656 18.6

// One variant.
struct TurnAsk {
  std::string name;
  std::optional<AddressPort> to;  // our canary; nullopt: it has no UDP side, and an allocation alone is asked for
  bool channel = false;           // ChannelBind and ChannelData instead of CreatePermission and Send
  bool core = false;
  bool must_ask = false;
  std::string token;

  bool v6() const { return to && !to->address.is_v4(); }
};

// What came of it. `verdict` as in Variant.
struct TurnAnswer {
  Verdict verdict = Verdict::unclear;
  Reason reason = Reason::protocol_error;
  std::optional<int> code;
  std::optional<std::string> reply;  // escaped
  bool silent = false;               // granted, and then nothing
};

void say(TurnAnswer& answer, Verdict verdict, Reason reason) {
  answer.verdict = verdict;
  answer.reason = reason;
}

bool holds(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// Each family and port once, IPv4 first: that is what an Allocate request asks for unless it says otherwise.
std::vector<AddressPort> destinations(const Canary& canary) {
  std::vector<AddressPort> all;
  for (const AddressPort& place : canary.advertised(CanaryKind::udp)) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const AddressPort& other) {
      return other.port == place.port && other.address.is_v4() == place.address.is_v4();
    });
    if (!known && all.size() < kMaxDestinations) all.push_back(place);
  }
  std::stable_partition(all.begin(), all.end(), [](const AddressPort& place) { return place.address.is_v4(); });
  return all;
}

std::vector<TurnAsk> whole_plan(const Canary& canary) {
  const std::vector<AddressPort> all = destinations(canary);
  std::vector<TurnAsk> asks;
  for (const bool channel : {false, true}) {
    for (const AddressPort& to : all) {
      TurnAsk ask;
      ask.name = fmt::format("{}:{}{}", to.address.is_v4() ? "ipv4" : "ipv6", to.port, channel ? "+channel" : "");
      ask.to = to;
      ask.channel = channel;
      // All of one family begin with the same question, and differ once it was granted: the first one decides.
      ask.core = std::none_of(asks.begin(), asks.end(), [&](const TurnAsk& other) { return other.v6() == ask.v6(); });
      asks.push_back(std::move(ask));
    }
  }
  if (asks.empty()) {
    TurnAsk ask;
    ask.name = "allocate";
    ask.core = true;
    asks.push_back(std::move(ask));
  }
  return asks;
}

// The refusal of an Allocate request (RFC 8656 7.3 and 19, RFC 8489 14.8).
void judge(int code, bool unknown_is_needed, TurnAnswer& answer) {
  switch (code) {
    case 401:
    case 438:
    case 441:
    // RFC 3489 11.2.9, whose servers want a login in other words.
    case 430:
    case 431:
    case 432:
    case 434:
    case 435:
    case 436:
      return say(answer, Verdict::closed, Reason::auth_required);
    case 420:
      if (unknown_is_needed) return say(answer, Verdict::closed, Reason::refused);
      return say(answer, Verdict::unclear, Reason::protocol_error);
    case 437:
    case 486:
      return say(answer, Verdict::unclear, Reason::greylisted);
    default:
      break;
  }
  if (code / 100 == 3 || code / 100 == 5) return say(answer, Verdict::unclear, Reason::greylisted);
  say(answer, Verdict::closed, Reason::refused);
}

std::string method_name(std::uint16_t method) {
  switch (method) {
    case stun_method::kBinding:
      return "Binding";
    case stun_method::kAllocate:
      return "Allocate";
    case stun_method::kRefresh:
      return "Refresh";
    case stun_method::kCreatePermission:
      return "CreatePermission";
    case stun_method::kChannelBind:
      return "ChannelBind";
    default:
      return fmt::format("method {:#05x}", method);
  }
}

// A response in words, for the evidence.
std::string told(const StunMessage& answer) {
  std::string text = method_name(answer.method) + (answer.kind == StunClass::success ? " success" : " error") + " response";
  if (const auto error = stun_error(answer)) text += fmt::format(": {} {}", error->code, escape(error->phrase, kMaxPhrase));
  if (const auto seen = answer.address(stun_attribute::kXorMappedAddress)) text += ": it sees us at " + seen->to_string();
  if (const auto relayed = answer.address(stun_attribute::kXorRelayedAddress)) text += ", relayed at " + relayed->to_string();
  if (const auto seconds = answer.number(stun_attribute::kLifetime)) text += fmt::format(", for {} s", *seconds);
  return text;
}

std::string told(const Sighting& sighting) {
  std::string text = fmt::format("Our canary was reached from {}", sighting.exit.to_string());
  for (std::size_t i = 0; i < sighting.facts.size(); ++i) text += (i == 0 ? ": " : "; ") + sighting.facts[i];
  return text;
}

class TurnProbe {
 public:
  // All three outlive the probe.
  TurnProbe(Network& network, Canary& canary, const Subject& subject) : network_(network), canary_(canary), subject_(subject) {}
  // The whole check, which keeps its probe. LinkError when nothing was learnt.
  static Task<Finding> run(std::unique_ptr<TurnProbe> probe);

 private:
  std::vector<TurnAsk> wanted() const;
  Task<void> ask(TurnAsk& ask);
  Task<void> attempt(const TurnAsk& ask, TurnAnswer& answer);
  Task<void> converse(StunPath& path, const TurnAsk& ask, TurnAnswer& answer);
  Task<void> ask_control(StunPath& path, const TurnAsk& ask);
  Task<bool> allocate(StunPath& path, const TurnAsk& ask, TurnAnswer& answer);
  Task<void> use(StunPath& path, const TurnAsk& ask, TurnAnswer& answer);
  Task<bool> permit(StunPath& path, const TurnAsk& ask, TurnAnswer& answer);
  Task<void> relay(StunPath& path, const TurnAsk& ask);
  Task<void> give_back(StunPath& path, const TurnAsk& ask);
  Task<void> leave(StunPath& path, const TurnAsk& ask);
  Task<void> exchange(StunPath& path, StunMessage question, std::string words, StunMessage& answer);
  StunMessage begin(const TurnAsk& ask, std::uint16_t method, StunClass kind = StunClass::request);
  StunMessage refresh(const TurnAsk& ask);
  void granted(const StunMessage& got, const TurnAsk& ask, TurnAnswer& answer);
  void refused(const StunMessage& got, const TurnAsk& ask, TurnAnswer& answer);
  void note_software(const StunMessage& got);
  void note_relayed(const AddressPort& relayed);
  void observe(std::string fact);
  bool is_foreign(const StunPath& path, const LinkError& failure, TurnAnswer& answer);
  void broken_off(const LinkError& failure, TurnAnswer& answer) const;
  void record(TurnAsk ask, TurnAnswer answer);
  void record_unasked(TurnAsk ask);
  Task<void> look_at_proofs();
  void settle_doubts();
  Finding dismissed() const;
  Finding conclude();

  Network& network_;
  Canary& canary_;
  const Subject& subject_;
  std::vector<Asked> asked_;
  std::vector<TurnAsk> said_;  // what asked_ is about, one by one
  Control control_;
  std::optional<Reason> given_up_;
  std::string other_protocol_;  // instead of STUN; then nothing else counts
  std::vector<std::string> observations_, exits_;
  std::string software_;
  unsigned number_ = 0;  // of messages
  unsigned unasked_ = 0;
  int silences_ = 0;
  bool control_asked_ = false;
  bool heard_ = false;   // anything at all
  bool shaped_ = false;  // an answer in STUN
};

Task<Finding> TurnProbe::run(std::unique_ptr<TurnProbe> probe) {
  std::vector<TurnAsk> asks = probe->wanted();
  for (TurnAsk& one : asks) {
    co_await probe->ask(one);
    if (!probe->other_protocol_.empty()) co_return probe->dismissed();
  }
  co_await probe->look_at_proofs();
  co_return probe->conclude();
}

std::vector<TurnAsk> TurnProbe::wanted() const {
  std::vector<TurnAsk> all = whole_plan(canary_);
  for (TurnAsk& one : all) one.must_ask = holds(subject_.must_ask, one.name);
  if (!subject_.full_matrix) std::erase_if(all, [](const TurnAsk& ask) { return !ask.core && !ask.must_ask; });
  return all;
}

// Asking

Task<void> TurnProbe::ask(TurnAsk& ask) {
  if (given_up_) {
    record_unasked(std::move(ask));
    co_return;
  }
  ask.token = canary_.mint(ask.name);
  TurnAnswer answer;
  co_await attempt(ask, answer);
  if (other_protocol_.empty()) record(std::move(ask), std::move(answer));
}

// A server that hangs up is asked once more, then without the control: once is chance. So is one that takes our port for that
// of an older allocation (437). LinkError where nothing has been learnt: the caller's to judge.
Task<void> TurnProbe::attempt(const TurnAsk& ask, TurnAnswer& answer) {
  for (bool again = false;; again = true) {
    answer = TurnAnswer();
    std::optional<LinkError> failure;
    std::unique_ptr<StunPath> path;
    network_.transcript().note(ask.name);
    try {
      path = co_await StunPath::dial(network_, subject_);
      if (!control_asked_ && !again) co_await ask_control(*path, ask);
      co_await converse(*path, ask, answer);
    } catch (const LinkError& error) {
      failure = error;
    }
    heard_ = heard_ || (path && path->spoken_to());
    const bool once_more = failure ? failure->reason() == Reason::hung_up : answer.code == 437;
    if (once_more && !again) continue;
    if (!failure) co_return;
    if (path && is_foreign(*path, *failure, answer)) co_return;
    const bool nothing_yet = asked_.empty() && !again && !heard_;
    if (nothing_yet) throw LinkError(*failure);
    broken_off(*failure, answer);
    co_return;
  }
}

// Whether it speaks another protocol, of what came in place of an answer.
bool TurnProbe::is_foreign(const StunPath& path, const LinkError& failure, TurnAnswer& answer) {
  const std::string foreign = path.foreign();
  if (failure.reason() != Reason::protocol_error || foreign.empty() || shaped_) return false;
  if (foreign == "TLS" && subject_.tls == TlsMode::none) {
    // What listens behind TLS was not asked anything yet.
    say(answer, Verdict::unclear, Reason::tls_failed);
    answer.reply = "it speaks TLS, and is to be asked over TLS: see the target's ports";
  } else {
    other_protocol_ = foreign;
  }
  return true;
}

void TurnProbe::broken_off(const LinkError& failure, TurnAnswer& answer) const {
  // It listened a moment ago.
  const bool gone = failure.reason() == Reason::nobody_listens;
  say(answer, Verdict::unclear, gone ? Reason::hung_up : failure.reason());
}

Task<void> TurnProbe::ask_control(StunPath& path, const TurnAsk& ask) {
  control_asked_ = true;
  StunMessage question = begin(ask, stun_method::kBinding), got;
  try {
    std::string words = "Binding request";
    co_await exchange(path, std::move(question), std::move(words), got);
    control_.result = Control::Result::succeeded;
  } catch (const LinkError& error) {
    control_.result = Control::Result::failed;
    // Some relay and do not answer this.
    if (error.reason() != Reason::timeout) throw;
  }
}

Task<void> TurnProbe::converse(StunPath& path, const TurnAsk& ask, TurnAnswer& answer) {
  std::optional<LinkError> failure;
  bool granted = false;
  try {
    granted = co_await allocate(path, ask, answer);
  } catch (const LinkError& error) {
    failure = error;
  }
  if (failure) {
    // It may have granted what we did not hear of.
    if (failure->reason() != Reason::hung_up && failure->reason() != Reason::nobody_listens) co_await leave(path, ask);
    throw LinkError(*failure);
  }
  if (granted) co_await use(path, ask, answer);
  if (granted || answer.code == 437) co_await give_back(path, ask);
}

StunMessage TurnProbe::begin(const TurnAsk& ask, std::uint16_t method, StunClass kind) {
  return {method, kind, stun_transaction_id(ask.token, ++number_)};
}

// One request and its response. LinkError.
Task<void> TurnProbe::exchange(StunPath& path, StunMessage question, std::string words, StunMessage& answer) {
  network_.transcript().note(words);
  const StunPath::Fits fits = [&question](std::string_view bytes) {
    const auto message = parse_stun(bytes);
    return message && message->id == question.id && (message->kind == StunClass::success || message->kind == StunClass::error);
  };
  std::string bytes = write_stun(question), came;
  std::string as = hex(bytes);
  co_await path.ask(std::move(bytes), std::move(as), fits, came);
  answer = parse_stun(came).value();
  shaped_ = true;
  network_.transcript().note(told(answer));
  note_software(answer);
  if (answer.method != question.method) throw LinkError(Reason::protocol_error, "the answer to another question");
}

// Whether it granted an allocation.
Task<bool> TurnProbe::allocate(StunPath& path, const TurnAsk& ask, TurnAnswer& answer) {
  StunMessage question = begin(ask, stun_method::kAllocate), got;
  question.add(stun_attribute::kRequestedTransport, std::string(kUdp));
  if (ask.v6()) question.add(stun_attribute::kRequestedAddressFamily, std::string(kFamilyIpv6));
  std::string words = std::string("Allocate request, UDP") + (ask.v6() ? " over IPv6" : "") + ", without credentials";
  co_await exchange(path, std::move(question), std::move(words), got);
  if (got.kind == StunClass::success) {
    granted(got, ask, answer);
  } else {
    refused(got, ask, answer);
  }
  co_return got.kind == StunClass::success;
}

void TurnProbe::granted(const StunMessage& got, const TurnAsk& ask, TurnAnswer& answer) {
  const std::optional<AddressPort> relayed = got.address(stun_attribute::kXorRelayedAddress);
  if (!relayed || has_unknown_required(got)) {
    // Not a yes that a client could use (RFC 8489 6.3.3); only a proof would make it one.
    say(answer, Verdict::unclear, Reason::protocol_error);
    answer.reply = relayed ? "a grant with attributes that nobody knows" : "a grant without a relayed address";
    return;
  }
  const bool deaf = !ask.to || !canary_.up(CanaryKind::udp);
  say(answer, Verdict::accepted, deaf ? Reason::canary_unreachable : Reason::no_proof);
  answer.reply = "relayed at " + relayed->to_string();
  note_relayed(*relayed);
}

void TurnProbe::refused(const StunMessage& got, const TurnAsk& ask, TurnAnswer& answer) {
  const std::optional<StunError> error = stun_error(got);
  if (!error || has_unknown_required(got)) {
    // RFC 8489 6.3.4
    say(answer, Verdict::unclear, Reason::protocol_error);
    answer.reply = error ? "a refusal with attributes that nobody knows" : "a refusal without a code";
    return;
  }
  answer.code = error->code;
  answer.reply = escape(error->phrase, kMaxPhrase);
  const std::vector<std::uint16_t> unknown = stun_unknown_attributes(got);
  const bool needed = std::any_of(unknown.begin(), unknown.end(), [&](std::uint16_t type) {
    return type == stun_attribute::kRequestedTransport || (ask.v6() && type == stun_attribute::kRequestedAddressFamily);
  });
  judge(error->code, needed, answer);
  if (error->code != 300) return;
  const std::string* const value = got.find(stun_attribute::kAlternateServer);
  const std::optional<AddressPort> alternate = value == nullptr ? std::nullopt : stun_plain_address(*value);
  const std::string where = alternate ? alternate->to_string() : "a server that it does not name";
  observe(fmt::format("It sends clients on to {} (300), which was not asked: that is a target of its own", where));
}

// Using what was granted. Whatever fails here leaves a stranger with an allocation.
Task<void> TurnProbe::use(StunPath& path, const TurnAsk& ask, TurnAnswer& answer) {
  if (!ask.to) co_return;
  std::optional<LinkError> trouble;
  bool permitted = false, proven = false;
  try {
    permitted = co_await permit(path, ask, answer);
    if (permitted) {
      co_await relay(path, ask);
      proven = true;
    }
  } catch (const LinkError& error) {
    trouble = error;
  }
  answer.silent = trouble && trouble->reason() == Reason::timeout;
  if (!proven && permitted) {
    // One that leads there and not back.
    const std::optional<Sighting> seen = co_await canary_.sighting(ask.token, SightingWait::lag);
    proven = seen && seen->proof;
  }
  if (proven) say(answer, Verdict::open, Reason::token_returned);
}

// RFC 8656 9 and 11: what comes from our canary may pass, and so may what goes there.
Task<bool> TurnProbe::permit(StunPath& path, const TurnAsk& ask, TurnAnswer& answer) {
  const std::uint16_t method = ask.channel ? stun_method::kChannelBind : stun_method::kCreatePermission;
  StunMessage question = begin(ask, method), got;
  if (ask.channel) question.add(stun_attribute::kChannelNumber, stun_number_value(std::uint32_t{kFirstChannel} << 16));
  question.add_address(stun_attribute::kXorPeerAddress, *ask.to);
  std::string words = fmt::format("{} request for {}", method_name(method), ask.to->to_string());
  co_await exchange(path, std::move(question), std::move(words), got);
  if (got.kind == StunClass::success) co_return true;
  const std::optional<StunError> error = stun_error(got);
  if (error) answer.code = error->code;
  answer.reply = fmt::format("{}, and our canary as a peer refused: {}", answer.reply.value_or(""),
                             error ? escape(error->phrase, kMaxPhrase) : "without a code");
  co_return false;
}

// Sends the token and waits for the proof. LinkError: it did not come.
Task<void> TurnProbe::relay(StunPath& path, const TurnAsk& ask) {
  const std::string data = "TOKEN " + ask.token;
  std::string bytes, as;
  if (ask.channel) {
    bytes = write_channel_data({kFirstChannel, data}, path.stream());
    as = "ChannelData to " + ask.to->to_string() + ": " + data;
  } else {
    StunMessage send = begin(ask, stun_method::kSend, StunClass::indication);
    send.add_address(stun_attribute::kXorPeerAddress, *ask.to);
    send.add(stun_attribute::kData, data);
    bytes = write_stun(send);
    as = "Send indication to " + ask.to->to_string() + ": " + data;
  }
  const StunPath::Fits fits = [this, &ask](std::string_view came) { return canary_.proves(ask.token, came); };
  std::string came;
  co_await path.ask(std::move(bytes), std::move(as), fits, came);
  network_.transcript().note("the proof came back");
}

StunMessage TurnProbe::refresh(const TurnAsk& ask) {
  StunMessage question = begin(ask, stun_method::kRefresh);
  question.add(stun_attribute::kLifetime, stun_number_value(0));
  return question;
}

// RFC 8656 8: nothing is left at the server. 437: it has none of ours.
Task<void> TurnProbe::give_back(StunPath& path, const TurnAsk& ask) {
  StunMessage question = refresh(ask), got;
  bool given = false;
  try {
    std::string words = "Refresh request, for 0 s: given back";
    co_await exchange(path, std::move(question), std::move(words), got);
    const std::optional<StunError> error = stun_error(got);
    given = got.kind == StunClass::success || (error && error->code == 437);
  } catch (const LinkError&) {
    given = false;
  }
  if (!given) observe("It did not confirm that an allocation was given back; it ends by itself, after ten minutes as a rule");
}

// The same, where nobody may be there to hear it.
Task<void> TurnProbe::leave(StunPath& path, const TurnAsk& ask) {
  network_.transcript().note("Refresh request, for 0 s: given back, if anything was granted");
  std::string bytes = write_stun(refresh(ask));
  std::string as = hex(bytes);
  try {
    co_await path.say(std::move(bytes), std::move(as));
  } catch (const LinkError&) {
    co_return;  // it is gone, and what it may have granted with it
  }
}

void TurnProbe::note_software(const StunMessage& got) {
  const std::string* const value = got.find(stun_attribute::kSoftware);
  if (value == nullptr || value->empty() || *value == software_) return;
  software_ = *value;
  const std::string shown = escape(software_, kMaxPhrase);
  network_.transcript().note("SOFTWARE " + shown);
  observe("It calls itself " + shown);
}

// Of the address alone: the port is another each time.
void TurnProbe::note_relayed(const AddressPort& relayed) {
  const bool own = relayed.address == subject_.address;
  observe(fmt::format("It gives strangers relayed addresses at {}{}", relayed.address.to_string(),
                      own ? "" : ", which is not the address that was asked"));
}

void TurnProbe::observe(std::string fact) {
  if (observations_.size() < kMaxTold && !holds(observations_, fact)) observations_.push_back(std::move(fact));
}

// Recording. Each variant begins with the same question: after silence or nonsense there, the others are not asked.
void TurnProbe::record(TurnAsk ask, TurnAnswer answer) {
  if (answer.verdict == Verdict::accepted) canary_.expect_late(ask.token, ask.name);
  // A family that it has not (440, or 420 for the attribute that asks for it) is no door: what it said of the other decides.
  const bool no_such_family = ask.v6() && answer.verdict == Verdict::closed && (answer.code == 440 || answer.code == 420);
  if (no_such_family && !asked_.empty()) ask.core = false;
  const bool broken = answer.verdict == Verdict::unclear && answer.reason != Reason::greylisted;
  silences_ = answer.silent ? silences_ + 1 : 0;
  if (broken) given_up_ = answer.reason;
  if (silences_ >= kMaxSilences && answer.verdict != Verdict::open) given_up_ = Reason::timeout;
  Asked asked;
  asked.variant = {ask.name, answer.verdict, answer.reason, answer.code, std::move(answer.reply)};
  asked.core = ask.core;
  asked.must_ask = ask.must_ask;
  asked_.push_back(std::move(asked));
  said_.push_back(std::move(ask));
}

void TurnProbe::record_unasked(TurnAsk ask) {
  ++unasked_;
  if (!ask.core && !ask.must_ask) return;
  Asked asked;
  asked.variant = {ask.name, Verdict::unclear, *given_up_, std::nullopt, std::nullopt};
  asked.core = ask.core;
  asked.must_ask = ask.must_ask;
  asked_.push_back(std::move(asked));
  said_.push_back(std::move(ask));
}

// The verdict

Task<void> TurnProbe::look_at_proofs() {
  SightingWait wait = SightingWait::lag;
  std::vector<std::string> tales;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (asked_[i].variant.verdict != Verdict::open) continue;
    const std::optional<Sighting> seen = co_await canary_.sighting(said_[i].token, wait);
    if (!seen) wait = SightingWait::none;
    if (!seen) continue;
    const std::string exit = seen->exit.to_string();
    if (!holds(exits_, exit)) exits_.push_back(exit);
    const std::string tale = told(*seen);
    if (tales.size() < kMaxTold && !holds(tales, tale)) tales.push_back(tale);
  }
  observations_.insert(observations_.end(), tales.begin(), tales.end());
}

// Variants that said yes before and can no longer be asked, since our canary is not advertised there any more: what can be
// asked answers for them.
void TurnProbe::settle_doubts() {
  const bool all_closed =
      std::all_of(asked_.begin(), asked_.end(), [](const Asked& a) { return a.variant.verdict == Verdict::closed; });
  if (!all_closed) return;
  for (const std::string& name : subject_.must_ask) {
    if (std::any_of(said_.begin(), said_.end(), [&](const TurnAsk& ask) { return ask.name == name; })) continue;
    Asked asked;
    asked.variant = {name, Verdict::closed, Reason::refused, std::nullopt, std::nullopt};
    asked_.push_back(std::move(asked));
    observations_.push_back(name + " said yes before; our canary is not advertised there any more, and all else was refused");
  }
}

Finding TurnProbe::dismissed() const {
  Finding finding;
  finding.verdict = Verdict::closed;
  finding.reason = Reason::other_protocol;
  finding.because = fmt::format("It speaks another protocol than STUN: {}.", other_protocol_);
  finding.spoken = other_protocol_;
  finding.tls = subject_.tls;
  return finding;
}

Finding TurnProbe::conclude() {
  settle_doubts();
  const Folded judgement = fold(asked_, control_, false);
  Finding finding;
  finding.verdict = judgement.verdict;
  finding.reason = judgement.reason;
  finding.because = because(judgement, asked_, "It answers, and does not relay for strangers");
  finding.observations = std::move(observations_);
  finding.exit_addresses = std::move(exits_);
  finding.whole = unasked_ == 0;
  if (unasked_ > 0) {
    finding.observations.push_back(fmt::format("{} more forms were not asked, after the first were answered by {}", unasked_,
                                               given_up_ == Reason::timeout ? "silence" : to_string(*given_up_)));
  }
  if (said_.front().name == "allocate") {
    finding.observations.emplace_back(
        "An allocation alone was asked for: our canary has no address for UDP, see canary.advertise_udp");
  }
  finding.tls = subject_.tls;
  if (shaped_) finding.spoken = "STUN";
  for (Asked& one : asked_) finding.variants.push_back(std::move(one.variant));
  return finding;
}

}  // namespace

Task<Finding> turn_relay(Network& network, Canary& canary, const Subject& subject) {
  return TurnProbe::run(std::make_unique<TurnProbe>(network, canary, subject));
}

}  // namespace ajar
