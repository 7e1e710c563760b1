#include "agent/vantage.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "agent/zone_book.h"
#include "checks/network.h"
#include "checks/wire/ascii.h"

namespace ajar {
namespace {

constexpr std::size_t kShown = 200;  // bytes of what a stranger said
constexpr std::string_view kGreeting = " ESMTP ajar canary";
constexpr std::string_view kBusy = "421 4.7.0 too many connections";
constexpr std::string_view kOtherAuthority = "the authority of the request is not ours";

// "Via" of "Via: 1.1 cache", in lower case; empty: the line is no field.
std::string field_name(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || line.substr(0, colon).find(' ') != std::string_view::npos) return {};
  return to_lower(line.substr(0, colon));
}

bool is_request_line(std::string_view line) {
  return line.starts_with("GET ") && line.find(" HTTP/") != std::string_view::npos;
}

// Ours of the same sort, to be compared with; nullptr: we said no such thing.
const std::string* counterpart(const std::vector<std::string>& ours, const std::string& line) {
  if (is_request_line(line)) return &ours.front();
  const std::string name = field_name(line);
  const auto same = [&](const std::string& own) { return !name.empty() && field_name(own) == name; };
  const auto found = std::find_if(ours.begin() + 1, ours.end(), same);
  return found == ours.end() ? nullptr : &*found;
}

// Fields of an answer that only what stands between adds.
bool tells_of_a_proxy(std::string_view name) {
  constexpr std::string_view kTelling[] = {
      "via",           "age",        "forwarded",     "x-forwarded-for", "x-cache",          "x-cache-lookup",
      "x-squid-error", "x-proxy-id", "x-proxy-cache", "proxy-agent",     "proxy-connection", "proxy-authenticate"};
  return std::find(std::begin(kTelling), std::end(kTelling), name) != std::end(kTelling);
}

void add_sentence(std::string& text, const std::string& sentence) { text += (text.empty() ? "" : " ") + sentence; }

bool is_of(VantageKind kind, const CanaryPath& path) {
  return (kind == VantageKind::egress_25) == (path.kind == CanaryKind::smtp);
}

std::optional<VantageState> judge_egress(VantageKind kind, const std::vector<CanaryPath>& paths) {
  VantageState state;
  std::string reached;
  bool any = false;
  for (const CanaryPath& path : paths) {
    if (!is_of(kind, path)) continue;
    any = true;
    if (path.silence.empty()) {
      reached += (reached.empty() ? "" : ", ") + path.place.to_string();
      continue;
    }
    state.up = false;
    add_sentence(state.because, fmt::format("{} of our own canary cannot be reached from {}: {}.", path.place.to_string(),
                                            path.source ? path.source->to_string() : "here", path.silence));
  }
  if (!any) return std::nullopt;
  if (state.up) state.because = "Reached: " + reached + ".";
  return state;
}

void judge_proxies(const std::vector<CanaryPath>& paths, Vantage& vantage) {
  bool heard = false;
  VantageState state{true, "What reaches our own canary is what we say, and what comes back is what it says."};
  for (const CanaryPath& path : paths) {
    heard = heard || path.silence.empty();
    if (path.altered.empty()) continue;
    if (state.up) state = {false, ""};
    const std::string found = fmt::format("On the way to {}: {}.", path.place.to_string(), path.altered);
    add_sentence(state.because, found);
    std::string& of_protocol = path.kind == CanaryKind::smtp ? vantage.smtp_altered : vantage.http_altered;
    if (of_protocol.empty()) of_protocol = path.altered;
  }
  if (heard) vantage.states[VantageKind::transparent_proxy_absent] = std::move(state);
}

void doubt_egress(const Vantage& vantage, Record& record) {
  Finding& finding = record.finding;
  const bool silent = finding.verdict == Verdict::unreachable;
  const bool turned_away = finding.reason == Reason::nobody_listens || finding.reason == Reason::hung_up;
  if (record.key.transport != Transport::tcp || (!silent && !turned_away)) return;
  if (!vantage.blocked.contains({record.key.address.is_v4(), record.key.port})) return;
  finding.verdict = Verdict::unclear;
  finding.reason = Reason::source_blocked;
  add_sentence(
      finding.because,
      fmt::format("Port {} of our own canary cannot be reached from here either: a filter on our side may have said so.",
                  record.key.port));
}

void doubt_protocol(const Vantage& vantage, std::string_view protocol, Record& record) {
  Finding& finding = record.finding;
  // What refuses the connection itself has not read a word; inside TLS nothing can be read.
  if (finding.verdict != Verdict::closed || finding.reason == Reason::nobody_listens || record.tls == TlsMode::implicit) return;
  const auto speaks = [&](std::string_view word) { return protocol.starts_with(word) || finding.spoken.starts_with(word); };
  const std::string* altered = nullptr;
  if (speaks("HTTP") && !vantage.http_altered.empty()) altered = &vantage.http_altered;
  if (speaks("SMTP") && !vantage.smtp_altered.empty()) altered = &vantage.smtp_altered;
  if (altered == nullptr) return;
  finding.verdict = Verdict::unclear;
  finding.reason = Reason::source_blocked;
  add_sentence(
      finding.because,
      fmt::format("But a proxy stands between us and others, which may have said so (on the way to our own canary: {}).",
                  *altered));
}

// What may have turned the server against us.
void explain(const Vantage& vantage, Finding& finding) {
  for (const VantageKind kind : {VantageKind::source_unlisted, VantageKind::rdns}) {
    const auto state = vantage.states.find(kind);
    if (state != vantage.states.end() && !state->second.up) add_sentence(finding.because, state->second.because);
  }
}

}  // namespace

