// From many variants to one verdict. Shared by all checks, so that "closed" means the same everywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checks/check.h"

namespace ajar {

// A variant and its part in the verdict. The variant's own verdict: `open` proof, `accepted` a yes, `closed` a refusal,
// `unclear` neither (put off, not asked, broken off), `unreachable` no answer at all.
struct Asked {
  Variant variant;
  bool core = false;      // `closed` needs its refusal
  bool must_ask = false;  // it said yes before: `closed` needs its refusal as well
  bool counts = true;     // false: a yes that may be local delivery; without proof it is as if not asked
};

// The request that a healthy server must grant.
struct Control {
  enum class Result {
    not_asked,
    succeeded,
    failed,  // refused or not answered; `reason` says why a refusal beside it proves nothing
  };
  Result result = Result::not_asked;
  Reason reason = Reason::control_failed;  // or source_blocked, hung_up, timeout, protocol_error, …
};

struct Folded {
  Verdict verdict = Verdict::unclear;
  Reason reason = Reason::internal_error;
};

// Any proof: open. Else any yes that counts: accepted. Else closed when every core variant (and every one that said yes before)
// was refused and the control succeeded. Else unclear; unreachable when nothing answered. Where all core variants were closed
// for one reason that needs no control (auth_required, other_protocol, nobody_listens, hung_up), that is the reason and no
// control is needed. `accepts_everything`: the impossible destination got a yes too; it is said in the reason of `accepted` and
// changes nothing else.
Folded fold(const std::vector<Asked>& asked, const Control& control, bool accepts_everything);

// One sentence for people: what was judged and by which variant, "External mail was accepted …".
// `refused`: how closed/refused is said.
std::string because(const Folded& judgement, const std::vector<Asked>& asked,
                    std::string_view refused = "It refused a stranger and granted the control request");

}  // namespace ajar
