#include "checks/fold.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

namespace ajar {
namespace {

// `closed` rests on it.
bool needed(const Asked& asked) { return asked.core || asked.must_ask; }

// Of several reasons the one that tells the operator most: the first in this order, else the first met.
constexpr std::array kTelling = {Reason::source_blocked, Reason::tls_failed, Reason::greylisted, Reason::token_pending,
                                 Reason::canary_unreachable};

Reason most_telling(const std::vector<Reason>& reasons) {
  for (const Reason telling : kTelling) {
    if (std::find(reasons.begin(), reasons.end(), telling) != reasons.end()) return telling;
  }
  return reasons.empty() ? Reason::internal_error : reasons.front();
}

template <class Condition>
std::vector<Reason> reasons_where(const std::vector<Asked>& all, Condition condition) {
  std::vector<Reason> reasons;
  for (const Asked& asked : all) {
    if (condition(asked)) reasons.push_back(asked.variant.reason);
  }
  return reasons;
}

bool needs_no_control(Reason reason) {
  return reason == Reason::auth_required || reason == Reason::other_protocol || reason == Reason::nobody_listens ||
         reason == Reason::hung_up;
}

// All that `closed` rests on was refused.
Folded judge_refusals(const std::vector<Reason>& reasons, const Control& control) {
  const bool alike = std::all_of(reasons.begin(), reasons.end(), [&](Reason r) { return r == reasons.front(); });
  if (alike && needs_no_control(reasons.front())) return {Verdict::closed, reasons.front()};
  switch (control.result) {
    case Control::Result::succeeded:
      return {Verdict::closed, alike ? reasons.front() : Reason::refused};
    case Control::Result::failed:
      return {Verdict::unclear, control.reason};
    case Control::Result::not_asked:
      break;
  }
  return {Verdict::unclear, Reason::control_failed};
}

const Asked* first_with(const std::vector<Asked>& all, const Folded& judgement) {
  const auto same = [&](const Asked& a) {
    return a.variant.verdict == judgement.verdict && a.variant.reason == judgement.reason;
  };
  const auto alike = [&](const Asked& a) { return a.variant.verdict == judgement.verdict; };
  auto found = std::find_if(all.begin(), all.end(), [&](const Asked& a) { return same(a) && a.counts && needed(a); });
  if (found == all.end()) found = std::find_if(all.begin(), all.end(), [&](const Asked& a) { return same(a) && a.counts; });
  if (found == all.end() && judgement.verdict == Verdict::accepted) {
    found = std::find_if(all.begin(), all.end(), [&](const Asked& a) { return alike(a) && a.counts; });
  }
  return found == all.end() ? nullptr : &*found;
}

std::string_view sentence(const Folded& judgement, std::string_view refused) {
  switch (judgement.reason) {
    case Reason::refused:
      return judgement.verdict == Verdict::closed ? refused
                                                  : "It refused before the question could be asked, which proves neither";
    case Reason::nobody_listens:
      return "Nobody listens there";
    case Reason::filtered:
      return "The port is filtered";
    case Reason::auth_required:
      return "It serves nobody who has not logged in";
    case Reason::other_protocol:
      return "It speaks another protocol";
    case Reason::control_failed:
      return "It refused the control request as well, so its refusals prove nothing";
    case Reason::greylisted:
      return "It put the request off and is to be asked again";
    case Reason::source_blocked:
      return "It refused us for where we come from, which says nothing about other strangers";
    case Reason::timeout:
      return "It fell silent";
    case Reason::no_route:
      return "There is no route to it";
    case Reason::hung_up:
      return "It hung up before it answered";
    case Reason::tls_failed:
      return judgement.verdict == Verdict::accepted ? "It said yes, and TLS failed before a proof could come back"
                                                    : "It answers only over TLS, and TLS could not be had";
    case Reason::protocol_error:
      return "What it said was not a sensible answer";
    case Reason::canary_unreachable:
      return judgement.verdict == Verdict::accepted ? "It said yes; nothing could be proven because our canary is down"
                                                    : "It did not or could not reach our canary, which proves neither";
    case Reason::no_proof:
      return judgement.verdict == Verdict::accepted ? "It said yes, but no proof came back"
                                                    : "It reached our canary, but no proof came back";
    case Reason::accepts_everything:
      return "It said yes, to an impossible destination too; no proof has come back yet";
    case Reason::token_pending:
      return "It took our message for delivery; no proof has come back yet";
    case Reason::token_returned:
      return "The proof came back through it";
    case Reason::message_delivered:
      return "The message arrived at our canary";
    case Reason::out_of_scope:
      return "It is outside the scope";
    case Reason::internal_error:
      return "Nothing was asked";
  }
  return "Nothing was asked";
}

}  // namespace

Folded fold(const std::vector<Asked>& asked, const Control& control, bool accepts_everything) {
  const std::vector<Reason> proven = reasons_where(asked, [](const Asked& a) { return a.variant.verdict == Verdict::open; });
  if (!proven.empty()) return {Verdict::open, proven.front()};

  const std::vector<Reason> yes =
      reasons_where(asked, [](const Asked& a) { return a.variant.verdict == Verdict::accepted && a.counts; });
  if (!yes.empty()) return {Verdict::accepted, accepts_everything ? Reason::accepts_everything : most_telling(yes)};

  const std::vector<Reason> undecided =
      reasons_where(asked, [](const Asked& a) { return needed(a) && a.variant.verdict != Verdict::closed; });
  if (!undecided.empty()) {
    const bool silent =
        std::all_of(asked.begin(), asked.end(), [](const Asked& a) { return a.variant.verdict == Verdict::unreachable; });
    return {silent ? Verdict::unreachable : Verdict::unclear, most_telling(undecided)};
  }
  const std::vector<Reason> refused = reasons_where(asked, [](const Asked& a) { return a.core; });
  if (refused.empty()) return {Verdict::unclear, Reason::internal_error};
  return judge_refusals(refused, control);
}

std::string because(const Folded& judgement, const std::vector<Asked>& asked, std::string_view refused) {
  std::string text(sentence(judgement, refused));
  const Asked* example = first_with(asked, judgement);
  if (example == nullptr) return text + ".";
  text += fmt::format(" ({}", example->variant.name);
  if (example->variant.code) text += fmt::format(": {}", *example->variant.code);
  if (example->variant.reply && !example->variant.reply->empty()) text += fmt::format(" {}", *example->variant.reply);
  return text + ").";
}

}  // namespace ajar