std::string_view to_string(VantageKind kind) {
  switch (kind) {
    case VantageKind::egress_25:
      return "egress_25";
    case VantageKind::egress_tcp:
      return "egress_tcp";
    case VantageKind::transparent_proxy_absent:
      return "transparent_proxy_absent";
    case VantageKind::source_unlisted:
      return "source_unlisted";
    case VantageKind::rdns:
      break;
  }
  return "rdns";
}

// Capitals where nobody writes them, and Host last: what a proxy takes in and writes anew does not come out so.
HttpQuestion vantage_question(const AddressPort& place, const std::string& token, const std::string& nonce) {
  HttpQuestion question;
  question.lines = {"GET /<token> HTTP/1.1", "uSER-aGENT: ajar vantage " + nonce, "hOST: " + place.to_string()};
  question.request = fmt::format("GET /{} HTTP/1.1\r\n{}\r\n{}\r\n\r\n", token, question.lines[1], question.lines[2]);
  return question;
}

std::string altered_request(const HttpQuestion& question, const std::vector<std::string>& seen) {
  const std::string* last = nullptr;
  for (const std::string& line : seen) {
    if (line == kOtherAuthority) return "another host was asked for than we said";
    const std::string* const own = counterpart(question.lines, line);
    if (own == nullptr && field_name(line).empty()) continue;  // a remark of the canary
    if (own == nullptr) return fmt::format("the request came with `{}`", escape(line, kShown));
    if (*own != line) return fmt::format("`{}` became `{}`", *own, escape(line, kShown));
    if (last != nullptr && own < last) return "the fields of the request came in another order";
    last = own;
  }
  return {};
}

std::string altered_answer(const std::vector<std::string>& head, bool proven) {
  const std::string first = head.empty() ? "nothing" : "`" + escape(head.front(), kShown) + "`";
  if (!proven) return "the answer is not our canary's: " + first;
  if (!head.front().starts_with("HTTP/1.1 200")) return "the answer is not as our canary gives it: " + first;
  for (const std::string& line : head) {
    if (tells_of_a_proxy(field_name(line))) return fmt::format("the answer came with `{}`", escape(line, kShown));
  }
  return {};
}

std::string altered_smtp(const std::string& greeting, const std::vector<std::string>& hello, bool proven) {
  if (greeting == kBusy) return {};
  if (!greeting.starts_with("220 ") || !greeting.ends_with(kGreeting)) {
    return fmt::format("the greeting is not our canary's: `{}`", escape(greeting, kShown));
  }
  const std::string first = hello.empty() ? std::string() : escape(hello.front(), kShown);
  if (!proven) return fmt::format("the reply to EHLO is not our canary's: `{}`", first);
  const bool starttls = std::any_of(hello.begin(), hello.end(), [](std::string_view line) {
    return line.size() > 4 && to_lower(line.substr(4)) == "starttls";
  });
  return starttls ? "" : "the reply to EHLO came without STARTTLS";
}

