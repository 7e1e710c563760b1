// What the checks of proxies share: variants, each on a connection of its own; a tunnel and its proof; the doubts about a yes
// and about a proof; the verdict. A check says what is asked (plan), how (converse), and how a place that does not exist is
// asked for (impossible).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checks/canary.h"
#include "checks/fold.h"
#include "checks/network.h"
#include "checks/proxy_destination.h"

namespace ajar {

// One variant.
struct ProxyAsk {
  std::string name;
  ProxyDestination to;
  int way = 0;  // the check's own: how it is asked
  bool core = false;
  bool must_ask = false;
  std::string token;
  // Names the server itself beside our canary. One that connects to whatever it is told would connect to itself, and so on
  // until it has nothing left: asked only where it refused everything before.
  bool names_itself = false;
};

// What came of it. `verdict`: closed a refusal, open a proof, accepted a yes without proof, unclear put off.
struct ProxyAnswer {
  Verdict verdict = Verdict::unclear;
  Reason reason = Reason::protocol_error;
  std::optional<int> code;
  std::optional<std::string> reply;  // escaped
  std::string other_protocol;        // what it speaks instead; then nothing else counts
  bool shaped = false;               // an answer in the protocol that was asked for: the control
  bool silent = false;               // a yes, and then nothing
  bool gone = false;                 // nobody took the connection any more
  bool before_asked = false;         // said before anything was asked: it would say the same whatever is asked for
};

class ProxyProbe {
 public:
  // A tunnel that stays silent costs a whole wait: after so many at one port of ours the other forms with that port are not
  // asked, and each port not asked yet is asked once. After so many answers in a row that make no sense, or connections closed
  // without one, the same.
  static constexpr int kMaxSilences = 2;
  static constexpr int kMaxOddAnswers = 3;

  virtual ~ProxyProbe() = default;
  ProxyProbe(const ProxyProbe&) = delete;
  ProxyProbe& operator=(const ProxyProbe&) = delete;
  // The whole check, which keeps its probe. LinkError when nothing was learnt.
  static Task<Finding> run(std::unique_ptr<ProxyProbe> probe);

 protected:
  // All four outlive the probe. `protocol`: the check's in the catalogue.
  ProxyProbe(Network& network, Canary& canary, const Subject& subject, std::string_view protocol)
      : network_(network), canary_(canary), subject_(subject), protocol_(protocol) {}

  // Every variant, in the order to ask; core ones first. Said anew each time: most probes need a few of them, once.
  virtual std::vector<ProxyAsk> plan() const = 0;
  // Asks on a fresh connection. LinkError where the peer broke off before the answer was whole.
  virtual Task<void> converse(Link& link, const ProxyAsk& ask, ProxyAnswer& answer) = 0;
  // A fresh connection to the server. LinkError.
  virtual Task<std::unique_ptr<Link>> reach();
  // Whether the server may speak first in this protocol. Else what comes before the question is another one.
  virtual bool speaks_first() const { return false; }
  // Whether this variant has a sense, after what was heard; asked all the same where it must be.
  virtual bool has_sense(const ProxyAsk&) const { return true; }
  // Whether a place is named only after the grant, in what a proxy alone can read: then a grant says yes to no place, and a
  // proof has no doubts.
  virtual bool names_place_later() const { return false; }
  // The side of our canary that proves.
  virtual CanaryKind proves_by() const { return CanaryKind::tcp; }
  // Whether our canary would have taken what it was asked for: else one that hangs up may have tried in vain.
  virtual bool would_arrive() const { return canary_.up(proves_by()); }
  // Whether one that grants has read where to. Else its grant may be that of one fixed place.
  virtual bool grant_names_place() const { return true; }
  // The variant asked for a destination that nobody can reach; its token is minted by the caller.
  virtual ProxyAsk impossible(const ProxyAsk& like, const std::string& word) const;

