#include "agent/kept_arrivals.h"

#include <algorithm>

#include "agent/canary_dialog.h"

namespace ajar {
namespace {

bool tells_the_same(const Arrival& a, const Arrival& b) {
  return a.kind == b.kind && a.message == b.message && a.proof == b.proof && a.peer.address == b.peer.address &&
         a.listener == b.listener && a.facts == b.facts;
}

}  // namespace

const std::vector<Arrival>& KeptArrivals::list() const {
  static const std::vector<Arrival> none;
  return list_ ? *list_ : none;
}

void KeptArrivals::add(const Arrival& arrival) {
  std::vector<Arrival> next = list();
  Arrival kept = presentable(arrival);
  if (!next.empty()) {
    if (next.front().time == kept.time && tells_the_same(next.front(), kept)) return;
    next.erase(std::remove_if(next.begin() + 1, next.end(), [&](const Arrival& other) { return tells_the_same(other, kept); }),
               next.end());
  }
  if (next.size() >= kMost) next.erase(next.begin() + 1);
  next.push_back(std::move(kept));
  list_ = std::make_shared<const std::vector<Arrival>>(std::move(next));
}

Arrival presentable(const Arrival& arrival) {
  Arrival shown = arrival;
  shown.token.clear();
  shown.facts.clear();
  std::size_t size = 0;
  for (const std::string& fact : arrival.facts) {
    std::string line = without_token(fact, arrival.token);
    size += line.size();
    if (size > KeptArrivals::kMaxFacts) {
      shown.facts.emplace_back("…");
      break;
    }
    shown.facts.push_back(std::move(line));
  }
  return shown;
}

std::string without_token(const std::string& text, const std::string& token) {
  const std::string lower = to_lower(text);
  std::size_t at = token.empty() ? std::string::npos : lower.find(token);
  if (at == std::string::npos) return text;
  std::string out;
  std::size_t from = 0;
  for (; at != std::string::npos; at = lower.find(token, from)) {
    out.append(text, from, at - from).append("<token>");
    from = at + token.size();
  }
  return out.append(text, from);
}

}  // namespace ajar
