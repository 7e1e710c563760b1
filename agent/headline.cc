#include "agent/headline.h"

#include <fmt/format.h>

namespace ajar {
namespace {

std::string count(std::size_t number, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", number, number == 1 ? one : many);
}

// Why what is known is too old to stand for now; empty: it is not.
std::string staleness(const FirstLook& look) {
  if (look.targets == 0) return "No target is configured, so nothing is tested.";
  if (look.paused) return "Probing is paused: nothing is tested.";
  if (!look.ready) return "The agent is starting: nothing is tested yet.";
  if (look.tested == 0) return "No result was tested within its last two intervals.";
  if (look.tested * 2 < look.results) {
    return fmt::format("Only {} of {} results were tested within their last two intervals.", look.tested, look.results);
  }
  return "";
}

std::string doubts(const FirstLook& look) {
  std::string text;
  const auto add = [&](std::size_t number, std::string_view what) {
    if (number > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", number, what);
  };
  add(look.unclear, "unclear");
  add(look.unreachable, "unreachable");
  add(look.results - look.tested, "not tested lately");
  return text;
}

Headline answer(const FirstLook& look) {
  const std::string nothing =
      look.exempt > 0 ? "Nothing is known to be open but what is exempt" : "Nothing is known to be open";
  if (look.open > 0) {
    std::string text = fmt::format("{} proven open", count(look.open, "door is", "doors are"));
    if (look.accepted > 0) text += fmt::format(", and {} yes without proof", count(look.accepted, "more said", "more said"));
    return {Exposed::proven, "Exposed", text + ".", {}};
  }
  if (look.accepted > 0) {
    return {Exposed::accepted,
            "Accepted, not proven",
            fmt::format("{} yes to a stranger, and no proof has come back.", count(look.accepted, "door said", "doors said")),
            {}};
  }
  if (std::string why = staleness(look); !why.empty())
    return {Exposed::not_tested, "Not tested lately", nothing + ". " + why, {}};
  if (const std::string what = doubts(look); !what.empty()) {
    return {Exposed::cannot_tell,
            "Cannot tell",
            fmt::format("{}, and of {} some say too little: {}.", nothing, count(look.results, "result", "results"), what),
            {}};
  }
  if (look.blind) {
    return {Exposed::cannot_tell,
            "Cannot tell",
            nothing + ", but the agent does not see what a stranger sees: a \"closed\" may come from its own network.",
            {}};
  }
  const std::string tested = look.results == 1
                                 ? "The one result was tested within its last two intervals"
                                 : fmt::format("All {} results were tested within their last two intervals", look.results);
  if (look.exempt > 0)
    return {Exposed::fine, "Closed but for the exempt", tested + "; what lets strangers through is exempt.", {}};
  return {Exposed::fine, "All closed", tested + ", and nothing lets a stranger through.", {}};
}

}  // namespace

Headline headline(const FirstLook& look) {
  Headline made = answer(look);
  if (look.not_seen > 0) {
    made.notes.push_back(fmt::format("{} cannot be seen from here now. That closes nothing: a firewall may keep only us out.",
                                     look.not_seen == 1 ? "One of them" : fmt::format("{} of them", look.not_seen)));
  }
  if (look.exempt > 0) made.notes.push_back(fmt::format("{} open and exempt.", count(look.exempt, "more is", "more are")));
  const bool yes = made.answer == Exposed::proven || made.answer == Exposed::accepted;
  if (!yes) return made;
  if (const std::string why = staleness(look); !why.empty()) {
    made.notes.push_back(why);
  } else if (const std::string what = doubts(look); !what.empty()) {
    made.notes.push_back(fmt::format("Of all {} results: {}.", look.results, what));
  }
  return made;
}

}  // namespace ajar