  // For converse(): `first` is what came first. Sets other_protocol where it is recognised (or an echo of `sent`), else throws
  // LinkError protocol_error.
  void not_spoken(const std::string& first, std::string_view sent, ProxyAnswer& answer) const;
  // The same of what is in the evidence already, and false where it is not recognised.
  bool speaks_other(std::string_view first, std::string_view sent, ProxyAnswer& answer) const;
  // How the server granted a tunnel. A page of its own announces content, or that there is none; a tunnel does neither.
  enum class Grant { tunnel, closing, content };
  // What a proof that came is worth: the server is told where to connect to; it connects to one place, whatever it is told;
  // that cannot be told apart.
  enum class Place { asked_for, fixed, unknown };
  // The connection leads somewhere: asks what is there for the proof.
  Task<void> prove_tunnel(Link& link, const ProxyAsk& ask, ProxyAnswer& answer, Grant grant);
  // For checks with a tunnel of another kind: it was granted; whether our canary saw the proof that did not come back.
  void granted(const ProxyAsk& ask, ProxyAnswer& answer);
  Task<bool> proven_there(const ProxyAsk& ask);
  void observe(std::string observation);  // once, however often it is said
  static void say(ProxyAnswer& answer, Verdict verdict, Reason reason) {
    answer.verdict = verdict;
    answer.reason = reason;
  }
  bool heard() const { return heard_; }  // the peer has said something in this probe
  bool any_grant() const { return tunnels_; }
  Network& network() const { return network_; }
  Canary& canary() const { return canary_; }
  const Subject& subject() const { return subject_; }
  std::string user_agent() const;

 private:
  struct Proven {
    ProxyAsk ask;
    std::optional<Sighting> sighting;
  };

  std::vector<ProxyAsk> whole_plan() const;  // which variants must be asked is said in it
  std::vector<ProxyAsk> wanted() const;      // what this probe asks of it
  Task<void> ask(ProxyAsk& ask);
  Task<void> attempt(const ProxyAsk& ask, ProxyAnswer& answer);
  bool goes_on_after(const LinkError& failure) const;
  Task<std::string> ask_impossible(const ProxyAsk& like, ProxyAnswer& answer);
  Task<void> hear_early(Link& link, ProxyAnswer& answer);
  void record(ProxyAsk ask, ProxyAnswer answer);
  void record_unasked(ProxyAsk ask, Reason reason);
  void broken_off(const LinkError& error, bool without_a_byte, ProxyAnswer& answer) const;
  void count(const ProxyAsk& ask, const ProxyAnswer& answer);
  bool given_up_on(const ProxyAsk& ask) const;
  Task<bool> would_loop(const ProxyAsk& ask);
  bool nothing_but_silence() const;
  Task<void> look_at_proofs();
  Task<void> ask_second_endpoint();
  Task<Place> where_it_leads();
  std::optional<bool> one_listener() const;
  Task<void> doubt_yes();
  Task<void> look_for_blind_fetches();
  void withdraw_proofs(Place place);
  void settle_doubts();
  Task<bool> ask_tunnel(Link& link, const ProxyAsk& ask, ProxyAnswer& answer);
  bool said(const std::string& name) const;
  std::string no_address() const;
  Finding nowhere_to_lead() const;
  Finding dismissed() const;
  Finding conclude();

  Network& network_;
  Canary& canary_;
  const Subject& subject_;
  const std::string_view protocol_;
  std::vector<Asked> asked_;
  std::vector<ProxyAsk> said_;  // what asked_ is about, one by one
  std::vector<Proven> proven_;
  std::optional<Reason> given_up_;
  std::optional<ProxyAnswer> turned_away_;  // before anything was asked
  std::string other_protocol_;              // the first answer was in this one
  std::vector<std::string> observations_;
  std::vector<std::string> exits_;
  Control control_;
  bool heard_ = false;
  bool tunnels_ = false;  // it grants them, which a web server with a fixed place behind it does not
  bool accepts_everything_ = false;
  bool one_place_ = false;
  std::map<std::uint16_t, int> silences_;  // by the port of ours that was asked for
  int odd_answers_ = 0;
  unsigned unasked_ = 0;
};

}  // namespace ajar