void judge_paths(const std::vector<CanaryPath>& paths, Vantage& vantage) {
  vantage.states.erase(VantageKind::transparent_proxy_absent);
  for (const VantageKind kind : {VantageKind::egress_25, VantageKind::egress_tcp}) {
    std::optional<VantageState> state = judge_egress(kind, paths);
    if (state) {
      vantage.states[kind] = std::move(*state);
    } else {
      vantage.states.erase(kind);
    }
  }
  vantage.blocked.clear();
  for (const CanaryPath& path : paths) {
    if (!path.silence.empty()) vantage.blocked.emplace(path.place.address.is_v4(), path.place.port);
  }
  for (const CanaryPath& path : paths) {
    if (path.silence.empty()) vantage.blocked.erase({path.place.address.is_v4(), path.place.port});
  }
  vantage.http_altered.clear();
  vantage.smtp_altered.clear();
  judge_proxies(paths, vantage);
}

void judge_listings(const std::vector<OwnListing>& listings, Vantage& vantage) {
  vantage.states.erase(VantageKind::source_unlisted);
  if (listings.empty()) return;
  VantageState state;
  std::set<std::string> addresses;
  for (const OwnListing& listing : listings) {
    addresses.insert(listing.address.to_string());
    if (!listing.listed || listing.tier == ListingTier::info) continue;
    state.up = false;
    add_sentence(state.because, fmt::format("Our own address {} is listed in {}{}.", listing.address.to_string(), listing.zone,
                                            listing.meaning.empty() ? "" : " (" + listing.meaning + ")"));
  }
  if (state.up) state.because = fmt::format("Not listed: {}.", fmt::join(addresses, ", "));
  vantage.states[VantageKind::source_unlisted] = std::move(state);
}

void judge_names(const std::vector<ReverseName>& names, const std::string& name, Vantage& vantage) {
  vantage.states.erase(VantageKind::rdns);
  VantageState state;
  std::string fine;
  bool any = false;
  for (const ReverseName& one : names) {
    if (one.names.empty() && !is_globally_routable(one.address)) continue;
    any = true;
    const std::string address = one.address.to_string();
    const bool confirmed =
        std::any_of(one.names.begin(), one.names.end(), [&](const std::string& of) { return one.leads_back.contains(of); });
    std::string trouble;
    if (one.names.empty()) {
      trouble = fmt::format("Our own address {} has no name in the DNS: {}.", address, one.trouble);
    } else if (!confirmed) {
      trouble = fmt::format("Our own address {} is called {}, and that name does not lead back to it.", address,
                            fmt::join(one.names, ", "));
    } else if (is_globally_routable(one.address) && !one.leads_back.contains(to_lower(name))) {
      trouble = fmt::format("Our own address {} is called {}, and `agent.name` ({}) does not lead to it.", address,
                            fmt::join(one.names, ", "), escape(name, kShown));
    }
    state.up = state.up && trouble.empty();
    add_sentence(trouble.empty() ? fine : state.because,
                 trouble.empty() ? fmt::format("{} is {}.", address, fmt::join(one.names, ", ")) : trouble);
  }
  if (state.up) state.because = fine;
  if (any) vantage.states[VantageKind::rdns] = std::move(state);
}

std::vector<IpAddress> own_addresses(const std::vector<CanaryPath>& paths, const std::vector<IpAddress>& others) {
  std::set<IpAddress> found, behind;  // `behind`: those that nobody else sees
  for (const CanaryPath& path : paths) {
    if (!path.exit || !is_globally_routable(*path.exit)) continue;
    found.insert(*path.exit);
    if (path.source && *path.source != *path.exit) behind.insert(*path.source);
  }
  for (const CanaryPath& path : paths) {
    if (path.source) found.insert(*path.source);
  }
  found.insert(others.begin(), others.end());
  for (const IpAddress& hidden : behind) found.erase(hidden);
  std::erase_if(found, [](const IpAddress& address) { return address.is_loopback() || address.is_unspecified(); });
  return {found.begin(), found.end()};
}

void doubt(const Vantage& vantage, std::string_view protocol, Record& record) {
  Finding& finding = record.finding;
  if (finding.verdict == Verdict::unclear && finding.reason == Reason::source_blocked) {
    explain(vantage, finding);
    return;
  }
  if (finding.verdict == Verdict::closed || finding.verdict == Verdict::unreachable) doubt_egress(vantage, record);
  doubt_protocol(vantage, protocol, record);
}

}  // namespace ajar
